//! What callers are told of their own credit: `/tollgate/v1/credit`; and who is told of it, and of requests, which are in
//! `own_requests`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::{self, Dialect};
use crate::support::bodies;
use crate::support::client::{self, Request, Response};
use crate::support::gateway::{self, Builder, Gateway, gateway};
use crate::support::upstream::payload::{self, Usage};
use crate::support::upstream::{self, Reply, Upstream, behave};
use crate::support::wait;

/// What the providers tell.
pub const USAGE: Usage = Usage {
    input: 10,
    output: 20,
};

/// An answer that costs [`COST`]: the price is $1 and $2 a million tokens.
pub fn served() -> Reply {
    Reply::json(200, payload::chat_json("m", USAGE))
}

/// Ten tokens read at $1 a million, twenty written at $2.
pub const COST: &str = "0.00005";

/// What is held for a request of [`Lab::post`]: 488 bytes and 512 of a frame at $1, and one token of output at $2.
pub const HELD: &str = "0.001002";

pub struct Lab {
    pub gateway: Gateway,
    pub one: Upstream,
    pub two: Upstream,
}

impl Lab {
    /// Two providers of the model `m`; accounts `acme` ($100 prepaid, keys `rich` and `capped`) and `zeta` (postpaid).
    pub async fn new() -> Self {
        Self::with(|gateway| gateway).await
    }

    /// With more of a configuration.
    pub async fn with(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let (one, two) = (upstream::h1().start().await, upstream::h1().start().await);
        let gateway = gateway()
            .config("health.passive", false)
            .custom(gateway::custom("one").model("m"), &one)
            .custom(gateway::custom("two").model("m"), &two)
            .key("rich", &["--account", "acme"])
            .key(
                "capped",
                &["--account", "acme", "--spend-day", "10", "--max-cost", "5"],
            )
            .key("other", &["--account", "zeta"])
            .prepaid("acme", "100");
        let gateway = configure(gateway).start().await;
        Self { gateway, one, two }
    }

    pub async fn asked(&self, key: &str, path: &str) -> Response {
        let request = client::get(path).bearer(self.gateway.key_named(key));
        self.gateway.send(&request).await
    }

    /// A request of `key`'s, for which [`HELD`] is held.
    pub fn post(&self, key: &str) -> Request {
        let body = bodies::chat("m").member("max_tokens", "1").size(488);
        let request = client::post("/v1/chat/completions", body.build());
        request.bearer(self.gateway.key_named(key))
    }

    /// The answer to a request of `key`'s, and its id.
    pub async fn chat(&self, key: &str) -> (Response, String) {
        let response = self.gateway.send(&self.post(key)).await;
        let id = id(&response);
        (response, id)
    }

    /// What is told of a request to `key`.
    pub async fn told(&self, key: &str, id: &str) -> Value {
        let path = format!("/tollgate/v1/requests/{id}");
        let response = self.asked(key, &path).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    pub async fn credit(&self, key: &str) -> Value {
        let response = self.asked(key, "/tollgate/v1/credit").await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    /// As [`Self::credit`], once nothing is held: a request is settled when its answer has been read.
    async fn settled(&self, key: &str) -> Value {
        let settled = async {
            loop {
                let credit = self.credit(key).await;
                if credit["held"] == "0" {
                    return credit;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        wait::within("a hold that has ended", settled).await
    }

    /// Makes a change as the operator does.
    pub fn operate(&self, arguments: &[&str]) {
        let finished = self.gateway.run(arguments);
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }

    /// The store, as another process opens it.
    pub fn store(&self) -> rusqlite::Connection {
        let file = self.gateway.folder().join("tollgate.db");
        rusqlite::Connection::open(file).expect("the store")
    }
}

/// The id of the request that was answered.
pub fn id(response: &Response) -> String {
    let id = response.header("tollgate-request-id");
    id.expect("an id").to_owned()
}

/// The balance, what is held of it, and what can be used.
fn sums(credit: &Value) -> [&Value; 3] {
    [&credit["balance"], &credit["held"], &credit["available"]]
}

const PATHS: [&str; 2] = [
    "/tollgate/v1/credit",
    "/tollgate/v1/requests/req_00000000000000000000000000",
];

#[tokio::test]
async fn an_account_is_told_what_it_has_and_what_its_key_may_use() {
    let lab = Lab::new().await;
    let rich = lab.credit("rich").await;
    let id = lab.gateway.key_named("rich")[3..15].to_owned();
    let expected = json!({
        "account": "acme", "billing": "prepaid", "limit": null, "balance": "100", "held": "0", "available": "100",
        "next_expiry": null,
        "key": {"id": id, "spend_day": null, "spend_month": null, "max_cost": null},
    });
    assert_eq!(rich, expected);
    lab.one.push(served());
    assert_eq!(lab.chat("capped").await.0.status, 200);
    let capped = lab.settled("capped").await;
    assert_eq!(sums(&capped), ["99.99995", "0", "99.99995"]);
    let day = &capped["key"]["spend_day"];
    assert_eq!(
        [&day["cap"], &day["used"], &day["left"]],
        ["10", COST, "9.99995"]
    );
    let resets = day["resets"].as_str().expect("a time");
    assert!(resets.ends_with("T00:00:00Z"), "{day}");
    assert_eq!(capped["key"]["max_cost"], "5");
    assert_eq!(
        capped["key"]["spend_month"],
        Value::Null,
        "it has no such cap"
    );
}

#[tokio::test]
async fn who_pays_afterwards_is_told_what_it_owes() {
    let lab = Lab::new().await;
    lab.one.push(served());
    assert_eq!(lab.chat("other").await.0.status, 200);
    let credit = lab.settled("other").await;
    assert_eq!(
        [&credit["account"], &credit["billing"]],
        ["zeta", "postpaid"]
    );
    assert_eq!(credit["limit"], Value::Null);
    assert_eq!(
        sums(&credit),
        [&json!("-0.00005"), &json!("0"), &Value::Null]
    );

    lab.operate(&["accounts", "set", "zeta", "--limit", "0.5"]);
    lab.operate(&[
        "credit",
        "grant",
        "zeta",
        "2",
        "--expires",
        "2999-01-01T00:00:00Z",
    ]);
    let changed = async {
        loop {
            let credit = lab.credit("other").await;
            if credit["limit"] != Value::Null && credit["balance"] != "-0.00005" {
                return credit;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let credit = wait::within("what the operator has changed", changed).await;
    assert_eq!(credit["limit"], "0.5");
    assert_eq!(sums(&credit), ["1.99995", "0", "2.49995"]);
    assert_eq!(credit["next_expiry"], "2999-01-01T00:00:00Z");
}

#[tokio::test]
async fn what_is_held_is_told_while_a_request_is_under_way_and_given_back_after() {
    let lab = Lab::new().await;
    let gate = upstream::gate();
    lab.one.push(behave().read().hold(&gate).send(served()));
    let request = lab.post("capped");
    let looking = async {
        gate.held(1).await;
        let credit = lab.credit("capped").await;
        gate.open();
        credit
    };
    let (response, credit) = tokio::join!(lab.gateway.send(&request), looking);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(sums(&credit), ["100", HELD, "99.998998"]);
    let day = &credit["key"]["spend_day"];
    assert_eq!([&day["used"], &day["left"]], [HELD, "9.998998"]);
    let credit = lab.settled("rich").await;
    assert_eq!(sums(&credit), ["99.99995", "0", "99.99995"]);
}

#[tokio::test]
async fn both_are_for_holders_of_keys_in_their_own_format() {
    let lab = Lab::new().await;
    let invented = "tg-000000000000000000000000000000000000000000000000000000000000000";
    for path in PATHS {
        for key in [None, Some(invented), Some("sk-of-a-provider")] {
            let get = client::get(path);
            let openai = match key {
                Some(key) => get.clone().bearer(key),
                None => get.clone(),
            };
            let response = lab.gateway.send(&openai).await;
            ask::refused(&response, Dialect::OpenAi, 401, "invalid_access_key");
            let anthropic = get.header("anthropic-version", "2023-06-01");
            let anthropic = match key {
                Some(key) => anthropic.header("x-api-key", key),
                None => anthropic,
            };
            let response = lab.gateway.send(&anthropic).await;
            ask::refused(&response, Dialect::Anthropic, 401, "invalid_access_key");
        }
    }
    lab.one.push(served());
    let (_, id) = lab.chat("rich").await;
    lab.operate(&["keys", "revoke", lab.gateway.key_named("rich")]);
    let refused = async {
        while lab.asked("rich", PATHS[0]).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("a key that is revoked", refused).await;
    let own = format!("/tollgate/v1/requests/{id}");
    let response = lab.asked("rich", &own).await;
    let says = ask::refused(&response, Dialect::OpenAi, 401, "invalid_access_key");
    assert!(says.contains("revoked"), "{says}");
    // What the key has used is told to the account's other one.
    assert_eq!(lab.told("capped", &id).await["cost"]["total"], COST);
}

#[tokio::test]
async fn both_are_only_looked_at() {
    let lab = Lab::new().await;
    for path in PATHS {
        let post = lab
            .gateway
            .post(path, "{}")
            .bearer(lab.gateway.key_named("rich"));
        let response = lab.gateway.send(&post).await;
        ask::refused(&response, Dialect::OpenAi, 405, "method_not_allowed");
    }
    let head = Request::new("HEAD", PATHS[0], None).bearer(lab.gateway.key_named("rich"));
    let response = lab.gateway.send(&head).await;
    assert_eq!((response.status, response.body.len()), (200, 0));
}
