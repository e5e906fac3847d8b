//! What a conversation costs that the gateway pays for: what both sides say is read before it goes on, and held for before
//! it can cost anything.

use std::time::Duration;

use super::asks::{Asked, Message};
use super::charged::{Charged, Stop};
use super::client::Client;
use super::news::{New, News, Piece};
use crate::ledger::{Estimated, StoreDown};
use crate::proxy::charge::{self, Heard, How, Till};
use crate::proxy::reject::Code;
use crate::usage::{Report, Said};

/// Bytes of a message of the server that are taken for a token: a twentieth of a second of 24 kHz PCM in base64. One of text
/// has fewer, and is taken for one token.
const SPOKEN: u64 = 3_200;

/// How long what the server says of a response is held back at the most until what is held for it is on the disk.
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
    /// Responses that the client has asked for, and that have not gone on yet.
    waiting: u32,
    /// Whether the client has gone.
    left: bool,
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
            heard: Heard::default(),
            waiting: 0,
            left: false,
        })
    }

    /// The client has gone.
    pub fn left(&mut self) {
        self.left = true;
    }

    /// Reads bytes of the client. How many of them go on: all, unless it is to end; what stands before the place that ends it
    /// does. Waits until what is held for the responses that they ask for is on the disk.
    pub async fn client_says(&mut self, bytes: &[u8]) -> (usize, Option<Stop>) {
        let (mut passed, mut stopped) = (0, None);
        while passed < bytes.len() && stopped.is_none() {
            let (taken, said) = self.step(&bytes[passed..]).await;
            match said {
                Ok(kind) => {
                    passed += taken;
                    self.waiting += u32::from(kind == Some(Asked::Response));
                }
                Err(stop) => {
                    stopped = Some(stop);
                    self.skip(&bytes[passed + taken..]);
                }
            }
        }
        if self.waiting > 0 {
            self.till.expect(self.charged.under_way(), self.heard);
            let written = self.till.durable().await;
            let waited = std::mem::take(&mut self.waiting);
            if let Err(StoreDown) = written {
                self.charged.unask(waited);
                return (0, Some(Stop::STORE));
            }
        }
        (passed, stopped)
    }

    /// Takes some bytes of the client; how many, and what is asked for with them.
    async fn step(&mut self, bytes: &[u8]) -> (usize, Result<Option<Asked>, Stop>) {
        let (taken, said) = self.client.step(bytes);
        let asked = match said {
            Ok(Some(Message {
                asked,
                tokens,
                sound,
            })) => {
                let heard = &mut self.heard;
                heard.input = heard.input.saturating_add(tokens);
                let spoken = if sound { tokens } else { 0 };
                heard.sound_input = heard.sound_input.saturating_add(spoken);
                asked
            }
            Ok(None) => return (taken, Ok(None)),
            Err(stop) => return (taken, Err(stop)),
        };
        let held = match asked {
            Asked::Response => self.charged.ask(&mut *self.till).await,
            Asked::Other => Ok(()),
        };
        (taken, held.map(|()| Some(asked)))
    }

    /// Passes over what the client sends when it has ended. Whether the client has closed.
    pub fn skip(&mut self, bytes: &[u8]) -> bool {
        self.client.skip(bytes)
    }

    /// The next bytes of the server's message at hand.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.news.feed(bytes);
    }

    /// A message of the server is complete, of so many bytes.
    ///
    /// # Errors
    /// Why it cannot go on after that.
    pub async fn server_said(&mut self, said: Said, length: u64) -> Result<(), Stop> {
        let new = self.news.end();
        let done = match said {
            Said::Created => self.created(new).await,
            Said::Done(report) => self.done(&report, new.broken).await,
            Said::Error => {
                self.charged.failed();
                Ok(())
            }
            Said::Foreign => Err(FOREIGN),
            Said::Other => match new.piece {
                Some(piece) => {
                    self.has_come(piece, length);
                    Ok(())
                }
                None => self.changed(new).await,
            },
        };
        if said != Said::Other {
            self.till.expect(self.charged.under_way(), self.heard);
        }
        done
    }

    /// Whether responses are under way, and what is held for them is not on the disk.
    #[must_use]
    pub fn is_unwritten(&self) -> bool {
        self.charged.under_way() > 0 && !self.till.is_written()
    }

    /// Ready when it is on the disk.
    ///
    /// # Errors
    /// It is not within a second.
    pub async fn written(&self) -> Result<(), StoreDown> {
        self.till.written_within(LATE).await
    }

    /// A piece of a response, of so many bytes.
    fn has_come(&mut self, piece: Piece, length: u64) {
        let (tokens, heard) = (length.div_ceil(SPOKEN), &mut self.heard);
        heard.output = heard.output.saturating_add(tokens);
        if piece == Piece::Sound {
            heard.sound_output = heard.sound_output.saturating_add(tokens);
        }
    }

    /// A response has begun, of which the server says how long it may be.
    async fn created(&mut self, new: New) -> Result<(), Stop> {
        self.charged.created(&mut *self.till).await?;
        let nth = usize::try_from(self.charged.begun()).unwrap_or(usize::MAX);
        let most = new.response.unwrap_or(u64::MAX);
        self.till.fit(nth.saturating_sub(1), most).await
    }

    /// The session may have changed.
    async fn changed(&mut self, new: New) -> Result<(), Stop> {
        let Some(most) = new.session else {
            return Ok(());
        };
        self.till.fit_all(self.charged.under_way(), most).await
    }

    async fn done(&mut self, report: &Report, broken: bool) -> Result<(), Stop> {
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
            if input >= self.heard.input {
                self.heard.input = input;
                self.heard.sound_input = usage.audio_input.saturating_add(usage.audio_output);
            }
        }
        let next = self.charged.done(&mut *self.till).await;
        // What has come may be of those that are under way still.
        let (usage, heard) = (&report.usage, &mut self.heard);
        (heard.output, heard.sound_output) = match self.charged.under_way() {
            0 => (0, 0),
            _ => (
                heard.output.saturating_sub(usage.output),
                heard.sound_output.saturating_sub(usage.audio_output),
            ),
        };
        next
    }

    /// Settles what is under way, and gives back what is held besides. `ended`: the gateway has ended it.
    pub fn settle(&mut self, how: How, ended: bool) -> charge::Charged {
        let reason = match how {
            // By the gateway, at its limit.
            _ if ended => Estimated::Cut,
            _ if self.left => Estimated::Cancelled,
            How::ClientGone => Estimated::Cancelled,
            How::TimedOut => Estimated::Timeout,
            How::Whole | How::Cut | How::Unseen | How::Capped => Estimated::Cut,
        };
        self.till.end(self.under_way(), self.heard, reason)
    }

    /// Responses that the provider may be making.
    fn under_way(&self) -> u32 {
        self.charged.under_way().saturating_sub(self.waiting)
    }
}

/// The net beneath: whatever ends the task, as the end of a drain does, what is not under way is not charged.
impl Drop for Paid {
    fn drop(&mut self) {
        self.till
            .end(self.under_way(), self.heard, Estimated::Dropped);
    }
}
