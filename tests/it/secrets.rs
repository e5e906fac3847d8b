//! No secret is found where it does not belong: in logs at their most talkative, in metrics, in answers of our own, in the
//! store, at an upstream it was not meant for. Each secret here is a text that occurs nowhere else.

use serde_json::json;

use crate::ask::{self, speaking_all};
use crate::support::client::{self, Request, get};
use crate::support::gateway::{Gateway, custom, gateway, upstream_key};
use crate::support::upstream::{self, Upstream, fault};

/// Provider keys of clients.
const OWN: &str = "sk-own-key-of-a-client-4f1d7c";
const FOREIGN: &str = "sk-foreign-key-of-a-client-9e02ab";
/// What looks like an access key, and is none.
const MISTYPED: &str = "tg-0000000000001111111111222222222233333333334444444444555";
/// In places where no credential belongs, but some clients put one.
const COOKIE: &str = "session-cookie-of-a-client-77aa";
const BASIC: &str = "dXNlcjpwYXNzd29yZC1vZi1hLWNsaWVudA";

/// The secret part of an access key; what stands before it is its public id.
fn secret_of(key: &str) -> &str {
    &key[15..]
}

/// A gateway that says all it can, in front of a provider that works, one that fails, and one that nobody answers for.
struct Lab {
    gateway: Gateway,
    good: Upstream,
    bad: Upstream,
    _nobody: Upstream,
}

impl Lab {
    async fn new() -> Self {
        let good = upstream::h1().reply(ask::answer()).start().await;
        let bad = upstream::h1().otherwise(ask::busy()).start().await;
        let nobody = upstream::refusing();
        let of = |id: &str| speaking_all(custom(id).model("shared").model(&format!("only-{id}")));
        let gateway = gateway()
            .config("log.level", "trace")
            .custom(of("nobody"), &nobody)
            .custom(of("bad"), &bad)
            .custom(of("good").set("auth", json!("header:x-api-key")), &good)
            .credentials("bad", 2)
            .key("second", &[])
            .start()
            .await;
        Self {
            gateway,
            good,
            bad,
            _nobody: nobody,
        }
    }

    /// Every secret that this gateway has seen, with a name for messages.
    fn secrets(&self) -> Vec<(&'static str, String)> {
        let key = |name| secret_of(self.gateway.key_named(name)).to_owned();
        vec![
            ("an access key", key("test")),
            ("another access key", key("second")),
            ("a mistyped access key", secret_of(MISTYPED).to_owned()),
            ("a client's own key", OWN.to_owned()),
            ("a client's foreign key", FOREIGN.to_owned()),
            ("a cookie", COOKIE.to_owned()),
            ("a basic credential", BASIC.to_owned()),
            ("the key for `good`", upstream_key("good", 0)),
            ("the key for `bad`", upstream_key("bad", 0)),
            ("the second key for `bad`", upstream_key("bad", 1)),
            ("the key for `nobody`", upstream_key("nobody", 0)),
        ]
    }

    #[track_caller]
    fn none_in(&self, text: &str, place: &str) {
        for (what, secret) in self.secrets() {
            // Percent-encoded or not: the last letters of each are plain.
            let part = &secret[secret.len() / 2..];
            let found = text
                .find(part)
                .map(|at| &text[at.saturating_sub(80)..(at + part.len()).min(text.len())]);
            assert_eq!(found, None, "{what} in {place}");
        }
    }

    /// Requests with credentials in every place, good and bad, answered and not.
    fn requests(&self) -> Vec<Request> {
        let (key, second) = (self.gateway.key(), self.gateway.key_named("second"));
        let mut requests = Vec::new();
        for model in ["good:m", "shared", "bad:m", "nobody:m", "no-such-model", ""] {
            for name in ["chat", "messages"] {
                let surface = ask::surface(name);
                for key in [key, MISTYPED] {
                    requests.extend(everywhere(key, surface.path, &surface.body(model)));
                }
                let with_own = everywhere(OWN, surface.path, &surface.body(model));
                requests.extend(
                    with_own
                        .into_iter()
                        .map(|request| request.header("tollgate-key", key)),
                );
            }
        }
        let chat = ask::surface("chat");
        let with = |body: &str| client::post(chat.path, body.to_owned()).bearer(key);
        requests.extend([
            chat.post("good:m").bearer(key).header("x-api-key", second),
            chat.post("good:m").bearer(key).header("x-api-key", FOREIGN),
            chat.post("good:m")
                .header("tollgate-key", key)
                .bearer(OWN)
                .header("api-key", FOREIGN),
            chat.post("good:m")
                .header("authorization", &format!("Basic {BASIC}")),
            chat.post("good:m").bearer(key).header("cookie", COOKIE),
            chat.post("good:m").bearer(FOREIGN),
            with("no JSON"),
            with(""),
            with(r#"{"model":"good:m","model":"bad:m"}"#),
            chat.post("good:m")
                .bearer(key)
                .header("content-encoding", "compress"),
            chat.post("good:m")
                .bearer(key)
                .header("tollgate-provider", "nobody-there"),
            chat.post("good:m")
                .bearer(key)
                .header("tollgate-nonsense", "nonsense"),
            get(&format!("/nowhere?key={key}")),
            get(&format!("/v1/models?key={key}&limit=0")).header("anthropic-version", "2023-06-01"),
            get(&format!("/v1/models/no-such-model?key={key}")),
            get(&format!("/healthz?key={key}")),
        ]);
        requests
    }
}

/// The same request with `key` in each place where one may stand.
fn everywhere(key: &str, path: &str, body: &str) -> Vec<Request> {
    let at = |query: &str| client::post(&format!("{path}{query}"), body.to_owned());
    vec![
        at("").bearer(key),
        at("").header("authorization", key),
        at("").header("x-api-key", key),
        at("").header("api-key", key),
        at("").header("x-goog-api-key", key),
        at(&format!("?key={key}")),
        at(&format!(
            "?beta=true&k%65y=%{:02x}{}",
            key.as_bytes()[0],
            &key[1..]
        )),
        at("").header(
            "sec-websocket-protocol",
            &format!("realtime, openai-insecure-api-key.{key}"),
        ),
    ]
}

#[tokio::test]
async fn no_secret_is_found_where_it_does_not_belong() {
    let lab = Lab::new().await;
    lab.bad.push(fault::malformed("nonsense\r\n\r\n"));
    lab.bad.push(fault::reset_after_body());
    lab.bad.push(fault::reset_in_head());
    let mut client = client::h1(lab.gateway.address()).await;
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    let requests = lab.requests();
    for request in &requests {
        let response = client.try_send(request).await;
        let response = response.unwrap_or_else(|error| panic!("{error} after {request:?}"));
        lab.none_in(&ask::seen(&response), "an answer");
        *statuses.entry(response.status).or_default() += 1;
        if response.head.closes() {
            client = client::h1(lab.gateway.address()).await;
        }
    }
    // All kinds of ends were among them.
    for status in [200, 400, 401, 404, 415, 502, 503] {
        assert!(statuses.contains_key(&status), "no {status}: {statuses:?}");
    }
    let lines = lab.gateway.access_lines(requests.len()).await;
    assert!(
        lines
            .iter()
            .any(|line| line["key"] == lab.gateway.key()[3..15]),
        "{}",
        lines[0]
    );

    let written = lab.gateway.everything_written();
    assert!(
        written.contains("\"level\":\"debug\""),
        "the log does not say all it can"
    );
    lab.none_in(&written, "a log");
    let metrics = lab.gateway.ask_admin("/metrics").await;
    assert!(
        metrics.text().contains("tollgate_requests_total"),
        "{}",
        metrics.text()
    );
    lab.none_in(&metrics.text(), "the metrics");
    let store = ask::files(lab.gateway.folder(), "tollgate.db").expect("the store");
    assert!(
        store.contains(&lab.gateway.key()[3..15]),
        "the key's id is not in the store"
    );
    lab.none_in(&store, "the store");

    at_its_own_upstream_only(&lab.good, "good", "bad", &lab);
    at_its_own_upstream_only(&lab.bad, "bad", "good", &lab);
}

/// Looks through everything that an upstream got for keys that are not its own.
fn at_its_own_upstream_only(upstream: &Upstream, own: &str, other: &str, lab: &Lab) {
    let deliveries = upstream.deliveries();
    let got: String = deliveries.iter().map(ask::got).collect();
    assert!(got.contains(&upstream_key(own, 0)), "{own} was not asked");
    assert!(
        got.contains(OWN),
        "{own} was not asked with a client's own key"
    );
    for secret in [
        secret_of(lab.gateway.key()),
        secret_of(lab.gateway.key_named("second")),
        secret_of(MISTYPED),
        FOREIGN,
        COOKIE,
        &upstream_key(other, 0),
        &upstream_key("nobody", 0),
    ] {
        assert!(!got.contains(&secret[1..]), "{secret} at {own}");
    }
    for delivery in deliveries {
        // One credential, in one place: that of the gateway or that of the client.
        let text = ask::got(&delivery);
        let count = |key: &str| text.matches(key).count();
        let found = count(OWN) + count(&upstream_key(own, 0)) + count(&upstream_key(own, 1));
        assert_eq!(found, 1, "{text}");
    }
}

#[tokio::test]
async fn broken_requests_leave_no_secret_in_the_log() {
    let lab = Lab::new().await;
    let key = lab.gateway.key();
    let credentials =
        format!("authorization: Bearer {key}\r\nx-api-key: {FOREIGN}\r\ncookie: {COOKIE}\r\n");
    for raw in [
        format!(
            "POST /v1/chat/completions?key={key} HTTP/1.1\r\nhost: a\r\n{credentials}content-length: 1\r\ncontent-length: 2\r\n\r\n{{}}"
        ),
        format!(
            "POST /v1/chat/completions?key={key} HTTP/1.1\r\nhost: a\r\n{credentials}transfer-encoding: chunked\r\n\r\nzz\r\n"
        ),
        format!("POST /v1/chat/completions?key={key} HTTP/9.9\r\nhost: a\r\n{credentials}\r\n"),
        format!(
            "POST /v1/chat/completions?key={key} HTTP/1.1\r\nhost: a\r\n{credentials}no colon {key}\r\n\r\n"
        ),
        format!("GET /v1/models?key={key}\r\n\r\n"),
        format!("{key} {FOREIGN} \r\n\r\n"),
        format!(
            "POST /v1/chat/completions?key={key} HTTP/1.1\r\nhost: a\r\n{credentials}content-length: 100\r\n\r\n{{"
        ),
    ] {
        let mut client = client::h1(lab.gateway.address()).await;
        client.queue(raw);
        let _ = client.half_close().await;
        if let Ok(response) = client.response("POST").await {
            lab.none_in(&ask::seen(&response), "an answer");
            assert!(response.status >= 400, "{}", response.status);
        }
    }
    for broken in ["x: \0", "no colon"] {
        let mut client = client::h1(lab.gateway.admin()).await;
        client.queue(format!(
            "GET /metrics HTTP/1.1\r\nhost: a\r\n{credentials}{broken}\r\n\r\n"
        ));
        let _ = client.half_close().await;
        let _ = client.response("GET").await;
    }
    // The log is behind by a moment at the most: a last request comes after all of them.
    assert_eq!(
        lab.gateway
            .send(&ask::surface("chat").post("good:m").bearer(key))
            .await
            .status,
        200
    );
    lab.gateway.access_lines(1).await;
    lab.none_in(&lab.gateway.everything_written(), "a log");
}

#[tokio::test]
async fn the_key_is_shown_once_and_listed_without_its_secret() {
    let lab = Lab::new().await;
    for arguments in [&["keys", "list"][..], &["keys", "list", "--json"]] {
        let listed = lab.gateway.run(arguments);
        assert_eq!(listed.code, Some(0), "{listed:?}");
        assert!(
            listed.stdout.contains(&lab.gateway.key()[3..15]),
            "{listed:?}"
        );
        lab.none_in(&listed.stdout, "a list of keys");
        lab.none_in(&listed.stderr, "a list of keys");
    }
    // Who revokes a leaked key has it at hand; it is not repeated.
    let revoked = lab.gateway.run(&["keys", "revoke", lab.gateway.key()]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    lab.none_in(&revoked.stdout, "an answer of `keys revoke`");
    let unknown = lab.gateway.run(&["keys", "revoke", MISTYPED]);
    assert_ne!(unknown.code, Some(0), "{unknown:?}");
    lab.none_in(
        &format!("{}{}", unknown.stdout, unknown.stderr),
        "an answer of `keys revoke`",
    );
}
