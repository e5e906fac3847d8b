//! Base URLs and the paths below them. Text in, parts out; nothing is resolved or connected here.

use std::borrow::Cow;

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The port that a URL need not say.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A base URL in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BaseUrl<'t> {
    pub(super) scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    pub(super) host: &'t str,
    pub(super) port: u16,
    /// Empty, or with a slash at its start and none at its end.
    pub(super) prefix: &'t str,
}

/// # Errors
/// What is wrong with the text and what to write.
pub(super) fn parse(text: &str) -> Result<BaseUrl<'_>, String> {
    if let Some(open) = text.find('{') {
        let close = text[open..]
            .find('}')
            .map_or(text.len(), |length| open + length + 1);
        return Err(format!(
            "`{text}` still has the placeholder `{}`; write the whole URL",
            &text[open..close]
        ));
    }
    let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
        (Scheme::Https, rest)
    } else if let Some(rest) = text.strip_prefix("http://") {
        (Scheme::Http, rest)
    } else {
        return Err(format!(
            "`{text}` is no base URL; it begins with https:// or http://"
        ));
    };
    let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !text.bytes().all(|byte| byte.is_ascii_graphic())
        || text.contains(['?', '#', '\\', '%', '"', '<', '>'])
    {
        return Err(format!(
            "`{text}` has characters that a base URL cannot have; it is scheme, host, port and path"
        ));
    }
    if authority.contains('@') {
        return Err(
            "a base URL holds no user or password; credentials are configured apart from it"
                .to_owned(),
        );
    }
    let (host, port) = split_port(authority, scheme).ok_or_else(|| {
        format!("`{text}` has no valid host and port; write it as https://api.example.com or http://127.0.0.1:8000")
    })?;
    Ok(BaseUrl {
        scheme,
        host,
        port,
        prefix: prefix.trim_end_matches('/'),
    })
}

fn split_port(authority: &str, scheme: Scheme) -> Option<(&str, u16)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, port)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if host.is_empty() || !host.bytes().all(valid) {
            return None;
        }
        (host, port)
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, scheme.default_port())),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port = digits.parse().ok().filter(|port| *port != 0)?;
            Some((host, port))
        }
        _ => None,
    }
}

/// The path of a surface below `prefix`: each `../` at its start takes one segment of the prefix away, and what would
/// begin with `/v1/v1` begins with `/v1`, since people write a base URL with and without it.
///
/// # Errors
/// What is wrong with `path` and what to write.
pub(super) fn join(prefix: &str, path: &str) -> Result<String, String> {
    let mut prefix = prefix;
    let mut rest = path;
    while let Some(after) = rest.strip_prefix("../") {
        prefix = &prefix[..prefix.rfind('/').unwrap_or(0)];
        rest = after;
    }
    let rest = if rest.len() == path.len() {
        path.strip_prefix('/')
    } else {
        Some(rest)
    };
    let Some(rest) = rest else {
        return Err(format!("`{path}` is no path; it begins with `/` or `../`"));
    };
    let valid = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>%".contains(&byte);
    let placeholders = rest.replace("{model}", "");
    if !rest.bytes().all(valid)
        || placeholders.contains(['{', '}'])
        || rest.split('/').any(|s| s == "..")
    {
        return Err(format!(
            "`{path}` is no path; a query stands in `query`, and `{{model}}` is the one placeholder"
        ));
    }
    if prefix.ends_with("/v1") && (rest == "v1" || rest.starts_with("v1/")) {
        prefix = &prefix[..prefix.len() - "/v1".len()];
    }
    Ok(format!("{prefix}/{rest}"))
}

/// `path` with `model` in the place of `{model}`, percent-encoded. `None` when the id would not stay one segment of
/// the path: `.` and `..` mean something else there.
pub(super) fn fill<'p>(path: &'p str, model: &str) -> Option<Cow<'p, str>> {
    let Some((before, after)) = path.split_once("{model}") else {
        return Some(Cow::Borrowed(path));
    };
    if matches!(model, "" | "." | "..") {
        return None;
    }
    let mut filled = String::with_capacity(path.len() + model.len());
    filled.push_str(before);
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            filled.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            filled.push('%');
            filled.push(char::from(HEX[usize::from(byte >> 4)]));
            filled.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    filled.push_str(after);
    Some(Cow::Owned(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_falls_into_its_parts() {
        let table = [
            (
                "https://api.openai.com/v1",
                Scheme::Https,
                "api.openai.com",
                443,
                "/v1",
            ),
            (
                "https://api.anthropic.com",
                Scheme::Https,
                "api.anthropic.com",
                443,
                "",
            ),
            (
                "https://api.anthropic.com/",
                Scheme::Https,
                "api.anthropic.com",
                443,
                "",
            ),
            (
                "http://127.0.0.1:9/a/b/",
                Scheme::Http,
                "127.0.0.1",
                9,
                "/a/b",
            ),
            ("http://[::1]:8000/v1", Scheme::Http, "::1", 8000, "/v1"),
            ("http://[::1]", Scheme::Http, "::1", 80, ""),
            ("http://vllm_1:8000", Scheme::Http, "vllm_1", 8000, ""),
        ];
        for (text, scheme, host, port, prefix) in table {
            assert_eq!(
                parse(text),
                Ok(BaseUrl {
                    scheme,
                    host,
                    port,
                    prefix
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        let table = [
            "",
            "api.openai.com",
            "ftp://a",
            "https://",
            "https:///v1",
            "https://a:0",
            "https://a:70000",
            "https://a:x",
            "https://a:",
            "https://a:+1",
            "https://a b",
            "https://a/?x=1",
            "https://a/#x",
            "https://u:p@a",
            "http://[::1",
            "http://[x]:1",
            "https://{resource}.openai.azure.com",
            "https://a/\n",
            "https://ä.example",
        ];
        for text in table {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(
            parse("https://{resource}.azure.com")
                .expect_err("placeholder")
                .contains("`{resource}`")
        );
        assert!(
            !parse("https://user:hunter2@a")
                .expect_err("password")
                .contains("hunter2")
        );
    }

    #[test]
    fn a_path_is_joined_below_the_prefix() {
        let table = [
            ("/v1", "/chat/completions", "/v1/chat/completions"),
            ("", "/v1/messages", "/v1/messages"),
            ("/v1", "/v1/messages", "/v1/messages"),
            ("/proxy/v1", "/v1/messages", "/proxy/v1/messages"),
            ("/v1", "../anthropic/v1/messages", "/anthropic/v1/messages"),
            (
                "/api/paas/v4",
                "../../anthropic/v1/messages",
                "/api/anthropic/v1/messages",
            ),
            (
                "/proxy/moonshot/v1",
                "../anthropic/v1/messages",
                "/proxy/moonshot/anthropic/v1/messages",
            ),
            ("", "../anthropic/v1/messages", "/anthropic/v1/messages"),
            ("/v1", "../", "/"),
            (
                "/openai",
                "/deployments/{model}/embeddings",
                "/openai/deployments/{model}/embeddings",
            ),
        ];
        for (prefix, path, expected) in table {
            assert_eq!(
                join(prefix, path).as_deref(),
                Ok(expected),
                "{prefix} + {path}"
            );
        }
        for path in [
            "",
            "chat",
            "..",
            "/a?b=c",
            "/a/../b",
            "/a b",
            "/{deployment}/x",
            "/a\r\nb",
        ] {
            assert!(join("/v1", path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_model_in_a_path_stays_one_segment() {
        let path = "/openai/deployments/{model}/chat/completions";
        let filled = |model| fill(path, model).map(Cow::into_owned);
        assert_eq!(
            filled("gpt-4o").as_deref(),
            Some("/openai/deployments/gpt-4o/chat/completions")
        );
        assert_eq!(
            filled("a/b?c é").as_deref(),
            Some("/openai/deployments/a%2Fb%3Fc%20%C3%A9/chat/completions")
        );
        assert_eq!([filled(""), filled("."), filled("..")], [None, None, None]);
        assert!(matches!(
            fill("/v1/messages", ".."),
            Some(Cow::Borrowed("/v1/messages"))
        ));
    }
}
