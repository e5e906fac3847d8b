//! Numbers that are kept elsewhere and read at each scrape.

use std::sync::Arc;
use std::time::Instant;

use super::connections::Connections;
use super::{byok, catalog, health};
use crate::byok::keys::StoredKeys;
use crate::credentials::Reason;
use crate::live::Live;
use crate::log::access::AccessLog;
use crate::log::logger;
use crate::metrics::Metrics;
use crate::proxy::memory::ReplayMemory;
use crate::snapshot::Snapshot;

/// Who keeps them.
pub(super) struct Keepers<'a> {
    pub(super) memory: &'a Arc<ReplayMemory>,
    pub(super) access_log: &'a Arc<AccessLog>,
    pub(super) connections: &'a Arc<Connections>,
    pub(super) live: &'a Arc<Snapshot<Live>>,
    pub(super) stored: &'a Arc<Snapshot<StoredKeys>>,
}

/// Has them read.
///
/// # Errors
/// Two have one name.
pub(super) fn watch(metrics: &Metrics, keepers: &Keepers<'_>) -> prometheus::Result<()> {
    watch_amounts(metrics, keepers.memory, keepers.access_log)?;
    health::watch_states(metrics, keepers.live)?;
    catalog::watch(metrics, keepers.live)?;
    watch_connections(metrics, keepers.connections)?;
    watch_keys(metrics, keepers.live)?;
    byok::watch(metrics, keepers.stored)
}

/// Bytes of bodies, and lines of logs that were dropped.
fn watch_amounts(
    metrics: &Metrics,
    memory: &Arc<ReplayMemory>,
    access_log: &Arc<AccessLog>,
) -> prometheus::Result<()> {
    let memory = Arc::clone(memory);
    metrics.gauge_of("replay_bytes", "Bytes of request bodies held.", move || {
        memory.taken()
    })?;
    let access_log = Arc::clone(access_log);
    metrics.counter_of(
        "access_log_dropped_total",
        "Lines of the access log that its target was too slow for.",
        move || access_log.dropped(),
    )?;
    metrics.counter_of(
        "log_dropped_total",
        "Lines of the gateway's own log that its target was too slow for.",
        logger::dropped,
    )
}

fn watch_connections(metrics: &Metrics, connections: &Arc<Connections>) -> prometheus::Result<()> {
    let open = Arc::clone(connections);
    metrics.gauge_of(
        "connections_open",
        "Clients connected to the public listeners.",
        move || open.open(),
    )?;
    let refused = Arc::clone(connections);
    metrics.counter_of(
        "connections_refused_total",
        "Connections of clients that were closed as they came: limits.connections.",
        move || refused.refused(),
    )
}

/// The provider keys that are set aside, counted at each scrape.
fn watch_keys(metrics: &Metrics, live: &Arc<Snapshot<Live>>) -> prometheus::Result<()> {
    // What is served holds the metrics already.
    let live = Arc::downgrade(live);
    metrics.gauges_of(
        "keys_set_aside",
        "Provider keys of ours that are set aside now, by why.",
        &["provider", "reason"],
        move || {
            let Some(live) = live.upgrade() else {
                return Vec::new();
            };
            let live = live.pin();
            let aside = live.keys_set_aside(Instant::now());
            let series = |(provider, reason, count): (&str, Reason, usize)| {
                let labels = [provider.to_owned(), reason.name().to_owned()];
                (labels, u32::try_from(count).map_or(f64::MAX, f64::from))
            };
            aside.map(series).collect()
        },
    )
}
