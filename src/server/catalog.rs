//! The catalog in use as operators see it: which virtual models can be served, and how old prices are.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::catalog::ProviderId;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::upstream::health::State;

/// The metrics of the catalog in use, read at each scrape.
///
/// # Errors
/// A name is taken.
pub fn watch(metrics: &Metrics, live: &Arc<Snapshot<Live>>) -> prometheus::Result<()> {
    let pinned = Arc::clone(live);
    metrics.gauges_of(
        "virtual_model_candidates_ready",
        "Candidates of a virtual model whose provider has an endpoint that is not ejected.",
        &["model"],
        move || candidates(&pinned.pin()),
    )?;
    let pinned = Arc::clone(live);
    metrics.gauges_of(
        "catalog_as_of_timestamp_seconds",
        "Unix time, in seconds, of the day on which the prices of a provider were put together.",
        &["provider"],
        move || as_of(&pinned.pin()),
    )
}

fn candidates(live: &Live) -> Vec<([String; 1], f64)> {
    let ids = live.catalog.provider_ids();
    let ready: Vec<bool> = ids.map(|id| is_ready(live, id)).collect();
    let is_ready = |id: ProviderId| ready.get(id.index()) == Some(&true);
    let virtuals = live.catalog.virtuals().iter();
    virtuals
        .map(|model| {
            let targets = model.targets().iter();
            let count = targets.filter(|target| is_ready(target.provider)).count();
            let count = u32::try_from(count).map_or(f64::MAX, f64::from);
            ([model.name.to_string()], count)
        })
        .collect()
}

fn is_ready(live: &Live, id: ProviderId) -> bool {
    let mut endpoints = live.upstream(id).endpoints.iter();
    live.is_enabled(id)
        && endpoints.any(|endpoint| endpoint.seen().health().state() != State::Ejected)
}

fn as_of(live: &Live) -> Vec<([String; 1], f64)> {
    let ids = live
        .catalog
        .provider_ids()
        .filter(|id| live.is_enabled(*id));
    ids.filter_map(|id| {
        let provider = live.catalog.provider(id);
        let second = unix_second(provider.as_of.as_deref()?)?;
        Some(([provider.id.to_string()], second))
    })
    .collect()
}

/// Of a day, or of the first of a month.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn unix_second(day: &str) -> Option<f64> {
    let day: Date = match day.len() {
        7 => format!("{day}-01").parse().ok()?,
        _ => day.parse().ok()?,
    };
    let midnight = day.to_zoned(TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_a_month_are_their_first_second() {
        assert_eq!(unix_second("2026-11-23"), Some(1_795_392_000.0));
        assert_eq!(unix_second("2026-11"), Some(1_793_491_200.0));
        assert_eq!(unix_second("2026-13"), None);
    }
}
