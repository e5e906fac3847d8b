//! A change of an endpoint's health in the log: one line each, never one a request.

use log::{debug, info, warn};

use super::Change;

impl Change {
    /// Tells it, with the endpoint's name and its provider's.
    pub fn tell(self, provider: &str, endpoint: &str) {
        match self {
            Self::Ejected {
                why,
                pause: Some(pause),
            } => warn!(
                "{provider}: endpoint {endpoint} is ejected, for {:.1} s at first: {why}",
                pause.as_secs_f64()
            ),
            Self::Ejected { why, pause: None } => {
                warn!("{provider}: endpoint {endpoint} is ejected: {why}");
            }
            Self::StaysEjected { pause } => debug!(
                "{provider}: endpoint {endpoint} stays ejected for {:.1} s: its probe failed",
                pause.as_secs_f64()
            ),
            Self::Returned => info!("{provider}: endpoint {endpoint} is ready again"),
        }
    }
}
