//! Which session a request belongs to, as a hash: requests of one session go to one replica, whose prompt cache is warm.
//!
//! Nothing more is read for this than for routing: headers, two top-level members, and the first bytes of the body as they
//! are. What clients choose as the name of a session is theirs: the hash begins with their account, so that nobody's
//! names say anything about another's traffic.

use http::header::{HeaderMap, HeaderName};

use super::body::Body;
use super::seen::Seen;
use crate::model::scan::{Member, string_value};
use crate::upstream::hash;

/// Headers that name a session, the first that is there counts: ours, Claude Code's, and that of Codex and others.
const HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("tollgate-affinity"),
    HeaderName::from_static("x-claude-code-session-id"),
    HeaderName::from_static("session_id"),
];

/// Members that name a session.
const MEMBERS: [Member; 2] = [Member::SessionId, Member::PromptCacheKey];

/// Kinds of names, so that one of them is never taken for another.
const NAMED: &[u8] = b"named";
const BEGINNING: &[u8] = b"begins";

/// Whether a header of this name names a session.
#[must_use]
pub fn is_header(name: &str) -> bool {
    HEADERS.iter().any(|header| header.as_str() == name)
}

/// The hash of the session of a request: by its name, else by the first `beginning` bytes of its body.
#[must_use]
pub fn of(account: &str, seen: Seen, headers: &HeaderMap, body: &Body, beginning: usize) -> u64 {
    let account = account.as_bytes();
    if seen.affinity
        && let Some(name) = header(headers)
    {
        return hash::of([account, NAMED, name]);
    }
    for member in MEMBERS {
        let found = body.scanner.members().get(member);
        let name = found.and_then(|found| string_value(&body.bytes, found.last()));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            return hash::of([account, NAMED, name.as_bytes()]);
        }
    }
    let bytes = body.sent();
    let end = bytes.len().min(beginning);
    hash::of([account, BEGINNING, &bytes[..end]])
}

fn header(headers: &HeaderMap) -> Option<&[u8]> {
    HEADERS
        .iter()
        .filter_map(|name| headers.get(name))
        .map(http::HeaderValue::as_bytes)
        .find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;

    /// The hash for an account, headers and a body.
    fn hash(account: &str, headers: &[(&'static str, &'static str)], body: &'static str) -> u64 {
        let header = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        let body = Body::of_bytes(Bytes::from_static(body.as_bytes())).expect("JSON");
        of(account, Seen::of(&headers), &headers, &body, 32)
    }

    const BODY: &str = r#"{"prompt_cache_key":"k","session_id":"s","messages":[1]}"#;

    #[test]
    fn the_first_name_that_is_there_counts() {
        let all = [
            ("session_id", "c"),
            ("x-claude-code-session-id", "b"),
            ("tollgate-affinity", "a"),
        ];
        let named = |name: &str| hash::of([b"acme", NAMED, name.as_bytes()]);
        assert_eq!(hash("acme", &all, BODY), named("a"));
        assert_eq!(hash("acme", &all[..2], BODY), named("b"));
        assert_eq!(hash("acme", &all[..1], BODY), named("c"));
        assert_eq!(hash("acme", &[("session_id", "")], BODY), named("s"));
        assert_eq!(hash("acme", &[], BODY), named("s"));
        let keyed = r#"{"prompt_cache_key":"k","session_id":7,"messages":[1]}"#;
        assert_eq!(hash("acme", &[], keyed), named("k"));
    }

    #[test]
    fn without_a_name_the_beginning_of_the_body_counts() {
        let first = r#"{"messages":["a long beginning, ","one"]}"#;
        let grown = r#"{"messages":["a long beginning, ","one","two","three"]}"#;
        let other = r#"{"messages":["another beginning,","one"]}"#;
        assert_eq!(hash("acme", &[], first), hash("acme", &[], grown));
        assert_ne!(hash("acme", &[], first), hash("acme", &[], other));
        let named = hash::of([b"acme", NAMED, &first.as_bytes()[..32]]);
        assert_ne!(hash("acme", &[], first), named);
    }

    #[test]
    fn accounts_have_nothing_in_common() {
        let headers = [("tollgate-affinity", "a")];
        assert_ne!(hash("acme", &headers, BODY), hash("other", &headers, BODY));
        assert_ne!(hash("acme", &[], BODY), hash("other", &[], BODY));
    }
}
