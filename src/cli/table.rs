//! A table for people: columns as wide as what stands in them, numbers one below the other by their points, and on a terminal
//! no line longer than it is wide.

use std::io;

use unicode_width::UnicodeWidthStr as _;

use super::terminal::{Ink, Out, paint};

/// Blanks between columns.
const GAP: usize = 2;

/// Columns that no text is cut below.
const LEAST: usize = 7;

/// The same of the first column, by which lines are told apart.
const LEAST_FIRST: usize = 20;

/// The same of a header over numbers that are shorter.
const LEAST_HEADER: usize = 4;

/// The same of a time: its day and an ellipsis.
const DAY: usize = 11;

/// Words that stand where a number would.
const NO_NUMBER: [&str; 6] = ["", "-", "none", "no limit", "any number", "never"];

/// Columns that are copied into other commands, and never cut.
const WHOLE: [&str; 3] = ["ID", "KEY", "VERSION"];

/// Columns whose words tell good from bad.
const STATES: [&str; 4] = ["STATE", "STATUS", "OUTCOME", "ENABLED"];

/// Writes `rows`, of which the first is the header.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(out: &mut dyn Out, rows: &[Vec<String>]) -> io::Result<()> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| clean(row)).collect();
    let count = rows.first().map_or(0, Vec::len);
    let mut columns: Vec<Column> = (0..count).map(|at| Column::of(&rows, at)).collect();
    if let Some(width) = out.width() {
        fit(&mut columns, width);
    }
    let has_colours = out.has_colours();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&columns);
        let line = cells.map(|(cell, column)| {
            let text = column.lay(cell);
            let ink = match number {
                0 => Some(Ink::Strong),
                _ => column.ink(cell),
            };
            // Blanks have no colour, and none is left at the end of a line.
            let blanks = text.len() - text.trim_end_matches(' ').len();
            let shown = &text[..text.len() - blanks];
            let shown = ink.map_or_else(|| shown.to_owned(), |ink| paint(shown, ink, has_colours));
            shown + &" ".repeat(blanks + GAP)
        });
        let line: String = line.collect();
        writeln!(out, "{}", line.trim_end_matches(' '))?;
    }
    Ok(())
}

/// Writes names and values, a pair a line.
///
/// # Errors
/// When `out` cannot be written.
pub fn pairs(out: &mut dyn Out, rows: &[(&str, String)]) -> io::Result<()> {
    let widest = rows.iter().map(|(name, _)| name.width()).max();
    for (name, value) in rows {
        let blanks = widest.unwrap_or(0) + GAP - name.width();
        let value = clean(std::slice::from_ref(value)).concat();
        writeln!(out, "{name}{}{value}", " ".repeat(blanks))?;
    }
    Ok(())
}

/// What a terminal would take for a command is none of a cell.
fn clean(row: &[String]) -> Vec<String> {
    let letter = |letter: char| match letter.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => letter,
    };
    row.iter()
        .map(|cell| cell.chars().map(letter).collect())
        .collect()
}

struct Column {
    width: usize,
    /// Columns behind the point, with it, where numbers stand in it.
    number: Option<usize>,
    /// What it is not made narrower than.
    least: usize,
    /// Whether times stand in it.
    times: bool,
    states: bool,
}

/// The part of a number before its point, and the rest; `None` where it is no number.
fn number(cell: &str) -> Option<(&str, &str)> {
    let digits = cell.trim_start_matches(['-', '+', '$']);
    let is_one = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.matches('.').count() <= 1;
    is_one.then(|| cell.split_at(cell.find('.').unwrap_or(cell.len())))
}

impl Column {
    fn of(rows: &[Vec<String>], at: usize) -> Self {
        let column = || rows.iter().filter_map(|row| row.get(at));
        let cells = || column().skip(1);
        let numbers = || cells().filter_map(|cell| number(cell));
        let is_number = |cell: &String| number(cell).is_some() || NO_NUMBER.contains(&&**cell);
        let are_numbers = numbers().next().is_some() && cells().all(is_number);
        let header = column().next().map_or("", String::as_str);
        let before = numbers().map(|(whole, _)| whole.len()).max().unwrap_or(0);
        let behind = numbers().map(|(_, rest)| rest.len()).max().unwrap_or(0);
        let widest = cells().map(|cell| cell.width()).max().unwrap_or(0);
        let content = match are_numbers {
            true => widest.max(before + behind),
            false => widest,
        };
        let width = content.max(header.width());
        let times = cells().any(|cell| is_time(cell));
        let least = match at {
            _ if WHOLE.contains(&header) => width,
            _ if are_numbers => content.max(LEAST_HEADER),
            _ if times => DAY,
            0 => LEAST_FIRST,
            _ => LEAST,
        };
        Self {
            width,
            number: are_numbers.then_some(behind),
            least: least.min(width),
            times,
            states: STATES.contains(&header),
        }
    }

    /// The cell as wide as the column.
    fn lay(&self, cell: &str) -> String {
        let width = self.width;
        match (self.number, number(cell)) {
            (None, _) => {
                let cell = shortened(cell, width);
                let blanks = " ".repeat(width.saturating_sub(cell.width()));
                cell + &blanks
            }
            (Some(behind), Some((whole, rest))) => {
                let before = width.saturating_sub(behind);
                format!("{whole:>before$}{rest:<behind$}")
            }
            (Some(_), None) => {
                let cell = shortened(cell, width);
                " ".repeat(width.saturating_sub(cell.width())) + &cell
            }
        }
    }

    fn ink(&self, cell: &str) -> Option<Ink> {
        let ink = match cell {
            "active" | "enabled" | "open" | "done" | "yes" => Ink::Good,
            "disabled" | "expired" | "deprecated" | "preview" => Ink::Warning,
            "revoked" | "closed" | "unreadable" | "removed" => Ink::Bad,
            _ => return None,
        };
        self.states.then_some(ink)
    }
}

/// A moment as RFC 3339 writes it in UTC, to the second.
fn is_time(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    bytes.len() == 20 && bytes[10] == b'T' && bytes[19] == b'Z'
}

/// Makes columns narrower until all are on the terminal, or no more can be cut: headers over numbers, then texts, the widest
/// first, and then times.
fn fit(columns: &mut [Column], width: usize) {
    let kinds: [fn(&Column) -> bool; 3] = [
        |column| column.number.is_some(),
        |column| column.number.is_none() && !column.times,
        |column| column.times,
    ];
    for is_of_kind in kinds {
        loop {
            let taken = columns.iter().map(|column| column.width + GAP);
            if taken.sum::<usize>() <= width + GAP {
                return;
            }
            let wide = columns
                .iter_mut()
                .filter(|column| column.width > column.least);
            let wide = wide.filter(|column| is_of_kind(column));
            match wide.max_by_key(|column| column.width) {
                Some(widest) if widest.times => widest.width = widest.least,
                Some(widest) => widest.width -= 1,
                None => break,
            }
        }
    }
}

/// The beginning of a text, with an ellipsis where something is left out.
fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    for letter in text.chars() {
        shown.push(letter);
        if shown.width() >= width {
            shown.pop();
            break;
        }
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal of so many columns.
    struct Screen(Vec<u8>, usize, bool);

    impl io::Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Out for Screen {
        fn width(&self) -> Option<usize> {
            Some(self.1).filter(|width| *width > 0)
        }

        fn has_colours(&self) -> bool {
            self.2
        }
    }

    fn shown(rows: &[&[&str]], width: usize, colours: bool) -> String {
        let row = |row: &&[&str]| row.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        let mut screen = Screen(Vec::new(), width, colours);
        write(&mut screen, &rows).expect("written");
        String::from_utf8(screen.0).expect("text")
    }

    #[test]
    fn numbers_stand_below_one_another() {
        let rows: [&[&str]; 5] = [
            &["NAME", "KEYS", "BALANCE", "LIMIT"],
            &["a", "7", "-3.00", "no limit"],
            &["bb", "120", "12.5000001", "5"],
            &["", "0", "$0.10", "-"],
            &["c", "", "1000", "none"],
        ];
        assert_eq!(
            shown(&rows, 0, false),
            "NAME  KEYS       BALANCE     LIMIT\n\
             a        7    -3.00       no limit\n\
             bb     120    12.5000001         5\n\
             \u{20}        0    $0.10              -\n\
             c           1000              none\n"
        );
    }

    #[test]
    fn what_only_begins_as_a_number_is_text() {
        let rows: [&[&str]; 3] = [&["DAY", "V"], &["2026-11-01", "1.2.3"], &["x", "10"]];
        assert_eq!(
            shown(&rows, 0, false),
            "DAY         V\n2026-11-01  1.2.3\nx           10\n"
        );
    }

    #[test]
    fn cells_are_cut_on_a_terminal_only() {
        let long = "a text that is longer than most terminals are wide";
        let at = "2026-11-26T16:08:45Z";
        let rows: [&[&str]; 2] = [
            &["ID", "WHAT", "ATTEMPTS", "CREATED"],
            &["2f8k1m0qXYZ0abcd", long, "5", at],
        ];
        let whole = shown(&rows, 0, false);
        assert!(whole.contains(long) && whole.contains(at), "{whole}");
        for (width, time) in [(45, "2026-11-26…"), (60, at), (90, at)] {
            let cut = shown(&rows, width, false);
            let widest = cut.lines().map(|line| line.width()).max();
            assert!(widest.is_some_and(|widest| widest <= width), "{cut}");
            assert!(cut.contains("2f8k1m0qXYZ0abcd"), "{cut}");
            assert!(cut.contains('…') && cut.contains(time), "{cut}");
        }
        // There is nothing more that may be cut.
        let least = shown(&rows, 5, false);
        assert!(least.contains("a text…"), "{least}");
    }

    #[test]
    fn wide_letters_take_two_columns() {
        let rows: [&[&str]; 3] = [&["NAME", "X"], &["日本語", "a"], &["abc", "b"]];
        assert_eq!(shown(&rows, 0, false), "NAME    X\n日本語  a\nabc     b\n");
        assert_eq!(shortened("日本語日本語", 6), "日本…");
        assert_eq!(shortened("日本語日本語", 5), "日本…");
    }

    #[test]
    fn colours_change_nothing_but_the_colour() {
        let rows: [&[&str]; 3] = [&["NAME", "STATE"], &["a", "active"], &["b", "revoked"]];
        let plain = shown(&rows, 0, false);
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        let coloured = shown(&rows, 0, true);
        assert!(
            coloured.contains("\u{1b}[32mactive\u{1b}[0m"),
            "{coloured:?}"
        );
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }

    #[test]
    fn what_would_be_a_command_to_the_terminal_is_not_written() {
        let rows: [&[&str]; 2] = [&["NAME"], &["a\u{1b}[31m\r\nb"]];
        assert_eq!(
            shown(&rows, 0, false),
            "NAME\na\u{fffd}[31m\u{fffd}\u{fffd}b\n"
        );
    }
}
