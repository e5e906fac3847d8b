//! What an answer says of the key that it was asked with: noted with the key, counted, and told to the operator once
//! for each change.

use std::time::{Instant, SystemTime};

use http::HeaderMap;
use log::{info, warn};

use super::context::Routed;
use super::limited;
use crate::credentials::{Change, Key, Payer, Reason, Said, Source};
use crate::live::Live;
use crate::metrics::KeyFailure;

/// Notes what the status of an answer, and its header, say of the key. A 403 is often about the request, and says
/// nothing by itself.
pub fn heed_status(routed: &Routed, live: &Live, status: u16, headers: &HeaderMap, now: Instant) {
    let said = match status {
        401 => Said::Refused,
        402 => Said::OutOfCredit,
        429 => Said::RateLimited(limited::time(headers, SystemTime::now())),
        101 | 200..=299 => Said::Serves(routed.current.began.unwrap_or(now)),
        _ => return,
    };
    heed(routed, live, said, now);
}

/// Notes what was said of the key that is being tried, if it is one of Tollgate's: what becomes of a key that a client
/// sent along is nobody else's business.
pub fn heed(routed: &Routed, live: &Live, said: Said, now: Instant) {
    let credential = routed.plan.credential();
    let Some(key) = credential
        .key
        .as_deref()
        .filter(|_| credential.source.is_ours())
    else {
        return;
    };
    let provider = routed.plan.candidate().provider;
    let stored = credential.source == Source::Byok;
    // An account's own keys are no cause for alarm of the operator's.
    if let Some(failure) = failure(said).filter(|_| !stored) {
        live.provider_metrics(provider).key_failure(failure);
    }
    let Some(change) = key.health().hear(said, routed.payer, now) else {
        return;
    };
    let provider = &live.upstream(provider).id;
    if stored {
        tell_stored(provider, key, routed.payer, change);
    } else {
        tell(provider, key, routed.payer, change);
    }
}

/// Of a key that an account has stored.
fn tell_stored(provider: &str, key: &Key, Payer(payer): Payer, change: Change) {
    let name = key.name().unwrap_or_default();
    match change {
        Change::Aside(reason, time) => {
            let (time, why) = (time.as_secs_f64(), reason.name());
            info!(
                "provider {provider}: stored key {name} of account {payer} is set aside for {time:.0} s: {why}"
            );
        }
        Change::Back => {
            info!("provider {provider}: stored key {name} of account {payer} serves again")
        }
    }
}

fn failure(said: Said) -> Option<KeyFailure> {
    match said {
        Said::Refused => Some(KeyFailure::Refused),
        Said::OutOfCredit => Some(KeyFailure::OutOfCredit),
        Said::RateLimited(_) => Some(KeyFailure::RateLimited),
        Said::Serves(_) => None,
    }
}

fn tell(provider: &str, key: &Key, Payer(payer): Payer, change: Change) {
    let place = key.place();
    let name = key.name().map(|name| format!(" ({name})"));
    let name = name.unwrap_or_default();
    match change {
        Change::Aside(reason, time) => {
            let time = time.as_secs_f64();
            let key = format!("provider {provider}: key {place}{name} is set aside");
            match reason {
                Reason::Refused => {
                    warn!("{key} for {time:.0} s: the provider does not accept it");
                }
                Reason::OutOfCredit => warn!(
                    "{key} for {time:.0} s, for account {payer}: what is behind it has too little credit"
                ),
                Reason::RateLimited => {
                    info!("{key} for {time:.0} s, for account {payer}: it is over its limits");
                }
            }
        }
        Change::Back => warn!("provider {provider}: key {place}{name} serves again"),
    }
}
