//! A [`Batch`] as statements.

use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;

use super::batch::{Batch, Book, Ended, Expired, Opened};
use super::row::{Closing, tier_name};
use super::statements::{Grouped, Query};

const OPENED: &str = "id, request, attempt, account, access_key, provider, model, surface, credential, catalog, held, \
     estimate, started";

const ENDED: &str = "state, ended, outcome, status, upstream_id, input, cached, cache_write, cache_write_1h, \
     audio_input, image_input, output, reasoning, audio_output, image_output, searches, tier, charged, fee, absorbed, \
     estimated, flags";

/// Every statement.
struct Statements {
    open: Grouped,
    end: Grouped,
    whole: Grouped,
    transfer: Grouped,
    moves: Grouped,
    grants: Grouped,
    spend: Grouped,
}

static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| {
    let (opened, ended) = (OPENED.split(", ").count(), ENDED.split(", ").count());
    let set = ENDED.split(", ").map(|column| format!("{column} = ?"));
    let set = set.collect::<Vec<_>>().join(", ");
    Statements {
        open: Grouped::values(
            &format!("INSERT INTO usage ({OPENED}, state)"),
            opened + 1,
            "",
        ),
        // Only what is held ends: nothing is charged twice.
        end: Grouped::repeated(&format!(
            "UPDATE usage SET {set} WHERE id = ? AND state = 0"
        )),
        whole: Grouped::values(
            &format!("INSERT INTO usage ({OPENED}, {ENDED})"),
            opened + ended,
            "",
        ),
        transfer: Grouped::values(
            "INSERT INTO transfers (debit, credit, amount, of_grant, at)",
            5,
            "",
        ),
        moves: Grouped::repeated("UPDATE balances SET amount = amount + ? WHERE book = ?"),
        grants: Grouped::repeated("UPDATE grants SET remaining = ? WHERE id = ?"),
        spend: Grouped::values(
            "INSERT INTO key_spend (day, access_key, amount)",
            3,
            "ON CONFLICT (day, access_key) DO UPDATE SET amount = amount + excluded.amount",
        ),
    }
});

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
pub(super) async fn write(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> sqlx::Result<Result<(), Mismatch>> {
    let sql = &*STATEMENTS;
    let rows = Rows::of(batch);
    sql.open
        .run(connection, &rows.open, |query, row| {
            opened(query, row).bind(0)
        })
        .await?;
    sql.whole
        .run(connection, &rows.whole, |query, (row, end)| {
            ended(opened(query, row), end)
        })
        .await?;
    let end = |query, row: &&Ended| ended(query, row).bind(row.id.0);
    if sql.end.run(connection, &rows.end, end).await? != rows.end.len() as u64 {
        return Ok(Err(Mismatch::Rows));
    }
    let moves: Vec<_> = batch.moves.iter().collect();
    let move_one = |query: Query, (book, by): &(&Book, &i64)| query.bind(**by).bind(book.0);
    let found = sql.moves.run(connection, &moves, move_one).await?;
    let grants: Vec<_> = batch
        .grants
        .iter()
        .map(|(id, left)| (id.0, *left))
        .collect();
    let set_one = |query: Query, (id, left): &(i64, i64)| query.bind(*left).bind(*id);
    let found = found + sql.grants.run(connection, &grants, set_one).await?;
    if found != (moves.len() + grants.len()) as u64 {
        return Ok(Err(Mismatch::Books));
    }
    sql.transfer
        .run(connection, &batch.expired, expired)
        .await?;
    let spend: Vec<_> = batch.spend.iter().collect();
    sql.spend
        .run(connection, &spend, |query, ((day, key), by)| {
            query.bind(day.0).bind(key.as_str().to_owned()).bind(**by)
        })
        .await?;
    Ok(Ok(()))
}

/// The rows of a batch by what has to be done with them.
struct Rows<'b> {
    open: Vec<&'b Opened>,
    whole: Vec<(&'b Opened, &'b Ended)>,
    end: Vec<&'b Ended>,
}

impl<'b> Rows<'b> {
    /// Rows that begin have numbers in a row: the place of each is known from its number.
    fn of(batch: &'b Batch) -> Self {
        let first = batch.opened.first().map_or(0, |row| row.id.0);
        let mut ends: Vec<Option<&Ended>> = vec![None; batch.opened.len()];
        let mut end = Vec::with_capacity(batch.ended.len());
        for row in &batch.ended {
            let place = usize::try_from(row.id.0 - first).ok();
            match place.and_then(|place| ends.get_mut(place)) {
                Some(slot) => *slot = Some(row),
                None => end.push(row),
            }
        }
        let (mut open, mut whole) = (Vec::new(), Vec::new());
        for (row, end) in batch.opened.iter().zip(ends) {
            match end {
                Some(end) => whole.push((row, end)),
                None => open.push(row),
            }
        }
        Self { open, whole, end }
    }
}

/// The values of [`OPENED`].
fn opened(query: Query, row: &Opened) -> Query {
    let opening = &row.opening;
    query
        .bind(row.id.0)
        .bind(opening.request.clone())
        .bind(opening.attempt)
        .bind(opening.account.0)
        .bind(opening.key.as_str().to_owned())
        .bind(opening.provider.clone())
        .bind(opening.model.clone())
        .bind(opening.surface)
        .bind(opening.credential.name())
        .bind(opening.catalog.clone())
        .bind(opening.hold.nanos())
        .bind(opening.estimate.nanos())
        .bind(row.started)
}

/// The values of [`ENDED`].
fn ended(query: Query, row: &Ended) -> Query {
    let closing = &row.closing;
    let query = query
        .bind(if row.void { 2 } else { 1 })
        .bind(row.ended)
        .bind(closing.outcome)
        .bind(closing.status)
        .bind(closing.upstream_id.clone());
    counts(query, closing)
        .bind(row.charged)
        .bind(row.fee)
        .bind(row.absorbed)
        .bind(closing.estimated.map(|reason| reason.name()))
        .bind(closing.flags.bits())
}

/// A count above what a column can have is none that any provider told: it is written as the highest there is.
fn counts(query: Query, closing: &Closing) -> Query {
    let usage = &closing.usage;
    [
        usage.input,
        usage.cached,
        usage.cache_write,
        usage.cache_write_1h,
        usage.audio_input,
        usage.image_input,
        usage.output,
        usage.reasoning,
        usage.audio_output,
        usage.image_output,
        usage.searches,
    ]
    .into_iter()
    .fold(query, |query, count| {
        query.bind(i64::try_from(count).unwrap_or(i64::MAX))
    })
    .bind(tier_name(usage.tier))
}

fn expired(query: Query, row: &Expired) -> Query {
    query
        .bind(Book::of(row.account).0)
        .bind(Book::EXPIRED.0)
        .bind(row.amount)
        .bind(row.grant.0)
        .bind(row.at)
}
