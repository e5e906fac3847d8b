//! An answer's tasks on their way to the client. Nearly always nothing is to be done with them, which one look at the
//! shared state tells.

use pingora::Result;
use pingora::protocols::http::HttpTask;

use super::shared::State;
use super::{Cause, Replay, stop};

impl State {
    /// Whether tasks of the answer at hand go to the client as they are.
    fn passes_on(&self) -> bool {
        self.mask.is_none()
            && self.withhold_until.is_none()
            && self.held.is_none()
            && self.extra.is_none()
            && !self.stop
            && !self.absence.left
    }
}

impl Replay {
    /// Takes tasks of an answer; what they become goes to the client. True: that was the end.
    pub(super) async fn answer(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let (passes_on, handed_over) = {
            let state = self.shared.lock();
            (state.passes_on(), state.handed_over())
        };
        if passes_on {
            self.begin(&tasks, handed_over);
            return self.send(tasks).await;
        }
        let tasks = self.shared.masked(tasks);
        if self.withholding() {
            return self.keep(tasks);
        }
        let Some(tasks) = self.shared.pass(tasks) else {
            return Ok(false);
        };
        let tasks = self.shared.without_usage(tasks);
        if !self.shared.is_stopped() {
            self.begin(&tasks, handed_over);
            return self.send(tasks).await;
        }
        self.begin(&tasks, handed_over);
        let tasks = stop::unended(tasks);
        let ends = tasks.last().is_some_and(HttpTask::is_end);
        self.write(tasks, ends).await?;
        Err(self
            .shared
            .end(Cause::Capped, "the answer has cost what it may"))
    }

    /// Pingora does not use the client's connection again when an upstream answers before it has the body; the client
    /// should know.
    fn begin(&mut self, tasks: &[HttpTask], handed_over: bool) {
        let begins = |task: &HttpTask| matches!(task, HttpTask::Header(..));
        if !handed_over && tasks.iter().any(begins) {
            self.real.set_keepalive(None);
        }
    }

    async fn send(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        if tasks.is_empty() {
            self.touch();
            return Ok(false);
        }
        let ends = tasks.last().is_some_and(HttpTask::is_end);
        let written = self.write(tasks, ends).await;
        if !ends {
            self.touch();
        }
        written
    }
}
