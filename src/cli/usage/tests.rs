use super::*;
use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::access::policy::PolicyEntry;
use crate::credentials::Source;
use crate::ledger::{Clock, Closing, Ledger, Opening, Settings};
use crate::store::Store;
use crate::store::{FILE, NewKey};
use crate::usage::Usage;
use clap::Parser;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// 2027-01-15T08:00:00Z, in milliseconds.
pub(in crate::cli) const NOW: i64 = 1_800_000_000_000;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// An attempt of `key`: what it asked of openai's `model`, and what that cost.
pub(in crate::cli) struct Attempt<'a> {
    pub key: KeyId,
    pub model: &'a str,
    pub input: u64,
    pub cost: &'a str,
}

/// A store with an account, two keys of it, and what they used, all on one day.
pub(in crate::cli) async fn used() -> (tempfile::TempDir, Store, [KeyId; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let account = store.create_account("acme", 1).await.unwrap().id;
    let mut keys = Vec::new();
    for name in ["ci", "=cmd"] {
        let new = NewKey {
            name: name.to_owned(),
            expires: None,
            policy: PolicyEntry::default(),
        };
        keys.push(store.create_key(account, &new, 1).await.unwrap().id);
    }
    let keys: [KeyId; 2] = keys.try_into().unwrap();
    let attempt = |key, model, input, cost| Attempt {
        key,
        model,
        input,
        cost,
    };
    let attempts = [
        attempt(keys[0], "gpt-4o", 1000, "1.25"),
        attempt(keys[0], "gpt-4o-mini", 10, "0.005"),
        attempt(keys[1], "gpt-4o", 500, "0.25"),
    ];
    record(&folder.path().join(FILE), account, &attempts).await;
    (folder, store, keys)
}

async fn record(file: &Path, account: AccountId, attempts: &[Attempt<'_>]) {
    let time = Arc::new(std::sync::atomic::AtomicI64::new(NOW));
    let clock = Clock::manual(time, Arc::default());
    let (ledger, writer) = Ledger::open(file, Settings::default(), clock, |_| {}).unwrap();
    for (number, attempt) in attempts.iter().enumerate() {
        let opening = Opening {
            request: format!("req_{number}").into(),
            attempt: 1,
            account,
            key: attempt.key,
            provider: "openai".into(),
            model: attempt.model.into(),
            surface: "chat",
            credential: Source::Gateway,
            catalog: "1".into(),
            hold: Credits::ZERO,
            estimate: Credits::ZERO,
            strict: true,
        };
        let closing = Closing {
            usage: Usage {
                input: attempt.input,
                output: 1,
                ..Usage::default()
            },
            model: attempt.cost.parse().unwrap(),
            fee: "0.001".parse().unwrap(),
            ..Closing::default()
        };
        ledger.record(opening, NOW, closing);
    }
    ledger.all_written().await.unwrap();
    assert!(writer.finish(Duration::from_secs(5)));
}

async fn say(store: &Store, arguments: &[&str]) -> Result<String, CliError> {
    let arguments = Arguments::try_parse_from(std::iter::once(&"usage").chain(arguments)).unwrap();
    let mut out = Vec::new();
    run(&arguments.options, &Books::Store(store.clone()), &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn usage_is_a_table_with_a_sum() {
    let (_folder, store, _) = used().await;
    assert_eq!(
        say(&store, &["--by", "model"]).await.unwrap(),
        "MODEL               REQUESTS  ATTEMPTS  INPUT  CACHED  OUTPUT  MODEL $  FEES $  TOTAL $  OPERATOR $  ESTIMATED\n\
         openai:gpt-4o              2         2   1500       0       2    1.50    0.002    1.502        0.00          0\n\
         openai:gpt-4o-mini         1         1     10       0       1    0.005   0.001    0.006        0.00          0\n\
         together                             3   1510       0       3    1.505   0.003    1.508        0.00          0\n"
    );
    for (by, name) in [
        ("account", "acme"),
        ("provider", "openai"),
        ("day", "2027-01-15"),
    ] {
        let said = say(&store, &["--by", by]).await.unwrap();
        assert!(
            said.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with(name)),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_is_asked_for_is_narrowed_by_name_key_and_time() {
    let (_folder, store, keys) = used().await;
    let key = keys[1].to_string();
    for (arguments, count) in [
        (&["--account", "acme"][..], 3),
        (&["--key", &key], 1),
        (&["--model", "gpt-4o-mini"], 1),
        (&["--provider", "groq"], 0),
        (&["--credential", "gateway"], 3),
        (&["--credential", "byok"], 0),
        (&["--from", "2027-01-15", "--to", "2027-01-16"], 3),
        (&["--from", "2027-01-16"], 0),
        (&["--to", "2027-01-15T08:00:00Z"], 0),
    ] {
        let json = say(&store, &[arguments, &["--format", "json"]].concat())
            .await
            .unwrap();
        let lines: serde_json::Value = serde_json::from_str(&json).unwrap();
        let attempts = lines[0]["attempts"].as_i64().unwrap_or_default();
        assert_eq!(attempts, count, "{arguments:?}");
    }
    for (arguments, words) in [
        (["--account", "nobody"], "no account \"nobody\""),
        (["--key", "nonsense"], "not the id of an access key"),
    ] {
        let refused = say(&store, &arguments).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[tokio::test]
async fn a_table_for_programs_has_every_kind_and_no_formula() {
    let (_folder, store, keys) = used().await;
    let said = say(&store, &["--by", "key", "--format", "csv"])
        .await
        .unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], FIELDS.join(","));
    let expected = format!(
        "{},'=cmd,1,1,0,500,0,0,0,0,1,0,0,0,0,0.25,0.001,0.251,0",
        keys[1]
    );
    assert_eq!(lines[2], expected);
}
