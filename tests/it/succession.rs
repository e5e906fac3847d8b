//! The ledger goes from process to process while those before have holds open, and processes are killed: real ones, this
//! program started again. Each has holds and ends them all the time, and says so line by line; what the store has in the
//! end is held to that.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tollgate::access::AccountId;
use tollgate::credentials::Source;
use tollgate::ledger::{Caps, Clock, Closing, Hold, Ledger, Opening, Refused, Settings, Writer};
use tollgate::money::Credits;
use tollgate::store::{NewGrant, Store};

/// Where a process that a test starts finds the store, and who it is.
const STORE: &str = "TOLLGATE_SUCCESSION_STORE";
const NAME: &str = "TOLLGATE_SUCCESSION_NAME";

/// What the account has: holds are refused now and then.
const GRANTED: i64 = 2_000_000;

const NOTHING: [&str; 0] = [];

/// Hand-overs: as many as `TOLLGATE_SUCCESSIONS` says, for a long run.
fn rounds() -> u64 {
    let asked = std::env::var("TOLLGATE_SUCCESSIONS");
    asked.map_or(12, |asked| asked.parse().expect("a number"))
}

/// Numbers that look like chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn amount(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).expect("small")
    }
}

fn open(store: &Path, successor: bool) -> (Arc<Ledger>, Writer) {
    let settings = Settings {
        successor,
        ..Settings::default()
    };
    Ledger::open(store, settings, Clock::system(), |_| {}).expect("a thread")
}

/// A process of the line, started by the tests below: it holds, and ends what it has held, until its input ends or it is
/// killed. `leave` on its input: it hands the ledger over, and goes on.
#[test]
#[ignore = "other tests start it"]
fn process() {
    let store = PathBuf::from(std::env::var_os(STORE).expect("who starts this says where"));
    let name = std::env::var(NAME).expect("who starts this says which");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (ledger, writer) = open(&store, true);
    let (say, said) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = say.blocking_send(line);
        }
    });
    // Behind whatever was said of this test.
    println!();
    runtime.block_on(live(Arc::clone(&ledger), &name, said));
    assert!(writer.finish(Duration::from_secs(5)));
    println!("finished");
}

/// The life of a process.
async fn live(ledger: Arc<Ledger>, name: &str, mut said: tokio::sync::mpsc::Receiver<String>) {
    let seed = name
        .bytes()
        .fold(99, |seed, byte| seed * 31 + u64::from(byte));
    let mut chance = Chance(seed);
    let mut open: Vec<(String, Hold)> = Vec::new();
    ledger.ready().await;
    println!("up");
    for serial in 0.. {
        match said.try_recv() {
            Ok(_) => {
                // The disk may be slow.
                while !ledger.hand_over().await {}
                println!("left");
            }
            Err(tokio::sync::mpsc::error::TryRecvError::Empty) => {}
            Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => break,
        }
        match chance.below(10) {
            0..5 => {
                let row = format!("{name}-{serial}");
                if let Some(hold) = begin(&ledger, &row, chance.amount(1_000)).await {
                    open.push((row, hold));
                }
            }
            5..9 if !open.is_empty() => {
                let picked = chance.below(open.len() as u64);
                let (row, hold) = open.swap_remove(usize::try_from(picked).expect("small"));
                end(&row, hold, chance.amount(1_200));
            }
            9 if ledger.all_written().await.is_ok() => println!("written"),
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    for (row, hold) in open {
        end(&row, hold, 1);
    }
}

async fn begin(ledger: &Arc<Ledger>, row: &str, held: i64) -> Option<Hold> {
    let opening = Opening {
        request: row.into(),
        attempt: 1,
        account: AccountId(1),
        key: "0123456789AB".parse().expect("a key's id"),
        provider: "openai".into(),
        model: "gpt".into(),
        surface: "chat",
        credential: Source::Gateway,
        catalog: "1".into(),
        hold: Credits::from_nanos(held),
        estimate: Credits::from_nanos(held / 2),
        strict: true,
    };
    match ledger.obtain(opening, &Caps::default()).await {
        Ok(hold) if hold.durable().await.is_ok() => {
            println!("held {row} {held}");
            Some(hold)
        }
        Ok(hold) => {
            println!("undurable {row}");
            hold.void(Closing::default());
            None
        }
        Err(Refused::Insufficient { .. }) => None,
        // Nobody has the ledger.
        Err(refused) => {
            println!("refused {row} {refused:?}");
            None
        }
    }
}

/// Said before it is done: of who is killed in between it may be either.
fn end(row: &str, hold: Hold, cost: i64) {
    let charged = cost.min(hold.amount().nanos());
    println!("ended {row} {charged}");
    hold.settle(Closing {
        model: Credits::from_nanos(cost),
        ..Closing::default()
    });
}

/// What is known of a row.
#[derive(Debug)]
struct Row {
    held: i64,
    charged: Option<i64>,
    /// Whether its end is on the disk for certain.
    certain: bool,
}

/// A process as the test sees it.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    rows: HashMap<String, Row>,
    /// What it was refused for want of a ledger.
    refused: Vec<String>,
}

impl Running {
    fn start(store: &Path, name: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["succession::process", "--exact", "--ignored", "--nocapture"])
            .env(STORE, store)
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let output = child.stdout.take().expect("a pipe");
        Self {
            input: child.stdin.take(),
            output: BufReader::new(output).lines(),
            child,
            rows: HashMap::new(),
            refused: Vec::new(),
        }
    }

    /// Reads up to a line that begins so; `None`: up to the end.
    fn read(&mut self, until: Option<&str>) {
        while let Some(line) = self.output.next() {
            let line = line.expect("text");
            self.note(&line);
            if until.is_some_and(|until| line.starts_with(until)) {
                return;
            }
        }
        assert_eq!(until, None, "the process has ended before");
    }

    fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["held", row, held] => {
                let row = row.to_owned();
                let held = held.parse().expect("an amount");
                let fresh = Row {
                    held,
                    charged: None,
                    certain: false,
                };
                assert!(self.rows.insert(row, fresh).is_none());
            }
            ["ended", row, charged] => {
                let row = self.rows.get_mut(row).expect("a row");
                row.charged = Some(charged.parse().expect("an amount"));
            }
            ["written"] => {
                for row in self.rows.values_mut() {
                    row.certain = row.charged.is_some();
                }
            }
            ["finished"] => self.rows.values_mut().for_each(|row| row.certain = true),
            ["refused" | "undurable", ..] => self.refused.push(line.to_owned()),
            _ => {}
        }
    }

    fn say(&mut self, words: &str) {
        let input = self.input.as_mut().expect("open");
        writeln!(input, "{words}").expect("written");
    }

    /// Lets it work for a time, during which it is read.
    fn work(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let line = self.output.next().expect("it lives").expect("text");
            self.note(&line);
        }
    }

    fn kill(mut self) -> HashMap<String, Row> {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
        self.read(None);
        self.rows
    }

    fn finish(mut self) -> HashMap<String, Row> {
        self.input = None;
        self.read(Some("finished"));
        let status = self.child.wait().expect("gone");
        assert!(status.success());
        self.rows
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_nor_charged_twice_whoever_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let account = store.create_account("acme", 1).await.expect("made").id;
    assert_eq!(account, AccountId(1));
    let grant = NewGrant {
        account,
        amount: Credits::from_nanos(GRANTED),
        expires: None,
        note: String::new(),
        idempotency: None,
    };
    store.grant(&grant, 1).await.expect("granted");
    let file = store.file().to_owned();
    let rows = tokio::task::spawn_blocking(move || line(&file));
    let rows = rows.await.expect("played");

    // Whoever comes last settles what the dead have left.
    let (ledger, writer) = open(store.file(), false);
    ledger.all_written().await.expect("written");
    assert!(writer.finish(Duration::from_secs(5)));
    let checked = store.check().await.expect("read");
    assert_eq!(checked.faults, Vec::<String>::new());
    assert_eq!(checked.open, 0);
    compare(store.file(), &rows);
}

/// Processes one after the other. Returns what they have said of their rows.
fn line(store: &Path) -> BTreeMap<String, Row> {
    let mut chance = Chance(7);
    let mut rows = BTreeMap::new();
    let mut owner = Running::start(store, "p0");
    owner.read(Some("up"));
    for round in 1..=rounds() {
        owner.work(Duration::from_millis(40 + chance.below(60)));
        let mut next = Running::start(store, &format!("p{round}"));
        owner.say("leave");
        if round % 5 == 4 {
            // Killed while it hands the ledger over, or a moment before or after.
            owner.work(Duration::from_micros(chance.below(4_000)));
            rows.extend(owner.kill());
            next.read(Some("up"));
            owner = next;
            continue;
        }
        owner.read(Some("left"));
        next.read(Some("up"));
        let mut left = owner;
        left.work(Duration::from_millis(10 + chance.below(50)));
        match round % 4 {
            // Who leaves is killed, with its holds open.
            1 => rows.extend(left.kill()),
            // The owner is, and there is none until the next has started: who leaves has holds open, and ends some.
            2 => {
                rows.extend(next.kill());
                next = Running::start(store, &format!("q{round}"));
                next.read(Some("up"));
                left.work(Duration::from_millis(20));
                assert_eq!(left.refused, NOTHING, "it waits for the next owner");
                rows.extend(left.finish());
            }
            // Both are.
            3 => {
                rows.extend(next.kill());
                rows.extend(left.kill());
                next = Running::start(store, &format!("q{round}"));
                next.read(Some("up"));
            }
            _ => rows.extend(left.finish()),
        }
        assert_eq!(next.refused, NOTHING, "a successor refuses nothing");
        owner = next;
    }
    rows.extend(owner.kill());
    rows
}

/// Holds the rows of the store to what was said of them.
fn compare(store: &Path, said: &BTreeMap<String, Row>) {
    let store = Connection::open(store).expect("the store");
    let mut found = BTreeMap::new();
    let mut statement = store
        .prepare("SELECT request, state, charged FROM usage")
        .expect("a statement");
    let mut rows = statement.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let name: String = row.get(0).expect("a name");
        let end: (i64, i64) = (row.get(1).expect("a state"), row.get(2).expect("an amount"));
        assert_eq!(found.insert(name, end), None, "twice");
    }
    let charged: i64 = found.values().map(|(_, charged)| charged).sum();
    let balance: i64 = store
        .query_row("SELECT amount FROM balances WHERE book = 1", [], |row| {
            row.get(0)
        })
        .expect("a balance");
    assert_eq!(balance, GRANTED - charged);
    assert!(balance >= 0);
    let mut by_rule = 0;
    for (name, row) in said {
        let Some((state, charged)) = found.get(name) else {
            panic!("{name} is lost: {row:?}");
        };
        assert_eq!(*state, 1, "{name}");
        if row.charged != Some(*charged) {
            assert!(
                !row.certain && *charged == row.held / 2,
                "{name}: {charged}, {row:?}"
            );
            by_rule += 1;
        }
    }
    assert!(by_rule > 0, "somebody was killed with a hold open");
    assert!(
        said.values().filter(|row| row.certain).count() > 50,
        "{}",
        said.len()
    );
}
