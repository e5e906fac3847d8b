//! Reads a compressed body to its end, and its text out of it, under the same limits as a plain one.

use std::sync::Arc;

use bytes::Bytes;
use pingora::protocols::http::ServerSession;

use super::unpack::{Broken, Unpacker};
use super::{Packed, name, no_room};
use crate::model::scan::Scanner;
use crate::money::Betas;
use crate::proxy::body::{self, Body, Bounds, Unread};
use crate::proxy::memory::{ReplayMemory, Reservation};
use crate::proxy::pace::Pace;
use crate::proxy::reject::{Code, Rejection};
use crate::usage::Coding;

/// Bytes of text that come of one step at the most.
const STEP: usize = 16 * 1024;

/// Bytes of text after which other requests of the thread have their turn.
const TURN: usize = 256 * 1024;

/// Bytes of text that any body may decode to.
const FREE: u64 = 1 << 20;

/// Bytes of text for each compressed byte, beyond [`FREE`]. Prompts come to 3 to 10, logs and tables to 50; a body that was
/// made to keep us busy comes to 1,000 and more.
const RATIO: u64 = 100;

/// Room that is made for text or bytes at first.
const FIRST_ROOM: usize = 16 * 1024;

/// Reads the body of `session`, which `declared` its length and is compressed like this.
///
/// # Errors
/// As [`body::read`], and where it cannot be decoded, or decodes to more than it may.
pub async fn read(
    session: &mut ServerSession,
    coding: Coding,
    declared: Option<u64>,
    memory: &Arc<ReplayMemory>,
    bounds: &Bounds,
) -> Result<Body, Unread> {
    let mut reader = Reader::new(coding, declared, memory, bounds)?;
    let mut pace = Pace::new(bounds.client);
    while let Some(piece) = body::next_piece(session, &mut pace).await? {
        if !pace.keep(piece.len() as u64) {
            return Err(body::slow().into());
        }
        reader.take(&piece).await?;
    }
    Ok(reader.finish()?)
}

struct Reader<'a> {
    coding: Coding,
    bounds: &'a Bounds,
    unpacker: Unpacker,
    share: Reservation,
    bytes: Vec<u8>,
    text: Vec<u8>,
    room: Box<[u8]>,
    scanner: Box<Scanner>,
}

impl<'a> Reader<'a> {
    fn new(
        coding: Coding,
        declared: Option<u64>,
        memory: &Arc<ReplayMemory>,
        bounds: &'a Bounds,
    ) -> Result<Self, Rejection> {
        if declared.is_some_and(|length| length > bounds.replay) {
            return Err(too_much(bounds));
        }
        let mut reader = Self {
            coding,
            bounds,
            unpacker: Unpacker::new(coding).ok_or_else(no_room)?,
            share: memory.take(0).ok_or_else(no_room)?,
            bytes: Vec::new(),
            text: Vec::new(),
            room: vec![0; STEP].into_boxed_slice(),
            scanner: Box::default(),
        };
        let declared = declared.map_or(FIRST_ROOM, |length| {
            usize::try_from(length).unwrap_or(usize::MAX)
        });
        reader.pay(declared, 0)?;
        reader.bytes.reserve_exact(declared);
        Ok(reader)
    }

    /// Pays for so many bytes, and so many of text.
    fn pay(&mut self, bytes: usize, text: usize) -> Result<(), Rejection> {
        let both = bytes as u64 + text as u64;
        if both > self.bounds.replay {
            return Err(too_much(self.bounds));
        }
        if self.share.grow_to(both) {
            Ok(())
        } else {
            Err(no_room())
        }
    }

    async fn take(&mut self, piece: &[u8]) -> Result<(), Rejection> {
        let length = self.bytes.len() + piece.len();
        if length as u64 > self.bounds.body {
            return Err(body::too_large(self.bounds.body));
        }
        if length > self.bytes.capacity() {
            let room = self.grown(self.bytes.capacity(), length, self.text.capacity());
            self.pay(room, self.text.capacity())?;
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        self.unpack(piece).await
    }

    async fn unpack(&mut self, mut piece: &[u8]) -> Result<(), Rejection> {
        let mut turn = 0;
        loop {
            let step = self.unpacker.step(piece, &mut self.room);
            let step = step.map_err(|broken| self.broken(broken))?;
            piece = &piece[step.taken..];
            self.tell(step.made)?;
            if piece.is_empty() && step.made < STEP {
                return Ok(());
            }
            turn += step.made;
            if turn >= TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes in the text that a step has made.
    fn tell(&mut self, made: usize) -> Result<(), Rejection> {
        let length = self.text.len() + made;
        if length as u64 > self.bounds.body {
            return Err(body::too_large(self.bounds.body));
        }
        if length as u64 > FREE + RATIO * self.bytes.len() as u64 {
            return Err(bomb());
        }
        if length > self.text.capacity() {
            let room = self.grown(self.text.capacity(), length, self.bytes.capacity());
            self.pay(self.bytes.capacity(), room)?;
            self.text.reserve_exact(room - self.text.len());
        }
        let made = &self.room[..made];
        let scanned = self.scanner.feed(made).map(drop);
        scanned.map_err(|fault| body::malformed(&fault))?;
        self.text.extend_from_slice(made);
        Ok(())
    }

    fn finish(self) -> Result<Body, Rejection> {
        if self.bytes.is_empty() {
            return Err(body::empty());
        }
        if !self.unpacker.is_whole() {
            return Err(self.broken(Broken::CutOff));
        }
        if self.text.is_empty() {
            return Err(body::empty());
        }
        let finished = self.scanner.finish();
        finished.map_err(|fault| body::malformed(&fault))?;
        let paid = self.bytes.capacity() + self.text.capacity();
        let packed = Packed {
            coding: self.coding,
            bytes: Bytes::from(self.bytes),
            paid: paid as u64,
        };
        Ok(Body {
            bytes: Bytes::from(self.text),
            scanner: self.scanner,
            declared: None,
            whole: true,
            share: Some(self.share),
            lost: None,
            packed: Some(Box::new(packed)),
            upload: None,
            in_path: None,
            betas: Betas::default(),
        })
    }

    /// Room for `needed` bytes where there was room for `room`, beside `other` bytes that are kept.
    fn grown(&self, room: usize, needed: usize, other: usize) -> usize {
        let most = usize::try_from(self.bounds.replay).unwrap_or(usize::MAX);
        let wanted = room.saturating_mul(2).max(FIRST_ROOM);
        wanted.min(most.saturating_sub(other)).max(needed)
    }

    fn broken(&self, broken: Broken) -> Rejection {
        let coding = name(self.coding);
        let also = if self.coding == Coding::Deflate {
            " (deflate is the zlib format, RFC 1950)"
        } else {
            ""
        };
        Rejection::new(
            Code::InvalidRequest,
            format!(
                "The request body's Content-Encoding is {coding}, but the body {broken}{also}. Compress all of it, or send it without Content-Encoding."
            ),
        )
    }
}

fn too_much(bounds: &Bounds) -> Rejection {
    Rejection::new(
        Code::BodyTooLarge,
        format!(
            "A compressed request body and its text are kept together, and may have at most {} bytes (limits.replay_request). Send it without Content-Encoding.",
            bounds.replay
        ),
    )
}

fn bomb() -> Rejection {
    Rejection::new(
        Code::BodyTooLarge,
        format!(
            "The request body decodes to more than {RATIO} times its compressed bytes, more than this gateway takes. Send it without Content-Encoding."
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::packed::unpack::tests::{ALL, packed};

    const BOUNDS: Bounds = Bounds {
        body: 32 << 20,
        replay: 48 << 20,
        client: Duration::from_secs(1),
        named: false,
    };

    /// As who makes a bomb would.
    fn smallest(coding: Coding, text: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let (out, best) = (Vec::new(), flate2::Compression::best());
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, best);
                encoder.write_all(text).expect("packed");
                encoder.finish().expect("packed")
            }
            Coding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(out, best);
                encoder.write_all(text).expect("packed");
                encoder.finish().expect("packed")
            }
            _ => packed(coding, text),
        }
    }

    async fn read(
        coding: Coding,
        bytes: &[u8],
        bounds: &Bounds,
        memory: &Arc<ReplayMemory>,
    ) -> Result<Body, Rejection> {
        let mut reader = Reader::new(coding, None, memory, bounds)?;
        for piece in bytes.chunks(5_000) {
            reader.take(piece).await?;
            assert!(reader.text.capacity() as u64 <= 2 * bounds.body);
        }
        reader.finish()
    }

    #[tokio::test]
    async fn what_is_kept_is_paid_for_and_given_back() {
        let text = format!(
            "{{\"model\":\"m\",\"x\":\"{}\"}}",
            "lorem ipsum ".repeat(9_000)
        );
        for coding in ALL {
            let memory = ReplayMemory::new(1 << 20);
            let bytes = packed(coding, text.as_bytes());
            let body = read(coding, &bytes, &BOUNDS, &memory).await.expect("read");
            assert_eq!(body.bytes, text);
            let packed = body.packed.as_ref().expect("compressed");
            assert_eq!(packed.bytes, bytes);
            let held = (body.bytes.len() + packed.bytes.len()) as u64;
            assert!((held..3 * held).contains(&memory.taken()), "{coding:?}");
            drop(body);
            assert_eq!(memory.taken(), 0);
        }
    }

    #[tokio::test]
    async fn a_bomb_is_stopped_by_its_ratio_its_size_and_the_memory() {
        let mut text = br#"{"model":"m","x":""#.to_vec();
        text.resize(24 << 20, b'x');
        text.extend_from_slice(b"\"}");
        for coding in ALL {
            let bytes = smallest(coding, &text);
            let told = |bounds: Bounds, memory: u64| {
                let bytes = &bytes;
                async move {
                    let memory = ReplayMemory::new(memory);
                    let told = read(coding, bytes, &bounds, &memory).await;
                    assert_eq!(memory.taken(), 0);
                    let rejection = told.expect_err("a bomb");
                    (rejection.code, rejection.message.to_string())
                }
            };
            let (code, words) = told(BOUNDS, u64::MAX).await;
            assert_eq!(code, Code::BodyTooLarge);
            assert!(words.contains("100 times"), "{coding:?}: {words}");
            let body = 512 << 10;
            let (code, words) = told(Bounds { body, ..BOUNDS }, u64::MAX).await;
            assert_eq!(code, Code::BodyTooLarge);
            assert!(words.contains("limits.body"), "{coding:?}: {words}");
            let replay = 512 << 10;
            let (code, words) = told(Bounds { replay, ..BOUNDS }, u64::MAX).await;
            assert_eq!(code, Code::BodyTooLarge);
            assert!(words.contains("replay_request"), "{coding:?}: {words}");
            let (code, _) = told(BOUNDS, 512 << 10).await;
            assert_eq!(code, Code::Overloaded, "{coding:?}");
        }
    }
}
