//! A [`Batch`] as statements. Each kind is prepared once, and run once a row: on the writer's own thread a row costs a few
//! microseconds.

use std::sync::LazyLock;

use rusqlite::types::ToSql;
use rusqlite::{Connection, params};

use super::batch::{Batch, Book, Ended, Opened};
use super::row::tier_name;

const OPENED: &str = "id, request, attempt, account, access_key, provider, model, surface, credential, catalog, held, \
     estimate, started";

const ENDED: &str = "state, ended, outcome, status, upstream_id, input, cached, cache_write, cache_write_1h, \
     audio_input, image_input, output, reasoning, audio_output, image_output, searches, tier, charged, fee, absorbed, \
     estimated, flags";

const EXPECT: &str = "UPDATE usage SET estimate = ? WHERE id = ? AND state = 0";

const TRANSFER: &str =
    "INSERT INTO transfers (debit, credit, amount, of_grant, at) VALUES (?, ?, ?, ?, ?)";

const MOVE: &str = "UPDATE balances SET amount = amount + ? WHERE book = ?";

const LEFT: &str = "UPDATE grants SET remaining = ? WHERE id = ?";

const SPEND: &str = "INSERT INTO key_spend (day, access_key, amount) VALUES (?, ?, ?) \
     ON CONFLICT (day, access_key) DO UPDATE SET amount = amount + excluded.amount";

static OPEN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO usage (state, {OPENED}) VALUES (0, {})",
        marks(OPENED)
    )
});

static WHOLE: LazyLock<String> = LazyLock::new(|| {
    let marks = [marks(OPENED), marks(ENDED)].join(", ");
    format!("INSERT INTO usage ({OPENED}, {ENDED}) VALUES ({marks})")
});

/// Only what is held ends: nothing is charged twice.
static END: LazyLock<String> = LazyLock::new(|| {
    let set = ENDED.replace(',', " = ?,");
    format!("UPDATE usage SET {set} = ? WHERE id = ? AND state = 0")
});

/// The same by a process that has left: it is held until the owner has charged it.
static TOLD: LazyLock<String> = LazyLock::new(|| {
    let columns = ENDED.trim_start_matches("state, ");
    let set = columns.replace(',', " = ?,");
    format!("UPDATE usage SET {set} = ? WHERE id = ? AND state = 0")
});

fn marks(columns: &str) -> String {
    vec!["?"; columns.split(", ").count()].join(", ")
}

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
    if let Err(mismatch) = rows(connection, batch)? {
        return Ok(Err(mismatch));
    }
    let mut found = run(connection, MOVE, &batch.moves, |run, (book, by)| {
        run(params![by, book.0])
    })?;
    found += run(connection, LEFT, &batch.grants, |run, (grant, left)| {
        run(params![left, grant.0])
    })?;
    if found != batch.moves.len() + batch.grants.len() {
        return Ok(Err(Mismatch::Books));
    }
    run(connection, TRANSFER, &batch.expired, |run, row| {
        let (from, to) = (Book::of(row.account).0, Book::EXPIRED.0);
        run(params![from, to, row.amount, row.grant.0, row.at])
    })?;
    run(connection, SPEND, &batch.spend, |run, ((day, key), by)| {
        run(params![day.0, key.as_str(), by])
    })?;
    Ok(Ok(()))
}

/// Writes the rows of `batch` that have begun, and how rows have ended, which are all held still.
///
/// # Errors
/// The database fails.
pub(super) fn tell(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    run(connection, &OPEN, &batch.opened, |run, row| {
        opened(row, |values| run(values))
    })?;
    run(connection, &TOLD, &batch.ended, |run, row| {
        ended(row, |values| {
            let behind_state = values.get(1..).unwrap_or_default();
            run(&[behind_state, &[&row.id.0]].concat())
        })
    })?;
    expect(connection, batch)
}

/// One that has ended since is none of them any more.
fn expect(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    run(
        connection,
        EXPECT,
        &batch.expected,
        |run, (id, estimate)| run(params![estimate, id.0]),
    )?;
    Ok(())
}

/// Runs a statement for each of `items`, and says how many rows it changed.
pub(super) fn run<I: IntoIterator>(
    connection: &Connection,
    sql: &str,
    items: I,
    each: impl Fn(
        &mut dyn FnMut(&[&dyn ToSql]) -> rusqlite::Result<usize>,
        I::Item,
    ) -> rusqlite::Result<usize>,
) -> rusqlite::Result<usize> {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return Ok(0);
    }
    let mut statement = connection.prepare_cached(sql)?;
    let mut execute = |values: &[&dyn ToSql]| statement.execute(values);
    let mut changed = 0;
    for item in items {
        changed += each(&mut execute, item)?;
    }
    Ok(changed)
}

/// Rows that begin have numbers in a row: the place of each is known from its number.
fn rows(connection: &Connection, batch: &Batch) -> rusqlite::Result<Result<(), Mismatch>> {
    let first = batch.opened.first().map_or(0, |row| row.id.0);
    let mut ends: Vec<Option<&Ended>> = vec![None; batch.opened.len()];
    let mut older = Vec::with_capacity(batch.ended.len());
    for row in &batch.ended {
        let place = usize::try_from(row.id.0 - first).ok();
        match place.and_then(|place| ends.get_mut(place)) {
            Some(slot) => *slot = Some(row),
            None => older.push(row),
        }
    }
    let both = || batch.opened.iter().zip(&ends);
    let open = both().filter_map(|(row, end)| end.is_none().then_some(row));
    run(connection, &OPEN, open, |run, row| {
        opened(row, |values| run(values))
    })?;
    let whole = both().filter_map(|(row, end)| end.map(|end| (row, end)));
    run(connection, &WHOLE, whole, |run, (row, end)| {
        opened(row, |first| ended(end, |last| run(&[first, last].concat())))
    })?;
    expect(connection, batch)?;
    let changed = run(connection, &END, &older, |run, row| {
        ended(row, |values| run(&[values, &[&row.id.0]].concat()))
    })?;
    Ok(match changed == older.len() {
        true => Ok(()),
        false => Err(Mismatch::Rows),
    })
}

/// Gives `with` the values of [`OPENED`].
fn opened<T>(row: &Opened, with: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
    let opening = &row.opening;
    with(params![
        row.id.0,
        opening.request,
        opening.attempt,
        opening.account.0,
        opening.key.as_str(),
        opening.provider,
        opening.model,
        opening.surface,
        opening.credential.name(),
        opening.catalog,
        opening.hold.nanos(),
        opening.estimate.nanos(),
        row.started,
    ])
}

/// Gives `with` the values of [`ENDED`].
fn ended<T>(row: &Ended, with: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
    let closing = &row.closing;
    let usage = &closing.usage;
    with(params![
        if row.void { 2 } else { 1 },
        row.ended,
        closing.outcome,
        closing.status,
        closing.upstream_id,
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
        tier_name(usage.tier),
        row.charged,
        row.fee,
        row.absorbed,
        closing.estimated.map(|reason| reason.name()),
        closing.flags.bits(),
    ])
}

/// A count above what a column can have is none that any provider told: it is written as the highest there is.
fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
