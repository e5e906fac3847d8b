//! A store that cannot be written: nothing is held, nobody waits without end, nothing is lost, and it mends itself.

use std::io::Write as _;
use std::process::Command;

use rusqlite::{Connection, TransactionBehavior};

use super::kept::{Kept, until};
use super::*;
use crate::store::Book;

/// Every write of a usage row fails, as on a disk that has no room.
const FAIL: &str =
    "CREATE TRIGGER broken BEFORE INSERT ON usage BEGIN SELECT RAISE(FAIL, 'broken'); END";

const MEND: &str = "DROP TRIGGER broken";

fn connect(kept: &Kept) -> Connection {
    Connection::open(kept.store.file()).unwrap()
}

#[tokio::test]
async fn who_waits_is_told_and_nothing_more_is_held() {
    let kept = Kept::with("10").await;
    let before = kept.hold("2").unwrap();
    before.durable().await.unwrap();
    let store = connect(&kept);
    store.execute_batch(FAIL).unwrap();

    let hold = kept.hold("4").unwrap();
    assert_eq!(hold.durable().await, Err(StoreDown));
    assert_eq!(kept.ledger.state(), State::Down);
    assert_eq!(kept.hold("1").err(), Some(Refused::StoreDown));
    assert_eq!(hold.durable().await, Err(StoreDown), "still");
    hold.void(cost("0"));
    before.settle(cost("1"));
    kept.ledger.record(kept.opening("0"), NOW, cost("0"));
    assert_eq!(kept.ledger.all_written().await, Err(StoreDown));

    store.execute_batch(MEND).unwrap();
    until(|| kept.ledger.state() == State::Up).await;
    kept.written().await;
    let states = "SELECT group_concat(state) FROM (SELECT * FROM usage ORDER BY id)";
    assert_eq!(kept.one::<String>(states).await, "1,2,1");
    assert_eq!(kept.balance(Book::of(kept.account)).await, 9_000_000_000);
    kept.hold("9").unwrap().durable().await.unwrap();
    kept.check().await;
}

#[tokio::test]
async fn a_store_that_another_process_has_locked_is_waited_for_within_bounds() {
    let kept = Kept::with("10").await;
    let mut other = connect(&kept);
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let began = std::time::Instant::now();
    let hold = kept.hold("4").unwrap();
    assert_eq!(hold.durable().await, Err(StoreDown));
    assert!(began.elapsed() <= WAIT_MAX, "{:?}", began.elapsed());
    assert_eq!(kept.hold("1").err(), Some(Refused::StoreDown));
    hold.void(cost("0"));

    lock.rollback().unwrap();
    until(|| kept.ledger.state() == State::Up).await;
    kept.hold("10").unwrap().durable().await.unwrap();
}

#[tokio::test]
async fn a_short_lock_is_not_noticed() {
    let kept = Kept::with("10").await;
    let mut other = connect(&kept);
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let hold = kept.hold("4").unwrap();
    let (written, ()) = tokio::join!(hold.durable(), async {
        tokio::task::yield_now().await;
        lock.rollback().unwrap();
    });
    assert_eq!(written, Ok(()));
    hold.void(cost("0"));
}

#[tokio::test]
async fn rows_that_nobody_has_room_for_are_counted_and_cost_nothing() {
    let kept = Kept::with("10").await;
    connect(&kept).execute_batch(FAIL).unwrap();
    let hold = kept.hold("1").unwrap();
    assert_eq!(hold.durable().await, Err(StoreDown));
    let fee = Closing {
        fee: dollars("0.0001"),
        ..Closing::default()
    };
    let most = super::super::books::QUEUE_MAX as u64;
    for _ in 0..most + 10 {
        kept.ledger.record(kept.opening("0"), NOW, fee.clone());
    }
    // A row that begins and ends is two that wait.
    let lost = kept.ledger.counts().lost();
    assert_eq!(lost, most / 2 + 10);
    let charged = kept.ledger.counts().charged();
    assert_eq!(charged, (most + 10 - lost) * 100_000);
    // There is always room for what was held.
    hold.settle(cost("1"));
    assert_eq!(kept.ledger.counts().lost(), lost);
}

#[tokio::test]
async fn nothing_is_held_once_the_thread_that_writes_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(folder.path()).await.unwrap();
    let account = store.create_account("acme", NOW / 1_000).await.unwrap().id;
    super::kept::grant(&store, account, "10", None).await;
    let (clock, _) = clock_at(NOW);
    let failing = |commit: Commit| assert_eq!(commit.rows, 0, "on purpose");
    let (ledger, _writer) =
        Ledger::open(store.file(), Settings::default(), clock, failing).unwrap();
    let ask = || {
        let opening = Opening {
            account,
            ..opening("1")
        };
        ledger.hold(opening, &Caps::default())
    };
    let hold = ask().unwrap();
    assert_eq!(hold.durable().await, Err(StoreDown));
    assert_eq!(ask().err(), Some(Refused::StoreDown));
    assert_eq!(ledger.state(), State::Waiting);
}

#[tokio::test]
async fn a_process_that_ends_while_the_store_fails_leaves_holds_to_the_next() {
    let kept = Kept::with("10").await;
    let hold = kept.hold("4").unwrap();
    hold.durable().await.unwrap();
    connect(&kept).execute_batch(FAIL).unwrap();
    let unwritten = kept.hold("2").unwrap();
    assert_eq!(unwritten.durable().await, Err(StoreDown));
    hold.settle(cost("1"));
    drop(unwritten);
    connect(&kept).execute_batch(MEND).unwrap();
    let kept = kept.crash(Settings::default()).await;
    assert_eq!(kept.standing().balance, dollars("6"), "by its estimate");
    kept.check().await;
}

/// A file system of one MiB in memory. Gone with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where none can be mounted: that takes root.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.0.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_is_noticed_and_goes_on_by_itself_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let store = crate::store::Store::open(disk.0.path()).await.unwrap();
    let account = store.create_account("acme", NOW / 1_000).await.unwrap().id;
    super::kept::grant(&store, account, "1000", None).await;
    let (clock, _) = clock_at(NOW);
    let (ledger, writer) = Ledger::open(store.file(), Settings::default(), clock, |_| {}).unwrap();
    let ask = || {
        let opening = Opening {
            account,
            ..opening("1")
        };
        ledger.hold(opening, &Caps::default())
    };
    disk.fill();
    // What has room in the log's file as it is goes through.
    let mut held = Vec::new();
    let unwritten = loop {
        let hold = ask().unwrap();
        match hold.durable().await {
            Ok(()) => held.push(hold),
            Err(StoreDown) => break hold,
        }
    };
    assert_eq!(ask().err(), Some(Refused::StoreDown));
    unwritten.void(cost("0"));
    let served = held.len();
    held.into_iter().for_each(|hold| hold.settle(cost("0.5")));

    std::fs::remove_file(disk.ballast()).unwrap();
    until(|| ledger.state() == State::Up).await;
    ask().unwrap().durable().await.unwrap();
    ledger.all_written().await.unwrap();
    let charged = Credits::from_nanos(served as i64 * 500_000_000);
    let left = dollars("1000").checked_sub(charged).unwrap();
    let standing = ledger.standing(account).unwrap();
    assert_eq!(
        standing.balance.nanos(),
        left.nanos() - 1_000_000_000,
        "one was dropped"
    );
    assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
    assert!(writer.finish(WAIT_MAX));
    store.close().await;
}
