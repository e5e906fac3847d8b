//! Forms (`multipart/form-data`) with the model in a field: audio transcriptions and translations, image edits and
//! variations. The field is found wherever it stands, spliced where the provider knows the model by another name, and no
//! other byte changes; what two servers could read in two ways is refused.

use bytes::Bytes;
use serde_json::json;

use crate::limits::{CLIENTS, KIB, MIB};
use crate::pair::{self, code};
use crate::support::client::{self, Client, Ending, Protocol, Request};
use crate::support::gateway::{Builder, CustomProvider, Gateway, custom, gateway};
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream};

const MODEL: &str = "heard-by-both";
const RENAMED: &str = "renamed-model";
const TYPE: &str = "multipart/form-data; boundary=----a-boundary-0123";
const PATHS: [&str; 4] = [
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/edits",
    "/v1/images/variations",
];
const PATH: &str = PATHS[0];

fn provider(id: &str, model: &str) -> CustomProvider {
    let surfaces = json!({
        "audio_transcriptions": {"path": "/audio/transcriptions"},
        "audio_translations": {"path": "/audio/translations"},
        "images_edits": {"path": "/images/edits"},
        "images_variations": {"path": "/images/variations"},
    });
    custom(id).model(model).set("surfaces", surfaces)
}

fn good() -> Reply {
    Reply::json(200, r#"{"text":"hello"}"#)
}

/// Two providers of one model, by different ids, each with a key of the account's own.
struct Lab {
    authority: Authority,
    first: Upstream,
    second: Upstream,
    gateway: Gateway,
}

impl Lab {
    async fn new(speaks: Protocol, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let authority = Authority::new();
        let start = || match speaks {
            Protocol::H2Tls => upstream::h2_tls(&authority),
            _ => upstream::h1(),
        };
        let first = start().reply(good()).start().await;
        let second = start().reply(good()).start().await;
        let gateway = gateway()
            .config("health.passive", false)
            .trust(&authority)
            .custom(provider("one", MODEL), &first)
            .custom(provider("two", "by-a-much-longer-name"), &second)
            .virtual_model(
                RENAMED,
                &[&format!("one:{MODEL}"), "two:by-a-much-longer-name"],
            )
            .stored("default", "one", "main", &[])
            .stored("default", "two", "main", &[]);
        Self {
            gateway: configure(gateway).start().await,
            authority,
            first,
            second,
        }
    }

    async fn client(&self, protocol: Protocol) -> Client {
        Client::connect(protocol, self.gateway.address(), &self.authority).await
    }

    fn post(&self, path: &str, body: impl Into<Bytes>) -> Request {
        post(path, body).bearer(self.gateway.key())
    }
}

fn post(path: &str, body: impl Into<Bytes>) -> Request {
    Request::new("POST", path, Some(body.into())).header("content-type", TYPE)
}

/// Where the field stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Last,
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let head = format!("Content-Disposition: form-data; name=\"{name}\"");
    format!("------a-boundary-0123\r\n{head}\r\n\r\n{value}\r\n").into_bytes()
}

/// A file of this size whose bytes look like the ends of parts here and there.
fn file(bytes: usize) -> Vec<u8> {
    let mut part = b"------a-boundary-0123\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n".to_vec();
    let block: Vec<u8> = (0..4096_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .chain(*b"\r\n------a-boundary-012\r\n\r\nname=\"model\"\r\n\r\n\r\r\n--")
        .collect();
    let end = part.len() + bytes;
    while part.len() < end {
        let room = (end - part.len()).min(block.len());
        part.extend_from_slice(&block[..room]);
    }
    part.extend_from_slice(b"\r\n");
    part
}

const END: &[u8] = b"------a-boundary-0123--\r\n";

fn form(model: &str, place: Place, bytes: usize) -> Vec<u8> {
    let (model, file) = (field("model", model), file(bytes));
    let language = field("language", "en");
    match place {
        Place::First => [&model[..], &language, &file, END].concat(),
        Place::Last => [&language[..], &file, &model, END].concat(),
    }
}

#[tokio::test]
async fn a_form_goes_on_with_its_model_named_as_the_provider_names_it() {
    for speaks in [Protocol::H1, Protocol::H2Tls] {
        let lab = Lab::new(speaks, |gateway| gateway).await;
        for protocol in CLIENTS {
            let mut client = lab.client(protocol).await;
            for (turn, path) in PATHS.into_iter().enumerate() {
                for place in [Place::First, Place::Last] {
                    for size in [0, 5 * KIB, 300 * KIB] {
                        let what = format!("{path}, {place:?}, {size}, {protocol:?} to {speaks:?}");
                        let counts = (lab.first.count(), lab.second.count());
                        let request = lab.post(path, form(MODEL, place, size)).pieces(7919);
                        let request = if turn % 2 == 0 {
                            request
                        } else {
                            request.unannounced()
                        };
                        let response = client.send(&request).await;
                        assert_eq!(response.status, 200, "{what}: {}", response.text());
                        assert_eq!(response.header("tollgate-edits"), None, "{what}");
                        let delivery = lab.first.deliveries_since(counts.0).remove(0);
                        assert_eq!(delivery.bytes(), form(MODEL, place, size), "{what}");
                        assert_eq!(delivery.header("content-type"), Some(TYPE), "{what}");
                        assert_eq!(delivery.path(), path, "{what}");

                        // Another name here, and another id there: each attempt has its own.
                        lab.first.push(pair::error(503));
                        let request = lab.post(path, form(RENAMED, place, size));
                        let response = client.send(&request).await;
                        assert_eq!(response.status, 200, "{what}: {}", response.text());
                        assert_eq!(response.header("tollgate-edits"), Some("E1"), "{what}");
                        let first = lab.first.deliveries_since(counts.0 + 1).remove(0);
                        assert_eq!(first.bytes(), form(MODEL, place, size), "{what}");
                        let second = lab.second.deliveries_since(counts.1).remove(0);
                        let expected = form("by-a-much-longer-name", place, size);
                        assert_eq!(second.bytes(), expected, "{what}");
                    }
                }
            }
        }
        pair::idle(&lab.gateway).await;
    }
}

/// What the gateway may take for it, buffers and all.
const SLACK: u64 = 24 << 20;

#[tokio::test]
async fn a_large_upload_takes_no_memory_where_the_field_comes_first() {
    let lab = Lab::new(Protocol::H1, |gateway| {
        gateway
            .config("limits.body", "256MiB")
            .config("limits.replay_request", "1MiB")
    })
    .await;
    let body = Bytes::from(form("two:m", Place::First, 200 * MIB));
    let expected = form("m", Place::First, 200 * MIB);
    let (length, sum) = (expected.len() as u64, sha::hex(&expected));
    drop(expected);
    for announced in [true, false] {
        let (count, before) = (lab.second.count(), lab.gateway.memory_peak());
        let request = lab.post(PATH, body.clone());
        let request = if announced {
            request
        } else {
            request.unannounced()
        };
        let response = lab.gateway.send(&request).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let delivery = lab.second.deliveries_since(count).remove(0);
        assert_eq!(
            (delivery.length, delivery.sha256.as_deref()),
            (length, Some(&*sum))
        );
        let rise = lab.gateway.memory_peak() - before;
        assert!(rise <= SLACK, "the peak rose by {} KiB", rise / 1024);
    }
    // Behind the file, it is not looked for.
    let late = form(MODEL, Place::Last, 2 * MIB);
    let response = lab.gateway.send(&lab.post(PATH, late)).await;
    assert_eq!(
        (response.status, &*code(&response)),
        (413, "body_too_large"),
        "{}",
        response.text()
    );
    pair::idle(&lab.gateway).await;
}

/// Forms that are refused: what, the body, the status's code, and a word of the message.
fn mistakes() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let model = field("model", MODEL);
    let file = file(KIB);
    let whole = form(MODEL, Place::Last, KIB);
    let of = |parts: &[&[u8]]| parts.concat();
    let bad = "invalid_request";
    vec![
        ("without the field", of(&[&file, END]), bad, "no field"),
        (
            "with two of them",
            of(&[&model, &file, &model, END]),
            "ambiguous_model",
            "two fields",
        ),
        (
            "with one in capitals",
            of(&[&field("MODEL", MODEL), &file, END]),
            "ambiguous_model",
            "letter case",
        ),
        (
            "with a field of 10 MB",
            of(&[&field("model", &"m".repeat(10 * MIB)), &file, END]),
            bad,
            "no name",
        ),
        (
            "with an empty field",
            of(&[&field("model", ""), END]),
            bad,
            "no name",
        ),
        (
            "with the field as a file",
            of(&[&field("model\"; filename=\"a", MODEL), END]),
            bad,
            "a file",
        ),
        (
            "cut off in the file",
            whole[..600].to_vec(),
            bad,
            "last boundary",
        ),
        (
            "cut off in its last boundary",
            whole[..whole.len() - 5].to_vec(),
            bad,
            "last boundary",
        ),
        (
            "with another boundary",
            b"--another\r\n\r\n\r\n--another--\r\n".to_vec(),
            bad,
            "boundary",
        ),
        (
            "with more behind its end",
            of(&[&whole, &model, END]),
            bad,
            "behind",
        ),
        ("of JSON", br#"{"model":"m"}"#.to_vec(), bad, "boundary"),
    ]
}

#[tokio::test]
async fn a_form_that_is_broken_or_ambiguous_is_refused() {
    let lab = Lab::new(Protocol::H1, |gateway| gateway).await;
    for protocol in CLIENTS {
        let mut client = lab.client(protocol).await;
        for (what, body, expected, word) in mistakes() {
            for announced in [true, false] {
                let request = lab.post(PATH, body.clone());
                let request = if announced {
                    request
                } else {
                    request.unannounced()
                };
                let response = client.send(&request).await;
                let told = (response.status, code(&response));
                assert_eq!(told, (400, expected.to_owned()), "{what}");
                assert!(response.text().contains(word), "{}", response.text());
                if response.head.closes() {
                    client = lab.client(protocol).await;
                }
            }
        }
        let body = form(MODEL, Place::First, KIB);
        let response = client.send(&lab.post(PATH, body)).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=a; boundary=b",
    ] {
        let request = Request::new("POST", PATH, Some(form(MODEL, Place::First, 0).into()))
            .headers(&[("content-type", kind)])
            .bearer(lab.gateway.key());
        let response = lab.gateway.send(&request).await;
        assert_eq!(
            (response.status, &*code(&response)),
            (400, "invalid_request")
        );
        assert!(response.text().contains("boundary"), "{}", response.text());
    }
    assert_eq!(lab.first.count(), CLIENTS.len());
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_form_that_is_streamed_through_ends_it() {
    let lab = Lab::new(Protocol::H1, |gateway| {
        gateway.config("limits.replay_request", "64KiB")
    })
    .await;
    let whole = form(MODEL, Place::First, MIB);
    let twice = [&whole[..whole.len() - END.len()], &field("model", "b"), END].concat();
    for (body, expected) in [
        (whole[..whole.len() - 10].to_vec(), "invalid_request"),
        (twice, "ambiguous_model"),
    ] {
        for announced in [true, false] {
            let request = lab.post(PATH, body.clone());
            let request = if announced {
                request
            } else {
                request.unannounced()
            };
            let response = lab.gateway.send(&request).await;
            assert_eq!((response.status, &*code(&response)), (400, expected));
        }
    }
    let what = "the end of both";
    let ended = |all: &[upstream::Delivery]| all.iter().all(|one| one.gone_at.is_some());
    let deliveries = lab.first.wait_until(what, ended).await;
    assert!(deliveries.iter().all(|delivery| !delivery.complete));
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn the_gateways_own_credential_does_not_pay_for_files() {
    let upstream = upstream::h1().reply(good()).start().await;
    let gateway = gateway()
        .custom(provider("one", MODEL), &upstream)
        .start()
        .await;
    for path in PATHS {
        let body = form(MODEL, Place::First, KIB);
        let request = post(path, body.clone()).bearer(gateway.key());
        let response = gateway.send(&request).await;
        assert_eq!(
            (response.status, &*code(&response)),
            (403, "not_on_gateway_credential"),
            "{}",
            response.text()
        );
        assert!(response.text().contains("provider key of your own"));
        assert_eq!(upstream.count(), 0);
    }
    let body = form(MODEL, Place::First, KIB);
    let request = post(PATH, body.clone())
        .header("tollgate-key", gateway.key())
        .bearer("sk-of-the-client");
    let response = gateway.send(&request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("tollgate-credential"), Some("request"));
    assert_eq!(upstream.delivery().bytes(), body);
}

#[tokio::test]
async fn json_is_taken_there_too_and_a_compressed_form_is_not() {
    let lab = Lab::new(Protocol::H1, |gateway| gateway).await;
    let body =
        format!(r#"{{"model":"one:{MODEL}","images":[{{"image_url":"https://a.test/b"}}]}}"#);
    let request = client::post("/v1/images/edits", body.clone()).bearer(lab.gateway.key());
    let response = lab.gateway.send(&request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let arrived = lab.first.delivery().bytes();
    assert_eq!(arrived, body.replace("one:", ""));

    let packed = crate::support::packed::packed("gzip", &form(MODEL, Place::First, KIB));
    let request = lab.post(PATH, packed).header("content-encoding", "gzip");
    let response = lab.gateway.send(&request).await;
    let told = (response.status, code(&response));
    assert_eq!(told, (415, "unsupported_encoding".to_owned()));
}

#[tokio::test]
async fn a_streamed_answer_passes_as_it_comes() {
    let lab = Lab::new(Protocol::H1, |gateway| gateway).await;
    let events = [
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\n",
        "data: {\"type\":\"transcript.text.done\",\"text\":\"a\"}\n\n",
    ];
    let pieces = events.map(|event| Bytes::from_static(event.as_bytes()));
    let pace = std::time::Duration::ZERO;
    lab.first.push(Reply::sse(pieces, pace));
    let (model, stream) = (field("model", MODEL), field("stream", "true"));
    let body = [&model[..], &stream, &file(KIB), END].concat();
    let response = lab.gateway.send(&lab.post(PATH, body)).await;
    assert_eq!(response.text(), events.concat());
    assert_eq!(response.ending, Ending::Whole);
}
