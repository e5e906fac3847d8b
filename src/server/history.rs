//! The versions of the catalog that were in use last, and which of them is now. Knows nothing of what a version is
//! made of, and reads nothing.

use jiff::Timestamp;

/// Versions kept, the one in use included. Each is a whole catalog in memory.
const KEPT_MAX: usize = 3;

/// A version, the digest of what it was made of, and when it came.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) version: Box<str>,
    pub(super) inputs: [u8; 32],
    pub(super) since: Timestamp,
    pub(super) value: T,
}

/// The last versions, newest first.
#[derive(Debug)]
pub(super) struct History<T> {
    kept: Vec<Kept<T>>,
    /// The position of the one in use: 0 but after a rollback.
    current: usize,
}

/// There is no such version to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotKept;

impl<T> History<T> {
    pub(super) fn new(first: Kept<T>) -> Self {
        Self {
            kept: vec![first],
            current: 0,
        }
    }

    /// The one in use.
    pub(super) fn current(&self) -> &Kept<T> {
        &self.kept[self.current]
    }

    /// All of them, newest first, and whether it is the one in use.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Kept<T>, bool)> {
        let current = self.current;
        let all = self.kept.iter().enumerate();
        all.map(move |(at, kept)| (kept, at == current))
    }

    /// The one at `position`, which came from [`Self::other`].
    pub(super) fn at(&self, position: usize) -> &Kept<T> {
        &self.kept[position]
    }

    /// The one that was made of `inputs`.
    pub(super) fn made_of(&self, inputs: &[u8; 32]) -> Option<&Kept<T>> {
        self.kept.iter().find(|kept| kept.inputs == *inputs)
    }

    /// `next` is in use from now on. Those that were rolled back from are forgotten: the one before `next` is the one
    /// that `next` took over from.
    pub(super) fn publish(&mut self, next: Kept<T>) {
        if next.version == self.current().version {
            let since = self.current().since;
            self.kept[self.current] = Kept { since, ..next };
            return;
        }
        self.kept.drain(..self.current);
        self.kept.retain(|kept| kept.version != next.version);
        self.kept.insert(0, next);
        self.kept.truncate(KEPT_MAX);
        self.current = 0;
    }

    /// The one before that in use; or the one of that version, which may be a newer one.
    pub(super) fn other(&self, version: Option<&str>) -> Result<usize, NotKept> {
        let found = match version {
            None => Some(self.current + 1).filter(|at| *at < self.kept.len()),
            Some(version) => self.kept.iter().position(|kept| *kept.version == *version),
        };
        found.filter(|at| *at != self.current).ok_or(NotKept)
    }

    /// The one at `position`, which came from [`Self::other`], is in use from now on, as `value`.
    pub(super) fn go_to(&mut self, position: usize, value: T) {
        if let Some(kept) = self.kept.get_mut(position) {
            kept.value = value;
            self.current = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str) -> Kept<()> {
        let mut inputs = [0; 32];
        inputs[..name.len()].copy_from_slice(name.as_bytes());
        Kept {
            version: name.into(),
            inputs,
            since: Timestamp::UNIX_EPOCH,
            value: (),
        }
    }

    fn history(names: &[&str]) -> History<()> {
        let mut history = History::new(kept(names[0]));
        names[1..]
            .iter()
            .for_each(|name| history.publish(kept(name)));
        history
    }

    /// The versions, newest first, that in use in brackets.
    fn told(history: &History<()>) -> String {
        let name = |(kept, in_use): (&Kept<()>, bool)| {
            if in_use {
                format!("[{}]", kept.version)
            } else {
                kept.version.to_string()
            }
        };
        let names: Vec<_> = history.all().map(name).collect();
        names.join(" ")
    }

    fn back(history: &mut History<()>, to: Option<&str>) -> Result<(), NotKept> {
        history.other(to).map(|at| history.go_to(at, ()))
    }

    #[test]
    fn the_last_three_are_kept() {
        assert_eq!(told(&history(&["a"])), "[a]");
        assert_eq!(told(&history(&["a", "b", "c", "d"])), "[d] c b");
    }

    #[test]
    fn one_that_comes_again_is_kept_once() {
        assert_eq!(told(&history(&["a", "b", "a", "b", "b"])), "[b] a");
        assert_eq!(told(&history(&["a", "b", "c", "a"])), "[a] c b");
    }

    #[test]
    fn going_back_ends_at_the_oldest() {
        let mut history = history(&["a", "b", "c"]);
        assert_eq!(back(&mut history, None), Ok(()));
        assert_eq!(told(&history), "c [b] a");
        assert_eq!(back(&mut history, None), Ok(()));
        assert_eq!(back(&mut history, None), Err(NotKept));
        assert_eq!(told(&history), "c b [a]");
    }

    #[test]
    fn a_version_can_be_named_also_a_newer_one() {
        let mut history = history(&["a", "b", "c"]);
        assert_eq!(back(&mut history, Some("a")), Ok(()));
        assert_eq!(back(&mut history, Some("c")), Ok(()));
        assert_eq!(told(&history), "[c] b a");
        assert_eq!(back(&mut history, Some("c")), Err(NotKept), "in use");
        assert_eq!(back(&mut history, Some("x")), Err(NotKept));
    }

    #[test]
    fn what_was_rolled_back_from_is_not_what_the_next_one_goes_back_to() {
        let mut history = history(&["a", "b", "bad"]);
        assert_eq!(back(&mut history, None), Ok(()));
        history.publish(kept("mended"));
        assert_eq!(told(&history), "[mended] b a");
    }

    #[test]
    fn publishing_what_is_in_use_forgets_nothing() {
        let mut history = history(&["a", "b", "bad"]);
        assert_eq!(back(&mut history, None), Ok(()));
        history.publish(kept("b"));
        assert_eq!(told(&history), "bad [b] a");
        history.publish(kept("bad"));
        assert_eq!(told(&history), "[bad] b a");
    }

    #[test]
    fn what_was_made_before_is_found_by_what_it_is_made_of() {
        let history = history(&["a", "b"]);
        let found = history.made_of(&kept("a").inputs);
        assert_eq!(found.map(|kept| &*kept.version), Some("a"));
        assert!(history.made_of(&kept("c").inputs).is_none());
    }
}
