//! A state that somebody else keeps for each of several things, read when Prometheus asks: 1 for the state that a thing
//! is in, 0 for the others. What is gone has no series.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// The label of the state.
const STATE: &str = "state";

/// One thing and the state it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InState {
    /// The values of the labels that name it.
    pub names: Vec<String>,
    /// Its state.
    pub state: &'static str,
}

/// A family of gauges, one for each thing and state.
pub(super) struct States<F> {
    desc: Desc,
    labels: &'static [&'static str],
    states: &'static [&'static str],
    read: F,
}

impl<F> States<F>
where
    F: Fn() -> Vec<InState> + Send + Sync,
{
    pub(super) fn new(
        name: &str,
        help: &str,
        labels: &'static [&'static str],
        states: &'static [&'static str],
        read: F,
    ) -> prometheus::Result<Self> {
        let names = labels
            .iter()
            .chain([&STATE])
            .map(|label| (*label).to_owned());
        let desc = Desc::new(
            name.to_owned(),
            help.to_owned(),
            names.collect(),
            HashMap::new(),
        )?;
        Ok(Self {
            desc,
            labels,
            states,
            read,
        })
    }

    fn metric(&self, thing: &InState, state: &str) -> Metric {
        let mut gauge = Gauge::default();
        gauge.set_value(f64::from(u8::from(thing.state == state)));
        let names = thing.names.iter().map(String::as_str);
        let pairs = self.labels.iter().copied().zip(names);
        let mut labels: Vec<LabelPair> = pairs
            .chain([(STATE, state)])
            .map(|(name, value)| label(name, value))
            .collect();
        labels.sort_by(|one, other| one.name().cmp(other.name()));
        let mut metric = Metric::default();
        metric.set_label(labels);
        metric.set_gauge(gauge);
        metric
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

impl<F> Collector for States<F>
where
    F: Fn() -> Vec<InState> + Send + Sync,
{
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let things = (self.read)();
        if things.is_empty() {
            return Vec::new();
        }
        let metrics = things
            .iter()
            .flat_map(|thing| self.states.iter().map(|state| self.metric(thing, state)));
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(metrics.collect());
        vec![family]
    }
}
