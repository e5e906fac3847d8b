//! The beginning of a body as text, whatever its content coding: clients of providers ask for compressed answers, and
//! errors come compressed as well. Only what is looked at is decoded; what goes to the client stays as it came.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Bytes that Brotli decodes at a time.
const BROTLI_BUFFER: usize = 4096;

/// A body that is decoded as it comes, up to a bound.
pub enum Decoded {
    /// As it is.
    Plain(Bounded),
    /// `gzip` (RFC 1952).
    Gzip(Box<GzDecoder<Bounded>>),
    /// `deflate`: zlib (RFC 1950), as HTTP has it (RFC 9110, section 8.4.1.2).
    Deflate(Box<ZlibDecoder<Bounded>>),
    /// `br` (RFC 7932).
    Brotli(Box<DecompressorWriter<Bounded>>),
}

/// The first bytes of what is written; more than that is an error.
pub struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            most,
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let room = (self.most - self.bytes.len()).min(piece.len());
        self.bytes.extend_from_slice(&piece[..room]);
        // Of nothing taken the decoder makes an error, and stops.
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoded {
    /// A body with these headers, of which at most `most` bytes are decoded; none where the coding is not known.
    #[must_use]
    pub fn new(headers: &HeaderMap, most: usize) -> Option<Self> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = codings
            .next()
            .map_or("identity", |coding| coding.to_str().unwrap_or(""));
        if codings.next().is_some() {
            return None;
        }
        let bounded = Bounded::new(most);
        Some(match coding.trim().to_ascii_lowercase().as_str() {
            "identity" => Self::Plain(bounded),
            "gzip" | "x-gzip" => Self::Gzip(Box::new(GzDecoder::new(bounded))),
            "deflate" => Self::Deflate(Box::new(ZlibDecoder::new(bounded))),
            "br" => Self::Brotli(Box::new(DecompressorWriter::new(bounded, BROTLI_BUFFER))),
            _ => return None,
        })
    }

    /// Takes a piece in. False: no more is to be had, because the bound is reached or the coding is broken.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        let taken = match self {
            Self::Plain(to) => to.write_all(piece),
            Self::Gzip(to) => to.write_all(piece).and_then(|()| to.flush()),
            Self::Deflate(to) => to.write_all(piece).and_then(|()| to.flush()),
            Self::Brotli(to) => to.write_all(piece).and_then(|()| to.flush()),
        };
        let seen = self.bounded();
        taken.is_ok() && seen.bytes.len() < seen.most
    }

    /// What has been decoded.
    #[must_use]
    pub fn seen(&self) -> &[u8] {
        &self.bounded().bytes
    }

    fn bounded(&self) -> &Bounded {
        match self {
            Self::Plain(to) => to,
            Self::Gzip(from) => from.get_ref(),
            Self::Deflate(from) => from.get_ref(),
            Self::Brotli(from) => from.get_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    /// What Node's `zlib.brotliCompressSync('no credit left')` makes.
    const BROTLI: &[u8] = &[
        0x1b, 0x0d, 0x00, 0xf8, 0xa5, 0xdc, 0xde, 0x4a, 0x10, 0x4a, 0xaa, 0x03, 0x7f, 0x1a, 0x02,
    ];

    fn of(coding: &'static str, most: usize) -> Option<Decoded> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static(coding));
        Decoded::new(&headers, most)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("compressed");
        encoder.finish().expect("compressed")
    }

    #[test]
    fn each_coding_is_decoded_as_it_comes() {
        let text = b"no credit left";
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(text).expect("compressed");
        let zlib = zlib.finish().expect("compressed");
        for (coding, bytes) in [
            ("identity", text.to_vec()),
            ("gzip", gzip(text)),
            ("GZIP", gzip(text)),
            ("deflate", zlib),
            ("br", BROTLI.to_vec()),
        ] {
            for size in [1, 5, 100] {
                let mut decoded = of(coding, 1_000).expect("known");
                for piece in bytes.chunks(size) {
                    assert!(decoded.take(piece), "{coding}");
                }
                assert_eq!(decoded.seen(), text, "{coding} by {size}");
            }
        }
    }

    #[test]
    fn no_more_is_decoded_than_asked_for() {
        for (coding, bytes) in [
            ("identity", vec![b'x'; 1 << 20]),
            ("gzip", gzip(&vec![b'x'; 1 << 24])),
        ] {
            let mut decoded = of(coding, 100).expect("known");
            assert!(!decoded.take(&bytes), "{coding}");
            assert_eq!(decoded.seen().len(), 100, "{coding}");
            assert!(!decoded.take(b"more"), "{coding}");
        }
    }

    #[test]
    fn what_is_no_such_coding_is_given_up() {
        for coding in ["gzip", "deflate", "br"] {
            let mut decoded = of(coding, 100).expect("known");
            assert!(
                !decoded.take(b"{\"error\": \"this is plain text\"}"),
                "{coding}"
            );
        }
        assert!(of("zstd", 100).is_none() && of("gzip, br", 100).is_none());
        assert!(Decoded::new(&HeaderMap::new(), 1).is_some());
    }
}
