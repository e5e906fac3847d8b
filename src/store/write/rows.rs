//! Usage rows as statements.

use std::sync::LazyLock;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::Mismatch;
use super::bound::{Insert, Values, integer, run, text};
use crate::store::batch::{Batch, Ended, Opened};
use crate::store::row::tier_name;

/// What [`opened`] writes. In the table's order, so that SQLite need not move them (1,000 instructions a row).
const OPENED: &str = "id, state, request, attempt, account, access_key, provider, model, surface, credential, catalog, \
     held, estimate, started";

/// What [`ended`] writes: the columns behind those.
const ENDED: &str = "ended, outcome, status, upstream_id, input, cached, cache_write, cache_write_1h, audio_input, \
     image_input, output, reasoning, audio_output, image_output, searches, tier, charged, fee, absorbed, estimated, \
     flags";

const EXPECT: &str = "UPDATE usage SET estimate = ? WHERE id = ? AND state = 0";

/// What a row's `state` says.
const HELD: ValueRef<'_> = ValueRef::Integer(0);
const SETTLED: ValueRef<'_> = ValueRef::Integer(1);
const VOID: ValueRef<'_> = ValueRef::Integer(2);

static OPEN: LazyLock<Insert> = LazyLock::new(|| Insert::into("usage", OPENED));

static WHOLE: LazyLock<Insert> =
    LazyLock::new(|| Insert::into("usage", &format!("{OPENED}, {ENDED}")));

/// Only what is held ends: nothing is charged twice.
static END: LazyLock<String> = LazyLock::new(|| end(&format!("{ENDED}, state")));

/// The same by a process that has left: it is held until the owner has charged it.
static TOLD: LazyLock<String> = LazyLock::new(|| end(ENDED));

fn end(columns: &str) -> String {
    let set = columns.replace(',', " = ?,");
    format!("UPDATE usage SET {set} = ? WHERE id = ? AND state = 0")
}

/// Writes the rows of `batch` that begin and that end.
///
/// # Errors
/// As [`super::write`].
pub(super) fn write(
    connection: &Connection,
    batch: &Batch,
) -> rusqlite::Result<Result<(), Mismatch>> {
    let (ends, older) = paired(batch);
    let both = || batch.opened.iter().zip(&ends);
    let open = both().filter_map(|(row, end)| end.is_none().then_some(row));
    begin(connection, open)?;
    let whole = both().filter_map(|(row, end)| end.map(|end| (row, end)));
    WHOLE.run(connection, whole, |(row, end), values| {
        opened(row, state(end), values);
        ended(end, values);
    })?;
    expect(connection, batch)?;
    let changed = run(connection, &END, older.iter().copied(), |row, values| {
        ended(row, values);
        values.extend([state(row), integer(row.id.0)]);
    })?;
    Ok(match changed == older.len() {
        true => Ok(()),
        false => Err(Mismatch::Rows),
    })
}

/// Writes the rows of `batch` that begin, and how rows have ended, which all stay held.
///
/// # Errors
/// The database fails.
pub(in crate::store) fn tell(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    begin(connection, &batch.opened)?;
    run(connection, &TOLD, &batch.ended, |row, values| {
        ended(row, values);
        values.push(integer(row.id.0));
    })?;
    expect(connection, batch)
}

/// The end of each row that begins in `batch`, if it has ended there, too; and the ends of older ones.
fn paired(batch: &Batch) -> (Vec<Option<&Ended>>, Vec<&Ended>) {
    // Rows that begin have numbers in a row: the place of each is known from its number.
    let first = batch.opened.first().map_or(0, |row| row.id.0);
    let mut ends: Vec<Option<&Ended>> = vec![None; batch.opened.len()];
    let mut older = Vec::new();
    for row in &batch.ended {
        let place = usize::try_from(row.id.0 - first).ok();
        match place.and_then(|place| ends.get_mut(place)) {
            Some(slot) => *slot = Some(row),
            None => older.push(row),
        }
    }
    (ends, older)
}

fn begin<'b>(
    connection: &Connection,
    rows: impl IntoIterator<Item = &'b Opened>,
) -> rusqlite::Result<()> {
    OPEN.run(connection, rows, |row, values| {
        opened(row, HELD, values);
    })
}

/// One that has ended since is none of them any more.
fn expect(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    run(
        connection,
        EXPECT,
        &batch.expected,
        |(id, estimate), values| {
            values.extend([integer(*estimate), integer(id.0)]);
        },
    )?;
    Ok(())
}

/// The values of [`OPENED`].
fn opened<'v>(row: &'v Opened, state: ValueRef<'v>, values: &mut Values<'v>) {
    let opening = &row.opening;
    values.extend([
        integer(row.id.0),
        state,
        text(&opening.request),
        integer(opening.attempt),
        integer(opening.account.0),
        text(opening.key.as_str()),
        text(&opening.provider),
        text(&opening.model),
        text(opening.surface),
        text(opening.credential.name()),
        text(&opening.catalog),
        integer(opening.hold.nanos()),
        integer(opening.estimate.nanos()),
        integer(row.started),
    ]);
}

/// The values of [`ENDED`].
fn ended<'v>(row: &'v Ended, values: &mut Values<'v>) {
    let closing = &row.closing;
    let usage = &closing.usage;
    values.extend([
        integer(row.ended),
        text(closing.outcome),
        closing.status.map_or(ValueRef::Null, integer),
        closing.upstream_id.as_deref().map_or(ValueRef::Null, text),
        count(usage.input),
        count(usage.cached),
        count(usage.cache_write),
        count(usage.cache_write_1h),
        count(usage.audio_input),
        count(usage.image_input),
        count(usage.output),
        count(usage.reasoning),
        count(usage.audio_output),
        count(usage.image_output),
        count(usage.searches),
        text(tier_name(usage.tier)),
        integer(row.charged),
        integer(row.fee),
        integer(row.absorbed),
        (closing.estimated).map_or(ValueRef::Null, |reason| text(reason.name())),
        integer(closing.flags.bits()),
    ]);
}

const fn state(row: &Ended) -> ValueRef<'static> {
    match row.void {
        true => VOID,
        false => SETTLED,
    }
}

/// A count above what a column can have is none that any provider told: it is written as the highest there is.
fn count<'v>(count: u64) -> ValueRef<'v> {
    ValueRef::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}
