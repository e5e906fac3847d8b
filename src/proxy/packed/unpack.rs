//! Decodes a compressed request body, a bounded step at a time, and knows whether it came to its end. What is decoded is
//! routed and paid for, so that nothing is guessed: bytes that are cut off, broken, or followed by others are refused.

use std::fmt;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, Operation};

use crate::usage::Coding;

/// The history that a gzip member may refer back to, as its format has it (RFC 1951), as a power of two.
const GZIP_WINDOW_LOG: u8 = 15;

/// The same of a zstd frame (RFC 8878, section 3.1.1.1.2 advises decoders to take 8 MiB; more is asked for only by
/// compression levels above 19).
const ZSTD_WINDOW_LOG: u32 = 23;

/// What is wrong with compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// They are not of this coding, or damaged.
    Damaged,
    /// They end too early.
    CutOff,
    /// Others follow their end.
    Followed,
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Damaged => "is no such data, or damaged",
            Self::CutOff => "ends before such data does",
            Self::Followed => "goes on behind the end of such data",
        })
    }
}

/// A decoder, and whether it is at an end.
pub struct Unpacker {
    with: With,
    ended: bool,
}

/// The decoder of a coding.
enum With {
    Gzip(Decompress),
    Deflate(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(Decoder<'static>),
}

/// What a step came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Bytes that were taken in.
    pub taken: usize,
    /// Bytes that came of it.
    pub made: usize,
}

impl Unpacker {
    /// A decoder of this coding, at the first byte; none where there is nothing to decode.
    #[must_use]
    pub fn new(coding: Coding) -> Option<Self> {
        let alloc = StandardAlloc::default;
        let with = match coding {
            Coding::Identity => return None,
            Coding::Gzip => With::Gzip(Decompress::new_gzip(GZIP_WINDOW_LOG)),
            Coding::Deflate => With::Deflate(Decompress::new(true)),
            Coding::Brotli => {
                With::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
            }
            Coding::Zstd => {
                let mut decoder = Decoder::new().ok()?;
                let window = DParameter::WindowLogMax(ZSTD_WINDOW_LOG);
                decoder.set_parameter(window).ok()?;
                With::Zstd(decoder)
            }
        };
        Some(Self { with, ended: false })
    }

    /// Decodes some of `bytes` into `room`. Where `room` is filled, more may come without further bytes.
    ///
    /// # Errors
    /// The bytes are [`Broken`].
    pub fn step(&mut self, bytes: &[u8], room: &mut [u8]) -> Result<Step, Broken> {
        if self.ended {
            if bytes.is_empty() {
                return Ok(Step::default());
            }
            self.begin_again()?;
        }
        let (step, ended) = self.with.step(bytes, room)?;
        self.ended = ended;
        // Nothing was done, though there was something to do.
        if step.taken == 0 && step.made == 0 && !bytes.is_empty() && !ended {
            return Err(Broken::Damaged);
        }
        Ok(step)
    }

    /// Several gzip members, or zstd frames, one behind another are one body (RFC 1952, section 2.2; RFC 8878, section 3).
    fn begin_again(&mut self) -> Result<(), Broken> {
        match &mut self.with {
            With::Gzip(decoder) => *decoder = Decompress::new_gzip(GZIP_WINDOW_LOG),
            With::Zstd(_) => {}
            With::Deflate(_) | With::Brotli(_) => return Err(Broken::Followed),
        }
        self.ended = false;
        Ok(())
    }

    /// Whether what was taken in is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.ended
    }
}

impl With {
    /// Decodes some of `bytes`; says whether the data has ended with them.
    fn step(&mut self, bytes: &[u8], room: &mut [u8]) -> Result<(Step, bool), Broken> {
        match self {
            Self::Gzip(decoder) | Self::Deflate(decoder) => inflate(decoder, bytes, room),
            Self::Brotli(state) => unbrotli(state, bytes, room),
            Self::Zstd(decoder) => {
                let done = decoder.run_on_buffers(bytes, room);
                let done = done.map_err(|_| Broken::Damaged)?;
                let step = Step {
                    taken: done.bytes_read,
                    made: done.bytes_written,
                };
                Ok((step, done.remaining == 0))
            }
        }
    }
}

fn inflate(
    decoder: &mut Decompress,
    bytes: &[u8],
    room: &mut [u8],
) -> Result<(Step, bool), Broken> {
    let (taken, made) = (decoder.total_in(), decoder.total_out());
    let status = decoder.decompress(bytes, room, FlushDecompress::None);
    let status = status.map_err(|_| Broken::Damaged)?;
    let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
    let step = Step {
        taken: since(decoder.total_in(), taken),
        made: since(decoder.total_out(), made),
    };
    Ok((step, status == Status::StreamEnd))
}

fn unbrotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    bytes: &[u8],
    room: &mut [u8],
) -> Result<(Step, bool), Broken> {
    let mut step = Step::default();
    let (mut left, mut free, mut total) = (bytes.len(), room.len(), 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut step.taken,
        bytes,
        &mut free,
        &mut step.made,
        room,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => Err(Broken::Damaged),
        BrotliResult::ResultSuccess => Ok((step, true)),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok((step, false)),
    }
}

#[cfg(test)]
pub mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::proxy::packed::pack;

    /// Every coding.
    pub const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    pub fn packed(coding: Coding, text: &[u8]) -> Vec<u8> {
        pack::pack(coding, &[Bytes::copy_from_slice(text)]).expect("packed")
    }

    /// What `bytes` decode to, taken in by pieces of this size.
    pub fn unpacked(coding: Coding, bytes: &[u8], size: usize) -> Result<Vec<u8>, Broken> {
        let mut unpacker = Unpacker::new(coding).expect("a coding");
        let (mut text, mut room) = (Vec::new(), [0; 1000]);
        for mut piece in bytes.chunks(size) {
            loop {
                let step = unpacker.step(piece, &mut room)?;
                text.extend_from_slice(&room[..step.made]);
                piece = &piece[step.taken..];
                if piece.is_empty() && step.made < room.len() {
                    break;
                }
            }
        }
        if unpacker.is_whole() {
            Ok(text)
        } else {
            Err(Broken::CutOff)
        }
    }

    fn text() -> Vec<u8> {
        let lines = (0..400).map(|line| format!("line {line} of a text that repeats itself\n"));
        lines.collect::<String>().into_bytes()
    }

    #[test]
    fn what_was_packed_comes_back_however_it_is_cut() {
        for coding in ALL {
            let packed = packed(coding, &text());
            assert!(packed.len() < text().len() / 3, "{coding:?}");
            for size in [1, 7, usize::MAX] {
                assert_eq!(unpacked(coding, &packed, size), Ok(text()), "{coding:?}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_anywhere_is_not_whole() {
        for coding in ALL {
            let packed = packed(coding, &text());
            for end in 1..packed.len() {
                let cut = unpacked(coding, &packed[..end], usize::MAX);
                assert_eq!(cut, Err(Broken::CutOff), "{coding:?} at {end}");
            }
        }
    }

    #[test]
    fn plain_text_and_damage_are_told() {
        for coding in ALL {
            let plain = br#"{"model":"m","messages":[]}"#;
            let told = unpacked(coding, plain, usize::MAX);
            assert!(told.is_err(), "{coding:?}: {told:?}");
        }
        // The check sum of the text stands last, in gzip before its length.
        for (coding, behind) in [(Coding::Gzip, 5), (Coding::Deflate, 1)] {
            let mut packed = packed(coding, &text());
            let sum = packed.len() - behind;
            packed[sum] ^= 1;
            assert_eq!(
                unpacked(coding, &packed, usize::MAX),
                Err(Broken::Damaged),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn what_follows_the_end_is_told_and_members_and_frames_follow_each_other() {
        for coding in ALL {
            let one = packed(coding, b"one");
            for size in [1, usize::MAX] {
                let garbage = [&one[..], b"behind"].concat();
                assert!(unpacked(coding, &garbage, size).is_err(), "{coding:?}");
                let two = [&one[..], &packed(coding, b" two")].concat();
                let both = unpacked(coding, &two, size);
                match coding {
                    Coding::Gzip | Coding::Zstd => assert_eq!(both, Ok(b"one two".to_vec())),
                    _ => assert_eq!(both, Err(Broken::Followed), "{coding:?}"),
                }
            }
        }
    }

    #[test]
    fn nothing_is_decoded_of_what_is_not_coded() {
        assert!(Unpacker::new(Coding::Identity).is_none());
    }
}
