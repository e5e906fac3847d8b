//! Which containers are open: a bit for each, so that nesting needs neither recursion nor memory.

/// Containers that may be open inside one another, the top-level object included. Past this a body
/// is refused: known parsers give up between 128 and 1,000 levels, or overflow their stacks.
pub const DEPTH_MAX: usize = 1024;

/// The two kinds of container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Object,
    Array,
}

/// The open containers.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    depth: u16,
    innermost: Container,
    /// Bit `n` is the container at depth `n`, counted from 0: 1 is an array.
    arrays: [u32; DEPTH_MAX / 32],
}

impl Stack {
    /// No container is open.
    pub(super) const fn new() -> Self {
        Self {
            depth: 0,
            innermost: Container::Object,
            arrays: [0; DEPTH_MAX / 32],
        }
    }

    /// Number of open containers.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    /// The container opened last; an object when none is open.
    #[inline]
    pub(super) fn innermost(&self) -> Container {
        self.innermost
    }

    /// Opens a container; says whether there was room.
    #[inline]
    #[must_use]
    pub(super) fn open(&mut self, container: Container) -> bool {
        let Some(word) = self.arrays.get_mut(usize::from(self.depth / 32)) else {
            return false;
        };
        let bit = 1 << (self.depth % 32);
        match container {
            Container::Object => *word &= !bit,
            Container::Array => *word |= bit,
        }
        self.depth += 1;
        self.innermost = container;
        true
    }

    /// Closes the container opened last.
    #[inline]
    pub(super) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        let around = self.depth.saturating_sub(1);
        let word = self
            .arrays
            .get(usize::from(around / 32))
            .copied()
            .unwrap_or_default();
        self.innermost = if word >> (around % 32) & 1 == 0 {
            Container::Object
        } else {
            Container::Array
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_remembers_its_kind() {
        let kind = |level: usize| {
            if level * level % 7 < 3 {
                Container::Array
            } else {
                Container::Object
            }
        };
        let mut stack = Stack::new();
        for round in 0..3 {
            for level in 0..DEPTH_MAX {
                assert_eq!(stack.depth(), level);
                assert!(stack.open(kind(level + round)));
                assert_eq!(stack.innermost(), kind(level + round));
            }
            assert!(!stack.open(Container::Array));
            for level in (1..DEPTH_MAX).rev() {
                stack.close();
                assert_eq!(
                    stack.innermost(),
                    kind(level - 1 + round),
                    "round {round}, level {level}"
                );
            }
            stack.close();
            assert_eq!(stack.depth(), 0);
        }
    }
}
