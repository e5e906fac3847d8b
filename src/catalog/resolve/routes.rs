//! How a provider serves each surface: path, key and headers, checked.

use std::collections::BTreeMap;

use crate::catalog::file::{File, Kind, ListEntry, Members, SurfaceEntry};
use crate::catalog::provider::{Auth, Route};
use crate::catalog::report::Scope;
use crate::catalog::url;
use crate::surface::{self, Surface};

/// Headers that the gateway sets itself, or that belong to the connection.
const HEADERS_OWN: [&str; 10] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The kinds of models that each surface serves, where the file says it.
pub(super) type Kinds = [Option<Vec<Kind>>; surface::COUNT];

pub(super) fn routes(
    file: &File,
    prefix: &str,
    scope: &mut Scope<'_, '_>,
) -> ([Option<Route>; surface::COUNT], Kinds) {
    let mut routes = [const { None }; surface::COUNT];
    let mut kinds: Kinds = Default::default();
    let auth = file.auth.as_deref().map_or(Ok(Auth::Bearer), auth);
    let auth = scope.check(&["auth"], auth).unwrap_or(Auth::Bearer);
    let common = headers(
        file.headers.as_ref(),
        &HEADERS_OWN,
        &mut scope.within(&["headers"]),
    );
    for (name, entry) in file.surfaces.iter().flat_map(|surfaces| &surfaces.0) {
        let Some(entry) = entry else { continue };
        let mut scope = scope.within(&["surfaces", name]);
        let Some(surface) = scope.check(
            &[],
            surface(name, "facts on others belong in `other_surfaces`"),
        ) else {
            continue;
        };
        kinds[surface as usize].clone_from(&entry.kinds);
        routes[surface as usize] = route(entry, prefix, &auth, &common, &mut scope);
    }
    let said = file
        .surfaces
        .iter()
        .flat_map(|surfaces| surfaces.0.values())
        .flatten()
        .count();
    if said == 0 {
        let message = "no surface is served: say which and where, such as {\"chat\": {\"path\": \"/chat/completions\"}}, \
            or name a \"preset\" that does";
        scope.problem(&["provider"], message);
    }
    (routes, kinds)
}

/// Where the provider lists its models, for those who are to ask.
pub(super) fn model_lists(file: &File, prefix: &str, scope: &mut Scope<'_, '_>) -> Box<[Route]> {
    let auth = file.auth.as_deref().map_or(Ok(Auth::Bearer), auth);
    // Mistakes in these two are told where the surfaces are read.
    let auth = auth.unwrap_or(Auth::Bearer);
    let common = file.headers.iter().flat_map(|headers| &headers.0);
    let common = common
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.clone()?)))
        .collect();
    let usual = [ListEntry {
        path: "/models".to_owned(),
        query: None,
        headers: None,
        note: None,
    }];
    let written = file.model_lists.as_deref().unwrap_or(&usual);
    if written.is_empty() && file.discover == Some(true) {
        scope.problem(
            &["discover"],
            "what this provider lists is not what requests can ask for; write its models under `models`",
        );
    }
    let mut list = |(position, entry): (usize, &ListEntry)| {
        let position = position.to_string();
        let mut scope = scope.within(&["model_lists", &position]);
        let entry = SurfaceEntry {
            path: Some(entry.path.clone()),
            query: entry.query.clone(),
            headers: entry.headers.clone(),
            ..SurfaceEntry::default()
        };
        route(&entry, prefix, &auth, &common, &mut scope)
    };
    written.iter().enumerate().filter_map(&mut list).collect()
}

/// The surface of that name.
pub(super) fn surface(name: &str, others: &str) -> Result<Surface, String> {
    Surface::from_name(name).ok_or_else(|| {
        let known: Vec<_> = surface::TABLE.iter().map(|row| row.name).collect();
        format!(
            "`{name}` is no surface that is routed; there are {}; {others}",
            known.join(", ")
        )
    })
}

pub(super) type Headers = BTreeMap<String, String>;

fn route(
    entry: &SurfaceEntry,
    prefix: &str,
    auth: &Auth,
    common: &Headers,
    scope: &mut Scope<'_, '_>,
) -> Option<Route> {
    let auth = match &entry.auth {
        Some(text) => scope.check(&["auth"], self::auth(text))?,
        None => auth.clone(),
    };
    let mut all = common.clone();
    all.extend(headers(
        entry.headers.as_ref(),
        &HEADERS_OWN,
        &mut scope.within(&["headers"]),
    ));
    if let Some(query) = &entry.query
        && !query
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"#?\"<>{}".contains(&byte))
    {
        scope.problem(
            &["query"],
            format!("`{query}` is no query; write it without `?`, as \"api-version=2024-10-21\""),
        );
    }
    let Some(path) = &entry.path else {
        scope.problem(
            &[],
            "no \"path\": say where the surface is served, such as \"/chat/completions\"",
        );
        return None;
    };
    let path = scope.check(&["path"], url::join(prefix, path))?;
    Some(Route {
        path: path.into(),
        query: entry
            .query
            .as_deref()
            .filter(|query| !query.is_empty())
            .map(Into::into),
        auth,
        headers: all
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        include_usage: entry.include_usage == Some(true),
        max_completion_tokens: entry.max_completion_tokens == Some(true),
    })
}

pub(super) fn auth(text: &str) -> Result<Auth, String> {
    match text.split_once(':') {
        None if text == "none" => Ok(Auth::None),
        None if text == "bearer" => Ok(Auth::Bearer),
        Some(("header", name)) if is_token(name) => {
            Ok(Auth::Header(name.to_ascii_lowercase().into()))
        }
        _ => Err(format!(
            "`{text}` is no way to send a key: \"none\", \"bearer\", or \"header:x-api-key\" and the like"
        )),
    }
}

/// By lower-case name; `own` are those that a file does not set.
pub(super) fn headers(
    written: Option<&Members<String, Option<String>>>,
    own: &[&str],
    scope: &mut Scope<'_, '_>,
) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in written.iter().flat_map(|members| &members.0) {
        let Some(value) = value else { continue };
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            scope.problem(&[name], format!("`{name}` is no name of a header"));
        } else if own.contains(&lower.as_str()) || lower.starts_with("tollgate-") {
            scope.problem(
                &[name],
                format!("`{name}` is set by the gateway; take it away"),
            );
        } else if value.is_empty()
            || !value
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            scope.problem(&[name], "the value of a header is visible ASCII");
        } else {
            headers.insert(lower, value.clone());
        }
    }
    headers
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
