//! The limits of access keys, as requests meet them: who is let in, what is told of them in headers, in the way of the
//! provider's own API, and what is counted at the end. A key without limits costs a branch.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::context::{RequestContext, Routed};
use super::reject::{Code, Rejection};
use crate::access::Caller;
use crate::access::allowance::{Admitted, Levels, Limit, Reached};
use crate::credentials::Source;
use crate::model::scan::{Kind, Member};
use crate::surface::{Dialect, Surface, Uses};
use crate::usage::Report;

/// Bytes of a request body that are taken for a token until the provider has counted them: English prose.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of an answer that are reserved where the request does not bound them.
const OUTPUT_ASSUMED: u64 = 1_024;

/// How soon to ask again where nobody knows when another request ends.
const SOON: Duration = Duration::from_secs(1);

/// Names of the headers of one dialect: limit, remaining, reset.
struct Names {
    requests: [HeaderName; 3],
    tokens: [HeaderName; 3],
}

/// OpenAI's (guide "Rate limits"), which others have taken over.
const OPENAI: Names = Names {
    requests: [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    tokens: [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
};

/// Anthropic's (API reference, "Rate limits").
const ANTHROPIC: Names = Names {
    requests: [
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    ],
    tokens: [
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
    ],
};

/// Lets a request in that goes to a provider; none for a key without limits.
///
/// # Errors
/// 429 with the limit that is reached.
pub fn enter(caller: Option<&Arc<Caller>>) -> Result<Option<Admitted>, Rejection> {
    let Some(allowance) = caller.and_then(|caller| caller.allowance.as_ref()) else {
        return Ok(None);
    };
    let admitted = allowance.enter(Instant::now());
    admitted.map(Some).map_err(|reached| refusal(reached, 0))
}

/// Reserves the tokens that the request may use.
///
/// # Errors
/// 429 where there are not as many.
pub fn reserve(
    admitted: Option<Admitted>,
    surface: Option<Surface>,
    routed: &mut Routed,
) -> Result<(), Rejection> {
    let Some(mut admitted) = admitted else {
        return Ok(());
    };
    let tokens = estimate(surface, routed);
    let reserved = admitted.reserve(tokens, Instant::now());
    reserved.map_err(|reached| refusal(reached, tokens))?;
    routed.quota = Some(admitted);
    Ok(())
}

/// What a request may use: its body, and the longest answer that it asks for.
fn estimate(surface: Option<Surface>, routed: &Routed) -> u64 {
    let output = || output_cap(routed).unwrap_or(OUTPUT_ASSUMED);
    if routed.body.upload.is_some() {
        // Of a file, the bytes say nothing of tokens.
        return output();
    }
    let input = routed.length() / BYTES_PER_TOKEN;
    match surface.map_or(Uses::Nothing, Surface::uses) {
        Uses::Nothing => 0,
        Uses::Input | Uses::Untold | Uses::Talk => input,
        Uses::Tokens => input.saturating_add(output()),
    }
}

/// The largest of the bounds on the answer that the body names.
fn output_cap(routed: &Routed) -> Option<u64> {
    let (read, body) = (routed.body.scanner.members(), &routed.body.bytes);
    let caps = [
        Member::MaxTokens,
        Member::MaxCompletionTokens,
        Member::MaxOutputTokens,
    ];
    let cap = |member| {
        let found = read.get(member)?.last();
        let number = body
            .get(found.value())
            .filter(|_| found.kind() == Kind::Number)?;
        std::str::from_utf8(number).ok()?.parse::<u64>().ok()
    };
    caps.into_iter().filter_map(cap).max()
}

/// Counts what the request has used. What has failed used nothing; where an answer does not tell, or nobody knows, what was
/// reserved stands.
pub fn settle(routed: Option<&mut Routed>, status: u16, used: Option<&Report>) {
    let Some(admitted) = routed.and_then(|routed| routed.quota.as_mut()) else {
        return;
    };
    let told = used.filter(|used| used.flaw.is_none());
    let tokens = match (status, told) {
        (400.., _) => 0,
        (_, Some(used)) => used.usage.input.saturating_add(used.usage.output),
        _ => return,
    };
    admitted.settle(tokens, Instant::now());
}

fn refusal(reached: Reached, tokens: u64) -> Rejection {
    let wait = reached.wait.unwrap_or(SOON);
    let seconds = wait.as_millis().div_ceil(1_000);
    let message = match reached.limit {
        Limit::Requests(limit) => {
            format!("This access key may send {limit} requests a minute. Try again in {seconds} s.")
        }
        Limit::Tokens(limit) if tokens > 0 => format!(
            "This access key may use {limit} tokens a minute, and this request may use {tokens}. Try again in {seconds} s."
        ),
        Limit::Tokens(limit) => {
            format!("This access key may use {limit} tokens a minute. Try again in {seconds} s.")
        }
        Limit::InFlight(limit) => format!(
            "This access key may have {limit} requests under way at one time. Try again when one has ended."
        ),
        Limit::AccountInFlight(limit) => format!(
            "The account of this access key may have {limit} requests under way at one time. Try again when one has ended."
        ),
    };
    Rejection::new(Code::RateLimited, message).waiting(wait, reached.levels)
}

/// Tells in an answer how the limits of its key stand. On a provider key of the account or of the client the headers of that
/// name are the provider's own, and speak of that key.
pub fn tell(headers: &mut HeaderMap, ctx: &RequestContext, now: Instant) {
    let Some(routed) = ctx.routed.as_deref() else {
        return;
    };
    let Some(admitted) = &routed.quota else {
        return;
    };
    if matches!(
        routed.plan.credential().source,
        Source::Gateway | Source::None
    ) {
        write(
            headers,
            &admitted.levels(now),
            ctx.dialect,
            SystemTime::now(),
        );
    }
}

/// Writes levels as the providers of a dialect write theirs.
pub fn write(headers: &mut HeaderMap, levels: &Levels, dialect: Dialect, now: SystemTime) {
    let names = match dialect {
        Dialect::OpenAi => OPENAI,
        Dialect::Anthropic => ANTHROPIC,
        // It has none.
        Dialect::Gemini => return,
    };
    for (level, names) in [
        (levels.requests, names.requests),
        (levels.tokens, names.tokens),
    ] {
        let Some(level) = level else { continue };
        let reset = match dialect {
            Dialect::Anthropic => moment(now, level.full_in),
            _ => duration(level.full_in),
        };
        let values = [
            level.limit.into(),
            level.remaining.into(),
            super::response::text(&reset),
        ];
        for (name, value) in names.into_iter().zip::<[HeaderValue; 3]>(values) {
            headers.insert(name, value);
        }
    }
}

/// As OpenAI writes it: `6m0s`, `1s`, `120ms`; rounded up to whole milliseconds.
fn duration(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let rest = seconds % 60;
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}").trim_end_matches('0').to_owned()
    };
    match (hours, minutes, seconds) {
        (0, 0, 0) if millis > 0 => format!("{millis}ms"),
        (0, 0, _) => format!("{rest}{fraction}s"),
        (0, ..) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

/// RFC 3339, in whole seconds, rounded up: whoever waits until then has waited long enough.
fn moment(now: SystemTime, wait: Duration) -> String {
    let at = now.duration_since(UNIX_EPOCH).unwrap_or_default() + wait;
    let seconds = at.as_nanos().div_ceil(1_000_000_000);
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok());
    moment.unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::allowance::Levels;

    /// 2027-01-15T08:00:00Z.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn level(limit: u64, remaining: u64, millis: u64) -> Option<crate::access::allowance::Level> {
        Some(crate::access::allowance::Level {
            limit,
            remaining,
            full_in: Duration::from_millis(millis),
        })
    }

    fn written(levels: Levels, dialect: Dialect) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write(&mut headers, &levels, dialect, now());
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().expect("text"))
        };
        headers.iter().map(line).collect()
    }

    #[test]
    fn each_dialect_has_its_own_headers() {
        let levels = Levels {
            requests: level(60, 59, 1_000),
            tokens: level(150_000, 149_984, 360_000),
        };
        assert_eq!(
            written(levels, Dialect::OpenAi),
            [
                "x-ratelimit-limit-requests: 60",
                "x-ratelimit-remaining-requests: 59",
                "x-ratelimit-reset-requests: 1s",
                "x-ratelimit-limit-tokens: 150000",
                "x-ratelimit-remaining-tokens: 149984",
                "x-ratelimit-reset-tokens: 6m0s",
            ]
        );
        let only = Levels {
            tokens: level(10, 0, 1_500),
            ..Levels::default()
        };
        assert_eq!(
            written(only, Dialect::Anthropic),
            [
                "anthropic-ratelimit-tokens-limit: 10",
                "anthropic-ratelimit-tokens-remaining: 0",
                "anthropic-ratelimit-tokens-reset: 2027-01-15T08:00:02Z",
            ]
        );
        assert_eq!(written(levels, Dialect::Gemini), [""; 0]);
        assert_eq!(written(Levels::default(), Dialect::OpenAi), [""; 0]);
    }

    #[test]
    fn durations_are_written_as_openai_does() {
        for (micros, text) in [
            (0, "0s"),
            (1, "1ms"),
            (120_000, "120ms"),
            (1_000_000, "1s"),
            (1_500_000, "1.5s"),
            (59_999_100, "1m0s"),
            (360_000_000, "6m0s"),
            (3_612_020_000, "1h0m12.02s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }
}
