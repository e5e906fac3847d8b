//! What holds for every command there is: an answer for programs, errors for programs, and the exit codes.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::books;
use crate::support::gateway::{Finished, Gateway, gateway};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

/// Runs the program in `folder`, with nothing in its environment.
fn run(folder: &Path, arguments: &[&str]) -> Finished {
    let run = Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the program");
    Finished {
        code: run.status.code(),
        stdout: String::from_utf8(run.stdout).expect("text"),
        stderr: String::from_utf8(run.stderr).expect("text"),
    }
}

fn help(words: &[&str]) -> String {
    let run = run(Path::new("/"), &[words, &["--help"]].concat());
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    run.stdout
}

/// Every command that has none below it, as its words, with its help.
fn leaves(words: &[&str], found: &mut Vec<(String, String)>) {
    let help = help(words);
    let Some((_, listed)) = help.split_once("\nCommands:\n") else {
        found.push((words.join(" "), help));
        return;
    };
    for line in listed.lines().take_while(|line| !line.is_empty()) {
        // The text of a command that is too long for a line goes on further to the right.
        let name = line.strip_prefix("  ").filter(|it| !it.starts_with(' '));
        if let Some(name) = name.and_then(|it| it.split(' ').next()) {
            leaves(&[words, &[name]].concat(), found);
        }
    }
}

/// One JSON document and nothing else.
#[track_caller]
fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// A call of each command with `--json`, in an order in which each finds what it needs, and its exit code. What an earlier one
/// has answered is named by `{command.member}`.
const CALLS: &[(&str, i32)] = &[
    ("accounts create acme", 0),
    ("accounts limit acme --in-flight 5", 0),
    ("accounts list", 0),
    ("accounts show acme", 0),
    ("accounts show nobody", 1),
    ("accounts set acme --postpaid --limit 5", 0),
    ("keys create --name ci --account acme", 0),
    ("keys list", 0),
    ("keys update {keys create.id} --in-flight 3", 0),
    ("keys update {keys create.id}", 2),
    ("keys disable {keys create.id}", 0),
    ("keys enable {keys create.id}", 0),
    ("keys revoke {keys create.id}", 0),
    ("keys enable {keys create.id}", 1),
    ("keys disable not-an-id", 2),
    ("credit grant acme 5", 0),
    ("credit grant acme 5 --expires yesterday", 2),
    ("credit history acme", 0),
    ("credit export", 0),
    ("credit check", 0),
    ("credit end {credit grant.id}", 0),
    (
        "provider-keys add --account acme --provider openai --secret file:secret",
        0,
    ),
    ("provider-keys list", 0),
    (
        "provider-keys update acme/openai/main --name first --weight 2",
        0,
    ),
    ("provider-keys disable acme/openai/first", 0),
    ("provider-keys enable acme/openai/first", 0),
    (
        "provider-keys rotate acme/openai/first --secret file:secret",
        0,
    ),
    ("provider-keys reseal", 0),
    ("provider-keys remove acme/openai/first", 0),
    ("usage", 0),
    ("audit", 0),
    ("reconcile report.csv --provider openai", 3),
    ("status", 0),
    ("drain", 0),
    ("status", 3),
    ("drain --end", 0),
    ("log levels", 0),
    ("reload", 0),
    ("catalog versions", 0),
    ("catalog rollback", 0),
    ("catalog rollback 0", 1),
    ("catalog rollback a/b", 2),
    ("upgrade --admin 127.0.0.1:1", 4),
    ("catalog diff builtin builtin", 0),
    ("catalog diff more builtin", 3),
    ("catalog import --from openrouter list.json", 0),
    ("catalog import --from openrouter list.json --out lists", 0),
    ("check", 0),
    ("check --origins openai", 0),
    ("check --against-running", 0),
    ("check --config none.toml", 1),
    ("explain no-such-model", 3),
    ("explain", 2),
    ("models --provider openai", 0),
    ("price openai:gpt-4o --usage {}", 0),
    ("price no-such-model --usage {}", 1),
    ("schema", 0),
    ("completions bash", 0),
    ("man .", 0),
    ("man nowhere", 1),
    ("serve --config none.toml", 1),
    ("dev --admin 0.0.0.0:1 --listen 127.0.0.1:0", 1),
    ("accounts close acme", 0),
];

/// A gateway with a second catalog in use, and files for the calls beside its configuration.
async fn stage() -> Gateway {
    let gateway = books::start().await;
    let folder = gateway.folder();
    let house = json!({"provider": "house", "preset": "openai-compatible", "base_url": "http://127.0.0.1:9/v1", "models": {"m": {}}});
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    std::fs::create_dir(folder.join("more")).expect("a folder");
    write("more/house.json", &house.to_string());
    write("report.csv", "day,model,input\n2026-11-01,gpt-4o,5\n");
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lists/openrouter.json");
    std::fs::copy(list, folder.join("list.json")).expect("a copy");
    gateway.write_catalog("house", &house);
    gateway
}

/// The words of a call: with what earlier ones have answered, and the configuration where the command takes one.
fn words(call: &str, config: &str, help: &str, answers: &[(String, Value)]) -> Vec<String> {
    let mut call = call.to_owned();
    for (name, answer) in answers {
        let id = &answer["id"];
        let id = id
            .as_str()
            .map_or_else(|| id.to_string(), ToOwned::to_owned);
        call = call.replace(&format!("{{{name}.id}}"), &id);
    }
    let mut words: Vec<String> = call.split(' ').map(ToOwned::to_owned).collect();
    if help.contains("--config") && !call.contains("--config") {
        words.extend(["--config".to_owned(), config.to_owned()]);
    }
    words.push("--json".to_owned());
    words
}

/// Holds what a call with `--json` has said to what docs/cli.md promises; returns its answer.
#[track_caller]
fn hold(call: &str, code: i32, run: &Finished) -> Value {
    assert_eq!(run.code, Some(code), "{call}: {run:?}");
    let aside: Vec<Value> = run.stderr.lines().map(document).collect();
    let errors = aside.iter().filter(|line| line["error"].is_object());
    // A check that found mistakes says them where its answer is.
    if code == 0 || code == 3 || (call.starts_with("check") && !run.stdout.is_empty()) {
        assert_eq!(errors.count(), 0, "{call}: {run:?}");
        return document(&run.stdout);
    }
    let errors: Vec<&Value> = errors.map(|line| &line["error"]).collect();
    assert!(
        errors.len() == 1 && run.stdout.is_empty(),
        "{call}: {run:?}"
    );
    let error = errors[0];
    assert_eq!(error["exit"], code, "{call}: {error}");
    let has_words = |member: &str| error[member].as_str().is_some_and(|it| !it.is_empty());
    assert!(has_words("code") && has_words("message"), "{call}: {error}");
    if code == 2 {
        assert_eq!(error["code"], "usage", "{call}: {error}");
    }
    Value::Null
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_answers_programs_and_ends_with_a_code_of_the_table() {
    let gateway = stage().await;
    let folder = gateway.folder().to_owned();
    let config = gateway.config_file().display().to_string();
    let mut found = Vec::new();
    leaves(&[], &mut found);
    let mut called = BTreeSet::new();
    let mut answers = Vec::new();
    for (call, code) in CALLS {
        let is_it =
            |leaf: &&(String, String)| *call == leaf.0 || call.starts_with(&format!("{} ", leaf.0));
        let leaf = found.iter().find(is_it);
        let (leaf, help) = leaf.unwrap_or_else(|| panic!("{call}: there is no such command"));
        let words = words(call, &config, help, &answers);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = hold(call, *code, &run(&folder, &words));
        if *code == 0 {
            answers.push((leaf.clone(), answer));
        }
        called.insert(leaf.clone());
    }
    for (leaf, help) in &found {
        assert!(help.contains("--json"), "`{leaf}` has no --json");
        assert!(called.contains(leaf), "`{leaf}` is not tried here");
        let words: Vec<&str> = leaf.split(' ').collect();
        let misused = run(
            &folder,
            &[&words[..], &["--no-such-option", "--json"]].concat(),
        );
        hold(leaf, 2, &misused);
    }
    let codes: BTreeSet<i32> = CALLS.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, BTreeSet::from([0, 1, 2, 3, 4]));
}

#[test]
fn what_changes_is_told_as_it_is_now() {
    let gateway = gateway();
    let told = |words: &[&str]| {
        let run = gateway.run(&[words, &["--json"]].concat());
        assert_eq!(run.code, Some(0), "{run:?}");
        document(&run.stdout)
    };
    let made = told(&["accounts", "create", "acme"]);
    assert_eq!(
        (&made["name"], &made["billing"]),
        (&json!("acme"), &json!("prepaid"))
    );
    assert_eq!(
        told(&["accounts", "limit", "acme", "--in-flight", "7"])["in_flight"],
        7
    );
    let key = told(&["keys", "create", "--name", "ci", "--account", "acme"]);
    let id = key["id"].as_str().expect("an id");
    assert_eq!(told(&["keys", "disable", id])["state"], "disabled");
    let limited = told(&["keys", "update", id, "--in-flight", "3"]);
    assert_eq!(limited["policy"]["limits"], json!({"in_flight": 3}));
    assert_eq!(told(&["keys", "revoke", id])["state"], "revoked");
    let grant = told(&["credit", "grant", "acme", "5"]);
    let number = grant["id"].to_string();
    assert!(grant["expires"].is_null());
    assert!(told(&["credit", "end", &number])["expires"].is_string());
}

#[test]
fn without_a_command_or_with_a_wrong_one_the_exit_code_is_that_of_usage() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["keys"],
        &["usage", "--by", "colour"],
    ] {
        let run = run(Path::new("/"), arguments);
        assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{run:?}");
        let helps = run.stderr.contains("Usage:") || run.stderr.contains("--help");
        assert!(helps, "{run:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["keys", "--help"]] {
        let run = run(Path::new("/"), arguments);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    }
}

#[test]
fn dev_tells_programs_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = Command::new(PROGRAM)
        .args(["dev", "--json", "--listen", "127.0.0.1:0"])
        .args(["--admin", "127.0.0.1:0"])
        .current_dir(folder.path())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.expect("the program");
    let mut text = String::new();
    let mut out = child.stdout.take().expect("standard output");
    let mut byte = [0];
    let told = loop {
        assert_eq!(out.read(&mut byte).expect("text"), 1, "{text}");
        text.push(char::from(byte[0]));
        if let Ok(told) = serde_json::from_str::<Value>(&text) {
            break told;
        }
    };
    // One for a machine of one's own is not replaced under its requests, and says so.
    let admin = told["admin"].as_str().expect("an address");
    let upgrade = run(folder.path(), &["upgrade", "--admin", admin]);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(upgrade.code, Some(1), "{upgrade:?}");
    assert!(
        upgrade.stderr.contains("hands over to no other process"),
        "{upgrade:?}"
    );
    for member in ["address", "admin"] {
        let address = told[member].as_str().expect("an address");
        assert!(address.starts_with("127.0.0.1:"), "{told}");
    }
    assert!(
        told["access_key"]
            .as_str()
            .is_some_and(|it| it.starts_with("tg-"))
    );
}
