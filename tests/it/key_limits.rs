//! The limits of access keys: requests and tokens a minute, requests under way, and the headers that tell of them. What a
//! key may spend is the ledger's matter.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::ask;
use crate::pair::{self, MODEL, chat, code, error, good};
use crate::support::bodies;
use crate::support::client::{self, Request, Response};
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::upstream::{self, Gate, Reply, Upstream, behave, payload};
use crate::support::wait;

/// A change works within a second; the machine is shared.
const SOON: Duration = Duration::from_secs(5);

/// A gateway before one provider, with an access key `narrow`.
struct Lab {
    upstream: Upstream,
    gateway: Gateway,
}

impl Lab {
    async fn new(limits: &[&str]) -> Self {
        Self::with(limits, |it| it).await
    }

    async fn with(limits: &[&str], more: impl FnOnce(Builder) -> Builder) -> Self {
        let upstream = upstream::h1().reply(good()).start().await;
        let one = ask::speaking_all(custom("one").model(MODEL));
        let gateway = gateway()
            .config("health.passive", false)
            .custom(one, &upstream)
            .key("narrow", limits);
        let gateway = more(gateway).start().await;
        Self { upstream, gateway }
    }

    fn request(&self) -> Request {
        self.of("narrow", bodies::chat(MODEL).build())
    }

    fn of(&self, key: &str, body: impl Into<bytes::Bytes>) -> Request {
        client::post("/v1/chat/completions", body).bearer(self.gateway.key_named(key))
    }

    async fn send(&self) -> Response {
        self.gateway.send(&self.request()).await
    }

    /// Sends so many at one time, each on a connection of its own.
    fn rush(&self, count: usize) -> JoinSet<Response> {
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let (address, request) = (self.gateway.address(), self.request());
            requests.spawn(async move { client::send(address, &request).await });
        }
        requests
    }

    fn hold(&self) -> Gate {
        let gate = upstream::gate();
        self.upstream
            .otherwise(behave().read().hold(&gate).send(good()));
        gate
    }

    /// `tollgate …`, by another process.
    fn run(&self, arguments: &[&str]) {
        let finished = self.gateway.run(arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
    }

    /// The public id of the key `narrow`.
    fn id(&self) -> &str {
        &self.gateway.key_named("narrow")[3..15]
    }
}

#[track_caller]
fn is_limited(response: &Response) {
    let told = (response.status, code(response));
    assert_eq!(
        told,
        (429, "rate_limited".to_owned()),
        "{}",
        response.text()
    );
    // It is worth a retry.
    assert_eq!(response.header("x-should-retry"), None);
    let number = |name| {
        response
            .header(name)
            .and_then(|text| text.parse::<u64>().ok())
    };
    let (seconds, millis) = (number("retry-after"), number("retry-after-ms"));
    let millis = millis.expect("a time");
    assert_eq!(seconds, Some(millis.div_ceil(1_000)));
    assert!(millis > 0);
}

fn count(response: &Response, name: &str) -> Option<u64> {
    response
        .header(name)
        .map(|text| text.parse().expect("a number"))
}

#[tokio::test]
async fn of_many_at_once_as_many_pass_as_a_minute_allows() {
    let lab = Lab::new(&["--requests-per-minute", "20"]).await;
    let begun = Instant::now();
    let answers = lab.rush(300).join_all().await;
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    // One more for each three seconds that it took.
    let more = usize::try_from(begun.elapsed().as_secs() / 3).expect("a number");
    assert!((20..=20 + more).contains(&passed.len()), "{}", passed.len());
    assert_eq!(lab.upstream.count(), passed.len());
    refused.iter().for_each(|response| is_limited(response));
    for response in refused {
        assert!(
            response.text().contains("20 requests a minute"),
            "{}",
            response.text()
        );
        assert_eq!(count(response, "x-ratelimit-limit-requests"), Some(20));
        assert_eq!(count(response, "x-ratelimit-remaining-requests"), Some(0));
    }
    // Another key has limits of its own: none.
    let response = lab.gateway.send(&chat(&lab.gateway, 0)).await;
    assert_eq!(
        (
            response.status,
            response.header("x-ratelimit-limit-requests")
        ),
        (200, None)
    );
    let metrics = lab.gateway.metrics().await;
    let counted = metrics.sum("tollgate_rejections_total", &[("code", "rate_limited")]);
    assert!(counted as usize == 300 - passed.len(), "{counted}");
}

#[tokio::test]
async fn who_waits_as_long_as_it_is_told_is_let_in() {
    let lab = Lab::new(&["--requests-per-minute", "120"]).await;
    let mut client = client::h1(lab.gateway.address()).await;
    let mut waited = 0;
    for _ in 0..125 {
        let mut response = client.send(&lab.request()).await;
        if response.status == 429 {
            is_limited(&response);
            let millis = count(&response, "retry-after-ms").expect("a time");
            assert!(millis <= 500, "{millis}");
            tokio::time::sleep(Duration::from_millis(millis)).await;
            response = client.send(&lab.request()).await;
            waited += 1;
        }
        assert_eq!(response.status, 200);
    }
    assert!(waited <= 5);
}

#[tokio::test]
async fn answers_tell_how_the_limits_stand_in_the_way_of_each_api() {
    let lab = Lab::new(&["--requests-per-minute", "2", "--tokens-per-minute", "6000"]).await;
    let first = lab.send().await;
    assert_eq!(first.status, 200);
    assert_eq!(count(&first, "x-ratelimit-limit-requests"), Some(2));
    assert_eq!(count(&first, "x-ratelimit-remaining-requests"), Some(1));
    let reset = first.header("x-ratelimit-reset-requests").expect("a time");
    assert!(reset == "30s" || reset.starts_with("2"), "{reset}");
    assert_eq!(count(&first, "x-ratelimit-limit-tokens"), Some(6_000));

    let messages = ask::surface("messages").post(&format!("one:{MODEL}"));
    let request = messages.header("x-api-key", lab.gateway.key_named("narrow"));
    let answer = lab.gateway.send(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for what in ["requests", "tokens"] {
        let header = |name: &str| answer.header(&format!("anthropic-ratelimit-{what}-{name}"));
        assert!(header("limit").is_some() && header("remaining").is_some());
        let reset: jiff::Timestamp = header("reset").expect("a time").parse().expect("RFC 3339");
        let away = reset.duration_since(jiff::Timestamp::now());
        assert!(away.as_secs() <= 60, "{away:?}");
    }
    assert_eq!(answer.header("x-ratelimit-limit-requests"), None);
}

#[tokio::test]
async fn on_a_key_of_its_own_a_client_hears_of_that_keys_limits_only() {
    let stored = |it: Builder| it.stored("default", "one", "main", &[]);
    let lab = Lab::with(&["--requests-per-minute", "2"], stored).await;
    let limits = good().header("x-ratelimit-remaining-requests", "4711");
    lab.upstream.push(limits.clone());
    let response = lab.send().await;
    assert_eq!(response.header("tollgate-credential"), Some("byok"));
    assert_eq!(
        count(&response, "x-ratelimit-remaining-requests"),
        Some(4_711)
    );
    assert_eq!(response.header("x-ratelimit-limit-requests"), None);
    // On the gateway's key the provider's are the operator's business, and the access key's are told.
    lab.upstream.push(error(401));
    lab.upstream.push(limits);
    let response = lab.send().await;
    assert_eq!(response.header("tollgate-credential"), Some("gateway"));
    assert_eq!(count(&response, "x-ratelimit-remaining-requests"), Some(0));
}

#[tokio::test]
async fn tokens_are_reserved_before_and_counted_after() {
    let lab = Lab::new(&["--tokens-per-minute", "1000"]).await;
    let left = |response: &Response| count(response, "x-ratelimit-remaining-tokens");
    // Some 100 of the prompt, and 600 of the answer.
    let body = bodies::chat(MODEL)
        .size(400)
        .member("max_tokens", "600")
        .build();
    let reserved = 600 + body.len() as u64 / 4;
    let gate = lab.hold();
    let request = lab.of("narrow", body);
    let address = lab.gateway.address();
    let asked = request.clone();
    let first = tokio::spawn(async move { client::send(address, &asked).await });
    gate.held(1).await;
    let refused = lab.gateway.send(&request).await;
    is_limited(&refused);
    assert!(
        refused
            .text()
            .contains("1000 tokens a minute, and this request may use"),
        "{}",
        refused.text()
    );
    let room = left(&refused).expect("a number");
    assert!(
        (1_000 - reserved..1_000 - reserved + 300).contains(&room),
        "{room}"
    );
    // A small one fits beside it.
    let small = lab.of(
        "narrow",
        bodies::chat(MODEL).member("max_tokens", "10").build(),
    );
    let small = tokio::spawn(async move { client::send(address, &small).await });
    gate.held(2).await;
    gate.open();
    assert_eq!(first.await.expect("an answer").status, 200);
    assert_eq!(small.await.expect("an answer").status, 200);
    // What they did use is much less than what was reserved.
    let used = payload::USAGE.input + payload::USAGE.output;
    pair::idle(&lab.gateway).await;
    let last = lab
        .gateway
        .send(&lab.of(
            "narrow",
            bodies::chat(MODEL).member("max_tokens", "1").build(),
        ))
        .await;
    let room = left(&last).expect("a number");
    assert!(room >= 1_000 - 2 * used - 60, "{room}");
}

#[tokio::test]
async fn what_has_used_more_than_was_thought_is_paid_off_before_anything_else_passes() {
    let lab = Lab::new(&["--tokens-per-minute", "1000"]).await;
    let usage = payload::Usage {
        input: 1_000,
        output: 2_000,
    };
    lab.upstream
        .push(Reply::json(200, payload::chat_json(MODEL, usage)));
    let small = lab.of(
        "narrow",
        bodies::chat(MODEL).member("max_tokens", "5").build(),
    );
    assert_eq!(lab.gateway.send(&small).await.status, 200);
    pair::idle(&lab.gateway).await;
    let refused = lab.gateway.send(&small).await;
    is_limited(&refused);
    // Two thousand too many are two minutes.
    let seconds = count(&refused, "retry-after").expect("a time");
    assert!((100..=121).contains(&seconds), "{seconds}");
    assert_eq!(lab.upstream.count(), 1);
}

#[tokio::test]
async fn what_failed_or_counts_nothing_uses_no_tokens() {
    let lab = Lab::new(&["--tokens-per-minute", "1500"]).await;
    for status in [400, 500, 503] {
        lab.upstream.push(error(status));
        assert_eq!(lab.send().await.status, status);
        pair::idle(&lab.gateway).await;
    }
    // What asks how many tokens there are reserves none, whatever its size.
    let count_tokens = ask::surface("count_tokens").post(&format!("one:{MODEL}"));
    let request = count_tokens.header("x-api-key", lab.gateway.key_named("narrow"));
    let answer = lab.gateway.send(&request).await;
    let remaining = count(&answer, "anthropic-ratelimit-tokens-remaining");
    assert_eq!((answer.status, remaining), (200, Some(1_500)));
    // A request that nobody bounds is taken for 1,024 tokens of answer: a second one finds no room.
    let gate = lab.hold();
    let first = lab.rush(1);
    gate.held(1).await;
    is_limited(&lab.send().await);
    gate.open();
    assert!(first.join_all().await.iter().all(|it| it.status == 200));
}

#[tokio::test]
async fn requests_under_way_are_counted_exactly_and_given_back_however_they_end() {
    let lab = Lab::new(&["--in-flight", "3"]).await;
    let gate = lab.hold();
    let mut requests = lab.rush(200);
    for _ in 0..197 {
        let response = requests
            .join_next()
            .await
            .expect("a request")
            .expect("an answer");
        is_limited(&response);
        assert!(
            response.text().contains("3 requests under way"),
            "{}",
            response.text()
        );
    }
    gate.held(3).await;
    assert_eq!(lab.upstream.count(), 3);
    gate.open();
    assert!(requests.join_all().await.iter().all(|it| it.status == 200));
    pair::idle(&lab.gateway).await;

    // Clients that go away, providers that fail, requests that are refused.
    let gate = lab.hold();
    let mut gone = lab.rush(3);
    gate.held(3).await;
    gone.shutdown().await;
    pair::idle(&lab.gateway).await;
    gate.open();
    for _ in 0..10 {
        lab.upstream.push(error(500));
        assert_eq!(lab.send().await.status, 500);
        let bad = lab.of("narrow", r#"{"model":"no-such-model"}"#);
        assert_eq!(lab.gateway.send(&bad).await.status, 404);
        let bad = lab.of("narrow", "no JSON");
        assert_eq!(lab.gateway.send(&bad).await.status, 400);
    }
    pair::idle(&lab.gateway).await;
    let gate = lab.hold();
    let held = lab.rush(3);
    gate.held(3).await;
    is_limited(&lab.send().await);
    gate.open();
    assert!(held.join_all().await.iter().all(|it| it.status == 200));
}

#[tokio::test]
async fn what_is_used_outlives_reloads_and_changes_of_keys() {
    let lab = Lab::new(&["--requests-per-minute", "2"]).await;
    for status in [200, 200, 429] {
        assert_eq!(lab.send().await.status, status);
    }
    assert_eq!(lab.gateway.post_admin("/reload").await.status, 200);
    is_limited(&lab.send().await);
    // Another key is made: the keyring is another.
    lab.run(&["keys", "create", "--name", "other"]);
    let seen = async {
        while lab.gateway.ask_admin("/readyz").await.json()["access_keys"] != json!(3) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("the other key", seen).await;
    is_limited(&lab.send().await);
}

#[tokio::test]
async fn a_limit_is_changed_within_a_second() {
    let lab = Lab::new(&["--requests-per-minute", "1"]).await;
    assert_eq!(lab.send().await.status, 200);
    for (limit, status) in [("1000", 200), ("1", 429), ("none", 200)] {
        lab.run(&["keys", "update", lab.id(), "--requests-per-minute", limit]);
        let begun = Instant::now();
        let changed = async {
            while lab.send().await.status != status {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        wait::within("the change", changed).await;
        assert!(begun.elapsed() < SOON, "{limit}: {:?}", begun.elapsed());
    }
    let listed = lab.gateway.run(&["keys", "list"]);
    assert!(!listed.stdout.contains("a minute"), "{}", listed.stdout);
}

#[tokio::test]
async fn an_account_has_a_limit_over_all_its_keys() {
    let lab = Lab::new(&[]).await;
    lab.run(&["accounts", "limit", "default", "--in-flight", "2"]);
    let gate = lab.hold();
    let limited = async {
        // Held as they come, until the limit is there and two are under way.
        let mut held = JoinSet::new();
        loop {
            let (address, request) = (lab.gateway.address(), lab.request());
            held.spawn(async move { client::send(address, &request).await });
            let ended = tokio::time::timeout(Duration::from_millis(300), held.join_next()).await;
            if let Ok(Some(response)) = ended {
                return (held, response.expect("an answer"));
            }
        }
    };
    let (held, refused) = wait::within("the limit", limited).await;
    is_limited(&refused);
    assert!(
        refused
            .text()
            .contains("The account of this access key may have 2"),
        "{}",
        refused.text()
    );
    // The other key of the account finds no room either.
    is_limited(&lab.gateway.send(&chat(&lab.gateway, 0)).await);
    gate.open();
    assert!(held.join_all().await.iter().all(|it| it.status == 200));
    pair::idle(&lab.gateway).await;
    assert_eq!(lab.gateway.send(&chat(&lab.gateway, 0)).await.status, 200);
}

#[tokio::test]
async fn only_what_goes_to_a_provider_is_counted() {
    let lab = Lab::new(&["--requests-per-minute", "1"]).await;
    let key = lab.gateway.key_named("narrow");
    let get = |target: &str| client::get(target).bearer(key);
    for _ in 0..3 {
        assert_eq!(lab.gateway.send(&get("/v1/models")).await.status, 200);
        let explain = client::post("/tollgate/v1/explain", bodies::chat(MODEL).build());
        assert_eq!(lab.gateway.send(&explain.bearer(key)).await.status, 200);
    }
    assert_eq!(lab.send().await.status, 200);
    is_limited(&lab.send().await);
    assert_eq!(lab.gateway.send(&get("/v1/models")).await.status, 200);
}

#[tokio::test]
async fn the_most_that_a_request_may_cost_is_an_amount() {
    let lab = Lab::new(&[]).await;
    let with = |value: &str| lab.request().header("tollgate-max-cost", value);
    for value in ["12", " 12.000000001 "] {
        let response = lab.gateway.send(&with(value)).await;
        assert_eq!(response.status, 200, "{value}: {}", response.text());
    }
    for value in ["0.05", "0.000000001"] {
        let response = lab.gateway.send(&with(value)).await;
        assert_eq!(code(&response), "spend_cap_reached", "{value}");
    }
    assert_eq!(
        lab.upstream
            .deliveries()
            .pop()
            .expect("one")
            .header("tollgate-max-cost"),
        None
    );
    for (value, words) in [
        ("", "not an amount"),
        ("cheap", "not an amount"),
        ("$0.05", "not an amount"),
        ("1e-3", "not an amount"),
        ("-0.01", "not below zero"),
        ("0.0000000001", "too many decimals"),
        ("99999999999999999999", "too large"),
    ] {
        let response = lab.gateway.send(&with(value)).await;
        assert_eq!(
            (response.status, &*code(&response)),
            (400, "invalid_request"),
            "{value}"
        );
        assert!(
            response.text().contains(words),
            "{value}: {}",
            response.text()
        );
    }
    let twice = with("1").header("tollgate-max-cost", "2");
    let response = lab.gateway.send(&twice).await;
    assert!(
        response.text().contains("Tollgate-Max-Cost occurs twice"),
        "{}",
        response.text()
    );
}
