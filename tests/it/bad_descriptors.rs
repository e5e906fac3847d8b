//! Too few file descriptors: said at the start, and no reason to cut what is under way, to spin, or to end.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::pair::{self, MODEL};
use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Builder, custom, gateway};
use crate::support::shim::Shim;
use crate::support::upstream::{self, Upstream};
use crate::support::wait;

/// What the gateway may have open, with a few left for clients.
const FILES: usize = 100;

fn with(files: usize, builder: Builder) -> Builder {
    builder.under("prlimit", &[&format!("--nofile={files}:{files}")])
}

async fn before() -> (Builder, [Upstream; 2]) {
    let first = upstream::h1().otherwise(pair::good()).start().await;
    let second = upstream::h1().otherwise(pair::good()).start().await;
    let builder = gateway()
        // The first failure that is a provider's own has it set aside.
        .config("health.failures", 1)
        // Between threads, Pingora now and then drops a kept connection that the other has not let go of yet, for a new one.
        .config("server.threads", 1)
        .custom(custom("one").model(MODEL), &first)
        .custom(custom("two").model("m"), &second);
    (builder, [first, second])
}

#[tokio::test]
async fn what_is_under_way_goes_on_and_who_comes_waits() {
    let (builder, _upstreams) = before().await;
    // Nobody is looked up, and no file is read again, for which descriptors come and go.
    let shim = Shim::build();
    let mut builder = builder.config("catalog.watch", false);
    for (name, value) in shim.environment() {
        builder = builder.environment(name, &value);
    }
    let gateway = with(FILES, builder).start().await;
    let began = Instant::now();
    let ready = [("provider", "two"), ("state", "ready")];
    let request = gateway.post("/v1/chat/completions", bodies::chat(MODEL).build());
    let mut kept = client::h1(gateway.address()).await;
    assert_eq!(kept.send(&request).await.status, 200);

    let mut other = client::h1(gateway.address()).await;
    assert_eq!(other.send(&request).await.status, 200);
    let mut crowd = Vec::new();
    for _ in 0..2 * FILES {
        crowd.push(
            TcpStream::connect(gateway.address())
                .await
                .expect("connected"),
        );
    }
    // A file that is open for a moment, as at a start, keeps a connection out until the listener tries again, a second later.
    let full_since = Cell::new(Instant::now());
    wait::until("no descriptor left, and none given back", || {
        if gateway.open_files() < FILES {
            full_since.set(Instant::now());
        }
        full_since.get().elapsed() > Duration::from_millis(1_500)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(kept.send(&request).await.status, 200);
    }
    // It takes a connection to its own provider, which is not to be had. That provider is not to blame.
    let elsewhere = gateway.post("/v1/chat/completions", bodies::chat("two:m").build());
    assert!(other.send(&elsewhere).await.status >= 500);
    let refused = |line: &String| line.contains("Accept() failed");
    wait::until("it to be told", || gateway.log_lines().iter().any(refused)).await;

    drop(crowd);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_endpoint_state", &ready), 1.0);
    assert_eq!(
        gateway.chat(bodies::chat("two:m").build()).await.status,
        200
    );
    for _ in 0..5 {
        assert_eq!(gateway.send(&request).await.status, 200);
    }
    assert_eq!(gateway.ask_admin("/readyz").await.status, 200);
    // Each of the two listeners tries again once a second, not all the time.
    let told = gateway
        .log_lines()
        .iter()
        .filter(|line| refused(line))
        .count();
    let most = 2 * (began.elapsed().as_secs() + 2);
    assert!(
        u64::try_from(told).expect("a number") <= most,
        "{told} of {most}"
    );
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test]
async fn a_limit_below_what_the_configuration_needs_is_warned_of() {
    let (builder, _upstreams) = before().await;
    let gateway = with(500, builder.config("limits.connections", 300))
        .start()
        .await;
    let warning = |line: &str| line.contains("limits.connections = 300 with");
    let line = gateway.log_until("a warning", warning).await;
    assert!(line.contains("LimitNOFILE="), "{line}");
    assert_eq!(gateway.stop().await, Some(0));
}

/// A shell gives 1,024, whatever the machine has.
#[tokio::test]
async fn a_limit_that_may_be_raised_is() {
    let (builder, _upstreams) = before().await;
    let builder = builder
        .config("limits.connections", 300)
        .config("limits.requests", 200);
    let gateway = builder
        .under("prlimit", &["--nofile=256:4096"])
        .start()
        .await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id()));
    let limits = limits.expect("a process");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    assert_eq!(soft, Some(300 + 200 + 512 + 256), "{line:?}");
    let warned = |line: &String| line.contains("limits.connections = 300");
    assert!(!gateway.log_lines().iter().any(warned));
    assert_eq!(gateway.stop().await, Some(0));
}

#[test]
fn too_few_to_begin_with_end_the_start() {
    for files in [16, 40] {
        let builder = gateway();
        let command = builder.command(&["serve"]);
        let output = std::process::Command::new("prlimit")
            .arg(format!("--nofile={files}:{files}"))
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(builder.folder())
            .output()
            .expect("prlimit");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{files}: {told}");
        assert!(told.contains("LimitNOFILE="), "{files}: {told}");
        assert!(!told.contains("panicked"), "{files}: {told}");
    }
}
