//! `tollgate check`: every mistake in configuration and catalog, at once.

use std::path::Path;

use super::serve;
use crate::server::reload;

/// Reads everything as `serve` would, and says what is wrong with it.
///
/// # Errors
/// Every problem found.
pub fn check(path: &Path) -> Result<(), Vec<String>> {
    let loaded = serve::load(path)?;
    let catalog = reload::check(&loaded.files, &loaded.overrides)?;
    println!(
        "{} is good; the catalog is {}, with {} providers and {} models",
        path.display(),
        catalog.version(),
        catalog.providers().len(),
        catalog.models().len()
    );
    Ok(())
}
