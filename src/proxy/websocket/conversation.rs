//! What passes over a WebSocket that is open, apart from sockets: how much, what of it was used and is paid for, and where it
//! ends, if the gateway ends it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::charged::Stop;
use super::end;
use super::paid::Paid;
use super::tap::Tap;
use crate::proxy::charge::{Charged, How};
use crate::usage::Report;

/// How long the end of what the server is sending of a frame is waited for, whatever the client sends meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the provider is left to read what was written to it last: one that is answering would find the connection
/// closed, and might not read on.
const GRACE: Duration = Duration::from_millis(200);

/// How often it is looked whether the access key still stands.
const LOOK: Duration = Duration::from_secs(2);

/// See the module.
pub struct Conversation {
    tap: Tap,
    paid: Option<Box<Paid>>,
    /// Whether the client is told of the end by an event, too.
    events: bool,
    end: End,
    /// Whether the client has sent something on just before that.
    sent_on: bool,
    look: Instant,
    received: u64,
    sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// It is to end at the next place where that can be said, and then without a word.
    Due(Stop, Instant),
    /// Nothing passes any more, and then it is over.
    Told(Instant),
    Over,
}

/// What is waited for besides the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A time at which somebody is to look.
    Look(Instant),
    /// A time at which it ends.
    End(Instant),
    /// Nothing.
    Over,
}

impl Conversation {
    /// One that has just been opened. `tap` reads what the server says; `events`: its clients know the events of the Realtime
    /// API.
    #[must_use]
    pub fn new(tap: Tap, paid: Option<Box<Paid>>, events: bool) -> Self {
        Self {
            tap,
            paid,
            events,
            end: End::No,
            sent_on: false,
            look: Instant::now() + LOOK,
            received: 0,
            sent: 0,
        }
    }

    /// Whether nothing passes any more.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self.end, End::Told(_) | End::Over)
    }

    /// Whether both connections may be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end == End::Over
    }

    /// Whether nothing of the client's goes on any more.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.end != End::No
    }

    /// Bytes of frames that the client has sent.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of frames that went to the client.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// So many bytes go to the client.
    pub fn sends(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// What was used, as far as it was told.
    #[must_use]
    pub fn report(&self) -> Report {
        self.tap.report()
    }

    /// Settles what it has cost, where the gateway pays.
    pub fn settle(&mut self, how: How) -> Option<Charged> {
        let ended = self.is_ending();
        self.paid.as_mut().map(|paid| paid.settle(how, ended))
    }

    /// What is waited for besides the client.
    pub fn next(&mut self, now: Instant) -> Next {
        match self.end {
            End::No => Next::Look(self.look),
            End::Due(_, until) | End::Told(until) if now < until => Next::End(until),
            End::Due(..) | End::Told(_) | End::Over => {
                self.end = End::Over;
                Next::Over
            }
        }
    }

    /// Whether it is time to look whether the access key still stands.
    pub fn must_look(&mut self, now: Instant) -> bool {
        let due = self.look <= now && self.end == End::No;
        if due {
            self.look = now + LOOK;
        }
        due
    }

    /// It is to end, unless it is to already.
    pub fn stop(&mut self, stop: Stop) {
        if self.end == End::No {
            self.end = End::Due(stop, Instant::now() + PATIENCE);
        }
    }

    /// The client has gone.
    pub fn left(&mut self) {
        if let (Some(paid), End::No) = (&mut self.paid, self.end) {
            paid.left();
        }
    }

    /// Takes bytes of the client; what of them goes on.
    pub async fn client_says(&mut self, bytes: &Bytes) -> Bytes {
        self.received += bytes.len() as u64;
        if self.is_ending() {
            self.skip(bytes);
            return Bytes::new();
        }
        let Some(paid) = &mut self.paid else {
            return bytes.clone();
        };
        let (passed, stopped) = paid.client_says(bytes).await;
        if let Some(stop) = stopped {
            self.sent_on = passed > 0;
            self.stop(stop);
        }
        bytes.slice(..passed)
    }

    /// Passes over what the client sends when it has ended. Whether the client is known to have closed.
    pub fn skip(&mut self, bytes: &[u8]) -> bool {
        self.paid.as_mut().is_some_and(|paid| paid.skip(bytes))
    }

    /// Takes bytes of the server; what goes on in their place. Where a response begins by itself, what comes behind that
    /// waits until what is held for it is on the disk.
    pub async fn server_says(&mut self, bytes: Bytes) -> Bytes {
        if self.is_told() {
            return Bytes::new();
        }
        let (mut passed, mut held_back) = (0, None);
        while passed < bytes.len() && !self.can_end() {
            passed += self.step(&bytes[passed..]).await;
            let paid = self.paid.as_deref();
            // What has begun to go on is not cut: the frames that end it could not stand there.
            let (between, message) = self.tap.boundary();
            let waits = between && !self.is_ending();
            if waits && held_back.is_none() && paid.is_some_and(Paid::is_unwritten) {
                held_back = Some((passed, message));
            }
        }
        if let (Some((begun, message)), Some(paid)) = (held_back, &self.paid)
            && paid.written().await.is_err()
        {
            self.has_told();
            let told = end::frames(Stop::STORE, message && self.events);
            return joined(&bytes[..begun], &told);
        }
        match self.tell() {
            Some(told) => joined(&bytes[..passed], &told),
            None => bytes.slice(..passed),
        }
    }

    /// Takes some bytes of the server, at least one and no more than to the end of a frame; how many go on.
    async fn step(&mut self, bytes: &[u8]) -> usize {
        let Self { tap, paid, .. } = self;
        let (taken, said) = tap.step(bytes, &mut |data| {
            if let Some(paid) = paid {
                paid.hear(data);
            }
        });
        let Some(paid) = paid else {
            return taken;
        };
        if tap.is_lost() {
            // What cannot be read does not go on, and what began before it is cut.
            self.stop(Stop::UNREADABLE);
            return 0;
        }
        if let Some((said, length)) = said
            && let Err(stop) = paid.server_said(said, length).await
        {
            self.stop(stop);
        }
        taken
    }

    /// Whether it is to end, and can here. What is lost ends anywhere.
    fn can_end(&self) -> bool {
        matches!(self.end, End::Due(..)) && (self.tap.boundary().0 || self.tap.is_lost())
    }

    fn has_told(&mut self) {
        self.end = match self.sent_on {
            true => End::Told(Instant::now() + GRACE),
            false => End::Over,
        };
    }

    /// The frames that end it, if it is to end and they can stand here. What is lost ends without a word: nobody knows where
    /// a frame would stand.
    pub fn tell(&mut self) -> Option<Vec<u8>> {
        let End::Due(stop, _) = self.end else {
            return None;
        };
        if !self.can_end() {
            return None;
        }
        self.has_told();
        let (_, message) = self.tap.boundary();
        Some(match self.tap.is_lost() {
            true => Vec::new(),
            false => end::frames(stop, message && self.events),
        })
    }
}

fn joined(one: &[u8], other: &[u8]) -> Bytes {
    [one, other].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::reject::Code;

    const STOP: Stop = Stop {
        code: Code::InvalidAccessKey,
        words: "It was revoked.",
    };

    /// An empty frame of text, and one of five bytes.
    const FRAMES: &[u8] = b"\x81\x00\x81\x05hello";

    fn unpaid(events: bool) -> Conversation {
        Conversation::new(Tap::deaf(), None, events)
    }

    async fn says(conversation: &mut Conversation, bytes: &'static [u8]) -> Bytes {
        conversation.server_says(Bytes::from_static(bytes)).await
    }

    #[tokio::test]
    async fn it_ends_behind_the_frame_at_hand_and_nothing_passes_after_that() {
        for events in [true, false] {
            let mut conversation = unpaid(events);
            let cut = FRAMES.len() - 2;
            assert_eq!(
                says(&mut conversation, &FRAMES[..cut]).await,
                &FRAMES[..cut]
            );
            conversation.stop(STOP);
            assert_eq!(conversation.tell(), None, "it is in a frame");
            let last = says(&mut conversation, b"lo\x81\x00").await;
            assert_eq!(last, [b"lo", &*end::frames(STOP, events)].concat());
            assert!(conversation.is_over());
            assert!(says(&mut conversation, FRAMES).await.is_empty());
            let from_client = Bytes::from_static(b"more");
            assert!(conversation.client_says(&from_client).await.is_empty());
            assert_eq!(conversation.next(Instant::now()), Next::Over);
        }
    }

    #[tokio::test]
    async fn between_fragments_there_is_no_event() {
        let mut conversation = unpaid(true);
        says(&mut conversation, b"\x01\x00").await;
        conversation.stop(STOP);
        assert_eq!(conversation.tell(), Some(end::frames(STOP, false)));
    }

    #[tokio::test]
    async fn a_frame_that_does_not_end_is_waited_for_until_one_time() {
        let mut conversation = unpaid(true);
        says(&mut conversation, &FRAMES[..5]).await;
        conversation.stop(STOP);
        let Next::End(until) = conversation.next(Instant::now()) else {
            panic!("it is not to end");
        };
        conversation.client_says(&Bytes::from_static(b"more")).await;
        conversation.stop(STOP);
        let just_before = until - Duration::from_millis(1);
        assert_eq!(conversation.next(just_before), Next::End(until));
        assert_eq!(conversation.next(until), Next::Over);
        assert!(conversation.is_told() && conversation.tell().is_none());
    }

    #[tokio::test]
    async fn where_nobody_knows_what_frames_are_it_ends_without_a_word() {
        let mut conversation = unpaid(true);
        says(&mut conversation, b"no frames at all").await;
        conversation.stop(STOP);
        assert_eq!(conversation.tell(), Some(Vec::new()));
    }

    #[test]
    fn it_is_looked_every_now_and_then_until_it_is_to_end() {
        let mut conversation = unpaid(true);
        let Next::Look(at) = conversation.next(Instant::now()) else {
            panic!("nobody looks");
        };
        assert!(!conversation.must_look(at - Duration::from_millis(1)));
        assert!(conversation.must_look(at));
        assert_eq!(conversation.next(at), Next::Look(at + LOOK));
        conversation.stop(STOP);
        assert!(!conversation.must_look(at + 2 * LOOK));
    }
}
