//! Provider keys that accounts have stored, in requests: in which order they are tried, what follows when one fails, when
//! the gateway's own key is used in their place, and that no account meets another's.

use serde_json::json;

use crate::pair::{self, MODEL, Pair, attempts, chat, code, error};
use crate::support::bodies;
use crate::support::client::{self, Request, Response};
use crate::support::gateway::{Builder, Gateway, custom, gateway, stored_key, upstream_key};
use crate::support::upstream::{self, Upstream};

/// The credentials that reached `upstream` after its first `count` requests, without `Bearer`.
pub fn credentials(upstream: &Upstream, count: usize) -> Vec<String> {
    let deliveries = upstream.deliveries_since(count);
    let credential = |delivery: &upstream::Delivery| {
        let value = delivery.header("authorization").expect("a credential");
        value.strip_prefix("Bearer ").expect("a bearer").to_owned()
    };
    deliveries.iter().map(credential).collect()
}

/// A chat request with an access key.
pub fn asking(gateway: &Gateway, key: &str) -> Request {
    let body = bodies::chat(MODEL).build();
    client::post("/v1/chat/completions", body).bearer(gateway.key_named(key))
}

/// The account's key of this name for provider `one`.
pub fn own(name: &str) -> String {
    stored_key("default", "one", name)
}

/// The gateway's key for provider `one`.
pub fn operators() -> String {
    upstream_key("one", 0)
}

/// The source of the credential that the answer came by.
fn source(response: &Response) -> &str {
    response.header("tollgate-credential").unwrap_or_default()
}

/// Two providers, `one` with these keys of the default account.
async fn with_keys(keys: &[(&str, &[&str])], more: impl FnOnce(Builder) -> Builder) -> Pair {
    Pair::start(|mut gateway| {
        for (name, arguments) in keys {
            gateway = gateway.stored("default", "one", name, arguments);
        }
        more(gateway)
    })
    .await
}

#[tokio::test]
async fn an_accounts_own_key_comes_before_the_gateways() {
    let pair = with_keys(&[("main", &[])], |it| it).await;
    let response = pair.gateway.send(&chat(&pair.gateway, 0)).await;
    assert_eq!((response.status, source(&response)), (200, "byok"));
    assert_eq!(credentials(&pair.first, 0), [own("main")]);
    let lines = pair.gateway.access_lines(1).await;
    assert_eq!(lines[0]["credential"], "byok");
}

#[tokio::test]
async fn the_next_key_then_the_next_step_then_the_next_candidate() {
    for (status, outcome) in [
        (401, "auth"),
        (402, "auth"),
        (403, "auth"),
        (429, "rate_limited"),
    ] {
        let pair = with_keys(&[("a", &[]), ("b", &[])], |it| it).await;
        for _ in 0..3 {
            pair.first.push(error(status));
        }
        let response = pair.gateway.send(&chat(&pair.gateway, 0)).await;
        assert_eq!((response.status, source(&response)), (200, "gateway"));
        let tried = [own("a"), own("b"), operators()];
        assert_eq!(credentials(&pair.first, 0), tried, "{status}");
        assert_eq!(credentials(&pair.second, 0), [upstream_key("two", 0)]);
        let failed = format!("one:{MODEL};{outcome};status={status}");
        let served = format!("two:{MODEL};ok;status=200");
        let told = [failed.clone(), failed.clone(), failed, served];
        assert_eq!(attempts(&response), told, "{status}");
    }
}

#[tokio::test]
async fn keys_have_an_order_and_a_key_may_be_put_before_the_others() {
    let keys: [(&str, &[&str]); 3] = [
        ("a", &[]),
        ("b", &["--position", "7"]),
        ("c", &["--position", "0"]),
    ];
    let pair = with_keys(&keys, |it| it).await;
    (0..4).for_each(|_| pair.first.push(error(403)));
    let response = pair.gateway.send(&chat(&pair.gateway, 0)).await;
    assert_eq!(response.status, 200);
    let tried = [own("c"), own("a"), own("b"), operators()];
    assert_eq!(credentials(&pair.first, 0), tried);
}

#[tokio::test]
async fn requests_are_spread_by_weight_and_keys_without_one_stand_by() {
    let keys: [(&str, &[&str]); 3] = [
        ("spare", &[]),
        ("three", &["--weight", "3"]),
        ("one", &["--weight", "1"]),
    ];
    let pair = with_keys(&keys, |it| it).await;
    for _ in 0..40 {
        assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
    }
    let first = credentials(&pair.first, 0);
    let count = |name: &str| first.iter().filter(|key| **key == own(name)).count();
    let counts = (count("three"), count("one"), count("spare"));
    assert!(
        (29..=31).contains(&counts.0) && counts.0 + counts.1 == 40,
        "{counts:?}"
    );
    // Where those with a share fail, the one that stands by is next, and the gateway's after it.
    (0..3).for_each(|_| pair.first.push(error(403)));
    assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
    assert_eq!(credentials(&pair.first, 42), [own("spare"), operators()]);
}

#[tokio::test]
async fn without_the_step_there_is_no_way_from_ones_own_key_to_credit() {
    for status in [401, 402, 429] {
        let narrow = |it: Builder| it.key("own-only", &["--credential-steps", "byok"]);
        let pair = with_keys(&[("main", &[])], narrow).await;
        pair.first
            .push(error(status).header("x-detail", "as it came"));
        let request = asking(&pair.gateway, "own-only");
        let response = pair.gateway.send(&request).await;
        assert_eq!((response.status, source(&response)), (status, "byok"));
        assert_eq!(response.header("x-detail"), Some("as it came"));
        // Set aside, and still the only one that may be used.
        assert_eq!(pair.gateway.send(&request).await.status, 200);
        assert_eq!(credentials(&pair.first, 0), [own("main"), own("main")]);
        assert_eq!(pair.second.count(), 0);
    }
}

#[tokio::test]
async fn a_key_for_the_gateway_only_uses_no_stored_key() {
    let narrow = |it: Builder| it.key("credit-only", &["--credential-steps", "gateway"]);
    let pair = with_keys(&[("main", &[])], narrow).await;
    pair.first.push(error(401));
    let response = pair
        .gateway
        .send(&asking(&pair.gateway, "credit-only"))
        .await;
    assert_eq!((response.status, source(&response)), (200, "gateway"));
    assert_eq!(credentials(&pair.first, 0), [operators()]);
    assert_eq!(pair.second.count(), 1);
}

#[tokio::test]
async fn who_does_not_fall_back_is_never_charged_in_place_of_an_own_key() {
    let strict = ["--no-fallback"];
    for by_key in [true, false] {
        let stored: &[&str] = if by_key { &strict } else { &[] };
        let access: &[&str] = if by_key { &[] } else { &strict };
        let pair = with_keys(&[("main", stored)], |it| it.key("strict", access)).await;
        let request = asking(&pair.gateway, "strict");
        pair.first.push(error(401));
        let response = pair.gateway.send(&request).await;
        if by_key {
            // It is about this provider: another has no key of the account's own that it could fall back from.
            assert_eq!((response.status, source(&response)), (200, "gateway"));
            assert_eq!(credentials(&pair.second, 0), [upstream_key("two", 0)]);
        } else {
            assert_eq!((response.status, source(&response)), (401, "byok"));
            assert_eq!(pair.second.count(), 0);
        }
        assert_eq!(credentials(&pair.first, 0), [own("main")], "{by_key}");
        // A provider that the account has no key for is paid for by credit, as the steps say.
        let body = bodies::chat(&format!("two:{MODEL}")).build();
        let request = client::post("/v1/chat/completions", body);
        let response = pair
            .gateway
            .send(&request.bearer(pair.gateway.key_named("strict")))
            .await;
        assert_eq!((response.status, source(&response)), (200, "gateway"));
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_not_stood_in_for_by_credit_where_that_is_ruled_out() {
    let pair = with_keys(&[("main", &[])], |it| it.key("strict", &["--no-fallback"])).await;
    pair.first.push(error(503));
    let response = pair.gateway.send(&asking(&pair.gateway, "strict")).await;
    assert_eq!((response.status, pair.second.count()), (503, 0));
    // Where it is not, it is.
    pair.first.push(error(503));
    let response = pair.gateway.send(&chat(&pair.gateway, 0)).await;
    assert_eq!((response.status, source(&response)), (200, "gateway"));
}

#[tokio::test]
async fn steps_may_name_a_key() {
    let more = |it: Builder| {
        it.key("b-first", &["--credential-steps", "byok:b,gateway,byok"])
            .key("no-such", &["--credential-steps", "byok:nobody"])
            .key("only-b", &["--provider-steps", "one=byok:b"])
    };
    let pair = with_keys(&[("a", &[]), ("b", &[])], more).await;
    (0..3).for_each(|_| pair.first.push(error(403)));
    let response = pair.gateway.send(&asking(&pair.gateway, "b-first")).await;
    assert_eq!(response.status, 200);
    // Named once, it is not tried twice.
    assert_eq!(
        credentials(&pair.first, 0),
        [own("b"), operators(), own("a")]
    );

    let response = pair.gateway.send(&asking(&pair.gateway, "no-such")).await;
    assert_eq!((response.status, &*code(&response)), (503, "no_credential"));

    pair.first.push(error(402));
    let response = pair.gateway.send(&asking(&pair.gateway, "only-b")).await;
    assert_eq!((response.status, source(&response)), (200, "gateway"));
    assert_eq!(credentials(&pair.first, 3), [own("b")]);
    assert_eq!(credentials(&pair.second, 1), [upstream_key("two", 0)]);
}

#[tokio::test]
async fn each_account_goes_on_with_its_own_keys_and_meets_no_others() {
    let pair = Pair::start(|gateway| {
        gateway
            .key("acme", &["--account", "acme"])
            .key("zeta", &["--account", "zeta"])
            .key("poor", &["--account", "poor", "--credential-steps", "byok"])
            .stored("acme", "one", "main", &[])
            .stored("zeta", "one", "main", &[])
            .stored("zeta", "two", "main", &[])
    })
    .await;
    let send = async |key: &str| pair.gateway.send(&asking(&pair.gateway, key)).await;
    for key in ["acme", "zeta", "test"] {
        assert_eq!(send(key).await.status, 200);
    }
    let of = |account: &str| stored_key(account, "one", "main");
    assert_eq!(
        credentials(&pair.first, 0),
        [of("acme"), of("zeta"), operators()]
    );
    // Without a key of its own, and without a step that says whose else.
    let refused = send("poor").await;
    assert_eq!((refused.status, &*code(&refused)), (503, "no_credential"));

    // What one account's key meets moves nobody else's requests.
    pair.first.push(error(401));
    pair.first.push(error(401));
    assert_eq!(send("acme").await.status, 200);
    let before = pair.first.count();
    for key in ["zeta", "test", "acme"] {
        assert_eq!(send(key).await.status, 200);
    }
    let after = credentials(&pair.first, before);
    assert_eq!(after[0], of("zeta"));
    // The gateway's key was refused too, for everybody; the request of `test`, which has no other, brought it back.
    assert_eq!(after[1..], [operators(), operators()]);
    // Of `two`, only zeta has a key.
    pair.first.push(error(503));
    assert_eq!(send("zeta").await.status, 200);
    let of_two = credentials(&pair.second, 0);
    assert_eq!(of_two.last(), Some(&stored_key("zeta", "two", "main")));
    assert!(of_two.iter().filter(|key| key.contains("stored")).count() == 1);
}

#[tokio::test]
async fn a_key_that_is_set_aside_is_tried_last_until_it_is_known_to_serve() {
    let pair = with_keys(&[("a", &[]), ("b", &[])], |it| it).await;
    pair.first.push(error(401));
    for _ in 0..3 {
        assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
    }
    let expected = [own("a"), own("b"), own("b"), own("b")];
    assert_eq!(credentials(&pair.first, 0), expected);
    // All others fail: it is tried all the same, the soonest to return first.
    (0..2).for_each(|_| pair.first.push(error(403)));
    assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
    let expected = [own("b"), operators(), own("a")];
    assert_eq!(credentials(&pair.first, 4), expected);
    // It is the account's matter, and no alarm of the operator's.
    let metrics = pair.gateway.metrics().await;
    assert!(!metrics.has("tollgate_key_failures_total", &[("provider", "one")]));
    let aside = metrics.sum("tollgate_keys_set_aside", &[("provider", "one")]);
    assert!(aside == 0.0, "{aside}");
    assert!(metrics.sum("tollgate_provider_keys", &[("state", "usable")]) == 2.0);
}

#[tokio::test]
async fn a_key_that_the_client_sends_along_is_used_in_place_of_stored_ones() {
    const SENT: &str = "sk-sent-along-by-a-client";
    let pair = with_keys(&[("main", &[])], |it| {
        it.key("both", &["--credential-steps", "request,byok"])
    })
    .await;
    let with = |key: &str| {
        let request = client::post("/v1/chat/completions", bodies::chat(MODEL).build());
        let request = request.header("tollgate-key", pair.gateway.key_named(key));
        request.bearer(SENT)
    };
    pair.first.push(error(401));
    let response = pair.gateway.send(&with("test")).await;
    assert_eq!((response.status, source(&response)), (401, "request"));
    let response = pair.gateway.send(&with("both")).await;
    assert_eq!((response.status, source(&response)), (200, "request"));
    assert_eq!(credentials(&pair.first, 0), [SENT, SENT]);
    assert_eq!(pair.second.count(), 0);
}

#[tokio::test]
async fn a_custom_provider_gets_the_key_in_its_own_way() {
    let upstream = upstream::h1().reply(pair::good()).start().await;
    let house = custom("house")
        .model(MODEL)
        .set("auth", json!("header:x-house-key"));
    let gateway = gateway()
        .custom(house, &upstream)
        .config("providers.house.keys", Vec::<String>::new())
        .stored("default", "house", "main", &[])
        .start()
        .await;
    let response = gateway.send(&chat(&gateway, 0)).await;
    assert_eq!((response.status, source(&response)), (200, "byok"));
    let delivery = upstream.delivery();
    let expected = stored_key("default", "house", "main");
    assert_eq!(delivery.header("x-house-key"), Some(&*expected));
    assert_eq!(delivery.header("authorization"), None);
}

#[tokio::test]
async fn on_ones_own_key_every_header_goes_along_and_comes_back() {
    let pair = with_keys(&[("main", &[])], |it| it).await;
    let limits = pair::good()
        .header("x-ratelimit-remaining-requests", "17")
        .header("set-cookie", "a=b");
    pair.first.push(limits.clone());
    pair.second.push(limits);
    let request = |model: &str| {
        let body = bodies::chat(model).build();
        let request = pair.gateway.post("/v1/chat/completions", body);
        request
            .header("openai-organization", "org-1")
            .header("openai-beta", "x=v1")
    };
    let response = pair.gateway.send(&request(&format!("one:{MODEL}"))).await;
    assert_eq!(
        response.header("x-ratelimit-remaining-requests"),
        Some("17")
    );
    assert_eq!(response.header("set-cookie"), Some("a=b"));
    assert_eq!(
        pair.first.delivery().header("openai-organization"),
        Some("org-1")
    );
    let response = pair.gateway.send(&request(&format!("two:{MODEL}"))).await;
    assert_eq!(response.header("set-cookie"), None);
    assert_eq!(pair.second.delivery().header("openai-organization"), None);
}

#[tokio::test]
async fn an_explanation_names_the_stored_keys() {
    let keys: [(&str, &[&str]); 2] = [("a", &[]), ("b", &["--no-fallback"])];
    let pair = with_keys(&keys, |it| it).await;
    pair.first.push(error(401));
    assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
    let body = bodies::chat(MODEL).build();
    let request = pair.gateway.post("/tollgate/v1/explain", body);
    let told = pair.gateway.send(&request).await.json();
    let one = &told["candidates"][0];
    let keys: Vec<_> = one["credentials"]
        .as_array()
        .expect("credentials")
        .iter()
        .map(|key| {
            (
                key["step"].clone(),
                key["name"].clone(),
                key["state"].clone(),
            )
        })
        .collect();
    let row = |name: &str, state: &str| (json!("byok"), json!(name), json!(state));
    assert_eq!(keys, [row("b", "ready"), row("a", "set_aside")]);
    assert!(
        one["notes"][0]
            .as_str()
            .expect("a note")
            .contains("does not fall back")
    );

    // So does the command, which knows no health and opens nothing.
    let id = &pair.gateway.key()[3..15];
    let told = pair.gateway.run(&["explain", MODEL, "--key", id]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.stdout.contains("byok key 1 a, byok key 2 b\n"),
        "{}",
        told.stdout
    );
    assert!(
        told.stdout.contains("does not fall back"),
        "{}",
        told.stdout
    );
}
