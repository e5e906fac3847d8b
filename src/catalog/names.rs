//! Names → targets, precomputed: a look-up is one hash and a slice. Knows nothing of prefixes or virtual models.
//!
//! A family is a name too, of each of its models that can stand in for the others. It does not count where the same name
//! is the id or alias of a model of another family: then the name means that model, and nothing is mixed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::ProviderId;
use super::lookup::{NAME_MAX, Target};
use crate::table::Table;

/// What a name is to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Calls {
    Id,
    Alias,
    Family,
}

/// Which of several targets of one name comes first: what the operator chose, what is not removed, ids before aliases
/// before families, then catalog order, and of one provider's models the one that best stands for its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) not_default: bool,
    pub(super) removed: bool,
    pub(super) calls: Calls,
    pub(super) provider: ProviderId,
    pub(super) likeness: Likeness,
}

/// How near the id of a model is to the name of its family: the same (what stands before the last `/` aside), without a
/// day in it, or neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    #[default]
    Same,
    Undated,
    Dated,
}

/// A name of a model, before the names are put together.
pub(super) struct Named {
    pub(super) name: Arc<str>,
    pub(super) order: Order,
    pub(super) target: Target,
    /// The name is not that of the family that the model says it is of.
    pub(super) of_another_family: bool,
}

/// Where the targets of a name are.
#[derive(Debug)]
struct Slot {
    range: Range<u32>,
    /// No model has the name as its id or alias.
    is_family: bool,
}

/// The finished table.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: Table<Arc<str>, Slot>,
    /// By the name in ASCII lower case; only where some name is not in lower case.
    folded: Table<Box<str>, Slot>,
    targets: Vec<Target>,
}

impl Names {
    /// Leaves `named` sorted by name.
    pub(super) fn new(named: &mut [Named]) -> Self {
        named.sort_unstable_by(|a, b| {
            let key = |named: &Named| (named.order, named.target.model());
            a.name.cmp(&b.name).then_with(|| key(a).cmp(&key(b)))
        });
        let mut table = Self {
            targets: Vec::with_capacity(named.len()),
            ..Self::default()
        };
        table
            .exact
            .reserve(named.chunk_by(|a, b| a.name == b.name).count());
        for same in named.chunk_by(|a, b| a.name == b.name) {
            let slot = table.add(same.iter());
            table.exact.insert(Arc::clone(&same[0].name), slot);
        }
        table.add_folded(named);
        table.targets.shrink_to_fit();
        table
    }

    /// The names that are not in lower case, with those that differ from them in case only.
    fn add_folded(&mut self, named: &[Named]) {
        let upper = |named: &&Named| named.name.bytes().any(|byte| byte.is_ascii_uppercase());
        let mut groups: HashMap<Box<str>, Vec<&Named>> = HashMap::new();
        for named in named.iter().filter(upper) {
            groups
                .entry(named.name.to_ascii_lowercase().into())
                .or_default()
                .push(named);
        }
        for named in named.iter().filter(|named| !upper(named)) {
            if let Some(group) = groups.get_mut(&*named.name) {
                group.push(named);
            }
        }
        for (folded, mut group) in groups {
            // One provider may have names that differ in case only: then the first of its ids.
            group.sort_unstable_by_key(|named| (named.order, named.target.model()));
            let slot = self.add(group.iter().copied());
            self.folded.insert(folded, slot);
        }
    }

    /// One target a provider: the first.
    fn add<'n>(&mut self, same: impl Iterator<Item = &'n Named> + Clone) -> Slot {
        let start = self.targets.len();
        let taken = same.clone().any(|named| named.of_another_family);
        let mut is_family = true;
        for named in same {
            let by_family = named.order.calls == Calls::Family;
            if taken && by_family {
                continue;
            }
            is_family &= by_family;
            if !self.targets[start..]
                .iter()
                .any(|target| target.provider == named.target.provider)
            {
                self.targets.push(named.target);
            }
        }
        // A catalog with 2³² names does not fit in the memory that would hold it; saturating keeps this total.
        let position = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Slot {
            range: position(start)..position(self.targets.len()),
            is_family,
        }
    }

    /// The targets of exactly this name, in order.
    pub(super) fn exact(&self, name: &str) -> &[Target] {
        self.slice(self.exact.get(name))
    }

    /// The targets of exactly this name, and whether it is a family's alone.
    pub(super) fn exact_or_family(&self, name: &str) -> (&[Target], bool) {
        let slot = self.exact.get(name);
        (self.slice(slot), slot.is_some_and(|slot| slot.is_family))
    }

    /// The targets of this name written in any case, in order.
    pub(super) fn any_case(&self, name: &str) -> &[Target] {
        let slot = fold(name, |folded| {
            self.folded.get(folded).or_else(|| self.exact.get(folded))
        });
        self.slice(slot.flatten())
    }

    fn slice(&self, slot: Option<&Slot>) -> &[Target] {
        slot.and_then(|Slot { range, .. }| {
            self.targets.get(range.start as usize..range.end as usize)
        })
        .unwrap_or_default()
    }
}

/// Calls `with` on `name` in ASCII lower case, which costs no allocation. `None` when it is longer than any name.
pub(super) fn fold<T>(name: &str, with: impl FnOnce(&str) -> T) -> Option<T> {
    let mut buffer = [0; NAME_MAX];
    let folded = buffer.get_mut(..name.len())?;
    folded.copy_from_slice(name.as_bytes());
    folded.make_ascii_lowercase();
    std::str::from_utf8(folded).ok().map(with)
}
