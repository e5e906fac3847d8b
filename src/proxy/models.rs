//! `GET /v1/models`, `GET /v1beta/models` and one of them, from the catalog, in the shape that the asking SDK expects,
//! filtered to what the calling key may use.

mod page;
mod shape;

use std::collections::HashSet;

use bytes::Bytes;

use super::reject::{Code, Rejection};
use crate::access::Caller;
use crate::access::policy::Verdict;
use crate::catalog::{Model, ProviderId, Target};
use crate::live::Live;
use crate::surface::Dialect;

pub use page::{Page, decoded, pairs};

/// One row of the list: a name that can be sent as `model`.
pub struct Row<'a> {
    id: &'a str,
    owner: &'a str,
    name: &'a str,
    /// Absent for a virtual model, which may be answered by several.
    model: Option<&'a Model>,
}

impl Row<'_> {
    /// The day of its announced end.
    fn retires(&self) -> Option<&str> {
        self.model.and_then(|model| model.retires.as_deref())
    }
}

/// Who a virtual model is said to belong to.
const OPERATOR: &str = "tollgate";

/// The list, as JSON.
///
/// # Errors
/// [`Code::InvalidRequest`] when the page begins at a model that is not in the list.
pub fn list(
    live: &Live,
    caller: &Caller,
    provider: Option<ProviderId>,
    dialect: Dialect,
    page: &Page,
) -> Result<Bytes, Rejection> {
    let mut rows = visible(live, caller, provider);
    rows.retain(|row| page.wants(shape::lifecycle(row)));
    let ids: Vec<&str> = rows.iter().map(|row| row.id).collect();
    let part = page.part(&ids, dialect)?;
    Ok(Bytes::from(shape::list(&rows, &part, dialect)))
}

/// One model, as JSON.
///
/// # Errors
/// [`Code::ModelNotFound`] when the caller has no model of that name.
pub fn one(
    live: &Live,
    caller: &Caller,
    provider: Option<ProviderId>,
    dialect: Dialect,
    id: &str,
) -> Result<Bytes, Rejection> {
    let rows = visible(live, caller, provider);
    let named = |id: &str| rows.iter().find(|row| row.id == id);
    let row = named(id)
        .or_else(|| named(own_id(live, provider, id)?))
        .ok_or_else(|| {
            Rejection::new(
                Code::ModelNotFound,
                format!(
                    "There is no model `{id}`. GET /v1/models lists those that this key may use."
                ),
            )
        })?;
    let mut text = String::with_capacity(256);
    shape::one(row, dialect, &mut text);
    Ok(Bytes::from(text))
}

/// The id in the list of a model that is written in another way: by an alias, in another case, with a prefix.
fn own_id<'a>(live: &'a Live, provider: Option<ProviderId>, name: &str) -> Option<&'a str> {
    let targets = live.catalog.lookup(name, provider).ok()?;
    let model = targets.first()?.model()?;
    Some(&live.catalog.model(model).id)
}

/// Every name once: the operator's virtual models, then the models in the catalog's order, where
/// the first provider that has a name stands for it.
fn visible<'a>(live: &'a Live, caller: &Caller, only: Option<ProviderId>) -> Vec<Row<'a>> {
    let catalog = &live.catalog;
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    let wanted = |provider: ProviderId| {
        only.is_none_or(|only| only == provider) && live.is_enabled(provider)
    };
    for found in catalog.virtuals() {
        let usable = |target: &Target| {
            let provider = &catalog.provider(target.provider).id;
            let id = catalog.upstream_id(target, "");
            wanted(target.provider) && caller.policy.permits(provider, id) == Verdict::Allowed
        };
        if found.targets().iter().any(usable) && seen.insert(&*found.name) {
            rows.push(Row {
                id: &found.name,
                owner: OPERATOR,
                name: &found.name,
                model: None,
            });
        }
    }
    for model in catalog.listed() {
        let provider = catalog.provider(model.provider);
        let allowed = caller.policy.permits(&provider.id, &model.id) == Verdict::Allowed;
        if allowed && wanted(model.provider) && seen.insert(&*model.id) {
            rows.push(Row {
                id: &model.id,
                owner: &provider.id,
                name: model.name.as_deref().unwrap_or(&model.id),
                model: Some(model),
            });
        }
    }
    rows
}
