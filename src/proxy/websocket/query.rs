//! A model that the query names (`?model=`): read, and replaced by the provider's own id where that is another. All other
//! bytes of the query stay as the client wrote them.

use std::borrow::Cow;

use crate::access::presented;
use crate::proxy::address;
use crate::proxy::reject::{Code, Rejection};
use crate::surface::Dialect;

/// The parameter.
const MODEL: &str = "model";

/// The name of the model that a query has; none where it has none.
///
/// # Errors
/// [`Code::AmbiguousModel`] where two servers could read two, [`Code::InvalidRequest`] where no model can be called that.
pub fn named(query: &str) -> Result<Option<String>, Rejection> {
    let mut found = None;
    for pair in query.split('&') {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if !presented::percent_decoded(name)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(MODEL.bytes())
        {
            continue;
        }
        if name != MODEL || found.is_some() {
            return Err(Rejection::new(
                Code::AmbiguousModel,
                "The query names `model` twice, with escapes or in other letter case. Write `?model=` once.",
            ));
        }
        found = Some(pair.split_once('=').map_or("", |(_, value)| value));
    }
    let Some(written) = found else {
        return Ok(None);
    };
    // As forms are written.
    let written = written.replace('+', " ");
    let name = address::name(&written, Dialect::OpenAi).map_err(|_| {
        Rejection::new(
            Code::InvalidRequest,
            "`model` in the query is empty, or nothing that a model can be called. Write one, as in `?model=openai:gpt-realtime`.",
        )
    })?;
    Ok(Some(name.into_owned()))
}

/// Whether nothing else stands in a query than the model, and what is taken out of every query.
#[must_use]
pub fn is_plain(query: &str) -> bool {
    let named = |pair: &str| pair.is_empty() || pair.split('=').next() == Some(MODEL);
    let stripped = presented::strip_query(query, &[]);
    stripped.as_deref().unwrap_or(query).split('&').all(named)
}

/// The query with `id` in the place of its model, which it names as `name`.
#[must_use]
pub fn with_model<'q>(query: &'q str, name: &str, id: &str) -> Cow<'q, str> {
    if name == id {
        return Cow::Borrowed(query);
    }
    let mut renamed = String::with_capacity(query.len() + id.len());
    for (nth, pair) in query.split('&').enumerate() {
        if nth > 0 {
            renamed.push('&');
        }
        match pair.split_once('=') {
            Some((MODEL, _)) => {
                renamed.push_str("model=");
                encode(id, &mut renamed);
            }
            _ => renamed.push_str(pair),
        }
    }
    Cow::Owned(renamed)
}

/// Writes a value as every server reads it (RFC 3986, section 3.4; nothing of what forms give another meaning).
fn encode(value: &str, to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(char::from(DIGITS[usize::from(byte >> 4)]));
            to.push(char::from(DIGITS[usize::from(byte & 0x0f)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_read_in_every_encoding() {
        for (query, expected) in [
            ("model=gpt-realtime", Some("gpt-realtime")),
            (
                "a=1&model=openai%3Agpt-realtime&b",
                Some("openai:gpt-realtime"),
            ),
            ("model=openai:gpt-realtime", Some("openai:gpt-realtime")),
            ("model=a+b", Some("a b")),
            ("models=x&call_id=model", None),
            ("", None),
        ] {
            assert_eq!(named(query).expect(query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for query in [
            "model=a&model=a",
            "model=a&m%6fdel=b",
            "m%6Fdel=b",
            "Model=a",
        ] {
            let refused = named(query).expect_err(query);
            assert_eq!(refused.code, Code::AmbiguousModel, "{query}");
        }
        for query in [
            "model",
            "model=",
            "model=%ff",
            "model=..",
            "model=a%0d%0ab",
            "model=%",
        ] {
            let refused = named(query).expect_err(query);
            assert_eq!(refused.code, Code::InvalidRequest, "{query}");
        }
    }

    #[test]
    fn nothing_but_the_model_is_replaced() {
        for (query, name, id, expected) in [
            ("model=openai:x&a=%20+1", "openai:x", "x", "model=x&a=%20+1"),
            (
                "a=1&&model=p%3Ax&b=",
                "p:x",
                "a b&c/d:e",
                "a=1&&model=a%20b%26c/d:e&b=",
            ),
            ("model=%78", "x", "x", "model=%78"),
            ("model=y&models=y", "y", "ü", "model=%C3%BC&models=y"),
        ] {
            assert_eq!(with_model(query, name, id), expected);
        }
    }
}
