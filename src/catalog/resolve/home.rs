//! Where a provider's API begins, for what is no surface: derived from where its surfaces are.

use super::routes;
use crate::catalog::file::File;
use crate::catalog::provider::{Auth, Home, Route};
use crate::surface::TABLE;

/// The home of the provider of these routes, whose base URL ends in `prefix`.
pub(super) fn home(file: &File, prefix: &str, provider_routes: &[Option<Route>]) -> Home {
    // Mistakes in these are told where the surfaces are read.
    let auth = file
        .auth
        .as_deref()
        .and_then(|text| routes::auth(text).ok());
    let common = file.headers.iter().flat_map(|headers| &headers.0);
    let common: Box<[_]> = common
        .filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some((name.to_ascii_lowercase().into(), value.into()))
        })
        .collect();
    let root = root(provider_routes).unwrap_or(prefix);
    let below_root = |route: &&Route| route.path.starts_with(&format!("{root}/"));
    let beside = provider_routes.iter().flatten().find(|it| !below_root(it));
    let usual = |path: &str| Route {
        path: path.into(),
        query: None,
        auth: auth.clone().unwrap_or(Auth::Bearer),
        headers: common.clone(),
        include_usage: false,
        max_completion_tokens: false,
    };
    let mut other = usual(prefix);
    if let Some(beside) = beside {
        other.auth = beside.auth.clone();
        other.headers.clone_from(&beside.headers);
    }
    Home {
        root: root.into(),
        own: usual(root),
        other,
    }
}

/// What the path of a surface has before the path that clients know.
fn root(routes: &[Option<Route>]) -> Option<&str> {
    TABLE.iter().find_map(|row| {
        let route = routes[row.surface as usize].as_ref()?;
        let root = route.path.strip_suffix(row.path)?;
        (!root.contains('{')).then_some(root)
    })
}
