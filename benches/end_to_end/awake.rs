//! Keeps the harness's thread from sleeping: it asks the kernel again and again what there is to do, as a poll loop does.
//!
//! Whoever sends to a thread that sleeps wakes it, and in a virtual machine that is an exit to the host for the sender, with
//! the caches that it finds cold afterwards. On a network nobody is woken by a proxy's send. And the slower a proxy is, the more
//! often the harness has nothing to do: its own slowness would be counted twice.

use tokio::task::{JoinHandle, yield_now};

/// Dropped, the thread may sleep again.
pub struct Awake(JoinHandle<()>);

impl Awake {
    /// From now on, on a runtime of one thread.
    pub fn keep() -> Self {
        Self(tokio::spawn(async {
            loop {
                yield_now().await;
            }
        }))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.abort();
    }
}
