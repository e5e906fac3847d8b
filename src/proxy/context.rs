//! What a request has learned, and the snapshots it pinned. Dropping it releases all it held.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;

use super::attempts::Attempts;
use super::body::Body;
use super::charge::{Cap, Charged, Open};
use super::edits::Made;
use super::error_answer::Watch;
use super::id::RequestId;
use super::look::Look;
use super::pass::Passed;
use super::reject::{Code, Rejection};
use super::replay::Shared;
use super::seen::Seen;
use super::way::Way;
use super::websocket::Tunnel;
use crate::access::Caller;
use crate::access::allowance::Admitted;
use crate::credentials::Payer;
use crate::kept::Busy;
use crate::live::Live;
use crate::metrics::Counted;
use crate::money::{Asked, Credits};
use crate::otel::Trace;
use crate::routing::failover::{Rules, Verdict};
use crate::routing::plan::{Plan, UpstreamModel};
use crate::surface::{Dialect, Surface};
use crate::upstream::joined::Announced;
use crate::usage::{Form, Meter, Report};

/// The state of one request.
pub struct RequestContext {
    /// Its id.
    pub id: RequestId,
    /// When its header was there, by the clock that times are measured with.
    pub started: Instant,
    /// The same by the clock on the wall.
    pub arrived: SystemTime,
    /// How its client wants our own answers.
    pub dialect: Dialect,
    /// The catalog and the providers it sees, from its first byte to its last.
    pub live: Arc<Live>,
    /// Who sent it, once that is known.
    pub caller: Option<Arc<Caller>>,
    /// What it asks for, once that is known.
    pub surface: Option<Surface>,
    /// Why it was refused, if it was.
    pub refused: Option<Code>,
    /// Which headers it has that are read.
    pub seen: Seen,
    /// The trace that it is a part of, where that is told.
    pub trace: Option<Box<Trace>>,
    /// What is on its way upstream.
    pub routed: Option<Box<Routed>>,
    /// Bytes of the response's body that went to the client.
    pub sent: u64,
    /// Counts the request as long as it lasts.
    pub in_flight: Counted,
    /// Says as long that its connection is not idle.
    pub busy: Busy,
}

/// A request that has candidates.
pub struct Routed {
    /// Who pays for it.
    pub payer: Payer,
    /// The name it asked for first.
    pub asked: Box<str>,
    /// Its body.
    pub body: Body,
    /// Whether it asked for a stream.
    pub streamed: bool,
    /// The candidates.
    pub plan: Plan,
    /// Where it goes there, if it is passed on as it is.
    pub passed: Option<Box<Passed>>,
    /// What is known of the WebSocket that it is to become.
    pub tunnel: Option<Box<Tunnel>>,
    /// What it shares with its replay session.
    pub replay: Arc<Shared>,
    /// When it may be tried elsewhere.
    pub rules: Rules,
    /// The end of all attempts.
    pub deadline: Instant,
    /// The attempts that have ended.
    pub attempts: Attempts,
    /// The attempt under way.
    pub current: Current,
    /// Its way among the endpoints.
    pub way: Way,
    /// Candidates that the access key may not use.
    pub rejected: Option<HeaderValue>,
    /// The time spent waiting for upstreams.
    pub upstream_time: Duration,
    /// Whether the answer is an event stream that an error event can end.
    pub events: bool,
    /// `Tollgate-Attempts` of the answer that goes to the client.
    pub shown: Option<HeaderValue>,
    /// What the body of the answer at hand is looked into for.
    pub look: Option<Box<Look>>,
    /// The place in the plan of the candidate and the key whose failed answer is kept from the client.
    pub withheld_at: Option<(usize, usize)>,
    /// Why the body cannot go on, where that shows only when an attempt is made.
    pub fault: Option<Rejection>,
    /// What the gateway itself took until the answer began.
    pub overhead: Option<Duration>,
    /// What the attempt that answered took until then.
    pub first_byte: Option<Duration>,
    /// The time that it waited for its turn: for a `Retry-After`, and for leave to connect.
    pub queued: Duration,
    /// What it asks for that bears on its price, where it may be charged.
    pub shape: Option<Asked>,
    /// What the last attempt cost that has ended.
    pub charged: Option<Charged>,
    /// Reads from the answer what was used.
    pub meter: Option<Box<Meter>>,
    /// Counts the stream as long as it lasts.
    pub stream_open: Option<Counted>,
    /// What it takes of the limits of its access key, where that has any.
    pub quota: Option<Admitted>,
    /// The most that it may cost, by its access key or `Tollgate-Max-Cost`.
    pub max_cost: Option<Credits>,
    /// Whether its account may use models that have no price.
    pub unpriced: bool,
}

impl Routed {
    /// Bytes of the request's body, as far as they are known; of a WebSocket, those of the client's frames.
    #[must_use]
    pub fn length(&self) -> u64 {
        let frames = self.tunnel.as_ref().map(|tunnel| tunnel.received());
        frames
            .or(self.body.declared)
            .unwrap_or(self.body.sent().len() as u64)
    }

    /// What the answer says was used, as far as it is read.
    #[must_use]
    pub fn report(&self) -> Option<(Report, Form)> {
        let tunnel = self.tunnel.as_ref().and_then(|tunnel| tunnel.report());
        let meter = self.meter.as_ref();
        tunnel
            .map(|report| (report, Form::Events))
            .or_else(|| meter.map(|meter| (meter.report(), meter.form())))
    }

    /// The id of the model being tried, as its provider calls it.
    #[must_use]
    pub fn model<'a>(&'a self, live: &'a Live) -> &'a str {
        match &self.plan.candidate().model {
            UpstreamModel::Known(id) => &live.catalog.model(*id).id,
            UpstreamModel::Written(name) => name,
        }
    }

    /// The time spent at upstreams until `now`, that of the attempt under way included.
    #[must_use]
    pub fn upstream_time_at(&self, now: Instant) -> Duration {
        let current = self
            .current
            .began
            .map(|began| now.saturating_duration_since(began));
        self.upstream_time + current.unwrap_or_default()
    }
}

/// The attempt under way.
#[derive(Default)]
pub struct Current {
    /// When it began.
    pub began: Option<Instant>,
    /// Whether its connection came about.
    pub connected: bool,
    /// The number of its socket, once connected.
    pub socket: Option<RawFd>,
    /// Where its connection is told what is about to be written, if it joins that.
    pub announced: Option<Arc<Announced>>,
    /// Whether the request could be written as the upstream takes it.
    pub written: bool,
    /// Whether its response header has come.
    pub answered: bool,
    /// When it was judged.
    pub judged: Option<Instant>,
    /// Whether it went over a connection that had been used before.
    pub reused: bool,
    /// The endpoint it went to.
    pub endpoint: usize,
    /// Whether it went to none, or had no socket to go by: its end says nothing of any.
    pub blameless: bool,
    /// Its times, where they are shorter than the provider's own.
    pub hurry: Hurry,
    /// Leave to connect.
    pub permit: Option<OwnedSemaphorePermit>,
    /// Looks at the body of its answer.
    pub answer: Watch,
    /// What follows, when that is decided before the attempt has ended.
    pub verdict: Option<Verdict>,
    /// How long to wait before the next attempt.
    pub wait: Option<Duration>,
    /// The status of its response, once that has come.
    pub status: Option<u16>,
    /// Whether its answer is nothing but an error, whatever its status says.
    pub error_only: bool,
    /// What the ledger is told when it has ended.
    pub open: Option<Box<Open>>,
    /// Where its answer has cost as much as it may, if it is to end there.
    pub cap: Option<Box<Cap>>,
    /// Whether what is held for it cannot be written down, so that the client does not get its answer.
    pub unwritable: bool,
    /// The edits that were made to the body, and are made to its answer.
    pub edits: Made,
    /// The length of the body as it goes upstream, in bytes, where it is known.
    pub length: Option<u64>,
}

impl Current {
    /// Whether there is a connection, and a request that cannot be written to it.
    #[must_use]
    pub fn is_unwritten(&self) -> bool {
        self.connected && !self.written
    }
}

/// Times of an attempt that the access key or the request has made shorter than the provider's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hurry {
    /// For the connection.
    pub connect: Option<Duration>,
    /// Whether that for the response header is one.
    pub first_byte: bool,
}

// Held by every request under way, streams of an hour included; what few requests need is boxed.
const _: () = assert!(size_of::<RequestContext>() <= 192);

impl RequestContext {
    /// The Unix time at which it arrived.
    #[must_use]
    pub fn arrived_after_epoch(&self) -> Duration {
        self.arrived.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The id as text.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }
}
