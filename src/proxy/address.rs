//! Request path → what is asked for. Accepted base URLs: `/`, `/v1`, `/{provider}`,
//! `/{provider}/v1`; a doubled `/v1/v1` counts once.

use crate::surface::{Surface, TABLE};

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// A surface, of one provider when the path names it.
    Surface {
        /// Which API shape.
        surface: Surface,
        /// The provider that the path names.
        provider: Option<&'a str>,
    },
    /// The list of models, of one provider when the path names it.
    Models {
        /// The provider that the path names.
        provider: Option<&'a str>,
        /// Whether it is asked for at Gemini's path.
        gemini: bool,
    },
    /// One model.
    Model {
        /// The provider that the path names.
        provider: Option<&'a str>,
        /// Whether it is asked for at Gemini's path.
        gemini: bool,
        /// The model's name as written in the path (percent-encoded).
        id: &'a str,
    },
    /// What would become of a request.
    Explain,
    /// What the caller's account has.
    Credit,
    /// What became of a request of the caller's account.
    Request {
        /// Its id, as written.
        id: &'a str,
    },
    /// The liveness probe.
    Health,
    /// Nothing that is served here.
    Unknown,
}

/// Where a request is explained instead of sent.
pub const EXPLAIN: &str = "/tollgate/v1/explain";

/// Where callers are told what their account has.
pub const CREDIT: &str = "/tollgate/v1/credit";

/// Below it, callers are told what became of their requests.
pub const REQUESTS: &str = "/tollgate/v1/requests/";

/// Reads `path`, which begins with a slash and has no query. `is_provider` knows ids and aliases.
#[must_use]
pub fn parse<'a>(path: &'a str, is_provider: impl Fn(&str) -> bool) -> Address<'a> {
    match path {
        "/healthz" => return Address::Health,
        EXPLAIN => return Address::Explain,
        CREDIT => return Address::Credit,
        _ => {}
    }
    if let Some(id) = path.strip_prefix(REQUESTS) {
        return match id {
            "" => Address::Unknown,
            id => Address::Request { id },
        };
    }
    let (provider, below) = match first_segment(path) {
        Some((first, rest)) if !rest.is_empty() && first != "v1" && is_provider(first) => {
            (Some(first), rest)
        }
        _ => (None, path),
    };
    if let Some(models) = below.strip_prefix("/v1beta") {
        return self::models(models, provider, true);
    }
    let below = without_v1(without_v1(below));
    if let Some(row) = TABLE.iter().find(|row| row.path == below) {
        return Address::Surface {
            surface: row.surface,
            provider,
        };
    }
    models(below, provider, false)
}

/// The list, or one of it.
fn models<'a>(below: &'a str, provider: Option<&'a str>, gemini: bool) -> Address<'a> {
    match below.strip_prefix("/models") {
        Some("" | "/") => Address::Models { provider, gemini },
        Some(id) if id.starts_with('/') => Address::Model {
            provider,
            gemini,
            id: &id[1..],
        },
        _ => Address::Unknown,
    }
}

/// `/a/b/c` → `a` and `/b/c`.
fn first_segment(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    let end = path.find('/').unwrap_or(path.len());
    Some(path.split_at(end))
}

fn without_v1(path: &str) -> &str {
    match path.strip_prefix("/v1") {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The served path that is nearest to `path`, for the message of a 404.
#[must_use]
pub fn nearest(path: &str) -> String {
    let served = TABLE
        .iter()
        .map(|row| row.path)
        .chain(["/models"])
        .map(|path| format!("/v1{path}"))
        .chain(["/v1beta/models", EXPLAIN, CREDIT, REQUESTS].map(str::to_owned));
    let likeness = |served: &String| strsim::sorensen_dice(served, path);
    let nearest = served.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> Address<'_> {
        parse(path, |name| {
            matches!(name, "openai" | "anthropic" | "models")
        })
    }

    fn surface(surface: Surface, provider: Option<&str>) -> Address<'_> {
        Address::Surface { surface, provider }
    }

    #[test]
    fn every_accepted_base_url_reaches_the_surface() {
        for path in [
            "/chat/completions",
            "/v1/chat/completions",
            "/v1/v1/chat/completions",
        ] {
            assert_eq!(parsed(path), surface(Surface::Chat, None), "{path}");
        }
        for path in ["/openai/chat/completions", "/openai/v1/chat/completions"] {
            assert_eq!(
                parsed(path),
                surface(Surface::Chat, Some("openai")),
                "{path}"
            );
        }
        assert_eq!(
            parsed("/anthropic/v1/messages/count_tokens"),
            surface(Surface::CountTokens, Some("anthropic"))
        );
    }

    #[test]
    fn models_are_listed_and_named() {
        let list = |provider, gemini| Address::Models { provider, gemini };
        for path in ["/v1/models", "/models", "/v1/models/"] {
            assert_eq!(parsed(path), list(None, false), "{path}");
        }
        assert_eq!(parsed("/v1beta/models"), list(None, true));
        assert_eq!(parsed("/openai/v1beta/models"), list(Some("openai"), true));
        for (path, provider, gemini, id) in [
            ("/openai/v1/models/gpt-4o", Some("openai"), false, "gpt-4o"),
            (
                "/v1/models/anthropic/claude",
                None,
                false,
                "anthropic/claude",
            ),
            ("/v1beta/models/gpt-4o", None, true, "gpt-4o"),
        ] {
            let one = Address::Model {
                provider,
                gemini,
                id,
            };
            assert_eq!(parsed(path), one, "{path}");
        }
    }

    #[test]
    fn callers_ask_for_their_credit_and_their_requests() {
        assert_eq!(parsed("/tollgate/v1/credit"), Address::Credit);
        assert_eq!(
            parsed("/tollgate/v1/requests/req_1"),
            Address::Request { id: "req_1" }
        );
        assert_eq!(nearest("/tollgate/v1/credits"), "/tollgate/v1/credit");
    }

    #[test]
    fn everything_else_is_unknown() {
        for path in [
            "/tollgate/v1/requests/",
            "/tollgate/v1/requests",
            "/tollgate/v1/credit/",
            "/",
            "/v1",
            "/v1/",
            "/v2/chat/completions",
            "/nobody/v1/messages",
            "/v1/v1/v1/messages",
            "/v1beta",
            "/v1beta/messages",
            "/v1beta/v1/models",
        ] {
            assert_eq!(parsed(path), Address::Unknown, "{path}");
        }
    }

    #[test]
    fn the_nearest_path_is_offered() {
        assert_eq!(nearest("/api/completions"), "/v1/completions");
        assert_eq!(nearest("/v1/chat"), "/v1/chat/completions");
        assert_eq!(nearest("/v1/model"), "/v1/models");
        assert_eq!(nearest("/v2/embeddings"), "/v1/embeddings");
    }
}
