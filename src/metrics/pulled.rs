//! A number that somebody else keeps, read when Prometheus asks: what is counted once already is not counted twice.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// One family without labels, whose value is `read` at each scrape.
pub(super) struct Pulled<F> {
    desc: Desc,
    kind: MetricType,
    read: F,
}

impl<F> Pulled<F>
where
    F: Fn() -> Option<f64> + Send + Sync,
{
    /// A family of `kind` (counter or gauge) that is left out of an answer when `read` has no value.
    pub(super) fn new(
        name: &str,
        help: &str,
        kind: MetricType,
        read: F,
    ) -> prometheus::Result<Self> {
        let desc = Desc::new(
            name.to_owned(),
            help.to_owned(),
            Vec::new(),
            std::collections::HashMap::new(),
        )?;
        Ok(Self { desc, kind, read })
    }
}

impl<F> Collector for Pulled<F>
where
    F: Fn() -> Option<f64> + Send + Sync,
{
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(value) = (self.read)() else {
            return Vec::new();
        };
        let metric = of_value(self.kind, value);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

/// A gauge or counter with labels, all series of which are `read` at each scrape.
pub(super) struct PulledSeries<F, const N: usize> {
    desc: Desc,
    kind: MetricType,
    labels: &'static [&'static str; N],
    read: F,
}

impl<F, const N: usize> PulledSeries<F, N>
where
    F: Fn() -> Vec<([String; N], f64)> + Send + Sync,
{
    /// A family of `kind` (counter or gauge) whose series have these labels.
    pub(super) fn new(
        name: &str,
        help: &str,
        kind: MetricType,
        labels: &'static [&'static str; N],
        read: F,
    ) -> prometheus::Result<Self> {
        let desc = Desc::new(
            name.to_owned(),
            help.to_owned(),
            labels.iter().map(ToString::to_string).collect(),
            std::collections::HashMap::new(),
        )?;
        Ok(Self {
            desc,
            kind,
            labels,
            read,
        })
    }

    fn series(&self, values: [String; N], value: f64) -> Metric {
        let label = |(name, value): (&&str, String)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value);
            pair
        };
        let mut metric = of_value(self.kind, value);
        metric.set_label(self.labels.iter().zip(values).map(label).collect());
        metric
    }
}

impl<F, const N: usize> Collector for PulledSeries<F, N>
where
    F: Fn() -> Vec<([String; N], f64)> + Send + Sync,
{
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series: Vec<Metric> = (self.read)()
            .into_iter()
            .map(|(values, value)| self.series(values, value))
            .collect();
        if series.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(series);
        vec![family]
    }
}

fn of_value(kind: MetricType, value: f64) -> Metric {
    let mut metric = Metric::default();
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}
