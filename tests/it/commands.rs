//! The commands that look at catalogs: `catalog diff`, `check --against-running`, `catalog import`, `models`; what they
//! print, and the exit codes that scripts go by.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::gateway::{Builder, Finished, gateway};

/// The price lists made for tests.
fn lists() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lists")
}

/// Writes a folder with one catalog file beside the gateway's own, and gives its path.
fn folder(gateway: &Builder, name: &str, file: &Value) -> String {
    let folder = gateway.folder().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("house.json"), file.to_string()).expect("a file");
    folder.display().to_string()
}

fn house(models: Value) -> Value {
    json!({"provider": "house", "preset": "openai-compatible", "base_url": "http://127.0.0.1:9/v1", "models": models})
}

#[track_caller]
fn ended(run: &Finished, code: i32) -> &str {
    assert_eq!(run.code, Some(code), "{run:?}");
    &run.stdout
}

#[tokio::test]
async fn a_diff_says_what_is_worse_and_exits_with_3() {
    let gateway = gateway();
    let old = folder(
        &gateway,
        "old",
        &house(json!({"m": {"price": {"input": "2", "output": "4"}}, "gone": {}})),
    );
    let new = folder(
        &gateway,
        "new",
        &house(json!({"m": {"price": {"input": "3", "output": "1"}}})),
    );
    let run = gateway.run(&["catalog", "diff", &old, &new]);
    assert_eq!(
        ended(&run, 3),
        "worse   house:gone: the model is gone\n\
         worse   house:m: input 2 -> 3 (+50.0 %)\n\
         better  house:m: output 4 -> 1 (-75.0 %)\n\
         2 worse, 1 better, 0 other\n"
    );
    let run = gateway.run(&["catalog", "diff", &old, &new, "--json"]);
    let told: Value = serde_json::from_str(ended(&run, 3)).expect("JSON");
    assert_eq!((&told["worse"], &told["better"]), (&json!(2), &json!(1)));
    assert_eq!(
        told["changes"][1],
        json!({"effect": "worse", "kind": "price_up", "subject": "house:m", "part": "input", "before": "2", "after": "3", "percent": "+50.0"})
    );
}

#[tokio::test]
async fn a_diff_with_nothing_worse_exits_with_0_and_a_mistake_with_1() {
    let gateway = gateway();
    let old = folder(&gateway, "old", &house(json!({"m": {}})));
    let new = folder(&gateway, "new", &house(json!({"m": {}, "more": {}})));
    let run = gateway.run(&["catalog", "diff", &old, &new]);
    assert!(ended(&run, 0).contains("better  house:more: a new model\n"));
    assert_eq!(
        ended(&gateway.run(&["catalog", "diff", &old, &old]), 0),
        "nothing changes for users\n"
    );
    // A file is as good as a folder, and the catalog inside the binary can be one side.
    let file = format!("{new}/house.json");
    let run = gateway.run(&["catalog", "diff", "builtin", &file]);
    assert!(ended(&run, 0).contains("house: a new provider, with 2 models"));
    let run = gateway.run(&["catalog", "diff", &file, "builtin"]);
    assert!(ended(&run, 3).contains("house: the provider is gone, with 2 models"));

    std::fs::write(&file, "{\"provider\": 1}").expect("a file");
    let run = gateway.run(&["catalog", "diff", &old, &new]);
    ended(&run, 1);
    assert!(
        run.stdout.is_empty() && run.stderr.contains("house.json:1:"),
        "{run:?}"
    );
    let run = gateway.run(&["catalog", "diff", &old, "no-such-folder"]);
    ended(&run, 1);
    assert!(run.stderr.contains("no-such-folder"), "{run:?}");
}

#[tokio::test]
async fn a_check_against_the_running_gateway_says_what_a_reload_would_change() {
    let running = gateway()
        .config("catalog.watch", false)
        .config("admin.token", "file:token")
        .catalog("house", house(json!({"m": {"context": 1000}, "gone": {}})));
    std::fs::write(running.folder().join("token"), "s3cret").expect("a file");
    let gateway = running.start().await;
    // The configuration asks for any free port; the command has to know which one it became.
    let config = std::fs::read_to_string(gateway.config_file()).expect("a file");
    let mut config: toml::Table = config.parse().expect("TOML");
    config["admin"]["address"] = gateway.admin().to_string().into();
    std::fs::write(gateway.config_file(), config.to_string()).expect("a file");

    let run = gateway.run(&["check", "--against-running"]);
    assert_eq!(ended(&run, 0), "nothing changes for users\n");
    gateway.write_catalog("house", &house(json!({"m": {"context": 500}})));
    let run = gateway.run(&["check", "--against-running"]);
    assert_eq!(
        ended(&run, 3),
        "worse   house:gone: the model is gone\n\
         worse   house:m: context 1000 -> 500\n\
         2 worse, 0 better, 0 other\n"
    );
    let run = gateway.run(&["check", "--against-running", "--json"]);
    assert!(ended(&run, 3).contains("\"kind\": \"model_gone\""));

    let off = toml::Value::try_from(json!({"house": {"enabled": false}})).expect("TOML");
    config.insert("providers".to_owned(), off);
    std::fs::write(gateway.config_file(), config.to_string()).expect("a file");
    let run = gateway.run(&["check", "--against-running"]);
    assert!(ended(&run, 3).contains("house: the provider is switched off"));

    let asked = gateway.ask_admin("/catalog").await;
    assert_eq!(
        asked.status,
        401,
        "the catalog is the operator's: {}",
        asked.text()
    );
    let config = gateway.folder().join("tollgate.toml");
    let told = std::fs::read_to_string(&config).expect("a file");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
    std::fs::write(&config, told).expect("a file");
    let run = gateway.run(&["check", "--against-running"]);
    ended(&run, 4);
    assert!(run.stderr.contains("does it run?"), "{run:?}");
}

#[tokio::test]
async fn each_list_becomes_a_catalog_that_is_good() {
    for (list, file) in [
        ("litellm", "litellm.json"),
        ("models-dev", "models-dev.json"),
        ("openrouter", "openrouter.json"),
    ] {
        let gateway = gateway();
        let path = lists().join(file).display().to_string();
        let into = gateway.folder().join("catalog").display().to_string();
        let run = gateway.run(&[
            "catalog",
            "import",
            "--from",
            list,
            &path,
            "--out",
            &into,
            "--date",
            "2026-11-25",
        ]);
        let written: Vec<&str> = ended(&run, 0).lines().collect();
        assert!(!written.is_empty(), "{list}");
        for path in written {
            let name = Path::new(path)
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            assert!(name.starts_with(&format!("{list}-")), "{name}");
            let text = std::fs::read_to_string(path).expect("a file");
            assert!(text.contains("\"date\": \"2026-11-25\""), "{text}");
        }
        assert!(
            run.stderr.contains("not taken over:") && run.stderr.contains("models of"),
            "{}",
            run.stderr
        );
        ended(&gateway.run(&["check"]), 0);
    }
}

#[tokio::test]
async fn an_import_is_printed_where_no_folder_is_named() {
    let gateway = gateway();
    let path = lists().join("openrouter.json").display().to_string();
    let run = gateway.run(&["catalog", "import", "--from", "openrouter", &path]);
    let file: Value = serde_json::from_str(ended(&run, 0)).expect("one file");
    assert_eq!(file["models"]["acme/chat-large"]["price"]["input"], "2.5");
    let run = gateway.run(&["catalog", "import", "--from", "models-dev", &path]);
    ended(&run, 1);
    assert!(
        run.stderr
            .contains("openrouter.json: not a list of models-dev"),
        "{run:?}"
    );
    let run = gateway.run(&["catalog", "import", "--from", "elsewhere", &path]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.stderr.contains("litellm, models-dev, openrouter"),
        "{run:?}"
    );
}

/// A gateway with a house of models that differ in everything that is asked for.
fn browsing() -> Builder {
    gateway().catalog(
        "house",
        house(json!({
            "big": {"kind": "chat", "input": ["text", "image"], "output": ["text"], "context": 200_000, "price": {"input": "3", "output": "15"}, "aliases": ["grand"]},
            "small": {"kind": "chat", "input": ["text"], "output": ["text"], "context": 8000, "max_output": 1000, "price": {"input": "0.1", "output": "0.2"}},
            "unpriced": {"kind": "chat", "context": 300_000},
            "vectors": {"kind": "embedding", "price": {"input": "0.02"}},
            "gone": {"status": "removed"},
        })),
    )
}

/// The ids that `tollgate models` lists, of the house.
#[track_caller]
fn ids(gateway: &Builder, flags: &[&str]) -> Vec<String> {
    let mut arguments = vec!["models", "--provider", "house", "--columns", "id"];
    arguments.extend(flags);
    let run = gateway.run(&arguments);
    let mut lines = ended(&run, 0).lines();
    assert_eq!(lines.next(), Some("ID"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn models_are_narrowed_down() {
    let gateway = browsing();
    for (flags, expected) in [
        (&[][..], &["big", "small", "unpriced", "vectors"][..]),
        (
            &["--removed"],
            &["big", "gone", "small", "unpriced", "vectors"],
        ),
        (&["--surface", "embeddings"], &["vectors"]),
        (&["--modality", "image"], &["big"]),
        (&["--modality", "text", "--modality", "image"], &["big"]),
        (&["--max-price", "1.5"], &["small", "vectors"]),
        (&["--max-price", "15"], &["big", "small", "vectors"]),
        (&["--min-context", "200000"], &["big", "unpriced"]),
        (&["--min-context", "1", "--max-price", "1"], &["small"]),
    ] {
        assert_eq!(ids(&gateway, flags), expected, "{flags:?}");
    }
    // By a part of an id or alias, in any case.
    let run = gateway.run(&["models", "GRAND", "--columns", "model"]);
    assert!(ended(&run, 0).contains("\nhouse:big\n"));
    for (flags, code, says) in [
        (["--provider", "nobody"], 1, "no provider `nobody`"),
        (["--columns", "shoe_size"], 2, "a column is model, provider"),
        (["--max-price", "cheap"], 2, "not a decimal number"),
        (["--modality", "smell"], 2, "a modality is text"),
    ] {
        let run = gateway.run(&["models", flags[0], flags[1]]);
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.contains(says), "{says}: {run:?}");
    }
}

#[tokio::test]
async fn models_are_shown_as_a_table_or_as_json() {
    let gateway = browsing();
    let run = gateway.run(&[
        "models",
        "--provider",
        "house",
        "--columns",
        "model,context,input,output,cached_input,surfaces",
    ]);
    assert_eq!(
        ended(&run, 0).lines().collect::<Vec<_>>(),
        [
            "MODEL           CONTEXT  INPUT  OUTPUT  CACHED_INPUT  SURFACES",
            "house:big        200000   3       15    -             chat,completions",
            "house:small        8000   0.1      0.2  -             chat,completions",
            "house:unpriced   300000      -       -  -             chat,completions",
            "house:vectors         -   0.02       -  -             embeddings",
        ]
    );
    let run = gateway.run(&["models", "--provider", "house", "--json"]);
    let rows: Value = serde_json::from_str(ended(&run, 0)).expect("JSON");
    assert_eq!(
        rows[0],
        json!({
            "model": "house:big", "provider": "house", "id": "big", "name": null, "aliases": ["grand"], "kind": "chat",
            "input": ["text", "image"], "output": ["text"], "surfaces": ["chat", "completions"],
            "context": 200_000, "max_output": null, "price": {"input": "3", "output": "15"},
            "status": "active", "retires": null,
        })
    );
    let run = gateway.run(&["models", "--providers"]);
    let line = ended(&run, 0)
        .lines()
        .find(|line| line.starts_with("house "))
        .expect("a line");
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[..4], ["house", "4", "0", "yes"], "{line}");
    let run = gateway.run(&["models", "--providers", "--json"]);
    let rows: Value = serde_json::from_str(ended(&run, 0)).expect("JSON");
    assert!(rows.as_array().expect("a list").len() > 10);
}

#[tokio::test]
async fn a_usage_is_priced_as_a_request_is_charged() {
    let gateway = gateway();
    let priced = ["price", "openai:gpt-4o", "--usage"];
    let price = |usage: &'static str, more: &[&'static str]| {
        gateway.run(&[&priced[..], &[usage], more].concat())
    };
    let run = price(r#"{"input": 1000000, "cached": 500000, "output": 1}"#, &[]);
    assert_eq!(
        ended(&run, 0),
        "openai:gpt-4o  1.87501  (model 1.87501, fee 0)\n"
    );
    let run = price(
        r#"{"input": 1, "tier": "flex"}"#,
        &["--fee-per-request", "0.5", "--json"],
    );
    let told: Value = serde_json::from_str(ended(&run, 0)).expect("JSON");
    let expected = json!({"model": "openai:gpt-4o", "model_cost": "0.0000025", "fee": "0.5", "total": "0.5000025"});
    assert_eq!(told, expected);
    for (usage, words) in [
        (r#"{"input": -1}"#, "no usage"),
        (r#"{"tokens": 1}"#, "unknown field"),
        (r#"{"input": 1, "tier": "best"}"#, "unknown variant"),
        (r#"{"input": 18446744073709551615}"#, "too large"),
    ] {
        let run = price(usage, &[]);
        assert_eq!((run.code, &*run.stdout), (Some(1), ""), "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
    let run = gateway.run(&["price", "no-such-model", "--usage", "{}"]);
    assert_eq!(run.code, Some(1), "{run:?}");
}
