//! Request path → what is asked for. Accepted base URLs: `/`, `/v1`, `/{provider}`, `/{provider}/v1`, and below
//! `/{provider}` what the provider's own base URL ends in (`/groq/openai/v1`). A doubled `/v1/v1` counts once, as do
//! slashes that are doubled or stand at the end.

mod in_path;

use crate::catalog::Catalog;
use crate::surface::{ModelAt, Spec, Surface, TABLE};

pub use in_path::{checked, name};

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
    /// A surface, of a model that the path names.
    InPath {
        /// Which API shape.
        surface: Surface,
        /// The provider that the path names.
        provider: Option<&'a str>,
        /// The model's name as written in the path (percent-encoded), see [`name`].
        model: &'a str,
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
    /// A base URL itself: somebody looks whether anybody is there.
    Base,
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
    /// Nothing that Tollgate knows by itself.
    Unknown {
        /// The provider that the path names.
        provider: Option<&'a str>,
    },
}

/// Where a request is explained instead of sent.
pub const EXPLAIN: &str = "/tollgate/v1/explain";

/// Where callers are told what their account has.
pub const CREDIT: &str = "/tollgate/v1/credit";

/// Below it, callers are told what became of their requests.
pub const REQUESTS: &str = "/tollgate/v1/requests/";

/// What is to be known of providers.
pub trait Providers {
    /// Whether it is the id or an alias of one.
    fn knows(&self, name: &str) -> bool;
    /// Where its API begins: what its own paths have before those of the surfaces, as `/openai/v1`.
    fn root(&self, name: &str) -> &str;
    /// The surface that it serves at exactly this path, which has no slash at its start.
    fn at(&self, name: &str, path: &str) -> Option<Surface>;
}

impl Providers for Catalog {
    fn knows(&self, name: &str) -> bool {
        self.provider_by_name(name).is_some()
    }

    fn root(&self, name: &str) -> &str {
        self.provider_by_name(name)
            .map_or("", |id| &self.provider(id).home.root)
    }

    fn at(&self, name: &str, path: &str) -> Option<Surface> {
        let provider = self.provider(self.provider_by_name(name)?);
        let serves_there = |surface: &Surface| {
            let route = provider.route(*surface);
            route.is_some_and(|route| route.path.strip_prefix('/') == Some(path))
        };
        provider.surfaces.iter().find(serves_there)
    }
}

/// A path in its parts, none of which has a slash at its start or its end.
struct Parts<'a> {
    provider: Option<&'a str>,
    /// What follows the provider.
    below: &'a str,
    /// The same without what base URLs may end in.
    rest: &'a str,
    /// The same with the version of the API, where that is not the usual one.
    versioned: &'a str,
    /// Whether that is Gemini's.
    gemini: bool,
}

impl<'a> Parts<'a> {
    fn of(path: &'a str, providers: &impl Providers) -> Self {
        let whole = path.trim_matches('/');
        let (first, after) = whole.split_once('/').unwrap_or((whole, ""));
        let provider = Some(first).filter(|first| *first != "v1" && providers.knows(first));
        let below = match provider {
            Some(_) => after.trim_start_matches('/'),
            None => whole,
        };
        let root = provider.map_or("", |name| providers.root(name));
        let own = without(below, root.trim_matches('/'));
        let rest = own.unwrap_or(below);
        let rest = without(rest, "v1").unwrap_or(rest);
        let rest = without(rest, "v1").unwrap_or(rest);
        // What Gemini's API has for clients of OpenAI's.
        let rest = without(rest, "v1beta/openai").unwrap_or(rest);
        let beta = without(rest, "v1beta");
        Self {
            provider,
            below,
            rest: beta.unwrap_or(rest),
            versioned: rest,
            gemini: beta.is_some(),
        }
    }
}

/// Reads `path`, which begins with a slash and has no query.
#[must_use]
pub fn parse<'a>(path: &'a str, providers: &impl Providers) -> Address<'a> {
    match path {
        "/healthz" => return Address::Health,
        EXPLAIN => return Address::Explain,
        CREDIT => return Address::Credit,
        _ => {}
    }
    if let Some(surface) = usual(path) {
        return Address::Surface {
            surface,
            provider: None,
        };
    }
    if let Some(id) = path.strip_prefix(REQUESTS) {
        return match id {
            "" => Address::Unknown { provider: None },
            id => Address::Request { id },
        };
    }
    if let Some(address) = in_path::parse(path, |name| providers.knows(name)) {
        return address;
    }
    let parts = Parts::of(path, providers);
    let provider = parts.provider;
    if parts.rest.is_empty() {
        return Address::Base;
    }
    if !parts.gemini {
        let known = TABLE.iter().find(|row| &row.path[1..] == parts.rest);
        let own = || provider.and_then(|name| providers.at(name, parts.below));
        if let Some(surface) = known.map(|row| row.surface).or_else(own) {
            return Address::Surface { surface, provider };
        }
    }
    models(&parts)
}

/// The surface at the path that most requests have: below `/v1`, without anything that could be read otherwise. Comes to
/// what the parts would, at a fraction of their cost.
fn usual(path: &str) -> Option<Surface> {
    let rest = path.strip_prefix("/v1")?;
    let is_it = |row: &&Spec| row.model_at != ModelAt::Path && row.path == rest;
    TABLE.iter().find(is_it).map(|row| row.surface)
}

/// The list, or one of it.
fn models<'a>(parts: &Parts<'a>) -> Address<'a> {
    let Parts {
        provider, gemini, ..
    } = *parts;
    match without(parts.rest, "models") {
        Some("") => Address::Models { provider, gemini },
        Some(id) => Address::Model {
            provider,
            gemini,
            id,
        },
        None => Address::Unknown { provider },
    }
}

/// What a path means to one provider only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Below<'a> {
    /// Without a slash at its start; what else stands there is as the client wrote it.
    pub path: &'a str,
    /// Whether it is where the provider's API begins, rather than another version of it.
    pub at_home: bool,
}

/// Reads a path that is passed on.
#[must_use]
pub fn below<'a>(path: &'a str, providers: &impl Providers) -> Below<'a> {
    let rest = Parts::of(path, providers).versioned;
    let end = path.trim_end_matches('/').len();
    let first = rest.split('/').next().unwrap_or_default();
    let number = first.strip_prefix('v').and_then(|it| it.bytes().next());
    Below {
        path: &path[end.saturating_sub(rest.len())..],
        at_home: !number.is_some_and(|digit| digit.is_ascii_digit()),
    }
}

/// `path` behind these segments at its start, if they are there.
fn without<'a>(path: &'a str, segments: &str) -> Option<&'a str> {
    let rest = Some(path.strip_prefix(segments)?).filter(|_| !segments.is_empty())?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
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

    /// Three providers: `groq`, whose API begins at `/openai/v1`, and two whose begins at `/v1`.
    struct Some3;

    impl Providers for Some3 {
        fn knows(&self, name: &str) -> bool {
            matches!(name, "openai" | "anthropic" | "groq")
        }

        fn root(&self, name: &str) -> &str {
            if name == "groq" { "/openai/v1" } else { "/v1" }
        }

        fn at(&self, name: &str, path: &str) -> Option<Surface> {
            (name == "groq" && path == "special/talk").then_some(Surface::Chat)
        }
    }

    fn parsed(path: &str) -> Address<'_> {
        parse(path, &Some3)
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
            "/v1//chat/completions",
            "//v1/chat/completions/",
            "/v1beta/openai/chat/completions",
        ] {
            assert_eq!(parsed(path), surface(Surface::Chat, None), "{path}");
        }
        for path in [
            "/openai/chat/completions",
            "/openai/v1/chat/completions",
            "/openai//v1/v1/chat/completions",
        ] {
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
    fn below_a_provider_its_own_paths_are_known() {
        for path in [
            "/groq/openai/v1/chat/completions",
            "/groq/v1/chat/completions",
            "/groq/special/talk",
        ] {
            assert_eq!(parsed(path), surface(Surface::Chat, Some("groq")), "{path}");
        }
        let list = Address::Models {
            provider: Some("groq"),
            gemini: false,
        };
        assert_eq!(parsed("/groq/openai/v1/models"), list);
        // Of another provider it is nothing.
        let unknown = |provider| Address::Unknown { provider };
        assert_eq!(
            parsed("/anthropic/openai/v1/messages"),
            unknown(Some("anthropic"))
        );
        assert_eq!(parsed("/special/talk"), unknown(None));
    }

    #[test]
    fn models_are_listed_and_named() {
        let list = |provider, gemini| Address::Models { provider, gemini };
        for path in ["/v1/models", "/models", "/v1/models/", "/v1/v1/models"] {
            assert_eq!(parsed(path), list(None, false), "{path}");
        }
        for path in ["/v1beta/models", "/v1/v1beta/models"] {
            assert_eq!(parsed(path), list(None, true));
        }
        assert_eq!(parsed("/openai/v1beta/models"), list(Some("openai"), true));
        for (path, provider, gemini, id) in [
            ("/openai/v1/models/gpt-4o", Some("openai"), false, "gpt-4o"),
            (
                "/v1/models/anthropic/claude/",
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
    fn a_base_url_itself_is_known() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/v1",
            "/v1beta",
            "/openai",
            "/openai/v1/",
            "/groq/openai/v1",
        ] {
            assert_eq!(parsed(path), Address::Base, "{path}");
        }
    }

    #[test]
    fn everything_else_is_unknown() {
        for (path, provider) in [
            ("/v2/chat/completions", None),
            ("/nobody/v1/messages", None),
            ("/v1/v1/v1/messages", None),
            ("/v1beta/messages", None),
            ("/v1beta/v1/models", None),
            ("/v1x/messages", None),
            ("/v1/files", None),
            ("/openai/v1/files", Some("openai")),
        ] {
            assert_eq!(parsed(path), Address::Unknown { provider }, "{path}");
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
    fn what_is_passed_on_keeps_its_writing() {
        for (path, rest, at_home) in [
            ("/openai/v1/files", "files", true),
            (
                "/openai/files/a%2Fb//content/",
                "files/a%2Fb//content/",
                true,
            ),
            ("/v1/v1/files", "files", true),
            ("/groq/openai/v1/batches", "batches", true),
            ("/openai/v1beta/files", "v1beta/files", false),
            ("/openai/v1/v2/chat", "v2/chat", false),
            ("/openai/v1/videos", "videos", true),
        ] {
            let expected = Below {
                path: rest,
                at_home,
            };
            assert_eq!(below(path, &Some3), expected, "{path}");
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
