//! `tollgate completions`, `tollgate man` and `tollgate schema`: what shells, readers and editors need to know, made of the
//! command line and the types themselves.

use std::io;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, ValueEnum as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::form::Form;
use super::terminal::Out;
use super::{Arguments, one};

/// For which shell.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tollgate completions bash > /usr/share/bash-completion/completions/tollgate\n  tollgate completions zsh > ~/.zfunc/_tollgate"
)]
pub struct CompletionsOptions {
    /// Which shell
    shell: Shell,
    #[command(flatten)]
    form: Form,
}

/// Where to.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  tollgate man /usr/local/share/man/man1")]
pub struct ManOptions {
    /// An existing folder; pages that are there are written anew
    folder: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// Writes the completions.
///
/// # Errors
/// When `out` cannot be written.
pub fn completions(options: &CompletionsOptions, out: &mut dyn Out) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(options.shell, &mut command, "tollgate", &mut script);
    let script = String::from_utf8(script).map_err(one)?;
    let told = json!({"shell": options.shell.to_string(), "script": script});
    let done = options.form.tell(out, &told, script.trim_end());
    Ok(done.map_err(one)?)
}

/// Writes the JSON Schema of catalog files.
///
/// # Errors
/// When `out` cannot be written.
pub fn schema(out: &mut dyn Out) -> Result<(), Failure> {
    let text = crate::catalog::schema();
    Ok(out.write_all(text.as_bytes()).map_err(one)?)
}

/// Writes `tollgate.1`, `tollgate-serve.1` and so on.
///
/// # Errors
/// When a page cannot be written.
pub fn man(options: &ManOptions, out: &mut dyn Out) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    let mut written = Vec::new();
    let done = pages(&command, &options.folder, &mut written);
    done.map_err(|error| one(format!("{}: {error}", options.folder.display())))?;
    if options.form.json {
        let told = json!({"folder": options.folder, "pages": written});
        super::form::json(out, &told).map_err(one)?;
    }
    Ok(())
}

/// Writes the page of `command`, and those of what is below it.
fn pages(command: &clap::Command, folder: &Path, written: &mut Vec<String>) -> io::Result<()> {
    let man = Man::new(command.clone());
    let name = man.get_filename();
    std::fs::write(folder.join(&name), page(command, &man)?)?;
    written.push(name);
    let mut below = command.get_subcommands().filter(|it| !it.is_hide_set());
    below.try_for_each(|below| pages(below, folder, written))
}

/// The page of one command: with its examples, and how it ends.
fn page(command: &clap::Command, man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|it| !it.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut end = Roff::new();
    if let Some(text) = command.get_after_help() {
        end.control("SH", ["EXAMPLES"]).control("nf", []);
        let text = text.to_string();
        let is_title = |line: &str| matches!(line, "Example:" | "Examples:");
        for line in text.lines().filter(|line| !is_title(line)) {
            end.text([roman(line)]);
        }
        end.control("fi", []);
    }
    end.control("SH", ["EXIT STATUS"]);
    for exit in Exit::value_variants() {
        end.control("TP", []);
        end.text([bold(exit.number().to_string())]);
        let meaning = exit.meaning().replace('`', "");
        end.text([roman(format!("{meaning}."))]);
    }
    end.to_writer(&mut page)?;
    Ok(page)
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests read back what was written"
)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = ManOptions {
            folder: folder.path().to_owned(),
            form: Form::default(),
        };
        man(&options, &mut Vec::new()).expect("pages");
        let mut script = Vec::new();
        let options = CompletionsOptions {
            shell: Shell::Bash,
            form: Form::default(),
        };
        completions(&options, &mut script).expect("a script");
        let script = String::from_utf8(script).expect("text");
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let page = folder.path().join(format!("tollgate-{name}.1"));
            let page = std::fs::read_to_string(&page).expect(name);
            assert!(page.contains(".SH SYNOPSIS"), "{name}");
            assert!(script.contains(&format!("tollgate,{name})")), "{name}");
        }
        assert!(folder.path().join("tollgate.1").is_file());
        assert!(folder.path().join("tollgate-credit-grant.1").is_file());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let options = ManOptions {
            folder: "/nowhere/at/all".into(),
            form: Form::default(),
        };
        let told = man(&options, &mut Vec::new()).expect_err("no folder");
        assert!(
            told.problems[0].starts_with("/nowhere/at/all: "),
            "{told:?}"
        );
    }

    #[test]
    fn pages_say_how_commands_end_and_show_their_examples() {
        let mut command = Arguments::command();
        command.build();
        let folder = tempfile::tempdir().expect("a folder");
        let mut written = Vec::new();
        pages(&command, folder.path(), &mut written).expect("pages");
        assert!(written.len() > 40, "{written:?}");
        for name in &written {
            let page = std::fs::read_to_string(folder.path().join(name)).expect("a page");
            for exit in Exit::value_variants() {
                let row = format!(".TP\n\\fB{}\\fR\n", exit.number());
                assert!(page.contains(&row), "{name}: {row}");
            }
        }
        let page = std::fs::read_to_string(folder.path().join("tollgate-credit-end.1"));
        let page = page.expect("a page");
        assert!(
            page.contains(".SH EXAMPLES") && page.contains("tollgate credit end 3"),
            "{page}"
        );
    }

    /// The words of a line as a shell reads them, up to where it goes on with something else.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), letter) if letter == open => quote = None,
                (None, '\'' | '"') => quote = Some(letter),
                (None, '|' | '<' | '>' | '&') => break,
                (None, ' ') => words.push(String::new()),
                (_, letter) => words.last_mut().expect("a word").push(letter),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
        if command.has_subcommands() {
            for below in command.get_subcommands() {
                leaves(below, &format!("{path} {}", below.get_name()), found);
            }
            return;
        }
        let help = command.get_after_help().map(ToString::to_string);
        found.push((path.to_owned(), help.unwrap_or_default()));
    }

    #[test]
    fn every_command_has_an_example_that_is_one() {
        use clap::Parser as _;
        let mut found = Vec::new();
        leaves(&Arguments::command(), "tollgate", &mut found);
        assert!(found.len() > 40);
        for (path, help) in found {
            let lines: Vec<&str> = help
                .lines()
                .filter_map(|line| line.strip_prefix("  "))
                .filter(|line| line.starts_with("tollgate "))
                .collect();
            let its_own = lines.iter().any(|line| line.starts_with(&path));
            assert!(its_own && help.contains("Example"), "{path}: {help:?}");
            for line in lines {
                if let Err(why) = Arguments::try_parse_from(words(line)) {
                    panic!("{line}: {why}");
                }
            }
        }
    }

    /// The table of docs/cli.md, between its two marks; TOLLGATE_REWRITE=1 writes it anew.
    #[test]
    fn the_docs_have_the_table_of_exit_codes() {
        const BEGIN: &str = "<!-- exit codes: begin -->";
        const END: &str = "<!-- exit codes: end -->";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
        let text = std::fs::read_to_string(&path).expect("the page");
        let (before, rest) = text.split_once(BEGIN).expect("its first mark");
        let (_, after) = rest.split_once(END).expect("its second mark");
        let row = |exit: &Exit| {
            let (number, name, meaning) = (exit.number(), exit.name(), exit.meaning());
            format!("| {number} | `{name}` | {meaning} |\n")
        };
        let rows: String = Exit::value_variants().iter().map(row).collect();
        let made = format!(
            "{before}{BEGIN}\n\n| exit code | name | means |\n|---|---|---|\n{rows}\n{END}{after}"
        );
        if std::env::var_os("TOLLGATE_REWRITE").is_some() {
            std::fs::write(&path, made).expect("written");
            return;
        }
        assert_eq!(text, made, "TOLLGATE_REWRITE=1 writes it anew");
    }
}
