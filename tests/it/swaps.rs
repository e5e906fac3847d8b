//! Two versions of a catalog are published in turn, a hundred times a second, while requests are made: none fails, and
//! each is wholly on one version. Files with mistakes between them change nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Gateway, gateway};
use crate::support::upstream::{self, Reply, Upstream};
use crate::support::wait;

/// Connections that ask all the while.
const CLIENTS: usize = 64;
/// A hundred a second for twenty seconds; a machine that is too slow for that takes longer.
const SWAPS: u64 = 2_000;
const PERIOD: Duration = Duration::from_millis(10);
/// After this many swaps each a file with a mistake is tried.
const MISTAKES_EVERY: u64 = 100;
/// What a client waits for between two requests, so that the tests beside this one get their share of the machine.
const PAUSE: Duration = Duration::from_millis(40);

/// What requests see of a version: where the provider is, a header that it is sent, and the model's id there.
#[derive(Clone, Copy)]
struct Version {
    name: &'static str,
    model: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        name: "first",
        model: "small-1",
    },
    Version {
        name: "second",
        model: "small-2",
    },
];

impl Version {
    fn file(self, upstream: &Upstream) -> Value {
        json!({
            "provider": "house",
            "base_url": format!("{}/{}", upstream.origin(), self.name),
            "auth": "bearer",
            "headers": {"x-version": self.name},
            "surfaces": {"chat": {"path": "/chat/completions"}},
            "models": {self.model: {"kind": "chat", "aliases": ["either"]}},
        })
    }

    /// Answers with what the gateway should say of the answer.
    async fn upstream(self) -> Upstream {
        let body = json!({"model": format!("house:{}", self.model)}).to_string();
        upstream::h1().reply(Reply::json(200, body)).start().await
    }

    /// That whatever came to this version's upstream was of this version in every part.
    fn check(self, upstream: &Upstream) -> usize {
        let deliveries = upstream.deliveries();
        for delivery in &deliveries {
            assert_eq!(delivery.header("x-version"), Some(self.name));
            assert_eq!(delivery.target, format!("/{}/chat/completions", self.name));
            assert_eq!(delivery.json()["model"], self.model);
        }
        deliveries.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_a_second_fail_no_request_and_split_none() {
    let upstreams = [VERSIONS[0].upstream().await, VERSIONS[1].upstream().await];
    let files = [0, 1].map(|at| VERSIONS[at].file(&upstreams[at]));
    let gateway = gateway()
        .config("catalog.watch", false)
        .catalog("house", files[0].clone())
        .credentials("house", 1)
        .start()
        .await;
    let gateway = Arc::new(gateway);
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| ask_until(&over, &gateway, &served))
        .collect();
    let began = std::time::Instant::now();
    let versions = swap(&gateway, &files).await;
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    for client in clients {
        wait::within("a client", client)
            .await
            .expect("no request failed");
    }
    let served = served.load(Ordering::Relaxed);
    println!("{SWAPS} swaps in {took:?}, {served} requests");

    assert_eq!(versions.len(), 2, "{versions:?}");
    let delivered = [0, 1].map(|at| VERSIONS[at].check(&upstreams[at]));
    assert_eq!(delivered.iter().sum::<usize>() as u64, served);
    assert!(delivered.iter().all(|count| *count > 0), "{delivered:?}");
    let metrics = gateway.metrics().await;
    let mistakes = SWAPS / MISTAKES_EVERY;
    assert_eq!(
        metrics.sum("tollgate_reload_failures_total", &[]),
        mistakes as f64
    );
    assert_eq!(
        metrics.sum("tollgate_reloads_total", &[]),
        (SWAPS + mistakes) as f64
    );
    check_log(&gateway, served).await;
}

/// Asks for the model until it is `over`, on one connection.
fn ask_until(
    over: &Arc<AtomicBool>,
    gateway: &Arc<Gateway>,
    served: &Arc<AtomicU64>,
) -> JoinHandle<()> {
    let (over, gateway, served) = (Arc::clone(over), Arc::clone(gateway), Arc::clone(served));
    tokio::spawn(async move {
        let mut connection = client::h1(gateway.address()).await;
        let request = gateway.post("/v1/chat/completions", bodies::chat("either").build());
        while !over.load(Ordering::Relaxed) {
            let answer = connection.send(&request).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let told = answer.header("tollgate-model").expect("a model").to_owned();
            assert_eq!(answer.json()["model"], told, "a request on two versions");
            served.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Writes the files in turn and has each one published; returns the versions that were seen.
async fn swap(gateway: &Gateway, files: &[Value; 2]) -> BTreeSet<String> {
    let mut admin = client::h1(gateway.admin()).await;
    let request = gateway.to_admin("/reload");
    let mut versions = BTreeSet::new();
    let mut last = String::new();
    // Those that come late are made up for.
    let mut ticks = tokio::time::interval(PERIOD);
    for swap in 0..SWAPS {
        ticks.tick().await;
        gateway.write_catalog("house", &files[usize::from(swap.is_multiple_of(2))]);
        let answer = admin.send(&request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let now = answer.json()["catalog"]
            .as_str()
            .expect("a version")
            .to_owned();
        assert_ne!(now, last, "swap {swap} published what was there");
        versions.insert(now.clone());
        last = now;
        if swap % MISTAKES_EVERY == 0 {
            mistake(gateway, &mut admin).await;
            let ready = gateway.ask_admin("/readyz").await.json();
            assert_eq!(ready["catalog"], last, "a mistake changes nothing");
        }
    }
    versions
}

async fn mistake(gateway: &Gateway, admin: &mut client::H1) {
    gateway.write_catalog("mistake", &json!({"virtual_models": {"own": ["own"]}}));
    let answer = admin.send(&gateway.to_admin("/reload")).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(
        answer.text().contains("mistake.json:1:"),
        "{}",
        answer.text()
    );
    let file = gateway.folder().join("catalog/mistake.json");
    std::fs::remove_file(file).expect("removed");
}

/// The log names one version for each model.
async fn check_log(gateway: &Gateway, served: u64) {
    let lines = gateway
        .access_lines(usize::try_from(served).expect("a count"))
        .await;
    let pairs: BTreeSet<_> = lines
        .iter()
        .map(|line| {
            let member = |name: &str| line[name].as_str().expect(name).to_owned();
            (member("catalog"), member("upstream_model"))
        })
        .collect();
    assert_eq!(pairs.len(), 2, "{pairs:?}");
}
