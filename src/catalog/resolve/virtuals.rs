//! Checks virtual models and adds them to the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::lookup::{NAME_MAX, Target};
use crate::catalog::report::Scope;
use crate::catalog::{Catalog, Virtual};
use crate::table::Table;

/// Models that a virtual model can stand for: as many as there are attempts for a request.
const MODELS_MAX: usize = 10;

/// Adds `written` to `catalog`, which has all else. Unless it is `complete`, a name that means nothing may be one that
/// a file with problems would have given, and is not reported.
pub(super) fn add(
    catalog: &mut Catalog,
    written: &BTreeMap<String, Vec<String>>,
    complete: bool,
    scope: &mut Scope<'_, '_>,
) {
    let mut virtuals = Vec::with_capacity(written.len());
    let mut kept = Vec::new();
    for (name, models) in written {
        let mut scope = scope.within(&["virtual_models", name]);
        check_name(catalog, name, &mut scope);
        if models.is_empty() || models.len() > MODELS_MAX {
            let count = models.len();
            scope.problem(
                &[],
                format!(
                    "a virtual model stands for 1 to {MODELS_MAX} models, this one for {count}"
                ),
            );
        }
        let mut targets: Vec<Target> = Vec::new();
        for (position, model) in models.iter().enumerate() {
            match expand(catalog, name, model, written, complete) {
                Ok(found) => {
                    for target in found {
                        let target = catalog.keep(target, model, &mut kept);
                        if !targets.contains(&target) {
                            targets.push(target);
                        }
                    }
                }
                Err(message) => scope.problem(&[&position.to_string()], message),
            }
        }
        check_clash(catalog, name, &targets, &mut scope);
        virtuals.push(Virtual {
            name: name.as_str().into(),
            targets: targets.into(),
        });
    }
    catalog.kept = kept.into();
    let (mut names, mut folded) = (Table::default(), Table::default());
    for (position, found) in virtuals.iter().enumerate() {
        names.insert(found.name.clone(), position);
        // The first in the order of names, where two differ in case only.
        folded
            .entry(found.name.to_ascii_lowercase().into())
            .or_insert(position);
    }
    (catalog.virtual_names, catalog.virtual_folded) = (Arc::new(names), Arc::new(folded));
    catalog.virtuals = virtuals.into();
}

fn check_name(catalog: &Catalog, name: &str, scope: &mut Scope<'_, '_>) {
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        scope.problem(
            &[],
            format!(
                "the name of a virtual model has 1 to {NAME_MAX} bytes and no control characters"
            ),
        );
    }
    if let Some((left, _)) = name.split_once(':')
        && catalog.provider_by_name(left).is_some()
    {
        scope.problem(
            &[],
            format!(
                "`{left}:` is read as a provider, so this name is never reached; choose another"
            ),
        );
    }
}

/// A name that is the id of a model takes that model from all who ask for it. An operator who wants that lists the model;
/// one who does not list it has hit on the name by accident.
fn check_clash(catalog: &Catalog, name: &str, targets: &[Target], scope: &mut Scope<'_, '_>) {
    let is_id = |target: &&Target| {
        let model = target.model().map(|model| catalog.model(model));
        model.is_some_and(|model| model.id.eq_ignore_ascii_case(name))
    };
    let Ok(meant) = catalog.lookup(name, None) else {
        return;
    };
    let clashing: Vec<_> = meant.iter().filter(is_id).collect();
    let listed = clashing.iter().any(|target| targets.contains(target));
    if let (Some(first), false) = (clashing.first(), listed) {
        let provider = &catalog.provider(first.provider).id;
        let message = format!(
            "`{name}` is the id of a model of provider `{provider}`; choose another name, or list \
             `{provider}:{name}` too, or take that model away"
        );
        scope.problem(&[], message);
    }
}

/// The targets of one entry.
fn expand(
    catalog: &Catalog,
    name: &str,
    entry: &str,
    written: &BTreeMap<String, Vec<String>>,
    complete: bool,
) -> Result<Vec<Target>, String> {
    if entry.eq_ignore_ascii_case(name) {
        return Err(format!(
            "`{entry}` is this virtual model itself; write `provider:{entry}` for a provider's model"
        ));
    }
    if written
        .keys()
        .any(|other| other.eq_ignore_ascii_case(entry))
    {
        return Err(format!(
            "`{entry}` is a virtual model; list the models that it stands for"
        ));
    }
    match catalog.lookup(entry, None) {
        Ok(targets) => Ok(targets.to_vec()),
        Err(_) if !complete => Ok(Vec::new()),
        Err(_) => {
            let near = catalog.nearest(entry);
            let hint = if near.is_empty() {
                String::new()
            } else {
                format!("; there is {}", near.join(", "))
            };
            Err(format!(
                "nothing is called `{entry}`{hint}; a model that the catalog lacks is written `provider:model`"
            ))
        }
    }
}
