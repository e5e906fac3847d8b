//! What can be shown where a command writes: how many columns there are, and colours. Whether there are colours is decided as
//! other programs do (NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM, `--color`), by the crate that most of them do it with.

use std::io::{self, BufWriter, IsTerminal as _, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal
    #[default]
    Auto,
    /// In pipes and files, too
    Always,
    /// Nowhere
    Never,
}

impl Colour {
    /// Decides it for this process.
    pub fn init(self) {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// Where a command writes its answer.
pub trait Out: Write {
    /// The columns of the terminal; `None` where there is none, and nothing is to be cut.
    fn width(&self) -> Option<usize> {
        None
    }

    /// Whether colours are seen.
    fn has_colours(&self) -> bool {
        false
    }
}

impl Out for Vec<u8> {}
impl Out for io::Stderr {}

impl<W: Out> Out for BufWriter<W> {
    fn width(&self) -> Option<usize> {
        self.get_ref().width()
    }

    fn has_colours(&self) -> bool {
        self.get_ref().has_colours()
    }
}

/// Standard output. Who reads only the beginning of it, as `head` does, has what it wants: that is no error.
pub struct Pipe {
    out: io::Stdout,
    width: Option<usize>,
    has_colours: bool,
}

impl Pipe {
    /// That of this process.
    #[must_use]
    pub fn new() -> Self {
        let out = io::stdout();
        Self {
            width: width(&out),
            has_colours: AutoStream::choice(&out) != ColorChoice::Never,
            out,
        }
    }
}

impl Out for Pipe {
    fn width(&self) -> Option<usize> {
        self.width
    }

    fn has_colours(&self) -> bool {
        self.has_colours
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.out.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.out.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// The columns of a terminal: as COLUMNS says, or the terminal itself.
fn width(out: &io::Stdout) -> Option<usize> {
    if !out.is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok();
    let said = said.and_then(|columns| columns.parse().ok());
    let own = || {
        let size = rustix::termios::tcgetwinsize(out).ok()?;
        Some(usize::from(size.ws_col))
    };
    said.or_else(own).filter(|columns| *columns > 0)
}

/// Whether colours are seen on standard error.
#[must_use]
pub fn aside_has_colours() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// What a text says by its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// A heading.
    Strong,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
}

/// `text` in colour, where that is seen.
#[must_use]
pub fn paint(text: &str, ink: Ink, has_colours: bool) -> String {
    if !has_colours || text.is_empty() {
        return text.to_owned();
    }
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    let style = match ink {
        Ink::Strong => Style::new().bold(),
        Ink::Good => colour(AnsiColor::Green),
        Ink::Warning => colour(AnsiColor::Yellow),
        Ink::Bad => colour(AnsiColor::Red).bold(),
    };
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_is_seen_only_where_there_are_colours() {
        assert_eq!(paint("x", Ink::Bad, false), "x");
        assert_eq!(paint("", Ink::Bad, true), "");
        let painted = paint("x", Ink::Good, true);
        assert_eq!(painted, "\u{1b}[32mx\u{1b}[0m");
    }
}
