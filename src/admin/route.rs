//! The table of what the admin listener serves: a row a method and path.

use super::AdminApp;
use super::answer::Answer;
use super::fault::{Code, Fault};
use super::openapi::{Schemas, Shape};
use super::operation::Handled;
use super::{api, drain, levels, process, upgrade, versions};
use pingora::protocols::http::ServerSession;

/// A method of HTTP that is served here. `HEAD` is served as `GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Looks.
    Get,
    /// Makes or does.
    Post,
    /// Puts another in its place.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Verb {
    /// As HTTP writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn serves(self, method: &http::Method) -> bool {
        self.as_str() == method.as_str() || (self == Self::Get && *method == http::Method::HEAD)
    }
}

/// Who is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever can connect: load balancers have no token.
    Open,
    /// Whom the guard lets in.
    Guarded,
}

/// A request that found its row.
pub struct Call<'a> {
    /// Its connection.
    pub session: &'a mut ServerSession,
    /// The parts of its path that the row's path names.
    pub params: Params,
    /// Whether the guard would let it in.
    pub allowed: bool,
    /// Who asks, as the audit calls it.
    pub who: &'a str,
}

/// What the path says, by the names in the row's path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(&'static str, String)>);

impl Params {
    /// What stands in the place of `{name}`; empty where the row has no such place.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(named, _)| *named == name);
        found.map_or("", |(_, value)| value)
    }
}

/// One thing that is served.
pub struct Row {
    /// By this method,
    pub verb: Verb,
    /// at this path, in which `{name}` stands for one segment,
    pub path: &'static str,
    /// under this name (`operationId`),
    pub name: &'static str,
    /// which does this,
    pub summary: &'static str,
    /// for these,
    pub access: Access,
    /// in this shape,
    pub describe: fn(&mut Schemas) -> Shape,
    /// by this.
    pub run: for<'a> fn(&'a AdminApp, Call<'a>) -> Handled<'a>,
}

/// Everything that is served, in the order in which it is documented.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let ours = process::ROWS.iter().chain(drain::ROWS);
    let ours = ours.chain(levels::ROWS).chain(upgrade::ROWS);
    ours.chain(versions::ROWS).chain(api::ROWS)
}

/// The row that serves this, and what its path says.
///
/// # Errors
/// [`Code::UnknownPath`] or [`Code::MethodNotAllowed`].
pub fn find(method: &http::Method, path: &str) -> Result<(&'static Row, Params), Fault> {
    let mut allow: Vec<&str> = Vec::new();
    for row in rows() {
        let Some(params) = matched(row.path, path) else {
            continue;
        };
        if row.verb.serves(method) {
            return Ok((row, params));
        }
        allow.push(row.verb.as_str());
        if row.verb == Verb::Get {
            allow.push("HEAD");
        }
    }
    if allow.is_empty() {
        return Err(unknown());
    }
    Err(Fault::method(allow.join(", ")))
}

fn unknown() -> Fault {
    let outside = rows().filter(|row| !row.path.starts_with("/api/"));
    let mut paths: Vec<String> = outside
        .map(|row| match row.verb {
            Verb::Get => row.path.to_owned(),
            verb => format!("{} {}", verb.as_str(), row.path),
        })
        .collect();
    let last = paths.pop().unwrap_or_default();
    let message = format!(
        "unknown path; there are {} and {last}, and the API that /api/v1/openapi.json describes",
        paths.join(", ")
    );
    Fault::new(Code::UnknownPath, message)
}

/// What `path` says in the places that `template` names; `None` where it is another path.
fn matched(template: &'static str, path: &str) -> Option<Params> {
    let mut params = Params::default();
    let mut segments = path.split('/');
    for part in template.split('/') {
        let segment = segments.next()?;
        match name(part) {
            Some(_) if segment.is_empty() => return None,
            Some(name) => params.0.push((name, segment.to_owned())),
            None if part == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(params)
}

/// The name in `{name}`.
fn name(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// The names in a row's path, in order.
pub fn names(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('/').filter_map(name)
}

/// The answer of a row that cannot fail.
pub fn plain<'a>(answer: impl Future<Output = Answer> + Send + 'a) -> Handled<'a> {
    Box::pin(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use std::collections::BTreeSet;

    fn found(method: &Method, path: &str) -> Result<(&'static str, Params), Fault> {
        find(method, path).map(|(row, params)| (row.name, params))
    }

    #[test]
    fn a_path_finds_its_row_and_says_what_it_is_about() {
        let (name, params) = found(&Method::GET, "/api/v1/keys/abc").expect("a row");
        assert_eq!((name, params.get("key")), ("getKey", "abc"));
        assert_eq!(params.get("account"), "");
        let head = found(&Method::HEAD, "/metrics").expect("a row");
        assert_eq!(head, ("getMetrics", Params::default()));
        for path in [
            "/api/v1/keys/",
            "/api/v1/keys/a/b",
            "/api/v1",
            "/",
            "",
            "metrics",
        ] {
            let fault = found(&Method::GET, path).expect_err(path);
            assert_eq!(fault.code, Code::UnknownPath, "{path}");
        }
        let fault = found(&Method::PUT, "/api/v1/keys").expect_err("another method");
        assert_eq!(fault.message, "this path takes GET, HEAD, POST");
    }

    #[test]
    fn names_and_places_are_unique() {
        let names: BTreeSet<_> = rows().map(|row| row.name).collect();
        let places: BTreeSet<_> = rows().map(|row| (row.verb.as_str(), row.path)).collect();
        assert_eq!(
            (names.len(), places.len()),
            (rows().count(), rows().count())
        );
    }

    #[test]
    fn only_what_load_balancers_ask_for_is_open() {
        let open = rows().filter(|row| row.access == Access::Open);
        let open: Vec<_> = open.map(|row| row.path).collect();
        assert_eq!(open, ["/healthz", "/readyz"]);
    }
}
