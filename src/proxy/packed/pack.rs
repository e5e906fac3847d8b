//! Compresses a body again that was edited, in the coding that its client chose. The same text makes the same bytes, so
//! that each attempt with the same edits sends the same.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::usage::Coding;

/// Levels that cost about as much as the transfer they save: bodies go to providers once.
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_LOG: u32 = 22;
const ZSTD_LEVEL: i32 = 3;

/// Bytes that the brotli encoder hands over at once.
const BUFFER: usize = 16 * 1024;

/// The pieces as one compressed body.
///
/// # Errors
/// Those of the encoders, which fail for lack of memory only.
pub fn pack(coding: Coding, pieces: &[Bytes]) -> io::Result<Vec<u8>> {
    let out = Vec::new();
    match coding {
        Coding::Identity => write(out, pieces),
        Coding::Gzip => write(GzEncoder::new(out, Compression::fast()), pieces)?.finish(),
        Coding::Deflate => write(ZlibEncoder::new(out, Compression::fast()), pieces)?.finish(),
        Coding::Brotli => {
            let encoder =
                brotli::CompressorWriter::new(out, BUFFER, BROTLI_QUALITY, BROTLI_WINDOW_LOG);
            Ok(write(encoder, pieces)?.into_inner())
        }
        Coding::Zstd => {
            let encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
            write(encoder, pieces)?.finish()
        }
    }
}

fn write<W: Write>(mut encoder: W, pieces: &[Bytes]) -> io::Result<W> {
    for piece in pieces {
        encoder.write_all(piece)?;
    }
    Ok(encoder)
}
