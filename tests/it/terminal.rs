//! What commands look like on a terminal, which `script` (util-linux) gives them, and in a pipe.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use crate::support::gateway::{Builder, gateway};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

/// The beginning of every colour.
const ESCAPE: char = '\u{1b}';

/// A house of models with a name that is longer than the terminals here are wide.
fn browsing() -> Builder {
    let long = "a-model-whose-name-goes-on-and-on-until-no-terminal-is-wide-enough";
    let model =
        json!({"kind": "chat", "context": 200_000, "price": {"input": "3", "output": "15"}});
    let made = gateway().catalog(
        "house",
        json!({
            "provider": "house", "preset": "openai-compatible", "base_url": "http://127.0.0.1:9/v1",
            "models": {long: model, "b": {"price": {"input": "0.125"}}},
        }),
    );
    // Its configuration is written.
    assert_eq!(made.run(&["check"]).code, Some(0));
    made
}

/// A call on a terminal of 60 columns, with these variables.
fn terminal(builder: &Builder, call: &str, variables: &[(&str, &str)]) -> Command {
    let config = builder.folder().join("tollgate.toml");
    let line = format!(
        "stty cols 60; exec {PROGRAM} {call} --config {}",
        config.display()
    );
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

fn on_terminal(builder: &Builder, call: &str, variables: &[(&str, &str)]) -> String {
    let run = terminal(builder, call, variables).output();
    let text = String::from_utf8(run.expect("script").stdout).expect("text");
    text.replace("\r\n", "\n")
}

fn in_pipe(builder: &Builder, call: &str, variables: &[(&str, &str)]) -> String {
    let run = Command::new(PROGRAM)
        .args(call.split(' '))
        .arg("--config")
        .arg(builder.folder().join("tollgate.toml"))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the program");
    String::from_utf8(run.stdout).expect("text")
}

const MODELS: &str = "models --provider house --columns model,kind,context,input,output,status";

#[test]
fn tables_fit_the_terminal_and_are_whole_in_a_pipe() {
    let builder = browsing();
    let whole = in_pipe(&builder, MODELS, &[]);
    assert!(
        whole.contains("wide-enough ") && !whole.contains('…'),
        "{whole}"
    );
    assert!(
        whole.lines().any(|line| line.chars().count() > 100),
        "{whole}"
    );
    for (variables, width) in [(&[][..], 60), (&[("COLUMNS", "72")], 72)] {
        let variables = [variables, &[("NO_COLOR", "1")]].concat();
        let shown = on_terminal(&builder, MODELS, &variables);
        let widest = shown.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= width), "{shown}");
        assert!(
            shown.contains('…') && !shown.contains("wide-enough"),
            "{shown}"
        );
    }
}

#[test]
fn colours_are_for_terminals_and_for_who_wants_them() {
    let builder = browsing();
    let never = format!("{MODELS} --color never");
    let always = format!("{MODELS} --color always");
    for (call, variables, coloured) in [
        (MODELS, &[][..], true),
        (MODELS, &[("NO_COLOR", "1")], false),
        (MODELS, &[("TERM", "dumb")], false),
        (MODELS, &[("CLICOLOR", "0")], false),
        (&never, &[("CLICOLOR_FORCE", "1")], false),
        (&always, &[("NO_COLOR", "1")], true),
    ] {
        let shown = on_terminal(&builder, call, variables);
        assert_eq!(
            shown.contains(ESCAPE),
            coloured,
            "{call} {variables:?}: {shown:?}"
        );
    }
    for (call, variables, coloured) in [
        (MODELS, &[][..], false),
        (MODELS, &[("CLICOLOR_FORCE", "1")], true),
        (&always, &[], true),
    ] {
        let shown = in_pipe(&builder, call, variables);
        assert_eq!(
            shown.contains(ESCAPE),
            coloured,
            "{call} {variables:?}: {shown:?}"
        );
    }
}

#[test]
fn json_and_csv_have_no_colours() {
    let builder = browsing();
    let told = in_pipe(&builder, &format!("{MODELS} --json --color always"), &[]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told.as_array().map(Vec::len), Some(2));
    let shown = on_terminal(&builder, "usage --format csv --color always", &[]);
    assert!(
        shown.contains("requests") && !shown.contains(ESCAPE),
        "{shown:?}"
    );
}

/// A gateway that answers a reload once what the command says meanwhile has been seen.
#[test]
fn what_takes_long_is_said_meanwhile_and_taken_back() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let builder = browsing();
    let (seen, wait) = channel();
    let answering = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a command");
        wait.recv().expect("it was seen");
        let body = r#"{"reloaded": true, "catalog": "c0ffee"}"#;
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        client.write_all(answer.as_bytes()).expect("sent");
        // What it asks is read, so that the answer is not lost with the connection.
        let _ = client.read(&mut [0; 4096]);
    });
    let mut command = terminal(&builder, &format!("reload --admin {address}"), &[]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("script");
    let mut out = child.stdout.take().expect("standard output");
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&text).contains("reads its files … ") {
        assert_eq!(out.read(&mut byte).expect("text"), 1, "{text:?}");
        text.push(byte[0]);
    }
    seen.send(()).expect("it waits");
    out.read_to_end(&mut text).expect("text");
    child.wait().expect("it ends");
    answering.join().expect("no panic");
    let text = String::from_utf8(text).expect("text");
    let (_, last) = text.rsplit_once("\r\u{1b}[2K").expect("taken back");
    assert_eq!(last, "Reloaded; the catalog is c0ffee.\r\n");
}
