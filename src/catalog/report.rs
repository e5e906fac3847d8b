//! Collects problems and finds where they stand. Knows nothing of what is checked.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::load::Files;
use super::place::{self, Index};
use super::problem::Problem;

/// All problems of one catalog.
pub(super) struct Reports<'f> {
    files: &'f Files,
    /// Made for the files that have problems.
    indexes: BTreeMap<usize, Index<'f>>,
    problems: Vec<Problem>,
}

impl<'f> Reports<'f> {
    pub(super) fn new(files: &'f Files) -> Self {
        Self {
            files,
            indexes: BTreeMap::new(),
            problems: files.problems().to_vec(),
        }
    }

    /// For what finds its places itself.
    pub(super) fn list(&mut self) -> &mut Vec<Problem> {
        &mut self.problems
    }

    /// What stands in `layers`, the positions of files that lie over one another.
    pub(super) fn scope<'r>(&'r mut self, layers: &'r [usize]) -> Scope<'r, 'f> {
        Scope {
            reports: self,
            layers,
            path: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems;
        let place = |problem: &Problem| (problem.file.clone(), problem.line, problem.column);
        problems.sort_by_cached_key(place);
        problems
    }

    /// The place is that of the last file that has the whole path, else of the one that has most of it.
    fn add(&mut self, layers: &[usize], path: &[&str], message: String) {
        let mut best: Option<(usize, usize)> = None;
        for &layer in layers.iter().rev() {
            let Some(index) = self.index(layer) else {
                continue;
            };
            let (depth, _) = index.follow(path);
            if best.is_none_or(|(most, _)| depth > most) {
                best = Some((depth, layer));
            }
        }
        let mut problem = Problem {
            file: "catalog".into(),
            line: None,
            column: None,
            path: place::dotted(path),
            message,
        };
        if let Some((_, layer)) = best {
            problem.file = self
                .files
                .sources()
                .get(layer)
                .map_or("catalog", |source| source.name())
                .into();
            let index = self.index(layer);
            if let Some((line, column)) =
                index.and_then(|i| i.follow(path).1.map(|entry| i.line_and_column(entry)))
            {
                (problem.line, problem.column) = (Some(line), Some(column));
            }
        }
        self.problems.push(problem);
    }

    fn index(&mut self, layer: usize) -> Option<&Index<'f>> {
        match self.indexes.entry(layer) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => {
                let source = self.files.sources().get(layer)?;
                Some(entry.insert(Index::new(source.text())))
            }
        }
    }
}

/// A part of some layered files that is being checked.
pub(super) struct Scope<'r, 'f> {
    reports: &'r mut Reports<'f>,
    layers: &'r [usize],
    path: Vec<&'r str>,
}

impl<'f> Scope<'_, 'f> {
    /// The part of this part below `path`.
    pub(super) fn within<'s>(&'s mut self, path: &[&'s str]) -> Scope<'s, 'f> {
        let mut whole = self.path.clone();
        whole.extend(path);
        Scope {
            reports: self.reports,
            layers: self.layers,
            path: whole,
        }
    }

    /// Something is wrong at `path`, from here.
    pub(super) fn problem(&mut self, path: &[&str], message: impl Into<String>) {
        let mut whole = self.path.clone();
        whole.extend(path);
        self.reports.add(self.layers, &whole, message.into());
    }

    /// Something is wrong outside the files.
    pub(super) fn elsewhere(&mut self, problem: Problem) {
        self.reports.problems.push(problem);
    }

    /// The value, or a problem at `path` and nothing.
    pub(super) fn check<T>(&mut self, path: &[&str], result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.problem(path, message)).ok()
    }
}
