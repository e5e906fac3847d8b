//! Compressed answers, decoded on a copy of their bytes with a bounded amount of memory. What cannot be decoded is no
//! mistake of anybody here: the client has the bytes as they came.

use std::io::{self, Write};

/// Bytes of the history that a decoder may keep (RFC 8878, section 3.1.1.1.2 advises 8 MiB; providers use far less).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Bytes that a decoder hands over at once.
const PIECE: usize = 4 * 1024;

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
pub(super) enum Decoder {
    Identity,
    Gzip(flate2::write::MultiGzDecoder<Sink>),
    Deflate(flate2::write::ZlibDecoder<Sink>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    Zstd(zstd::stream::write::Decoder<'static, Sink>),
    /// It could not be decoded, or no longer.
    Failed,
}

/// Where decoded bytes are taken from again at once.
#[derive(Default)]
pub(super) struct Sink(Vec<u8>);

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
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(flate2::write::MultiGzDecoder::new(Sink::default())),
            Coding::Deflate => Self::Deflate(flate2::write::ZlibDecoder::new(Sink::default())),
            Coding::Brotli => Self::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(
                Sink::default(),
                PIECE,
            ))),
            Coding::Zstd => zstd_decoder().map_or(Self::Failed, Self::Zstd),
        }
    }

    /// Whether nothing more can be told.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self, Self::Failed)
    }

    /// The next bytes; `told` gets what they decode to, in pieces.
    pub(super) fn feed(&mut self, bytes: &[u8], told: &mut impl FnMut(&[u8])) {
        if matches!(self, Self::Identity) {
            told(bytes);
            return;
        }
        // Little at a time, so that what a few bytes may decode to is bounded: a thousandfold at the most (deflate),
        // whatever is claimed.
        for bytes in bytes.chunks(PIECE) {
            let mut rest = bytes;
            while !rest.is_empty() {
                match self.write(rest) {
                    Ok(0) | Err(_) => {
                        *self = Self::Failed;
                        return;
                    }
                    Ok(taken) => rest = &rest[taken..],
                }
                self.hand_over(told);
            }
        }
        // What is decoded but lies in a buffer still.
        if self.flush().is_err() {
            *self = Self::Failed;
            return;
        }
        self.hand_over(told);
    }

    fn hand_over(&mut self, told: &mut impl FnMut(&[u8])) {
        if let Some(Sink(decoded)) = self.sink() {
            if !decoded.is_empty() {
                told(decoded);
            }
            decoded.clear();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Identity | Self::Failed => Ok(0),
            Self::Gzip(decoder) => decoder.write(bytes),
            Self::Deflate(decoder) => decoder.write(bytes),
            Self::Brotli(decoder) => decoder.write(bytes),
            Self::Zstd(decoder) => decoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Identity | Self::Failed => Ok(()),
            Self::Gzip(decoder) => decoder.flush(),
            Self::Deflate(decoder) => decoder.flush(),
            Self::Brotli(decoder) => decoder.flush(),
            Self::Zstd(decoder) => decoder.flush(),
        }
    }

    fn sink(&mut self) -> Option<&mut Sink> {
        match self {
            Self::Identity | Self::Failed => None,
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Deflate(decoder) => Some(decoder.get_mut()),
            Self::Brotli(decoder) => Some(decoder.get_mut()),
            Self::Zstd(decoder) => Some(decoder.get_mut()),
        }
    }
}

fn zstd_decoder() -> io::Result<zstd::stream::write::Decoder<'static, Sink>> {
    let mut decoder = zstd::stream::write::Decoder::new(Sink::default())?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}
