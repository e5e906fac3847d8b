//! Compressed request bodies: routed and priced as their text would be, sent on to the byte where nothing is edited, and
//! compressed again where something is; and what is refused of them.

use crate::limits::{CLIENTS, KIB, Lab, MIB, TARGET};
use crate::pair::{self, MODEL, code};
use crate::support::bodies::{self, POSITIONS, Position};
use crate::support::client::{Client, Protocol, Request, Response};
use crate::support::edits::{self, Edit};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::packed::{CODINGS, packed, unpacked};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Delivery, Reply, payload};
use crate::till::{COST, INPUT, OUTPUT, Till};

/// A virtual model, whose name differs from the id that the provider knows.
const RENAMED: &str = "renamed-model";

fn post(gateway: &Gateway, coding: &str, bytes: Vec<u8>) -> Request {
    gateway
        .post(TARGET, bytes)
        .header("content-encoding", coding)
}

fn told(response: &Response) -> (u16, String) {
    (response.status, code(response))
}

/// The delivery's body is the text with these edits, in the same coding.
fn is_edited(delivery: &Delivery, coding: &str, text: &[u8], edit: Edit<'_>, what: &str) {
    assert_eq!(delivery.header("content-encoding"), Some(coding), "{what}");
    let length = delivery.header("content-length").map(str::to_owned);
    assert_eq!(length, Some(delivery.length.to_string()), "{what}");
    let arrived = unpacked(coding, &delivery.bytes());
    assert_eq!(arrived, edits::expected(text, &[edit]), "{what}");
}

#[tokio::test]
async fn the_clients_bytes_go_on_unless_something_is_edited() {
    let authority = Authority::new();
    for speaks in [Protocol::H1, Protocol::H2Tls] {
        let builder = match speaks {
            Protocol::H2Tls => upstream::h2_tls(&authority),
            _ => upstream::h1(),
        };
        let upstream = builder.reply(pair::good()).start().await;
        let gateway = gateway()
            .trust(&authority)
            .custom(custom("one").model(MODEL), &upstream)
            .virtual_model(RENAMED, &[&format!("one:{MODEL}")])
            .start()
            .await;
        for protocol in CLIENTS {
            let mut client = Client::connect(protocol, gateway.address(), &authority).await;
            for (turn, coding) in CODINGS.into_iter().enumerate() {
                for size in [KIB, 300 * KIB, 900 * KIB] {
                    let what = format!("{coding}, {size} bytes, {protocol:?} to {speaks:?}");
                    let announced = turn % 2 == 0;
                    let position = POSITIONS[turn % POSITIONS.len()];
                    for model in [MODEL, RENAMED] {
                        let count = upstream.count();
                        let text = bodies::sized(model, position, size);
                        let bytes = packed(coding, &text);
                        let request = post(&gateway, coding, bytes.clone()).pieces(7919);
                        let request = if announced {
                            request
                        } else {
                            request.unannounced()
                        };
                        let response = client.send(&request).await;
                        assert_eq!(response.status, 200, "{what}: {}", response.text());
                        let delivery = upstream.deliveries_since(count).remove(0);
                        if model == MODEL {
                            assert_eq!(response.header("tollgate-edits"), None, "{what}");
                            assert_eq!(delivery.bytes(), bytes, "{what}");
                            let said = delivery.header("content-encoding");
                            assert_eq!(said, Some(coding), "{what}");
                        } else {
                            let made = response.header("tollgate-edits");
                            assert_eq!(made, Some("E1"), "{what}");
                            is_edited(&delivery, coding, &text, Edit::Model(MODEL), &what);
                        }
                    }
                }
            }
        }
        pair::idle(&gateway).await;
    }
}

#[tokio::test]
async fn each_attempt_sends_the_same_bytes() {
    let pair = pair::Pair::start(|gateway| {
        let models = [&*format!("one:{MODEL}"), &*format!("two:{MODEL}")];
        gateway.virtual_model(RENAMED, &models)
    })
    .await;
    for coding in CODINGS {
        for model in [MODEL, RENAMED] {
            let counts = (pair.first.count(), pair.second.count());
            let text = bodies::sized(model, Position::Last, 200 * KIB);
            let bytes = packed(coding, &text);
            pair.first.push(pair::error(503));
            let request = post(&pair.gateway, coding, bytes.clone());
            let response = pair.gateway.send(&request).await;
            assert_eq!(response.status, 200, "{coding}: {}", response.text());
            let first = pair.first.deliveries_since(counts.0).remove(0);
            let second = pair.second.deliveries_since(counts.1).remove(0);
            assert_eq!(first.bytes(), second.bytes(), "{coding}");
            if model == MODEL {
                assert_eq!(first.bytes(), bytes, "{coding}");
            } else {
                is_edited(&second, coding, &text, Edit::Model(MODEL), coding);
            }
        }
    }
    pair::idle(&pair.gateway).await;
}

#[tokio::test]
async fn it_costs_what_its_text_would_cost() {
    let till = Till::new().await;
    let body = bodies::chat(MODEL)
        .size(20 * KIB)
        .member("max_tokens", "100")
        .build();
    let response = till.send(&till.gateway.post(TARGET, body.clone())).await;
    assert_eq!(response.status, 200, "{}", response.text());
    for coding in CODINGS {
        let request = post(&till.gateway, coding, packed(coding, &body));
        let response = till.send(&request).await;
        assert_eq!(response.status, 200, "{coding}: {}", response.text());
    }
    let rows = till.rows(1 + CODINGS.len()).await;
    let held = rows[0].held;
    assert!(held.nanos() > 100 * OUTPUT + 4 * KIB as i64 * INPUT);
    assert!(rows.iter().all(|row| row.held == held), "{rows:?}");
    till.is_charged(COST * rows.len() as i64).await;
}

#[tokio::test]
async fn a_stream_is_made_to_tell_its_usage() {
    let till = Till::new().await;
    for (number, coding) in CODINGS.into_iter().enumerate() {
        let events = payload::chat_sse(MODEL, 3, Some(crate::till::USAGE));
        let pace = std::time::Duration::ZERO;
        till.upstream.push(Reply::sse(events, pace));
        let text = bodies::chat(MODEL).member("stream", "true").build();
        let request = post(&till.gateway, coding, packed(coding, &text));
        let response = till.send(&request).await;
        assert_eq!(response.status, 200, "{coding}: {}", response.text());
        let made = response.header("tollgate-edits");
        assert_eq!(made, Some("E3, E4"), "{coding}");
        let delivery = till.upstream.deliveries_since(number).remove(0);
        let arrived = String::from_utf8(unpacked(coding, &delivery.bytes())).expect("text");
        assert!(
            arrived.contains(r#""stream_options":{"include_usage":true}"#),
            "{arrived}"
        );
    }
    till.rows(CODINGS.len()).await;
    till.is_charged(COST * CODINGS.len() as i64).await;
}

#[tokio::test]
async fn what_is_cut_off_damaged_or_not_compressed_is_refused() {
    let lab = Lab::new(|gateway| gateway).await;
    let text = bodies::sized(MODEL, Position::First, 4 * KIB);
    for protocol in CLIENTS {
        let mut client = lab.client(protocol).await;
        for coding in CODINGS {
            let whole = packed(coding, &text);
            let mut mistakes = vec![
                ("plain text", text.to_vec()),
                ("with more behind it", [&whole[..], b"more"].concat()),
                ("of nothing", packed(coding, b"")),
                ("of what is no JSON", packed(coding, b"model: m")),
                ("of half a JSON", packed(coding, &text[..text.len() / 2])),
                ("of two", packed(coding, &[&text[..], &text[..]].concat())),
            ];
            for end in [1, 5, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
                mistakes.push(("cut off", whole[..end].to_vec()));
            }
            for (what, bytes) in mistakes {
                for announced in [true, false] {
                    let request = post(&lab.gateway, coding, bytes.clone());
                    let request = if announced {
                        request
                    } else {
                        request.unannounced()
                    };
                    let response = client.send(&request).await;
                    let expected = (400, "invalid_request".to_owned());
                    assert_eq!(told(&response), expected, "{coding} {what}");
                    assert_eq!(response.header("x-should-retry"), Some("false"));
                    if what == "cut off" || what == "plain text" {
                        let words = response.text();
                        let named = format!("Content-Encoding is {coding}");
                        assert!(words.contains(&named), "{what}: {words}");
                    }
                }
            }
            // The connection is fit for the next request.
            let request = post(&lab.gateway, coding, whole);
            let response = client.send(&request).await;
            assert_eq!(response.status, 200, "{coding}: {}", response.text());
        }
    }
    assert_eq!(lab.upstream.count(), CLIENTS.len() * CODINGS.len());
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn of_several_codings_and_unknown_ones_none_is_taken() {
    let lab = Lab::new(|gateway| gateway).await;
    let bytes = packed("gzip", &bodies::chat(MODEL).build());
    let twice = packed("gzip", &bytes);
    for (said, bytes) in [
        (&["gzip, gzip"][..], &twice),
        (&["gzip", "gzip"], &twice),
        (&["identity, gzip"], &bytes),
        (&["compress"], &bytes),
        (&["aws-chunked"], &bytes),
    ] {
        let request = lab.gateway.post(TARGET, bytes.clone());
        let request = said.iter().fold(request, |request, said| {
            request.header("content-encoding", said)
        });
        let response = lab.gateway.send(&request).await;
        let expected = (415, "unsupported_encoding".to_owned());
        assert_eq!(told(&response), expected, "{said:?}");
        let accepted = response.header("accept-encoding");
        assert_eq!(accepted, Some("gzip, deflate, br, zstd"));
    }
    assert_eq!(lab.upstream.count(), 0);
    for said in ["identity", "GZIP", "x-gzip"] {
        let body = if said == "identity" {
            bodies::chat(MODEL).build().to_vec()
        } else {
            bytes.clone()
        };
        let response = lab.gateway.send(&post(&lab.gateway, said, body)).await;
        assert_eq!(response.status, 200, "{said}: {}", response.text());
    }
}

#[tokio::test]
async fn the_rules_for_models_hold_for_the_text() {
    let lab = Lab::new(|gateway| gateway).await;
    for (text, expected) in [
        (r#"{"model":"a","model":"b"}"#, (400, "ambiguous_model")),
        (r#"{"mod\u0065l":"a"}"#, (400, "ambiguous_model")),
        (r#"{"model":"nobody-has-it"}"#, (404, "model_not_found")),
        (r#"{"messages":[]}"#, (400, "invalid_request")),
    ] {
        for coding in CODINGS {
            let request = post(&lab.gateway, coding, packed(coding, text.as_bytes()));
            let response = lab.gateway.send(&request).await;
            let (status, code) = told(&response);
            assert_eq!((status, &*code), expected, "{coding}: {text}");
        }
    }
    assert_eq!(lab.upstream.count(), 0);
}

#[tokio::test]
async fn a_client_may_wait_to_be_told_to_send() {
    let lab = Lab::new(|gateway| gateway).await;
    let text = bodies::chat(MODEL).build();
    let request = post(&lab.gateway, "zstd", packed("zstd", &text)).expect_continue();
    let response = lab.gateway.send(&request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(lab.upstream.delivery().header("expect"), None);
}

/// Text that a bomb decodes to, and how much memory all bombs may take together.
const BOMB: usize = 256 * MIB;
const SLACK: u64 = 48 << 20;

#[tokio::test]
async fn bombs_are_stopped_within_bounded_memory() {
    let lab = Lab::new(|gateway| gateway).await;
    let mut text = br#"{"model":"m","x":""#.to_vec();
    text.resize(BOMB, b'x');
    for coding in CODINGS {
        let bomb = packed(coding, &text);
        let before = lab.gateway.memory_peak();
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let request = post(&lab.gateway, coding, bomb.clone());
            let mut client = lab.client(Protocol::H2c).await;
            requests.spawn(async move {
                let response = client.send(&request).await;
                let retried = response.header("x-should-retry").map(str::to_owned);
                (told(&response), retried)
            });
        }
        for answer in requests.join_all().await {
            let expected = (413, "body_too_large".to_owned());
            assert_eq!(answer, (expected, Some("false".to_owned())), "{coding}");
        }
        let rise = lab.gateway.memory_peak() - before;
        assert!(rise <= SLACK, "{coding}: {} KiB", rise / 1024);
    }
    assert_eq!(lab.upstream.count(), 0);
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn size_and_memory_limits_hold_for_the_text() {
    let lab = Lab::new(|gateway| {
        gateway
            .config("limits.body", "256KiB")
            .config("limits.replay_request", "200KiB")
            .config("limits.replay_total", "1MiB")
    })
    .await;
    for coding in CODINGS {
        for (size, expected, word) in [
            (64 * KIB, 200, ""),
            // It and its bytes are more than may be kept of one request.
            (250 * KIB, 413, "limits.replay_request"),
            (2 * MIB, 413, "limits."),
        ] {
            let text = bodies::sized(MODEL, Position::First, size);
            let request = post(&lab.gateway, coding, packed(coding, &text));
            let response = lab.gateway.send(&request).await;
            let what = format!("{coding}, {size} bytes");
            assert_eq!(response.status, expected, "{what}: {}", response.text());
            if expected == 413 {
                assert_eq!(code(&response), "body_too_large", "{what}");
                assert!(response.text().contains(word), "{}", response.text());
            }
        }
    }
    pair::idle(&lab.gateway).await;
}
