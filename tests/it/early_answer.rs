//! A provider that answers before it has read the body (RFC 9110, section 15.5.14): its answer is relayed within two
//! seconds, on the first attempt and on a later one, and the body is not sent again.

use std::time::{Duration, Instant};

use crate::pair::{self, MODEL, Reached, attempts, chat, error, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{Client, Ending, Protocol};
use crate::support::gateway::Gateway;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Reply, Upstream, fault, frame, payload};

/// From the provider's answer to the client's.
const RELAYED: Duration = Duration::from_secs(2);

/// More than every buffer between the gateway and a provider that does not read.
const LARGE: usize = 20 << 20;

/// What the provider speaks, and what it does when it has answered.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// HTTP/1.1: ends its side, and throws away what still comes.
    Closes,
    /// HTTP/1.1: closes with the body unread, by which the connection is reset.
    Leaves,
    /// HTTP/1.1: keeps the connection and reads nothing.
    StopsReading,
    /// HTTP/2: grants no more window credit.
    GrantsNothing,
    /// HTTP/2: resets the stream with `NO_ERROR`.
    ResetsStream,
}

const OVER_H1: [Then; 3] = [Then::Closes, Then::Leaves, Then::StopsReading];
const OVER_H2: [Then; 2] = [Then::GrantsNothing, Then::ResetsStream];

impl Then {
    async fn upstream(self, authority: &Authority) -> Upstream {
        // A small window, so that the end of a body is not taken unread.
        let narrow = upstream::Settings {
            stream_window: 65_535,
            ..upstream::Settings::default()
        };
        let builder = match self {
            Self::Closes | Self::Leaves | Self::StopsReading => upstream::h1(),
            Self::GrantsNothing | Self::ResetsStream => {
                upstream::h2_tls(authority).settings(narrow)
            }
        };
        builder.reply(good()).start().await
    }

    fn answer(self, reply: Reply) -> Behaviour {
        let early = fault::early(reply);
        match self {
            Self::Closes => early.close(),
            Self::Leaves => early.abandon(),
            Self::StopsReading | Self::GrantsNothing => early.silence(),
            Self::ResetsStream => early.reset_stream(frame::NO_ERROR),
        }
    }
}

fn too_large() -> Reply {
    Reply::json(
        413,
        payload::openai_error("too large", "invalid_request_error", "size"),
    )
}

/// A provider that answers early, and a healthy one that is not to be asked.
struct Lab {
    authority: Authority,
    early: Upstream,
    other: Upstream,
    gateway: Gateway,
}

impl Lab {
    /// The provider that answers early is the first one.
    async fn first(then: Then) -> Self {
        let authority = Authority::new();
        let early = then.upstream(&authority).await;
        let other = upstream::h1().reply(good()).start().await;
        let gateway = pair::before(&early, &other).trust(&authority);
        let gateway = gateway.start().await;
        Self {
            authority,
            early,
            other,
            gateway,
        }
    }

    /// The provider that answers early comes after one that fails.
    async fn second(then: Then) -> Self {
        let authority = Authority::new();
        let early = then.upstream(&authority).await;
        let other = upstream::h1().start().await;
        let gateway = pair::before(&other, &early).trust(&authority);
        let gateway = gateway.start().await;
        Self {
            authority,
            early,
            other,
            gateway,
        }
    }

    fn reached(&self) -> Reached {
        Reached(self.early.count(), self.other.count())
    }

    /// Sends 20 MiB; the answer must be the early one, in time, and the connection fit for the next request or announced
    /// as closing.
    /// Says whether a next request was sent.
    async fn relays(&self, protocol: Protocol, context: &str) -> usize {
        let mut client = Client::connect(protocol, self.gateway.address(), &self.authority).await;
        let request = chat(&self.gateway, LARGE);
        let incoming = client.begin(&request).await.expect("an answer");
        let answered = Instant::now();
        let response = incoming.collect().await;
        let delivery = self.early.deliveries().pop().expect("a delivery");
        let took = answered.saturating_duration_since(delivery.at);
        assert_eq!(response.status, 413, "{context}: {}", response.text());
        assert_eq!(response.body, too_large().body(), "{context}");
        assert_eq!(response.ending, Ending::Whole, "{context}");
        assert!(took < RELAYED, "{context}: relayed after {took:?}");
        assert!(!delivery.complete, "{context}: not early at all");
        eprintln!("{context}: relayed after {took:?}");

        let told = attempts(&response);
        let last = told.last().map(String::as_str).unwrap_or_default();
        assert!(
            last.ends_with(&format!("{MODEL};client_error;status=413")),
            "{context}: {told:?}"
        );
        match &mut client {
            Client::H1(client) if response.head.closes() => {
                client.closed().await;
                0
            }
            client => {
                let next = client.send(&chat(&self.gateway, 0)).await;
                assert_eq!(next.status, 200, "{context}: the next request");
                1
            }
        }
    }
}

const CLIENTS: [Protocol; 2] = [Protocol::H1, Protocol::H2c];

async fn on_the_first_attempt(then: Then, clients: &[Protocol]) {
    let lab = Lab::first(then).await;
    for protocol in clients.iter().copied() {
        let before = lab.reached();
        lab.early.push(then.answer(too_large()));
        let next = lab
            .relays(protocol, &format!("{then:?} at first, client {protocol:?}"))
            .await;
        assert_eq!(lab.reached(), Reached(before.0 + 1 + next, 0), "{then:?}");
    }
}

async fn on_a_later_attempt(then: Then, clients: &[Protocol]) {
    let lab = Lab::second(then).await;
    for protocol in clients.iter().copied() {
        let before = lab.reached();
        lab.other.push(error(503));
        lab.early.push(then.answer(too_large()));
        let next = lab
            .relays(protocol, &format!("{then:?} at last, client {protocol:?}"))
            .await;
        assert_eq!(
            lab.reached(),
            Reached(before.0 + 1, before.1 + 1 + next),
            "{then:?}"
        );
    }
}

#[tokio::test]
async fn h1_that_closes() {
    on_the_first_attempt(Then::Closes, &CLIENTS).await;
}

#[tokio::test]
async fn h1_that_closes_on_a_later_attempt() {
    on_a_later_attempt(Then::Closes, &CLIENTS).await;
}

#[tokio::test]
async fn h1_that_leaves() {
    on_the_first_attempt(Then::Leaves, &CLIENTS).await;
}

#[tokio::test]
async fn h1_that_leaves_on_a_later_attempt() {
    on_a_later_attempt(Then::Leaves, &CLIENTS).await;
}

#[tokio::test]
async fn h2_that_resets_the_stream() {
    on_the_first_attempt(Then::ResetsStream, &CLIENTS).await;
}

#[tokio::test]
async fn h2_that_resets_the_stream_on_a_later_attempt() {
    on_a_later_attempt(Then::ResetsStream, &CLIENTS).await;
}

#[tokio::test]
async fn h1_that_stops_reading() {
    on_the_first_attempt(Then::StopsReading, &[Protocol::H1]).await;
}

#[tokio::test]
async fn h1_that_stops_reading_on_a_later_attempt() {
    on_a_later_attempt(Then::StopsReading, &[Protocol::H1]).await;
}

#[tokio::test]
async fn h1_that_stops_reading_for_an_h2_client() {
    on_the_first_attempt(Then::StopsReading, &[Protocol::H2c]).await;
}

#[tokio::test]
async fn h1_that_stops_reading_on_a_later_attempt_for_an_h2_client() {
    on_a_later_attempt(Then::StopsReading, &[Protocol::H2c]).await;
}

#[tokio::test]
async fn h2_without_window_credit() {
    on_the_first_attempt(Then::GrantsNothing, &[Protocol::H1]).await;
}

#[tokio::test]
async fn h2_without_window_credit_on_a_later_attempt() {
    on_a_later_attempt(Then::GrantsNothing, &[Protocol::H1]).await;
}

#[tokio::test]
async fn h2_without_window_credit_for_an_h2_client() {
    on_the_first_attempt(Then::GrantsNothing, &[Protocol::H2c]).await;
}

#[tokio::test]
async fn h2_without_window_credit_on_a_later_attempt_for_an_h2_client() {
    on_a_later_attempt(Then::GrantsNothing, &[Protocol::H2c]).await;
}

/// An early answer that is a failure of the provider's sends the whole body on to the next candidate.
async fn lets_the_next_candidate_be_tried(then: Then) {
    let lab = Lab::first(then).await;
    lab.early.push(then.answer(error(503)));
    let response = lab.gateway.send(&chat(&lab.gateway, LARGE)).await;
    assert_eq!(response.status, 200, "{then:?}: {}", response.text());
    assert_eq!(lab.reached(), Reached(1, 1), "{then:?}");
    let other = lab.other.delivery();
    assert!(
        other.complete && other.length == LARGE as u64,
        "{then:?}: {other:?}"
    );
    let told = [
        "one:twice-served;server_error;status=503",
        "two:twice-served;ok;status=200",
    ];
    assert_eq!(attempts(&response), told, "{then:?}");
}

#[tokio::test]
async fn an_early_failure_over_h1_lets_the_next_candidate_be_tried() {
    for then in OVER_H1 {
        lets_the_next_candidate_be_tried(then).await;
    }
}

#[tokio::test]
async fn an_early_failure_over_h2_lets_the_next_candidate_be_tried() {
    for then in OVER_H2 {
        lets_the_next_candidate_be_tried(then).await;
    }
}

/// Where the body is larger than what is kept, the rest of it is still with the client when the answer comes.
async fn answers_a_body_that_was_not_kept(then: Then) {
    let authority = Authority::new();
    let early = then.upstream(&authority).await;
    let other = upstream::h1().reply(good()).start().await;
    let gateway = pair::before(&early, &other).trust(&authority);
    let gateway = gateway
        .config("limits.replay_request", "1MiB")
        .start()
        .await;
    for protocol in CLIENTS {
        let context = format!("{then:?}, client {protocol:?}");
        let before = early.count();
        early.push(then.answer(too_large()));
        let body = bodies::sized(MODEL, Position::First, LARGE);
        let mut client = Client::connect(protocol, gateway.address(), &authority).await;
        let incoming = client
            .begin(&gateway.post("/v1/chat/completions", body))
            .await;
        let incoming = incoming.unwrap_or_else(|error| panic!("{context}: no answer: {error}"));
        let answered = Instant::now();
        let response = incoming.collect().await;
        assert_eq!(response.status, 413, "{context}: {}", response.text());
        assert_eq!(response.body, too_large().body(), "{context}");
        let delivery = early.deliveries().pop().expect("a delivery");
        let took = answered.saturating_duration_since(delivery.at);
        assert!(took < RELAYED, "{context}: relayed after {took:?}");
        assert_eq!((early.count() - before, other.count()), (1, 0), "{context}");
    }
    pair::idle(&gateway).await;
}

#[tokio::test]
async fn an_early_answer_over_h1_to_a_body_that_was_not_kept() {
    for then in OVER_H1 {
        answers_a_body_that_was_not_kept(then).await;
    }
}

#[tokio::test]
async fn an_early_answer_over_h2_to_a_body_that_was_not_kept() {
    for then in OVER_H2 {
        answers_a_body_that_was_not_kept(then).await;
    }
}
