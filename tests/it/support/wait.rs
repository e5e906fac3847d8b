//! Waiting for something to happen, with a bound that fires only when the test has failed anyway.
//! Nothing here sleeps for a time: callers wait for a condition.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// The longest a test waits for anything on loopback. A guard, not a measure: passing tests take milliseconds.
pub const GUARD: Duration = Duration::from_secs(30);

/// How often [`until`] asks again.
const POLL: Duration = Duration::from_millis(2);

/// The output of `future`, or a panic that names `what` was awaited, and where, after [`GUARD`].
#[track_caller]
pub fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let what = what.to_owned();
    let place = Location::caller();
    async move {
        let Ok(output) = tokio::time::timeout(GUARD, future).await else {
            panic!("{place}: waited {GUARD:?} for {what}")
        };
        output
    }
}

/// Returns once `condition` holds; panics after [`GUARD`]. For what offers no event to wait for (a file, a process).
#[track_caller]
pub fn until<'a>(
    what: &'a str,
    mut condition: impl FnMut() -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    within(what, async move {
        while !condition() {
            tokio::time::sleep(POLL).await;
        }
    })
}
