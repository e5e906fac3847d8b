//! How long it takes to begin, by what is read; and that a batch is written once.

use super::*;
use crate::store::{Answer, Answered, Asked, AskedCaps, Book, Store, Word};

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

/// A process that has handed the ledger over, with a batch that asks for a row.
async fn left(store: &Store) -> (LedgerStore, Batch) {
    let (mut ledger, _) = LedgerStore::claim(store.file(), 7, Day(0)).unwrap();
    ledger.leave(RowId(100)).unwrap();
    let mut batch = Batch::default();
    batch.between.asked.push(Asked {
        row: RowId(5),
        caps: AskedCaps::default(),
    });
    (ledger, batch)
}

#[tokio::test]
async fn what_is_told_is_told_once_also_if_its_end_was_not_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (mut first, batch) = left(&store).await;
    let before = first.telling;
    first.tell(&batch).unwrap();
    first.telling = before;
    first.connection = None;
    first.tell(&batch).unwrap();
    assert!(
        matches!(first.write(&moving(5)), Ok(())),
        "nobody has it yet"
    );

    let (mut second, from) = LedgerStore::claim(store.file(), 8, Day(0)).unwrap();
    let generation = Generation {
        id: 7,
        first: RowId(1),
        last: Some(RowId(100)),
    };
    assert_eq!(from.generations, [generation]);
    assert_eq!(from.next_row, 101, "behind what is kept");
    let told = second.told(7, 0).unwrap();
    assert_eq!(told.len(), 1);
    assert!(told[0].stands.is_none() && matches!(told[0].what, Word::Asked(_)));
    assert_eq!(second.told(7, told[0].serial).unwrap().len(), 0);
    first.tell(&batch).unwrap();
    assert_eq!(second.told(7, told[0].serial).unwrap().len(), 1);

    assert!(second.was_changed().unwrap(), "at the first look");
    assert!(!second.was_changed().unwrap());
    second.write(&moving(5)).unwrap();
    assert!(!second.was_changed().unwrap(), "by itself");
    first.tell(&batch).unwrap();
    assert!(second.was_changed().unwrap());
}

#[tokio::test]
async fn an_answer_is_seen_once_and_what_was_heard_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (mut first, batch) = left(&store).await;
    first.tell(&batch).unwrap();
    first.tell(&batch).unwrap();
    let (mut second, _) = LedgerStore::claim(store.file(), 8, Day(0)).unwrap();
    let answers = [
        Answer::Insufficient { available: -3 },
        Answer::CapReached {
            month: true,
            resets: 99,
        },
    ];
    let mut written = Batch::default();
    for (told, answer) in second.told(7, 0).unwrap().iter().zip(answers) {
        written.between.answers.push(Answered {
            generation: 7,
            serial: told.serial,
            row: told.row,
            answer,
        });
        written.between.heard.insert(7, told.serial);
    }
    second.write(&written).unwrap();
    assert_eq!(
        first.answers().unwrap(),
        answers.map(|answer| (RowId(5), answer))
    );
    assert_eq!(first.answers().unwrap(), []);
    assert_eq!(
        second.told(7, 0).unwrap().len(),
        0,
        "what was answered is not asked again"
    );
}

#[tokio::test]
async fn who_is_taken_for_dead_tells_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (mut first, batch) = left(&store).await;
    first.tell(&batch).unwrap();
    let (mut second, _) = LedgerStore::claim(store.file(), 8, Day(0)).unwrap();
    let mut departed = Batch::default();
    departed.between.departed.push(7);
    second.write(&departed).unwrap();
    let refused = first.tell(&batch);
    assert!(matches!(refused, Err(StoreError::LedgerLost)));
    assert_eq!(second.told(7, 0).unwrap().len(), 0);
    // Who has lost the ledger cannot hand it over.
    let (mut third, _) = LedgerStore::claim(store.file(), 9, Day(0)).unwrap();
    assert!(matches!(
        second.leave(RowId(500)),
        Err(StoreError::LedgerLost)
    ));
    third.leave(RowId(500)).unwrap();
}
