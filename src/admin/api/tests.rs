//! The operations on credit and usage, asked over a socket as scripts ask them.

use serde_json::{Value, json};

use crate::admin::Guard;
use crate::admin::tests::Admin;

async fn with_accounts() -> Admin {
    let admin = Admin::new(Guard::Loopback).await;
    for account in [
        json!({"name": "acme"}),
        json!({"name": "zeta", "billing": "postpaid", "limit": "20.50"}),
    ] {
        let (status, made) = admin
            .send("POST", "/api/v1/accounts", &account.to_string())
            .await;
        assert_eq!(status, 201, "{made}");
    }
    admin
}

async fn patched(admin: &Admin, path: &str, change: &Value) -> (u16, Value) {
    admin.send("PATCH", path, &change.to_string()).await
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().expect("a code")
}

#[tokio::test]
async fn how_an_account_pays_is_shown_and_changed() {
    let admin = with_accounts().await;
    let (_, zeta) = admin.send("GET", "/api/v1/accounts/2", "").await;
    assert_eq!(
        [&zeta["billing"], &zeta["limit"], &zeta["available"]],
        ["postpaid", "20.5", "20.5"]
    );
    let path = "/api/v1/accounts/1";
    for (change, billing, limit) in [
        (json!({}), "prepaid", json!(null)),
        (json!({"billing": "postpaid"}), "postpaid", json!(null)),
        (json!({"limit": "5"}), "postpaid", json!("5")),
        (json!({"billing": "postpaid"}), "postpaid", json!("5")),
        (json!({"limit": null}), "postpaid", json!(null)),
        (
            json!({"billing": "postpaid", "limit": "1"}),
            "postpaid",
            json!("1"),
        ),
        (json!({"billing": "prepaid"}), "prepaid", json!(null)),
    ] {
        let (status, account) = patched(&admin, path, &change).await;
        let expected = (200, json!(billing), limit);
        assert_eq!(
            (status, account["billing"].clone(), account["limit"].clone()),
            expected,
            "{change}"
        );
    }
    for (change, status) in [
        (json!({"limit": "5"}), 422),
        (json!({"billing": "prepaid", "limit": "5"}), 422),
        (json!({"billing": "prepaid", "state": "closed"}), 422),
        (json!({"limit": "-5"}), 400),
        (json!({"limit": 5}), 400),
        (json!({"limit": "0.0000000001"}), 400),
        (json!({"limit": "99999999999"}), 400),
        (json!({"state": "open"}), 400),
    ] {
        let (got, refused) = patched(&admin, path, &change).await;
        assert_eq!(got, status, "{change}: {refused}");
    }
    for limit in [json!(3), json!(null)] {
        let (status, account) = patched(&admin, path, &json!({"in_flight": limit})).await;
        assert_eq!((status, &account["in_flight"]), (200, &limit));
    }
    for limit in [0, 1_000_001] {
        assert_eq!(
            patched(&admin, path, &json!({"in_flight": limit})).await.0,
            422
        );
    }
    let (status, closed) = patched(&admin, path, &json!({"state": "closed"})).await;
    assert!(status == 200 && closed["closed"].is_string(), "{closed}");
    let grant = json!({"amount": "1"}).to_string();
    let (status, refused) = admin
        .send("POST", "/api/v1/accounts/1/grants", &grant)
        .await;
    assert_eq!((status, code(&refused)), (409, "account_closed"));
    let (status, refused) =
        patched(&admin, "/api/v1/accounts/9", &json!({"state": "closed"})).await;
    assert_eq!((status, code(&refused)), (404, "unknown_account"));
}

#[tokio::test]
async fn credit_is_granted_once_for_a_key_and_ended() {
    let admin = with_accounts().await;
    let path = "/api/v1/accounts/1/grants";
    let new = json!({"amount": "12.50", "note": "March", "idempotency_key": "invoice 7", "expires": "2100-01-01T00:00:00Z"});
    let (status, made) = admin.send("POST", path, &new.to_string()).await;
    assert_eq!(
        (status, &made["made"], &made["amount"]),
        (201, &json!(true), &json!("12.5"))
    );
    let (status, again) = admin.send("POST", path, &new.to_string()).await;
    assert_eq!(
        (status, &again["made"], &again["id"]),
        (201, &json!(false), &json!(1))
    );
    for (grant, status, expected) in [
        (
            json!({"amount": "13", "idempotency_key": "invoice 7"}),
            409,
            "other_grant",
        ),
        (json!({"amount": "0"}), 422, "unprocessable"),
        (json!({"amount": "-1"}), 400, "invalid_request"),
        (json!({"amount": 1}), 400, "invalid_request"),
        (
            json!({"amount": "1", "expires": "2020-01-01T00:00:00Z"}),
            422,
            "unprocessable",
        ),
        (
            json!({"amount": "1", "expires": "90d"}),
            400,
            "invalid_request",
        ),
        (json!({"amount": "9223372036.8"}), 422, "unprocessable"),
    ] {
        let (got, refused) = admin.send("POST", path, &grant.to_string()).await;
        assert_eq!(
            (got, code(&refused)),
            (status, expected),
            "{grant}: {refused}"
        );
    }
    let second = json!({"amount": "0.000000001"}).to_string();
    admin.send("POST", path, &second).await;
    let (_, page) = admin.send("GET", &format!("{path}?limit=1"), "").await;
    assert_eq!(
        (&page["data"][0]["id"], &page["next_cursor"]),
        (&json!(1), &json!("1"))
    );
    let (_, page) = admin
        .send("GET", &format!("{path}?limit=1&cursor=1"), "")
        .await;
    assert_eq!(
        (&page["data"][0]["id"], &page["next_cursor"]),
        (&json!(2), &Value::Null)
    );
    let (status, ended) = patched(&admin, "/api/v1/grants/2", &json!({"state": "ended"})).await;
    assert!(status == 200 && ended["expires"].is_string(), "{ended}");
    for unknown in ["/api/v1/grants/9", "/api/v1/grants/x"] {
        let (status, refused) = patched(&admin, unknown, &json!({"state": "ended"})).await;
        assert_eq!((status, code(&refused)), (404, "unknown_grant"));
    }
    let (status, refused) = admin.send("GET", "/api/v1/accounts/9/grants", "").await;
    assert_eq!((status, code(&refused)), (404, "unknown_account"));
}

#[tokio::test]
async fn the_books_are_told_and_agree() {
    let admin = with_accounts().await;
    for account in [1, 2, 1] {
        let path = format!("/api/v1/accounts/{account}/grants");
        admin.send("POST", &path, r#"{"amount":"5"}"#).await;
    }
    let (_, history) = admin.send("GET", "/api/v1/accounts/1/history", "").await;
    assert_eq!(
        (&history["closing"], &history["lines"][1]["balance"]),
        (&json!("10"), &json!("10"))
    );
    let (_, none) = admin
        .send("GET", "/api/v1/accounts/1/history?to=2020-01-01", "")
        .await;
    assert_eq!(none, json!({"opening": "0", "lines": [], "closing": "0"}));
    let mut found = Vec::new();
    let mut path = "/api/v1/journal?limit=2".to_owned();
    loop {
        let (status, page) = admin.send("GET", &path, "").await;
        assert_eq!(status, 200, "{page}");
        for entry in page["data"].as_array().expect("entries") {
            found.push(entry["postings"][0]["credit"].clone());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/journal?limit=2&cursor={cursor}");
    }
    assert_eq!(found, ["account:1", "account:2", "account:1"]);
    let (_, of_zeta) = admin.send("GET", "/api/v1/journal?account=2", "").await;
    assert_eq!(of_zeta["data"].as_array().map(Vec::len), Some(1));
    let (_, checked) = admin.send("GET", "/api/v1/check", "").await;
    let expected = json!({"ok": true, "books": 7, "grants": 3, "rows": 0, "open": 0, "faults": []});
    assert_eq!(checked, expected);
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_with_the_parameter() {
    let admin = with_accounts().await;
    for (path, words) in [
        ("/api/v1/usage", "missing field `by`"),
        ("/api/v1/usage?by=week", "`by`: unknown variant"),
        ("/api/v1/usage?by=day&from=yesterday", "`from`: write a day"),
        (
            "/api/v1/usage?by=day&key=x",
            "`key`: not the id of an access key",
        ),
        ("/api/v1/usage?by=day&account=0", "`account`"),
        ("/api/v1/usage?by=day&credential=loan", "`credential`"),
        ("/api/v1/usage/rows?limit=1001", "`limit`: from 1 to 1000"),
        ("/api/v1/usage/rows?cursor=x", "`cursor`"),
        ("/api/v1/journal?cursor=1-2-3", "`cursor`"),
        ("/api/v1/journal?to=2026-02-30", "`to`"),
        (
            "/api/v1/accounts/1/history?from=2026-01-01T00:00:00Z",
            "`from`: write a day",
        ),
        ("/api/v1/check?x=1", "unknown field `x`"),
        ("/api/v1/keys?account=-1", "`account`"),
    ] {
        let (status, refused) = admin.send("GET", path, "").await;
        let message = refused["error"]["message"].as_str().expect("words");
        assert!(
            status == 400 && message.contains(words),
            "{path}: {message}"
        );
    }
    let (status, refused) = admin.send("GET", "/api/v1/requests/req_1", "").await;
    assert_eq!((status, code(&refused)), (404, "unknown_request"));
}

#[tokio::test]
async fn a_report_is_compared() {
    let admin = with_accounts().await;
    let report = "day,model,input\n2026-01-31,m,5\n";
    let asked = |more: Value| {
        let mut body = json!({"reports": [report]});
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        body.to_string()
    };
    let path = "/api/v1/reconcile";
    let (status, outcome) = admin
        .send("POST", path, &asked(json!({"provider": "groq"})))
        .await;
    assert_eq!((status, &outcome["differing"]), (200, &json!(1)));
    let pair = json!({
        "day": "2026-01-31", "model": "m", "measure": "input", "provider": "5", "ours": "0", "difference": "-5",
        "differs": true, "estimated": 0,
    });
    assert_eq!(outcome["pairs"], json!([pair]));
    let tolerant = asked(json!({"provider": "groq", "tolerance_percent": "100"}));
    let (_, outcome) = admin.send("POST", path, &tolerant).await;
    assert_eq!(outcome["differing"], 0);
    for (body, status, words) in [
        (asked(json!({})), 422, "does not say of which provider"),
        (asked(json!({"reports": ["x"]})), 422, "these columns"),
        (
            asked(json!({"reports": [], "provider": "groq"})),
            422,
            "about no day",
        ),
        (
            asked(json!({"tolerance_percent": "1.23456"})),
            400,
            "is no percentage",
        ),
    ] {
        let (got, refused) = admin.send("POST", path, &body).await;
        let message = refused["error"]["message"].as_str().expect("words");
        assert!(
            got == status && message.contains(words),
            "{body}: {message}"
        );
    }
}

const SECRET: &str = "sk-0123456789abcdefghijklmnop";

#[tokio::test]
async fn a_provider_key_is_stored_rotated_switched_and_removed_and_never_shown() {
    let admin = with_accounts().await;
    let path = "/api/v1/provider-keys";
    let new = json!({"account": 1, "provider": "oai", "secret": SECRET, "weight": 3});
    let (status, made) = admin.send("POST", path, &new.to_string()).await;
    assert_eq!(status, 201, "{made}");
    assert!(!made.to_string().contains(SECRET), "{made}");
    assert_eq!(
        [
            &made["provider"],
            &made["name"],
            &made["hint"],
            &made["state"]
        ],
        ["openai", "main", "sk-…mnop", "enabled"]
    );
    assert_eq!(made["account"], json!({"id": 1, "name": "acme"}));
    let one = format!("{path}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(admin.send("GET", &one, "").await, (200, made.clone()));
    for (change, member, expected) in [
        (json!({"state": "disabled"}), "state", json!("disabled")),
        (json!({"weight": null}), "weight", json!(null)),
        (json!({"weight": 7, "fallback": false}), "weight", json!(7)),
        (json!({"name": "eu.1"}), "name", json!("eu.1")),
        (
            json!({"secret": "sk-zyxwvutsrqponmlkjihgfedcba"}),
            "hint",
            json!("sk-…dcba"),
        ),
        (json!({}), "fallback", json!(false)),
    ] {
        let (status, changed) = patched(&admin, &one, &change).await;
        assert_eq!(
            (status, &changed[member]),
            (200, &expected),
            "{change}: {changed}"
        );
    }
    let second = json!({"account": 2, "provider": "openai", "secret": SECRET}).to_string();
    admin.send("POST", path, &second).await;
    for (query, count) in [
        ("", 2),
        ("?account=2", 1),
        ("?provider=groq", 0),
        ("?limit=1", 1),
    ] {
        let (_, page) = admin.send("GET", &format!("{path}{query}"), "").await;
        assert_eq!(
            page["data"].as_array().map(Vec::len),
            Some(count),
            "{query}"
        );
    }
    let (status, done) = admin.send("POST", "/api/v1/reseal", "{}").await;
    assert_eq!(
        (status, done),
        (200, json!({"moved": 0, "already": 2, "unusable": []}))
    );
    assert_eq!(admin.send("DELETE", &one, "").await.0, 200);
    for method in ["GET", "DELETE"] {
        let (status, refused) = admin.send(method, &one, "").await;
        assert_eq!((status, code(&refused)), (404, "unknown_provider_key"));
    }
}

#[tokio::test]
async fn what_is_no_provider_key_is_refused_and_not_repeated() {
    let admin = with_accounts().await;
    let path = "/api/v1/provider-keys";
    let good = json!({"account": 1, "provider": "openai", "secret": SECRET});
    assert_eq!(admin.send("POST", path, &good.to_string()).await.0, 201);
    for (more, status, expected) in [
        (json!({}), 409, "provider_key_exists"),
        (json!({"account": 9}), 404, "unknown_account"),
        (json!({"provider": "nobody"}), 422, "unprocessable"),
        (json!({"name": "a b"}), 422, "unprocessable"),
        (json!({"weight": 0}), 422, "unprocessable"),
        (json!({"secret": ""}), 422, "unprocessable"),
        (
            json!({"secret": format!("{SECRET} {SECRET}")}),
            422,
            "unprocessable",
        ),
        (json!({"secret": [SECRET]}), 400, "invalid_request"),
        (json!({"key": SECRET}), 400, "invalid_request"),
    ] {
        let mut new = good.clone();
        let members = more.as_object().expect("an object").clone();
        new.as_object_mut().expect("an object").extend(members);
        let (got, refused) = admin.send("POST", path, &new.to_string()).await;
        assert_eq!(
            (got, code(&refused)),
            (status, expected),
            "{more}: {refused}"
        );
        assert!(!refused.to_string().contains("0123456789"), "{refused}");
    }
    let both = json!({"secret": SECRET, "name": "b"});
    let (_, page) = admin.send("GET", path, "").await;
    let one = format!("{path}/{}", page["data"][0]["id"].as_str().expect("an id"));
    assert_eq!(patched(&admin, &one, &both).await.0, 422);
    admin
        .process
        .files_are_good
        .store(false, std::sync::atomic::Ordering::SeqCst);
    let other = json!({"account": 2, "provider": "openai", "secret": SECRET}).to_string();
    let (status, refused) = admin.send("POST", path, &other).await;
    assert_eq!((status, code(&refused)), (409, "no_master_key"));
}
