//! Who may ask, and for what: access keys in every place they may stand, what is refused and how, revocation, policies,
//! and the client's own provider key. That no secret is written down is `secrets`' matter.

use std::time::{Duration, Instant};

use crate::ask::{self, Dialect, SURFACES, refused, speaking_all};
use crate::support::bodies;
use crate::support::client::{self, Protocol, Request, Response, get};
use crate::support::gateway::{Gateway, custom, gateway, upstream_key};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Delivery, Reply, Upstream, fault};
use crate::support::wait;

/// A revocation must work within this time.
const SOON: Duration = Duration::from_secs(1);

/// What the client's own provider key looks like.
const CANARY: &str = "sk-canary-of-the-client-0123456789";

/// An access key of another gateway: well-formed, and unknown here.
fn stranger() -> String {
    let made = gateway().run(&["keys", "create", "--name", "elsewhere"]);
    let key = made.stdout.lines().find(|line| line.starts_with("tg-"));
    key.unwrap_or_else(|| panic!("no key: {made:?}")).to_owned()
}

/// `key` with one character changed.
fn mistyped(key: &str) -> String {
    let (head, last) = key.split_at(key.len() - 1);
    format!("{head}{}", if last == "a" { "b" } else { "a" })
}

/// A gateway in front of one provider that speaks all surfaces.
async fn with_one() -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let one = speaking_all(custom("one").model("small"));
    let gateway = gateway().custom(one, &upstream).start().await;
    (gateway, upstream)
}

/// `tollgate keys ACTION KEY`, by another process.
fn keys(gateway: &Gateway, action: &str, key: &str) {
    let finished = gateway.run(&["keys", action, key]);
    assert_eq!(finished.code, Some(0), "keys {action}: {finished:?}");
}

/// Asks with `key` until the answer has `status`, and says how long that took.
async fn until_status(gateway: &Gateway, key: &str, status: u16) -> (Response, Duration) {
    let begun = Instant::now();
    let asking = async {
        loop {
            let request = client::post("/v1/chat/completions", bodies::chat("one:small").build());
            let response = gateway.send(&request.bearer(key)).await;
            if response.status == status {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let response = wait::within(&format!("status {status}"), asking).await;
    (response, begun.elapsed())
}

/// Every place in which a key may stand, each as a way to put `key` on a request to `path`.
fn places(key: &str, path: &str, body: &str) -> Vec<(&'static str, Request)> {
    let at = |query: &str| client::post(&format!("{path}{query}"), body.to_owned());
    let offered = format!("realtime, openai-insecure-api-key.{key}, openai-beta.realtime-v1");
    let encoded = format!("?beta=true&%6bey=%{:02x}{}", key.as_bytes()[0], &key[1..]);
    vec![
        ("Tollgate-Key", at("").header("Tollgate-Key", key)),
        ("Authorization: Bearer", at("").bearer(key)),
        (
            "authorization: BEARER",
            at("").header("authorization", &format!("BEARER   {key}")),
        ),
        (
            "Authorization: Bearer, far off",
            at("").header("authorization", &format!("  Bearer \t   {key}  ")),
        ),
        (
            "Authorization twice",
            at("").header("authorization", "Basic dTpw").bearer(key),
        ),
        (
            "x-api-key beside another's",
            at("")
                .header("x-api-key", "")
                .header("x-api-key", "sk-of-somebody")
                .header("x-api-key", key),
        ),
        (
            "the WebSocket subprotocol twice",
            at("")
                .header("Sec-WebSocket-Protocol", "realtime")
                .header("Sec-WebSocket-Protocol", &offered[10..]),
        ),
        (
            "?key= three times",
            at(&format!("?key=&key={key}&beta=true&k%65y={key}")),
        ),
        (
            "?key= beside another's",
            at(&format!("?%6B%65%79=AIza0123&beta=true&key={key}")),
        ),
        ("Authorization, bare", at("").header("Authorization", key)),
        ("x-api-key", at("").header("X-Api-Key", key)),
        ("api-key", at("").header("api-key", key)),
        ("x-goog-api-key", at("").header("X-Goog-Api-Key", key)),
        ("?key=", at(&format!("?key={key}&beta=true"))),
        ("?key= behind", at(&format!("?beta=true&key={key}"))),
        ("?key= encoded", at(&encoded)),
        ("?api-key=", at(&format!("?api-key={key}&beta=true"))),
        (
            "?api-key= beside another's",
            at(&format!("?key=AIza0123&beta=true&api%2dkey={key}")),
        ),
        (
            "the WebSocket subprotocol",
            at("").header("Sec-WebSocket-Protocol", &offered),
        ),
        (
            "two places at once",
            at("").bearer(key).header("x-api-key", key),
        ),
    ]
}

/// Whether `delivery` carries the gateway's own credential for `provider` and nothing of `secret`.
#[track_caller]
fn only_ours(delivery: &Delivery, provider: &str, secret: &str, context: &str) {
    let credential = format!("Bearer {}", upstream_key(provider, 0));
    assert_eq!(
        delivery.header("authorization"),
        Some(credential.as_str()),
        "{context}"
    );
    for name in ["tollgate-key", "x-api-key", "api-key", "x-goog-api-key"] {
        assert_eq!(delivery.header(name), None, "{context}: {name}");
    }
    let got = ask::got(delivery);
    // Without its first letter, which may be percent-encoded.
    assert!(!got.contains(&secret[1..]), "{context}: {got}");
}

#[tokio::test]
async fn a_key_is_taken_from_every_place_and_goes_no_further() {
    let (gateway, upstream) = with_one().await;
    let key = gateway.key().to_owned();
    for name in ["chat", "messages"] {
        let surface = ask::surface(name);
        for (place, request) in places(&key, surface.path, &surface.body("one:small")) {
            let before = upstream.count();
            let response = gateway.send(&request).await;
            assert_eq!(response.status, 200, "{place}: {}", response.text());
            assert_eq!(response.header("tollgate-credential"), Some("gateway"));
            let delivery = upstream.deliveries_since(before).remove(0);
            only_ours(&delivery, "one", &key, place);
            let query = if place.starts_with('?') {
                "?beta=true"
            } else {
                ""
            };
            assert_eq!(
                delivery.target,
                format!("{}{query}", surface.path),
                "{place}"
            );
            let offered = delivery.header("sec-websocket-protocol");
            let left = place
                .contains("WebSocket")
                .then_some("realtime, openai-beta.realtime-v1");
            assert_eq!(offered, left, "{place}");
        }
    }
}

#[tokio::test]
async fn a_key_is_taken_from_every_place_of_http2_too() {
    let (gateway, upstream) = with_one().await;
    let key = gateway.key().to_owned();
    let authority = Authority::new();
    let mut client = client::Client::connect(Protocol::H2c, gateway.address(), &authority).await;
    let surface = ask::surface("chat");
    for (place, request) in places(&key, surface.path, &surface.body("one:small")) {
        let before = upstream.count();
        let response = client.send(&request).await;
        assert_eq!(response.status, 200, "{place}: {}", response.text());
        only_ours(&upstream.deliveries_since(before)[0], "one", &key, place);
    }
}

#[tokio::test]
async fn a_request_without_a_good_key_is_refused_in_its_dialect() {
    let (gateway, upstream) = with_one().await;
    let wrong = mistyped(gateway.key());
    let cases = [
        ("no key", None, "tg-"),
        ("an empty key", Some(String::new()), "tg-"),
        (
            "another's key",
            Some("sk-proj-0123".to_owned()),
            "Tollgate-Key",
        ),
        ("a mistyped key", Some(wrong), "typo"),
        ("half a key", Some(gateway.key()[..30].to_owned()), "typo"),
        ("an unknown key", Some(stranger()), "does not exist"),
    ];
    for (what, key, says) in &cases {
        for surface in SURFACES {
            let mut request = surface.post("one:small");
            if let Some(key) = key {
                request = request.bearer(key);
            }
            let response = gateway.send(&request).await;
            refuses(&response, surface.dialect, key.as_deref(), says, what);
        }
        for (dialect, version) in [
            (Dialect::OpenAi, None),
            (Dialect::Anthropic, Some("2023-06-01")),
        ] {
            let mut request = get("/v1/models");
            if let Some(version) = version {
                request = request.header("anthropic-version", version);
            }
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let response = gateway.send(&request).await;
            refuses(&response, dialect, key.as_deref(), says, what);
        }
    }
    assert_eq!(upstream.count(), 0);
}

/// Whether `response` refuses the key, says why, and does not repeat it.
#[track_caller]
fn refuses(response: &Response, dialect: Dialect, key: Option<&str>, says: &str, what: &str) {
    let message = refused(response, dialect, 401, "invalid_access_key");
    assert!(message.contains(says), "{what}: {message}");
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        assert!(!ask::seen(response).contains(key), "{what}: {message}");
    }
}

#[tokio::test]
async fn a_key_that_is_switched_off_or_revoked_by_another_process_is_refused_within_a_second() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let gateway = gateway()
        .custom(custom("one").model("small"), &upstream)
        .key("second", &[])
        .start()
        .await;
    let (first, second) = (gateway.key(), gateway.key_named("second"));
    until_status(&gateway, first, 200).await;
    keys(&gateway, "disable", first);
    let (response, disabled) = until_status(&gateway, first, 401).await;
    assert!(response.text().contains("disabled"), "{}", response.text());

    keys(&gateway, "enable", first);
    until_status(&gateway, first, 200).await;
    keys(&gateway, "revoke", first);
    let (response, revoked) = until_status(&gateway, first, 401).await;
    assert!(response.text().contains("revoked"), "{}", response.text());
    // The faster of the two, so that a machine that is busy elsewhere fails nothing.
    let fastest = disabled.min(revoked);
    assert!(fastest < SOON, "{fastest:?}");
    // The other key is as good as before, and a revoked one stays revoked.
    until_status(&gateway, second, 200).await;
    assert_ne!(gateway.run(&["keys", "enable", first]).code, Some(0));
    until_status(&gateway, first, 401).await;
}

#[tokio::test]
async fn a_request_under_way_outlives_its_key() {
    let gate = upstream::gate();
    let held = upstream::behave().read().hold(&gate).send(ask::answer());
    let upstream = upstream::h1().then(held).reply(ask::answer()).start().await;
    let gateway = gateway()
        .custom(custom("one").model("small"), &upstream)
        .start()
        .await;
    let request = gateway.post("/v1/chat/completions", bodies::chat("one:small").build());
    let revoking = async {
        gate.held(1).await;
        keys(&gateway, "revoke", gateway.key());
        until_status(&gateway, gateway.key(), 401).await;
        gate.open();
    };
    let (response, ()) = tokio::join!(gateway.send(&request), revoking);
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn a_key_made_while_the_gateway_runs_is_good_and_one_that_expires_is_not() {
    let (gateway, _upstream) = with_one().await;
    let made = gateway.run(&["keys", "create", "--name", "late", "--expires", "1s"]);
    let key = made.stdout.lines().find(|line| line.starts_with("tg-"));
    let key = key.unwrap_or_else(|| panic!("no key: {made:?}")).to_owned();
    let expired = |response: &Response| response.text().contains("has expired");
    // Until the gateway has seen it, it is unknown; it may expire before the first answer.
    let unknown = async {
        loop {
            let request = client::post("/v1/chat/completions", bodies::chat("one:small").build());
            let response = gateway.send(&request.bearer(&key)).await;
            if expired(&response) {
                return response;
            }
            let known = response.status == 200;
            assert!(
                known || response.text().contains("does not exist"),
                "{}",
                response.text()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let response = wait::within("the key's expiry", unknown).await;
    refused(&response, Dialect::OpenAi, 401, "invalid_access_key");
}

#[tokio::test]
async fn two_different_keys_are_refused_wherever_they_stand() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let one = speaking_all(custom("one").model("small"));
    let gateway = gateway()
        .custom(one, &upstream)
        .key("second", &[])
        .start()
        .await;
    let (first, second) = (gateway.key(), gateway.key_named("second"));
    for surface in SURFACES {
        let ask = || surface.post("one:small");
        let with_query = format!("{}?key={second}", surface.path);
        let with = |query: &str| {
            let target = format!("{}?{query}", surface.path);
            client::post(&target, surface.body("one:small"))
        };
        let offered = format!("realtime, openai-insecure-api-key.{second}");
        for request in [
            ask().header("tollgate-key", first).bearer(second),
            ask().bearer(first).header("x-api-key", second),
            ask().bearer(first).bearer(second),
            client::post(&with_query, surface.body("one:small")).bearer(first),
            ask().header("x-api-key", first).header("x-api-key", second),
            with(&format!("key={first}&key={second}")),
            with(&format!("k%65y={first}&a=1&%6B%65%79=%74{}", &second[1..])),
            with(&format!("key={first}")).header("sec-websocket-protocol", &offered),
        ] {
            let message = refused(
                &gateway.send(&request).await,
                surface.dialect,
                400,
                "invalid_request",
            );
            assert!(message.contains("two different access keys"), "{message}");
        }
        // Two provider keys beside the access key: which one is meant?
        let request = ask()
            .header("tollgate-key", first)
            .bearer(CANARY)
            .header("x-api-key", "sk-another");
        let response = gateway.send(&request).await;
        let message = refused(&response, surface.dialect, 400, "invalid_request");
        assert!(message.contains("provider keys"), "{message}");
        assert!(!ask::seen(&response).contains(CANARY));
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_foreign_credential_is_dropped_unless_the_key_stands_in_its_own_header() {
    let (gateway, upstream) = with_one().await;
    let surface = ask::surface("chat");
    let key = gateway.key();
    for request in [
        surface
            .post("one:small")
            .bearer(key)
            .header("x-api-key", CANARY),
        surface
            .post("one:small")
            .header("x-api-key", key)
            .bearer(CANARY),
        surface
            .post("one:small")
            .header("api-key", key)
            .header("x-goog-api-key", CANARY),
    ] {
        let before = upstream.count();
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("tollgate-credential"), Some("gateway"));
        only_ours(
            &upstream.deliveries_since(before)[0],
            "one",
            CANARY,
            "a foreign key",
        );
    }
}

/// Two providers: `one` has `a` and `shared`, `two` has `c` and `shared`; `one` comes first.
struct Pair {
    gateway: Gateway,
    one: Upstream,
    two: Upstream,
}

impl Pair {
    /// With these access keys: name, and arguments of `keys create`.
    async fn new(keys: &[(&str, &[&str])]) -> Self {
        let one = upstream::h1().reply(ask::answer()).start().await;
        let two = upstream::h1().reply(ask::answer()).start().await;
        let of = |id: &str, own: &str| {
            let provider = custom(id).model(own).model("shared");
            speaking_all(provider).set("key_optional", false.into())
        };
        let mut builder = gateway()
            .no_key()
            .custom(of("one", "a"), &one)
            .custom(of("two", "c"), &two);
        for (name, arguments) in keys {
            builder = builder.key(name, arguments);
        }
        let gateway = builder.start().await;
        Self { gateway, one, two }
    }

    /// Posts a chat request with these raw members in place of `model`.
    async fn ask(&self, key: &str, members: &str) -> Response {
        let surface = ask::surface("chat");
        let request = client::post(surface.path, surface.body_with(members));
        self.gateway
            .send(&request.bearer(self.gateway.key_named(key)))
            .await
    }

    /// Which of the two have got a request since the counts were `before`.
    fn reached(&self, before: (usize, usize)) -> (usize, usize) {
        (self.one.count() - before.0, self.two.count() - before.1)
    }

    fn counts(&self) -> (usize, usize) {
        (self.one.count(), self.two.count())
    }

    /// A request that is served by `provider:model`, with the others named as rejected.
    async fn served(&self, key: &str, members: &str, by: &str, rejected: Option<&str>) {
        let context = format!("{key}: {members}");
        let before = self.counts();
        let response = self.ask(key, members).await;
        assert_eq!(response.status, 200, "{context}: {}", response.text());
        assert_eq!(response.header("tollgate-model"), Some(by), "{context}");
        assert_eq!(
            response.header("tollgate-rejected-models"),
            rejected,
            "{context}"
        );
        let expected = if by.starts_with("one:") {
            (1, 0)
        } else {
            (0, 1)
        };
        assert_eq!(self.reached(before), expected, "{context}");
    }

    /// A request that goes nowhere.
    async fn forbidden(&self, key: &str, members: &str, code: &str) {
        let before = self.counts();
        let response = self.ask(key, members).await;
        let message = refused(&response, Dialect::OpenAi, 403, code);
        assert!(message.contains("/v1/models"), "{message}");
        assert_eq!(self.reached(before), (0, 0), "{key}: {members}");
    }
}

#[tokio::test]
async fn a_key_reaches_only_its_providers() {
    let pair = Pair::new(&[
        ("only", &["--allow-provider", "two"]),
        ("but", &["--deny-provider", "one"]),
        ("both", &["--allow-provider", "*", "--deny-provider", "O*"]),
    ])
    .await;
    for key in ["only", "but", "both"] {
        let shared = r#""model":"shared""#;
        pair.served(key, shared, "two:shared", Some("one:shared"))
            .await;
        pair.served(key, r#""model":"two:c""#, "two:c", None).await;
        pair.served(
            key,
            r#""model":"one:a","models":["two:c"]"#,
            "two:c",
            Some("one:a"),
        )
        .await;
        for name in ["one:a", "ONE:a", "one:not-in-the-catalog", "a"] {
            let members = format!("\"model\":\"{name}\"");
            pair.forbidden(key, &members, "provider_not_allowed").await;
        }
    }
}

#[tokio::test]
async fn a_key_reaches_only_its_models_and_a_ban_beats_a_permission() {
    let pair = Pair::new(&[
        (
            "exact",
            &["--allow-model", "a", "--allow-model", "two:shared"],
        ),
        ("wild", &["--allow-model", "s*", "--deny-model", "one:*"]),
        ("banned", &["--allow-model", "*", "--deny-model", "sha*"]),
    ])
    .await;
    pair.served("exact", r#""model":"a""#, "one:a", None).await;
    let shared = r#""model":"shared""#;
    pair.served("exact", shared, "two:shared", Some("one:shared"))
        .await;
    for name in ["c", "two:c", "one:shared", "one:A-not-in-the-catalog"] {
        pair.forbidden(
            "exact",
            &format!("\"model\":\"{name}\""),
            "model_not_allowed",
        )
        .await;
    }

    pair.served("wild", shared, "two:shared", Some("one:shared"))
        .await;
    pair.forbidden("wild", r#""model":"one:shared""#, "model_not_allowed")
        .await;
    pair.forbidden("wild", r#""model":"two:c""#, "model_not_allowed")
        .await;
    // A list is held against the policy name by name; what is left is tried in its order.
    let list = r#""models":["one:a","one:shared","two:shared"]"#;
    pair.served("wild", list, "two:shared", Some("one:a, one:shared"))
        .await;

    pair.served("banned", r#""model":"a""#, "one:a", None).await;
    // An upstream may read letter case as it likes, so a ban does too.
    for name in [
        "shared",
        "SHARED",
        "two:shared",
        "two:Shared-Of-Another-Kind",
    ] {
        pair.forbidden(
            "banned",
            &format!("\"model\":\"{name}\""),
            "model_not_allowed",
        )
        .await;
    }
}

#[tokio::test]
async fn what_a_key_may_not_do_is_said_in_the_callers_dialect() {
    let pair = Pair::new(&[("narrow", &["--allow-model", "c"])]).await;
    for surface in SURFACES {
        let request = surface
            .post("shared")
            .bearer(pair.gateway.key_named("narrow"));
        let response = pair.gateway.send(&request).await;
        refused(&response, surface.dialect, 403, "model_not_allowed");
    }
    assert_eq!(pair.counts(), (0, 0));
}

#[tokio::test]
async fn a_failover_stays_within_the_policy() {
    let pair = Pair::new(&[("narrow", &["--deny-provider", "two"])]).await;
    pair.one.push(ask::busy());
    let response = pair
        .ask("narrow", r#""model":"shared","models":["two:c"]"#)
        .await;
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(
        response.header("tollgate-rejected-models"),
        Some("two:shared, two:c")
    );
    assert_eq!(pair.counts(), (1, 0));
}

/// A request with the access key in its own header and the client's own key beside it.
fn own_key(gateway: &Gateway, key: &str, path: &str, members: &str) -> Request {
    let body = ask::surface("chat").body_with(members);
    client::post(path, body)
        .header("tollgate-key", gateway.key_named(key))
        .bearer(CANARY)
}

#[tokio::test]
async fn the_clients_own_key_goes_to_the_provider_it_is_bound_to() {
    let pair = Pair::new(&[("plain", &[])]).await;
    let chat = ask::surface("chat").path;
    let pinned = own_key(&pair.gateway, "plain", chat, r#""model":"shared""#)
        .header("tollgate-provider", "two");
    for (what, request, at_two) in [
        (
            "a prefix",
            own_key(&pair.gateway, "plain", chat, r#""model":"two:c""#),
            true,
        ),
        ("a header", pinned, true),
        (
            "a path",
            own_key(
                &pair.gateway,
                "plain",
                "/two/v1/chat/completions",
                r#""model":"shared""#,
            ),
            true,
        ),
        (
            "the first candidate",
            own_key(&pair.gateway, "plain", chat, r#""model":"shared""#),
            false,
        ),
    ] {
        let before = pair.counts();
        let response = pair.gateway.send(&request).await;
        assert_eq!(response.status, 200, "{what}: {}", response.text());
        assert_eq!(
            response.header("tollgate-credential"),
            Some("request"),
            "{what}"
        );
        let upstream = if at_two { &pair.two } else { &pair.one };
        assert_eq!(
            pair.reached(before),
            (usize::from(!at_two), usize::from(at_two)),
            "{what}"
        );
        let delivery = upstream.deliveries().pop().expect("a delivery");
        let expected = format!("Bearer {CANARY}");
        assert_eq!(
            delivery.header("authorization"),
            Some(expected.as_str()),
            "{what}"
        );
        assert!(
            !ask::got(&delivery).contains(pair.gateway.key_named("plain")),
            "{what}"
        );
        let ours = upstream_key(if at_two { "two" } else { "one" }, 0);
        assert!(!ask::got(&delivery).contains(&ours), "{what}");
    }
}

#[tokio::test]
async fn the_clients_own_key_is_sent_in_the_providers_way_wherever_it_stood() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let provider =
        speaking_all(custom("keyed").model("small")).set("auth", "header:x-api-key".into());
    let gateway = gateway().custom(provider, &upstream).start().await;
    let path = "/v1/messages";
    let body = ask::surface("messages").body("keyed:small");
    for (place, request) in places(CANARY, path, &body) {
        if place == "Tollgate-Key" || place.contains("another's") {
            continue;
        }
        let before = upstream.count();
        let request = request.header("tollgate-key", gateway.key());
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{place}: {}", response.text());
        assert_eq!(
            response.header("tollgate-credential"),
            Some("request"),
            "{place}"
        );
        let delivery = upstream.deliveries_since(before).remove(0);
        assert_eq!(delivery.header("x-api-key"), Some(CANARY), "{place}");
        // There and nowhere else.
        assert_eq!(
            ask::got(&delivery).matches(&CANARY[1..]).count(),
            1,
            "{place}"
        );
    }
}

/// What can go wrong at the first provider, and whether it is sure that another candidate is tried: what speaks of the
/// client's own key may be its answer.
fn failures() -> Vec<(&'static str, bool, upstream::Behaviour)> {
    let refusal = |status| {
        let body = upstream::payload::openai_error("no", "invalid_request_error", "no");
        Reply::json(status, body).until_close()
    };
    vec![
        ("unauthorized", false, refusal(401).into()),
        ("out of credit", false, refusal(402).into()),
        ("forbidden", false, refusal(403).into()),
        ("too many", false, refusal(429).into()),
        ("busy", true, ask::busy().until_close().into()),
        ("a reset before the body", true, fault::reset_before_body()),
        ("a reset after the body", true, fault::reset_after_body()),
        ("no HTTP", true, fault::malformed("nonsense\r\n\r\n")),
    ]
}

#[tokio::test]
async fn the_clients_own_key_never_reaches_a_second_provider() {
    let pair = Pair::new(&[("plain", &[])]).await;
    let chat = ask::surface("chat").path;
    for members in [
        r#""model":"shared""#,
        r#""model":"one:a","models":["two:c"]"#,
        r#""models":["one:shared","two:shared"]"#,
    ] {
        for (what, goes_on, failure) in failures() {
            let context = format!("{members}, {what}");
            let before = pair.counts();
            pair.one.push(failure);
            let request = own_key(&pair.gateway, "plain", chat, members);
            let response = pair.gateway.send(&request).await;
            let first = pair.one.deliveries_since(before.0);
            assert_eq!(first.len(), 1, "{context}");
            assert!(ask::got(&first[0]).contains(CANARY), "{context}");
            let second = pair.two.deliveries_since(before.1);
            for delivery in &second {
                only_ours(delivery, "two", CANARY, &context);
            }
            if goes_on {
                assert_eq!(second.len(), 1, "{context}");
                assert_eq!(response.status, 200, "{context}: {}", response.text());
                assert_eq!(
                    response.header("tollgate-credential"),
                    Some("gateway"),
                    "{context}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_prefix_binds_the_clients_own_key_even_where_that_provider_drops_out() {
    let one = upstream::h1().reply(ask::answer()).start().await;
    let two = upstream::h1().reply(ask::answer()).start().await;
    let gateway = gateway()
        .no_key()
        .key("narrow", &["--deny-provider", "one"])
        .key("plain", &[])
        .custom(custom("one").model("a"), &one)
        .custom(speaking_all(custom("two").model("c")), &two)
        .start()
        .await;
    let members = r#""model":"one:a","models":["two:c"]"#;
    // By policy, and because `one` does not speak the surface.
    for (key, surface) in [("narrow", "chat"), ("plain", "messages")] {
        let surface = ask::surface(surface);
        let before = two.count();
        let request = client::post(surface.path, surface.body_with(members))
            .header("tollgate-key", gateway.key_named(key))
            .bearer(CANARY);
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{key}: {}", response.text());
        assert_eq!(
            response.header("tollgate-credential"),
            Some("gateway"),
            "{key}"
        );
        only_ours(&two.deliveries_since(before)[0], "two", CANARY, key);
    }
    assert_eq!(one.count(), 0);
}

#[tokio::test]
async fn credential_steps_are_tried_in_order_and_a_model_rule_beats_a_provider_rule() {
    let pair = Pair::new(&[
        ("own", &["--credential-steps", "request"]),
        ("own-first", &["--credential-steps", "request,gateway"]),
        (
            "mixed",
            &[
                "--provider-steps",
                "one=request",
                "--model-steps",
                "one:a=gateway",
            ],
        ),
    ])
    .await;
    let gateway = &pair.gateway;
    let chat = ask::surface("chat").path;

    let response = pair.ask("own", r#""model":"one:a""#).await;
    refused(&response, Dialect::OpenAi, 503, "no_credential");
    let response = gateway
        .send(&own_key(gateway, "own", chat, r#""model":"one:a""#))
        .await;
    assert_eq!(response.header("tollgate-credential"), Some("request"));

    let response = pair.ask("own-first", r#""model":"one:a""#).await;
    assert_eq!(response.header("tollgate-credential"), Some("gateway"));
    let response = gateway
        .send(&own_key(gateway, "own-first", chat, r#""model":"one:a""#))
        .await;
    assert_eq!(response.header("tollgate-credential"), Some("request"));

    let response = pair.ask("mixed", r#""model":"one:a""#).await;
    assert_eq!(response.header("tollgate-credential"), Some("gateway"));
    let response = pair.ask("mixed", r#""model":"one:shared""#).await;
    refused(&response, Dialect::OpenAi, 503, "no_credential");
    assert_eq!(pair.two.count(), 0);
}
