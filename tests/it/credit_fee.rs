//! The processing fee: on top of a model's cost with the gateway's key, alone with any other, and for what succeeds only.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::money::Credits;
use tollgate::store::RowState;

use crate::pair::{self, MODEL, code};
use crate::support::bodies;
use crate::support::client::{self, Request, Response};
use crate::support::gateway::Builder;
use crate::support::upstream::{self, Reply, fault, payload};
use crate::till::{COST, Till, nanos};

/// What the fee comes to for the usage that the provider tells, in nano-dollars.
const FEE: i64 = 100_000 + (31 + 17) * 1_000;

/// $0.0001 a request, and $1 a million tokens.
fn with_fee(gateway: Builder) -> Builder {
    gateway
        .config("credit.fee.per_request", "0.0001")
        .config("credit.fee.per_million_tokens", "1")
}

/// With an account `own` that has this much, an access key of the same name, and a key for the provider.
fn with_own(dollars: &str) -> impl FnOnce(Builder) -> Builder {
    move |gateway| {
        with_fee(gateway)
            .key("own", &["--account", "own"])
            .stored("own", "one", "main", &[])
            .prepaid("own", dollars)
    }
}

/// A chat request on a stored key of the account `own`.
pub fn own(till: &Till) -> Request {
    let request = client::post("/v1/chat/completions", bodies::chat(MODEL).build());
    request.bearer(till.gateway.key_named("own"))
}

/// A chat request on a key that the client sends along.
pub fn along(till: &Till) -> Request {
    client::post("/v1/chat/completions", bodies::chat(MODEL).build())
        .header("tollgate-key", till.gateway.key())
        .bearer("sk-of-the-client")
}

/// What `/tollgate/v1/requests/ID` says that the request of this answer cost.
async fn told(till: &Till, key: &str, response: &Response) -> Value {
    let id = response.header("tollgate-request-id").expect("an id");
    let request = client::get(&format!("/tollgate/v1/requests/{id}"));
    let request = request.bearer(till.gateway.key_named(key));
    let told = till.send(&request).await;
    assert_eq!(told.status, 200, "{}", told.text());
    told.json()
}

/// What `tollgate usage` says of attempts with such keys: how many, for the model, as fees, both.
fn used(till: &Till, credential: &str) -> (i64, [String; 3]) {
    let shown = till.gateway.run(&[
        "usage",
        "--by",
        "account",
        "--credential",
        credential,
        "--format",
        "json",
    ]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let lines: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let line = &lines[0];
    assert_eq!(lines.as_array().map(Vec::len), Some(1), "{lines}");
    let amount = |name: &str| line[name].as_str().expect("an amount").to_owned();
    let attempts = line["attempts"].as_i64().expect("a number");
    (attempts, ["model", "fee", "total"].map(amount))
}

fn cost(model: &str, fee: &str, total: &str) -> Value {
    json!({"model": model, "fee": fee, "total": total})
}

#[tokio::test]
async fn each_kind_of_key_costs_what_it_says_and_a_failure_nothing() {
    let till = Till::with(upstream::h1(), with_own("1")).await;
    for (request, key, source, expected) in [
        (
            till.chat(),
            "test",
            "gateway",
            cost("0.000065", "0.000148", "0.000213"),
        ),
        (own(&till), "own", "byok", cost("0", "0.000148", "0.000148")),
        (
            along(&till),
            "test",
            "request",
            cost("0", "0.000148", "0.000148"),
        ),
    ] {
        let served = till.send(&request).await;
        assert_eq!(served.status, 200, "{}", served.text());
        assert_eq!(served.header("tollgate-credential"), Some(source));
        let request = request.header("tollgate-failover", "off");
        till.upstream.push(pair::error(400));
        let refused = till.send(&request).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        till.upstream.push(Reply::json(
            200,
            payload::openai_error("no", "server_error", "busy"),
        ));
        let error_only = till.send(&request).await;
        assert_eq!(error_only.status, 200, "{}", error_only.text());

        let told_of = told(&till, key, &served).await;
        assert_eq!(told_of["cost"], expected, "{source}");
        assert_eq!(told_of["attempts"][0]["credential"], source);
        for failed in [&refused, &error_only] {
            let told = told(&till, key, failed).await;
            assert_eq!(told["cost"], cost("0", "0", "0"), "{source}: {told}");
            assert_eq!(told["attempts"][0]["state"], "void", "{source}: {told}");
        }
        let amounts = ["model", "fee", "total"]
            .map(|part| expected[part].as_str().unwrap_or_default().to_owned());
        assert_eq!(used(&till, source), (3, amounts), "{source}");
    }
    till.is_charged(COST + 2 * FEE).await;
    let account = till.store.account_named("own").await.expect("an account");
    assert_eq!(account.balance, nanos(1_000_000_000 - FEE));
    let shown = till.gateway.run(&["usage", "--by", "provider"]);
    assert!(
        shown.stdout.contains("0.000444"),
        "three fees: {}",
        shown.stdout
    );
}

#[tokio::test]
async fn a_failover_pays_one_fee() {
    let till = Till::with(upstream::h1(), with_own("10")).await;
    // The account's own key is refused; the gateway's serves.
    till.upstream.push(pair::error(401));
    let response = till.send(&own(&till)).await;
    assert_eq!(response.header("tollgate-credential"), Some("gateway"));
    let told = told(&till, "own", &response).await;
    assert_eq!(told["attempts"][0]["cost"], cost("0", "0", "0"));
    assert_eq!(
        told["attempts"][1]["cost"],
        cost("0.000065", "0.000148", "0.000213")
    );
}

#[tokio::test]
async fn a_stream_on_ones_own_key_is_not_edited_and_its_fee_is_by_what_came() {
    let till = Till::with(upstream::h1(), with_own("1")).await;
    let body = bodies::chat(MODEL).member("stream", "true").build();
    let request =
        client::post("/v1/chat/completions", body.clone()).bearer(till.gateway.key_named("own"));
    till.upstream.push(Reply::sse(
        payload::chat_sse(MODEL, 3, None),
        Duration::ZERO,
    ));
    let response = till.send(&request).await;
    assert_eq!(response.status, 200);
    assert_eq!(till.upstream.delivery().body, body, "nothing is asked for");
    let row = till.row().await;
    assert_eq!(row.estimated.as_deref(), Some("unsent"));
    assert!(row.counts.input > 0 && row.counts.output > 0, "{row:?}");
    let tokens = row.counts.input + row.counts.output;
    assert_eq!(
        (row.cost.charged, row.cost.fee),
        (nanos(0), nanos(100_000 + tokens * 1_000))
    );
    // What was never answered is no success.
    till.upstream.push(fault::close_after_body());
    let lost = till
        .send(&request.header("tollgate-failover", "safe"))
        .await;
    assert_eq!(code(&lost), "all_candidates_failed");
    let rows = till.rows(2).await;
    assert_eq!(
        (rows[1].cost.paid(), rows[1].cost.absorbed),
        (Credits::ZERO, Credits::ZERO)
    );
}

/// The fee is not held, so that it can take an account below zero, but only once.
#[tokio::test]
async fn who_cannot_pay_the_fee_is_not_served_whoever_pays_the_provider() {
    let till = Till::with(upstream::h1(), with_own("0.0001")).await;
    assert_eq!(till.send(&own(&till)).await.status, 200);
    let row = till.row().await;
    assert_eq!((row.state, row.cost.fee), (RowState::Settled, nanos(FEE)));
    let refused = till.send(&own(&till)).await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (402, "insufficient_credit")
    );
    let tried = pair::attempts(&refused);
    assert_eq!(
        tried.first(),
        Some(&format!("one:{MODEL};no_credit")),
        "{tried:?}"
    );
    assert_eq!(till.upstream.count(), 1);
    let sent_along = client::post("/v1/chat/completions", bodies::chat(MODEL).build())
        .header("tollgate-key", till.gateway.key_named("own"))
        .bearer("sk-of-the-client");
    let refused = till.send(&sent_along).await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (402, "insufficient_credit")
    );
    assert_eq!(till.upstream.count(), 1);
}

#[tokio::test]
async fn a_spend_cap_is_for_fees_too() {
    let till = Till::with(upstream::h1(), |gateway| {
        with_fee(gateway).key("capped", &["--spend-day", "0.0002"])
    })
    .await;
    let request = client::post("/v1/chat/completions", bodies::chat(MODEL).build())
        .header("tollgate-key", till.gateway.key_named("capped"))
        .bearer("sk-of-the-client");
    assert_eq!(till.send(&request).await.status, 200);
    till.row().await;
    let refused = till.send(&request).await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (429, "spend_cap_reached")
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(till.upstream.count(), 1);
}

#[tokio::test]
async fn without_a_fee_ones_own_key_wants_no_credit() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway
            .key("own", &["--account", "own"])
            .stored("own", "one", "main", &[])
            .prepaid("own", "0")
    })
    .await;
    assert_eq!(till.send(&own(&till)).await.status, 200);
    assert_eq!(till.row().await.cost.paid(), Credits::ZERO);
}
