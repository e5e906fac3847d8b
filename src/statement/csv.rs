//! Comma-separated values (RFC 4180), read and written.

use std::io::{self, Write};

/// A record, with the line on which it begins.
pub type Record = (usize, Vec<String>);

/// All records of a text: fields between commas, those in quotes as they are, with quotes doubled. Empty lines are left
/// out, and a byte order mark.
///
/// # Errors
/// The line of a quote that does not end, or that stands where none may.
pub fn read(text: &str) -> Result<Vec<Record>, usize> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        let line = reader.line;
        let fields = reader.record()?;
        if fields != [""] {
            records.push((line, fields));
        }
    }
    Ok(records)
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
}

impl Reader<'_> {
    fn record(&mut self) -> Result<Vec<String>, usize> {
        let mut fields = Vec::new();
        loop {
            fields.push(match self.rest.strip_prefix('"') {
                Some(rest) => {
                    self.rest = rest;
                    self.quoted()?
                }
                None => self.plain(),
            });
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
            } else {
                self.end_of_line()?;
                return Ok(fields);
            }
        }
    }

    fn plain(&mut self) -> String {
        let end = self.rest.find([',', '\r', '\n']);
        let (field, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        field.to_owned()
    }

    fn quoted(&mut self) -> Result<String, usize> {
        let began = self.line;
        let mut field = String::new();
        loop {
            let (part, rest) = self.rest.split_once('"').ok_or(began)?;
            field.push_str(part);
            self.line += part.matches('\n').count();
            match rest.strip_prefix('"') {
                Some(rest) => {
                    field.push('"');
                    self.rest = rest;
                }
                None => {
                    self.rest = rest;
                    return Ok(field);
                }
            }
        }
    }

    fn end_of_line(&mut self) -> Result<(), usize> {
        let ends = ["\r\n", "\n", "\r"];
        let rest = ends.iter().find_map(|end| self.rest.strip_prefix(end));
        match rest {
            Some(rest) => self.rest = rest,
            None if self.rest.is_empty() => {}
            None => return Err(self.line),
        }
        self.line += 1;
        Ok(())
    }
}

/// A field to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A number or a time of ours: written as it is.
    Value(String),
    /// A text that somebody chose. One that a spreadsheet would take for a formula gets an apostrophe before it.
    Text(String),
}

/// Writes one record.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(out: &mut dyn Write, fields: impl IntoIterator<Item = Field>) -> io::Result<()> {
    let fields: Vec<String> = fields.into_iter().map(written).collect();
    write!(out, "{}\r\n", fields.join(","))
}

fn written(field: Field) -> String {
    let text = match field {
        Field::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Field::Text(text) | Field::Value(text) => text,
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> Vec<(usize, Vec<String>)> {
        read(text).expect(text)
    }

    fn record(line: usize, fields: &[&str]) -> Record {
        (line, fields.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn records_are_read_with_their_lines() {
        let text = "\u{feff}a,b\r\n1,\r\n\r\n\"x,\"\"y\"\"\nz\",2\nlast";
        let expected = [
            record(1, &["a", "b"]),
            record(2, &["1", ""]),
            record(4, &["x,\"y\"\nz", "2"]),
            record(6, &["last"]),
        ];
        assert_eq!(fields(text), expected);
        assert_eq!(fields(""), []);
        assert_eq!(fields("\"\"\n"), []);
        assert_eq!(fields(",\n"), [record(1, &["", ""])]);
    }

    #[test]
    fn a_quote_that_makes_no_sense_is_told_with_its_line() {
        for (text, line) in [("a\n\"b", 2), ("a\n\"b\"c\n", 2), ("\"\n\n", 1)] {
            assert_eq!(read(text), Err(line), "{text}");
        }
    }

    #[test]
    fn no_field_becomes_a_formula() {
        let mut out = Vec::new();
        let record = [
            Field::Text("=1+1".to_owned()),
            Field::Value("-0.5".to_owned()),
            Field::Text("a \"b\", c".to_owned()),
        ];
        write(&mut out, record).expect("written");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "'=1+1,-0.5,\"a \"\"b\"\", c\"\r\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(values in proptest::collection::vec("[a-c,\"\r\n é]{0,6}", 2..5)) {
            let mut out = Vec::new();
            write(&mut out, values.iter().cloned().map(Field::Value)).expect("written");
            let text = String::from_utf8(out).expect("text");
            prop_assert_eq!(read(&text), Ok(vec![(1, values)]));
        }
    }
}
