//! Responses that refer to earlier ones: they keep to one provider and one key, or are refused.

use serde_json::json;

use crate::ask::{self, Dialect, refused};
use crate::support::client::{Request, post};
use crate::support::gateway::{Builder, Gateway, custom, gateway, stored_key};
use crate::support::upstream::{self, Delivery, Reply, Upstream};

/// What arrived last.
fn last(upstream: &Upstream) -> Delivery {
    upstream.deliveries().pop().expect("a delivery")
}

/// Two providers of one model, with these stored keys of the default account: provider, name, further arguments.
async fn pair(
    keys: &[(&str, &str, &[&str])],
    more: impl FnOnce(Builder) -> Builder,
) -> (Gateway, [Upstream; 2]) {
    let start = async || upstream::h1().reply(ask::answer()).start().await;
    let both = [start().await, start().await];
    let speaking = |id: &str| {
        custom(id)
            .set("surfaces", json!({"responses": {"path": "/responses"}}))
            .model("m")
    };
    let mut builder = gateway()
        .config("health.passive", false)
        .custom(speaking("one"), &both[0])
        .custom(speaking("two"), &both[1]);
    for (provider, name, arguments) in keys {
        builder = builder.stored("default", provider, name, arguments);
    }
    (more(builder).start().await, both)
}

const BOTH: &[(&str, &str, &[&str])] = &[("one", "main", &[]), ("two", "main", &[])];

/// What refers to something that a provider keeps.
const MEMBERS: [&str; 3] = [
    r#""previous_response_id":"resp_1""#,
    r#""conversation":"conv_1""#,
    r#""prompt":{"id":"pmpt_1","version":"2"}"#,
];

fn asking(gateway: &Gateway, key: &str, members: &str) -> Request {
    let body = format!(r#"{{"model":"m","input":"Hello",{members}}}"#);
    post("/v1/responses", body).bearer(gateway.key_named(key))
}

fn busy(status: u16) -> Reply {
    Reply::json(status, r#"{"error":{"message":"busy"}}"#)
}

fn own_key_only(builder: Builder) -> Builder {
    builder.key("own", &["--credential-steps", "byok"])
}

#[tokio::test]
async fn they_never_go_to_another_provider() {
    let (gateway, [one, two]) = pair(BOTH, own_key_only).await;
    for member in MEMBERS {
        for status in [503, 429, 401, 500] {
            one.push(busy(status));
            let response = gateway.send(&asking(&gateway, "own", member)).await;
            assert_eq!(response.status, status, "{member}");
        }
    }
    assert_eq!((one.count(), two.count()), (12, 0));
    // What refers to nothing does.
    for nothing in [
        r#""previous_response_id":null"#,
        r#""store":true"#,
        r#""conversation":"""#,
    ] {
        let before = two.count();
        one.push(busy(503));
        let response = gateway.send(&asking(&gateway, "own", nothing)).await;
        assert_eq!(response.status, 200, "{nothing}");
        assert_eq!(two.count(), before + 1, "{nothing}");
    }
}

#[tokio::test]
async fn nor_to_a_model_of_another_provider_that_the_request_names() {
    let (gateway, [one, two]) = pair(BOTH, own_key_only).await;
    one.push(busy(503));
    let members = r#""previous_response_id":"resp_1","models":["two:m"]"#;
    let response = gateway.send(&asking(&gateway, "own", members)).await;
    assert_eq!((response.status, one.count(), two.count()), (503, 1, 0));
    // Named first, it is the one.
    let body = r#"{"model":"two:m","input":"Hello","previous_response_id":"resp_1"}"#;
    let request = post("/v1/responses", body).bearer(gateway.key_named("own"));
    assert_eq!(gateway.send(&request).await.status, 200);
    assert_eq!((one.count(), two.count()), (1, 1));
}

#[tokio::test]
async fn nor_on_another_key() {
    let keys: &[(&str, &str, &[&str])] = &[("one", "a", &[]), ("one", "b", &[])];
    let (gateway, [one, _two]) = pair(keys, own_key_only).await;
    for status in [429, 200, 401, 200] {
        let before = one.count();
        one.push(busy(status));
        let response = gateway.send(&asking(&gateway, "own", MEMBERS[0])).await;
        assert_eq!(response.status, status);
        let deliveries = one.deliveries_since(before);
        let used: Vec<_> = deliveries
            .iter()
            .map(|it| it.header("authorization"))
            .collect();
        let first = format!("Bearer {}", stored_key("default", "one", "a"));
        assert_eq!(used, [Some(first.as_str())]);
    }
}

#[tokio::test]
async fn of_keys_that_stand_by_none_is_the_one() {
    let keys: &[(&str, &str, &[&str])] =
        &[("one", "spare", &[]), ("one", "main", &["--weight", "1"])];
    let (gateway, [one, _two]) = pair(keys, own_key_only).await;
    for members in [r#""store":true"#, MEMBERS[0]] {
        let response = gateway.send(&asking(&gateway, "own", members)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let main = format!("Bearer {}", stored_key("default", "one", "main"));
        assert_eq!(last(&one).header("authorization"), Some(main.as_str()));
    }
}

#[tokio::test]
async fn where_nobody_can_say_which_key_it_is_they_are_refused() {
    let keys: &[(&str, &str, &[&str])] = &[
        ("one", "a", &["--weight", "1"]),
        ("one", "b", &["--weight", "1"]),
    ];
    let (gateway, [one, two]) = pair(keys, |it| {
        own_key_only(it).key("named", &["--credential-steps", "byok:b"])
    })
    .await;
    let response = gateway.send(&asking(&gateway, "own", MEMBERS[0])).await;
    let message = refused(&response, Dialect::OpenAi, 400, "invalid_request");
    assert!(
        message.contains("`previous_response_id`") && message.contains("byok:NAME"),
        "{message}"
    );
    assert_eq!((one.count(), two.count()), (0, 0));
    let response = gateway.send(&asking(&gateway, "named", MEMBERS[0])).await;
    assert_eq!(response.status, 200);
    let named = format!("Bearer {}", stored_key("default", "one", "b"));
    assert_eq!(last(&one).header("authorization"), Some(named.as_str()));
}

#[tokio::test]
async fn on_the_gateways_key_they_are_refused_charged_or_not() {
    for charge in [true, false] {
        let (gateway, [one, two]) = pair(&[], |it| it.config("credit.charge", charge)).await;
        for member in MEMBERS {
            let response = gateway.send(&asking(&gateway, "test", member)).await;
            let message = refused(&response, Dialect::OpenAi, 403, "not_on_gateway_credential");
            assert!(
                message.contains("accounts of this gateway would share"),
                "{message}"
            );
        }
        assert_eq!((one.count(), two.count()), (0, 0), "{charge}");
        // With a key of one's own beside it, only that one is used.
        let body = format!(r#"{{"model":"one:m","input":"Hello",{}}}"#, MEMBERS[0]);
        let request = post("/v1/responses", body)
            .header("tollgate-key", gateway.key())
            .bearer("sk-of-the-client");
        assert_eq!(gateway.send(&request).await.status, 200, "{charge}");
        assert_eq!(
            last(&one).header("authorization"),
            Some("Bearer sk-of-the-client")
        );
    }
}

#[tokio::test]
async fn an_explanation_says_so() {
    let (gateway, _both) = pair(BOTH, own_key_only).await;
    let body = format!(r#"{{"model":"m","input":"Hello",{}}}"#, MEMBERS[0]);
    let request = post("/tollgate/v1/explain?surface=responses", body);
    let told = gateway
        .send(&request.bearer(gateway.key_named("own")))
        .await
        .json();
    assert_eq!(
        told["candidates"].as_array().map(Vec::len),
        Some(1),
        "{told}"
    );
    assert_eq!(told["dropped"][0]["model"], "two:m");
    assert_eq!(told["dropped"][0]["reason"], "elsewhere");
}
