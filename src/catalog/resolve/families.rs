//! Checks and builds what files say of families, and picks the models that are meant by their names.

use std::collections::{HashMap, HashSet};

use crate::catalog::Family;
use crate::catalog::file::Status;
use crate::catalog::model::Model;
use crate::catalog::names::Likeness;
use crate::catalog::overlay::Families;
use crate::catalog::report::Scope;

/// The names of families that the operator has switched off.
pub(super) fn disabled(written: &Families) -> HashSet<&str> {
    let off = written.0.iter().filter(|(_, entry)| {
        entry
            .as_ref()
            .is_some_and(|entry| entry.disabled == Some(true))
    });
    off.map(|(name, _)| name.as_str()).collect()
}

/// The families that are not switched off, by name.
pub(super) fn families(
    written: &Families,
    models: &[Model],
    complete: bool,
    scope: &mut Scope<'_, '_>,
) -> Box<[Family]> {
    let mut families = Vec::with_capacity(written.0.len());
    for (name, entry) in &written.0 {
        let Some(entry) = entry else { continue };
        if entry.disabled != Some(true) {
            families.push(Family {
                name: name.as_str().into(),
                same: entry.same,
                note: entry.note.clone(),
                confidence: entry.conf,
            });
            continue;
        }
        // Whoever switches off a family that nobody has got its name wrong.
        let is_of = |model: &Model| model.family.as_deref() == Some(name);
        if complete && !models.iter().any(is_of) {
            let message =
                format!("no model is of a family `{name}`; mend the name or take this away");
            scope.problem(&["families", name], message);
        }
    }
    families.into()
}

/// The family that can be asked for in the place of this model: it is offered, and nothing sets it apart from the plain
/// model of the family.
pub(super) fn stands_for(model: &Model) -> Option<&str> {
    let family = model.family.as_deref()?;
    (model.status == Status::Active && model.variant.is_none()).then_some(family)
}

/// For each of a provider's models how near its id is to the name of its family, if it is the nearest: the one that is
/// meant by that name. None for a family in `disabled`.
pub(super) fn stand_ins(models: &[Model], disabled: &HashSet<&str>) -> Vec<Option<Likeness>> {
    let mut nearest: HashMap<&str, (Likeness, usize)> = HashMap::new();
    for (position, model) in models.iter().enumerate() {
        if let Some(family) = stands_for(model).filter(|family| !disabled.contains(family)) {
            let candidate = (likeness(model, family), position);
            let best = nearest.entry(family).or_insert(candidate);
            *best = candidate.min(*best);
        }
    }
    let mut stand_ins = vec![None; models.len()];
    for (likeness, position) in nearest.into_values() {
        stand_ins[position] = Some(likeness);
    }
    stand_ins
}

fn likeness(model: &Model, family: &str) -> Likeness {
    let last = model.id.rsplit('/').next().unwrap_or(&model.id);
    if last.eq_ignore_ascii_case(family) {
        Likeness::Same
    } else if model.created.is_none() {
        Likeness::Undated
    } else {
        Likeness::Dated
    }
}
