//! Behaviour of the catalog as a whole. What belongs to one step stands in that step's file.

mod families;
mod form;
mod found;
mod generated;
mod layers;
mod mistakes;
mod names;
mod origins;
mod overlay;
mod shipped;
mod twin;

use super::{Catalog, Files, Overrides, ProviderId, Unresolved, resolve};

/// The catalog of these files, the later laid over the earlier.
fn catalog(files: &[&str]) -> Catalog {
    match resolve(&texts(files), &Overrides::default()) {
        Ok(catalog) => catalog,
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn texts(files: &[&str]) -> Files {
    let mut all = Files::empty();
    for (position, text) in files.iter().enumerate() {
        all.add_text(&format!("{position}.json"), (*text).to_owned());
    }
    all
}

/// The shipped catalog with `more` laid over it.
fn shipped_and(more: &[&str]) -> Catalog {
    let mut files = Files::builtin();
    for text in more {
        files.add_text("own.json", (*text).to_owned());
    }
    resolve(&files, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The targets of `name` as `provider:upstream`, with a `?` where the model is not in the catalog.
fn targets(
    catalog: &Catalog,
    name: &str,
    pinned: Option<ProviderId>,
) -> Result<Vec<String>, Unresolved> {
    let targets = catalog.lookup(name, pinned)?;
    let text = |target: &super::Target| {
        let unknown = if target.model().is_some() { "" } else { "?" };
        let upstream = catalog.upstream_id(target, name);
        format!(
            "{}:{upstream}{unknown}",
            catalog.provider(target.provider).id
        )
    };
    Ok(targets.iter().map(text).collect())
}
