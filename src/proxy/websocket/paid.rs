//! A conversation that the gateway pays for: what both sides say is read before it goes on, and where it cannot be paid for
//! any longer, or asks for what is not told, it is ended.

use std::time::Duration;

use bytes::Bytes;

use super::asks::Asked;
use super::charged::{Charged, Stop};
use super::client::Client;
use super::end;
use super::news::{New, News};
use super::tap::Tap;
use crate::ledger::{Estimated, StoreDown};
use crate::proxy::charge::{self, Heard, How, Till};
use crate::proxy::reject::Code;
use crate::usage::{Report, Said};

/// Bytes of a message of the server that are taken for a token: a twentieth of a second of 24 kHz PCM in base64. One of text
/// has fewer, and is taken for one token.
const SPOKEN: u64 = 3_200;

/// How long what the server says of a response is kept back, each time, while what is held for it is not on the disk.
const PAUSE: Duration = Duration::from_millis(10);

/// How long that may go on before it is ended.
const LATE: Duration = Duration::from_secs(1);

const FOREIGN: Stop = Stop {
    code: Code::NotOnGatewayCredential,
    words: "Something was used besides responses, which is not served on the gateway's key. Use a provider key of your own.",
};

/// See the module.
pub struct Paid {
    till: Box<Till>,
    charged: Charged,
    client: Client,
    news: News,
    heard: Heard,
    /// Whether the client has gone.
    left: bool,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// It is to end at the next place where that can be said.
    Due(Stop),
    /// The client was told.
    Told,
}

impl Paid {
    /// A conversation with this model, as its provider calls it, that has just been opened.
    #[must_use]
    pub fn new(till: Box<Till>, model: &str) -> Box<Self> {
        Box::new(Self {
            till,
            charged: Charged::new(),
            client: Client::new(model),
            news: News::default(),
            heard: Heard {
                // What nobody saw the end of is taken for what costs more.
                spoken: true,
                ..Heard::default()
            },
            left: false,
            end: End::No,
        })
    }

    /// Whether the client was told that it ends: nothing passes any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end == End::Told
    }

    /// Whether nothing of the client's goes on any more.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.end != End::No
    }

    /// The client has gone.
    pub fn left(&mut self) {
        self.left = true;
    }

    /// Reads bytes of the client. How many of them go on: all, unless it is ending; what stands before the place that ends it
    /// does. Waits until what is held for the responses that they ask for is on the disk.
    pub async fn client_says(&mut self, bytes: &[u8]) -> usize {
        let (mut passed, mut asked) = (0, 0);
        while passed < bytes.len() && self.end == End::No {
            let (taken, said) = self.step(&bytes[passed..]);
            match said {
                Ok(kind) => {
                    passed += taken;
                    asked += u32::from(kind == Some(Asked::Response));
                }
                Err(stop) => {
                    self.end = End::Due(stop);
                    self.skip(&bytes[passed + taken..]);
                }
            }
        }
        if asked > 0 {
            self.till.expect(self.charged.under_way(), self.heard);
            if let Err(StoreDown) = self.till.durable().await {
                self.charged.unask(asked);
                self.end = End::Due(Stop::STORE);
                return 0;
            }
        }
        passed
    }

    /// Takes some bytes of the client; how many, and what is asked for with them.
    fn step(&mut self, bytes: &[u8]) -> (usize, Result<Option<Asked>, Stop>) {
        let (taken, said) = self.client.step(bytes);
        let asked = match said {
            Ok(Some((asked, tokens))) => {
                self.heard.input = self.heard.input.saturating_add(tokens);
                asked
            }
            Ok(None) => return (taken, Ok(None)),
            Err(stop) => return (taken, Err(stop)),
        };
        let held = match asked {
            Asked::Response => self.charged.ask(&mut *self.till),
            Asked::Other => Ok(()),
        };
        (taken, held.map(|()| Some(asked)))
    }

    /// Passes over what the client sends when it has ended. Whether the client has closed.
    pub fn skip(&mut self, bytes: &[u8]) -> bool {
        self.client.skip(bytes)
    }

    /// Reads bytes of the server, and changes them where the conversation ends. How long they are kept back.
    pub fn upstream_says(&mut self, tap: &mut Tap, body: &mut Option<Bytes>) -> Option<Duration> {
        if self.end == End::Told {
            *body = None;
            return None;
        }
        let bytes = body.as_ref()?;
        // What has been written meanwhile is not late, however long nothing was said.
        let _ = self.till.unwritten();
        let mut passed = 0;
        while passed < bytes.len() && !self.is_due_at(tap) {
            let news = &mut self.news;
            let (taken, said) = tap.step(&bytes[passed..], &mut |data| news.feed(data));
            if tap.is_lost() {
                // What cannot be read does not go on, and what began before it is cut.
                self.end = End::Due(Stop::UNREADABLE);
                break;
            }
            passed += taken;
            if let Some((said, length)) = said {
                self.server_said(said, length);
            }
        }
        let pause = self.pause();
        let Some(told) = self.tell(tap) else {
            *body = Some(bytes.slice(..passed));
            return pause;
        };
        let mut all = bytes[..passed].to_vec();
        all.extend(told);
        *body = Some(all.into());
        None
    }

    /// How long to wait for what is held for the responses under way to be on the disk.
    fn pause(&mut self) -> Option<Duration> {
        if self.charged.under_way() == 0 || self.end != End::No {
            return None;
        }
        let late = self.till.unwritten()?;
        if late > LATE {
            self.end = End::Due(Stop::STORE);
        }
        Some(PAUSE)
    }

    /// Whether it is to end here.
    fn is_due_at(&self, tap: &Tap) -> bool {
        matches!(self.end, End::Due(_)) && tap.boundary().0
    }

    /// The frames that end it, if it is to end and they can stand here. What is lost ends without a word.
    pub fn tell(&mut self, tap: &Tap) -> Option<Vec<u8>> {
        let End::Due(stop) = self.end else {
            return None;
        };
        let (frame, message) = tap.boundary();
        if !frame && !tap.is_lost() {
            return None;
        }
        self.end = End::Told;
        // Of what is lost nobody knows where a frame would stand.
        Some(if frame && !tap.is_lost() {
            end::frames(stop, message)
        } else {
            Vec::new()
        })
    }

    /// A message of the server is complete.
    fn server_said(&mut self, said: Said, length: u64) {
        let new = self.news.end();
        let done = match said {
            Said::Created => self.created(new),
            Said::Done(report) => self.done(&report, new.broken),
            Said::Error => {
                self.charged.failed();
                Ok(())
            }
            Said::Foreign => Err(FOREIGN),
            Said::Other if new.piece => {
                let tokens = length.div_ceil(SPOKEN);
                self.heard.output = self.heard.output.saturating_add(tokens);
                Ok(())
            }
            Said::Other => self.changed(new),
        };
        if said != Said::Other {
            self.till.expect(self.charged.under_way(), self.heard);
        }
        if let (Err(stop), End::No) = (done, self.end) {
            self.end = End::Due(stop);
        }
    }

    /// A response has begun, of which the server says how long it may be.
    fn created(&mut self, new: New) -> Result<(), Stop> {
        self.charged.created(&mut *self.till)?;
        let nth = usize::try_from(self.charged.begun()).unwrap_or(usize::MAX);
        let most = new.response.unwrap_or(u64::MAX);
        self.till.fit(nth.saturating_sub(1), most)
    }

    /// The session may have changed.
    fn changed(&mut self, new: New) -> Result<(), Stop> {
        let Some(most) = new.session else {
            return Ok(());
        };
        self.till.fit_all(self.charged.under_way(), most)
    }

    fn done(&mut self, report: &Report, broken: bool) -> Result<(), Stop> {
        self.till.settle(
            report,
            Heard {
                broken,
                ..self.heard
            },
            self.charged.under_way(),
        );
        if report.flaw.is_none() {
            let usage = &report.usage;
            // One beside the conversation may have been small: what others begin with is not less for it.
            let input = usage.input.saturating_add(usage.output);
            self.heard.input = self.heard.input.max(input);
        }
        let next = self.charged.done(&mut *self.till);
        // What has come may be of those that are under way still.
        self.heard.output = match self.charged.under_way() {
            0 => 0,
            _ => self.heard.output.saturating_sub(report.usage.output),
        };
        next
    }

    /// Settles what is under way, and gives back what is held besides.
    pub fn settle(&mut self, how: How) -> charge::Charged {
        let reason = match how {
            // By the gateway, at its limit.
            _ if self.is_ending() => Estimated::Cut,
            _ if self.left => Estimated::Cancelled,
            How::ClientGone => Estimated::Cancelled,
            How::TimedOut => Estimated::Timeout,
            How::Whole | How::Cut | How::Unseen | How::Capped => Estimated::Cut,
        };
        self.till.end(self.charged.under_way(), self.heard, reason)
    }
}

/// The net beneath: whatever ends the task, as the end of a drain does, what is not under way is not charged.
impl Drop for Paid {
    fn drop(&mut self) {
        let under_way = self.charged.under_way();
        self.till.end(under_way, self.heard, Estimated::Dropped);
    }
}
