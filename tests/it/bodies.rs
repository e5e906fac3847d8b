//! The body reaches the upstream intact: whatever its size, its framing and the place of `model` in it, the upstream
//! gets what the client sent, minus the published edits, on the first attempt and on a later one.
//! Limits, early answers and broken framing are other files' matter.

use bytes::Bytes;

use crate::support::bodies::{self, POSITIONS, Position};
use crate::support::client::{Client, Protocol};
use crate::support::edits::{self, Edit};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Delivery, Reply, Upstream, fault, payload};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Sizes around Pingora's own retry buffer (64 KiB), and some above it.
const SIZES: [usize; 6] = [
    63 * KIB,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    200 * KIB,
    MIB,
];

/// The most bytes in a chunk or DATA frame, by turns: odd, a frame's default, more than a whole small body.
const PIECES: [usize; 3] = [7919, 16 * KIB, 256 * KIB];

/// What a provider speaks.
const UPSTREAMS: [Protocol; 2] = [Protocol::H1, Protocol::H2Tls];

/// Whether the model is renamed, and whether the second provider must answer.
const EDITS_AND_ATTEMPTS: [(bool, bool); 4] =
    [(false, true), (true, false), (false, false), (true, true)];

/// Known to both providers by the same id: no edit.
const SAME: &str = "same-model";
/// A virtual model, whose name both upstream ids differ from: E1, once shorter and once longer.
const RENAMED: &str = "renamed-model";
const FIRST_ID: &str = "first";
const SECOND_ID: &str = "the-much-longer-id-of-the-second";

/// How a client speaks, and whether it says how long its body is.
#[derive(Clone, Copy, Debug)]
struct Framing(Protocol, bool);

const LENGTH: Framing = Framing(Protocol::H1, true);
const CHUNKED: Framing = Framing(Protocol::H1, false);
const H2C: Framing = Framing(Protocol::H2c, true);
const H2C_UNANNOUNCED: Framing = Framing(Protocol::H2c, false);
const H2: Framing = Framing(Protocol::H2Tls, true);
const H2_UNANNOUNCED: Framing = Framing(Protocol::H2Tls, false);

/// A cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Case {
    size: usize,
    position: Position,
    renamed: bool,
    /// Whether the first provider turns the request down, so that the second must get it.
    second: bool,
    pieces: usize,
}

impl Case {
    fn new(
        size: usize,
        position: Position,
        (renamed, second): (bool, bool),
        pieces: usize,
    ) -> Self {
        Self {
            size,
            position,
            renamed,
            second,
            pieces,
        }
    }
}

/// Two providers behind a gateway, and a client.
struct Lab {
    authority: Authority,
    first: Upstream,
    second: Upstream,
    gateway: Gateway,
    framing: Framing,
}

impl Lab {
    async fn new(framing: Framing, upstreams: Protocol) -> Self {
        let authority = Authority::new();
        let start = || {
            let builder = match upstreams {
                Protocol::H2Tls => upstream::h2_tls(&authority),
                _ => upstream::h1(),
            };
            builder
                .reply(Reply::json(200, payload::chat_json("m", payload::USAGE)))
                .start()
        };
        let (first, second) = (start().await, start().await);
        let gateway = gateway()
            .tls(&authority)
            .trust(&authority)
            .custom(custom("one").model(SAME).model(FIRST_ID), &first)
            .custom(custom("two").model(SAME).model(SECOND_ID), &second)
            .virtual_model(
                RENAMED,
                &[&format!("one:{FIRST_ID}"), &format!("two:{SECOND_ID}")],
            )
            .start()
            .await;
        Self {
            authority,
            first,
            second,
            gateway,
            framing,
        }
    }

    async fn client(&self) -> Client {
        let protocol = self.framing.0;
        let address = match protocol {
            Protocol::H2Tls => self.gateway.tls_address(),
            _ => self.gateway.address(),
        };
        Client::connect(protocol, address, &self.authority).await
    }

    /// Sends one body and compares what arrived; `failure` is what the first provider does when the second is wanted.
    async fn check(&self, client: &mut Client, case: Case, failure: impl Into<Behaviour>) {
        let context = format!("{:?}, {case:?}", self.framing);
        let before = (self.first.count(), self.second.count());
        if case.second {
            self.first.push(failure);
        }
        let model = if case.renamed { RENAMED } else { SAME };
        let body = bodies::sized(model, case.position, case.size);
        let mut request = self
            .gateway
            .post("/v1/chat/completions", body.clone())
            .pieces(case.pieces);
        if !self.framing.1 {
            request = request.unannounced();
        }
        let response = client.send(&request).await;
        assert_eq!(response.status, 200, "{context}: {}", response.text());

        let first = self.first.deliveries_since(before.0);
        let second = self.second.deliveries_since(before.1);
        let arrived = (first.len(), second.len());
        assert_eq!(
            arrived,
            (1, usize::from(case.second)),
            "{context}: deliveries"
        );
        for delivery in first.iter().filter(|delivery| delivery.complete) {
            compare(delivery, &body, case.renamed.then_some(FIRST_ID), &context);
        }
        for delivery in &second {
            compare(delivery, &body, case.renamed.then_some(SECOND_ID), &context);
        }
        assert!(
            case.second || first[0].complete,
            "{context}: a part of the body is missing"
        );
    }
}

/// Whether `delivery` is `body` with `model` in place of its model's name, to the byte.
fn compare(delivery: &Delivery, body: &Bytes, model: Option<&str>, context: &str) {
    let edits: Vec<Edit> = model.map(Edit::Model).into_iter().collect();
    let expected = edits::expected(body, &edits);
    assert!(
        delivery.complete,
        "{context}: a part of the body is missing"
    );
    assert_eq!(delivery.length, expected.len() as u64, "{context}: length");
    assert_eq!(
        delivery.sha256,
        Some(sha::hex(&expected)),
        "{context}: bytes"
    );
}

/// An answer that sends the request on to the next candidate and says nothing of the provider's health, so that later
/// requests still begin with it.
fn turned_down() -> Reply {
    Reply::json(
        403,
        payload::openai_error("not here", "invalid_request_error", "region"),
    )
}

/// Every size up to 1 MiB, position, edit and attempt, to both kinds of upstream, on one connection each.
async fn matrix(framing: Framing) {
    let mut turn = 0;
    for upstreams in UPSTREAMS {
        let lab = Lab::new(framing, upstreams).await;
        let mut client = lab.client().await;
        for size in SIZES {
            for (position, (renamed, second)) in pairs(POSITIONS, EDITS_AND_ATTEMPTS) {
                let pieces = PIECES[turn % PIECES.len()];
                let case = Case::new(size, position, (renamed, second), pieces);
                lab.check(&mut client, case, turned_down()).await;
                turn += 1;
            }
        }
    }
}

fn pairs<A: Copy, B: Copy, const M: usize, const N: usize>(a: [A; M], b: [B; N]) -> Vec<(A, B)> {
    a.into_iter()
        .flat_map(|a| b.into_iter().map(move |b| (a, b)))
        .collect()
}

/// 20 MiB to both kinds of upstream, each with every edit and attempt; the positions take turns.
async fn twenty_mebibytes(framing: Framing) {
    let mut turn = 0;
    for upstreams in UPSTREAMS {
        let lab = Lab::new(framing, upstreams).await;
        let mut client = lab.client().await;
        for (renamed, second) in EDITS_AND_ATTEMPTS {
            let position = POSITIONS[turn % POSITIONS.len()];
            let case = Case::new(20 * MIB, position, (renamed, second), 256 * KIB);
            lab.check(&mut client, case, turned_down()).await;
            turn += 1;
        }
    }
}

#[tokio::test]
async fn intact_from_h1_with_a_length() {
    matrix(LENGTH).await;
}

#[tokio::test]
async fn intact_from_h1_chunked() {
    matrix(CHUNKED).await;
}

#[tokio::test]
async fn intact_from_h2c_with_a_length() {
    matrix(H2C).await;
}

#[tokio::test]
async fn intact_from_h2c_without_a_length() {
    matrix(H2C_UNANNOUNCED).await;
}

#[tokio::test]
async fn intact_from_h2_with_a_length() {
    matrix(H2).await;
}

#[tokio::test]
async fn intact_from_h2_without_a_length() {
    matrix(H2_UNANNOUNCED).await;
}

#[tokio::test]
async fn twenty_mebibytes_from_h1_with_a_length() {
    twenty_mebibytes(LENGTH).await;
}

#[tokio::test]
async fn twenty_mebibytes_from_h1_chunked() {
    twenty_mebibytes(CHUNKED).await;
}

#[tokio::test]
async fn twenty_mebibytes_from_h2c_with_a_length() {
    twenty_mebibytes(H2C).await;
}

#[tokio::test]
async fn twenty_mebibytes_from_h2c_without_a_length() {
    twenty_mebibytes(H2C_UNANNOUNCED).await;
}

#[tokio::test]
async fn twenty_mebibytes_from_h2_with_a_length() {
    twenty_mebibytes(H2).await;
}

#[tokio::test]
async fn twenty_mebibytes_from_h2_without_a_length() {
    twenty_mebibytes(H2_UNANNOUNCED).await;
}

#[tokio::test]
async fn intact_after_every_kind_of_first_failure() {
    let busy = || {
        Reply::json(
            503,
            payload::openai_error("busy", "server_error", "overloaded"),
        )
    };
    let failures = || {
        [
            ("an answer after the body", Behaviour::from(busy())),
            ("an answer before the body", fault::early(busy()).abandon()),
            ("a reset before the body", fault::reset_before_body()),
            ("a reset after the body", fault::reset_after_body()),
        ]
    };
    for framing in [LENGTH, CHUNKED, H2C_UNANNOUNCED] {
        for (what, failure) in failures() {
            // A gateway of its own for each, so that one failure does not change how the next is met.
            let lab = Lab::new(framing, Protocol::H1).await;
            let mut client = lab.client().await;
            let case = Case::new(200 * KIB, Position::Last, (true, true), 16 * KIB);
            eprintln!("{what}");
            lab.check(&mut client, case, failure).await;
        }
    }
}

#[tokio::test]
async fn a_body_of_no_or_one_byte_is_refused_and_goes_nowhere() {
    for framing in [LENGTH, CHUNKED, H2C, H2C_UNANNOUNCED, H2, H2_UNANNOUNCED] {
        let lab = Lab::new(framing, Protocol::H1).await;
        let mut client = lab.client().await;
        for body in ["", "{", "7"] {
            let mut request = lab.gateway.post("/v1/chat/completions", body);
            if !framing.1 {
                request = request.unannounced();
            }
            let response = client.send(&request).await;
            assert_eq!(
                response.status,
                400,
                "{framing:?}, {body:?}: {}",
                response.text()
            );
            assert_eq!(response.json()["error"]["code"], "invalid_request");
        }
        assert_eq!(lab.first.count() + lab.second.count(), 0);
        // The connection is fit for the next request.
        let case = Case::new(KIB, Position::Middle, (true, false), KIB);
        lab.check(&mut client, case, turned_down()).await;
    }
}

#[tokio::test]
async fn the_member_models_is_taken_out_and_nothing_else() {
    let lab = Lab::new(LENGTH, Protocol::H1).await;
    let fallback = format!("[\"two:{SECOND_ID}\"]");
    for (position, second) in pairs(POSITIONS, [false, true]) {
        for size in [KIB, 64 * KIB + 1] {
            let (at_first, at_second) = (lab.first.count(), lab.second.count());
            let body = bodies::chat(SAME)
                .position(position)
                .size(size)
                .member("models", &fallback);
            let body = body.member("temperature", "1e-1").build();
            if second {
                // Both providers know the model; the list comes after them.
                lab.first.push(turned_down());
                lab.second.push(turned_down());
            }
            assert_eq!(lab.gateway.chat(body.clone()).await.status, 200);
            let same = edits::expected(&body, &[Edit::WithoutModels]);
            for delivery in lab.first.deliveries_since(at_first) {
                assert_eq!(delivery.bytes(), same, "{position:?}, {size} bytes");
            }
            if second {
                let listed = edits::expected(&same, &[Edit::Model(SECOND_ID)]);
                let delivery = lab
                    .second
                    .deliveries_since(at_second)
                    .pop()
                    .expect("the list");
                assert_eq!(delivery.bytes(), listed, "{position:?}, {size} bytes");
            }
        }
    }
}
