//! Another process takes over: what is under way ends where it began, what comes is answered, and nobody is refused.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tollgate::money::Credits;
use tollgate::store::Store;

use crate::pair::{self, MODEL};
use crate::support::bodies;
use crate::support::client::{self, Request, Windows};
use crate::support::gateway::{Builder, Gateway, gateway, lives, signal};
use crate::support::upstream::{self, Reply, Upstream, gate};
use crate::support::wait;
use crate::till::{self, INPUT, OUTPUT, nanos};

/// What the account is granted: enough for what requests at one time are held for.
const GRANT: &str = "1000";

/// What a request costs, in nano-dollars, by what the provider says that it used.
const COST: i64 = 9 * INPUT + 12 * OUTPUT;

/// A gateway before `upstream`, with a key for it, and an account that pays for each request.
pub fn before(upstream: &Upstream) -> Builder {
    gateway()
        .config("catalog.watch", false)
        .prepaid("default", GRANT)
        .custom(till::provider("one"), upstream)
}

/// The account has paid for so many requests, nothing is held of it any more, and the books agree with the rows.
async fn has_paid_for(gateway: &Gateway, requests: u32) {
    let store = gateway.folder().join("tollgate.db");
    let store = Store::open_file(&store).await.expect("the store");
    let granted: Credits = GRANT.parse().expect("an amount");
    let left = granted.checked_sub(nanos(COST * i64::from(requests)));
    let paid = async {
        loop {
            let account = store.account_named("default").await.expect("an account");
            if account.held == Credits::ZERO && Some(account.balance) == left {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("the charges", paid).await;
    let checked = store.check().await.expect("a look at the books");
    assert_eq!(checked.faults, Vec::<String>::new());
}

/// Has another process take over, and returns it.
pub async fn upgrade(gateway: &Gateway) -> u32 {
    let answer = gateway.post_admin("/upgrade").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let process = answer.json()["process"].as_u64().expect("a process");
    let process = u32::try_from(process).expect("a process id");
    assert!(lives(process) && process != gateway.id());
    process
}

fn chat(gateway: &Gateway) -> Request {
    gateway.post("/v1/chat/completions", bodies::chat(MODEL).build())
}

/// Ends the process that serves now.
async fn stop(process: u32) {
    signal(process, "TERM");
    wait::until("its end", || !lives(process)).await;
}

#[tokio::test]
async fn a_stream_ends_where_it_began_and_what_comes_goes_to_the_new_process() {
    let hold = gate();
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}"#;
    let last = format!("{usage}\n\ndata: [DONE]\n\n");
    let pieces = [Bytes::from("data: 1\n\n"), Bytes::from(last)];
    let stream = Reply::sse(pieces, Duration::ZERO).hold_before(1, &hold);
    let upstream = upstream::h1().reply(stream).start().await;
    let gateway = before(&upstream).start().await;
    let body = bodies::chat(MODEL).member("stream", "true").build();
    let request = gateway.post("/v1/chat/completions", body);
    let mut connection = client::h1(gateway.address()).await;
    let mut begun = connection.begin(&request).await.expect("sent");
    let first = begun.next().await.expect("a piece");
    assert_eq!(first.as_deref(), Some(&b"data: 1\n\n"[..]));

    let process = upgrade(&gateway).await;
    upstream.otherwise(pair::good());
    for _ in 0..3 {
        assert_eq!(gateway.send(&chat(&gateway)).await.status, 200);
    }
    let metrics = gateway.metrics().await;
    let done = [("outcome", "done")];
    assert_eq!(metrics.sum("tollgate_upgrades_total", &done), 1.0);
    assert!(lives(gateway.id()), "its stream is under way");
    hold.open();
    assert!(begun.collect().await.is_whole());
    assert_eq!(gateway.ended().await, Some(0));
    assert_eq!(gateway.send(&chat(&gateway)).await.status, 200);
    // The one that was under way as well, which ended in the process before.
    has_paid_for(&gateway, 5).await;
    assert_eq!(gateway.successors(), [process]);
    stop(process).await;
}

#[tokio::test]
async fn a_kept_connection_is_answered_once_more_and_told_to_close() {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let gateway = before(&upstream).start().await;
    let mut kept = client::h1(gateway.address()).await;
    let mut idle = client::h1(gateway.address()).await;
    for connection in [&mut kept, &mut idle] {
        let answer = connection.send(&chat(&gateway)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.head.closes());
    }
    // One that has not said anything yet.
    let mut fresh = client::h1(gateway.address()).await;
    let process = upgrade(&gateway).await;
    for connection in [&mut kept, &mut fresh] {
        let answer = connection.send(&chat(&gateway)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.head.closes());
    }
    idle.closed().await;
    assert_eq!(gateway.ended().await, Some(0));
    stop(process).await;
}

#[tokio::test]
async fn a_connection_of_http2_ends_with_its_last_stream() {
    let hold = gate();
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let gateway = before(&upstream)
        .config(
            "listen",
            vec![toml::Table::from_iter([
                ("address".to_owned(), "127.0.0.1:0".into()),
                ("h2c".to_owned(), toml::Value::from(true)),
            ])],
        )
        .start()
        .await;
    let mut kept = client::h1(gateway.address()).await;
    assert_eq!(kept.send(&chat(&gateway)).await.status, 200);
    let connection = client::h2c(gateway.address(), Windows::default()).await;
    upstream.push(pair::good().hold_before(0, &hold));
    let request = chat(&gateway);
    let sent = tokio::spawn({
        let connection = connection.clone();
        async move { connection.try_send(&request).await }
    });
    wait::until("the request at the provider", || upstream.count() == 2).await;
    let process = upgrade(&gateway).await;
    // For longer than one without a request is kept.
    kept.closed().await;
    assert!(!sent.is_finished() && lives(gateway.id()));
    hold.open();
    let answer = sent.await.expect("no panic").expect("an answer");
    assert!(answer.status == 200 && answer.is_whole(), "{answer:?}");
    assert_eq!(gateway.ended().await, Some(0));
    stop(process).await;
}

/// Clients that keep their connections and clients that do not, while one process follows another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_during_many_upgrades_none_fails() {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let gateway = before(&upstream).start().await;
    let (stop_asking, asking) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (address, request) = (gateway.address(), chat(&gateway));
            let asking = asking.clone();
            tokio::spawn(async move {
                let mut kept = None;
                let mut answered = 0_u32;
                while !*asking.borrow() {
                    let mut connection = match kept.take() {
                        Some(connection) => connection,
                        None => client::h1(address).await,
                    };
                    let answer = connection.try_send(&request).await.expect("an answer");
                    assert!(answer.status == 200 && answer.is_whole(), "{answer:?}");
                    answered += 1;
                    if number % 2 == 0 && !answer.head.closes() {
                        kept = Some(connection);
                    }
                }
                answered
            })
        })
        .collect();
    let mut last = gateway.id();
    for _ in 0..5 {
        last = upgrade(&gateway).await;
        let reload = gateway.post_admin("/reload").await;
        assert_eq!(reload.status, 200, "{}", reload.text());
    }
    stop_asking.send(true).expect("clients");
    let mut answered = 0;
    for client in clients {
        let count = client.await.expect("no request failed");
        assert!(count > 0);
        answered += count;
    }
    assert_eq!(gateway.successors().len(), 5);
    assert_eq!(gateway.ended().await, Some(0));
    has_paid_for(&gateway, answered).await;
    // Nothing but its own is open in the last one: as much as in the first.
    let input = std::fs::read_link(format!("/proc/{last}/fd/0")).expect("a standard input");
    assert_eq!(input.to_str(), Some("/dev/null"));
    stop(last).await;
}

#[tokio::test]
async fn what_the_process_before_was_told_is_known_to_the_next() {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let gateway = before(&upstream).start().await;
    assert_eq!(gateway.post_admin("/drain").await.status, 200);
    let first = upgrade(&gateway).await;
    assert_eq!(gateway.ask_admin("/readyz").await.status, 503);

    // By signal, and as the next process of a row.
    signal(first, "USR2");
    wait::until("the second", || gateway.successors().len() == 2).await;
    wait::until("the first's end", || !lives(first)).await;
    assert_eq!(gateway.ask_admin("/readyz").await.status, 503);
    stop(gateway.successors()[1]).await;
}

/// What a reload cannot change, an upgrade can.
#[tokio::test]
async fn listeners_of_the_configuration_come_and_go() {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let builder = before(&upstream);
    let socket = builder.folder().join("admin.sock");
    let unix = format!("unix:{}", socket.display());
    let gateway = builder.start().await;
    let (public, admin) = (gateway.address(), gateway.admin());
    let file = gateway.config_file();
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let mut config: toml::Table = text.parse().expect("TOML");
    config["admin"]["address"] = unix.clone().into();
    let another = json!([{"address": "127.0.0.1:0"}, {"address": "127.0.0.2:0"}]);
    config["listen"] = toml::Value::try_from(another).expect("TOML");
    std::fs::write(&file, config.to_string()).expect("written");

    let first = upgrade(&gateway).await;
    assert_eq!(gateway.ended().await, Some(0));
    assert_eq!(client::send(public, &chat(&gateway)).await.status, 200);
    gateway
        .log_until("the new listener", |line| {
            line.contains("listening on 127.0.0.2:")
        })
        .await;
    assert!(
        tokio::net::TcpStream::connect(admin).await.is_err(),
        "it is closed"
    );

    // The Unix socket is handed over as well.
    let again = gateway.run(&["upgrade", "--admin", &unix]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.starts_with("Upgraded: process "), "{again:?}");
    wait::until("the first's end", || !lives(first)).await;
    let drain = gateway.run(&["drain", "--admin", &unix]);
    assert_eq!(drain.code, Some(0), "{drain:?}");
    stop(gateway.successors()[1]).await;
}
