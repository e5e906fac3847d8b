//! Trace contexts (W3C Trace Context, level 2): which trace a request belongs to, and whether it is told.

use std::fmt::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Who is asked to go on with which trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the systems that a trace goes through tell one another.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of `tracestate` that are taken over into spans.
const STATE_MAX: usize = 512;

/// The flag of a trace that is told.
const SAMPLED: u8 = 1;

/// Bytes of version 00: `00-` + 32 + `-` + 16 + `-` + 2.
const LENGTH: usize = 55;

/// A trace that is told, as far as one request is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace; never all zero.
    pub id: [u8; 16],
    /// The span of the request; never 0.
    pub span: u64,
    /// The span of the client's that it is a part of.
    pub parent: Option<u64>,
    /// The client's `tracestate`.
    pub state: Box<str>,
}

impl Trace {
    /// The trace of a request with these headers; none where it is not told. What its client says decides; where it says
    /// nothing, `ratio` does.
    pub(super) fn begin(headers: &HeaderMap, ratio: Ratio) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        // Of two nobody could say which counts: both are as none.
        let sole = given.next().filter(|_| given.next().is_none());
        match sole.and_then(|value| parse(value.as_bytes())) {
            Some((_, _, flags)) if flags & SAMPLED == 0 => None,
            Some((id, parent, _)) => Some(Self {
                id,
                span: random()?,
                parent: Some(parent),
                state: state(headers),
            }),
            None => {
                let id = (u128::from(random()?) << 64) | u128::from(random()?);
                ratio.takes(id).then_some(())?;
                Some(Self {
                    id: id.to_be_bytes(),
                    span: random()?,
                    parent: None,
                    state: Box::default(),
                })
            }
        }
    }

    /// The span of an attempt of the request, by its place among them.
    #[must_use]
    pub fn attempt(&self, place: usize) -> u64 {
        // Odd, so that each place has another span; the constant is that of SplitMix64.
        let step = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.span.wrapping_add(step).max(1)
    }

    /// `traceparent` of what is asked on behalf of this span.
    #[must_use]
    pub fn header(&self, span: u64) -> Option<HeaderValue> {
        let id = u128::from_be_bytes(self.id);
        HeaderValue::from_str(&format!("00-{id:032x}-{span:016x}-01")).ok()
    }

    /// The trace's id as others write it.
    #[must_use]
    pub fn id_text(&self) -> String {
        let mut text = String::with_capacity(32);
        // A `String` takes every write.
        let _ = write!(text, "{:032x}", u128::from_be_bytes(self.id));
        text
    }
}

/// `tracestate` in as many lines as it came, where it is not too long.
fn state(headers: &HeaderMap) -> Box<str> {
    let mut all = String::new();
    for value in headers.get_all(TRACESTATE) {
        let Ok(text) = value.to_str() else {
            return Box::default();
        };
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(text);
    }
    if all.len() > STATE_MAX {
        return Box::default();
    }
    all.into()
}

/// Trace, span and flags of a `traceparent`; none where it is none (section 3.2.2).
fn parse(value: &[u8]) -> Option<([u8; 16], u64, u8)> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let version = hexadecimal(text.get(..2)?)?;
    // A later version may say more behind it.
    let ends = match version {
        0 => text.len() == LENGTH,
        0xff => false,
        _ => text.len() == LENGTH || text.as_bytes().get(LENGTH) == Some(&b'-'),
    };
    let mut parts = text.get(..LENGTH)?.split('-').skip(1);
    let (id, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    if !ends || (id.len(), span.len(), flags.len()) != (32, 16, 2) {
        return None;
    }
    let (id, span) = (hexadecimal(id)?, u64::try_from(hexadecimal(span)?).ok()?);
    let flags = u8::try_from(hexadecimal(flags)?).ok()?;
    (id != 0 && span != 0).then_some((id.to_be_bytes(), span, flags))
}

/// Digits in lower case only.
fn hexadecimal(digits: &str) -> Option<u128> {
    let lower = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    if !digits.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

/// Never 0, which is no id. None where there is no source of chance: then nothing is told.
fn random() -> Option<u64> {
    getrandom::u64().ok().map(|id| id.max(1))
}

/// A share of all traces, the same everywhere: a trace is in it or not by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio(u64);

impl Ratio {
    /// From 0 to 1.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of 2^63, which a float comes near enough to"
    )]
    pub(super) fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64)
    }

    /// By the 63 lowest bits, as OpenTelemetry's own samplers do.
    fn takes(self, id: u128) -> bool {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the lower half is what is meant"
        )]
        let low = id as u64;
        (low >> 1) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn parent(value: &str) -> Option<u64> {
        let headers = headers(&[("traceparent", value)]);
        Trace::begin(&headers, Ratio::of(1.0)).expect("told").parent
    }

    #[test]
    fn a_traceparent_is_taken_for_what_it_says() {
        let given = headers(&[
            ("traceparent", GOOD),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]);
        let trace = Trace::begin(&given, Ratio::of(0.0)).expect("told, whatever the share");
        assert_eq!(trace.id_text(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.parent, Some(0xb7ad_6b71_6920_3331));
        assert_eq!(&*trace.state, "a=1,b=2");
        let own = trace.header(trace.span).expect("a value");
        let (id, span, flags) = parse(own.as_bytes()).expect("one of our own");
        assert_eq!((id, span, flags), (trace.id, trace.span, SAMPLED));
    }

    #[test]
    fn one_that_is_not_told_is_not_told_here_either() {
        let quiet = GOOD.replace("-01", "-00");
        let given = headers(&[("traceparent", &quiet)]);
        assert_eq!(Trace::begin(&given, Ratio::of(1.0)), None);
        let others = GOOD.replace("-01", "-03");
        assert!(parent(&others).is_some());
    }

    #[test]
    fn what_is_none_begins_a_trace() {
        for wrong in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-x"),
            &format!("ff{}", &GOOD[2..]),
            &GOOD.to_uppercase(),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad", "b7ag"),
            &GOOD.replace('-', "_"),
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            &format!("01{}x", &GOOD[2..]),
        ] {
            assert_eq!(parent(wrong), None, "{wrong}");
        }
        let twice = headers(&[("traceparent", GOOD), ("traceparent", GOOD)]);
        let trace = Trace::begin(&twice, Ratio::of(1.0)).expect("told");
        assert_eq!(trace.parent, None);
        assert!(parent(&format!("01{}-more", &GOOD[2..])).is_some());
        assert!(parent(&format!(" {GOOD}\t")).is_some());
    }

    #[test]
    fn a_share_of_traces_is_taken_by_their_ids() {
        let low = 1_u128 << 62;
        for (share, id, taken) in [
            (1.0, u128::MAX, true),
            (0.0, 0, false),
            (0.5, (low << 1) - 1, true),
            (0.5, low << 1, false),
        ] {
            assert_eq!(Ratio::of(share).takes(id), taken, "{share} {id}");
        }
        assert_eq!(Trace::begin(&HeaderMap::new(), Ratio::of(0.0)), None);
    }

    #[test]
    fn each_attempt_has_a_span_of_its_own() {
        let trace = Trace::begin(&HeaderMap::new(), Ratio::of(1.0)).expect("told");
        let mut spans: Vec<u64> = (0..10).map(|place| trace.attempt(place)).collect();
        spans.push(trace.span);
        spans.sort_unstable();
        spans.dedup();
        assert_eq!(spans.len(), 11);
    }
}
