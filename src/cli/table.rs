//! A table for people: columns as wide as their widest cells.

use std::io::{self, Write};

/// Writes `rows`, of which the first is the header.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}  "));
        writeln!(out, "{}", cells.collect::<String>().trim_ascii_end())?;
    }
    Ok(())
}
