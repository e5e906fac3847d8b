//! Azure's clients: they ask below `/openai`, which is no provider's name there, and say by `api-version` which version of
//! the API they speak. That is a part of the address: it goes on to providers that have such a version, and to no other.

use std::borrow::Cow;

/// The parameter that says the version.
const VERSION: &str = "api-version";

/// The path below `/openai` where a client of Azure's asks: there it names no provider.
#[must_use]
pub fn below<'a>(path: &'a str, query: Option<&str>) -> &'a str {
    match path.strip_prefix("/openai") {
        Some(rest) if rest.starts_with('/') && query.is_some_and(|query| says(query, VERSION)) => {
            rest
        }
        _ => path,
    }
}

/// Whether a path is one that only clients of Azure's ask, whatever its query.
fn is_azures(path: &str, query: &str) -> bool {
    path.contains("/deployments/") || (path.starts_with("/openai/") && says(query, VERSION))
}

/// The query of a route and the client's, which came with `path`, as they go upstream together: of a parameter that both
/// have the client's counts, and a version of Azure's goes only where the route has one.
#[must_use]
pub fn queries<'q>(path: &str, route: &'q str, client: &'q str) -> (Cow<'q, str>, Cow<'q, str>) {
    if client.is_empty() {
        return (Cow::Borrowed(route), Cow::Borrowed(client));
    }
    let route_kept = without(route, |pair| says(client, name(pair)));
    let drops = is_azures(path, client) && !says(route, VERSION);
    let client_kept = without(client, |pair| drops && name(pair) == VERSION);
    (route_kept, client_kept)
}

/// A query without the pairs that go.
fn without<'q>(query: &'q str, goes: impl Fn(&str) -> bool) -> Cow<'q, str> {
    if query.is_empty() || !query.split('&').any(&goes) {
        return Cow::Borrowed(query);
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !goes(pair)).collect();
    Cow::Owned(kept.join("&"))
}

fn says(query: &str, wanted: &str) -> bool {
    query.split('&').any(|pair| name(pair) == wanted)
}

fn name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azures_clients_name_no_provider() {
        for (path, query, rest) in [
            ("/openai/responses", Some("api-version=1"), "/responses"),
            ("/openai/v1/models", Some("a=b&api-version=1"), "/v1/models"),
            ("/openai/responses", None, "/openai/responses"),
            (
                "/openai/responses",
                Some("x-api-version=1"),
                "/openai/responses",
            ),
            ("/openai", Some("api-version=1"), "/openai"),
            ("/openais/x", Some("api-version=1"), "/openais/x"),
            ("/groq/responses", Some("api-version=1"), "/groq/responses"),
        ] {
            assert_eq!(below(path, query), rest, "{path}?{query:?}");
        }
    }

    #[test]
    fn a_version_goes_where_there_are_versions_and_is_the_clients() {
        let azure = "/openai/deployments/g/chat/completions";
        for (path, route, client, expected) in [
            (
                azure,
                "api-version=1",
                "api-version=2",
                ["", "api-version=2"],
            ),
            (azure, "api-version=1", "a=b", ["api-version=1", "a=b"]),
            (azure, "", "api-version=2", ["", ""]),
            (azure, "", "a=b&api-version=2&c", ["", "a=b&c"]),
            ("/openai/responses", "", "api-version=2", ["", ""]),
            ("/v1/responses", "", "api-version=2", ["", "api-version=2"]),
            (
                "/v1/responses",
                "x=1&api-version=1",
                "api-version=2",
                ["x=1", "api-version=2"],
            ),
        ] {
            let (one, two) = queries(path, route, client);
            assert_eq!([&*one, &*two], expected, "{path} {route} {client}");
        }
    }
}
