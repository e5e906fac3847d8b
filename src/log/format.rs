//! How a line is written: as JSON, or as logfmt (`name=value`, separated by blanks, a value in quotes where it needs them).
//! Members go out in the order in which they are written, the time first, each behind its name.

use super::clock::{Clock, digit};
use super::json;

/// The form of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// `name=value name="a value"`.
    Logfmt,
}

/// The name of a member, as it stands between the value before it and its own: written once, when the program is built.
#[derive(Clone, Copy)]
pub(super) struct Name {
    json: &'static str,
    logfmt: &'static str,
}

impl Name {
    /// One in both forms; [`name!`] makes them of one word.
    pub(super) const fn new(json: &'static str, logfmt: &'static str) -> Self {
        Self { json, logfmt }
    }
}

/// The [`Name`] of a member that is not the first of its line.
macro_rules! name {
    ($name:literal) => {
        const { $crate::log::format::Name::new(concat!(",\"", $name, "\":"), concat!(" ", $name, "=")) }
    };
}
pub(super) use name;

/// A line in the making, at the end of a buffer that is used again.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
}

impl<'a> Line<'a> {
    /// Begins a line behind what `out` holds, with its time: `unix_ms` milliseconds after 1970.
    pub(super) fn begin(
        out: &'a mut Vec<u8>,
        format: Format,
        clock: &mut Clock,
        unix_ms: i64,
    ) -> Self {
        let name = Name::new("{\"time\":", "time=");
        let mut line = Self { out, format };
        line.quoted(name, |out| clock.write(unix_ms, out));
        line
    }

    /// Ends it, with its line break.
    pub(super) fn end(self) {
        self.out.extend_from_slice(match self.format {
            Format::Json => b"}\n",
            Format::Logfmt => b"\n",
        });
    }

    /// The name of the next member, up to its value.
    #[inline]
    fn name(&mut self, name: Name) {
        let name = match self.format {
            Format::Json => name.json,
            Format::Logfmt => name.logfmt,
        };
        self.out.extend_from_slice(name.as_bytes());
    }

    /// A text in which anything may be.
    pub(super) fn text(&mut self, name: Name, value: &str) {
        self.name(name);
        if self.format == Format::Json || needs_quotes(value) {
            // What JSON escapes are the escapes of logfmt as well: its readers take both for the same.
            json::string(self.out, value);
        } else {
            self.out.extend_from_slice(value.as_bytes());
        }
    }

    /// A text of our own letters, in which nothing has to be escaped, and which has no blanks.
    pub(super) fn plain(&mut self, name: Name, value: &str) {
        self.quoted(name, |out| out.extend_from_slice(value.as_bytes()));
    }

    /// As [`Self::plain`], of what `write` appends.
    pub(super) fn quoted(&mut self, name: Name, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        let json = self.format == Format::Json;
        if json {
            self.out.push(b'"');
        }
        write(self.out);
        if json {
            self.out.push(b'"');
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: Name, value: impl itoa::Integer) {
        self.name(name);
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: Name, value: bool) {
        self.name(name);
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// So many thousandths of a millisecond, as milliseconds with three decimals.
    pub(super) fn milliseconds(&mut self, name: Name, micros: u64) {
        self.number(name, micros / 1_000);
        let rest = i64::try_from(micros % 1_000).unwrap_or(0);
        self.out
            .extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }
}

/// Whether a value of logfmt would be read as another without quotes.
fn needs_quotes(value: &str) -> bool {
    let special = |byte: u8| byte <= b' ' || matches!(byte, b'"' | b'=' | b'\\' | 0x7f);
    value.is_empty() || value.bytes().any(special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out, format, &mut Clock::new(), 1_795_413_821_250);
        for (name, value) in [
            (name!("plain"), "größe"),
            (name!("blank"), "a b"),
            (name!("empty"), ""),
            (name!("quote"), "\"=\\"),
            (name!("control"), "a\nb=1\u{7f}"),
        ] {
            line.text(name, value);
        }
        line.plain(name!("id"), "req_1");
        line.number(name!("count"), 7_u64);
        line.flag(name!("stream"), false);
        line.milliseconds(name!("took_ms"), 12_034);
        line.end();
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_line_is_json() {
        assert_eq!(
            written(Format::Json),
            "{\"time\":\"2026-11-23T06:03:41.250Z\",\"plain\":\"größe\",\"blank\":\"a b\",\"empty\":\"\",\
             \"quote\":\"\\\"=\\\\\",\"control\":\"a\\nb=1\\u007f\",\"id\":\"req_1\",\"count\":7,\"stream\":false,\
             \"took_ms\":12.034}\n"
        );
    }

    #[test]
    fn a_line_is_logfmt_and_quotes_what_would_be_read_as_something_else() {
        assert_eq!(
            written(Format::Logfmt),
            "time=2026-11-23T06:03:41.250Z plain=größe blank=\"a b\" empty=\"\" quote=\"\\\"=\\\\\" \
             control=\"a\\nb=1\\u007f\" id=req_1 count=7 stream=false took_ms=12.034\n"
        );
    }
}
