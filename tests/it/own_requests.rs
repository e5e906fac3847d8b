//! What callers are told of their own requests: `/tollgate/v1/requests/ID`. Who is told is in `own_answers`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::{self, Dialect};
use crate::own_answers::{COST, HELD, Lab, USAGE, id, served};
use crate::pair;
use crate::support::client::{self, Client, Protocol, Response};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Gate, Reply, fault, payload};
use crate::support::wait;

/// A member of each attempt.
fn of(told: &Value, member: &str) -> Vec<Value> {
    let attempts = told["attempts"].as_array().expect("attempts");
    let values = attempts.iter().map(|attempt| attempt[member].clone());
    values.collect()
}

fn free() -> Value {
    json!({"model": "0", "fee": "0", "total": "0"})
}

fn paid() -> Value {
    json!({"model": COST, "fee": "0", "total": COST})
}

/// A stream that goes on after its first event when the gate is opened.
fn stream(gate: &Gate) -> Reply {
    let events = payload::chat_sse("m", 1, Some(USAGE));
    Reply::sse(events, Duration::ZERO).hold_before(1, gate)
}

#[tokio::test]
async fn who_asks_as_soon_as_the_answer_has_come_is_told_what_it_cost() {
    let lab = Lab::new().await;
    for _ in 0..20 {
        lab.one.push(served().header("x-request-id", "theirs-7"));
        let (response, id) = lab.chat("rich").await;
        assert_eq!(response.status, 200, "{}", response.text());
        let told = lab.told("rich", &id).await;
        assert_eq!((&told["id"], &told["open"]), (&json!(id), &json!(false)));
        assert_eq!(told["cost"], paid());
        let attempt = &told["attempts"][0];
        for (member, expected) in [
            ("attempt", json!(1)),
            ("key", json!(lab.gateway.key_named("rich")[3..15])),
            ("provider", json!("one")),
            ("model", json!("m")),
            ("surface", json!("chat")),
            ("credential", json!("gateway")),
            ("state", json!("settled")),
            ("outcome", json!("ok")),
            ("status", json!(200)),
            ("upstream_id", json!("theirs-7")),
            ("held", json!(HELD)),
            ("cost", paid()),
            ("estimated", Value::Null),
            ("flags", json!([])),
            ("paid_by_operator", json!("0")),
        ] {
            assert_eq!(attempt[member], expected, "{member}: {told}");
        }
        assert_eq!(attempt["tokens"]["input"], 10);
        assert_eq!(attempt["tokens"]["output"], 20);
        let [started, ended] = [&attempt["started"], &attempt["ended"]].map(Value::as_str);
        assert!(started.is_some() && ended >= started, "{attempt}");
        let catalog = attempt["catalog"].as_str();
        assert!(catalog.is_some_and(|version| !version.is_empty()));
    }
}

#[tokio::test]
async fn a_request_under_way_is_open_and_what_it_holds_is_told() {
    let lab = Lab::new().await;
    let gate = upstream::gate();
    lab.one.push(pair::error(503));
    lab.two.push(stream(&gate));
    let authority = Authority::new();
    let mut client = Client::connect(Protocol::H1, lab.gateway.address(), &authority).await;
    let mut answer = client.begin(&lab.post("rich")).await.expect("a head");
    let id = answer
        .head()
        .header("tollgate-request-id")
        .expect("an id")
        .to_owned();
    answer.next().await.expect("no cut").expect("an event");
    let told = lab.told("rich", &id).await;
    gate.open();
    assert_eq!(answer.collect().await.status, 200);
    assert_eq!((&told["open"], &told["cost"]), (&json!(true), &free()));
    assert_eq!(of(&told, "state"), ["void", "held"]);
    assert_eq!(of(&told, "held"), [HELD, HELD]);
    assert_eq!(of(&told, "ended").pop(), Some(Value::Null));
    assert_eq!(lab.told("rich", &id).await["open"], false);
}

#[tokio::test]
async fn each_attempt_is_told_and_why_it_ended() {
    let lab = Lab::new().await;
    lab.one.push(pair::error(500));
    lab.two.push(served());
    let (response, id) = lab.chat("rich").await;
    assert_eq!(response.status, 200, "{}", response.text());
    let told = lab.told("rich", &id).await;
    assert_eq!(of(&told, "attempt"), [1, 2]);
    assert_eq!(of(&told, "provider"), ["one", "two"]);
    assert_eq!(of(&told, "state"), ["void", "settled"]);
    assert_eq!(of(&told, "outcome"), ["server_error", "ok"]);
    assert_eq!(of(&told, "status"), [500, 200]);
    assert_eq!(of(&told, "cost"), [free(), paid()]);
    assert_eq!(told["cost"], paid());
}

#[tokio::test]
async fn what_was_given_up_for_another_is_told_with_who_paid() {
    let lab = Lab::new().await;
    lab.one.push(fault::close_after_body());
    lab.two.push(served());
    let (response, id) = lab.chat("rich").await;
    assert_eq!(response.status, 200, "{}", response.text());
    let told = lab.told("rich", &id).await;
    assert_eq!(of(&told, "state"), ["settled", "settled"]);
    assert_eq!(of(&told, "estimated"), [json!("lost"), Value::Null]);
    assert_eq!(of(&told, "flags"), [json!(["given_up"]), json!([])]);
    assert_eq!(of(&told, "cost"), [free(), paid()]);
    let operators = of(&told, "paid_by_operator");
    assert!(operators[0] != "0" && operators[1] == "0", "{told}");
    assert_eq!(lab.credit("rich").await["balance"], "99.99995");
}

#[tokio::test]
async fn a_request_on_a_key_of_the_clients_own_is_told_once_it_has_ended() {
    let lab = Lab::new().await;
    let gate = upstream::gate();
    lab.one.push(stream(&gate));
    let request = lab
        .post("rich")
        .header("tollgate-key", lab.gateway.key_named("rich"))
        .header("authorization", "Bearer sk-of-the-client");
    let authority = Authority::new();
    let mut client = Client::connect(Protocol::H1, lab.gateway.address(), &authority).await;
    let mut answer = client.begin(&request).await.expect("a head");
    let id = answer.head().header("tollgate-request-id");
    let id = id.expect("an id").to_owned();
    answer.next().await.expect("no cut").expect("an event");
    let path = format!("/tollgate/v1/requests/{id}");
    let response = lab.asked("rich", &path).await;
    gate.open();
    ask::refused(&response, Dialect::OpenAi, 404, "unknown_request");
    assert_eq!(answer.collect().await.status, 200);
    let told = lab.told("rich", &id).await;
    assert_eq!(of(&told, "credential"), ["request"]);
    assert_eq!(
        (of(&told, "held"), &told["cost"]),
        (vec![json!("0")], &free())
    );
    assert_eq!(told["attempts"][0]["tokens"]["output"], 20);
}

#[tokio::test]
async fn a_request_of_another_account_is_not_told_apart_from_none() {
    let lab = Lab::new().await;
    lab.one.push(served());
    let (_, id) = lab.chat("rich").await;
    lab.told("capped", &id).await;
    let (mut unknown, last) = (id.clone(), id.ends_with('0'));
    unknown.pop();
    unknown.push(if last { '1' } else { '0' });
    let asked = [&*id, &*unknown, "req_1", "%2e%2e", &"x".repeat(2000)];
    for (asked, anthropic) in asked.into_iter().flat_map(|id| [(id, false), (id, true)]) {
        let request = client::get(&format!("/tollgate/v1/requests/{asked}"));
        let request = request.bearer(lab.gateway.key_named("other"));
        let (request, dialect) = match anthropic {
            true => (
                request.header("anthropic-version", "2023-06-01"),
                Dialect::Anthropic,
            ),
            false => (request, Dialect::OpenAi),
        };
        let response = lab.gateway.send(&request).await;
        let says = ask::refused(&response, dialect, 404, "unknown_request");
        assert!(
            says.starts_with("Your account has made no request of this id"),
            "{says}"
        );
        assert!(!ask::seen(&response).contains("acme"));
    }
    // Nor is one told that went nowhere.
    let refused = lab
        .gateway
        .send(&client::post("/v1/chat/completions", "{}").bearer(lab.gateway.key_named("rich")))
        .await;
    assert_eq!(refused.status, 400);
    let response = lab
        .asked(
            "rich",
            &format!("/tollgate/v1/requests/{}", self::id(&refused)),
        )
        .await;
    ask::refused(&response, Dialect::OpenAi, 404, "unknown_request");
}

/// Every write of a usage row fails, as on a disk that has no room.
const FAIL: &str =
    "CREATE TRIGGER broken BEFORE INSERT ON usage BEGIN SELECT RAISE(FAIL, 'broken'); END";

#[tokio::test]
async fn while_the_store_fails_what_is_written_is_told_and_nothing_else_is_denied() {
    let lab = Lab::new().await;
    lab.one.push(served());
    let (_, id) = lab.chat("rich").await;
    let told = lab.told("rich", &id).await;
    lab.store().execute_batch(FAIL).expect("a trigger");
    lab.one.push(served());
    let (refused, lost) = lab.chat("rich").await;
    ask::refused(&refused, Dialect::OpenAi, 503, "store_unavailable");

    let unavailable = |response: &Response| {
        ask::refused(response, Dialect::OpenAi, 503, "store_unavailable");
        assert!(response.header("retry-after").is_some());
    };
    unavailable(&lab.asked("rich", "/tollgate/v1/credit").await);
    // It may be one that waits to be written: it is not said that there is none.
    unavailable(
        &lab.asked("rich", &format!("/tollgate/v1/requests/{lost}"))
            .await,
    );
    assert_eq!(lab.told("rich", &id).await, told);
    // Whoever has no key is told so, store or not.
    let nobody = lab.gateway.send(&client::get("/tollgate/v1/credit")).await;
    ask::refused(&nobody, Dialect::OpenAi, 401, "invalid_access_key");

    lab.store()
        .execute_batch("DROP TRIGGER broken")
        .expect("no trigger");
    let mended = async {
        while lab.asked("rich", "/tollgate/v1/credit").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("a store that is mended", mended).await;
    // What the client did not get is at the operator's expense.
    let told = lab.told("rich", &lost).await;
    assert_eq!(told["cost"], free());
    assert_eq!(of(&told, "flags"), [json!(["given_up"])]);
    assert_eq!(lab.credit("rich").await["balance"], "99.99995");
}
