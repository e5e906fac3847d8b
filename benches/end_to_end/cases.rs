//! What is asked of each proxy.

use std::time::Duration;

use crate::request::ModelAt;
use crate::upstream::Stream;

pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    /// Bytes of the request's body.
    pub body: usize,
    pub model_at: ModelAt,
    pub work: Work,
    /// The most that the gateway may cost, as a multiple of the bare proxy's CPU time.
    pub bar: Option<f64>,
}

/// Enough of it that a run takes a proxy a second of CPU time or more: the kernel's count goes in
/// steps of 10 ms.
#[derive(Clone, Copy)]
pub enum Work {
    Requests {
        connections: u32,
        requests: u32,
        /// Sent one by one, for the latencies.
        alone: u32,
    },
    Events {
        stream: Stream,
        /// Streams one after the other on each connection.
        repeats: u32,
    },
}

pub const CASES: [Case; 5] = [
    Case {
        name: "1k-first",
        title: "1 KiB, model first",
        body: 1024,
        model_at: ModelAt::First,
        work: Work::Requests {
            connections: 16,
            requests: 80_000,
            alone: 4_000,
        },
        bar: Some(1.20),
    },
    Case {
        name: "1k-last",
        title: "1 KiB, model last",
        body: 1024,
        model_at: ModelAt::Last,
        work: Work::Requests {
            connections: 16,
            requests: 80_000,
            alone: 4_000,
        },
        bar: Some(1.20),
    },
    Case {
        name: "100k-last",
        title: "100 KiB, model last",
        body: 100 * 1024,
        model_at: ModelAt::Last,
        work: Work::Requests {
            connections: 8,
            requests: 24_000,
            alone: 2_000,
        },
        bar: Some(1.00),
    },
    Case {
        name: "1m-last",
        title: "1 MB, model last",
        body: 1_000_000,
        model_at: ModelAt::Last,
        work: Work::Requests {
            connections: 4,
            requests: 4_000,
            alone: 500,
        },
        bar: Some(1.00),
    },
    Case {
        name: "events",
        title: "streamed answers: 200 streams, an event each every 10 ms",
        body: 1024,
        model_at: ModelAt::Last,
        work: Work::Events {
            stream: Stream {
                events: 200,
                interval: Duration::from_millis(10),
                streams: 200,
            },
            repeats: 3,
        },
        bar: None,
    },
];

impl Work {
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
            Work::Events { stream, .. } => Work::Events { stream, repeats: 1 },
        }
    }
}
