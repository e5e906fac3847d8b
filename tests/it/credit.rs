//! Requests on the gateway's credential: held before, charged after, to the nano-dollar; refused where there is no credit
//! or no price. What each ending costs is in `credit_endings`.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tollgate::money::Credits;
use tollgate::store::RowState;

use crate::pair::{MODEL, attempts, code};
use crate::support::bodies;
use crate::support::client::{self, Response};
use crate::support::gateway::{custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream, behave, payload};
use crate::till::{COST, INPUT, OUTPUT, Till, USAGE, nanos, provider};

#[tokio::test]
async fn every_surface_is_charged_exactly() {
    let till = Till::new().await;
    let chat = payload::chat_sse(MODEL, 3, Some(USAGE));
    let messages = payload::messages_sse(MODEL, 3, USAGE);
    let stream = bodies::chat(MODEL).member("stream", "true");
    let plain = bodies::chat(MODEL);
    let mut spent = 0;
    let mut count = 0;
    for (target, body, answer, cost) in [
        (
            "/v1/chat/completions",
            &plain,
            Reply::json(200, payload::chat_json(MODEL, USAGE)),
            COST,
        ),
        (
            "/v1/chat/completions",
            &stream,
            Reply::sse(chat, Duration::ZERO),
            COST,
        ),
        (
            "/v1/messages",
            &plain,
            Reply::json(200, payload::messages_json(MODEL, USAGE)),
            COST,
        ),
        (
            "/v1/messages",
            &stream,
            Reply::sse(messages, Duration::ZERO),
            COST,
        ),
        (
            "/v1/responses",
            &plain,
            Reply::json(200, payload::responses_json(MODEL, USAGE)),
            COST,
        ),
        (
            "/v1/embeddings",
            &plain,
            Reply::json(200, payload::embeddings_json(MODEL, 31)),
            31 * INPUT,
        ),
    ] {
        till.upstream
            .push(answer.header("x-request-id", "theirs-7"));
        let response = till.send(&till.gateway.post(target, body.build())).await;
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        assert_eq!(response.header("tollgate-credential"), Some("gateway"));
        (spent, count) = (spent + cost, count + 1);
        let row = till.rows(count).await.pop().expect("a row");
        assert_eq!(row.cost.charged, nanos(cost), "{target}: {row:?}");
        assert_eq!(row.state, RowState::Settled, "{target}");
        assert_eq!(row.estimated, None, "{target}");
        assert!(row.held >= row.cost.charged, "{target}: {row:?}");
        let id = response.header("tollgate-request-id").expect("an id");
        assert_eq!((row.request.as_str(), row.attempt), (id, 1));
        assert_eq!((row.provider.as_str(), row.model.as_str()), ("one", MODEL));
        assert_eq!(row.credential, "gateway");
        assert_eq!(row.upstream_id.as_deref(), Some("theirs-7"));
        assert_eq!(
            (row.outcome.as_deref(), row.status),
            (Some("ok"), Some(200))
        );
        assert_eq!(row.counts.input, 31, "{target}");
    }
    till.is_charged(spent).await;
    let lines = till.gateway.access_lines(count).await;
    assert_eq!(lines[0]["cost_nano"], COST, "{}", lines[0]);
    assert!(lines[0]["hold_nano"].as_i64() >= Some(COST), "{}", lines[0]);
    assert_eq!(lines[0].get("estimated"), None, "{}", lines[0]);
}

#[tokio::test]
async fn token_counts_cost_nothing_and_leave_no_row() {
    let till = Till::new().await;
    till.upstream
        .push(Reply::json(200, r#"{"input_tokens":2095}"#));
    let request = till
        .gateway
        .post("/v1/messages/count_tokens", bodies::chat(MODEL).build());
    assert_eq!(till.send(&request).await.status, 200);
    // The one row is that of a request after it.
    assert_eq!(till.send(&till.chat()).await.status, 200);
    assert_eq!(till.row().await.surface, "chat");
    till.is_charged(COST).await;
}

#[tokio::test]
async fn without_credit_nothing_is_sent_and_the_refusal_says_what_is_missing() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway.prepaid("default", "0.001")
    })
    .await;
    let body = bodies::chat(MODEL).member("max_tokens", "1000000");
    let response = till.send(&till.post(&body)).await;
    assert_eq!(
        (response.status, code(&response).as_str()),
        (402, "insufficient_credit")
    );
    let says = "has $0.001 of credit available, and up to $2.00";
    assert!(response.text().contains(says), "{}", response.text());
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert_eq!(attempts(&response), [format!("one:{MODEL};no_credit")]);
    assert_eq!(till.upstream.count(), 0);
    // With a bound that the credit covers it is served.
    let body = bodies::chat(MODEL).member("max_tokens", "17");
    let response = till.send(&till.post(&body)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(till.row().await.cost.charged, nanos(COST));
}

#[tokio::test]
async fn a_candidate_that_the_credit_does_not_cover_is_passed_over() {
    let dear = provider("dear").set(
        "models",
        json!({MODEL: {"price": {"input": "1000", "output": "2000"}, "context": 1_000_000}}),
    );
    let [first, second] = [upstream::h1().start().await, upstream::h1().start().await];
    second.otherwise(Reply::json(200, payload::chat_json(MODEL, USAGE)));
    let gateway = gateway()
        .prepaid("default", "1")
        .custom(dear, &first)
        .custom(provider("cheap"), &second)
        .start()
        .await;
    let request = gateway.post(
        "/v1/chat/completions",
        bodies::chat(MODEL).member("max_tokens", "1000").build(),
    );
    let response = gateway.send(&request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        attempts(&response),
        [
            format!("dear:{MODEL};no_credit"),
            format!("cheap:{MODEL};ok;status=200")
        ]
    );
    // Who asks for nothing else gets nothing else.
    let response = gateway
        .send(&request.header("tollgate-failover", "off"))
        .await;
    assert_eq!(response.status, 402, "{}", response.text());
    assert_eq!((first.count(), second.count()), (0, 1));
}

/// What all of them together may cost is never more than there is, however many ask at once.
#[tokio::test]
async fn credit_for_ten_serves_ten_of_two_hundred() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway
            .prepaid("default", "0.0101")
            .config("limits.requests", 1_000)
    })
    .await;
    // A body of 488 bytes (and a frame of 512) may come to as many tokens: $0.001 each, output aside.
    let body = bodies::chat(MODEL)
        .member("max_tokens", "1")
        .size(488)
        .build();
    let gate = upstream::gate();
    let used = payload::Usage {
        input: 998,
        output: 1,
    };
    let answer = Reply::json(200, payload::chat_json(MODEL, used));
    till.upstream
        .otherwise(behave().read().hold(&gate).send(answer));
    let mut requests = JoinSet::new();
    for _ in 0..200 {
        let (request, address) = (
            till.gateway.post("/v1/chat/completions", body.clone()),
            till.gateway.address(),
        );
        requests.spawn(async move { client::send(address, &request).await });
    }
    let mut refused = 0;
    while refused < 190 {
        let response: Response = requests
            .join_next()
            .await
            .expect("a request")
            .expect("sent");
        assert_eq!(response.status, 402, "{}", response.text());
        refused += 1;
    }
    gate.held(10).await;
    gate.open();
    let served = requests.join_all().await;
    assert!(served.iter().all(|response| response.status == 200));
    assert_eq!((served.len(), till.upstream.count()), (10, 10));
    let rows = till.rows(10).await;
    let spent: i64 = rows.iter().map(|row| row.cost.charged.nanos()).sum();
    assert_eq!(spent, 10 * (998 * INPUT + OUTPUT));
    let account = till.account().await;
    assert_eq!(account.held, Credits::ZERO);
    assert!(account.balance >= Credits::ZERO);
}

#[tokio::test]
async fn what_has_no_price_or_no_bound_is_not_sent_on_the_gateways_credential() {
    let with_unpriced = |_: &Upstream| provider("one").unpriced("unpriced");
    let till = Till::behind(Authority::new(), upstream::h1(), with_unpriced, |it| it).await;
    let tools = r#"[{"type":"web_search"}]"#;
    for (body, expected) in [
        (bodies::chat("one:unlisted"), (404, "model_not_found")),
        (bodies::chat("one:unpriced"), (403, "model_not_priced")),
        (
            bodies::chat(MODEL).member("tools", tools),
            (403, "not_on_gateway_credential"),
        ),
        (
            bodies::chat(MODEL).member("n", "\"two\""),
            (400, "invalid_request"),
        ),
        (
            bodies::chat(MODEL).member("service_tier", "\"priority\""),
            (403, "not_on_gateway_credential"),
        ),
    ] {
        let response = till.send(&till.post(&body)).await;
        assert_eq!((response.status, code(&response).as_str()), expected);
        // The client's own key pays for whatever it asks for.
        let own = client::post("/v1/chat/completions", body.build())
            .header("tollgate-key", till.gateway.key())
            .bearer("sk-of-the-client");
        let response = till.send(&own).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("tollgate-credential"), Some("request"));
    }
    assert_eq!(till.upstream.count(), 5);
    let rows = till.rows(5).await;
    for row in rows {
        assert_eq!(row.credential, "request");
        assert_eq!((row.held, row.cost.paid()), (Credits::ZERO, Credits::ZERO));
        assert_eq!((row.counts.input, row.counts.output), (31, 17));
    }
    till.is_charged(0).await;
}

#[tokio::test]
async fn an_account_that_pays_afterwards_may_use_what_has_no_price_where_that_is_allowed() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway
            .config("credit.unpriced", "allow")
            .key("free", &["--account", "free"])
    })
    .await;
    let body = bodies::chat("one:unlisted").build();
    let request = |key: &str| {
        client::post("/v1/chat/completions", body.clone()).bearer(till.gateway.key_named(key))
    };
    let response = till.send(&request("free")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let response = till.send(&request("test")).await;
    assert_eq!(code(&response), "model_not_found");
    let row = till.row().await;
    assert_eq!(row.cost.paid(), Credits::ZERO);
    assert_eq!(row.flags.names().collect::<Vec<_>>(), ["unpriced"]);
}

#[tokio::test]
async fn an_attempt_that_fails_costs_nothing_and_the_next_one_is_charged() {
    let [first, second] = [upstream::h1().start().await, upstream::h1().start().await];
    first.otherwise(crate::pair::error(503));
    second.otherwise(Reply::json(200, payload::chat_json(MODEL, USAGE)));
    let till = Till::with(upstream::h1(), |gateway| {
        gateway
            .custom(custom("failing").model("two-fold"), &first)
            .custom(custom("working").model("two-fold"), &second)
    })
    .await;
    let response = till.send(&till.post(&bodies::chat("two-fold"))).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let rows = till.rows(2).await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.attempt,
                row.provider.as_str(),
                row.state,
                row.cost.charged,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "failing", RowState::Void, Credits::ZERO),
            (2, "working", RowState::Settled, nanos(COST)),
        ]
    );
    till.is_charged(COST).await;
}

#[tokio::test]
async fn where_nothing_is_charged_all_is_written_down() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway
            .config("credit.charge", false)
            .prepaid("default", "0")
    })
    .await;
    assert_eq!(till.send(&till.chat()).await.status, 200);
    let row = till.row().await;
    assert_eq!((row.counts.input, row.counts.output), (31, 17));
    assert_eq!((row.held, row.cost.paid()), (Credits::ZERO, Credits::ZERO));
    assert_eq!(till.account().await.balance, Credits::ZERO);
}

/// A provider that needs no key costs what its operator says, and no more than the account has.
#[tokio::test]
async fn what_needs_no_key_and_has_a_price_is_held_for_and_charged() {
    let local = upstream::json(payload::chat_json("local", USAGE)).await;
    let price = json!({"kind": "chat", "price": {"input": "1", "output": "2"}});
    let file = json!({
        "provider": "house", "preset": "openai-compatible", "key_optional": true,
        "base_url": format!("{}/v1", local.origin()), "models": {"local": price, "free": {}},
    });
    for (granted, status) in [(crate::till::GRANT, 200), ("0.000001", 402)] {
        let till = Till::with(upstream::h1(), |gateway| {
            gateway
                .catalog("house", file.clone())
                .prepaid("default", granted)
        })
        .await;
        let response = till.send(&till.post(&bodies::chat("house:local"))).await;
        assert_eq!(response.status, status, "{}", response.text());
        if status == 200 {
            let row = till.row().await;
            assert_eq!(
                (row.credential.as_str(), row.cost.charged),
                ("none", nanos(COST))
            );
            assert!(row.held > row.cost.charged, "{row:?}");
            till.is_charged(COST).await;
        }
        // What has no price costs nothing, and whoever has nothing may use it.
        let free = till.send(&till.post(&bodies::chat("house:free"))).await;
        assert_eq!(free.status, 200, "{}", free.text());
    }
}

/// A customer's own key comes first; what the gateway's costs is reckoned when it comes to that.
#[tokio::test]
async fn what_goes_on_with_the_gateways_key_after_the_customers_own_is_held_for_and_charged() {
    let own =
        |gateway: crate::support::gateway::Builder| gateway.stored("default", "one", "main", &[]);
    let till = Till::with(upstream::h1(), own).await;
    till.upstream.push(crate::pair::error(401));
    let response = till.send(&till.chat()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let rows = till.rows(2).await;
    let [first, second] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!((first.credential.as_str(), first.held), ("byok", nanos(0)));
    assert_eq!(second.credential, "gateway");
    assert!(second.held > second.cost.charged, "{second:?}");
    assert_eq!(second.cost.charged, nanos(COST));
    till.is_charged(COST).await;
}

/// What cannot be charged goes on with a key of the customer's own, and with no other.
#[tokio::test]
async fn what_cannot_be_charged_does_not_go_on_with_the_gateways_key() {
    let own =
        |gateway: crate::support::gateway::Builder| gateway.stored("default", "one", "main", &[]);
    let till = Till::with(upstream::h1(), own).await;
    let body = bodies::chat(MODEL).member("web_search_options", "{}");
    assert_eq!(till.send(&till.post(&body)).await.status, 200);
    till.upstream.push(crate::pair::error(401));
    let refused = till.send(&till.post(&body)).await;
    assert_eq!(refused.status, 401, "the provider's own answer");
    assert_eq!(till.upstream.count(), 2, "not sent a third time");
    till.is_charged(0).await;
}

/// What is not kept of a conversation has not been read, and could have tools in it that cost.
#[tokio::test]
async fn a_conversation_of_which_not_all_was_read_is_not_on_the_gateways_key() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway.config("limits.replay_request", "64KiB")
    })
    .await;
    for (size, status) in [(1, 200), (200 * 1024, 403)] {
        let text = "x".repeat(size);
        let body = format!(r#"{{"model":"{MODEL}","max_output_tokens":5,"input":"{text}"}}"#);
        let response = till.send(&till.gateway.post("/v1/responses", body)).await;
        let code = response.text().contains("not_on_gateway_credential");
        assert_eq!(
            (response.status, code),
            (status, status == 403),
            "{}",
            response.text()
        );
    }
}
