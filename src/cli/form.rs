//! How a command's answer is written: for people, or as one JSON document for programs.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Form {
    /// As JSON, for programs; errors too, on standard error
    #[arg(long)]
    pub json: bool,
}

impl Form {
    /// Writes `value`, or `text` for people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn tell(
        self,
        out: &mut (impl Write + ?Sized),
        value: &impl Serialize,
        text: impl Display,
    ) -> io::Result<()> {
        match self.json {
            true => json(out, value),
            false => writeln!(out, "{text}"),
        }
    }
}

/// One JSON document and a line break.
///
/// # Errors
/// When `out` cannot be written.
pub fn json(out: &mut (impl Write + ?Sized), value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(io::Error::from)?;
    text.push(b'\n');
    out.write_all(&text)
}
