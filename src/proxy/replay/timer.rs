//! The timer of a request. Pingora's timers are shared by all that end within the same 10 ms and cost no system call; one of
//! tokio's has its driver woken, by a write and an `epoll_wait` more, whenever it ends before all others, as that of a
//! request nearly always does: a tenth of the CPU time of a small request.

use std::pin::Pin;
use std::time::{Duration, Instant};

/// Above this, one of tokio's is cheaper: Pingora's stay in memory until they end.
const LONG: Duration = Duration::from_secs(15 * 60);

/// Wakes at a time, or up to 20 ms later.
pub(super) struct Timer {
    at: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Timer {
    /// The timer in `slot`, which wakes at the time `at` or before.
    pub(super) fn no_later(slot: &mut Option<Self>, at: Instant) -> &mut Self {
        if slot.as_ref().is_some_and(|timer| timer.at > at) {
            *slot = None;
        }
        slot.get_or_insert_with(|| Self {
            at,
            sleep: sleep(at.saturating_duration_since(Instant::now())),
        })
    }

    /// Returns when it has woken. It wakes once.
    pub(super) async fn woken(&mut self) {
        self.sleep.as_mut().await;
    }
}

fn sleep(time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
    if time > LONG {
        Box::pin(tokio::time::sleep(time))
    } else {
        Box::pin(pingora_timeout::sleep(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_wakes_no_sooner_and_only_an_earlier_time_replaces_it() {
        let now = Instant::now();
        let soon = now + Duration::from_millis(30);
        let mut slot = None;
        Timer::no_later(&mut slot, now + Duration::from_secs(3600));
        Timer::no_later(&mut slot, soon);
        let timer = Timer::no_later(&mut slot, now + Duration::from_secs(60));
        assert_eq!(timer.at, soon);
        timer.woken().await;
        // Pingora's count whole milliseconds.
        assert!(Instant::now() + Duration::from_millis(1) >= soon);
    }
}
