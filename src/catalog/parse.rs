//! Text → [`File`], with every mistake of shape found in one go: a member that does not fit is reported with its
//! place, taken out, and the rest read again. Knows nothing of what the values mean.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::file::File;
use super::load::Source;
use super::paths;
use super::place::{self, EntryId, Index};
use super::problem::Problem;

/// Mistakes of shape that are listed for one file. Each costs a reading of the file, and who has this many has one
/// cause for most of them.
const PROBLEMS_PER_FILE_MAX: usize = 50;

/// The file, as far as it can be read; `None` when nothing of it can.
pub(super) fn parse(source: &Source, problems: &mut Vec<Problem>) -> Option<File> {
    let error = match serde_json::from_str(source.text()) {
        Ok(file) => {
            find_idle_nulls(source, problems);
            return Some(file);
        }
        Err(error) => error,
    };
    // A mistake of shape may stand before one of syntax, which is the one that makes the text unreadable.
    let syntax = match error.classify() {
        Category::Data => serde_json::from_str::<IgnoredAny>(source.text()).err(),
        Category::Syntax | Category::Eof | Category::Io => {
            problems.push(at(source, &error));
            return None;
        }
    };
    match syntax {
        None => salvage(source, error, problems),
        Some(syntax) => {
            problems.push(at(source, &syntax));
            None
        }
    }
}

/// A `null` that would be read and change nothing, where the operator wanted to take something away. Those who never
/// write the word pay nothing for it.
fn find_idle_nulls(source: &Source, problems: &mut Vec<Problem>) {
    if source.is_shipped() || !source.text().contains("null") {
        return;
    }
    let index = Index::new(source.text());
    for entry in paths::idle_nulls(&index) {
        let (line, column) = index.line_and_column(entry);
        problems.push(Problem {
            file: source.name().into(),
            line: Some(line),
            column: Some(column),
            path: place::dotted(&index.path(entry)),
            message: "`null` takes entries away (a model, a surface, a price …), not this member; \
                write another value, or leave it out"
                .to_owned(),
        });
    }
}

/// What is left of the file when each member that does not fit has been reported and taken out.
fn salvage(
    source: &Source,
    mut error: serde_json::Error,
    problems: &mut Vec<Problem>,
) -> Option<File> {
    let mut text = source.text().to_owned();
    for _ in 0..PROBLEMS_PER_FILE_MAX {
        let index = Index::new(&text);
        let Some(entry) = index.innermost(offset(&text, &error)) else {
            problems.push(at(source, &error));
            return None;
        };
        problems.push(at_entry(source, &index, entry, &error));
        text = index.without(entry);
        match serde_json::from_str(&text) {
            Ok(file) => return Some(file),
            Err(next) => error = next,
        }
    }
    problems.push(Problem::of_file(
        source.name(),
        "and more of the same kind; mend these first",
    ));
    None
}

fn at(source: &Source, error: &serde_json::Error) -> Problem {
    let (line, column) = position(error);
    let mut problem = Problem::of_file(
        source.name(),
        format!("not a catalog file: {}", words(error)),
    );
    (problem.line, problem.column) = (Some(line), Some(column));
    problem
}

fn at_entry(
    source: &Source,
    index: &Index<'_>,
    entry: EntryId,
    error: &serde_json::Error,
) -> Problem {
    let (line, column) = index.line_and_column(entry);
    Problem {
        file: source.name().into(),
        line: Some(line),
        column: Some(column),
        path: place::dotted(&index.path(entry)),
        message: words(error),
    }
}

/// The error without the position that `serde_json` appends, which [`Problem`] has members for.
fn words(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" at line ") {
        text.truncate(end);
    }
    text
}

fn position(error: &serde_json::Error) -> (u32, u32) {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    (number(error.line()), number(error.column()))
}

/// A byte of the token that the error is about: its column is past it.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before = error.line().saturating_sub(1);
    let line = if before == 0 {
        0
    } else {
        text.match_indices('\n')
            .nth(before - 1)
            .map_or(text.len(), |(newline, _)| newline + 1)
    };
    (line + error.column()).saturating_sub(1)
}
