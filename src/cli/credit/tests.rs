use super::*;
use crate::store::Store;
use clap::Parser;
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: CreditCommand,
}

fn parsed(arguments: &[&str]) -> Result<CreditCommand, clap::Error> {
    Arguments::try_parse_from(std::iter::once(&"credit").chain(arguments))
        .map(|arguments| arguments.command)
}

async fn say(store: &Store, arguments: &[&str]) -> Result<String, CliError> {
    let mut out = Vec::new();
    let now = Timestamp::from_second(NOW).unwrap();
    let wrong = run(
        parsed(arguments).unwrap(),
        &Books::Store(store.clone()),
        now,
        &mut out,
    )
    .await?;
    assert!(!wrong, "{arguments:?}");
    Ok(String::from_utf8(out).unwrap())
}

async fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.create_account("acme", NOW).await.unwrap();
    (folder, store)
}

#[tokio::test]
async fn credit_is_given_once_for_a_key() {
    let (_folder, store) = open().await;
    let first = [
        "grant",
        "acme",
        "12.50",
        "--note",
        "March",
        "--idempotency-key",
        "invoice 7",
        "--expires",
        "2030-01-31",
    ];
    assert_eq!(
        say(&store, &first).await.unwrap(),
        "Grant 1 gives 12.50 to acme, to be spent before 2030-01-31T00:00:00Z.\nThe balance is 12.50 now.\n"
    );
    assert_eq!(
        say(&store, &first).await.unwrap(),
        "Grant 1 of 12.50 was made already, at 2027-01-15T08:00:00Z; nothing more is given.\nThe balance is 12.50 now.\n"
    );
    let other = ["grant", "acme", "12.51", "--idempotency-key", "invoice 7"];
    let refused = say(&store, &other).await.unwrap_err().to_string();
    assert!(
        refused.contains("that of grant 1, which is another"),
        "{refused}"
    );
    let made = say(&store, &["grant", "acme", "0.000000001", "--json"])
        .await
        .unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    let expected = json!({
        "id": 2, "account": 1, "amount": "0.000000001", "remaining": "0.000000001", "created": "2027-01-15T08:00:00Z",
        "expires": null, "note": "", "idempotency_key": null,
    });
    assert_eq!(made, expected);
}

#[tokio::test]
async fn what_is_no_grant_is_refused_with_the_reason() {
    for (amount, words) in [
        ("-5", "not below zero"),
        ("1.0000000001", "too many decimals"),
        ("99999999999", "too large"),
        ("5$", "not an amount"),
        ("1e9", "not an amount"),
    ] {
        let refused = parsed(&["grant", "acme", amount]).unwrap_err().to_string();
        assert!(refused.contains(words), "{amount}: {refused}");
    }
    let (_folder, store) = open().await;
    for (arguments, words) in [
        (&["grant", "nobody", "5"][..], "no account \"nobody\""),
        (&["grant", "acme", "0"], "above zero"),
        (
            &["grant", "acme", "5", "--expires", "2020-01-01"],
            "not in the future",
        ),
        (
            &["grant", "acme", "5", "--expires", "soon"],
            "--expires \"soon\"",
        ),
        (
            &["grant", "acme", "5", "--note", "a\nb"],
            "control character",
        ),
        (&["end", "7"], "no grant 7"),
        (&["history", "nobody"], "no account"),
        (&["export", "--account", "nobody"], "no account"),
    ] {
        let refused = say(&store, arguments).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{arguments:?}: {refused}");
    }
    say(&store, &["grant", "acme", "9223372036.854775807"])
        .await
        .unwrap();
    let refused = say(&store, &["grant", "acme", "0.000000001"])
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("no balance can be above"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_history_shows_each_change_and_the_balance_after_it() {
    let (_folder, store) = open().await;
    say(&store, &["grant", "acme", "5", "--note", "first"])
        .await
        .unwrap();
    say(&store, &["grant", "acme", "0.25"]).await.unwrap();
    assert_eq!(
        say(&store, &["history", "acme"]).await.unwrap(),
        "AT                    WHAT    CHANGE  BALANCE  ABOUT\n\
         \u{20}                     before             0.00\n\
         2027-01-15T08:00:00Z  grant     5.00     5.00  grant 1 first\n\
         2027-01-15T08:00:00Z  grant     0.25     5.25  grant 2\n"
    );
    let later = say(
        &store,
        &["history", "acme", "--from", "2027-01-16", "--json"],
    )
    .await
    .unwrap();
    let later: Value = serde_json::from_str(&later).unwrap();
    assert_eq!(
        later,
        json!({"opening": "5.25", "lines": [], "closing": "5.25"})
    );
    let ended = say(&store, &["end", "1"]).await.unwrap();
    assert!(ended.starts_with("Grant 1 has ended."), "{ended}");
}

#[tokio::test]
async fn every_movement_is_exported() {
    let (_folder, store) = open().await;
    let empty = say(&store, &["export", "--format", "json"]).await.unwrap();
    assert_eq!(empty, "[]\n");
    for _ in 0..3 {
        say(&store, &["grant", "acme", "5"]).await.unwrap();
    }
    let table = say(&store, &["export"]).await.unwrap();
    let mut lines = table.lines();
    assert_eq!(
        lines.next(),
        Some("at,debit,credit,amount,grant,request,row")
    );
    assert_eq!(
        lines.next(),
        Some("2027-01-15T08:00:00.000Z,granted,account:1,5,1,,")
    );
    assert_eq!(lines.count(), 2);
    let all: Value =
        serde_json::from_str(&say(&store, &["export", "--format", "json"]).await.unwrap()).unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    assert_eq!(all[2]["grant"], 3);
    for range in [["--from", "2027-01-16"], ["--to", "2027-01-15T08:00:00Z"]] {
        let none = say(&store, &["export", range[0], range[1]]).await.unwrap();
        assert_eq!(none.lines().count(), 1, "{range:?}");
    }
}

#[tokio::test]
async fn a_check_says_that_the_books_agree() {
    let (_folder, store) = open().await;
    say(&store, &["grant", "acme", "5"]).await.unwrap();
    assert_eq!(
        say(&store, &["check"]).await.unwrap(),
        "6 books, 1 grants, 0 usage rows, 0 open holds: all agree.\n"
    );
    let checked: Value =
        serde_json::from_str(&say(&store, &["check", "--json"]).await.unwrap()).unwrap();
    assert_eq!(checked["ok"], true);
}
