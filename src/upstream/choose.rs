//! Which of several goes next: health beats affinity, affinity beats balance. A pure function; what is measured and what
//! is drawn by chance are its arguments. It serves the endpoints of a provider and the addresses of an endpoint alike.
//!
//! Not here: what has been tried already (`walk.rs`), and taking a place there (`pick.rs`).

use smallvec::SmallVec;

use super::{hash, turns};

/// So many are chosen from without an allocation.
const INLINE: usize = 64;

/// How requests are spread over those that are equally well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// They take turns, each as often as its weight says.
    #[default]
    RoundRobin,
    /// The less loaded of two that are drawn by weight (power of two choices).
    LeastInflight,
    /// The one that the affinity hash says (weighted rendezvous hashing): the same for the same hash, for as long as
    /// it is there. One that goes moves only its own, and gets them back when it comes again.
    Affinity,
}

/// What does not change about those to choose from.
#[derive(Debug, Default)]
pub struct Table {
    weights: Box<[u32]>,
    salts: Box<[u64]>,
    turns: Box<[u16]>,
}

/// What is measured of one of them at the moment of choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look<R> {
    /// How well it is; the lowest goes first.
    pub rank: R,
    /// Requests under way there.
    pub load: u64,
}

/// What is drawn for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// Counts the provider's requests.
    pub turn: usize,
    /// The hash of the session that the request belongs to.
    pub affinity: u64,
    /// A random number.
    pub chance: u64,
}

impl Table {
    /// A table of these names and weights. Where a session belongs depends on the names, not on their order.
    #[must_use]
    pub fn new<'a>(all: impl Iterator<Item = (&'a str, u32)> + Clone) -> Self {
        let weights: Box<[u32]> = all.clone().map(|(_, weight)| weight.max(1)).collect();
        Self {
            turns: turns::of(&weights),
            salts: all.map(|(name, _)| hash::of([name.as_bytes()])).collect(),
            weights,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }
}

/// The one to take now, of those that `look` shows; `None` when it shows none. It is asked once for each.
#[must_use]
pub fn choose<R: Ord + Copy>(
    table: &Table,
    balance: Balance,
    draw: &Draw,
    look: impl Fn(usize) -> Option<Look<R>>,
) -> Option<usize> {
    if table.len() == 1 {
        return look(0).map(|_| 0);
    }
    let seen: SmallVec<[_; INLINE]> = (0..table.len()).map(look).collect();
    let rank = seen.iter().flatten().map(|look| look.rank).min()?;
    let load = |at: usize| seen[at].filter(|look| look.rank == rank).map(|it| it.load);
    match balance {
        Balance::RoundRobin => {
            let turn = usize::from(table.turns[draw.turn % table.turns.len()]);
            match load(turn) {
                Some(_) => Some(turn),
                // Its share is spread over the others, rather than put on the next in the row.
                None => by_chance(table, draw.chance, |at| load(at).is_some()),
            }
        }
        Balance::LeastInflight => less_loaded(table, draw.chance, load),
        Balance::Affinity => by_hash(table, draw.affinity, |at| load(at).is_some()),
    }
}

/// One of those that fit, each as likely as its weight says.
fn by_chance(table: &Table, chance: u64, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let weight = |at: usize| u64::from(table.weights[at]);
    let fitting = || (0..table.len()).filter(|at| fits(*at));
    let total: u64 = fitting().map(weight).sum();
    // A number below `total`, from the high bits of `chance`.
    let scaled = (u128::from(chance) * u128::from(total)) >> u64::BITS;
    let mut left = u64::try_from(scaled).unwrap_or(0);
    fitting().find(|at| match left.checked_sub(weight(*at)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })
}

fn less_loaded(table: &Table, chance: u64, load: impl Fn(usize) -> Option<u64>) -> Option<usize> {
    let first = by_chance(table, chance, |at| load(at).is_some())?;
    let others = |at: usize| at != first && load(at).is_some();
    let Some(second) = by_chance(table, hash::mix(chance), others) else {
        return Some(first);
    };
    // Load in relation to weight, multiplied out.
    let share = |at: usize, other: usize| {
        u128::from(load(at).unwrap_or(u64::MAX)) * u128::from(table.weights[other])
    };
    Some(if share(second, first) < share(first, second) {
        second
    } else {
        first
    })
}

/// The one with the shortest of exponentially distributed times, whose rates are the weights: each wins as often as
/// its weight says, and none that goes changes the order of the others.
fn by_hash(table: &Table, affinity: u64, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let time = |at: usize| {
        let bits = hash::mix(affinity ^ table.salts[at]) >> 11;
        // Within 0 and 1, both excluded: 53 bits are what a double holds.
        let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln() / f64::from(table.weights[at])
    };
    (0..table.len())
        .filter(|at| fits(*at))
        .map(|at| (at, time(at)))
        .min_by(|one, other| one.1.total_cmp(&other.1))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests;
