//! A gate that holds whoever comes to it until the test opens it: how concurrency is made certain instead of likely.
//! It knows nothing of requests.

use std::sync::Arc;

use tokio::sync::watch;

use crate::support::wait;

/// Closed when made; clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<State>>);

#[derive(Default)]
struct State {
    /// How many more may pass; `usize::MAX` once open for good.
    passes: usize,
    held: usize,
    held_max: usize,
}

/// A closed gate.
pub fn gate() -> Gate {
    Gate(Arc::new(watch::channel(State::default()).0))
}

/// Counts who waits, also when the wait is given up.
struct Waiting<'a>(&'a watch::Sender<State>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.held -= 1);
    }
}

impl Gate {
    /// Lets everyone pass, now and later.
    pub fn open(&self) {
        self.0.send_modify(|state| state.passes = usize::MAX);
    }

    /// Lets `count` more pass.
    pub fn admit(&self, count: usize) {
        self.0
            .send_modify(|state| state.passes = state.passes.saturating_add(count));
    }

    /// Returns once `count` are held at the same time.
    pub async fn held(&self, count: usize) {
        let mut seen = self.0.subscribe();
        let _ = wait::within(
            &format!("{count} held at a gate"),
            seen.wait_for(|state| state.held >= count),
        )
        .await;
    }

    /// The most that were held at the same time.
    pub fn held_max(&self) -> usize {
        self.0.borrow().held_max
    }

    /// Waits until let through.
    pub(super) async fn pass(&self) {
        let mut seen = self.0.subscribe();
        self.0.send_modify(|state| {
            state.held += 1;
            state.held_max = state.held_max.max(state.held);
        });
        let _waiting = Waiting(&self.0);
        loop {
            let _ = seen.wait_for(|state| state.passes > 0).await;
            let passed = self.0.send_if_modified(|state| {
                let open = state.passes > 0;
                if open && state.passes != usize::MAX {
                    state.passes -= 1;
                }
                open
            });
            if passed {
                return;
            }
        }
    }
}
