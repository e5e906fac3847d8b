//! A [`Batch`] as statements, each kind of which is prepared once: on the writer's own thread a row costs a few
//! microseconds. Most of a batch are usage rows (`rows`).

mod bound;
mod rows;

use rusqlite::Connection;

use super::batch::{Batch, Book};

pub(super) use bound::{integer, run, text};
pub(super) use rows::tell;

const TRANSFER: &str =
    "INSERT INTO transfers (debit, credit, amount, of_grant, at) VALUES (?, ?, ?, ?, ?)";

const MOVE: &str = "UPDATE balances SET amount = amount + ? WHERE book = ?";

const LEFT: &str = "UPDATE grants SET remaining = ? WHERE id = ?";

const SPEND: &str = "INSERT INTO key_spend (day, access_key, amount) VALUES (?, ?, ?) \
     ON CONFLICT (day, access_key) DO UPDATE SET amount = amount + excluded.amount";

/// What a batch did not find in the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// Rows that are to end and are not held.
    Rows,
    /// Books or grants.
    Books,
}

/// Writes everything in `batch`, within the transaction of `connection`.
///
/// # Errors
/// The database fails. A mismatch is the inner error: the transaction must not be committed then.
pub(super) fn write(
    connection: &Connection,
    batch: &Batch,
) -> rusqlite::Result<Result<(), Mismatch>> {
    if let Err(mismatch) = rows::write(connection, batch)? {
        return Ok(Err(mismatch));
    }
    let mut found = run(connection, MOVE, &batch.moves, |(book, by), values| {
        values.extend([integer(*by), integer(book.0)]);
    })?;
    found += run(connection, LEFT, &batch.grants, |(grant, left), values| {
        values.extend([integer(*left), integer(grant.0)]);
    })?;
    if found != batch.moves.len() + batch.grants.len() {
        return Ok(Err(Mismatch::Books));
    }
    run(connection, TRANSFER, &batch.expired, |row, values| {
        let (from, to) = (Book::of(row.account).0, Book::EXPIRED.0);
        values.extend([from, to, row.amount, row.grant.0, row.at].map(integer));
    })?;
    run(
        connection,
        SPEND,
        &batch.spend,
        |((day, key), by), values| {
            values.extend([integer(day.0), text(key.as_str()), integer(*by)]);
        },
    )?;
    Ok(Ok(()))
}
