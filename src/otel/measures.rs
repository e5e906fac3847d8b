//! What is counted of requests by the semantic conventions for GenAI: how long operations take at providers, and which tokens
//! they use. Two histograms, since the start of the process, whose series come from the catalog and from enums only.

use std::collections::HashMap;
use std::time::Duration;

use super::names;
use super::proto::{self, Histogram, KeyValue, Metric, Point, attribute};
use super::spans::nanos;
use super::told::Finished;

/// Series of one metric at the most; what goes beyond is one more (OpenTelemetry's limit and name for it).
const SERIES_MAX: usize = 2_000;
const OVERFLOW: &str = "otel.metric.overflow";

/// In place of a model that the catalog does not know: clients can write any name.
const OTHER: &str = "_OTHER";

/// The bounds that the conventions ask for: in seconds, and in tokens.
const SECONDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// What tells one series from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Labels {
    operation: &'static str,
    provider: String,
    model: String,
    /// `error.type`, or `gen_ai.token.type`.
    more: Option<(&'static str, String)>,
}

impl Labels {
    fn attributes(&self) -> Vec<KeyValue> {
        if self.operation.is_empty() {
            return vec![attribute(OVERFLOW, true)];
        }
        let mut attributes = vec![
            attribute("gen_ai.operation.name", self.operation),
            attribute("gen_ai.provider.name", self.provider.as_str()),
        ];
        if !self.model.is_empty() {
            attributes.push(attribute("gen_ai.request.model", self.model.as_str()));
        }
        let more = self.more.as_ref();
        attributes.extend(more.map(|(key, value)| attribute(key, value.as_str())));
        attributes
    }
}

/// One series.
#[derive(Clone, Debug, Default)]
struct Series {
    counts: [u64; 15],
    sum: f64,
}

/// All measures.
#[derive(Debug)]
pub(super) struct Measures {
    since: Duration,
    durations: HashMap<Labels, Series>,
    tokens: HashMap<Labels, Series>,
}

impl Measures {
    /// None yet; `since`: now, since 1970.
    pub(super) fn new(since: Duration) -> Self {
        Self {
            since,
            durations: HashMap::new(),
            tokens: HashMap::new(),
        }
    }

    /// Counts a request.
    #[allow(clippy::cast_precision_loss, reason = "no request has 2^53 tokens")]
    pub(super) fn note(&mut self, told: &Finished) {
        let operation = names::operation(told.surface);
        for (place, attempt) in told.attempts.iter().enumerate() {
            let labels = |more| Labels {
                operation,
                provider: names::provider(&attempt.provider).to_owned(),
                model: match attempt.known || attempt.model.is_empty() {
                    true => attempt.model.clone().into_string(),
                    false => OTHER.to_owned(),
                },
                more,
            };
            // Who was not asked took no time.
            if attempt.address.is_some() {
                let error = attempt.error().map(|why| ("error.type", why));
                let took = attempt.took.as_secs_f64();
                add(&mut self.durations, labels(error), &SECONDS, took);
            }
            let Some(usage) = told.usage.filter(|_| told.answered == Some(place)) else {
                continue;
            };
            for (kind, count) in [("input", usage.input), ("output", usage.output)] {
                let kind = Some(("gen_ai.token.type", kind.to_owned()));
                add(&mut self.tokens, labels(kind), &TOKENS, count as f64);
            }
        }
    }

    /// Everything, as it stands at `now`, since 1970.
    pub(super) fn metrics(&self, now: Duration) -> Vec<Metric> {
        let mut all = Vec::new();
        for (name, description, unit, bounds, series) in [
            (
                "gen_ai.client.operation.duration",
                "GenAI operation duration.",
                "s",
                &SECONDS,
                &self.durations,
            ),
            (
                "gen_ai.client.token.usage",
                "Number of input and output tokens used.",
                "{token}",
                &TOKENS,
                &self.tokens,
            ),
        ] {
            if series.is_empty() {
                continue;
            }
            let point = |(labels, series)| self.point(labels, series, bounds, now);
            all.push(Metric {
                name: name.to_owned(),
                description: description.to_owned(),
                unit: unit.to_owned(),
                histogram: Some(Histogram {
                    data_points: series.iter().map(point).collect(),
                    aggregation_temporality: proto::CUMULATIVE,
                }),
            });
        }
        all
    }

    fn point(&self, labels: &Labels, series: &Series, bounds: &[f64], now: Duration) -> Point {
        Point {
            start_time_unix_nano: nanos(self.since),
            time_unix_nano: nanos(now),
            count: series.counts.iter().sum(),
            sum: Some(series.sum),
            bucket_counts: series.counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
            attributes: labels.attributes(),
        }
    }
}

fn add(all: &mut HashMap<Labels, Series>, labels: Labels, bounds: &[f64; 14], value: f64) {
    let labels = match all.len() < SERIES_MAX || all.contains_key(&labels) {
        true => labels,
        false => Labels::default(),
    };
    let series = all.entry(labels).or_default();
    // A bound is the last value of its bucket.
    let bucket = bounds.partition_point(|bound| *bound < value);
    series.counts[bucket] += 1;
    series.sum += value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otel::Attempt;

    fn told(model: &str, known: bool) -> Finished {
        Finished {
            attempts: vec![Attempt {
                provider: "openai".into(),
                model: model.into(),
                known,
                address: Some(("api.example.com".into(), 443)),
                outcome: "ok",
                good: true,
                left: false,
                status: 200,
                after: Duration::ZERO,
                took: Duration::from_millis(10),
            }],
            ..Finished::default()
        }
    }

    #[test]
    fn names_that_clients_write_make_no_series_and_there_is_a_limit_to_all() {
        let mut measures = Measures::new(Duration::ZERO);
        for number in 0..10_000 {
            measures.note(&told(&format!("made-up-{number}"), false));
        }
        assert_eq!(measures.durations.len(), 1);
        for number in 0..10_000 {
            measures.note(&told(&format!("model-{number}"), true));
        }
        assert_eq!(measures.durations.len(), SERIES_MAX + 1);
        let metrics = measures.metrics(Duration::from_secs(1));
        let points = &metrics[0]
            .histogram
            .as_ref()
            .expect("a histogram")
            .data_points;
        assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 20_000);
        let overflow = attribute(OVERFLOW, true);
        let rest = points
            .iter()
            .filter(|point| point.attributes.contains(&overflow));
        assert_eq!(rest.map(|point| point.count).sum::<u64>(), 10_000 - 1_999);
        // 10 ms is the last of its bucket.
        assert!(
            points
                .iter()
                .all(|point| point.bucket_counts[0] == point.count)
        );
    }
}
