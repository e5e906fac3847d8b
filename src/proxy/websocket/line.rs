//! An open WebSocket between the client's session and Pingora. All that may take a while is waited for here: what the server
//! says passes when it may, and an end waits for what is on its way upstream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::Result;
use pingora::protocols::http::{HttpTask, ServerSession};
use tokio::sync::{Mutex, MutexGuard};

use super::charged::Stop;
use super::conversation::{Conversation, Next};
use crate::proxy::charge::{Charged, How};
use crate::proxy::replay;
use crate::usage::Report;

/// See the module. One task has both directions, so that nobody waits for the lock.
pub struct Line {
    conversation: Mutex<Conversation>,
    over: AtomicBool,
}

impl Line {
    /// A conversation that has just been opened.
    #[must_use]
    pub fn new(conversation: Conversation) -> Self {
        Self {
            conversation: Mutex::new(conversation),
            over: AtomicBool::new(false),
        }
    }

    /// Takes a piece of the client, which may be empty; what of it goes on, and whether the conversation is to end.
    pub async fn client_says(&self, bytes: &Bytes) -> (Bytes, bool) {
        let mut conversation = self.conversation.lock().await;
        let passed = conversation.client_says(bytes).await;
        (passed, conversation.is_ending())
    }

    /// Whether it is time to look whether the access key still stands.
    pub async fn must_look(&self, now: Instant) -> bool {
        self.conversation.lock().await.must_look(now)
    }

    /// It is to end.
    pub async fn stop(&self, stop: Stop) {
        self.conversation.lock().await.stop(stop);
    }

    /// The client has gone.
    pub async fn left(&self) {
        self.conversation.lock().await.left();
    }

    /// Passes over what the client sends when it has ended. Whether the client is known to have closed.
    pub async fn skip(&self, bytes: &[u8]) -> bool {
        self.conversation.lock().await.skip(bytes)
    }

    /// Whether the client was told of the end.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.at_rest().is_some_and(|it| it.is_told())
    }

    /// Bytes of frames that the client has sent, and that went to it.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        self.at_rest()
            .map_or((0, 0), |it| (it.received(), it.sent()))
    }

    /// What was used, as far as it was told.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.at_rest().map(|conversation| conversation.report())
    }

    /// Settles what it has cost, where the gateway pays.
    #[must_use]
    pub fn settle(&self, how: How) -> Option<Charged> {
        self.at_rest()?.settle(how)
    }

    /// Between two steps of its task, as everywhere but in [`replay::Line`]'s own methods.
    fn at_rest(&self) -> Option<MutexGuard<'_, Conversation>> {
        self.conversation.try_lock().ok()
    }

    fn note(&self, conversation: &Conversation) {
        self.over.store(conversation.is_over(), Ordering::Release);
    }
}

#[async_trait]
impl replay::Line for Line {
    async fn read(&self, real: &mut ServerSession) -> Result<Option<Bytes>> {
        let next = {
            let mut conversation = self.conversation.lock().await;
            let next = conversation.next(Instant::now());
            self.note(&conversation);
            next
        };
        let until = match next {
            Next::Over => return Ok(None),
            Next::Look(at) | Next::End(at) => at.saturating_duration_since(Instant::now()),
        };
        tokio::select! {
            biased;
            read = real.read_body_or_idle(false) => read,
            // Whoever comes next finds that it is time.
            () = pingora_timeout::sleep(until) => Ok(Some(Bytes::new())),
        }
    }

    async fn write(&self, real: &mut ServerSession, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut conversation = self.conversation.lock().await;
        let (mut changed, mut ended) = (Vec::with_capacity(tasks.len() + 1), false);
        for task in tasks {
            match task {
                _ if conversation.is_told() => ended |= task.is_end(),
                HttpTask::UpgradedBody(Some(bytes), end) => {
                    let bytes = conversation.server_says(bytes).await;
                    conversation.sends(bytes.len());
                    let told = conversation.is_told();
                    ended |= end && told;
                    changed.push(HttpTask::UpgradedBody(Some(bytes), end && !told));
                }
                other => changed.push(other),
            }
        }
        // Pingora takes frames only once its 101 has gone out.
        if real.was_upgraded()
            && let Some(told) = conversation.tell()
        {
            conversation.sends(told.len());
            changed.push(HttpTask::UpgradedBody(Some(told.into()), false));
        }
        self.note(&conversation);
        if !changed.is_empty() {
            ended |= real.response_duplex_vec(changed).await?;
        }
        Ok(ended || conversation.is_over())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}
