//! Compressed request bodies. Their text is scanned, routed and priced as if it had come plain. What goes upstream are the
//! bytes that the client sent, unless an edit is needed: then the edited text is compressed again in the same coding.
//!
//! A compressed body is read to its end before anything is sent: its text and its bytes are both kept, and both paid for
//! with replay memory. Absent: several codings on top of each other, which are refused (`coding`).

mod pack;
mod read;
mod unpack;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

pub use read::read;

use super::body::Body;
use super::edits::{self, Laid};
use super::reject::{Code, Rejection};
use crate::model::splice::Pieces;
use crate::usage::Coding;

/// Text that is compressed without leaving the thread, in bytes: some milliseconds of work at the most.
const AT_ONCE_MAX: usize = 64 * 1024;

/// The bytes of a compressed body, as the client sent them.
#[derive(Debug)]
pub struct Packed {
    /// How they are compressed.
    pub coding: Coding,
    /// All of them.
    pub bytes: Bytes,
    /// Bytes of replay memory that they and their text have paid for.
    pub paid: u64,
}

/// What requests may be compressed with, as `Accept-Encoding` says it (RFC 9110, section 15.5.16).
pub const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// The coding of a request's body.
///
/// # Errors
/// [`Code::UnsupportedEncoding`] where it is none that is known, or where there are several.
pub fn coding(headers: &HeaderMap) -> Result<Coding, Rejection> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(Coding::Identity);
    };
    let known = Coding::named(value.as_bytes()).filter(|_| values.next().is_none());
    known.ok_or_else(|| {
        Rejection::new(
            Code::UnsupportedEncoding,
            format!(
                "The request body's Content-Encoding is unknown to this gateway, or names several codings. Send one of {ACCEPTED}, or send the body without Content-Encoding."
            ),
        )
    })
}

/// Lays out a body that came compressed, as [`edits::lay_out`] does with any other.
///
/// # Errors
/// As there; and [`Code::Overloaded`] where there is no room for what is compressed again.
pub async fn lay_out(
    body: &mut Body,
    model: &str,
    ask: bool,
    in_route: bool,
) -> Result<Laid, Rejection> {
    let laid = edits::lay_out(body, model, ask, in_route)?;
    let Some(packed) = &body.packed else {
        return Ok(laid);
    };
    let bytes = if laid.made.is_none() {
        packed.bytes.clone()
    } else {
        let bytes = again(packed.coding, laid.pieces).await?;
        let needed = packed.paid + bytes.len() as u64;
        let paid = body
            .share
            .as_mut()
            .is_none_or(|share| share.grow_to(needed));
        if !paid {
            return Err(no_room());
        }
        bytes
    };
    Ok(Laid {
        length: Some(bytes.len() as u64),
        pieces: Pieces::one(bytes),
        made: laid.made,
    })
}

/// The text of `pieces`, compressed; on a thread for slow work where it is long.
async fn again(coding: Coding, pieces: Pieces) -> Result<Bytes, Rejection> {
    let made = if pieces.total_len() <= AT_ONCE_MAX {
        pack::pack(coding, pieces.as_slice()).ok()
    } else {
        let packing = move || pack::pack(coding, pieces.as_slice());
        let packing = tokio::task::spawn_blocking(packing).await;
        packing.ok().and_then(Result::ok)
    };
    let failed = || {
        Rejection::new(
            Code::Internal,
            "The gateway could not compress the request body again after its edits.",
        )
    };
    made.map(Bytes::from).ok_or_else(failed)
}

fn no_room() -> Rejection {
    Rejection::new(
        Code::Overloaded,
        "The gateway holds as many request bodies as it may. Try again shortly.",
    )
}

/// Its name, as the client wrote it or might have.
fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Identity => "identity",
        Coding::Gzip => "gzip",
        Coding::Deflate => "deflate",
        Coding::Brotli => "br",
        Coding::Zstd => "zstd",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Option<Coding> {
        let lines = values
            .iter()
            .map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        coding(&headers).ok()
    }

    #[test]
    fn one_coding_is_known_by_its_name_and_several_are_none() {
        for (values, expected) in [
            (&[][..], Some(Coding::Identity)),
            (&["identity"], Some(Coding::Identity)),
            (&["gzip"], Some(Coding::Gzip)),
            (&[" X-GZip "], Some(Coding::Gzip)),
            (&["Deflate"], Some(Coding::Deflate)),
            (&["br"], Some(Coding::Brotli)),
            (&["zstd"], Some(Coding::Zstd)),
            (&["gzip, br"], None),
            (&["identity, gzip"], None),
            (&["gzip", "gzip"], None),
            (&["identity", "gzip"], None),
            (&["compress"], None),
            (&["aws-chunked"], None),
        ] {
            assert_eq!(of(values), expected, "{values:?}");
        }
        for known in ACCEPTED.split(", ") {
            let coding = Coding::named(known.as_bytes()).expect("known");
            assert_eq!(name(coding), known);
        }
    }
}
