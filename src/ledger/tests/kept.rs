//! What the store has after the ledger has said that it is there.

use tempfile::TempDir;

use super::*;
use crate::store::{Book, NewGrant, Store};

/// A store with a ledger, both of this process.
pub struct Kept {
    pub folder: TempDir,
    pub store: Arc<Store>,
    pub account: AccountId,
    pub ledger: Arc<Ledger>,
    time: Arc<AtomicI64>,
    writer: Writer,
}

impl Kept {
    /// An account with `amount`.
    pub async fn with(amount: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).await.unwrap());
        let account = store.create_account("acme", NOW / 1_000).await.unwrap().id;
        if amount != "0" {
            grant(&store, account, amount, None).await;
        }
        Self::open(folder, store, account, Settings::default())
    }

    pub fn open(
        folder: TempDir,
        store: Arc<Store>,
        account: AccountId,
        settings: Settings,
    ) -> Self {
        let (clock, time) = clock_at(NOW);
        let (ledger, writer) = open(&store, settings, clock);
        Self {
            folder,
            store,
            account,
            ledger,
            time,
            writer,
        }
    }

    /// Ends the process as `kill -9` would: nothing more is written, and the lock is free.
    pub async fn crash(self, settings: Settings) -> Self {
        self.writer.abandon();
        let store = Arc::new(Store::open(self.folder.path()).await.unwrap());
        Self::open(self.folder, store, self.account, settings)
    }

    pub fn opening(&self, hold: &str) -> Opening {
        Opening {
            account: self.account,
            ..opening(hold)
        }
    }

    pub fn hold(&self, amount: &str) -> Result<Hold, Refused> {
        self.ledger.hold(self.opening(amount), &Caps::default())
    }

    /// Waits until everything that has happened is on the disk.
    pub async fn written(&self) {
        self.ledger.all_written().await.unwrap();
    }

    /// The books agree with the rows.
    pub async fn check(&self) {
        let checked = self.store.check().await.unwrap();
        assert_eq!(checked.faults, Vec::<String>::new());
    }

    pub async fn balance(&self, book: Book) -> i64 {
        self.store.balance(book).await.unwrap()
    }

    pub fn standing(&self) -> Standing {
        self.ledger.standing(self.account).unwrap()
    }

    pub async fn one<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.store.scalar(sql).await
    }
}

fn open(store: &Store, settings: Settings, clock: Clock) -> (Arc<Ledger>, Writer) {
    Ledger::open(store.file(), settings, clock, |_| {}).unwrap()
}

pub async fn grant(
    store: &Store,
    account: AccountId,
    amount: &str,
    expires: Option<i64>,
) -> GrantId {
    let new = NewGrant {
        account,
        amount: dollars(amount),
        expires,
        note: String::new(),
        idempotency: None,
    };
    store.grant(&new, NOW / 1_000).await.unwrap().0.id
}

/// Waits for something that another task does, for five seconds at the most.
pub async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .expect("it comes about");
}

#[tokio::test]
async fn a_row_is_held_then_settled_and_the_books_balance() {
    let kept = Kept::with("10").await;
    let hold = kept.hold("4").unwrap();
    hold.durable().await.unwrap();
    let held = "SELECT state || ' ' || held || ' ' || estimate FROM usage";
    assert_eq!(kept.one::<String>(held).await, "0 4000000000 4000000000");
    assert_eq!(kept.balance(Book::of(kept.account)).await, 10_000_000_000);

    let usage = crate::usage::Usage {
        input: 7,
        output: u64::MAX,
        ..Default::default()
    };
    hold.settle(Closing {
        usage,
        fee: dollars("0.5"),
        outcome: "success",
        status: Some(200),
        upstream_id: Some("chatcmpl-1".into()),
        ..cost("1.25")
    });
    kept.written().await;
    let row = "SELECT state || ' ' || charged || ' ' || fee || ' ' || absorbed || ' ' || input || ' ' || output \
               || ' ' || outcome || ' ' || status || ' ' || upstream_id || ' ' || tier FROM usage";
    assert_eq!(
        kept.one::<String>(row).await,
        "1 1250000000 500000000 0 7 9223372036854775807 success 200 chatcmpl-1 standard"
    );
    assert_eq!(kept.balance(Book::of(kept.account)).await, 8_250_000_000);
    assert_eq!(kept.balance(Book::COST).await, 1_250_000_000);
    assert_eq!(kept.balance(Book::FEES).await, 500_000_000);
    assert_eq!(kept.one::<i64>("SELECT SUM(amount) FROM balances").await, 0);
    let left = kept.one::<i64>("SELECT remaining FROM grants").await;
    assert_eq!(left, 8_250_000_000);
    let spent = kept.one::<i64>("SELECT SUM(amount) FROM key_spend").await;
    assert_eq!(spent, 1_750_000_000);
    kept.check().await;
}

#[tokio::test]
async fn what_the_operator_bears_is_in_his_book() {
    let kept = Kept::with("10").await;
    kept.hold("1").unwrap().settle(cost("3"));
    let borne = Closing {
        charge_to: ChargeTo::Operator,
        ..cost("2")
    };
    kept.hold("1").unwrap().settle(borne);
    kept.hold("1").unwrap().void(cost("5"));
    kept.written().await;
    assert_eq!(kept.balance(Book::OPERATOR).await, -4_000_000_000);
    assert_eq!(kept.balance(Book::COST).await, 5_000_000_000);
    assert_eq!(kept.balance(Book::of(kept.account)).await, 9_000_000_000);
    let states =
        "SELECT group_concat(state || ':' || flags) FROM (SELECT * FROM usage ORDER BY id)";
    assert_eq!(kept.one::<String>(states).await, "1:1,1:0,2:0");
    kept.check().await;
}

#[tokio::test]
async fn a_clean_end_leaves_nothing_to_recover() {
    let kept = Kept::with("10").await;
    kept.hold("4").unwrap().settle(cost("1"));
    drop(kept.hold("4").unwrap());
    let Kept {
        writer,
        folder,
        store,
        account,
        ..
    } = kept;
    assert!(writer.finish(WAIT_MAX));
    let kept = Kept::open(folder, store, account, Settings::default());
    assert_eq!(kept.standing().balance, dollars("5"));
    let reasons = "SELECT group_concat(COALESCE(estimated, '-')) FROM usage";
    assert_eq!(kept.one::<String>(reasons).await, "-,dropped");
}

#[tokio::test]
async fn what_a_hold_is_expected_to_cost_may_change_and_is_written() {
    let kept = Kept::with("10").await;
    let opening = Opening {
        estimate: dollars("0"),
        ..kept.opening("4")
    };
    let mut hold = kept.ledger.hold(opening, &Caps::default()).unwrap();
    let estimate = "SELECT estimate FROM usage";
    for (said, written) in [("1", 1), ("9", 4), ("0", 0), ("2", 2)] {
        hold.expect(dollars(said));
        hold.durable().await.unwrap();
        assert!(hold.is_written());
        let found = kept.one::<i64>(estimate).await;
        assert_eq!(found, written * 1_000_000_000);
    }
    // What has ended in the same transaction is no mismatch.
    hold.expect(dollars("3"));
    hold.settle(cost("1"));
    kept.written().await;
    assert_eq!(kept.standing().balance, dollars("9"));
    kept.check().await;
}

#[tokio::test]
async fn holds_of_a_process_that_was_killed_are_settled_by_rule() {
    for (recovered, charged) in [
        (Recovered::Estimate, "3"),
        (Recovered::Hold, "4"),
        (Recovered::Void, "0"),
    ] {
        let kept = Kept::with("10").await;
        let opening = Opening {
            estimate: dollars("3"),
            ..kept.opening("4")
        };
        let hold = kept.ledger.hold(opening, &Caps::default()).unwrap();
        hold.durable().await.unwrap();
        let settings = Settings {
            recovered,
            ..Settings::default()
        };
        let kept = kept.crash(settings).await;
        // It ends in a process that is gone.
        drop(hold);
        let standing = kept.standing();
        let left = dollars("10").checked_sub(dollars(charged)).unwrap();
        assert_eq!((standing.balance, standing.held), (left, Credits::ZERO));
        assert_eq!(
            kept.one::<i64>("SELECT COUNT(*) FROM usage WHERE state = 0")
                .await,
            0
        );
        let reason = kept.one::<String>("SELECT estimated FROM usage").await;
        assert_eq!(reason, "recovered");
        assert_eq!(kept.one::<i64>("SELECT SUM(amount) FROM balances").await, 0);
        let counted = kept.ledger.counts().estimated();
        let counted: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(Estimated::Recovered, 1)]);
    }
}

/// A grant of $5, a request that was charged $1.25, and one that was under way with an estimate of $1.
const IN_USE: &str = "
    UPDATE accounts SET billing = 'prepaid' WHERE id = 1;
    INSERT INTO grants (account, amount, remaining, created, note) VALUES (1, 5000000000, 3750000000, 1760000100, '');
    INSERT INTO transfers (debit, credit, amount, of_grant, at) VALUES (-1, 1, 5000000000, 1, 1760000100);
    UPDATE balances SET amount = -5000000000 WHERE book = -1;
    UPDATE balances SET amount = 3750000000 WHERE book = 1;
    UPDATE balances SET amount = 1250000000 WHERE book = -3;
    INSERT INTO usage (id, state, request, attempt, account, access_key, provider, model, surface, credential, catalog,
        held, estimate, started, ended, outcome, charged)
        VALUES (1, 1, 'req_1', 1, 1, '0123456789AB', 'openai', 'gpt', 'chat', 'gateway', '1', 2000000000, 1000000000,
        1760000200000, 1760000201000, 'success', 1250000000);
    INSERT INTO usage (id, state, request, attempt, account, access_key, provider, model, surface, credential, catalog,
        held, estimate, started)
        VALUES (2, 0, 'req_2', 1, 1, '0123456789AB', 'openai', 'gpt', 'chat', 'gateway', '1', 2000000000, 1000000000,
        1760000202000);
    INSERT INTO key_spend (day, access_key, amount) VALUES (20370, '0123456789AB', 1250000000);
";

#[tokio::test]
async fn a_hold_of_an_earlier_version_is_settled_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(crate::store::FILE);
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store/v2.db");
    std::fs::copy(old, &file).unwrap();
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute_batch(IN_USE).unwrap();
    drop(connection);
    let store = Arc::new(Store::open(folder.path()).await.unwrap());
    let kept = Kept::open(folder, store, AccountId(1), Settings::default());
    assert_eq!(kept.standing().balance, dollars("2.75"));
    kept.check().await;
}

#[tokio::test]
async fn caps_go_on_where_they_were() {
    let kept = Kept::with("100").await;
    let caps = Caps {
        day: Some(dollars("10")),
        month: None,
    };
    let ask = |kept: &Kept, amount| kept.ledger.hold(kept.opening(amount), &caps);
    ask(&kept, "8").unwrap().settle(cost("8"));
    kept.written().await;
    let kept = kept.crash(Settings::default()).await;
    assert!(matches!(ask(&kept, "3"), Err(Refused::CapReached { .. })));
    ask(&kept, "2").unwrap().void(cost("0"));
}

#[tokio::test]
async fn a_clock_that_was_set_back_before_the_start_opens_no_window_again() {
    let kept = Kept::with("100").await;
    let caps = Caps {
        day: Some(dollars("10")),
        month: None,
    };
    let ask = |kept: &Kept, amount| kept.ledger.hold(kept.opening(amount), &caps);
    kept.time.store(NOW + DAY, Ordering::Relaxed);
    ask(&kept, "8").unwrap().settle(cost("8"));
    let open = ask(&kept, "2").unwrap();
    kept.written().await;
    // It begins at `NOW`.
    let kept = kept.crash(Settings::default()).await;
    drop(open);
    kept.written().await;
    let ended = "SELECT ended - started FROM usage WHERE estimated = 'recovered'";
    assert_eq!(kept.one::<i64>(ended).await, 0);
    ask(&kept, "10").unwrap().settle(cost("10"));
    kept.time.store(NOW + DAY, Ordering::Relaxed);
    assert!(matches!(ask(&kept, "1"), Err(Refused::CapReached { .. })));
    kept.time.store(NOW + 2 * DAY, Ordering::Relaxed);
    ask(&kept, "10").unwrap().void(cost("0"));
    kept.written().await;
    kept.check().await;
}

#[tokio::test]
async fn one_process_has_the_ledger_and_the_next_takes_over() {
    let first = Kept::with("10").await;
    let (ledger, _writer) = open(&first.store, Settings::default(), clock_at(NOW).0);
    let opening = first.opening("1");
    let ask = || ledger.hold(opening.clone(), &Caps::default());
    assert_eq!(ledger.state(), State::Waiting);
    assert_eq!(ask().err(), Some(Refused::StoreDown));
    first.hold("4").unwrap().settle(cost("4"));
    assert!(first.writer.finish(WAIT_MAX));

    until(|| ledger.state() == State::Up).await;
    let hold = ask().unwrap();
    hold.durable().await.unwrap();
    assert_eq!(
        ledger.standing(opening.account).unwrap().available,
        Some(dollars("5"))
    );
}

#[tokio::test]
async fn whoever_lost_the_ledger_writes_nothing_more() {
    let first = Kept::with("10").await;
    let hold = first.hold("4").unwrap();
    hold.durable().await.unwrap();
    // The lock's file is gone, and somebody else makes a new one.
    std::fs::remove_file(first.folder.path().join("tollgate.db.ledger")).unwrap();
    let (ledger, _writer) = open(&first.store, Settings::default(), clock_at(NOW).0);
    assert_eq!(ledger.state(), State::Up);

    hold.settle(cost("1"));
    until(|| first.ledger.state() == State::Waiting).await;
    assert_eq!(first.hold("1").err(), Some(Refused::StoreDown));
    assert_eq!(first.ledger.counts().lost(), 1);
    assert_eq!(first.balance(Book::of(first.account)).await, 6_000_000_000);
}

#[tokio::test]
async fn what_an_operator_does_is_seen_within_a_second() {
    let kept = Kept::with("1").await;
    kept.hold("1").unwrap().settle(cost("1"));
    assert!(kept.hold("1").is_err());
    grant(&kept.store, kept.account, "5", None).await;
    until(|| kept.standing().balance == dollars("5")).await;
    let hold = kept.hold("5").unwrap();
    kept.store
        .set_billing(kept.account, Billing::Postpaid { limit: None })
        .await
        .unwrap();
    until(|| kept.standing().available.is_none()).await;
    assert_eq!(kept.standing().held, dollars("5"), "holds stay");
    hold.settle(cost("2"));
    kept.written().await;
    assert_eq!(kept.balance(Book::of(kept.account)).await, 3_000_000_000);

    let new = kept.store.create_account("new", 1).await.unwrap().id;
    until(|| kept.ledger.standing(new).is_some()).await;
    kept.store.close_account(new, 2).await.unwrap();
    until(|| {
        kept.ledger
            .standing(new)
            .is_some_and(|standing| standing.closed)
    })
    .await;
}

#[tokio::test]
async fn a_grant_expires_though_nobody_asks_and_has_two_sides() {
    let kept = Kept::with("5").await;
    let soon = NOW / 1_000 + 60;
    let brief = grant(&kept.store, kept.account, "2", Some(soon)).await;
    until(|| kept.standing().balance == dollars("7")).await;
    let hold = kept.hold("0.5").unwrap();
    kept.time.store(soon * 1_000, Ordering::Relaxed);
    until(|| kept.ledger.books().waiting() == 0).await;
    until(|| kept.standing().balance == dollars("5.5")).await;
    hold.void(cost("0"));
    kept.written().await;
    assert_eq!(kept.balance(Book::EXPIRED).await, 2_000_000_000);
    assert_eq!(kept.balance(Book::of(kept.account)).await, 5_000_000_000);
    let rows = kept.store.grants(kept.account).await.unwrap();
    let left = rows.iter().find(|row| row.id == brief).unwrap().remaining;
    assert_eq!(left, Credits::ZERO);

    let ended = rows.iter().find(|row| row.id != brief).unwrap().id;
    let hold = kept.hold("1").unwrap();
    kept.store.end_grant(ended, soon - 1).await.unwrap();
    until(|| kept.standing().balance == dollars("1")).await;
    hold.settle(cost("1"));
    assert_eq!(kept.standing().balance, Credits::ZERO);
}

#[tokio::test]
async fn credit_that_is_owed_is_paid_by_the_next_grant() {
    let kept = Kept::with("1").await;
    let closing = Closing {
        fee: dollars("3"),
        ..Closing::default()
    };
    kept.ledger.record(kept.opening("0"), NOW, closing);
    // Granted while the charge may be written or not.
    grant(&kept.store, kept.account, "5", None).await;
    until(|| kept.standing().balance == dollars("3")).await;
    kept.written().await;
    let left = kept.one::<i64>("SELECT SUM(remaining) FROM grants").await;
    assert_eq!(left, 3_000_000_000);
}

#[tokio::test]
async fn a_grant_that_was_not_seen_before_a_crash_pays_what_is_owed_at_the_next_start() {
    let kept = Kept::with("0").await;
    kept.ledger.record(kept.opening("0"), NOW, cost("3"));
    kept.written().await;
    // As it is when the charge was written after the grant, and not seen to exceed it.
    let new = grant(&kept.store, kept.account, "2", None).await;
    let connection = rusqlite::Connection::open(kept.store.file()).unwrap();
    connection
        .execute("UPDATE grants SET remaining = amount WHERE id = ?", [new.0])
        .unwrap();
    let kept = kept.crash(Settings::default()).await;
    assert_eq!(kept.standing().balance, dollars("-1"));
    kept.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_requests_ten_are_served_and_all_is_written() {
    let kept = Kept::with("10").await;
    let ask = |_| {
        let (ledger, opening) = (Arc::clone(&kept.ledger), kept.opening("1"));
        tokio::spawn(async move {
            let Ok(hold) = ledger.hold(opening, &Caps::default()) else {
                return 0;
            };
            hold.durable().await.unwrap();
            hold.settle(cost("1"));
            1
        })
    };
    let asked: Vec<_> = (0..1_000).map(ask).collect();
    let mut served = 0;
    for one in asked {
        served += one.await.unwrap();
    }
    assert_eq!(served, 10);
    kept.written().await;
    assert_eq!(kept.balance(Book::of(kept.account)).await, 0);
    assert_eq!(
        kept.one::<i64>("SELECT COUNT(*) FROM usage WHERE state = 1")
            .await,
        10
    );
    kept.check().await;
}
