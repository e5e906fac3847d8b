//! How long it takes to begin, by what is read; and that a batch is written once.

use super::*;
use crate::store::{Book, Store};

/// The statements that a ledger begins with, and what each may go through: an index, or a table that does not grow with
/// the usage of years.
const PLANS: [(&str, &str); 5] = [
    (HELD, "USING INDEX usage_held"),
    (LAST, "SEARCH usage"),
    (SPEND, "USING PRIMARY KEY (day>?)"),
    (GRANTS, "grants_left"),
    (ACCOUNTS, "accounts_by_change"),
];

#[tokio::test]
async fn what_a_ledger_begins_with_does_not_grow_with_the_usage_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let connection = connect(store.file()).unwrap();
    for (sql, expected) in PLANS {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let values = vec![0; statement.parameter_count()];
        let steps: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let plan = steps.join("; ");
        assert!(plan.contains(expected), "{sql}: {plan}");
    }
}

/// A batch that moves `amount` from one system book to another.
fn moving(amount: i64) -> Batch {
    let mut batch = Batch::default();
    batch.transfer(Book::OPERATOR, Book::COST, amount);
    batch
}

#[tokio::test]
async fn a_batch_whose_end_was_not_reported_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (mut ledger, _) = LedgerStore::claim(store.file(), 7, Day(0)).unwrap();
    ledger.write(&moving(5)).unwrap();
    // As after a commit that came to the disk and failed all the same.
    ledger.batches -= 1;
    ledger.connection = None;
    ledger.write(&moving(5)).unwrap();
    assert_eq!(store.balance(Book::COST).await.unwrap(), 5);
    ledger.write(&moving(2)).unwrap();
    assert_eq!(store.balance(Book::COST).await.unwrap(), 7);
}

#[tokio::test]
async fn who_is_no_more_the_owner_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (mut first, _) = LedgerStore::claim(store.file(), 7, Day(0)).unwrap();
    let (mut second, _) = LedgerStore::claim(store.file(), 8, Day(0)).unwrap();
    let refused = first.write(&moving(5));
    assert!(matches!(refused, Err(StoreError::LedgerLost)));
    second.write(&moving(3)).unwrap();
    let refused = first.write(&moving(5));
    assert!(matches!(refused, Err(StoreError::LedgerLost)));
    assert_eq!(store.balance(Book::COST).await.unwrap(), 3);
}

#[tokio::test]
async fn what_is_not_there_any_more_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (mut ledger, _) = LedgerStore::claim(store.file(), 7, Day(0)).unwrap();
    let mut batch = moving(5);
    batch.grants.insert(GrantId(1), 0);
    let refused = ledger.write(&batch).unwrap_err();
    assert!(refused.to_string().contains("books or grants"), "{refused}");
    assert_eq!(store.balance(Book::COST).await.unwrap(), 0);
}
