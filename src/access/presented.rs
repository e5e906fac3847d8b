//! What a client sent to say who it is: the access key, and perhaps a provider key to go on with.
//! And how all of it is taken out of a request before an upstream sees it.
//!
//! The places, in order: `Tollgate-Key`, `Authorization: Bearer`, `x-api-key`, `api-key`,
//! `x-goog-api-key`, `?key=` or `?api-key=`, the WebSocket subprotocol `openai-insecure-api-key.…`. The first
//! value of our form (`tg-…`) is the access key. What stands elsewhere counts as a provider key
//! only when the access key came in `Tollgate-Key`: an SDK that sends `ANTHROPIC_API_KEY` beside
//! the access key in `Authorization` did not mean to.
//!
//! Absent: whether the key is known (`Keyring`), and what the upstream gets in its place.

use std::borrow::Cow;
use std::fmt;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::{Refusal, key};

/// Headers that hold nothing but a client's credential, in the order they are searched. None
/// reaches an upstream.
pub static CLIENT_AUTH: [HeaderName; 5] = [
    HeaderName::from_static("tollgate-key"),
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Before the key in the subprotocol that browsers send, who cannot set headers on a WebSocket.
const SUBPROTOCOL: &[u8] = b"openai-insecure-api-key.";

/// The query parameters of Google's APIs, and of Azure's.
const PARAMETERS: [&[u8]; 2] = [b"key", b"api-key"];

/// Which of the headers that may hold a credential a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(u8);

impl Places {
    const SUBPROTOCOL: u8 = 1 << CLIENT_AUTH.len();

    /// Notes a header by its name, in lower case; returns whether it is such a place.
    pub fn note(&mut self, name: &str) -> bool {
        // In the order of `CLIENT_AUTH`, which a test holds it to.
        let place = match name {
            "tollgate-key" => 1,
            "authorization" => 1 << 1,
            "x-api-key" => 1 << 2,
            "api-key" => 1 << 3,
            "x-goog-api-key" => 1 << 4,
            "sec-websocket-protocol" => Self::SUBPROTOCOL,
            _ => return false,
        };
        self.0 |= place;
        true
    }

    /// The places of a request's headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut places = Self::default();
        for name in headers.keys() {
            places.note(name.as_str());
        }
        places
    }

    const fn has(self, at: usize) -> bool {
        self.0 & 1 << at != 0
    }
}

/// The credentials of one request. Prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented<'a> {
    /// Begins with `tg-`; nothing else of it is checked. Owned only if it was percent-encoded in
    /// the query.
    pub access_key: Cow<'a, str>,
    /// The provider key that came beside it: visible ASCII.
    pub request_credential: Option<Cow<'a, str>>,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Presented(..)")
    }
}

/// Searches a request's headers, where `places` says that there is something, and its query (without
/// the `?`).
///
/// A value that is empty is no credential. One that is not visible ASCII, or that follows a scheme
/// other than `Bearer` (in any case) in `Authorization`, is never a provider key.
///
/// # Errors
/// [`Refusal::NoKey`], [`Refusal::NotAKey`], [`Refusal::TwoKeys`] or
/// [`Refusal::SeveralCredentials`].
pub fn find<'a>(
    headers: &'a HeaderMap,
    places: Places,
    query: Option<&'a str>,
) -> Result<Presented<'a>, Refusal> {
    let mut found = Found::default();
    let there = CLIENT_AUTH.iter().enumerate();
    for (at, name) in there.filter(|(at, _)| places.has(*at)) {
        for value in headers.get_all(name) {
            let value = if *name == AUTHORIZATION {
                bearer(value.as_bytes())
            } else {
                Value::Usable(value.as_bytes())
            };
            found.note(at == 0, value.into_text())?;
        }
    }
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        if let Some(value) = key_parameter(pair) {
            found.note(false, value)?;
        }
    }
    let subprotocols = places
        .has(CLIENT_AUTH.len())
        .then(|| headers.get_all(SEC_WEBSOCKET_PROTOCOL));
    for value in subprotocols.into_iter().flatten() {
        for secret in value
            .as_bytes()
            .split(|byte| *byte == b',')
            .filter_map(subprotocol_key)
        {
            found.note(false, Value::Usable(secret).into_text())?;
        }
    }
    found.finish()
}

/// What has been seen so far, in the order of the places.
#[derive(Default)]
struct Found<'a> {
    access_key: Option<Cow<'a, str>>,
    /// The access key came in `Tollgate-Key`.
    in_own_header: bool,
    other: Option<Cow<'a, str>>,
    others_differ: bool,
    /// Something is there that is no access key, usable or not.
    foreign: bool,
}

/// A credential's text; `None` if it cannot be one of a provider.
type Credential<'a> = Option<Cow<'a, str>>;

impl<'a> Found<'a> {
    fn note(&mut self, own_header: bool, credential: Credential<'a>) -> Result<(), Refusal> {
        match credential {
            Some(text) if text.is_empty() => {}
            Some(text) if key::has_prefix(&text) => match &self.access_key {
                None => {
                    self.access_key = Some(text);
                    self.in_own_header = own_header;
                }
                Some(first) if *first == text => {}
                Some(_) => return Err(Refusal::TwoKeys),
            },
            Some(text) if !own_header => {
                self.foreign = true;
                match &self.other {
                    None => self.other = Some(text),
                    Some(first) => self.others_differ |= *first != text,
                }
            }
            _ => self.foreign = true,
        }
        Ok(())
    }

    fn finish(self) -> Result<Presented<'a>, Refusal> {
        let Some(access_key) = self.access_key else {
            return Err(if self.foreign {
                Refusal::NotAKey
            } else {
                Refusal::NoKey
            });
        };
        if self.in_own_header && self.others_differ {
            return Err(Refusal::SeveralCredentials);
        }
        Ok(Presented {
            access_key,
            request_credential: self.other.filter(|_| self.in_own_header),
        })
    }
}

/// A header's credential in bytes.
enum Value<'a> {
    Usable(&'a [u8]),
    /// Of another scheme.
    Foreign,
}

impl<'a> Value<'a> {
    fn into_text(self) -> Credential<'a> {
        match self {
            Self::Usable(bytes) => visible(bytes.trim_ascii()).map(Cow::Borrowed),
            Self::Foreign => None,
        }
    }
}

fn visible(bytes: &[u8]) -> Option<&str> {
    // Every byte is looked at, without stopping at a first one: that is what vectorizes.
    let is_visible = |all: bool, byte: &u8| all & (b' '..=b'~').contains(byte);
    let text = std::str::from_utf8(bytes).ok();
    text.filter(|_| bytes.iter().fold(true, is_visible))
}

/// `Bearer KEY` or a bare `KEY`; blanks as many as there are.
fn bearer(value: &[u8]) -> Value<'_> {
    let value = value.trim_ascii();
    let scheme_end = value.iter().position(u8::is_ascii_whitespace);
    let (scheme, rest) = value.split_at(scheme_end.unwrap_or(value.len()));
    match (scheme.eq_ignore_ascii_case(b"bearer"), scheme_end) {
        (true, _) => Value::Usable(rest),
        (false, None) => Value::Usable(value),
        (false, Some(_)) => Value::Foreign,
    }
}

/// Whether a query's pair has this name, in whatever encoding.
fn is_named(pair: &str, name: &[u8]) -> bool {
    let written = pair.split_once('=').map_or(pair, |(written, _)| written);
    percent_decoded(written).eq(name.iter().copied())
}

/// Whether a query's pair is one that holds a credential.
fn is_key(pair: &str) -> bool {
    PARAMETERS.iter().any(|name| is_named(pair, name))
}

/// The value of a query's pair, if its name is one of [`PARAMETERS`] in whatever encoding.
fn key_parameter(pair: &str) -> Option<Credential<'_>> {
    if !is_key(pair) {
        return None;
    }
    let (_, value) = pair.split_once('=').unwrap_or((pair, ""));
    if !value.contains('%') {
        return Some(Value::Usable(value.as_bytes()).into_text());
    }
    let decoded: Vec<u8> = percent_decoded(value).collect();
    Some(visible(decoded.trim_ascii()).map(|text| Cow::Owned(text.to_owned())))
}

/// The bytes that `text` stands for. A `%` that no two hexadecimal digits follow stands for itself.
pub fn percent_decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        if let [high, low, after @ ..] = after
            && *first == b'%'
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = after;
        Some(*first)
    })
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What follows the prefix, if the offered subprotocol is the one that holds a key.
fn subprotocol_key(offered: &[u8]) -> Option<&[u8]> {
    let (prefix, secret) = offered.trim_ascii().split_at_checked(SUBPROTOCOL.len())?;
    prefix.eq_ignore_ascii_case(SUBPROTOCOL).then_some(secret)
}

/// Takes every client credential out of the headers.
pub fn strip(headers: &mut HeaderMap) {
    for name in &CLIENT_AUTH {
        headers.remove(name);
    }
    match subprotocols(headers, false, false) {
        SubprotocolEdit::Keep => {}
        SubprotocolEdit::Remove => drop(headers.remove(SEC_WEBSOCKET_PROTOCOL)),
        SubprotocolEdit::Replace(rest) => drop(headers.insert(SEC_WEBSOCKET_PROTOCOL, rest)),
    }
}

/// What has to become of `Sec-WebSocket-Protocol`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubprotocolEdit {
    /// It holds no credential.
    Keep,
    /// It holds nothing else.
    Remove,
    /// The other subprotocols, in their order, as one header.
    Replace(HeaderValue),
}

/// Subprotocols in which clients say in whose name they speak.
const HOLDERS: [&[u8]; 2] = [b"openai-organization.", b"openai-project."];

/// The part of [`strip`] that is more than a removal, for header types other than `HeaderMap`. `on_gateway`: what an
/// account may not say in the operator's name goes as well. `in_place`: a key that is no access key stays.
#[must_use]
pub fn subprotocols(headers: &HeaderMap, on_gateway: bool, in_place: bool) -> SubprotocolEdit {
    let goes = |one: &[u8]| {
        let key = subprotocol_key(one);
        let keyed = key.is_some_and(|key| !in_place || is_access_key(key));
        keyed || (on_gateway && HOLDERS.iter().any(|prefix| begins(one, prefix)))
    };
    if !offered(headers).any(goes) {
        return SubprotocolEdit::Keep;
    }
    let rest: Vec<&[u8]> = offered(headers)
        .filter(|one| !goes(one))
        .map(<[u8]>::trim_ascii)
        .filter(|one| !one.is_empty())
        .collect();
    match HeaderValue::from_bytes(&rest.join(&b", "[..])) {
        Ok(value) if !value.is_empty() => SubprotocolEdit::Replace(value),
        _ => SubprotocolEdit::Remove,
    }
}

/// Whether a provider key of the client's own stands in a subprotocol.
#[must_use]
pub fn has_own_subprotocol_key(headers: &HeaderMap) -> bool {
    let mut keys = offered(headers).filter_map(subprotocol_key);
    keys.any(|key| !key.trim_ascii().is_empty() && !is_access_key(key))
}

/// The subprotocols that are offered, in order.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
}

fn is_access_key(secret: &[u8]) -> bool {
    std::str::from_utf8(secret.trim_ascii()).is_ok_and(key::has_prefix)
}

/// Whether `text` begins with `prefix`, in any case.
fn begins(text: &[u8], prefix: &[u8]) -> bool {
    let start = text.trim_ascii().get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The query without any parameter that holds a credential (`key`, `api-key`), nor those of the names `also`, in whatever
/// encoding, and otherwise byte for byte; `None` if it has none. May be empty: then the `?` goes too.
#[must_use]
pub fn strip_query(query: &str, also: &[&str]) -> Option<String> {
    let goes =
        |pair: &&str| is_key(pair) || also.iter().any(|name| is_named(pair, name.as_bytes()));
    if !query.split('&').any(|pair| goes(&pair)) {
        return None;
    }
    let mut rest = String::with_capacity(query.len());
    let mut kept = query.split('&').filter(|pair| !goes(pair));
    rest.extend(kept.next());
    for pair in kept {
        rest.push('&');
        rest.push_str(pair);
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as `name: value` lines.
    fn headers(lines: &[&'static str]) -> HeaderMap {
        let parsed = lines.iter().map(|line| line.split_once(": ").unwrap());
        parsed
            .map(|(name, value)| {
                (
                    name.parse().unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .fold(
                HeaderMap::new(),
                |mut map, (name, value): (HeaderName, _)| {
                    map.append(name, value);
                    map
                },
            )
    }

    type Expected = Result<(&'static str, Option<&'static str>), Refusal>;

    #[track_caller]
    fn check(lines: &[&'static str], query: Option<&str>, expected: Expected) {
        let headers = headers(lines);
        let found = find(&headers, Places::of(&headers), query);
        let found = found
            .as_ref()
            .map(|p| (&*p.access_key, p.request_credential.as_deref()));
        assert_eq!(
            found.map_err(|refusal| *refusal),
            expected,
            "{lines:?} {query:?}"
        );
    }

    #[test]
    fn places_are_noted_in_the_order_in_which_they_are_searched() {
        for (at, name) in CLIENT_AUTH.iter().enumerate() {
            let mut places = Places::default();
            assert!(places.note(name.as_str()) && places.has(at), "{name}");
            assert_eq!(places.0.count_ones(), 1, "{name}");
        }
        assert!(!Places::default().note("accept"));
    }

    const ONLY: Expected = Ok(("tg-A", None));

    #[test]
    fn every_place_is_searched() {
        for line in [
            "Tollgate-Key: tg-A",
            "Authorization: Bearer tg-A",
            "X-Api-Key: tg-A",
            "api-key: tg-A",
            "x-goog-api-key: tg-A",
            "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.tg-A, openai-beta.realtime-v1",
        ] {
            check(&[line], None, ONLY);
        }
        check(&[], Some("key=tg-A"), ONLY);
    }

    #[test]
    fn odd_forms_are_read_too() {
        for line in [
            "authorization: bearer tg-A",
            "authorization: BEARER    tg-A",
            "authorization:  Bearer\t tg-A  ",
            "authorization: tg-A",
            "x-api-key:   tg-A ",
            "sec-websocket-protocol: openai-insecure-api-key.tg-A",
            "sec-websocket-protocol: realtime ,OpenAI-Insecure-API-Key.tg-A,",
        ] {
            check(&[line], None, ONLY);
        }
        for query in [
            "a=1&key=tg-A&b",
            "k%65y=tg-A",
            "%6b%65%79=tg-A",
            "%6B%65%79=tg-A",
            "key=%74g%2dA",
            "key=&key=tg-A",
            "key=%20tg-A",
        ] {
            check(&[], Some(query), ONLY);
        }
    }

    #[test]
    fn every_value_of_a_repeated_header_counts() {
        check(
            &["x-api-key: ", "x-api-key: sk-1", "x-api-key: tg-A"],
            None,
            ONLY,
        );
        check(
            &["authorization: Basic dTpw", "authorization: Bearer tg-A"],
            None,
            ONLY,
        );
        check(
            &[
                "sec-websocket-protocol: a",
                "sec-websocket-protocol: openai-insecure-api-key.tg-A",
            ],
            None,
            ONLY,
        );
        check(
            &["x-api-key: tg-A", "x-api-key: tg-B"],
            None,
            Err(Refusal::TwoKeys),
        );
    }

    #[test]
    fn no_key_and_a_foreign_key_are_told_apart() {
        check(&[], None, Err(Refusal::NoKey));
        check(
            &[
                "x-api-key: ",
                "authorization: Bearer",
                "authorization: Bearer  ",
            ],
            Some("key=&key"),
            Err(Refusal::NoKey),
        );
        check(
            &["cookie: key=tg-A", "content-type: tg-A"],
            Some("keys=tg-A&KEY=tg-A&akey=tg-A&%256bey=tg-A"),
            Err(Refusal::NoKey),
        );
        check(
            &["sec-websocket-protocol: realtime"],
            None,
            Err(Refusal::NoKey),
        );
        for line in [
            "authorization: Bearer sk-1",
            "authorization: Basic dGctQQ==",
            "authorization: Token tg-A",
            "authorization: Bearer Bearer tg-A",
            "tollgate-key: sk-1",
            "x-api-key: TG-A",
            "x-api-key: \u{fc}",
            "sec-websocket-protocol: openai-insecure-api-key.sk-1",
        ] {
            check(&[line], None, Err(Refusal::NotAKey));
        }
        check(&[], Some("key=AIza"), Err(Refusal::NotAKey));
        check(&[], Some("key=%ff"), Err(Refusal::NotAKey));
    }

    #[test]
    fn two_access_keys_are_refused_unless_they_are_the_same() {
        check(
            &["tollgate-key: tg-A", "authorization: Bearer tg-A"],
            Some("key=tg-%41"),
            ONLY,
        );
        check(
            &["tollgate-key: tg-A", "authorization: Bearer tg-B"],
            None,
            Err(Refusal::TwoKeys),
        );
        check(
            &["x-goog-api-key: tg-A"],
            Some("key=tg-B"),
            Err(Refusal::TwoKeys),
        );
        check(
            &["sec-websocket-protocol: openai-insecure-api-key.tg-A"],
            Some("key=tg-B"),
            Err(Refusal::TwoKeys),
        );
    }

    #[test]
    fn beside_tollgate_key_a_provider_key_is_the_requests_own() {
        let own = Ok(("tg-A", Some("sk-1")));
        for line in [
            "authorization: Bearer sk-1",
            "authorization: sk-1",
            "x-api-key: sk-1",
            "api-key: sk-1",
            "x-goog-api-key: sk-1",
            "sec-websocket-protocol: openai-insecure-api-key.sk-1",
        ] {
            check(&["tollgate-key: tg-A", line], None, own);
        }
        check(&["tollgate-key: tg-A"], Some("key=sk%2D1"), own);
        check(
            &[
                "tollgate-key: tg-A",
                "x-api-key: sk-1",
                "authorization: Bearer sk-1",
            ],
            None,
            own,
        );
        check(
            &[
                "tollgate-key: tg-A",
                "x-api-key: sk-1",
                "authorization: Bearer tg-A",
            ],
            None,
            own,
        );
        check(
            &["tollgate-key: tg-A", "tollgate-key: zz", "x-api-key: sk-1"],
            None,
            own,
        );
    }

    #[test]
    fn several_provider_keys_are_refused() {
        check(
            &[
                "tollgate-key: tg-A",
                "x-api-key: sk-1",
                "authorization: Bearer sk-2",
            ],
            None,
            Err(Refusal::SeveralCredentials),
        );
        check(
            &["tollgate-key: tg-A", "x-api-key: sk-1"],
            Some("key=sk-2"),
            Err(Refusal::SeveralCredentials),
        );
    }

    #[test]
    fn elsewhere_a_provider_key_is_ignored() {
        check(
            &["authorization: Bearer tg-A", "x-api-key: sk-1"],
            None,
            ONLY,
        );
        check(
            &["x-api-key: tg-A", "authorization: Bearer sk-1"],
            Some("key=sk-2"),
            ONLY,
        );
        check(
            &["tollgate-key: sk-1", "authorization: Bearer tg-A"],
            None,
            ONLY,
        );
    }

    #[test]
    fn what_cannot_be_a_provider_key_is_none() {
        for line in [
            "authorization: Basic dTpw",
            "x-api-key: \u{fc}",
            "x-api-key: a\tb",
        ] {
            check(&["tollgate-key: tg-A", line], None, ONLY);
        }
        check(&["tollgate-key: tg-A"], Some("key=a%0d%0ab"), ONLY);
    }

    #[test]
    fn nothing_is_copied_unless_it_was_encoded() {
        let map = headers(&["tollgate-key: tg-A", "authorization: Bearer sk-1"]);
        let found = find(&map, Places::of(&map), None).unwrap();
        assert!(matches!(found.access_key, Cow::Borrowed(_)));
        assert!(matches!(found.request_credential, Some(Cow::Borrowed(_))));
        let map = HeaderMap::new();
        assert!(matches!(
            find(&map, Places::of(&map), Some("key=tg-A"))
                .unwrap()
                .access_key,
            Cow::Borrowed(_)
        ));
        assert_eq!(
            format!("{:?}", find(&map, Places::of(&map), Some("key=tg-A"))),
            "Ok(Presented(..))"
        );
    }

    #[test]
    fn stripping_leaves_no_credential_in_any_header() {
        let mut map = headers(&[
            "tollgate-key: tg-A",
            "authorization: Bearer tg-A",
            "authorization: Basic dTpw",
            "x-api-key: tg-A",
            "api-key: tg-A",
            "x-goog-api-key: tg-A",
            "sec-websocket-protocol: openai-insecure-api-key.tg-A",
            "content-type: application/json",
            "openai-organization: org",
        ]);
        strip(&mut map);
        let mut left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "openai-organization"]);
    }

    #[test]
    fn only_the_key_is_taken_out_of_the_subprotocols() {
        let cases: [(&[&'static str], &[&str]); 5] = [
            (
                &["sec-websocket-protocol: realtime,  beta"],
                &["realtime,  beta"],
            ),
            (
                &["sec-websocket-protocol: realtime, openai-insecure-api-key.tg-A,beta"],
                &["realtime, beta"],
            ),
            (
                &["sec-websocket-protocol: OPENAI-insecure-api-key.sk-1, realtime"],
                &["realtime"],
            ),
            (
                &[
                    "sec-websocket-protocol: a",
                    "sec-websocket-protocol: openai-insecure-api-key.x",
                    "sec-websocket-protocol: b",
                ],
                &["a, b"],
            ),
            (&["sec-websocket-protocol: openai-insecure-api-key."], &[]),
        ];
        for (lines, expected) in cases {
            let mut map = headers(lines);
            strip(&mut map);
            let left: Vec<&[u8]> = map
                .get_all(SEC_WEBSOCKET_PROTOCOL)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect();
            assert_eq!(
                left,
                expected
                    .iter()
                    .map(|value| value.as_bytes())
                    .collect::<Vec<_>>(),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_providers_key_may_stay_where_it_stands_and_an_access_key_never() {
        let line = "sec-websocket-protocol: realtime, openai-insecure-api-key.sk-1, openai-insecure-api-key.tg-A, OpenAI-Project.p, beta";
        let map = headers(&[line]);
        assert!(has_own_subprotocol_key(&map));
        for (on_gateway, in_place, expected) in [
            (
                false,
                true,
                "realtime, openai-insecure-api-key.sk-1, OpenAI-Project.p, beta",
            ),
            (false, false, "realtime, OpenAI-Project.p, beta"),
            (true, false, "realtime, beta"),
        ] {
            let expected = SubprotocolEdit::Replace(HeaderValue::from_static(expected));
            assert_eq!(subprotocols(&map, on_gateway, in_place), expected);
        }
        for none in [
            "openai-insecure-api-key.tg-A",
            "openai-insecure-api-key.",
            "realtime",
        ] {
            let line = format!("sec-websocket-protocol: {none}").leak();
            assert!(!has_own_subprotocol_key(&headers(&[line])), "{none}");
        }
    }

    #[test]
    fn only_the_key_is_taken_out_of_the_query() {
        let cases = [
            ("", None),
            ("a=1&b=2", None),
            ("keys=1&akey=2&Key=3&k=ey", None),
            ("key=tg-A", Some("")),
            ("key", Some("")),
            ("key=", Some("")),
            ("a=%20+1&key=x&b=%zz", Some("a=%20+1&b=%zz")),
            ("key=x&a=1&k%65y=y&%6B%65%79=z", Some("a=1")),
            ("alt=sse&key=a=b%26", Some("alt=sse")),
            ("a&&key=x&", Some("a&&")),
            ("&key=x", Some("")),
            ("%ke%79=x&k%6=1", None),
            ("api-key=x&a=1&api%2Dkey=y&api_key=z", Some("a=1&api_key=z")),
            ("access_token=x&a=1&acc%65ss_token&b", Some("a=1&b")),
            ("access_tokens=x", None),
        ];
        for (query, expected) in cases {
            assert_eq!(
                strip_query(query, &["access_token"]).as_deref(),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn what_is_found_in_a_query_is_stripped_from_it() {
        for query in [
            "key=tg-A",
            "api-key=tg-A&key=tg-A",
            "x=1&%6bey=tg-A",
            "key=%74g-A&key=tg-A",
        ] {
            let map = HeaderMap::new();
            assert!(find(&map, Places::of(&map), Some(query)).is_ok());
            let left = strip_query(query, &[]).unwrap();
            assert_eq!(
                find(&map, Places::of(&map), Some(&left)),
                Err(Refusal::NoKey),
                "{query}"
            );
        }
    }
}
