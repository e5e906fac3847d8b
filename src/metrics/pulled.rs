//! A number that somebody else keeps, read when Prometheus asks: what is counted once already is not counted twice.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

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
        let mut metric = Metric::default();
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
