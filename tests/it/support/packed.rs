//! Compressed bodies, made and read by the encoders and decoders themselves.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

/// What a request may be compressed with, by its name in `Content-Encoding`.
pub const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// `text`, compressed as well as it goes.
pub fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(out, Compression::best());
            encoder.write_all(text).expect("compressed");
            encoder.finish().expect("compressed")
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(out, Compression::best());
            encoder.write_all(text).expect("compressed");
            encoder.finish().expect("compressed")
        }
        "br" => {
            brotli::CompressorWriter::new(&mut out, 4096, 5, 22)
                .write_all(text)
                .expect("compressed");
            out
        }
        "zstd" => zstd::encode_all(text, 3).expect("compressed"),
        other => panic!("no coding `{other}`"),
    }
}

/// The text of `bytes`.
pub fn unpacked(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let read = match coding {
        "gzip" => MultiGzDecoder::new(bytes).read_to_end(&mut text),
        "deflate" => ZlibDecoder::new(bytes).read_to_end(&mut text),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text),
        "zstd" => {
            text = zstd::decode_all(bytes).expect("compressed bytes");
            Ok(0)
        }
        other => panic!("no coding `{other}`"),
    };
    read.expect("compressed bytes");
    text
}
