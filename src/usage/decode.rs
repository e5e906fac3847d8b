//! Compressed answers, decoded on a copy of their bytes with a bounded amount of memory. What cannot be decoded is no
//! mistake of anybody here: the client has the bytes as they came.

mod brotli;

use std::io::{self, Write};

use brotli::Brotli;

/// Bytes of the history that a decoder may keep (RFC 8878, section 3.1.1.1.2 advises 8 MiB; providers use far less).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Bytes that a decoder takes in at once, so that what they decode to is handed over soon.
const PIECE: usize = 4 * 1024;

/// Bytes that one answer may decode to. No answer has nearly as many; what decodes to more was made to keep us busy.
const DECODED_MAX: u64 = 256 << 20;

/// How an answer is compressed (`Content-Encoding`, RFC 9110, section 8.4.1; RFC 7932; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zlib.
    Deflate,
    /// Brotli.
    Brotli,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// By its name in `Content-Encoding`; none where it is another, or where there are several.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        let name = name.trim_ascii();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match () {
            () if name.is_empty() || is("identity") => Some(Self::Identity),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () if is("br") => Some(Self::Brotli),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

/// Decodes one answer.
pub struct Decoder {
    with: With,
    /// Bytes that may still come of it.
    room: u64,
}

/// The decoder of a coding. Those with state of their own are boxed: nearly no answer needs one.
enum With {
    Identity,
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    Deflate(Box<flate2::write::ZlibDecoder<Sink>>),
    Brotli(Box<Brotli>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
    /// It could not be decoded, or no longer.
    Failed,
}

/// Where decoded bytes are taken from again at once.
#[derive(Default)]
struct Sink(Vec<u8>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// A decoder of this coding, at the first byte.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        let sink = Sink::default;
        let with = match coding {
            Coding::Identity => With::Identity,
            Coding::Gzip => With::Gzip(Box::new(flate2::write::MultiGzDecoder::new(sink()))),
            Coding::Deflate => With::Deflate(Box::new(flate2::write::ZlibDecoder::new(sink()))),
            Coding::Brotli => With::Brotli(Box::default()),
            Coding::Zstd => zstd_decoder().map_or(With::Failed, |with| With::Zstd(Box::new(with))),
        };
        Self {
            with,
            room: DECODED_MAX,
        }
    }

    /// Whether there is something to decode.
    #[must_use]
    pub fn is_decoding(&self) -> bool {
        !matches!(self.with, With::Identity)
    }

    /// Whether nothing more can be told.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.with, With::Failed)
    }

    /// The next bytes; `told` gets what they decode to, in pieces, until it says that it wants no more.
    pub fn feed(&mut self, bytes: &[u8], told: &mut impl FnMut(&[u8]) -> bool) {
        if matches!(self.with, With::Identity) {
            told(bytes);
            return;
        }
        for piece in bytes.chunks(PIECE) {
            if !self.take(piece, told) {
                return;
            }
        }
    }

    /// Takes a piece in; false when no more is to be had, or wanted.
    fn take(&mut self, mut piece: &[u8], told: &mut impl FnMut(&[u8]) -> bool) -> bool {
        while !piece.is_empty() {
            let taken = self.with.write(piece);
            let has_made = self.with.sink().is_some_and(|sink| !sink.0.is_empty());
            match taken {
                Ok(taken) if taken > 0 || has_made => piece = &piece[taken..],
                _ => {
                    // What came before it is good.
                    self.hand_over(told);
                    self.with = With::Failed;
                    return false;
                }
            }
            if !self.hand_over(told) {
                return false;
            }
        }
        self.rest(told)
    }

    /// Hands over what is decoded but lies in a buffer still; false when no more is to be had, or wanted.
    fn rest(&mut self, told: &mut impl FnMut(&[u8]) -> bool) -> bool {
        loop {
            let Ok(more) = self.with.flush() else {
                self.with = With::Failed;
                return false;
            };
            let wanted = self.hand_over(told);
            if !wanted || !more {
                return wanted;
            }
        }
    }

    /// Hands over what has been decoded; false when no more is to be had, or wanted.
    fn hand_over(&mut self, told: &mut impl FnMut(&[u8]) -> bool) -> bool {
        let Some(Sink(decoded)) = self.with.sink() else {
            return false;
        };
        let wanted = decoded.is_empty() || told(decoded);
        self.room = self.room.saturating_sub(decoded.len() as u64);
        decoded.clear();
        if self.room == 0 {
            self.with = With::Failed;
        }
        wanted && self.room > 0
    }
}

impl With {
    /// Takes some of the bytes in; says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Identity | Self::Failed => Ok(0),
            Self::Gzip(decoder) => decoder.write(bytes),
            Self::Deflate(decoder) => decoder.write(bytes),
            Self::Brotli(decoder) => decoder.write(bytes),
            Self::Zstd(decoder) => decoder.write(bytes),
        }
    }

    /// Has what was decoded of the bytes so far handed over; true when there is more of it.
    fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Identity | Self::Failed => Ok(false),
            Self::Gzip(decoder) => decoder.flush().map(|()| false),
            Self::Deflate(decoder) => decoder.flush().map(|()| false),
            Self::Brotli(decoder) => decoder.flush(),
            Self::Zstd(decoder) => decoder.flush().map(|()| false),
        }
    }

    fn sink(&mut self) -> Option<&mut Sink> {
        match self {
            Self::Identity | Self::Failed => None,
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Deflate(decoder) => Some(decoder.get_mut()),
            Self::Brotli(decoder) => Some(decoder.sink()),
            Self::Zstd(decoder) => Some(decoder.get_mut()),
        }
    }
}

fn zstd_decoder() -> io::Result<zstd::stream::write::Decoder<'static, Sink>> {
    let mut decoder = zstd::stream::write::Decoder::new(Sink::default())?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests;
