//! The series of one provider, found once and kept: recording a request looks nothing up and hashes no label.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::family::Families;
use super::labels::{AttemptOutcome, CredentialLabel, KeyFailure, Label, StatusClass, TokenKind};
use crate::surface::{self, Surface};
use crate::usage::Usage;

/// What stands in labels for the surface of a request that has none, and for the provider of one that was answered
/// here.
pub(super) const NONE: &str = "none";

/// Surfaces, and one place for none.
const SURFACES: usize = surface::COUNT + 1;

/// The series of one provider. A series appears with its first request, so that those never used are not sent to
/// Prometheus.
pub struct ProviderMetrics {
    name: Box<str>,
    families: Families,
    /// By surface, status class, credential.
    requests: Box<[OnceLock<IntCounter>]>,
    /// By surface.
    seconds: [OnceLock<Histogram>; SURFACES],
    first_byte: OnceLock<Histogram>,
    /// By outcome.
    attempts: Box<[OnceLock<IntCounter>]>,
    /// By reason.
    key_failures: Box<[OnceLock<IntCounter>]>,
    /// By kind.
    tokens: Box<[OnceLock<IntCounter>]>,
}

impl ProviderMetrics {
    pub(super) fn new(name: &str, families: Families) -> Self {
        let counters = |count: usize| (0..count).map(|_| OnceLock::new()).collect();
        Self {
            name: name.into(),
            families,
            requests: counters(SURFACES * StatusClass::ALL.len() * CredentialLabel::ALL.len()),
            seconds: std::array::from_fn(|_| OnceLock::new()),
            first_byte: OnceLock::new(),
            attempts: counters(AttemptOutcome::ALL.len()),
            key_failures: counters(KeyFailure::ALL.len()),
            tokens: counters(TokenKind::ALL.len()),
        }
    }

    /// Counts a request that this provider answered, and how long it took from first to last byte.
    pub fn request(
        &self,
        surface: Option<Surface>,
        status: u16,
        credential: CredentialLabel,
        duration: Duration,
    ) {
        let place = surface.map_or(surface::COUNT, |surface| surface as usize);
        let name = surface.map_or(NONE, Surface::name);
        let class = StatusClass::of(status);
        let index = (place * StatusClass::ALL.len() + class.index()) * CredentialLabel::ALL.len()
            + credential.index();
        if let Some(cell) = self.requests.get(index) {
            let labels = [name, &self.name, class.label(), credential.label()];
            cell.get_or_init(|| self.families.requests.with_label_values(&labels))
                .inc();
        }
        if let Some(cell) = self.seconds.get(place) {
            let labels = [name, &self.name];
            cell.get_or_init(|| self.families.request_seconds.with_label_values(&labels))
                .observe(duration.as_secs_f64());
        }
    }

    /// Records the time from the beginning of an attempt to the first byte of its response.
    pub fn first_byte(&self, waited: Duration) {
        self.first_byte
            .get_or_init(|| self.families.first_byte.with_label_values(&[&*self.name]))
            .observe(waited.as_secs_f64());
    }

    /// Counts the tokens that a request used.
    pub fn tokens(&self, usage: &Usage) {
        let written = usage.cache_write + usage.cache_write_1h;
        for (kind, count) in [
            (TokenKind::Input, usage.input - usage.cached - written),
            (TokenKind::CachedInput, usage.cached),
            (TokenKind::CacheWrite, written),
            (TokenKind::Output, usage.output - usage.reasoning),
            (TokenKind::Reasoning, usage.reasoning),
        ] {
            if count > 0
                && let Some(cell) = self.tokens.get(kind.index())
            {
                let labels = [&*self.name, kind.label()];
                cell.get_or_init(|| self.families.tokens.with_label_values(&labels))
                    .inc_by(count);
            }
        }
    }

    /// Counts one attempt.
    pub fn attempt(&self, outcome: AttemptOutcome) {
        if let Some(cell) = self.attempts.get(outcome.index()) {
            let labels = [&*self.name, outcome.label()];
            cell.get_or_init(|| self.families.attempts.with_label_values(&labels))
                .inc();
        }
    }

    /// Counts an answer that said something of a key.
    pub fn key_failure(&self, reason: KeyFailure) {
        if let Some(cell) = self.key_failures.get(reason.index()) {
            let labels = [&*self.name, reason.label()];
            cell.get_or_init(|| self.families.key_failures.with_label_values(&labels))
                .inc();
        }
    }
}
