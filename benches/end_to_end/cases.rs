//! What is asked of each proxy.

use std::time::Duration;

use crate::gateway::Keys;
use crate::request::ModelAt;
use crate::upstream::Stream;

pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    /// Bytes of the request's body.
    pub body: usize,
    pub model_at: ModelAt,
    /// Bytes that the client writes at once.
    pub piece: usize,
    pub work: Work,
    pub pays: Pays,
    /// The most that the gateway may cost, as a multiple of the bare proxy's CPU time.
    pub bar: Option<f64>,
}

/// Who pays the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pays {
    /// The customer, whose own key it is.
    Customer,
    /// The operator, who charges the customer's account.
    Operator,
}

impl Pays {
    /// The access key to ask with.
    pub fn of(self, keys: &Keys) -> &str {
        match self {
            Pays::Customer => &keys.own,
            Pays::Operator => &keys.credit,
        }
    }
}

/// Enough of it that a run takes a proxy some 0.7 s of CPU time, which the kernel counts in steps of
/// 10 ms, and short enough that many rounds can be run: what else the machine does then weighs on
/// all proxies alike.
#[derive(Clone, Copy)]
pub enum Work {
    Requests {
        connections: u32,
        requests: u32,
        /// Sent one by one, for the latencies.
        alone: u32,
    },
    Events(Stream),
}

/// The whole request in one write.
const WHOLE: usize = usize::MAX;

pub const CASES: [Case; 8] = [
    Case {
        name: "1k-first",
        title: "1 KiB, model first",
        body: 1024,
        model_at: ModelAt::First,
        piece: WHOLE,
        work: REQUESTS_1K,
        pays: Pays::Customer,
        bar: Some(1.20),
    },
    Case {
        name: "1k-last",
        title: "1 KiB, model last",
        body: 1024,
        model_at: ModelAt::Last,
        piece: WHOLE,
        work: REQUESTS_1K,
        pays: Pays::Customer,
        bar: Some(1.20),
    },
    Case {
        name: "100k-last",
        title: "100 KiB, model last",
        body: 100 * 1024,
        model_at: ModelAt::Last,
        piece: WHOLE,
        work: Work::Requests {
            connections: 8,
            requests: 10_000,
            alone: 1_000,
        },
        pays: Pays::Customer,
        bar: Some(1.00),
    },
    Case {
        name: "100k-pieces",
        title: "100 KiB as HTTP/2 frames and TLS records bring it, 16 KiB at once, model last",
        body: 100 * 1024,
        model_at: ModelAt::Last,
        piece: 16 * 1024,
        work: Work::Requests {
            connections: 8,
            requests: 10_000,
            alone: 1_000,
        },
        pays: Pays::Customer,
        bar: Some(1.00),
    },
    Case {
        name: "1m-last",
        title: "1 MB, model last",
        body: 1_000_000,
        model_at: ModelAt::Last,
        piece: WHOLE,
        work: Work::Requests {
            connections: 4,
            requests: 1_600,
            alone: 250,
        },
        pays: Pays::Customer,
        bar: Some(1.00),
    },
    Case {
        name: "events",
        title: "streamed answers: 200 streams, an event each every 10 ms",
        body: 1024,
        model_at: ModelAt::Last,
        piece: WHOLE,
        work: Work::Events(Stream {
            events: 200,
            interval: Duration::from_millis(10),
            streams: 200,
        }),
        pays: Pays::Customer,
        bar: None,
    },
    Case {
        name: "byok-1k",
        title: "1 KiB, on a customer's own key",
        body: 1024,
        model_at: ModelAt::Last,
        piece: WHOLE,
        work: REQUESTS_1K,
        pays: Pays::Customer,
        bar: None,
    },
    Case {
        name: "credit-1k",
        title: "1 KiB, charged",
        body: 1024,
        model_at: ModelAt::Last,
        piece: WHOLE,
        work: REQUESTS_1K,
        pays: Pays::Operator,
        bar: None,
    },
];

/// What is asked at 1 KiB.
pub const REQUESTS_1K: Work = Work::Requests {
    connections: 16,
    requests: 30_000,
    alone: 2_000,
};

impl Work {
    /// So many requests at one time.
    pub fn over(self, connections: u32) -> Work {
        match self {
            Work::Requests {
                requests, alone, ..
            } => Work::Requests {
                connections,
                requests,
                alone,
            },
            events => events,
        }
    }

    /// A tenth of it, for a run that is only to show that all works.
    pub fn quick(self) -> Work {
        match self {
            Work::Requests {
                connections,
                requests,
                alone,
            } => Work::Requests {
                connections,
                requests: requests / 10,
                alone: alone / 10,
            },
            Work::Events(stream) => Work::Events(Stream {
                events: stream.events / 10,
                ..stream
            }),
        }
    }
}
