//! The ledger passes from process to process while those before have requests under way. The processes are ledgers of this
//! one, whose locks are each other's as those of real ones; those are in `tests/it/succession.rs`.

mod random;

use tempfile::TempDir;

use super::super::writer::SUCCEED_MAX;
use super::kept::{grant, until};
use super::*;
use crate::store::{Book, Store};

/// A store, and the processes that have its ledger one after the other.
pub struct Line {
    pub folder: TempDir,
    pub store: Arc<Store>,
    pub account: AccountId,
    time: Arc<AtomicI64>,
}

/// One of them.
pub struct Process {
    pub ledger: Arc<Ledger>,
    writer: Writer,
    account: AccountId,
}

impl Line {
    /// An account with `amount`.
    pub async fn with(amount: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).await.unwrap());
        let account = store.create_account("acme", NOW / 1_000).await.unwrap().id;
        if amount != "0" {
            grant(&store, account, amount, None).await;
        }
        Self {
            folder,
            store,
            account,
            time: Arc::new(AtomicI64::new(NOW)),
        }
    }

    /// The next process.
    pub fn next(&self, settings: Settings) -> Process {
        let clock = Clock::manual(Arc::clone(&self.time), Arc::new(AtomicI64::new(0)));
        let (ledger, writer) = Ledger::open(self.store.file(), settings, clock, |_| {}).unwrap();
        Process {
            ledger,
            writer,
            account: self.account,
        }
    }

    /// A process that has the ledger.
    fn owner(&self) -> Process {
        let process = self.next(Settings::default());
        assert_eq!(process.ledger.state(), State::Up);
        process
    }

    /// `from` hands the ledger over.
    async fn succeed(&self, from: &Process) -> Process {
        let next = self.next(SUCCESSOR);
        from.hand_over().await;
        next.ledger.ready().await;
        assert_eq!(next.ledger.state(), State::Up);
        next
    }

    async fn one<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.store.scalar(sql).await
    }

    /// What the account has by the store.
    async fn balance(&self) -> Credits {
        let balance = self.store.balance(Book::of(self.account)).await.unwrap();
        Credits::from_nanos(balance)
    }

    /// The books agree with the rows, and `open` of them are held.
    pub async fn check(&self, open: i64) {
        let checked = self.store.check().await.unwrap();
        assert_eq!(checked.faults, Vec::<String>::new());
        assert_eq!(checked.open, open);
    }
}

const SUCCESSOR: Settings = Settings {
    recovered: Recovered::Estimate,
    successor: true,
};

impl Process {
    pub fn opening(&self, hold: &str) -> Opening {
        Opening {
            account: self.account,
            ..opening(hold)
        }
    }

    /// Hands the ledger over, however slow the disk.
    async fn hand_over(&self) {
        for _ in 0..5 {
            if self.ledger.hand_over().await {
                return;
            }
        }
        panic!("it is not handed over");
    }

    async fn obtain(&self, amount: &str) -> Result<Hold, Refused> {
        let opening = self.opening(amount);
        self.ledger.obtain(opening, &Caps::default()).await
    }

    /// A hold that is on the disk.
    async fn hold(&self, amount: &str) -> Hold {
        let hold = self.obtain(amount).await.unwrap();
        hold.durable().await.unwrap();
        hold
    }

    pub fn standing(&self) -> Standing {
        self.ledger.standing(self.account).unwrap()
    }

    /// Waits until the account has `balance`, of which `held` is held.
    async fn stands(&self, balance: &str, held: &str) {
        let expected = (dollars(balance), dollars(held));
        let stands = || (self.standing().balance, self.standing().held) == expected;
        until(stands).await;
    }

    async fn written(&self) {
        self.ledger.all_written().await.unwrap();
    }

    /// As `kill -9` does.
    pub fn kill(self) {
        self.writer.abandon();
    }

    pub fn finish(self) {
        assert!(self.writer.finish(WAIT_MAX));
    }
}

#[tokio::test]
async fn a_hold_goes_on_in_the_next_process_and_is_charged_once() {
    let line = Line::with("10").await;
    let first = line.owner();
    let hold = first.hold("4").await;
    let second = line.succeed(&first).await;
    assert_eq!(second.ledger.predecessors(), 1);
    assert_eq!(second.ledger.holds_open(), 1);
    assert_eq!(second.standing().available, Some(dollars("6")));
    assert!(matches!(
        second.obtain("7").await.err(),
        Some(Refused::Insufficient { .. })
    ));
    let other = second.hold("6").await;

    hold.settle(Closing {
        outcome: "success",
        status: Some(200),
        estimated: Some(Estimated::Cut),
        fee: dollars("0.5"),
        ..cost("1.25")
    });
    second.stands("8.25", "6").await;
    other.settle(cost("2"));
    second.written().await;
    let row = "SELECT state || ' ' || charged || ' ' || fee || ' ' || outcome || ' ' || status || ' ' || estimated \
               FROM usage ORDER BY id LIMIT 1";
    let row = line.one::<String>(row).await;
    assert_eq!(row, "1 1250000000 500000000 success 200 cut");
    assert_eq!(line.balance().await, dollars("6.25"));
    assert_eq!(line.one::<i64>("SELECT COUNT(*) FROM ledger_told").await, 0);
    assert_eq!(
        second.ledger.counts().charged(),
        3_750_000_000,
        "counted where it is written"
    );
    let cut = second
        .ledger
        .counts()
        .estimated()
        .find(|(why, _)| *why == Estimated::Cut);
    assert_eq!(cut, Some((Estimated::Cut, 1)));

    first.finish();
    until(|| second.ledger.predecessors() == 0).await;
    second.written().await;
    assert_eq!(
        line.one::<i64>("SELECT COUNT(*) FROM ledger_generations")
            .await,
        1
    );
    line.check(0).await;
}

#[tokio::test]
async fn who_has_left_exchanges_a_hold_by_way_of_the_owner_who_must_have_enough_for_both() {
    let line = Line::with("10").await;
    let first = line.owner();
    let second = line.succeed(&first).await;
    let mut hold = first.obtain("4").await.unwrap();
    let none = Caps::default();
    let exchanged = hold.exchange(first.opening("6"), &none, cost("9")).await;
    assert_eq!((exchanged, hold.amount()), (Ok(()), dollars("6")));
    second.stands("10", "6").await;
    let refused = hold.exchange(first.opening("7"), &none, cost("9")).await;
    assert!(matches!(refused, Err(Refused::Insufficient { .. })));
    assert_eq!(hold.amount(), dollars("6"));
    hold.settle(cost("2"));
    second.stands("8", "0").await;
}

#[tokio::test]
async fn who_has_left_holds_by_way_of_the_owner() {
    let line = Line::with("10").await;
    let first = line.owner();
    let second = line.succeed(&first).await;
    let hold = first.obtain("7").await.unwrap();
    assert_eq!(hold.durable().await, Ok(()));
    assert_eq!(second.standing().held, dollars("7"));
    let refused = first.obtain("4").await.err();
    let expected = Refused::Insufficient {
        needed: dollars("4"),
        available: dollars("3"),
    };
    assert_eq!(refused, Some(expected));
    assert_eq!(
        first
            .ledger
            .hold(first.opening("1"), &Caps::default())
            .err(),
        Some(Refused::StoreDown)
    );
    hold.settle(cost("2"));
    second.stands("8", "0").await;

    let caps = Caps {
        day: None,
        month: Some(dollars("5")),
    };
    let refused = first.ledger.obtain(first.opening("4"), &caps).await.err();
    let expected = second.ledger.hold(second.opening("4"), &caps).err();
    assert!(matches!(
        expected,
        Some(Refused::CapReached {
            window: Window::Month,
            ..
        })
    ));
    assert_eq!(refused, expected);
    first
        .ledger
        .obtain(first.opening("3"), &caps)
        .await
        .unwrap()
        .void(Closing::default());
    second.stands("8", "0").await;
    assert_eq!(first.ledger.holds_open(), 0);

    second.written().await;
    line.store
        .close_account(line.account, NOW / 1_000)
        .await
        .unwrap();
    until(|| second.standing().closed).await;
    assert_eq!(first.obtain("1").await.err(), Some(Refused::Closed));
    second.written().await;
    line.check(0).await;
    assert_eq!(
        line.one::<i64>("SELECT COUNT(*) FROM usage").await,
        2,
        "what is refused has no row"
    );
}

#[tokio::test]
async fn who_gives_up_asking_holds_nothing() {
    let line = Line::with("10").await;
    let first = line.owner();
    first.hand_over().await;
    // There is no owner to answer.
    let asking = first.obtain("7");
    let given_up = tokio::time::timeout(Duration::from_millis(20), asking).await;
    assert!(given_up.is_err());
    assert_eq!(first.ledger.holds_open(), 0);
    first.written().await;
    let second = line.owner();
    second.stands("10", "0").await;
    second.written().await;
    line.check(0).await;
}

#[tokio::test]
async fn what_has_ended_is_charged_exactly_also_when_no_owner_was_there_to_hear_it() {
    let line = Line::with("10").await;
    let first = line.owner();
    let [settled, open, void] = [
        first.hold("2").await,
        first.hold("3").await,
        first.hold("1").await,
    ];
    let second = line.succeed(&first).await;
    second.kill();
    settled.settle(cost("0.25"));
    void.void(Closing::default());
    let closing = Closing {
        fee: dollars("0.5"),
        ..Closing::default()
    };
    first.ledger.record(first.opening("0"), NOW, closing);
    first.written().await;
    assert_eq!(
        line.balance().await,
        dollars("10"),
        "no owner has charged it"
    );

    let third = line.owner();
    assert_eq!(third.standing().balance, dollars("9.25"));
    assert_eq!(third.standing().held, dollars("3"), "the first lives");
    open.settle(cost("1"));
    third.stands("8.25", "0").await;
    first.kill();
    third.kill();
    let last = line.owner();
    last.stands("8.25", "0").await;
    line.check(0).await;
    assert_eq!(
        line.one::<i64>("SELECT COUNT(*) FROM usage WHERE estimated = 'recovered'")
            .await,
        0
    );
}

#[tokio::test]
async fn what_a_killed_process_leaves_open_is_settled_by_rule_while_its_successor_runs() {
    let line = Line::with("10").await;
    let first = line.owner();
    let _open = first.hold("4").await;
    let settled = first.hold("2").await;
    let second = line.succeed(&first).await;
    let _asked = first.hold("1").await;
    settled.settle(cost("0.5"));
    first.written().await;
    second.stands("9.5", "5").await;
    first.kill();
    // The estimates of both.
    second.stands("4.5", "0").await;
    until(|| second.ledger.predecessors() == 0).await;
    second.written().await;
    assert_eq!(
        line.one::<i64>("SELECT COUNT(*) FROM usage WHERE estimated = 'recovered'")
            .await,
        2
    );
    line.check(0).await;
    let left = std::fs::read_dir(line.folder.path()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("tollgate.db.ledger.")
    });
    assert_eq!(left.count(), 1, "that of who lives");
}

#[tokio::test]
async fn what_becomes_of_what_a_killed_process_leaves_open_can_be_said_anew() {
    let line = Line::with("10").await;
    let first = line.owner();
    let _open = first.hold("4").await;
    let second = line.succeed(&first).await;
    second.ledger.recover_as(Recovered::Void);
    first.kill();
    second.stands("10", "0").await;
    second.ledger.recover_as(Recovered::Hold);
    let _other = second.hold("3").await;
    let third = line.succeed(&second).await;
    third.ledger.recover_as(Recovered::Hold);
    second.kill();
    third.stands("7", "0").await;
    third.written().await;
    line.check(0).await;
}

#[tokio::test]
async fn several_may_have_left_and_the_owner_may_leave() {
    let line = Line::with("10").await;
    let first = line.owner();
    let one = first.hold("1").await;
    let second = line.succeed(&first).await;
    let [two, asked] = [second.hold("2").await, first.hold("3").await];
    let third = line.succeed(&second).await;
    assert_eq!(third.ledger.predecessors(), 2);
    assert_eq!(third.standing().held, dollars("6"));
    assert_eq!(second.ledger.holds_open(), 1, "its own");
    let late = first.hold("4").await;
    one.settle(cost("1"));
    two.settle(cost("2"));
    third.stands("7", "7").await;
    second.finish();
    asked.settle(cost("3"));
    third.stands("4", "4").await;
    let fourth = line.succeed(&third).await;
    third.finish();
    assert_eq!(fourth.standing().held, dollars("4"));
    late.settle(cost("4"));
    fourth.stands("0", "0").await;
    first.finish();
    until(|| fourth.ledger.predecessors() == 0).await;
    fourth.written().await;
    line.check(0).await;
    assert_eq!(line.balance().await, Credits::ZERO);
}

#[tokio::test]
async fn requests_of_a_successor_wait_for_the_ledger() {
    let line = Line::with("10").await;
    let first = line.owner();
    let second = line.next(SUCCESSOR);
    assert_eq!(second.ledger.state(), State::Waiting);
    let closing = Closing {
        fee: dollars("1"),
        ..Closing::default()
    };
    second.ledger.record(second.opening("0"), NOW, closing);
    let (held, ()) = tokio::join!(second.obtain("9"), async {
        tokio::task::yield_now().await;
        first.hand_over().await;
    });
    assert_eq!(held.err(), None, "it has waited");
    second.written().await;
    second.stands("0", "0").await;
    assert_eq!(second.ledger.counts().lost(), 0);
    line.check(0).await;
}

#[tokio::test]
async fn who_is_no_successor_waits_for_nothing() {
    let line = Line::with("10").await;
    let _first = line.owner();
    let second = line.next(Settings::default());
    assert_eq!(second.obtain("1").await.err(), Some(Refused::StoreDown));
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_is_handed_over_when_it_can() {
    let line = Line::with("10").await;
    let first = line.owner();
    let second = line.next(SUCCESSOR);
    let broken = rusqlite::Connection::open(line.store.file()).unwrap();
    broken
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON usage BEGIN SELECT RAISE(FAIL, 'broken'); END",
        )
        .unwrap();
    let hold = first.obtain("4").await.unwrap();
    assert_eq!(hold.durable().await, Err(StoreDown));
    assert!(!first.ledger.hand_over().await);
    assert_eq!(second.ledger.state(), State::Waiting);
    hold.settle(cost("1"));
    broken.execute_batch("DROP TRIGGER broken").unwrap();
    second.ledger.ready().await;
    second.stands("9", "0").await;
    line.check(0).await;
}

#[tokio::test]
async fn who_has_left_is_well_again_once_the_store_is_although_nothing_is_told() {
    let line = Line::with("10").await;
    let first = line.owner();
    let second = line.next(SUCCESSOR);
    let broken = rusqlite::Connection::open(line.store.file()).unwrap();
    let fail = "CREATE TRIGGER broken BEFORE UPDATE ON ledger_generations BEGIN SELECT RAISE(FAIL, 'broken'); END";
    broken.execute_batch(fail).unwrap();
    assert!(!first.ledger.hand_over().await);
    assert_eq!(first.ledger.state(), State::Down);
    broken.execute_batch("DROP TRIGGER broken").unwrap();
    second.ledger.ready().await;
    until(|| first.ledger.state() == State::Up).await;
    let held = first.hold("4").await;
    second.stands("10", "4").await;
    held.settle(cost("1"));
    second.stands("9", "0").await;
    second.written().await;
    line.check(0).await;
}

#[tokio::test]
async fn a_successor_has_the_ledger_before_anybody_who_waits_for_it() {
    let line = Line::with("10").await;
    let mut owner = line.owner();
    for _ in 0..10 {
        let next = line.next(SUCCESSOR);
        // Each tries as soon as it is there, and no later than the successor.
        let waiting: Vec<_> = (0..3).map(|_| line.next(Settings::default())).collect();
        owner.hand_over().await;
        let more = line.next(Settings::default());
        next.ledger.ready().await;
        assert_eq!(next.ledger.state(), State::Up);
        for other in waiting.iter().chain([&more]) {
            assert_eq!(other.ledger.state(), State::Waiting);
        }
        waiting.into_iter().chain([more]).for_each(Process::kill);
        std::mem::replace(&mut owner, next).finish();
    }
    // Who waits has it when nobody is to succeed.
    let waits = line.next(Settings::default());
    assert_eq!(waits.ledger.state(), State::Waiting);
    owner.kill();
    until(|| waits.ledger.state() == State::Up).await;
    line.check(0).await;
}

#[tokio::test]
async fn a_successor_may_take_its_time_to_be_ready_but_not_once_it_serves() {
    let line = Line::with("10").await;
    let first = line.owner();
    let second = line.next(SUCCESSOR);
    tokio::time::sleep(SUCCEED_MAX * 2).await;
    second.ledger.expect_soon();
    let (held, ()) = tokio::join!(second.obtain("9"), first.hand_over());
    assert_eq!(held.err(), None, "it has waited");

    let third = line.next(SUCCESSOR);
    third.ledger.expect_soon();
    third.ledger.ready().await;
    assert_eq!(third.obtain("1").await.err(), Some(Refused::StoreDown));
    assert_eq!(third.ledger.state(), State::Waiting);
}

#[tokio::test]
async fn who_succeeds_one_that_only_waits_takes_no_turn_from_who_succeeds_the_owner() {
    let line = Line::with("10").await;
    let owner = line.owner();
    let waits = line.next(Settings::default());
    assert!(waits.ledger.is_elsewhere() && !owner.ledger.is_elsewhere());
    // Before it is told that nothing comes to it, it is in turn.
    let of_who_waits = line.next(SUCCESSOR);
    assert!(!of_who_waits.ledger.is_elsewhere());
    of_who_waits.ledger.expect_none();
    assert!(of_who_waits.ledger.is_elsewhere());
    assert_eq!(
        of_who_waits.obtain("1").await.err(),
        Some(Refused::StoreDown),
        "without a wait"
    );
    let of_owner = line.next(SUCCESSOR);
    // Its turn begins when the other's has ended, which that one does by itself.
    tokio::time::sleep(SUCCEED_MAX / 2).await;
    owner.hand_over().await;
    of_owner.ledger.expect_soon();
    of_owner.ledger.ready().await;
    assert_eq!(of_owner.ledger.state(), State::Up);
    for other in [&waits, &of_who_waits] {
        assert_eq!(other.ledger.state(), State::Waiting);
    }
    line.check(0).await;
}

#[tokio::test]
async fn who_is_taken_for_dead_charges_nothing_twice() {
    let line = Line::with("10").await;
    let first = line.owner();
    let hold = first.hold("4").await;
    let second = line.succeed(&first).await;
    for entry in std::fs::read_dir(line.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(".ledger.") {
            std::fs::remove_file(path).unwrap();
        }
    }
    second.stands("6", "0").await;
    second.written().await;
    hold.settle(cost("1"));
    until(|| first.ledger.state() == State::Waiting).await;
    assert_eq!(first.ledger.counts().lost(), 1);
    assert_eq!(first.obtain("1").await.err(), Some(Refused::StoreDown));
    second.stands("6", "0").await;
    line.check(0).await;
    first.finish();
}

#[tokio::test]
async fn credit_that_has_expired_is_kept_for_holds_of_a_process_before() {
    let line = Line::with("0").await;
    grant(&line.store, line.account, "5", Some(NOW / 1_000 + 60)).await;
    let first = line.owner();
    let hold = first.hold("3").await;
    line.time.store(NOW + 61_000, Ordering::Relaxed);
    let second = line.succeed(&first).await;
    second.stands("3", "3").await;
    assert!(second.obtain("1").await.is_err());
    hold.settle(cost("1"));
    second.stands("0", "0").await;
    second.written().await;
    assert_eq!(
        line.store.balance(Book::EXPIRED).await.unwrap(),
        4_000_000_000
    );
    line.check(0).await;
}

#[tokio::test]
async fn a_cap_knows_of_holds_of_a_process_before_over_midnight() {
    let line = Line::with("10").await;
    let first = line.owner();
    let caps = Caps {
        day: Some(dollars("5")),
        month: None,
    };
    let obtain = async |process: &Process| {
        let opening = process.opening("3");
        process.ledger.obtain(opening, &caps).await
    };
    let hold = obtain(&first).await.unwrap();
    let second = line.succeed(&first).await;
    assert!(obtain(&second).await.is_err());
    line.time.store(NOW + DAY, Ordering::Relaxed);
    // Of the day before.
    hold.settle(cost("3"));
    second.stands("7", "0").await;
    let next = obtain(&second).await.unwrap();
    assert!(obtain(&first).await.is_err());
    next.void(Closing::default());
    second.written().await;
    line.check(0).await;
}
