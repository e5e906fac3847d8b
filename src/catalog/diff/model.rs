//! What changes of one model: where it is served, what it costs, how much it takes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Kind};
use crate::catalog::file::{Decimal, Status};
use crate::catalog::outline::{ModelOutline, ProviderOutline};
use crate::catalog::price;

/// The changes of a model, each side with its provider.
pub(super) fn model(
    subject: &str,
    (was, was_at): (&ModelOutline, &ProviderOutline),
    (is, is_at): (&ModelOutline, &ProviderOutline),
    changes: &mut Vec<Change>,
) {
    match (was.status, is.status) {
        (Status::Removed, _) => return,
        (_, Status::Removed) => {
            changes.push(Change::new(Kind::ModelGone, subject));
            return;
        }
        (before, Status::Deprecated) if before != Status::Deprecated => {
            let mut change = Change::new(Kind::ModelDeprecated, subject);
            change.after.clone_from(&is.retires);
            changes.push(change);
        }
        _ => {}
    }
    // What the provider as a whole has lost or won has been said.
    let own = |model: &BTreeSet<String>, other: &BTreeSet<String>| -> BTreeSet<String> {
        model.intersection(other).cloned().collect()
    };
    let was_on = own(&was.surfaces, &is_at.surfaces);
    let is_on = own(&is.surfaces, &was_at.surfaces);
    surfaces(subject, &was_on, &is_on, changes);
    price(subject, was.price.as_ref(), is.price.as_ref(), changes);
    limit(subject, "context", was.context, is.context, changes);
    limit(
        subject,
        "max_output",
        was.max_output,
        is.max_output,
        changes,
    );
}

/// Surfaces that are lost or new.
pub(super) fn surfaces(
    subject: &str,
    was: &BTreeSet<String>,
    is: &BTreeSet<String>,
    changes: &mut Vec<Change>,
) {
    let lost = was.difference(is);
    changes.extend(lost.map(|surface| Change::new(Kind::SurfaceLost, subject).part(surface)));
    let new = is.difference(was);
    changes.extend(new.map(|surface| Change::new(Kind::SurfaceNew, subject).part(surface)));
}

type Amounts = BTreeMap<String, String>;

fn price(subject: &str, was: Option<&Amounts>, is: Option<&Amounts>, changes: &mut Vec<Change>) {
    let none = Amounts::new();
    let (was, is) = (was.unwrap_or(&none), is.unwrap_or(&none));
    for (what, before) in was {
        let change = match is.get(what) {
            Some(after) => amount(subject, before, after),
            None => Some(Change::new(Kind::PriceUnknown, subject).from(before)),
        };
        changes.extend(change.map(|change| change.part(what)));
    }
    for (what, after) in is {
        if !was.contains_key(what) {
            let known = Change::new(Kind::PriceKnown, subject).to(after);
            changes.push(known.part(what));
        }
    }
}

fn amount(subject: &str, before: &str, after: &str) -> Option<Change> {
    let pico = |text: &str| price::parse(&Decimal(text.into())).unwrap_or(0);
    let (was, is) = (pico(before), pico(after));
    let kind = match is.cmp(&was) {
        Ordering::Greater => Kind::PriceUp,
        Ordering::Less => Kind::PriceDown,
        Ordering::Equal => return None,
    };
    let change = Change::new(kind, subject).from(before).to(after);
    Some(Change {
        percent: percent(was, is),
        ..change
    })
}

/// The difference in percent with one decimal, the half rounded away from zero.
pub(super) fn percent(was: u64, is: u64) -> Option<String> {
    if was == 0 {
        return None;
    }
    let (sign, difference) = if is >= was {
        ('+', is - was)
    } else {
        ('-', was - is)
    };
    let twice = u128::from(difference) * 2000 / u128::from(was);
    let tenths = twice.div_ceil(2);
    Some(format!("{sign}{}.{}", tenths / 10, tenths % 10))
}

fn limit(subject: &str, what: &str, was: Option<u64>, is: Option<u64>, changes: &mut Vec<Change>) {
    // A limit that is not known is none that could have got worse.
    let (Some(was), Some(is)) = (was, is) else {
        return;
    };
    let kind = match is.cmp(&was) {
        Ordering::Less => Kind::LimitDown,
        Ordering::Greater => Kind::LimitUp,
        Ordering::Equal => return,
    };
    changes.push(Change::new(kind, subject).part(what).from(was).to(is));
}
