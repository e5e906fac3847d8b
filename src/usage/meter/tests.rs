//! Answers of every provider and surface, as their documents, their SDKs' fixtures and `facts/` show them, each cut at
//! every byte: what is read does not depend on where.

mod answers;
mod hostile;

pub use hostile::packed;

use super::*;
use crate::usage::Tier;

/// Reads an answer in these pieces.
fn report(form: Form, coding: Coding, pieces: &[&[u8]]) -> Report {
    let mut meter = Meter::new(form, coding);
    for piece in pieces {
        meter.feed(piece);
    }
    meter.report()
}

/// Reads an answer, however it is cut.
fn read(form: Form, answer: &[u8]) -> Report {
    let whole = report(form, Coding::Identity, &[answer]);
    for cut in 0..=answer.len() {
        let (one, two) = answer.split_at(cut);
        let read = report(form, Coding::Identity, &[one, two]);
        assert_eq!(read, whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = answer.chunks(1).collect();
    assert_eq!(
        report(form, Coding::Identity, &bytes),
        whole,
        "byte by byte"
    );
    whole
}

fn json(answer: &str) -> Report {
    read(Form::Json, answer.as_bytes())
}

/// A stream with lines that end in LF, and the same with CRLF.
fn events(stream: &str) -> Report {
    let read_lf = read(Form::Events, stream.as_bytes());
    let crlf = stream.replace('\n', "\r\n");
    assert_eq!(read(Form::Events, crlf.as_bytes()), read_lf, "CRLF");
    read_lf
}

/// A sound report of this usage.
fn sound(usage: Usage) -> Report {
    Report {
        usage,
        flaw: None,
        ended: false,
        generated: 0,
        finished: 0,
    }
}

/// The same of a stream that came to its end.
fn ended(usage: Usage) -> Report {
    Report {
        ended: true,
        ..sound(usage)
    }
}
