//! Configuration and catalog for the commands that only look: no secret is read, nothing is connected to, and the usual
//! configuration may be absent.

use std::path::Path;

use super::{DEFAULT_CONFIG, one, serve};
use crate::catalog::outline::Outline;
use crate::catalog::{Catalog, Files, ProviderId};
use crate::config::Config;
use crate::server::reload;

/// The configuration in `path`. Where nobody has made the usual one, the defaults stand for it.
///
/// # Errors
/// Every problem in it.
pub fn config(path: &Path) -> Result<Config, Vec<String>> {
    let loaded = if path == Path::new(DEFAULT_CONFIG) && !path.exists() {
        Config::parse("", path)
    } else {
        Config::load_values(path)
    };
    loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The catalog that `config` describes.
///
/// # Errors
/// Every problem in it.
pub fn catalog(config: &Config) -> Result<Catalog, Vec<String>> {
    reload::check(&serve::files(config), &serve::overrides(config))
}

/// The catalog with `paths` in the place of the folders that the configuration names.
///
/// # Errors
/// Every problem in it.
pub fn catalog_of(config: &Config, paths: &[&Path]) -> Result<Catalog, Vec<String>> {
    let mut files = if config.catalog.builtin {
        Files::builtin()
    } else {
        Files::empty()
    };
    for path in paths {
        add(&mut files, path)?;
    }
    reload::check(&files, &serve::overrides(config))
}

/// Lays a folder, or one file, over what is there.
fn add(files: &mut Files, path: &Path) -> Result<(), Vec<String>> {
    if path.is_file() {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| one(format!("{}: {error}", path.display())))?;
        files.add_text(&path.display().to_string(), text);
    } else {
        files.add_folder(path);
    }
    Ok(())
}

/// What users see of `catalog` under `config`.
#[must_use]
pub fn outline(config: &Config, catalog: &Catalog) -> Outline {
    Outline::of(catalog, |provider| is_enabled(config, catalog, provider))
}

/// Whether the configuration has a provider switched on.
#[must_use]
pub fn is_enabled(config: &Config, catalog: &Catalog, provider: ProviderId) -> bool {
    let sections = config.providers.iter();
    let mut own = sections.filter(|(name, _)| catalog.provider_by_name(name) == Some(provider));
    own.all(|(_, section)| section.enabled)
}
