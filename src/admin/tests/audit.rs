//! Every change that is asked for is in the audit, by whom it was asked.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::super::Guard;
use super::super::route::{Verb, rows};
use super::{Admin, TOKEN};
use crate::secret::Secret;

/// A good request for every operation that changes something, in an order in which each can be done.
fn changes() -> Vec<(&'static str, &'static str, String, Value)> {
    let of = |name, method, path: &str, body| (name, method, path.to_owned(), body);
    vec![
        of(
            "createAccount",
            "POST",
            "/api/v1/accounts",
            json!({"name": "acme"}),
        ),
        of(
            "changeAccount",
            "PATCH",
            "/api/v1/accounts/1",
            json!({"in_flight": 3}),
        ),
        of(
            "createGrant",
            "POST",
            "/api/v1/accounts/1/grants",
            json!({"amount": "5"}),
        ),
        of(
            "endGrant",
            "PATCH",
            "/api/v1/grants/1",
            json!({"state": "ended"}),
        ),
        of(
            "createKey",
            "POST",
            "/api/v1/keys",
            json!({"name": "ci", "account": 1}),
        ),
        of(
            "changeKey",
            "PATCH",
            "/api/v1/keys/{id}",
            json!({"state": "disabled"}),
        ),
        of(
            "createProviderKey",
            "POST",
            "/api/v1/provider-keys",
            json!({"account": 1, "provider": "openai", "secret": "sk-provider-secret-0123456789"}),
        ),
        of(
            "changeProviderKey",
            "PATCH",
            "/api/v1/provider-keys/{id}",
            json!({"weight": 3}),
        ),
        of(
            "removeProviderKey",
            "DELETE",
            "/api/v1/provider-keys/{id}",
            json!({}),
        ),
        of("reload", "POST", "/reload", json!({})),
        of("rollBackCatalog", "POST", "/catalog/rollback", json!({})),
        of("drain", "POST", "/drain", json!({})),
        of("endDrain", "DELETE", "/drain", json!({})),
        of("upgrade", "POST", "/upgrade", json!({})),
    ]
}

#[tokio::test]
async fn every_operation_that_changes_something_is_told() {
    let admin = Admin::new(Guard::Loopback).await;
    let mut id = String::new();
    for (name, method, path, body) in changes() {
        let path = path.replace("{id}", &id);
        let (status, answer) = admin.send(method, &path, &body.to_string()).await;
        assert!(status == 200 || status == 201, "{name}: {answer}");
        id = answer["id"].as_str().unwrap_or(&id).to_owned();
        let (_, told) = admin.send("GET", "/api/v1/audit?limit=1", "").await;
        let told = &told["data"][0];
        assert_eq!(told["operation"], name, "{told}");
        assert_eq!(
            (&told["outcome"], &told["who"]),
            (&json!("done"), &json!("loopback"))
        );
        let text = told.to_string();
        assert!(
            !text.contains("sk-provider") && !text.contains("tg-"),
            "{text}"
        );
    }
    // A row a key that is sealed anew: see the store's own tests; a look that is no GET; and what a process has one of, as
    // tests/it/logs.rs asks for it.
    let others = ["resealProviderKeys", "reconcile", "setLogLevels"];
    let known = changes().into_iter().map(|(name, ..)| name).chain(others);
    let changing = rows()
        .filter(|row| row.verb != Verb::Get)
        .map(|row| row.name);
    assert_eq!(changing.collect::<BTreeSet<_>>(), known.collect());
}

#[tokio::test]
async fn what_is_refused_is_told_with_the_reason() {
    let admin = Admin::new(Guard::Loopback).await;
    admin.process.files_are_good.store(false, Ordering::SeqCst);
    admin.send("POST", "/reload", "").await;
    admin
        .send(
            "PATCH",
            "/api/v1/keys/0123456789AB",
            r#"{"state":"revoked"}"#,
        )
        .await;
    let (_, told) = admin.send("GET", "/api/v1/audit", "").await;
    let outcomes: Vec<&Value> = (0..2).map(|at| &told["data"][at]["outcome"]).collect();
    assert_eq!(outcomes, ["unknown_key", "status_422"]);
    assert_eq!(
        told["data"][1]["details"]["problems"][0],
        "acme.json:7:3: models: not \"an\" object"
    );
    let (_, found) = admin
        .send("GET", "/api/v1/audit?outcome=unknown_key", "")
        .await;
    assert_eq!(found["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_token_is_told_by_its_digest_and_with_whom_it_is_used_for() {
    let admin = Admin::new(Guard::Token(Secret::new(TOKEN))).await;
    for (actor, expected) in [
        ("", "token:1ec1c26b"),
        ("Tollgate-Actor: cli:alice\r\n", "token:1ec1c26b cli:alice"),
        ("Tollgate-Actor: a b\r\n", "token:1ec1c26b"),
    ] {
        let request = |line: &str| {
            format!(
                "{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{actor}Connection: close\r\n\r\n"
            )
        };
        admin.ask(&request("POST /drain")).await;
        let (_, told) = super::split(&admin.ask(&request("GET /api/v1/audit")).await);
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(told["data"][0]["who"], expected, "{actor}");
    }
}

#[tokio::test]
async fn who_guesses_tokens_is_not_listened_to() {
    let admin = Admin::new(Guard::Token(Secret::new(TOKEN))).await;
    let ask = async |path: &str, token: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{token}Connection: close\r\n\r\n");
        admin.ask(&request).await
    };
    let (right, wrong) = (
        format!("Authorization: Bearer {TOKEN}\r\n"),
        "Authorization: Bearer s3cre\r\n",
    );
    // None at all is no guess.
    for _ in 0..20 {
        assert!(ask("/metrics", "").await.starts_with("HTTP/1.1 401"));
    }
    assert!(ask("/metrics", &right).await.starts_with("HTTP/1.1 200"));
    for number in 0..10 {
        // Where details are told to who has the token only, it is asked for as well.
        let path = ["/metrics", "/readyz"][number % 2];
        let status = ["HTTP/1.1 401", "HTTP/1.1 200"][number % 2];
        assert!(ask(path, wrong).await.starts_with(status), "{number}");
    }
    for token in [wrong, &right] {
        let answer = ask("/metrics", token).await;
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        assert!(
            answer.to_ascii_lowercase().contains("\r\nretry-after: "),
            "{answer}"
        );
        assert!(answer.contains("too_many_tries"), "{answer}");
    }
    let told = ask("/readyz", &right).await;
    assert!(
        told.starts_with("HTTP/1.1 200") && !told.contains("catalog"),
        "{told}"
    );
    assert!(ask("/readyz", "").await.starts_with("HTTP/1.1 200"));
}
