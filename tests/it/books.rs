//! The commands on accounts, keys and credit do and say the same, whether they ask the gateway that runs or work on its store.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::gateway::{Finished, Gateway, MASTER_KEY, gateway};
use crate::support::wait;

/// A gateway whose configuration says where its admin listener is.
pub async fn start() -> Gateway {
    let builder = gateway()
        .config("catalog.watch", false)
        .config("byok.master_key", "file:master");
    std::fs::write(builder.folder().join("master"), MASTER_KEY).expect("a file");
    std::fs::write(
        builder.folder().join("secret"),
        "sk-provider-0123456789abcdef",
    )
    .expect("a file");
    let gateway = builder.start().await;
    say_where(&gateway);
    gateway
}

/// The configuration asks for any free port; the commands have to know which one it became.
pub fn say_where(gateway: &Gateway) {
    let config = std::fs::read_to_string(gateway.config_file()).expect("a file");
    let mut config: toml::Table = config.parse().expect("TOML");
    config["admin"]["address"] = gateway.admin().to_string().into();
    std::fs::write(gateway.config_file(), config.to_string()).expect("a file");
}

/// What was printed, with what differs from one time to the next made equal: ids, numbers, and the account's name.
fn alike(run: &Finished, account: &str) -> String {
    let text =
        format!("{:?}\n{}\n{}", run.code, run.stdout, run.stderr).replace(account, "ACCOUNT");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let word = &rest[..end];
        match word.len() {
            0 => out.push(first),
            1..12 => out.extend(
                word.chars()
                    .map(|c| if c.is_ascii_digit() { '#' } else { c }),
            ),
            _ => out.push_str("LONG"),
        }
        rest = &rest[end.max(first.len_utf8() * usize::from(end == 0))..];
    }
    // Columns are as wide as what stands in them.
    out.split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command twice: asked of the gateway for one account, and on the store for the other.
#[track_caller]
fn both(gateway: &Gateway, command: &[&str], code: i32) -> [Finished; 2] {
    let run = |account: &str, more: &[&str]| {
        let words = command.iter().map(|word| word.replace("ACCOUNT", account));
        let words: Vec<String> = words
            .chain(more.iter().map(|word| (*word).to_owned()))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        gateway.run(&words)
    };
    let runs = [run("asked", &[]), run("store", &["--direct"])];
    assert_eq!(
        alike(&runs[0], "asked"),
        alike(&runs[1], "store"),
        "{command:?}"
    );
    assert_eq!(runs[0].code, Some(code), "{runs:?}");
    runs
}

/// Runs a command that only looks, which prints the same to the letter.
#[track_caller]
fn look(gateway: &Gateway, command: &[&str], code: i32) -> String {
    let asked = gateway.run(command);
    let direct = gateway.run(&[command, &["--direct"]].concat());
    assert_eq!(
        (asked.code, &asked.stdout, &asked.stderr),
        (direct.code, &direct.stdout, &direct.stderr),
        "{command:?}"
    );
    assert_eq!(asked.code, Some(code), "{asked:?}");
    asked.stdout
}

fn ids(runs: &[Finished; 2]) -> [String; 2] {
    [0, 1].map(|at| {
        let told: Value = serde_json::from_str(&runs[at].stdout).expect("JSON");
        told["id"].as_str().expect("an id").to_owned()
    })
}

/// As [`both`], of the thing that has an id for each.
#[track_caller]
fn both_of(gateway: &Gateway, ids: &[String; 2], command: &[&str], code: i32) {
    let run = |id: &str, more: &[&str]| {
        let words: Vec<&str> = command
            .iter()
            .map(|word| if *word == "ID" { id } else { word })
            .collect();
        gateway.run(&[&words, more].concat())
    };
    let runs = [run(&ids[0], &[]), run(&ids[1], &["--offline"])];
    assert_eq!(
        alike(&runs[0], "asked"),
        alike(&runs[1], "store"),
        "{command:?}"
    );
    assert_eq!(runs[0].code, Some(code), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_credit_and_keys_are_the_same_asked_or_direct() {
    let gateway = start().await;
    both(&gateway, &["accounts", "create", "ACCOUNT"], 0);
    both(&gateway, &["accounts", "create", "ACCOUNT"], 1);
    both(
        &gateway,
        &["accounts", "limit", "ACCOUNT", "--in-flight", "8"],
        0,
    );
    both(
        &gateway,
        &[
            "accounts",
            "set",
            "ACCOUNT",
            "--postpaid",
            "--limit",
            "20.5",
        ],
        0,
    );
    both(&gateway, &["accounts", "set", "ACCOUNT", "--no-limit"], 0);
    both(&gateway, &["accounts", "show", "ACCOUNT"], 0);
    both(&gateway, &["accounts", "show", "ACCOUNT", "--json"], 0);
    both(&gateway, &["accounts", "set", "ACCOUNT", "--prepaid"], 0);
    both(
        &gateway,
        &[
            "credit",
            "grant",
            "ACCOUNT",
            "5",
            "--expires",
            "90d",
            "--note",
            "May & June",
            "--idempotency-key",
            "ACCOUNT-1",
        ],
        0,
    );
    both(
        &gateway,
        &[
            "credit",
            "grant",
            "ACCOUNT",
            "7",
            "--idempotency-key",
            "ACCOUNT-1",
        ],
        1,
    );
    both(
        &gateway,
        &["credit", "grant", "ACCOUNT", "0.000000001", "--json"],
        0,
    );
    both(&gateway, &["credit", "history", "ACCOUNT"], 0);
    both(
        &gateway,
        &[
            "credit",
            "history",
            "ACCOUNT",
            "--json",
            "--from",
            "2020-01-01",
        ],
        0,
    );
    let made = both(
        &gateway,
        &[
            "keys",
            "create",
            "--name",
            "ci",
            "--account",
            "ACCOUNT",
            "--allow-model",
            "gpt-*",
            "--in-flight",
            "4",
            "--timeout",
            "total=60s",
            "--json",
        ],
        0,
    );
    let keys = ids(&made);
    both_of(
        &gateway,
        &keys,
        &[
            "keys",
            "update",
            "ID",
            "--in-flight",
            "none",
            "--max-cost",
            "0.05",
        ],
        0,
    );
    both_of(
        &gateway,
        &keys,
        &["keys", "update", "ID", "--in-flight", "0"],
        1,
    );
    both_of(&gateway, &keys, &["keys", "disable", "ID"], 0);
    both_of(&gateway, &keys, &["keys", "enable", "ID"], 0);
    both_of(&gateway, &keys, &["keys", "revoke", "ID"], 0);
    both_of(&gateway, &keys, &["keys", "enable", "ID"], 1);
    both_of(
        &gateway,
        &["1".to_owned(), "2".to_owned()],
        &["credit", "end", "ID"],
        0,
    );
    for account in ["asked", "store"] {
        until_expired(&gateway, account).await;
    }
    both(
        &gateway,
        &["keys", "create", "--name", "ci", "--account", "new-ACCOUNT"],
        0,
    );
    both(&gateway, &["accounts", "close", "ACCOUNT"], 0);
    both(&gateway, &["credit", "grant", "ACCOUNT", "5"], 1);
    both(&gateway, &["accounts", "show", "no-ACCOUNT"], 1);
    for looked in [
        &["accounts", "list"][..],
        &["accounts", "list", "--json"],
        &["keys", "list"],
        &["keys", "list", "--json"],
        &["credit", "export"],
        &["credit", "export", "--format", "json", "--account", "asked"],
        &["credit", "check"],
        &["credit", "check", "--json"],
        &["usage", "--by", "day"],
        &["usage", "--format", "csv", "--from", "2026-01-01"],
        &["audit", "--limit", "7"],
        &[
            "audit",
            "--json",
            "--operation",
            "createGrant",
            "--outcome",
            "done",
        ],
    ] {
        look(&gateway, looked, 0);
    }
    by_whom(&gateway);
}

/// The gateway takes back what is left of a grant that has ended, in its own time.
async fn until_expired(gateway: &Gateway, account: &str) {
    let taken_back = async {
        let is_left = || {
            let told = gateway.run(&["accounts", "show", account, "--json"]).stdout;
            !told.contains("\"balance\": \"0.000000001\"")
        };
        while is_left() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    wait::within("an expiry", taken_back).await;
}

/// Each change is told of with whom it was asked for, and was asked of the gateway only where it was to be.
fn by_whom(gateway: &Gateway) {
    let told = look(gateway, &["audit", "--json", "--limit", "1000"], 0);
    let told: Vec<Value> = serde_json::from_str(&told).expect("JSON");
    let of = |who: &str| {
        let rows = told
            .iter()
            .filter(|row| row["who"].as_str().is_some_and(|it| it.starts_with(who)));
        let names = rows.map(|row| format!("{} {}", row["operation"], row["outcome"]));
        names.collect::<Vec<_>>()
    };
    let (asked, mut direct) = (of("loopback cli:"), of("cli:"));
    // What the test made before the gateway began.
    direct.truncate(asked.len());
    assert_eq!(asked, direct);
    assert!(asked.len() > 15, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_keys_and_reports_are_the_same_asked_or_direct() {
    let gateway = start().await;
    both(&gateway, &["accounts", "create", "ACCOUNT"], 0);
    let secret = format!("file:{}", gateway.folder().join("secret").display());
    let add = [
        "provider-keys",
        "add",
        "--account",
        "ACCOUNT",
        "--provider",
        "openai",
        "--secret",
        &secret,
        "--weight",
        "3",
        "--json",
    ];
    let keys = ids(&both(&gateway, &add, 0));
    both(&gateway, &add, 1);
    both(
        &gateway,
        &[
            "provider-keys",
            "rotate",
            "ACCOUNT/openai/main",
            "--secret",
            &secret,
        ],
        0,
    );
    both_of(
        &gateway,
        &keys,
        &[
            "provider-keys",
            "update",
            "ID",
            "--weight",
            "none",
            "--fallback",
            "off",
        ],
        0,
    );
    both_of(&gateway, &keys, &["provider-keys", "disable", "ID"], 0);
    both_of(&gateway, &keys, &["provider-keys", "enable", "ID"], 0);
    both(&gateway, &["provider-keys", "reseal"], 0);
    look(&gateway, &["provider-keys", "list"], 0);
    let listed = look(&gateway, &["provider-keys", "list", "--json"], 0);
    assert!(!listed.contains("sk-provider"), "{listed}");
    both_of(&gateway, &keys, &["provider-keys", "remove", "ID"], 0);
    both_of(&gateway, &keys, &["provider-keys", "remove", "ID"], 1);
    let report = gateway.folder().join("report.csv");
    std::fs::write(
        &report,
        "day,model,input,cost\n2026-01-31,gpt-4o,1000,0.003\n",
    )
    .expect("a file");
    let report = report.display().to_string();
    look(
        &gateway,
        &[
            "reconcile",
            &report,
            "--provider",
            "openai",
            "--tolerance",
            "0.5",
        ],
        3,
    );
    look(&gateway, &["reconcile", &report], 1);
}

/// Each names one limit: none undoes what another has set.
#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_changed_at_once_are_all_changed() {
    let gateway = start().await;
    let made = gateway.run(&["keys", "create", "--name", "ci", "--json"]);
    let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
    let id = made["id"].as_str().expect("an id");
    let limits = [
        ["--requests-per-minute", "60"],
        ["--tokens-per-minute", "9000"],
        ["--in-flight", "4"],
        ["--spend-day", "5"],
        ["--spend-month", "50"],
        ["--max-cost", "1"],
    ];
    std::thread::scope(|scope| {
        for limit in &limits {
            let gateway = &gateway;
            scope.spawn(move || {
                let run = gateway.run(&[&["keys", "update", id][..], limit].concat());
                assert_eq!(run.code, Some(0), "{run:?}");
            });
        }
    });
    let listed: Value =
        serde_json::from_str(&look(&gateway, &["keys", "list", "--json"], 0)).expect("JSON");
    let key = listed.as_array().expect("keys").iter();
    let key = key.clone().find(|key| key["id"] == id).expect("the key");
    let limits = serde_json::json!({
        "requests_minute": 60, "tokens_minute": 9000, "in_flight": 4,
        "spend_day": "5", "spend_month": "50", "max_cost": "1",
    });
    assert_eq!(key["policy"]["limits"], limits);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_worked_on_where_no_gateway_of_it_runs() {
    let gateway = start().await;
    // Another gateway, whose store is another.
    let other =
        crate::support::gateway::gateway().config("admin.address", gateway.admin().to_string());
    let run = other.run(&["accounts", "create", "elsewhere"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("has another store"), "{run:?}");
    assert!(!look(&gateway, &["accounts", "list"], 0).contains("elsewhere"));
    // Named, it is the one that is meant.
    let admin = gateway.admin().to_string();
    let run = other.run(&["accounts", "create", "there", "--admin", &admin]);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    assert!(look(&gateway, &["accounts", "list"], 0).contains("there"));
    // No file has to be found for that.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (code, told, said) = bare(elsewhere.path(), &["accounts", "list", "--admin", &admin]);
    assert!(code == Some(0) && told.contains("there"), "{said}");
    let run = other.run(&["accounts", "list", "--admin", "127.0.0.1:1"]);
    assert!(
        run.code == Some(4) && run.stderr.contains("does it run?"),
        "{run:?}"
    );
    let run = other.run(&["accounts", "list", "--direct", "--admin", &admin]);
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_for_this_user_leaves_the_store() {
    let builder = gateway()
        .config("catalog.watch", false)
        .config("admin.token", "file:token");
    std::fs::write(builder.folder().join("token"), "s3cret-of-the-operator").expect("a file");
    let gateway = builder.start().await;
    say_where(&gateway);
    std::fs::remove_file(gateway.folder().join("token")).expect("removed");
    let run = gateway.run(&["accounts", "create", "acme"]);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    let run = gateway.run(&["audit", "--json", "--limit", "1"]);
    assert!(run.stdout.contains("\"who\": \"cli:"), "{run:?}");
}

/// Runs a command in `folder` without naming a configuration.
fn bare(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let run = command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = run.expect("the program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_store_is_found_by_its_folder() {
    let made = gateway();
    assert_eq!(made.run(&["accounts", "create", "acme"]).code, Some(0));
    let folder = made.folder().display().to_string();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let bare = |arguments: &[&str]| bare(elsewhere.path(), arguments);
    let (code, told, _) = bare(&["accounts", "list", "--data", &folder]);
    assert!(code == Some(0) && told.contains("acme"), "{told}");
    let (code, _, said) = bare(&["accounts", "list", "--data", "no-such-folder"]);
    assert!(
        code == Some(1) && said.contains("no store in no-such-folder"),
        "{said}"
    );
    let (code, _, said) = bare(&["accounts", "list"]);
    assert!(code == Some(1) && said.contains("--data"), "{said}");
    // What `tollgate dev` makes in the folder where one is.
    let data = elsewhere.path().join("data/dev");
    std::fs::create_dir_all(&data).expect("a folder");
    std::fs::copy(made.folder().join("tollgate.db"), data.join("tollgate.db")).expect("a copy");
    let (code, told, said) = bare(&["accounts", "list"]);
    assert!(code == Some(0) && told.contains("acme"), "{told}");
    assert!(
        said.contains("the store of `tollgate dev`, data/dev/tollgate.db"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_said_and_nothing_is_done_behind_it() {
    let builder = gateway()
        .config("catalog.watch", false)
        .config("admin.token", "file:token");
    std::fs::write(builder.folder().join("token"), "s3cret-of-the-operator").expect("a file");
    let gateway = builder.start().await;
    say_where(&gateway);
    look(&gateway, &["accounts", "list"], 0);
    std::fs::write(gateway.folder().join("token"), "another-one").expect("a file");
    let run = gateway.run(&["accounts", "create", "acme"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("admin.token") && run.stderr.contains("--direct"),
        "{run:?}"
    );
    assert_eq!(
        gateway
            .run(&["accounts", "create", "acme", "--direct"])
            .code,
        Some(0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_elsewhere_in_the_configuration_keeps_nobody_from_asking() {
    let gateway = gateway().config("catalog.watch", false).start().await;
    say_where(&gateway);
    let good = std::fs::read_to_string(gateway.config_file()).expect("a file");
    std::fs::write(gateway.config_file(), format!("{good}\n[serve]\nx = 1\n")).expect("a file");
    let run = gateway.run(&["status"]);
    assert!(run.stdout.contains("access keys"), "{run:?}");
    assert!(
        run.stderr
            .contains("has mistakes (`tollgate check` lists them)"),
        "{run:?}"
    );
}

#[test]
fn a_check_warns_of_risks_and_fails_for_them_only_if_it_is_to() {
    let gateway = gateway().config("admin.token", "file:token");
    std::fs::write(gateway.folder().join("token"), "s3cret").expect("a file");
    let run = gateway.run(&["check"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr.contains("warning: admin.token: 6 characters"),
        "{run:?}"
    );
    assert_eq!(gateway.run(&["check", "--strict"]).code, Some(1));
    let told: Value =
        serde_json::from_str(&gateway.run(&["check", "--json"]).stdout).expect("JSON");
    assert_eq!(
        (&told["good"], &told["problems"][0]),
        (&Value::Bool(true), &Value::Null)
    );
    let warnings = told["warnings"].as_array().expect("warnings");
    assert!(
        warnings
            .iter()
            .any(|it| it.as_str().is_some_and(|it| it.contains("admin.token")))
    );
    let bad = gateway.config("timeouts.connect", "0s");
    let run = bad.run(&["check", "--json", "--strict"]);
    let told: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((run.code, &told["good"]), (Some(1), &Value::Bool(false)));
    assert!(
        told["problems"][0]
            .as_str()
            .is_some_and(|it| it.contains("timeouts.connect")),
        "{told}"
    );
}
