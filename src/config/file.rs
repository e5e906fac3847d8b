//! `tollgate.toml` as written: sections and typed values with their places. Every mistake is noted and reading goes on,
//! so that one run tells them all (a deserializer would stop at the first). Knows no key by name and no default.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};
use super::units;

/// Edits between a key and a known one up to which the known one is proposed. Past a third of a word it is a guess.
const TYPO_SHARE: usize = 3;

/// The file's name and text, and what was found wrong in it so far.
pub(super) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Self {
        Self {
            file,
            text,
            problems: RefCell::default(),
        }
    }

    /// Notes a mistake at the first byte of `span`.
    pub(super) fn add(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.add_at(Some(Place::of(self.text, span.start)), key, message);
    }

    fn add_at(&self, place: Option<Place>, key: &str, message: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(Problem::new(self.file, place, key, message));
    }

    /// The document, or nothing when its syntax is broken (all mistakes of syntax are then noted).
    pub(super) fn parse(&self) -> Option<toml::Spanned<DeTable<'t>>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let place = error.span().map(|span| Place::of(self.text, span.start));
            // Only the message: the error's own `Display` quotes the line, which may hold a secret.
            let message = error.message().trim_end_matches(", expected nothing");
            self.add_at(place, "", format!("not valid TOML: {message}"));
        }
        errors.is_empty().then_some(document)
    }

    /// Everything noted, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.place);
        problems
    }
}

/// A value with its key and place.
pub(super) struct Value<'d> {
    /// With the sections it is in.
    pub(super) key: String,
    /// Where the value stands.
    pub(super) span: Range<usize>,
    written: &'d DeValue<'d>,
    report: &'d Report<'d>,
}

impl<'d> Value<'d> {
    /// Notes a mistake in this value.
    pub(super) fn wrong(&self, message: impl Into<String>) {
        self.report.add(&self.span, &self.key, message);
    }

    /// Where the value stands.
    pub(super) fn place(&self) -> Place {
        Place::of(self.report.text, self.span.start)
    }

    /// The text, unless it is something else or empty. The message never quotes the value.
    pub(super) fn text(&self) -> Option<&'d str> {
        let text = self.expect("a text in quotes", self.written.as_str())?;
        if text.is_empty() {
            self.wrong("must not be empty");
            return None;
        }
        Some(text)
    }

    /// Whether the value is exactly this text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.written.as_str() == Some(text)
    }

    /// Whether the value is a section.
    pub(super) fn is_section(&self) -> bool {
        self.written.as_table().is_some()
    }

    /// The elements of an array; `wanted` says how it is written.
    pub(super) fn elements(&self, wanted: &str) -> Option<Vec<Value<'d>>> {
        let array = self.expect(wanted, self.written.as_array())?;
        let element = |(index, value): (usize, &'d toml::Spanned<DeValue<'d>>)| Value {
            key: format!("{}[{index}]", self.key),
            span: value.span(),
            written: value.get_ref(),
            report: self.report,
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// The value as a section of its own.
    pub(super) fn section(self) -> Option<Section<'d>> {
        let table = self.expect("a section", self.written.as_table())?;
        Some(Section {
            path: self.key,
            span: self.span,
            table,
            report: self.report,
            known: RefCell::default(),
        })
    }

    fn expect<T>(&self, wanted: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.wrong(format!("must be {wanted}, not {}", self.kind()));
        }
        found
    }

    fn kind(&self) -> &'static str {
        match self.written {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a section",
        }
    }
}

/// One table of the file. The keys asked for are the known ones; [`Section::finish`] reports all others.
pub(super) struct Section<'d> {
    path: String,
    span: Range<usize>,
    table: &'d DeTable<'d>,
    report: &'d Report<'d>,
    known: RefCell<Vec<&'static str>>,
}

impl<'d> Section<'d> {
    /// The top of the document.
    pub(super) fn top(table: &'d DeTable<'d>, report: &'d Report<'d>) -> Self {
        Self {
            path: String::new(),
            span: 0..0,
            table,
            report,
            known: RefCell::default(),
        }
    }

    /// Where the section begins.
    pub(super) fn place(&self) -> Place {
        Place::of(self.report.text, self.span.start)
    }

    /// Notes a mistake of the section as a whole.
    pub(super) fn wrong(&self, message: impl Into<String>) {
        self.report.add(&self.span, &self.path, message);
    }

    /// The value of `key`, if it is written.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'d>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.entries()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Whether `key` is written, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.keys().any(|name| name.get_ref() == key)
    }

    /// Every key and its value, for sections whose keys are names that the operator chooses.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, Value<'d>)> {
        self.table.iter().map(|(key, value)| {
            let name: &'d str = key.get_ref();
            let value = Value {
                key: if self.path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{}.{name}", self.path)
                },
                span: value.span(),
                written: value.get_ref(),
                report: self.report,
            };
            (name, value)
        })
    }

    /// A section inside this one, if it is written.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'d>> {
        self.get(key)?.section()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        value.expect("true or false", value.written.as_bool())
    }

    /// A whole number within `bounds`.
    pub(super) fn number<N>(&self, key: &'static str, bounds: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        let value = self.get(key)?;
        let written = value.expect("a whole number", value.written.as_integer())?;
        let digits = i64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = digits.and_then(|number| N::try_from(number).ok());
        within(&value, number, &bounds, N::to_string)
    }

    /// A number within `bounds`, with a fraction or without.
    pub(super) fn share(&self, key: &'static str, bounds: RangeInclusive<f64>) -> Option<f64> {
        let value = self.get(key)?;
        let float = value.written.as_float().map(|float| float.as_str());
        let whole = value.written.as_integer().map(|number| number.as_str());
        let written = value.expect("a number", float.or(whole))?;
        within(&value, written.parse().ok(), &bounds, f64::to_string)
    }

    /// A duration within `bounds`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = self.get(key)?;
        let text = value.expect(
            "a duration in quotes, as \"3s\" (ms, s, m, h, d)",
            value.written.as_str(),
        )?;
        let Some(duration) = units::duration(text) else {
            value.wrong(
                "must be a duration: a whole number and a unit, as \"250ms\", \"3s\", \"10m\", \"1h\" or \"2d\"",
            );
            return None;
        };
        within(&value, Some(duration), &bounds, |bound| {
            units::show_duration(*bound)
        })
    }

    /// A size in bytes within `bounds`.
    pub(super) fn size(&self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.get(key)?;
        let text = value.expect(
            "a size in quotes, as \"64MiB\" (B, KiB, MiB, GiB)",
            value.written.as_str(),
        )?;
        let Some(size) = units::size(text) else {
            value.wrong(
                "must be a size: a whole number and a unit, as \"512B\", \"64KiB\", \"64MiB\" or \"1GiB\"",
            );
            return None;
        };
        within(&value, Some(size), &bounds, |bound| {
            units::show_size(*bound)
        })
    }

    /// One of `words`, as the thing it stands for.
    pub(super) fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.get(key)?;
        let text = value.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let all: Vec<_> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            value.wrong(format!("must be one of {}", all.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// Reports every key that was never asked for. To be called when all known keys have been.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (key, value) in self.table {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let path = if self.path.is_empty() {
                String::new()
            } else {
                format!("{}.", self.path)
            };
            let kind = if value.get_ref().is_table() {
                "section"
            } else {
                "key"
            };
            let message = format!("unknown {kind}; {}", hint(key.get_ref(), &known));
            self.report
                .add(&key.span(), &format!("{path}{}", key.get_ref()), message);
        }
    }
}

fn within<T: PartialOrd>(
    value: &Value<'_>,
    found: Option<T>,
    bounds: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Option<T> {
    let found = found.filter(|found| bounds.contains(found));
    if found.is_none() {
        value.wrong(format!(
            "must be from {} to {}",
            show(bounds.start()),
            show(bounds.end())
        ));
    }
    found
}

fn hint(key: &str, known: &[&str]) -> String {
    let distance = |name: &&&str| strsim::osa_distance(key, name);
    match known.iter().min_by_key(distance) {
        Some(nearest) if distance(&nearest) <= nearest.len().div_ceil(TYPO_SHARE) => {
            format!("did you mean `{nearest}`?")
        }
        _ => format!("known here: {}", known.join(", ")),
    }
}
