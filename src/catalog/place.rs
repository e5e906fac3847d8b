//! Where each member of a JSON text stands. Built only when there is a problem to report or somebody asks where a value
//! comes from, so that loading a catalog without mistakes pays nothing for it. Takes text that is valid JSON; for other text it answers without sense, but answers.

use std::borrow::Cow;
use std::ops::Range;

/// The members and array elements of one text, in the order of their first bytes.
pub(super) struct Index<'t> {
    text: &'t str,
    entries: Vec<Entry>,
}

/// Position of an [`Entry`] in its [`Index`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryId(usize);

struct Entry {
    parent: Option<EntryId>,
    name: Name,
    /// First byte of the key, or of the element.
    start: usize,
    /// Past the last byte of the value.
    end: usize,
}

enum Name {
    /// The key with its quotes.
    Key(Range<usize>),
    /// Position in the array, from 0.
    Element(usize),
}

/// An object or array that is open while the text is read.
struct Open {
    entry: Option<EntryId>,
    /// Elements so far; `None` in an object.
    elements: Option<usize>,
}

impl<'t> Index<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut reader = Reader {
            bytes: text.as_bytes(),
            at: 0,
            entries: Vec::new(),
            open: Vec::new(),
            key: None,
        };
        while reader.step() {}
        Self {
            text,
            entries: reader.entries,
        }
    }

    /// The innermost member or element that contains `offset`.
    pub(super) fn innermost(&self, offset: usize) -> Option<EntryId> {
        let inside = |entry: &Entry| (entry.start..entry.end).contains(&offset);
        self.entries.iter().rposition(inside).map(EntryId)
    }

    /// Follows `path` as far as it goes: how many of its names were found, and the last of them.
    pub(super) fn follow(&self, path: &[&str]) -> (usize, Option<EntryId>) {
        let mut last = None;
        for (depth, name) in path.iter().enumerate() {
            // The first of several: of a key that is written twice, the second is what has been taken out.
            let found = self
                .entries
                .iter()
                .position(|e| e.parent == last && self.name(e) == *name);
            match found {
                Some(position) => last = Some(EntryId(position)),
                None => return (depth, last),
            }
        }
        (path.len(), last)
    }

    /// Line and column of the entry's first byte.
    pub(super) fn line_and_column(&self, entry: EntryId) -> (u32, u32) {
        let start = self.entries.get(entry.0).map_or(0, |e| e.start);
        line_and_column(self.text.as_bytes(), start)
    }

    /// Every entry with its line, from 1.
    pub(super) fn all(&self) -> impl Iterator<Item = (EntryId, u32)> {
        let (mut line, mut at) = (1, 0);
        self.entries.iter().enumerate().map(move |(id, entry)| {
            // Entries come in the order of their first bytes.
            let passed = self
                .text
                .as_bytes()
                .get(at..entry.start)
                .unwrap_or_default();
            line += passed.iter().filter(|byte| **byte == b'\n').count();
            at = entry.start;
            (EntryId(id), saturate(line))
        })
    }

    /// The value of the entry, as it is written.
    pub(super) fn value(&self, entry: EntryId) -> &'t str {
        let Some(entry) = self.entries.get(entry.0) else {
            return "";
        };
        let start = match &entry.name {
            Name::Key(key) => key.end,
            Name::Element(_) => entry.start,
        };
        let value = self.text.get(start..entry.end).unwrap_or_default();
        value.trim_start_matches([':', ' ', '\t', '\r', '\n'])
    }

    /// Whether the value of the entry is an object or array with something in it.
    pub(super) fn is_parent(&self, entry: EntryId) -> bool {
        let next = self.entries.get(entry.0 + 1);
        next.is_some_and(|next| next.parent == Some(entry))
    }

    /// Whether the entry is an element of an array.
    pub(super) fn is_element(&self, entry: EntryId) -> bool {
        let entry = self.entries.get(entry.0);
        entry.is_some_and(|entry| matches!(entry.name, Name::Element(_)))
    }

    /// The entry around this one.
    pub(super) fn parent(&self, entry: EntryId) -> Option<EntryId> {
        self.entries.get(entry.0)?.parent
    }

    /// The names from the top to `entry`.
    pub(super) fn path(&self, entry: EntryId) -> Vec<Cow<'t, str>> {
        let mut names = Vec::new();
        let mut next = Some(entry);
        while let Some(entry) = next.and_then(|id| self.entries.get(id.0)) {
            names.push(self.name(entry));
            next = entry.parent;
        }
        names.reverse();
        names
    }

    /// The text without `entry` and without the comma it no longer needs; every other byte keeps its place.
    pub(super) fn without(&self, entry: EntryId) -> String {
        let Some(Entry { start, end, .. }) = self.entries.get(entry.0) else {
            return self.text.to_owned();
        };
        let (mut start, mut end) = (*start, *end);
        let after = &self.text[end..];
        let gap = after.len() - after.trim_ascii_start().len();
        if after[gap..].starts_with(',') {
            end += gap + 1;
        } else if let Some(before) = self.text[..start].trim_ascii_end().strip_suffix(',') {
            start = before.len();
        }
        let blank = self.text[start..end]
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' });
        let mut text = String::with_capacity(self.text.len());
        text.push_str(&self.text[..start]);
        text.extend(blank);
        text.push_str(&self.text[end..]);
        text
    }

    fn name(&self, entry: &Entry) -> Cow<'t, str> {
        match &entry.name {
            Name::Element(position) => Cow::Owned(position.to_string()),
            Name::Key(range) => {
                let quoted = &self.text[range.clone()];
                let bare = quoted
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'))
                    .unwrap_or(quoted);
                if bare.contains('\\') {
                    serde_json::from_str(quoted).map_or(Cow::Borrowed(bare), Cow::Owned)
                } else {
                    Cow::Borrowed(bare)
                }
            }
        }
    }
}

/// Line and column of the byte at `offset`, both from 1.
pub(super) fn line_and_column(text: &[u8], offset: usize) -> (u32, u32) {
    let (mut line, mut column) = (0, 0);
    for part in text[..offset.min(text.len())].split(|byte| *byte == b'\n') {
        line += 1;
        column = part.len() + 1;
    }
    (saturate(line), saturate(column))
}

/// The path as people write it: dots between names, quotes round a name that needs them.
pub(super) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    let mut text = String::new();
    for name in path {
        let name = name.as_ref();
        if !text.is_empty() {
            text.push('.');
        }
        if !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-/".contains(&b))
        {
            text.push_str(name);
        } else {
            text.push('"');
            text.extend(name.escape_debug());
            text.push('"');
        }
    }
    text
}

/// One pass over the text, a token at a time, without recursion.
struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    entries: Vec<Entry>,
    open: Vec<Open>,
    /// The member whose key has been read and whose value comes next.
    key: Option<EntryId>,
}

impl Reader<'_> {
    /// Reads the next token; false at the end.
    fn step(&mut self) -> bool {
        let Some(byte) = self.bytes.get(self.at).copied() else {
            return false;
        };
        match byte {
            b'"' => {
                let token = self.at..string_end(self.bytes, self.at);
                self.at = token.end;
                self.string(token);
            }
            b'{' | b'[' => {
                let entry = self.value_begins();
                let elements = (byte == b'[').then_some(0);
                self.open.push(Open { entry, elements });
                self.at += 1;
            }
            b'}' | b']' => {
                self.at += 1;
                let closed = self.open.pop().and_then(|open| open.entry);
                self.value_ends(closed);
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
            _ => {
                let entry = self.value_begins();
                let rest = &self.bytes[self.at..];
                let length = rest
                    .iter()
                    .position(|b| b",]} \t\r\n".contains(b))
                    .unwrap_or(rest.len());
                self.at += length.max(1);
                self.value_ends(entry);
            }
        }
        true
    }

    fn string(&mut self, token: Range<usize>) {
        let end = token.end;
        match self.open.last() {
            Some(Open {
                entry,
                elements: None,
            }) if self.key.is_none() => {
                let parent = *entry;
                let start = token.start;
                self.key = Some(self.push(Entry {
                    parent,
                    name: Name::Key(token),
                    start,
                    end,
                }));
            }
            _ => {
                self.at = token.start;
                let entry = self.value_begins();
                self.at = end;
                self.value_ends(entry);
            }
        }
    }

    /// The entry whose value begins here: the key's just read, a new one in an array, none at the top.
    fn value_begins(&mut self) -> Option<EntryId> {
        if let Some(key) = self.key.take() {
            return Some(key);
        }
        let start = self.at;
        let open = self.open.last_mut()?;
        let position = open.elements.as_mut()?;
        let entry = Entry {
            parent: open.entry,
            name: Name::Element(*position),
            start,
            end: start,
        };
        *position += 1;
        Some(self.push(entry))
    }

    fn value_ends(&mut self, entry: Option<EntryId>) {
        if let Some(entry) = entry.and_then(|id| self.entries.get_mut(id.0)) {
            entry.end = self.at;
        }
    }

    fn push(&mut self, entry: Entry) -> EntryId {
        self.entries.push(entry);
        EntryId(self.entries.len() - 1)
    }
}

/// Past the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "{\n  \"a\": {\"b.c\": [1, {\"d\": \"}\"}], \"e\": -1.5e3},\n  \"f\\u0067\": null\n}\n";

    fn place(path: &[&str]) -> (u32, u32) {
        let index = Index::new(TEXT);
        let (depth, entry) = index.follow(path);
        assert_eq!(depth, path.len(), "{path:?}");
        index.line_and_column(entry.expect("found"))
    }

    #[test]
    fn every_member_and_element_is_found_where_it_stands() {
        assert_eq!(place(&["a"]), (2, 3));
        assert_eq!(place(&["a", "b.c"]), (2, 9));
        assert_eq!(place(&["a", "b.c", "1", "d"]), (2, 21));
        assert_eq!(place(&["a", "e"]), (2, 33));
        assert_eq!(place(&["fg"]), (3, 3));
    }

    #[test]
    fn a_path_is_followed_as_far_as_it_goes() {
        let index = Index::new(TEXT);
        let (depth, entry) = index.follow(&["a", "missing", "x"]);
        assert_eq!(
            (depth, dotted(&index.path(entry.expect("a")))),
            (1, "a".to_owned())
        );
    }

    #[test]
    fn names_with_dots_are_quoted() {
        let index = Index::new(TEXT);
        let (_, entry) = index.follow(&["a", "b.c", "1", "d"]);
        assert_eq!(dotted(&index.path(entry.expect("d"))), "a.\"b.c\".1.d");
    }

    #[test]
    fn a_member_can_be_taken_out_and_the_rest_keeps_its_place() {
        for path in [
            &["a"][..],
            &["fg"],
            &["a", "b.c", "0"],
            &["a", "b.c", "1"],
            &["a", "b.c", "1", "d"],
        ] {
            let index = Index::new(TEXT);
            let (_, entry) = index.follow(path);
            let rest = index.without(entry.expect("found"));
            assert_eq!(rest.len(), TEXT.len(), "{path:?}");
            assert_eq!(rest.matches('\n').count(), TEXT.matches('\n').count());
            serde_json::from_str::<serde::de::IgnoredAny>(&rest).expect("still JSON");
        }
    }

    #[test]
    fn broken_text_is_survived() {
        for cut in 0..TEXT.len() {
            let index = Index::new(&TEXT[..cut]);
            let _ = index.innermost(cut / 2).map(|entry| index.path(entry));
        }
        Index::new(&"[".repeat(1_000_000));
    }
}
