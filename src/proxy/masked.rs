//! E5: a credential of the gateway's, or of an account's store, that an upstream repeats does not reach the client: it is
//! written over with stars, as many as it had bytes.
//!
//! Looked at are the header of every answer, its reason phrase and its trailers, and the bodies of those that are no
//! success. The header is looked at before anything else sees it, so that what is logged of it has no credential either.
//! Absent: bodies of successes, and encodings other than JSON's escapes, percent-encoding and the content codings.

mod gathered;
mod masker;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use log::debug;
use pingora::Result;
use pingora::http::ResponseHeader;

pub use gathered::{Gathered, no_longer_coded};
pub use masker::Masker;

use super::context::RequestContext;
use super::decoded;
use crate::credentials::Key;
use crate::usage::Coding;

/// What is done with the body of an answer that may tell the credential.
pub enum Mask {
    /// It is looked at as it passes.
    Passing(Box<Masker>),
    /// It is compressed, and looked at when it is whole.
    Gathering(Box<Gathered>),
}

impl Mask {
    /// For an answer with these headers; none where the key is too short to be a secret, or nobody here can read the body.
    fn of(headers: &HeaderMap, key: &Arc<Key>) -> Option<Self> {
        match decoded::coding(headers)? {
            Coding::Identity => Some(Self::Passing(Box::new(Masker::new(key)?))),
            coding => Some(Self::Gathering(Box::new(Gathered::new(coding, key)))),
        }
    }
}

/// The credential that the request under way goes on with, if it is one of ours.
fn credential(ctx: &RequestContext) -> Option<&Arc<Key>> {
    let credential = ctx.routed.as_deref()?.plan.credential();
    credential
        .key
        .as_ref()
        .filter(|_| credential.source.is_ours())
}

/// Looks at a header that an upstream has sent, before anything else does, and has the body looked at where it is no
/// success.
///
/// # Errors
/// Pingora's, when a header cannot be set.
pub fn answer(response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    let Some(key) = credential(ctx) else {
        return Ok(());
    };
    header(response, key)?;
    let status = response.status;
    if !status.is_success()
        && !status.is_informational()
        && let Some(routed) = ctx.routed.as_deref()
        && let Some(mask) = Mask::of(&response.headers, key)
    {
        routed.replay.mask(mask);
    }
    Ok(())
}

/// The same of trailers.
pub fn trailers(trailers: &mut HeaderMap, ctx: &RequestContext) {
    let Some(key) = credential(ctx) else {
        return;
    };
    while let Some(name) = trailers.keys().find(|name| is_in_name(name, key)).cloned() {
        trailers.remove(&name);
    }
    for value in trailers.values_mut() {
        if let Some(masked) = masked(value.as_bytes(), key) {
            *value = masked;
        }
    }
}

fn header(response: &mut ResponseHeader, key: &Arc<Key>) -> Result<()> {
    let phrase = response.get_reason_phrase().unwrap_or_default();
    if masked(phrase.as_bytes(), key).is_some() {
        response.set_reason_phrase(None)?;
    }
    while let Some(name) = response.headers.keys().find(|name| is_in_name(name, key)) {
        let name = name.clone();
        response.remove_header(&name);
    }
    let mut telling: Vec<HeaderName> = Vec::new();
    for (name, value) in &response.headers {
        if tells(value, key) && !telling.contains(name) {
            telling.push(name.clone());
        }
    }
    for name in telling {
        debug!("an upstream repeats its credential in `{name}`");
        let values: Vec<HeaderValue> = response.headers.get_all(&name).iter().cloned().collect();
        response.remove_header(&name);
        for value in values {
            let masked = masked(value.as_bytes(), key).unwrap_or(value);
            response.append_header(name.clone(), masked)?;
        }
    }
    Ok(())
}

/// Whether the name of a header, which is in lower case, has the credential in it, as far as names can: in any letter
/// case. Such a header is left out.
fn is_in_name(name: &HeaderName, key: &Key) -> bool {
    let (name, key) = (name.as_str().as_bytes(), key.expose());
    let Some(first) = key.first().map(u8::to_ascii_lowercase) else {
        return false;
    };
    name.windows(key.len())
        .any(|part| part[0] == first && part.eq_ignore_ascii_case(key))
}

/// Whether a value repeats the credential. What a client is told of its own key is its own; what is written down is not.
#[must_use]
pub fn tells(value: &HeaderValue, key: &Arc<Key>) -> bool {
    masked(value.as_bytes(), key).is_some()
}

/// Whether a value may have the credential in it: as it is, or escaped.
fn may_tell(value: &[u8], key: &[u8]) -> bool {
    let Some(first) = key.first().filter(|_| value.len() >= key.len()) else {
        return false;
    };
    memchr::memchr3_iter(b'%', b'\\', *first, value)
        .any(|at| matches!(value[at], b'%' | b'\\') || value[at..].starts_with(key))
}

/// The value with the credential written over; none where it is not there.
fn masked(value: &[u8], key: &Arc<Key>) -> Option<HeaderValue> {
    if !may_tell(value, key.expose()) {
        return None;
    }
    let mut masker = Masker::new(key)?;
    let mut masked = masker.take(value).to_vec();
    masked.extend_from_slice(&masker.finish());
    let value = masker.has_found().then(|| HeaderValue::from_bytes(&masked));
    value?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_header_is_looked_at_and_the_others_stay() {
        let key = Arc::new(Key::new("sk-canary-1234", Arc::default()).expect("a key"));
        let mut response = ResponseHeader::build(401, None).expect("a header");
        for (name, value) in [
            ("www-authenticate", "Bearer realm=\"sk-canary-1234\""),
            ("x-echo", "one"),
            ("x-echo", "sk-canary-1234"),
            ("x-echo", "three"),
            ("location", "/?key=sk%2Dcanary%2d1234&a=%20"),
            ("x-request-id", "sk-canary-123"),
            ("x-sk-canary-1234", "one"),
            ("X-SK-Canary-1234-A", "two"),
        ] {
            response.append_header(name, value).expect("set");
        }
        let phrase = Some("No sk-canary-1234");
        response.set_reason_phrase(phrase).expect("set");
        header(&mut response, &key).expect("masked");
        let all = |name| {
            let values = response.headers.get_all(name).iter();
            values
                .map(|value| value.to_str().expect("text"))
                .collect::<Vec<_>>()
        };
        assert_eq!(all("www-authenticate"), ["Bearer realm=\"**************\""]);
        assert_eq!(all("x-echo"), ["one", "**************", "three"]);
        assert_eq!(all("location"), ["/?key=******************&a=%20"]);
        // Not the key, but all that is known of it is.
        assert_eq!(all("x-request-id"), ["sk-canary-123"]);
        assert_eq!(response.headers.len(), 6);
        assert_eq!(response.get_reason_phrase(), Some("Unauthorized"));
    }
}
