//! The beginning of a body as text, whatever its content coding: clients of providers ask for compressed answers, and
//! errors come compressed as well. Only what is looked at is decoded; what goes to the client stays as it came.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::usage::{Coding, Decoder};

/// The coding of a body with these headers; none where it is not known, or where there are several.
#[must_use]
pub fn coding(headers: &HeaderMap) -> Option<Coding> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coding = codings.next().map_or(&b""[..], |coding| coding.as_bytes());
    Coding::named(coding).filter(|_| codings.next().is_none())
}

/// A body that is decoded as it comes, up to a bound.
pub struct Decoded {
    decoder: Decoder,
    seen: Vec<u8>,
    most: usize,
}

impl Decoded {
    /// A body with these headers, of which at most `most` bytes are decoded; none where the coding is not known.
    #[must_use]
    pub fn new(headers: &HeaderMap, most: usize) -> Option<Self> {
        Some(Self {
            decoder: Decoder::new(coding(headers)?),
            seen: Vec::new(),
            most,
        })
    }

    /// Takes a piece in. False: no more is to be had, because the bound is reached or the coding is broken.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        let Self {
            decoder,
            seen,
            most,
        } = self;
        decoder.feed(piece, &mut |text| {
            let room = (*most - seen.len()).min(text.len());
            seen.extend_from_slice(&text[..room]);
            seen.len() < *most
        });
        !self.decoder.has_failed() && self.seen.len() < self.most
    }

    /// What has been decoded.
    #[must_use]
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    /// What Node's `zlib.brotliCompressSync('no credit left')` makes.
    const BROTLI: &[u8] = &[
        0x1b, 0x0d, 0x00, 0xf8, 0xa5, 0xdc, 0xde, 0x4a, 0x10, 0x4a, 0xaa, 0x03, 0x7f, 0x1a, 0x02,
    ];

    fn of(codings: &[&'static str], most: usize) -> Option<Decoded> {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        Decoded::new(&headers, most)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("compressed");
        encoder.finish().expect("compressed")
    }

    fn brotli(text: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        brotli::CompressorWriter::new(&mut packed, 4096, 5, 22)
            .write_all(text)
            .expect("compressed");
        packed
    }

    #[test]
    fn each_coding_is_decoded_as_it_comes() {
        let text = b"no credit left";
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(text).expect("compressed");
        let zlib = zlib.finish().expect("compressed");
        let zstd = zstd::encode_all(&text[..], 3).expect("compressed");
        for (coding, bytes) in [
            ("identity", text.to_vec()),
            ("gzip", gzip(text)),
            (" GZIP", gzip(text)),
            ("deflate", zlib),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd),
        ] {
            for size in [1, 5, 100] {
                let mut decoded = of(&[coding], 1_000).expect("known");
                for piece in bytes.chunks(size) {
                    assert!(decoded.take(piece), "{coding}");
                }
                assert_eq!(decoded.seen(), text, "{coding} by {size}");
            }
        }
    }

    #[test]
    fn no_more_is_decoded_than_asked_for() {
        let text = vec![b'x'; 1 << 24];
        for (coding, bytes) in [
            ("identity", text.clone()),
            ("gzip", gzip(&text)),
            ("br", brotli(&text)),
            ("zstd", zstd::encode_all(&text[..], 3).expect("compressed")),
        ] {
            let mut decoded = of(&[coding], 100).expect("known");
            assert!(!decoded.take(&bytes), "{coding}");
            assert_eq!(decoded.seen().len(), 100, "{coding}");
            assert!(!decoded.take(b"more"), "{coding}");
        }
    }

    #[test]
    fn what_is_no_such_coding_is_given_up() {
        for coding in ["gzip", "deflate", "br", "zstd"] {
            let mut decoded = of(&[coding], 100).expect("known");
            assert!(
                !decoded.take(b"{\"error\": \"this is plain text\"}"),
                "{coding}"
            );
        }
        assert!(of(&["compress"], 100).is_none() && of(&["gzip, br"], 100).is_none());
        assert!(of(&["gzip", "br"], 100).is_none());
        assert!(of(&[], 1).is_some());
    }
}
