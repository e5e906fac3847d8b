//! A provider that repeats the credential it was sent (E5): in headers, in the reason phrase, in the bodies of errors, plain,
//! escaped, compressed and across pieces. The client does not get it, and nothing that is written down has it; all else of
//! the answer stays as it was, its length too.

use bytes::Bytes;

use crate::ask;
use crate::pair::{self, MODEL};
use crate::support::bodies;
use crate::support::client::{self, Client, Ending, Protocol, Response};
use crate::support::gateway::{Builder, Gateway, custom, gateway, stored_key, upstream_key};
use crate::support::packed::{CODINGS, packed};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream, behave, fault};

const TARGET: &str = "/v1/chat/completions";

/// Provider `one`, which has one key of the operator's.
struct Lab {
    authority: Authority,
    upstream: Upstream,
    gateway: Gateway,
    secret: String,
}

impl Lab {
    async fn new(speaks: Protocol) -> Self {
        let secret = upstream_key("one", 0);
        Self::with(speaks, secret, |gateway| gateway).await
    }

    async fn with(
        speaks: Protocol,
        secret: String,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let authority = Authority::new();
        let upstream = match speaks {
            Protocol::H2Tls => upstream::h2_tls(&authority),
            _ => upstream::h1(),
        };
        let upstream = upstream.reply(pair::good()).start().await;
        let gateway = gateway()
            .config("health.passive", false)
            .config("log.level", "trace")
            .trust(&authority)
            .custom(custom("one").model(MODEL), &upstream);
        Self {
            gateway: configure(gateway).start().await,
            authority,
            upstream,
            secret,
        }
    }

    async fn client(&self, protocol: Protocol) -> Client {
        Client::connect(protocol, self.gateway.address(), &self.authority).await
    }

    async fn meet(&self, client: &mut Client, answer: impl Into<upstream::Behaviour>) -> Response {
        self.upstream.push(answer);
        let body = bodies::chat(MODEL).build();
        client.send(&self.gateway.post(TARGET, body)).await
    }

    /// Ways of writing the secret, each of which it can be read from.
    fn written(&self) -> Vec<String> {
        let secret = &self.secret;
        let (first, rest) = secret.split_at(1);
        let code = first.as_bytes()[0];
        let every = |form: &dyn Fn(u8) -> String| secret.bytes().map(form).collect::<String>();
        vec![
            secret.clone(),
            format!("\\u{code:04x}{rest}"),
            every(&|byte| format!("\\u{byte:04X}")),
            every(&|byte| format!("\\\\u{byte:04x}")),
            every(&|byte| format!("%{byte:02x}")),
            secret.replace('-', "%2D"),
            secret.replace('-', "\\-"),
        ]
    }

    #[track_caller]
    fn none_in(&self, text: &str, place: &str) {
        for written in self.written() {
            assert!(!text.contains(&written), "{written} in {place}: {text}");
        }
        // Nor most of it.
        let part = &self.secret[..self.secret.len() - 4];
        assert!(!text.contains(part), "{part} in {place}: {text}");
    }

    /// Nothing that is written down has the secret.
    async fn none_written(&self, answers: usize) {
        self.gateway.access_lines(answers).await;
        self.none_in(&self.gateway.everything_written(), "a log");
        let metrics = self.gateway.ask_admin("/metrics").await.text();
        self.none_in(&metrics, "the metrics");
        let store = ask::files(self.gateway.folder(), "tollgate.db").expect("the store");
        self.none_in(&store, "the store");
        let access = ask::files(self.gateway.folder(), "access.log").expect("the access log");
        self.none_in(&access, "the access log");
    }
}

fn stars(text: &str) -> String {
    "*".repeat(text.len())
}

fn error(secret: &str) -> String {
    format!(r#"{{"error":{{"message":"No key {secret} here, sk-{secret}.","type":"auth"}}}}"#)
}

#[tokio::test]
async fn in_the_body_of_an_error_it_is_written_over_at_its_length() {
    for speaks in [Protocol::H1, Protocol::H2Tls] {
        let lab = Lab::new(speaks).await;
        let mut answers = 0;
        for protocol in [Protocol::H1, Protocol::H2c] {
            let mut client = lab.client(protocol).await;
            for (turn, written) in lab.written().into_iter().enumerate() {
                let status = [400, 404, 422, 500, 503, 302][turn % 6];
                let body = error(&written);
                let cut = body.find(&written).expect("there") + written.len() / 2;
                let (before, behind) = body.split_at(cut);
                let whole = Reply::json(status, body.clone());
                let halves = Reply::json(status, before.to_owned()).piece(behind.to_owned());
                let mut bytes = Reply::status(status).chunked();
                for byte in body.bytes() {
                    bytes = bytes.piece(vec![byte]);
                }
                for (what, reply) in [
                    ("whole", whole),
                    ("in halves", halves.clone()),
                    ("in chunked halves", halves.chunked()),
                    ("by bytes", bytes),
                ] {
                    let what = format!("{written} {what}, {protocol:?} to {speaks:?}");
                    let response = lab.meet(&mut client, reply).await;
                    answers += 1;
                    assert_eq!(response.status, status, "{what}");
                    assert_eq!(response.ending, Ending::Whole, "{what}");
                    assert_eq!(response.text(), error(&stars(&written)), "{what}");
                    if let Some(length) = response.header("content-length") {
                        assert_eq!(length, body.len().to_string(), "{what}");
                    }
                }
            }
        }
        lab.none_written(answers).await;
    }
}

#[tokio::test]
async fn in_a_header_it_is_written_over_whatever_the_status() {
    let lab = Lab::new(Protocol::H1).await;
    let mut client = lab.client(Protocol::H1).await;
    let secret = &lab.secret;
    let mut answers = 0;
    for status in [200, 302, 400, 500] {
        for written in lab.written() {
            let body = if status == 200 {
                pair::good().body()
            } else {
                Bytes::from_static(b"{}")
            };
            let reply = Reply::json(status, body.clone())
                .header("x-request-id", &format!("req-{written}"))
                .header("www-authenticate", &format!("Bearer key=\"{secret}\""))
                .header("x-echo", "one")
                .header("x-echo", &format!("Bearer {written}, {written}"))
                .header("location", &format!("https://a.test/?key={written}&b=1"));
            let response = lab.meet(&mut client, reply).await;
            answers += 1;
            assert_eq!(response.status, status);
            lab.none_in(&ask::seen(&response), "an answer");
            let stars = stars(&written);
            let echoes = response.head.all("x-echo");
            assert_eq!(echoes, ["one", &format!("Bearer {stars}, {stars}")]);
            let location = format!("https://a.test/?key={stars}&b=1");
            assert_eq!(response.header("location"), Some(&*location));
            assert_eq!(response.body, body);
        }
    }
    lab.none_written(answers).await;
}

#[tokio::test]
async fn in_the_reason_phrase_it_does_not_go_on() {
    let lab = Lab::new(Protocol::H1).await;
    for status in [200, 400] {
        let head = format!("HTTP/1.1 {status} Not {}\r\n", lab.secret);
        let answer = format!("{head}content-length: 2\r\n\r\n{{}}");
        lab.upstream.push(behave().read().raw(answer));
        let mut client = client::h1(lab.gateway.address()).await;
        let body = bodies::chat(MODEL).build();
        let request = format!(
            "POST {TARGET} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            lab.gateway.key(),
            body.len()
        );
        client.queue([request.as_bytes(), &body].concat());
        client.flush().await.expect("sent");
        let response = client.response("POST").await.expect("an answer");
        assert_eq!(
            (response.status, response.text()),
            (status, "{}".to_owned())
        );
    }
    lab.none_written(2).await;
}

#[tokio::test]
async fn in_a_compressed_error_it_is_found_and_other_ones_pass_as_they_are() {
    for speaks in [Protocol::H1, Protocol::H2Tls] {
        let lab = Lab::new(speaks).await;
        let mut client = lab.client(Protocol::H1).await;
        let mut answers = 0;
        for coding in CODINGS {
            let reply = |status, text: &str| {
                let bytes = packed(coding, text.as_bytes());
                let (before, behind) = bytes.split_at(bytes.len() / 2);
                Reply::json(status, before.to_vec())
                    .piece(behind.to_vec())
                    .header("content-encoding", coding)
            };
            for status in [400, 503] {
                let clean = reply(status, &error("of mine"));
                for clean in [clean.clone(), clean.chunked()] {
                    let response = lab.meet(&mut client, clean.clone()).await;
                    answers += 1;
                    assert_eq!(response.status, status, "{coding}");
                    assert_eq!(response.body, clean.body(), "{coding}");
                    assert_eq!(response.header("content-encoding"), Some(coding));
                }
                for written in lab.written() {
                    let told = reply(status, &error(&written));
                    for told in [told.clone(), told.chunked()] {
                        let response = lab.meet(&mut client, told).await;
                        answers += 1;
                        assert_eq!(response.status, status, "{coding}");
                        assert_eq!(response.header("content-encoding"), None);
                        assert_eq!(response.text(), error(&stars(&written)), "{coding}");
                        assert_eq!(response.ending, Ending::Whole, "{coding}");
                    }
                }
            }
        }
        lab.none_written(answers).await;
    }
}

/// Text that hardly gets smaller.
fn noise(bytes: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let digit = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state & 63) as u8)
    };
    let text: String = (0..bytes).map(digit).collect();
    text.replace('\\', "/")
}

/// More than is gathered of a compressed error: what has been read of it goes out as text without the key, and ends there.
#[tokio::test]
async fn of_a_long_compressed_error_that_tells_it_the_beginning_goes_out_as_text() {
    let lab = Lab::new(Protocol::H1).await;
    let mut client = lab.client(Protocol::H1).await;
    let noise = noise(200 * 1024);
    let text = format!("{}{noise}", lab.secret);
    let bytes = packed("gzip", text.as_bytes());
    let mut reply = Reply::json(400, Vec::new()).header("content-encoding", "gzip");
    for piece in bytes.chunks(8 * 1024) {
        reply = reply.piece(piece.to_vec());
    }
    for told in [reply.clone(), reply.chunked()] {
        let response = lab.meet(&mut client, told).await;
        assert_eq!(response.status, 400);
        assert_eq!(response.header("content-encoding"), None);
        assert_eq!(response.ending, Ending::Whole);
        let body = response.text();
        let behind = body.strip_prefix(&stars(&lab.secret)).expect("stars first");
        assert!(behind.len() > 32 * 1024 && noise.starts_with(behind));
        // The connection is answered on as ever.
        let good = lab.meet(&mut client, pair::good()).await;
        assert_eq!((good.status, good.ending), (200, Ending::Whole));
    }
    lab.none_written(4).await;
}

#[tokio::test]
async fn an_answer_that_was_kept_while_others_were_tried_does_not_tell_it() {
    for status in [401, 402, 403, 429, 500] {
        for coding in ["identity", "gzip"] {
            let pair = pair::Pair::start(|gateway| gateway.config("log.level", "trace")).await;
            let keys = [upstream_key("one", 0), upstream_key("two", 0)];
            for upstream in [&pair.first, &pair.second] {
                let key = &keys[usize::from(std::ptr::eq(upstream, &pair.second))];
                let text = error(key);
                let bytes = if coding == "gzip" {
                    packed(coding, text.as_bytes())
                } else {
                    text.into_bytes()
                };
                upstream.push(
                    Reply::json(status, bytes)
                        .header("content-encoding", coding)
                        .header("x-request-id", key),
                );
            }
            let (response, reached) = pair.send(&pair::chat(&pair.gateway, 0)).await;
            assert_eq!((response.status, reached), (status, pair::Reached(1, 1)));
            assert_eq!(
                response.text(),
                error(&stars(&keys[1])),
                "{status} {coding}"
            );
            pair.gateway.access_lines(1).await;
            let written = pair.gateway.everything_written();
            for key in &keys {
                assert!(!ask::seen(&response).contains(key), "{status}");
                assert!(!written.contains(key), "{status}: {written}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_in_its_middle_does_not_tell_the_beginning() {
    let lab = Lab::new(Protocol::H1).await;
    let text = format!("No key {}", lab.secret);
    for cut in [10, 15, text.len() - 1] {
        let reply = Reply::json(400, text.clone()).piece("more");
        lab.upstream.push(fault::truncated(reply, cut));
        let body = bodies::chat(MODEL).build();
        let response = lab.gateway.send(&lab.gateway.post(TARGET, body)).await;
        assert_ne!(response.ending, Ending::Whole);
        lab.none_in(&ask::seen(&response), "an answer");
        let told = &text[..cut];
        let kept = if cut < 7 + 8 {
            told.to_owned()
        } else {
            format!("No key {}", stars(&told[7..]))
        };
        // What was held back may be lost with the rest.
        assert!(kept.starts_with(&response.text()), "{}", response.text());
    }
    lab.none_written(3).await;
}

#[tokio::test]
async fn a_stored_key_is_as_secret_and_the_clients_own_is_its_own() {
    let secret = stored_key("default", "one", "main");
    let lab = Lab::with(Protocol::H1, secret, |gateway| {
        gateway.stored("default", "one", "main", &[])
    })
    .await;
    let mut client = lab.client(Protocol::H1).await;
    let reply = Reply::json(400, error(&lab.secret)).header("x-echo", &lab.secret);
    let response = lab.meet(&mut client, reply).await;
    assert_eq!(response.header("tollgate-credential"), Some("byok"));
    assert_eq!(response.text(), error(&stars(&lab.secret)));
    assert_eq!(response.header("x-echo"), Some(&*stars(&lab.secret)));

    let own = "sk-own-key-of-a-client-4f1d7c";
    let told = Reply::json(400, error(own)).header("x-echo", own);
    lab.upstream.push(told);
    let body = bodies::chat(MODEL).build();
    let request = client::post(TARGET, body)
        .header("tollgate-key", lab.gateway.key())
        .bearer(own);
    let response = lab.gateway.send(&request).await;
    assert_eq!(response.header("tollgate-credential"), Some("request"));
    assert_eq!(response.text(), error(own));
    assert_eq!(response.header("x-echo"), Some(own));
    lab.none_written(2).await;
}

#[tokio::test]
async fn a_good_answer_is_not_looked_into() {
    let lab = Lab::new(Protocol::H1).await;
    let mut client = lab.client(Protocol::H1).await;
    let body = error(&lab.secret);
    let response = lab.meet(&mut client, Reply::json(200, body.clone())).await;
    assert_eq!((response.status, response.text()), (200, body));
}
