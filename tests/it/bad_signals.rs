//! Signals at moments that nobody has in mind: while the gateway starts, while it stops, and very many of them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Builder, custom, gateway, lives, signal};
use crate::support::upstream::{self, Reply, gate};
use crate::support::wait;

/// Moments of a start at which a signal comes, in milliseconds. `TOLLGATE_SIGNALS=all` tries each.
fn moments() -> Vec<u64> {
    if std::env::var_os("TOLLGATE_SIGNALS").is_some() {
        return (0..300).collect();
    }
    (0..50).step_by(7).chain([70, 110, 160]).collect()
}

/// A gateway that is quick to start, and whose start makes each thing that it may make.
fn quick() -> Builder {
    gateway()
        .config("catalog.builtin", false)
        .config("admin.address", "unix:admin.sock")
        .config("log.errors", "error.log")
}

/// A gateway that was started. With the value it ends, and so does one that has taken over from it.
struct Started {
    child: Child,
    folder: PathBuf,
}

impl Drop for Started {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the process wrote:\n{}\n---", log(&self.folder));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(next) = successor(&self.folder).filter(|next| lives(*next)) {
            signal(next, "KILL");
        }
    }
}

fn started(builder: &Builder) -> Started {
    let mut command = builder.command(&["serve"]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Started {
        child: child.expect("the program"),
        folder: builder.folder().to_owned(),
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("error.log")).unwrap_or_default()
}

/// The exit code, once it has ended; `None`: a signal ended it.
async fn ended(child: &mut Child) -> Option<i32> {
    wait::until("the end", || child.try_wait().expect("a child").is_some()).await;
    child.wait().expect("a child").code()
}

/// A process that was ended by the signal had not begun with anything; every other one ended well. Nothing is left.
#[track_caller]
fn leaves_nothing(folder: &Path, code: Option<i32>, what: &str) {
    let there = |name: &str| folder.join(name).exists();
    assert!(!there("admin.sock"), "{what}: the socket is left");
    match code {
        None => assert!(!there("error.log") && !there("tollgate.db"), "{what}"),
        Some(code) => assert_eq!(code, 0, "{what}: {}", log(folder)),
    }
    assert!(!log(folder).contains("panic"), "{what}: {}", log(folder));
    if let Ok(lock) = std::fs::File::open(folder.join("tollgate.db.ledger")) {
        lock.try_lock().expect("nobody has the ledger");
    }
}

/// A gateway that was started, and got a signal so many milliseconds later.
async fn signalled(name: &str, moment: u64) -> (Builder, Started) {
    let builder = quick();
    let gateway = started(&builder);
    tokio::time::sleep(Duration::from_millis(moment)).await;
    signal(gateway.child.id(), name);
    (builder, gateway)
}

#[tokio::test]
async fn one_that_ends_a_start_leaves_nothing_half_begun() {
    for name in ["TERM", "INT", "QUIT"] {
        for moment in moments() {
            let what = format!("{name} after {moment} ms");
            let (builder, mut gateway) = signalled(name, moment).await;
            let code = ended(&mut gateway.child).await;
            leaves_nothing(builder.folder(), code, &what);
            // What there is of a store is one.
            let listed = builder.run(&["keys", "list"]);
            assert_eq!(listed.code, Some(0), "{what}: {listed:?}");
        }
    }
}

#[tokio::test]
async fn one_that_asks_for_something_is_served_when_the_start_is_done() {
    for name in ["HUP", "USR1"] {
        for moment in moments() {
            let what = format!("{name} after {moment} ms");
            let (builder, mut gateway) = signalled(name, moment).await;
            let folder = builder.folder();
            wait::until("a start, or an end", || {
                let over = gateway.child.try_wait().expect("a child").is_some();
                over || log(folder).contains("(public)")
            })
            .await;
            if gateway.child.try_wait().expect("a child").is_none() {
                signal(gateway.child.id(), "TERM");
            }
            let code = ended(&mut gateway.child).await;
            leaves_nothing(folder, code, &what);
        }
    }
}

/// The process that takes over, if it came to that.
fn successor(folder: &Path) -> Option<u32> {
    let log = log(folder);
    let (_, rest) = log.split_once("has taken over as process ")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// Once in more than a thousand such starts the process did not end within half a minute, on a machine with much else to do;
/// why is not known yet.
#[tokio::test]
#[ignore = "by hand: seen to hang once in a thousand starts"]
async fn an_upgrade_that_is_asked_for_during_the_start_is_made_after_it() {
    for moment in moments() {
        let what = format!("USR2 after {moment} ms");
        let (builder, mut gateway) = signalled("USR2", moment).await;
        let code = ended(&mut gateway.child).await;
        if code.is_none() {
            leaves_nothing(builder.folder(), code, &what);
            continue;
        }
        assert_eq!(code, Some(0), "{what}");
        let said = || successor(builder.folder()).is_some();
        wait::until("the one that has taken over", said).await;
        let next = successor(builder.folder()).expect("said");
        assert!(builder.folder().join("admin.sock").exists(), "{what}");
        signal(next, "TERM");
        wait::until("the end of what took over", || !lives(next)).await;
        leaves_nothing(builder.folder(), code, &what);
    }
}

#[tokio::test]
async fn none_that_comes_while_it_stops_cuts_what_is_under_way() {
    let hold = gate();
    let pieces = [Bytes::from("data: 1\n\n"), Bytes::from("data: [DONE]\n\n")];
    let reply = Reply::sse(pieces, Duration::ZERO).hold_before(1, &hold);
    let upstream = upstream::h1().reply(reply).start().await;
    let gateway = gateway().provider("openai", &upstream).start().await;
    let body = bodies::chat("openai:gpt-4o").member("stream", "true");
    let request = gateway.post("/v1/chat/completions", body.build());
    let mut connection = client::h1(gateway.address()).await;
    let mut stream = connection.begin(&request).await.expect("sent");
    assert!(stream.next().await.expect("a piece").is_some());
    gateway.signal("TERM");
    let stopping = |line: &str| line.contains("stopping:");
    gateway.log_until("the end announced", stopping).await;
    for name in ["HUP", "USR1", "USR2", "TERM", "INT", "QUIT"] {
        for _ in 0..5 {
            gateway.signal(name);
        }
    }
    let refused = |line: &str| line.contains("upgrade: this process is stopping");
    gateway
        .log_until("the refusal of an upgrade", refused)
        .await;
    hold.open();
    let answer = stream.collect().await;
    assert!(answer.is_whole(), "{:?}", answer.ending);
    assert_eq!(gateway.ended().await, Some(0));
}

/// Ten thousand.
const STORM: usize = 10_000;

/// What a process may take on more, in bytes: rounds of reloads that do not give back what they take would take far more.
const GROWTH_MAX: u64 = 48 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_hangups_costs_no_request_and_the_last_file_wins() {
    let upstream = upstream::h1()
        .otherwise(Reply::json(200, "{}"))
        .start()
        .await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model("small"), &upstream)
        .start()
        .await;
    let gateway = Arc::new(gateway);
    let reload = |number: usize| {
        let name = format!("fresh-{number}");
        gateway.write_catalog("more", &json!({"virtual_models": {name: ["house:small"]}}));
    };
    // What a few take is taken before it is looked at.
    reload(0);
    for _ in 0..20 {
        assert_eq!(gateway.post_admin("/reload").await.status, 200);
    }
    let (memory, files) = (gateway.memory_now(), gateway.open_files());

    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, over, asked) =
                (Arc::clone(&gateway), Arc::clone(&over), Arc::clone(&asked));
            tokio::spawn(async move {
                let request =
                    gateway.post("/v1/chat/completions", bodies::chat("house:small").build());
                while !over.load(Ordering::Relaxed) {
                    let answer = gateway.send(&request).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=10 {
        reload(round);
        storm(gateway.id(), STORM / 10).await;
        let more = asked.load(Ordering::Relaxed) + 20;
        let answered = || asked.load(Ordering::Relaxed) >= more;
        wait::until("requests of this round", answered).await;
    }
    let last = bodies::chat("fresh-10").build();
    let taken_up = async {
        while gateway.chat(last.clone()).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("the last file", taken_up).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        wait::within("a client", client)
            .await
            .expect("each was answered");
    }

    let asked = asked.load(Ordering::Relaxed);
    let lines = || {
        let lines = gateway.access_log();
        lines
            .iter()
            .filter(|line| line["model_asked"] == "house:small" || line["model"] == "house:small")
            .count()
    };
    wait::until("a line for each request", || lines() == asked).await;
    let metrics = gateway.metrics().await;
    let reloads = metrics.sum("tollgate_reloads_total", &[]);
    assert!(reloads > 20.0, "{reloads}");
    assert_eq!(metrics.sum("tollgate_reload_failures_total", &[]), 0.0);
    wait::until("the files closed", || gateway.open_files() <= files + 12).await;
    let grown = gateway.memory_now().saturating_sub(memory);
    assert!(
        grown < GROWTH_MAX,
        "{grown} bytes more after {reloads} reloads"
    );
    assert!(
        !gateway
            .log_lines()
            .iter()
            .any(|line| line.contains("panic"))
    );
}

/// Sends `count` hangups, as fast as a shell can.
async fn storm(process: u32, count: usize) {
    let script =
        format!("i=0; while [ $i -lt {count} ]; do kill -HUP {process}; i=$((i + 1)); done");
    let sent =
        tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &script]).status());
    assert!(sent.await.expect("a thread").expect("a shell").success());
}
