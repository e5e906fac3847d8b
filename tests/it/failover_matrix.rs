//! What the next upstream gets after a fault: the body, to the byte, whatever its size and whatever is spoken on both
//! sides. Sizes below and above 64 KiB, about as large as the buffers of
//! sockets, and above every buffer on the way; each kind of client, with the length
//! announced and without; each kind of provider. Who is tried in which mode is in the other files named `failover_…`.

use bytes::Bytes;

use crate::pair::{self, MODEL, Reached, attempts, error, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{Client, Protocol};
use crate::support::gateway::Gateway;
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Reply, Upstream, behave, fault, frame};

const SMALL: usize = 1024;
const MIDDLE: usize = 64 * 1024 + 1;
const MEBI: usize = 1 << 20;
const LARGE: usize = 20 << 20;

/// Who ends up with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The second provider.
    Second,
    /// The first one, which is asked again.
    Again,
    /// Nobody: the answer had begun, and is not whole.
    Cut,
    /// As `Cut`, or the second one: a reset can overtake the bytes before it.
    CutOrSecond,
}

/// What the first provider does.
struct Fault {
    what: &'static str,
    does: Behaviour,
    then: Then,
    /// Whether it is met with a MiB and more, too: where it matters how much of it is on its way.
    large: bool,
}

fn fault(what: &'static str, does: impl Into<Behaviour>, then: Then, large: bool) -> Fault {
    Fault {
        what,
        does: does.into(),
        then,
        large,
    }
}

/// What a provider of either kind can do to a body of `size` bytes.
fn common(size: usize) -> Vec<Fault> {
    let half = size as u64 / 2;
    let answer = || Reply::json(200, vec![b' '; 1000]);
    vec![
        fault(
            "a reset before the body",
            fault::reset_before_body(),
            Then::Second,
            true,
        ),
        fault(
            "a close before the body",
            fault::close_before_body(),
            Then::Second,
            true,
        ),
        fault(
            "a reset in the body",
            fault::reset_in_body(half),
            Then::Second,
            true,
        ),
        fault(
            "a reset after the body",
            fault::reset_after_body(),
            Then::Second,
            true,
        ),
        fault(
            "a close after the body",
            fault::close_after_body(),
            Then::Second,
            true,
        ),
        fault(
            "a reset in the header",
            fault::reset_in_head(),
            Then::Second,
            false,
        ),
        fault(
            "silence before the body",
            fault::silent_before_body(),
            Then::Second,
            true,
        ),
        fault(
            "silence after the body",
            fault::silent_after_body(),
            Then::Second,
            true,
        ),
        fault("401", error(401), Then::Second, false),
        fault("408", error(408), Then::Second, false),
        fault("429", error(429), Then::Second, true),
        fault("500", error(500), Then::Second, false),
        fault("503", error(503), Then::Second, true),
        fault("529", error(529), Then::Second, false),
        fault(
            "503 before the body",
            fault::early(error(503)).abandon(),
            Then::Second,
            true,
        ),
        fault(
            "503 in the body",
            behave().read_until(half).send(error(503)).abandon(),
            Then::Second,
            true,
        ),
        fault(
            "a reset after the header",
            fault::reset_after_head(answer()),
            Then::CutOrSecond,
            false,
        ),
        fault(
            "a reset in the answer",
            fault::reset_in_answer(answer(), 10),
            Then::CutOrSecond,
            true,
        ),
        fault(
            "a truncated answer",
            fault::truncated(answer().chunked(), 10),
            Then::Cut,
            false,
        ),
    ]
}

/// What only a provider of this kind can do.
fn special(speaks: Protocol) -> Vec<Fault> {
    if speaks == Protocol::H1 {
        return vec![fault(
            "no HTTP",
            fault::malformed("what?\r\n\r\n"),
            Then::Second,
            true,
        )];
    }
    let reset = |code| behave().read().reset_stream(code);
    // What came meanwhile is read: a close that leaves it unread is a reset, which can overtake the frame.
    let goaway_below = behave()
        .frames(|stream| frame::goaway(stream.saturating_sub(2), frame::NO_ERROR))
        .read()
        .close();
    vec![
        fault(
            "a refused stream",
            fault::refused_stream(),
            Then::Again,
            true,
        ),
        fault("a GOAWAY below", goaway_below, Then::Again, true),
        fault(
            "a reset stream",
            reset(frame::INTERNAL_ERROR),
            Then::Second,
            true,
        ),
        fault(
            "a cancelled stream",
            reset(frame::CANCEL),
            Then::Second,
            false,
        ),
    ]
}

struct Lab {
    authority: Authority,
    first: Upstream,
    second: Upstream,
    gateway: Gateway,
    client: Protocol,
    announced: bool,
}

impl Lab {
    /// `hasty`: the first provider is not waited for.
    async fn new(client: Protocol, announced: bool, speaks: Protocol, hasty: bool) -> Self {
        let authority = Authority::new();
        let start = || {
            let builder = match speaks {
                Protocol::H2Tls => upstream::h2_tls(&authority),
                _ => upstream::h1(),
            };
            builder.reply(good()).start()
        };
        let (first, second) = (start().await, start().await);
        // The first one's alone: a busy machine may take long over a large body.
        let mut gateway = pair::before(&first, &second).trust(&authority);
        if hasty {
            for time in ["first_byte", "idle"] {
                gateway = gateway.config(&format!("providers.one.timeouts.{time}"), "400ms");
            }
        }
        let gateway = gateway.start().await;
        Self {
            authority,
            first,
            second,
            gateway,
            client,
            announced,
        }
    }

    async fn meet(&self, fault: &Fault, body: &Bytes) {
        let context = format!(
            "{}, {} bytes, {:?}, announced: {}",
            fault.what,
            body.len(),
            self.client,
            self.announced
        );
        let before = (self.first.count(), self.second.count());
        self.first.push(fault.does.clone());
        let mut request = self.gateway.post("/v1/chat/completions", body.clone());
        if !self.announced {
            request = request.unannounced();
        }
        let mut client =
            Client::connect(self.client, self.gateway.address(), &self.authority).await;
        let response = client.send(&request).await;
        let told = attempts(&response);
        assert_eq!(response.status, 200, "{context}: {told:?}");
        let first = self.first.deliveries_since(before.0);
        let second = self.second.deliveries_since(before.1);
        let reached = Reached(first.len(), second.len());
        let cut = match fault.then {
            Then::CutOrSecond => reached != Reached(1, 1),
            then => then == Then::Cut,
        };
        let expected = match fault.then {
            // Where a refusal comes while a body is being written, Pingora does not always say that it was one.
            Then::Again if body.len() == LARGE && reached == Reached(1, 1) => reached,
            Then::Again => Reached(2, 0),
            _ if cut => Reached(1, 0),
            _ => Reached(1, 1),
        };
        assert_eq!(reached, expected, "{context}: {told:?}");
        assert_eq!(response.is_whole(), !cut, "{context}");
        let last = second.last().or(first.last()).expect("a delivery");
        assert!(last.complete, "{context}: {last:?}");
        assert_eq!(last.length, body.len() as u64, "{context}");
        assert_eq!(last.sha256, Some(sha::hex(body)), "{context}");
    }
}

async fn matrix(client: Protocol, announced: bool, speaks: Protocol) {
    let start = |hasty| Lab::new(client, announced, speaks, hasty);
    let (calm, hasty) = (start(false).await, start(true).await);
    for size in [SMALL, MIDDLE, MEBI, LARGE] {
        let body = bodies::sized(MODEL, Position::Last, size);
        let faults = common(size).into_iter().chain(special(speaks));
        for fault in faults.filter(|fault| size < MEBI || fault.large) {
            let lab = if fault.what.starts_with("silence") {
                &hasty
            } else {
                &calm
            };
            lab.meet(&fault, &body).await;
        }
    }
    if speaks == Protocol::H2Tls {
        // Pingora speaks HTTP/1.1 to such a provider from then on.
        for size in [SMALL, MIDDLE] {
            let body = bodies::sized(MODEL, Position::Last, size);
            let invalid = fault(
                "invalid HTTP/2",
                fault::invalid_frame(),
                Then::Second,
                false,
            );
            start(false).await.meet(&invalid, &body).await;
        }
    }
    pair::idle(&calm.gateway).await;
}

#[tokio::test]
async fn h1_with_a_length_to_h1() {
    matrix(Protocol::H1, true, Protocol::H1).await;
}

#[tokio::test]
async fn h1_chunked_to_h1() {
    matrix(Protocol::H1, false, Protocol::H1).await;
}

#[tokio::test]
async fn h2_with_a_length_to_h1() {
    matrix(Protocol::H2c, true, Protocol::H1).await;
}

#[tokio::test]
async fn h2_without_a_length_to_h1() {
    matrix(Protocol::H2c, false, Protocol::H1).await;
}

#[tokio::test]
async fn h1_with_a_length_to_h2() {
    matrix(Protocol::H1, true, Protocol::H2Tls).await;
}

#[tokio::test]
async fn h1_chunked_to_h2() {
    matrix(Protocol::H1, false, Protocol::H2Tls).await;
}

#[tokio::test]
async fn h2_with_a_length_to_h2() {
    matrix(Protocol::H2c, true, Protocol::H2Tls).await;
}

#[tokio::test]
async fn h2_without_a_length_to_h2() {
    matrix(Protocol::H2c, false, Protocol::H2Tls).await;
}
