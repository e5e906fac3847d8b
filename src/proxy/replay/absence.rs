//! A client that has left, of an answer that goes on being made and being paid for: it is read to its end without the
//! client, so that it is known what it has cost.

use pingora::Result;
use pingora::protocols::http::HttpTask;

use super::shared::Shared;

#[derive(Default)]
pub(super) struct Absence {
    /// Whether the attempt's answer is read on when the client leaves.
    pub(super) read_on: bool,
    /// Whether the client has left meanwhile.
    pub(super) left: bool,
    /// Bytes that would have gone to the client.
    unsent: u64,
}

impl Shared {
    /// The answer of this attempt is read to its end also without a client.
    pub fn read_on(&self) {
        self.lock().absence.read_on = true;
    }

    /// Whether the client has left, and the attempt goes on all the same.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.lock().absence.left
    }

    /// Bytes of the answer that came when the client had left.
    pub(super) fn unsent(&self) -> u64 {
        self.lock().absence.unsent
    }

    /// The client has left. True: the attempt goes on without it, because the upstream has the whole request.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.lock();
        state.absence.left |= state.absence.read_on && state.handed_over();
        state.absence.left
    }

    /// Takes what would go to the client. True: that was the end.
    pub(super) fn let_go(&self, mut tasks: Vec<HttpTask>) -> Result<bool> {
        let ends = tasks.last().is_some_and(HttpTask::is_end);
        let bytes = tasks.iter().map(|task| match task {
            HttpTask::Body(data, _) => data.as_ref().map_or(0, |data| data.len() as u64),
            _ => 0,
        });
        self.lock().absence.unsent += bytes.sum::<u64>();
        match tasks.pop() {
            Some(HttpTask::Failed(error)) => Err(error),
            _ => Ok(ends),
        }
    }
}
