//! What a request costs in heap allocations: the budget of one, and that bodies of many members need no more.
//!
//! The gateway runs in a process of its own that counts, which is this program again; clients and providers stay here, so
//! that nothing but the gateway is counted. The counts are taken from batches of requests, and the median batch is
//! looked at: what the background does now and then (the store is asked for changes) falls into few of them.

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use tollgate::upstream::choose::{Balance, Draw, Look, Table, choose};

use crate::support::bodies::{self, Position};
use crate::support::client::{self, H1, Request};
use crate::support::gateway::{Gateway, gateway};
use crate::support::upstream::{self, Reply, Upstream, payload};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The test whose process can be the gateway.
const ENTRY: &str = "allocations::a_request_keeps_to_its_budget";

/// Holds the path of the configuration in the process that is the gateway.
const SERVE: &str = "TOLLGATE_TEST_SERVE";

/// What the gateway's process writes before the address at which it can be asked for its count.
const COUNTING: &str = "counting on ";

/// Requests before anything is counted: connections, buffers and tables have grown by then.
const WARM_UP: usize = 100;
const BATCHES: usize = 50;
const BATCH: usize = 20;

/// Allocations and reallocations of one request of 1 KiB, `model` last, on connections that are open. Most are Pingora's.
/// Two are the meter's: itself, so that a request that is not metered pays for none, and the usage object that it keeps;
/// seven the key's that the client sends along, and three those of the row that is written of it.
const BUDGET: f64 = 130.0;

/// The same of a request that is charged, at the most, with all that the ledger's thread does for it in two transactions:
/// that is nearly all of what it has more.
const CHARGED: f64 = 220.0;

/// What the count may vary by, in both directions: one that has become much lower is a new budget.
const MARGIN: f64 = 3.0;

/// As `openai` knows it; the prefix has to be taken out of the body.
const MODEL: &str = "openai:gpt-4o-mini";

/// What the stock Python SDK of OpenAI sends along.
const SDK: [(&str, &str); 13] = [
    ("Accept-Encoding", "gzip, deflate"),
    ("Connection", "keep-alive"),
    ("Accept", "application/json"),
    ("User-Agent", "OpenAI/Python 1.109.1"),
    ("X-Stainless-Lang", "python"),
    ("X-Stainless-Package-Version", "1.109.1"),
    ("X-Stainless-OS", "Linux"),
    ("X-Stainless-Arch", "x64"),
    ("X-Stainless-Runtime", "CPython"),
    ("X-Stainless-Runtime-Version", "3.12.3"),
    ("X-Stainless-Async", "false"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-read-timeout", "600"),
];

/// Who pays the provider.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Payer {
    /// The client, whose requests cost the account nothing. The ledger is not ours meanwhile, so that nothing is written
    /// beside them.
    Client,
    /// The operator, who charges the account: each request is written down twice.
    Operator,
}

/// A gateway that counts its allocations, before one provider.
struct Counted {
    gateway: Gateway,
    payer: Payer,
    /// Keeps the ledger from the gateway.
    _lock: Option<std::fs::File>,
    _upstream: Upstream,
    client: H1,
    counter: TcpStream,
}

impl Counted {
    async fn new(payer: Payer) -> Self {
        let answer = Reply::json(200, payload::chat_json("gpt-4o-mini", payload::USAGE));
        let upstream = upstream::h1().reply(answer).start().await;
        let builder = gateway()
            .provider("openai", &upstream)
            .config("server.threads", 1);
        let lock = (payer == Payer::Client).then(|| {
            let lock = std::fs::File::create(builder.folder().join("tollgate.db.ledger"));
            let lock = lock.expect("a file");
            lock.lock().expect("the lock");
            lock
        });
        let gateway = builder.start_inside_test(ENTRY, SERVE).await;
        let line = gateway
            .log_until("the counter", |line| line.contains(COUNTING))
            .await;
        let address = line.rsplit(' ').next().expect("an address");
        Self {
            client: client::h1(gateway.address()).await,
            counter: TcpStream::connect(address).expect("the counter"),
            gateway,
            payer,
            _lock: lock,
            _upstream: upstream,
        }
    }

    /// Allocations of one request with `body`: those of the median batch.
    async fn per_request(&mut self, body: Bytes) -> f64 {
        let request = client::post("/v1/chat/completions", body);
        let key = self.gateway.key();
        let request = match self.payer {
            Payer::Operator => request.bearer(key),
            Payer::Client => request
                .header("tollgate-key", key)
                .bearer("sk-of-the-client"),
        };
        let request = request.headers(&SDK);
        for _ in 0..WARM_UP {
            self.ask(&request).await;
        }
        let mut batches = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let before = self.count();
            for _ in 0..BATCH {
                self.ask(&request).await;
            }
            batches.push(self.count() - before);
        }
        batches.sort_unstable();
        batches[BATCHES / 2] as f64 / BATCH as f64
    }

    async fn ask(&mut self, request: &Request) {
        let response = self.client.send(request).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("tollgate-edits"), Some("E1"));
    }

    /// Allocations and reallocations of the gateway's process so far.
    fn count(&mut self) -> u64 {
        let mut count = [0; 8];
        self.counter.write_all(b"?").expect("the counter");
        self.counter.read_exact(&mut count).expect("the counter");
        u64::from_ne_bytes(count)
    }
}

/// The process that is the gateway: serves until it is killed, and says how much it has allocated when asked.
fn serve(configuration: &std::ffi::OsStr) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    eprintln!("{COUNTING}{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || answer_counts(&listener));
    tollgate::cli::serve::serve(configuration.as_ref()).expect("a gateway");
}

/// One byte asks; nothing is allocated on the way.
fn answer_counts(listener: &TcpListener) {
    let (mut asker, _) = listener.accept().expect("a connection");
    let mut asked = [0];
    while asker.read_exact(&mut asked).is_ok() {
        let seen = ALLOCATOR.stats();
        let count = (seen.allocations + seen.reallocations) as u64;
        asker.write_all(&count.to_ne_bytes()).expect("an answer");
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

/// A body of `size` bytes with `members` top-level members, `model` the last of them.
fn body(size: usize, members: usize) -> Bytes {
    let further = (0..members.saturating_sub(2)).map(|number| format!("m{number}"));
    let body = further.fold(bodies::chat(MODEL), |body, name| body.member(&name, "[1]"));
    body.position(Position::Last).size(size).build()
}

#[test]
fn a_request_keeps_to_its_budget() {
    if let Some(configuration) = std::env::var_os(SERVE) {
        return serve(&configuration);
    }
    run(async {
        let mut counted = Counted::new(Payer::Client).await;
        let made = counted.per_request(body(1024, 5)).await;
        assert!(
            (made - BUDGET).abs() <= MARGIN,
            "{made} allocations a request, where {BUDGET} are planned: find what is new, or lower the budget"
        );
    });
}

/// How often the ledger is written depends on the machine, so that there is no exact number.
#[test]
fn a_request_that_is_charged_keeps_to_its_budget() {
    run(async {
        let mut counted = Counted::new(Payer::Operator).await;
        let made = counted.per_request(body(1024, 5)).await;
        assert!(
            made <= CHARGED,
            "{made} allocations, where {CHARGED} are allowed"
        );
    });
}

#[test]
fn neither_members_nor_bytes_of_a_body_cost_allocations() {
    run(async {
        let mut counted = Counted::new(Payer::Client).await;
        for (size, few, many) in [(1024, 5, 40), (16 * 1024, 5, 800)] {
            let with_few = counted.per_request(body(size, few)).await;
            let with_many = counted.per_request(body(size, many)).await;
            assert!(
                (with_many - with_few).abs() <= MARGIN,
                "{size} bytes: {with_few} allocations with {few} members, {with_many} with {many}"
            );
            // A longer body may come in more pieces, each with a buffer of Pingora's.
            assert!(
                (with_few - BUDGET).abs() <= 3.0 * MARGIN,
                "{size} bytes: {with_few}"
            );
        }
    });
}

/// Allocations of `work`, as few as they were in the best of many rounds: other threads of this process may allocate too.
fn fewest(mut work: impl FnMut()) -> usize {
    let round = |_| {
        let before = ALLOCATOR.stats();
        work();
        let after = ALLOCATOR.stats();
        after.allocations + after.reallocations - before.allocations - before.reallocations
    };
    (0..100).map(round).min().expect("rounds")
}

#[test]
fn choosing_an_endpoint_allocates_nothing() {
    for count in [1, 8, 64] {
        let names: Vec<String> = (0..count).map(|at| format!("replica-{at}")).collect();
        let table = Table::new(names.iter().map(|name| (name.as_str(), 2)));
        for balance in [
            Balance::RoundRobin,
            Balance::LeastInflight,
            Balance::Affinity,
        ] {
            let mut number = 0;
            let allocations = fewest(|| {
                number += 1;
                let draw = Draw {
                    turn: number,
                    affinity: number as u64,
                    chance: u64::MAX / number as u64,
                };
                let look = |at: usize| {
                    Some(Look {
                        rank: at % 2,
                        load: at as u64,
                    })
                };
                std::hint::black_box(choose(&table, balance, &draw, look)).expect("one");
            });
            assert_eq!(allocations, 0, "{balance:?} among {count}");
        }
    }
    // What is counted: the counter itself works.
    assert!(fewest(|| drop(std::hint::black_box(vec![0_u8; 64]))) > 0);
}

/// The program's own setting of its allocator, which it tells when asked.
#[test]
fn freed_blocks_of_a_large_buffer_stay_with_their_thread() {
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("--version")
        .env("_RJEM_MALLOC_CONF", "stats_print:true")
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    let kept = told
        .lines()
        .any(|line| line.trim() == "opt.tcache_max: 262144");
    assert!(kept, "{told}");
}
