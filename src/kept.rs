//! Connections that clients keep between their requests, and for how long they have been idle. A process that leaves closes
//! those that have been for a while, and loses no request by it: whatever comes before is answered.
//!
//! That is about HTTP/1.1, where the task that serves a connection serves its requests, one after another. Those of HTTP/2
//! have tasks of their own, and their connections are told to be used no more: here they are never idle. Nor is one that has
//! had no request yet.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a connection may be idle once the process leaves.
pub const LINGER: Duration = Duration::from_secs(3);

/// How often it is looked whether a request has ended, once the process leaves.
const LOOK: Duration = Duration::from_millis(250);

/// No time: a request is under way, or there was none yet.
const BUSY: u64 = u64::MAX;

tokio::task_local! {
    static CONNECTION: Arc<Connection>;
}

/// One connection, over which a request at a time is served.
#[derive(Debug)]
struct Connection {
    began: Instant,
    /// Milliseconds from its beginning to the end of its last request; [`BUSY`] during one, and before the first.
    idle_since: AtomicU64,
}

impl Connection {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            idle_since: AtomicU64::new(BUSY),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    /// For how long it has been idle; nothing while it is not.
    fn idle(&self) -> Option<Duration> {
        let since = self.idle_since.load(Ordering::Acquire);
        (since != BUSY).then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    /// Ready once it has been idle for [`LINGER`], which is counted from now at the earliest.
    async fn lingered(&self) {
        let from = Instant::now();
        loop {
            let wait = match self.idle() {
                Some(idle) => LINGER.saturating_sub(idle.min(from.elapsed())),
                None => LOOK,
            };
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub struct Busy(Option<Arc<Connection>>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection
                .idle_since
                .store(connection.now(), Ordering::Release);
        }
    }
}

/// Says that the connection that this task serves has a request. Says nothing where the task serves none.
#[must_use]
pub fn request_begins() -> Busy {
    let connection = CONNECTION.try_with(Arc::clone).ok();
    if let Some(connection) = &connection {
        connection.idle_since.store(BUSY, Ordering::Release);
    }
    Busy(connection)
}

/// Whether the process leaves.
#[derive(Debug, Default)]
pub struct Leaving {
    is: AtomicBool,
    told: Notify,
}

impl Leaving {
    /// Says that it does.
    pub fn leave(&self) {
        self.is.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Whether it does.
    #[must_use]
    pub fn is(&self) -> bool {
        self.is.load(Ordering::Acquire)
    }

    /// Serves a connection: to its end, or until it has been idle for [`LINGER`] after the process was told to leave.
    pub async fn serve<T>(&self, served: impl Future<Output = Option<T>>) -> Option<T> {
        let connection = Connection::new();
        let mut served = pin!(CONNECTION.scope(Arc::clone(&connection), served));
        let mut lingered = pin!(async {
            let told = self.told.notified();
            if !self.is() {
                told.await;
            }
            connection.lingered().await;
        });
        let mut waits = false;
        std::future::poll_fn(|context| {
            if let Poll::Ready(ended) = served.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            // Asked once, so that it wakes this task; and not again with each piece of each answer.
            if !waits || self.is() {
                waits = true;
                return lingered.as_mut().poll(context).map(|()| None);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_is_idle_is_left_after_a_while_and_not_before() {
        let leaving = Arc::new(Leaving::default());
        let (more, waits) = oneshot::channel::<()>();
        let served = tokio::spawn({
            let leaving = Arc::clone(&leaving);
            let requests = async {
                drop(request_begins());
                waits.await.ok()
            };
            async move { leaving.serve(requests).await }
        });
        tokio::time::sleep(LINGER * 10).await;
        assert!(!served.is_finished());
        leaving.leave();
        tokio::time::sleep(LINGER / 2).await;
        assert!(!served.is_finished());
        assert_eq!(served.await.expect("no panic"), None);
        assert!(more.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_without_a_request_of_its_own_task_is_not_left() {
        let leaving = Arc::new(Leaving::default());
        let (end, ended) = oneshot::channel::<()>();
        let served = tokio::spawn({
            let leaving = Arc::clone(&leaving);
            async move { leaving.serve(async { ended.await.ok() }).await }
        });
        leaving.leave();
        tokio::time::sleep(LINGER * 10).await;
        assert!(!served.is_finished());
        end.send(()).expect("it waits");
        assert_eq!(served.await.expect("no panic"), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_with_a_request_is_not_left() {
        let leaving = Arc::new(Leaving::default());
        let (end, ended) = oneshot::channel::<()>();
        let served = tokio::spawn({
            let leaving = Arc::clone(&leaving);
            async move {
                let request = async {
                    let _busy = request_begins();
                    ended.await.ok()
                };
                leaving.serve(request).await
            }
        });
        leaving.leave();
        tokio::time::sleep(LINGER * 10).await;
        assert!(!served.is_finished());
        end.send(()).expect("it waits");
        assert_eq!(served.await.expect("no panic"), Some(()));
    }

    #[tokio::test]
    async fn a_task_that_serves_no_connection_has_nothing_to_say() {
        assert!(request_begins().0.is_none());
    }
}
