//! The plan of a request: its candidates in order, and how far it has come.
//!
//! Key → step → candidate: a candidate's keys are used up before the next candidate is tried.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::catalog::{ModelId, ProviderId};
use crate::credentials::{Key, Source};
use crate::money::Bound;

use super::failover::{Left, Verdict};

/// Attempts of one request, the first included. Past this, the client's own retry is kinder.
pub const ATTEMPTS_MAX: u8 = 10;

/// What the upstream is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamModel {
    /// A model of the catalog: its own id.
    Known(ModelId),
    /// A name that the catalog does not know, as the client wrote it.
    Written(Box<str>),
}

/// A key to go on with, and where it comes from.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its source.
    pub source: Source,
    /// The key; none where the upstream wants none.
    pub key: Option<Arc<Key>>,
}

/// Provider, model and credentials: one thing that can be tried.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The provider.
    pub provider: ProviderId,
    /// The model there.
    pub model: UpstreamModel,
    /// Its credentials, in the order in which they are tried; at least one.
    pub credentials: Credentials,
    /// What is held for it where it goes on with the gateway's; none where nothing is charged.
    pub bound: Option<Bound>,
}

/// Candidates, of which most requests have one.
pub type Candidates = SmallVec<[Candidate; 1]>;

/// Credentials, of which most providers have one; a customer's own key and the operator's are two.
pub type Credentials = SmallVec<[Credential; 2]>;

/// The candidates of a request, and which one is being tried.
#[derive(Debug)]
pub struct Plan {
    candidates: Candidates,
    candidate: usize,
    credential: usize,
    attempts: u8,
    attempts_max: u8,
    waits: u8,
    refused: bool,
    /// Whether the next attempt needs a connection of its own.
    fresh: bool,
}

impl Plan {
    /// A plan over `candidates`, of which there is at least one; `None` when there is none.
    #[must_use]
    pub fn new(candidates: Candidates, attempts_max: u8) -> Option<Self> {
        (!candidates.is_empty()).then(|| Self {
            candidates,
            candidate: 0,
            credential: 0,
            attempts: 0,
            attempts_max: attempts_max.clamp(1, ATTEMPTS_MAX),
            waits: 0,
            refused: false,
            fresh: false,
        })
    }

    /// All candidates, in order.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The candidate being tried.
    #[must_use]
    pub fn candidate(&self) -> &Candidate {
        &self.candidates[self.candidate]
    }

    /// Notes what is held for the candidate being tried.
    pub fn hold(&mut self, bound: Bound) {
        self.candidates[self.candidate].bound = Some(bound);
    }

    /// Its place among the candidates.
    #[must_use]
    pub fn candidate_index(&self) -> usize {
        self.candidate
    }

    /// The credential being tried.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.candidate().credentials[self.credential]
    }

    /// The places of the candidate and of the credential being tried.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        (self.candidate, self.credential)
    }

    /// Goes back to where an attempt was made, so that what is told from now on is told of it.
    pub fn go_back(&mut self, place: (usize, usize)) {
        (self.candidate, self.credential) = place;
    }

    /// Attempts begun.
    #[must_use]
    pub fn attempts(&self) -> u8 {
        self.attempts
    }

    /// Begins an attempt.
    pub fn begin(&mut self) {
        self.attempts += 1;
    }

    /// Whether the attempt that was begun must not share a connection with other requests.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.fresh
    }

    /// Notes that the upstream refused the stream: it is asked once more, and not a third time.
    pub fn refused(&mut self) {
        self.refused = true;
    }

    /// What is left to try, endpoints and addresses aside, in this `time`; whether the body can be sent again is the caller's to
    /// judge.
    #[must_use]
    pub fn left(&self, time: Duration, replay: bool) -> Left {
        let next = self.candidate().credentials.get(self.credential + 1);
        let same_step = next.map(|next| next.source == self.credential().source);
        Left {
            address: false,
            endpoint: false,
            key: same_step == Some(true),
            step: same_step == Some(false),
            candidate: self.candidate + 1 < self.candidates.len(),
            attempt: self.attempts < self.attempts_max,
            time,
            replay,
            waits: self.waits,
            refused: self.refused,
        }
    }

    /// Goes on behind all credentials of this source, to another candidate only if it `may`; false when there is none.
    pub fn leave(&mut self, source: Source, may: bool) -> bool {
        loop {
            let left = self.left(Duration::ZERO, true);
            let verdict = match left {
                Left { key: true, .. } => Verdict::NextKey,
                Left { step: true, .. } => Verdict::NextStep,
                Left {
                    candidate: true, ..
                } if may => Verdict::NextCandidate,
                _ => return false,
            };
            self.advance(verdict);
            if verdict == Verdict::NextCandidate || self.credential().source != source {
                return true;
            }
        }
    }

    /// Moves on as the verdict says; true when there is another attempt to make.
    pub fn advance(&mut self, verdict: Verdict) -> bool {
        self.fresh = verdict == Verdict::Resend;
        match verdict {
            Verdict::Resend | Verdict::NextAddress => {}
            Verdict::NextKey | Verdict::NextStep => self.credential += 1,
            Verdict::NextCandidate => {
                self.candidate += 1;
                self.credential = 0;
                self.refused = false;
            }
            Verdict::Wait(_) => self.waits += 1,
            Verdict::Answer | Verdict::Fail => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(1);

    fn plan(credentials: &[&[Source]]) -> Plan {
        let candidates = credentials.iter().map(|sources| Candidate {
            provider: ProviderId::default(),
            model: UpstreamModel::Written("m".into()),
            credentials: sources
                .iter()
                .map(|source| Credential {
                    source: *source,
                    key: None,
                })
                .collect(),
            bound: None,
        });
        Plan::new(candidates.collect(), 10).expect("candidates")
    }

    const ONE: &[Source] = &[Source::Gateway];

    #[test]
    fn keys_come_before_steps_and_steps_before_candidates() {
        let mut plan = plan(&[&[Source::Byok, Source::Byok, Source::Gateway], ONE]);
        plan.begin();
        let left = |plan: &Plan| {
            let left = plan.left(TIME, true);
            (left.key, left.step, left.candidate)
        };
        assert_eq!(left(&plan), (true, false, true));
        assert!(plan.advance(Verdict::NextKey));
        assert_eq!(left(&plan), (false, true, true));
        assert!(plan.advance(Verdict::NextStep));
        assert_eq!(plan.credential().source, Source::Gateway);
        assert_eq!(left(&plan), (false, false, true));
        assert!(plan.advance(Verdict::NextCandidate));
        assert_eq!(plan.candidate_index(), 1);
        assert_eq!(left(&plan), (false, false, false));
        assert!(!plan.advance(Verdict::Fail));
    }

    #[test]
    fn a_source_is_left_with_all_its_keys() {
        let (gateway, byok) = (Source::Gateway, Source::Byok);
        let all = [&[gateway, gateway, byok][..], &[gateway, gateway], ONE];
        let mut plan = plan(&all);
        assert!(plan.leave(gateway, false));
        assert_eq!((plan.place(), plan.credential().source), ((0, 2), byok));
        assert!(!plan.leave(byok, false));
        assert!(plan.leave(byok, true));
        assert_eq!(plan.place(), (1, 0));
        assert!(plan.leave(gateway, true));
        assert_eq!(plan.place(), (2, 0));
        assert!(!plan.leave(gateway, true));
    }

    #[test]
    fn a_resend_has_a_connection_of_its_own() {
        let mut plan = plan(&[ONE, ONE]);
        plan.begin();
        assert!(!plan.fresh());
        plan.advance(Verdict::Resend);
        plan.begin();
        assert!(plan.fresh() && !plan.left(TIME, true).refused);
        plan.refused();
        plan.advance(Verdict::Resend);
        assert!(plan.fresh() && plan.left(TIME, true).refused);
        plan.advance(Verdict::NextCandidate);
        assert!(!plan.fresh() && !plan.left(TIME, true).refused);
    }

    #[test]
    fn the_cap_ends_the_attempts() {
        let mut plan = plan(&[ONE]);
        for _ in 0..ATTEMPTS_MAX {
            assert!(plan.left(TIME, true).attempt);
            plan.begin();
        }
        assert!(!plan.left(TIME, true).attempt);
        assert!(Plan::new(Candidates::new(), 10).is_none());
    }
}
