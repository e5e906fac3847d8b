//! [`File`] → text, in the one form that shipped files have and that whatever makes files writes: members in the order of
//! [`mod@super::file`], entries sorted by name, one on each line, so that a change of a price is a change of one line.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::file::{ErrorsEntry, File, Members};

/// The file as JSON in its canonical form, with a line break at its end.
#[must_use]
pub fn render(file: &File) -> String {
    // Every member is named, so that a new one is not forgotten.
    let File {
        schema,
        provider,
        template,
        preset,
        name,
        aliases,
        disabled,
        rank,
        author,
        base_url,
        endpoints,
        balance,
        requests,
        auth,
        env,
        key_prefixes,
        key_optional,
        ca_file,
        tls_name,
        headers,
        surfaces,
        other_surfaces,
        discover,
        model_lists,
        health,
        errors,
        generates_on,
        default_for,
        as_of,
        sources,
        facts,
        models,
        families,
        virtual_models,
    } = file;
    let mut members = Lines::default();
    members.value("$schema", schema.as_ref());
    members.value("provider", provider.as_ref());
    members.value("template", template.as_ref());
    members.value("preset", preset.as_ref());
    members.value("name", name.as_ref());
    members.value("aliases", aliases.as_ref());
    members.value("disabled", disabled.as_ref());
    members.value("rank", rank.as_ref());
    members.value("author", author.as_ref());
    members.value("base_url", base_url.as_ref());
    members.list("endpoints", endpoints.as_deref());
    members.value("balance", balance.as_ref());
    members.value("requests", requests.as_ref());
    members.value("auth", auth.as_ref());
    members.value("env", env.as_ref());
    members.value("key_prefixes", key_prefixes.as_ref());
    members.value("key_optional", key_optional.as_ref());
    members.value("ca_file", ca_file.as_ref());
    members.value("tls_name", tls_name.as_ref());
    members.value("headers", headers.as_ref());
    members.entries("surfaces", surfaces.as_ref());
    members.entries("other_surfaces", other_surfaces.as_ref());
    members.value("discover", discover.as_ref());
    members.value("model_lists", model_lists.as_ref());
    members.value("health", health.as_ref());
    members.errors(errors.as_ref());
    members.value("generates_on", generates_on.as_ref());
    members.value("default_for", default_for.as_ref());
    members.value("as_of", as_of.as_ref());
    members.entries("sources", sources.as_ref());
    members.entries("facts", facts.as_ref());
    members.entries("models", models.as_ref());
    members.entries("families", families.as_ref());
    members.entries("virtual_models", virtual_models.as_ref());
    let mut text = members.close('{', '}');
    text.push('\n');
    text
}

/// What stands between two brackets, a line each.
#[derive(Default)]
struct Lines {
    depth: usize,
    lines: Vec<String>,
}

impl Lines {
    /// One level further in.
    fn within(&self) -> Self {
        Self {
            depth: self.depth + 1,
            lines: Vec::new(),
        }
    }

    fn value(&mut self, name: &str, value: Option<&impl Serialize>) {
        if let Some(value) = value {
            self.lines
                .push(format!("{}: {}", inline(name), inline(value)));
        }
    }

    fn entries<V: Serialize>(&mut self, name: &str, entries: Option<&Members<String, V>>) {
        let Some(Members(entries)) = entries else {
            return;
        };
        let mut lines = self.within();
        for (name, entry) in entries {
            lines.value(name, Some(entry));
        }
        self.block(name, &lines, '{', '}');
    }

    fn list(&mut self, name: &str, elements: Option<&[impl Serialize]>) {
        let Some(elements) = elements else { return };
        let mut lines = self.within();
        lines
            .lines
            .extend(elements.iter().map(|element| inline(element)));
        self.block(name, &lines, '[', ']');
    }

    fn errors(&mut self, errors: Option<&ErrorsEntry>) {
        let Some(ErrorsEntry {
            out_of_credit,
            bad_key,
        }) = errors
        else {
            return;
        };
        let mut lines = self.within();
        lines.list("out_of_credit", out_of_credit.as_deref());
        lines.list("bad_key", bad_key.as_deref());
        self.block("errors", &lines, '{', '}');
    }

    fn block(&mut self, name: &str, lines: &Self, open: char, close: char) {
        let block = lines.close(open, close);
        self.lines.push(format!("{}: {block}", inline(name)));
    }

    /// The lines between the brackets.
    fn close(&self, open: char, close: char) -> String {
        if self.lines.is_empty() {
            return format!("{open}{close}");
        }
        let outer = "  ".repeat(self.depth);
        let mut text = String::from(open);
        for (position, line) in self.lines.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}\n{outer}  {line}");
        }
        let _ = write!(text, "\n{outer}{close}");
        text
    }
}

/// JSON on one line, with a space after each comma and colon.
fn inline(value: &(impl Serialize + ?Sized)) -> String {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail, and the types hold nothing that JSON cannot.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced));
    String::from_utf8(bytes).unwrap_or_default()
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
