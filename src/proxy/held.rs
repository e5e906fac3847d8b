//! An answer that is held back until it is known whether it goes to the client: its tasks, as Pingora handed them over.
//! It is let go whole and in order, so that status, header, framing and body are what they would have been.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::protocols::http::HttpTask;

/// How long an answer is held back for its body to be looked into. What has come by then goes on.
pub const HELD_TIME: Duration = Duration::from_secs(1);

/// The answer, as far as it has come.
pub struct Held {
    tasks: Vec<HttpTask>,
    /// When it goes on, known or not.
    until: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is held back.
    Back,
    /// Its time is over; Pingora's next look at the request lets it go.
    Due,
    /// It goes on with the next of its tasks.
    Free,
}

impl Held {
    /// Nothing has come yet.
    pub fn since(now: Instant) -> Self {
        Self {
            tasks: Vec::new(),
            until: now + HELD_TIME,
            stage: Stage::Back,
        }
    }

    /// When it is let go at the latest; none: it has been, or is about to be.
    pub fn until(&self) -> Option<Instant> {
        (self.stage == Stage::Back).then_some(self.until)
    }

    /// Its time is over.
    pub fn overdue(&mut self) {
        self.stage = Stage::Due;
    }

    /// Whether its time is over and nobody has let it go.
    pub fn is_due(&self) -> bool {
        self.stage == Stage::Due
    }

    /// It goes to the client.
    pub fn release(&mut self) {
        self.stage = Stage::Free;
    }

    /// Takes more of it in. True: all of it is to go on now, because it was let go, or because this was its end. Of one
    /// that broke off nothing but that goes on.
    pub fn take(&mut self, tasks: Vec<HttpTask>) -> bool {
        self.tasks.extend(tasks);
        if matches!(self.tasks.last(), Some(HttpTask::Failed(_))) && self.stage != Stage::Free {
            self.tasks.drain(..self.tasks.len() - 1);
        }
        self.stage == Stage::Free || self.tasks.last().is_some_and(HttpTask::is_end)
    }

    /// All that has come.
    pub fn into_tasks(self) -> Vec<HttpTask> {
        self.tasks
    }

    /// The pieces of its body that have come.
    pub fn into_body(self) -> impl Iterator<Item = Bytes> {
        self.tasks.into_iter().filter_map(|task| match task {
            HttpTask::Body(data, _) | HttpTask::UpgradedBody(data, _) => data,
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &'static str, end: bool) -> HttpTask {
        HttpTask::Body(Some(Bytes::from_static(text.as_bytes())), end)
    }

    #[test]
    fn of_one_that_broke_off_only_that_goes_on() {
        let failed = || HttpTask::Failed(pingora::Error::new(pingora::ErrorType::ReadError));
        let mut held = Held::since(Instant::now());
        assert!(held.take(vec![body("a", false), failed()]));
        assert_eq!(held.into_tasks().len(), 1);
        // What was let go before that goes on as far as it came.
        let mut held = Held::since(Instant::now());
        assert!(!held.take(vec![body("a", false)]));
        held.release();
        assert!(held.take(vec![failed()]));
        assert_eq!(held.into_tasks().len(), 2);
    }

    #[test]
    fn it_is_let_go_with_its_next_task_or_with_its_last() {
        let now = Instant::now();
        let mut held = Held::since(now);
        assert!(!held.take(vec![body("a", false)]));
        assert_eq!(held.until(), Some(now + HELD_TIME));
        held.overdue();
        assert!(held.is_due() && held.until().is_none());
        assert!(!held.take(vec![body("b", false)]));
        held.release();
        assert!(!held.is_due() && held.until().is_none());
        assert!(held.take(Vec::new()));
        assert_eq!(held.into_tasks().len(), 2);

        for last in [body("", true), HttpTask::Done] {
            let mut held = Held::since(now);
            assert!(held.take(vec![body("a", false), last]));
            assert_eq!(held.into_body().next(), Some(Bytes::from_static(b"a")));
        }
    }
}
