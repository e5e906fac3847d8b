//! Mode `safe`, by counting: thousands of requests at providers that fail at random, and not one of them is sent on once
//! a provider has it and has not answered. `TOLLGATE_SAFE_REQUESTS` in the environment asks for more than 10,000 of them,
//! `TOLLGATE_SAFE_SEED` for other faults.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;

use crate::pair::{self, MODEL, error, good};
use crate::support::client::{self, Windows};
use crate::support::gateway::{custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{
    self, Behaviour, Delivery, Settings, Upstream, behave, fault, frame,
};

/// Requests at one time.
const AT_ONCE: usize = 32;

/// One of so many has a body of this size, which takes the way of bodies that Pingora does not keep by itself.
const LARGE_EACH: usize = 20;
const LARGE: usize = 64 * 1024 + 1;

/// The header by which a request is known at the providers.
const NUMBER: &str = "x-request-id";

/// What a provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Good,
    Answered(u16),
    /// 429 with a time to wait, which is short.
    Soon,
    /// 503 before the body was read.
    Early,
    /// A reset before any of the body was read.
    ResetBefore,
    /// `REFUSED_STREAM`.
    Refused,
    /// A reset, or a close, when the body was read.
    ResetAfter,
    CloseAfter,
    /// Half of a header, then a reset.
    HalfHeader,
    /// The stream is reset when the body was read.
    ResetStream,
    Silent,
}

impl Kind {
    fn behaviour(self) -> Behaviour {
        match self {
            Self::Good => good().into(),
            Self::Answered(status) => error(status).into(),
            Self::Soon => error(429).header("retry-after-ms", "5").into(),
            Self::Early => fault::early(error(503)).abandon(),
            Self::ResetBefore => fault::reset_before_body(),
            Self::Refused => fault::refused_stream(),
            Self::ResetAfter => fault::reset_after_body(),
            Self::CloseAfter => fault::close_after_body(),
            Self::HalfHeader => fault::reset_in_head(),
            Self::ResetStream => behave().read().reset_stream(frame::INTERNAL_ERROR),
            Self::Silent => fault::silent_after_body(),
        }
    }

    /// Whether the provider has the request and says nothing of it: it may be at work.
    fn is_taken(self) -> bool {
        matches!(
            self,
            Self::ResetAfter
                | Self::CloseAfter
                | Self::HalfHeader
                | Self::ResetStream
                | Self::Silent
        )
    }
}

/// Of a hundred requests, how many meet what. The rest is answered well.
const OVER_H1: [(Kind, u64); 10] = [
    (Kind::Answered(503), 10),
    (Kind::Answered(429), 5),
    (Kind::Answered(401), 2),
    (Kind::Soon, 3),
    (Kind::Early, 4),
    (Kind::ResetBefore, 6),
    (Kind::ResetAfter, 5),
    (Kind::CloseAfter, 5),
    (Kind::HalfHeader, 3),
    (Kind::Silent, 1),
];
const OVER_H2: [(Kind, u64); 6] = [
    (Kind::Answered(503), 10),
    (Kind::Answered(429), 5),
    (Kind::Soon, 3),
    (Kind::Refused, 10),
    (Kind::ResetStream, 10),
    (Kind::Silent, 1),
];

/// A number that looks like chance and is the same for the same arguments (SplitMix64).
fn chance(seed: u64, provider: u64, number: u64) -> u64 {
    let mut state = seed ^ (provider << 56) ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for factor in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB] {
        state = (state ^ (state >> 30)).wrapping_mul(factor);
    }
    state ^ (state >> 31)
}

/// What a provider did with each delivery, by the number that it has there.
#[derive(Default)]
struct Ledger {
    done: HashMap<usize, Kind>,
    connections: HashSet<usize>,
}

impl Ledger {
    fn choose(&mut self, delivery: &Delivery, table: &[(Kind, u64)], chance: u64) -> Kind {
        let mut left = chance % 100;
        let mut kind = Kind::Good;
        for (candidate, share) in table {
            if left < *share {
                kind = *candidate;
                break;
            }
            left -= share;
        }
        let kept = !self.connections.insert(delivery.connection);
        if kept && kind == Kind::ResetAfter {
            // By the policy a kept-alive connection that is reset without a byte of an answer has taken nothing: so the
            // fake must not read the request before it does that.
            kind = Kind::ResetBefore;
        }
        self.done.insert(delivery.number, kind);
        kind
    }
}

/// A provider, and what it did.
struct Flaky {
    upstream: Upstream,
    ledger: Arc<Mutex<Ledger>>,
}

impl Flaky {
    async fn start(
        builder: upstream::Builder,
        table: &'static [(Kind, u64)],
        seed: u64,
        provider: u64,
    ) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let keeps = ledger.clone();
        let choose = move |delivery: &Delivery| {
            let chance = chance(seed, provider, delivery.number as u64);
            let mut ledger = keeps.lock().expect("no panic");
            ledger.choose(delivery, table, chance).behaviour()
        };
        Self {
            upstream: builder.each(choose).start().await,
            ledger,
        }
    }

    /// Every delivery: of which request, when, and what was done with it.
    fn deliveries(&self) -> Vec<(usize, Instant, Kind)> {
        let ledger = self.ledger.lock().expect("no panic");
        let all = self.upstream.deliveries().into_iter();
        all.map(|delivery| {
            let number = delivery
                .header(NUMBER)
                .and_then(|number| number.parse().ok());
            let kind = ledger.done[&delivery.number];
            (number.expect("a number"), delivery.at, kind)
        })
        .collect()
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What each request was answered, by its number.
async fn ask_all(gateway: &crate::support::gateway::Gateway, count: usize) -> Vec<u16> {
    let next = Arc::new(AtomicUsize::new(0));
    let shared = client::h2c(gateway.address(), Windows::default()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..AT_ONCE {
        let (next, shared, address) = (next.clone(), shared.clone(), gateway.address());
        let request = |size| {
            let request = pair::chat(gateway, size);
            request.header("tollgate-failover", "safe")
        };
        let (small, large) = (request(0), request(LARGE));
        tasks.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return answers;
                }
                let request = if number % LARGE_EACH == 0 {
                    large.clone()
                } else {
                    small.clone()
                };
                let request = request.header(NUMBER, &number.to_string());
                let response = match task % 2 {
                    0 => client::send(address, &request).await,
                    _ => shared.send(&request).await,
                };
                answers.push((number, response.status));
            }
        });
    }
    let mut all = vec![0; count];
    for (number, status) in tasks.join_all().await.into_iter().flatten() {
        all[number] = status;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_may_be_at_work_on_is_sent_nowhere_else() {
    let count = from_environment("TOLLGATE_SAFE_REQUESTS", 10_000);
    let count = usize::try_from(count).expect("small");
    let seed = from_environment("TOLLGATE_SAFE_SEED", 4);
    let authority = Authority::new();
    let one = Flaky::start(upstream::h1(), &OVER_H1, seed, 1).await;
    let dead = upstream::refusing();
    let few_streams = upstream::h2_tls(&authority).settings(Settings {
        streams_max: 8,
        ..Settings::default()
    });
    let two = Flaky::start(few_streams, &OVER_H2, seed, 2).await;
    // The third has two endpoints, which take turns.
    let three = Flaky::start(upstream::h1(), &OVER_H1, seed, 3).await;
    let other = Flaky::start(upstream::h1(), &OVER_H1, seed, 4).await;
    let url = |flaky: &Flaky| json!({"url": flaky.upstream.origin()});
    let endpoints = json!([url(&three), url(&other)]);
    let gateway = gateway()
        .trust(&authority)
        .custom(custom("one").model(MODEL), &one.upstream)
        .custom(custom("dead").model(MODEL), &dead)
        .custom(custom("two").model(MODEL), &two.upstream)
        .custom(
            custom("three").model(MODEL).set("endpoints", endpoints),
            &three.upstream,
        )
        .config("timeouts.first_byte", "500ms")
        // So that both of its endpoints are asked, whichever would be ejected.
        .config("providers.three.health.passive", false)
        .start()
        .await;
    let statuses = ask_all(&gateway, count).await;

    let busy = |flaky: &Flaky| flaky.upstream.count() > count / 100;
    assert!(busy(&three) && busy(&other), "both endpoints are asked");

    let mut met = BTreeMap::<Kind, usize>::new();
    let mut courses = vec![Vec::new(); count];
    for provider in [&one, &two, &three, &other] {
        for (number, at, kind) in provider.deliveries() {
            *met.entry(kind).or_default() += 1;
            courses[number].push((at, kind));
        }
    }
    let (mut well, mut taken, mut repeated) = (0, 0, 0);
    for (number, course) in courses.iter_mut().enumerate() {
        course.sort();
        let kinds: Vec<Kind> = course.iter().map(|(_, kind)| *kind).collect();
        let context = format!(
            "request {number}, seed {seed}: {kinds:?} → {}",
            statuses[number]
        );
        let (last, before) = kinds.split_last().expect("a delivery");
        assert!(
            before.iter().all(|kind| !kind.is_taken()),
            "sent twice: {context}"
        );
        assert!(
            before.iter().all(|kind| *kind != Kind::Good),
            "asked twice: {context}"
        );
        // On a busy machine a good answer may come too late; then it is not asked for again either.
        let expected: &[u16] = match last {
            Kind::Good => &[200, 504],
            _ => &[401, 429, 502, 503, 504],
        };
        assert!(expected.contains(&statuses[number]), "{context}");
        well += usize::from(*last == Kind::Good);
        taken += usize::from(last.is_taken());
        repeated += before.len();
    }
    eprintln!(
        "{count} requests, {well} answered well, {taken} not sent on, {repeated} further deliveries; met: {met:?}"
    );
    // The test means something: each fault was met, by chance as often as it should be, give or take a lot.
    for (kind, share) in OVER_H1.iter().chain(&OVER_H2) {
        let least = count * usize::try_from(*share).expect("small") / 1000;
        assert!(
            met.get(kind).copied().unwrap_or_default() >= least.min(100),
            "{kind:?}: {met:?}"
        );
    }
    assert!(well > count / 2 && taken > count / 50 && repeated > count / 10);
    pair::idle(&gateway).await;
}
