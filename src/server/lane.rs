//! One thread for the work that takes much memory, a job at a time. The allocator keeps an arena for each thread; on
//! many threads each reload of a large catalog would leave its memory in another one.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Where jobs wait for their turn. The thread ends with it.
#[derive(Debug)]
pub(super) struct Lane(mpsc::Sender<Job>);

impl Lane {
    /// A thread of that name.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let (jobs, turns) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in turns {
                    // Who waits for it learns from the answer that does not come.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        Ok(Self(jobs))
    }

    /// Does `job` in its turn; nothing when it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody may be waiting any more.
            let _ = answer.send(job());
        });
        self.0.send(job).ok()?;
        answered.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_one_by_one_and_a_panic_ends_its_own_only() {
        let lane = Lane::new("test").expect("a thread");
        let first = lane.run(|| thread::current().id()).await;
        assert_eq!(lane.run(|| panic!("on purpose")).await, None::<()>);
        let second = lane.run(|| thread::current().id()).await;
        assert!(first.is_some());
        assert_eq!(first, second);
    }
}
