//! The health of endpoints as operators see it.

use std::sync::Arc;

use crate::live::Live;
use crate::metrics::{InState, Metrics};
use crate::snapshot::Snapshot;
use crate::upstream::health::State;

/// The metric of the endpoints of the catalog in use.
///
/// # Errors
/// The name is taken.
pub fn watch_states(metrics: &Metrics, live: &Arc<Snapshot<Live>>) -> prometheus::Result<()> {
    let live = Arc::clone(live);
    metrics.states_of(
        "endpoint_state",
        "1 for the state that an endpoint of a provider is in.",
        &["provider", "endpoint"],
        &State::NAMES,
        move || states(&live.pin()),
    )
}

fn states(live: &Live) -> Vec<InState> {
    let state =
        |(upstream, endpoint): (&crate::upstream::Upstream, &crate::upstream::Endpoint)| InState {
            names: vec![upstream.id.to_string(), endpoint.name.to_string()],
            state: endpoint.seen().health().state().name(),
        };
    live.endpoints().map(state).collect()
}

/// The endpoints that are not ready, as `PROVIDER/ENDPOINT`.
pub fn ejected(live: &Live) -> Vec<String> {
    let ejected = live
        .endpoints()
        .filter(|(_, endpoint)| endpoint.seen().health().state() != State::Ready);
    ejected
        .map(|(upstream, endpoint)| format!("{}/{}", upstream.id, endpoint.name))
        .collect()
}
