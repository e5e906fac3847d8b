//! The timer of a request. Pingora's timers are shared by all that end within the same 10 ms and cost no system call; one of
//! tokio's has its driver woken, by a write and an `epoll_wait` more, whenever it ends before all others, as that of a
//! request nearly always does: a tenth of the CPU time of a small request.
//!
//! Nearly all requests end long before their timer does, and Pingora's stay in memory until then. So a timer goes on to the next
//! request of its thread, which is woken by it too early, if at all, and looks at its deadline again.

use std::cell::RefCell;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Above this, one of tokio's is cheaper: Pingora's stay in memory until they end.
const LONG: Duration = Duration::from_secs(15 * 60);

/// How many timers a thread keeps for its next requests.
const KEPT_MAX: usize = 16;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

thread_local! {
    /// Timers that a request has let go of.
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// One of Pingora's, which nobody has seen wake. It keeps the waker of its last task, and that task's memory, until it is used
/// again or its thread ends.
struct Kept {
    at: Instant,
    sleep: Sleep,
}

/// Wakes at a time, or up to 20 ms later.
pub(super) struct Timer {
    at: Instant,
    /// None: it has woken.
    sleep: Option<Sleep>,
    /// Whether it is one of Pingora's.
    shared: bool,
    /// Whether its time runs. It does when it is first waited for, and one that was not would wake the next too late.
    runs: bool,
}

impl Timer {
    /// The timer in `slot`, which wakes at the time `at` or before.
    pub(super) fn no_later(slot: &mut Option<Self>, at: Instant) -> &mut Self {
        if slot.as_ref().is_some_and(|timer| timer.at > at) {
            *slot = None;
        }
        slot.get_or_insert_with(|| Self::kept(at).unwrap_or_else(|| Self::new(at)))
    }

    /// One that another request has let go of.
    fn kept(at: Instant) -> Option<Self> {
        let take = |kept: &RefCell<Vec<Kept>>| kept.try_borrow_mut().ok()?.pop();
        let kept = KEPT.try_with(take).ok().flatten();
        // One that is later is of a request that had more time, and serves nobody sooner.
        let Kept { at, sleep } = kept.filter(|kept| kept.at <= at)?;
        Some(Self {
            at,
            sleep: Some(sleep),
            shared: true,
            runs: true,
        })
    }

    fn new(at: Instant) -> Self {
        let time = at.saturating_duration_since(Instant::now());
        let shared = time <= LONG;
        Self {
            at,
            sleep: Some(match shared {
                true => Box::pin(pingora_timeout::sleep(time)),
                false => Box::pin(tokio::time::sleep(time)),
            }),
            shared,
            runs: false,
        }
    }

    /// Returns when it has woken. It wakes once.
    pub(super) async fn woken(&mut self) {
        if let Some(sleep) = &mut self.sleep {
            self.runs = true;
            sleep.await;
            self.sleep = None;
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(sleep) = self.sleep.take().filter(|_| self.shared && self.runs) else {
            return;
        };
        let at = self.at;
        let keep = |kept: &RefCell<Vec<Kept>>| {
            let mut kept = kept.try_borrow_mut().ok()?;
            (kept.len() < KEPT_MAX).then(|| kept.push(Kept { at, sleep }))
        };
        // A thread that ends keeps none.
        let _ = KEPT.try_with(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for the timer that wakes at that time or before, as long as nothing else has to be waited for.
    async fn glance(at: Instant) -> Instant {
        let mut slot = None;
        let timer = Timer::no_later(&mut slot, at);
        tokio::select! {
            biased;
            () = timer.woken() => {}
            () = std::future::ready(()) => {}
        }
        timer.at
    }

    #[tokio::test]
    async fn what_a_request_lets_go_of_serves_the_next_that_ends_no_sooner() {
        let first = Instant::now() + Duration::from_secs(60);
        let sooner = first - Duration::from_secs(1);
        assert_eq!(glance(first).await, first);
        assert_eq!(glance(first + Duration::from_secs(1)).await, first);
        assert_eq!(glance(sooner).await, sooner);
        assert_eq!(glance(first).await, sooner);
    }

    #[tokio::test]
    async fn one_that_wakes_as_it_is_let_go_of_serves_the_next_once() {
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(glance(soon).await, soon);
        let (mut slot, later) = (None, soon + Duration::from_secs(60));
        let kept = Timer::no_later(&mut slot, later);
        kept.woken().await;
        assert!(kept.at == soon && Instant::now() + Duration::from_millis(1) >= soon);
        slot = None;
        assert_eq!(Timer::no_later(&mut slot, later).at, later);
    }

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
