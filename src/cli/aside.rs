//! What commands say on standard error: lines for people, or a JSON object a line where the answer is JSON.

use std::ffi::OsString;
use std::sync::OnceLock;

use serde_json::json;

use super::exit::Failure;
use super::terminal::{self, Ink, paint};

/// Whether this process was asked for JSON.
static JSON: OnceLock<bool> = OnceLock::new();

/// Whether a command line asks for JSON, which is to be known also where it cannot be read.
fn asks_for_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut before = OsString::new();
    for argument in arguments {
        if argument == "--" {
            return false;
        }
        if argument == "--json"
            || argument == "--format=json"
            || (before == "--format" && argument == "json")
        {
            return true;
        }
        before = argument;
    }
    false
}

/// Has everything be said in the form that the command line of this process asks for.
pub fn init() {
    let _ = JSON.set(asks_for_json(std::env::args_os()));
}

/// Whether this process was asked for JSON.
pub fn is_json() -> bool {
    JSON.get().copied().unwrap_or(false)
}

/// The program's name before what it says; on a terminal in the colour of what that is.
fn name(kind: Option<(&str, Ink)>) -> String {
    match kind {
        Some((word, ink)) => paint(
            &format!("tollgate:{word}"),
            ink,
            terminal::aside_has_colours(),
        ),
        None => "tollgate:".to_owned(),
    }
}

/// What is worth knowing, and keeps nothing from being done.
pub fn note(text: &str) {
    match is_json() {
        true => eprintln!("{}", json!({"note": {"message": text}})),
        false => eprintln!("{} {text}", name(None)),
    }
}

/// What is wrong, and keeps nothing from being done.
pub fn warn(text: &str) {
    match is_json() {
        true => eprintln!("{}", json!({"warning": {"message": text}})),
        false => eprintln!("{} {text}", name(Some((" warning:", Ink::Warning)))),
    }
}

/// Why the command ends without having done what it was asked.
pub fn fail(failure: &Failure) {
    if is_json() {
        eprintln!("{}", failure.json());
        return;
    }
    for problem in &failure.problems {
        eprintln!("{} {problem}", name(Some(("", Ink::Bad))));
    }
}

/// A command line that makes no sense.
pub fn misused(told: &clap::Error) {
    if !is_json() {
        let _ = told.print();
        return;
    }
    let text = told.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    eprintln!("{}", Failure::usage(text).json());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_by_two_options() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(OsString::from));
        for line in [
            "tollgate status --json",
            "tollgate usage --format json",
            "tollgate usage --format=json --by day",
            "tollgate nonsense --json --more",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "tollgate status",
            "tollgate usage --format csv",
            "tollgate explain -- --json",
            "tollgate accounts create json",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
