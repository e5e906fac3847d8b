//! What operators do with a gateway that runs: ask how it is, have requests sent elsewhere, turn its access log over.

use serde_json::Value;

use crate::pair::{self, MODEL};
use crate::support::bodies;
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};
use crate::support::wait;

async fn started(log: &str) -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(pair::good()).start().await;
    let builder = gateway().custom(custom("one").model(MODEL), &upstream);
    let file = builder.folder().join(log).display().to_string();
    let gateway = builder.config("log.access", file).start().await;
    (gateway, upstream)
}

fn at(gateway: &Gateway) -> [String; 2] {
    ["--admin".to_owned(), gateway.admin().to_string()]
}

async fn serves(gateway: &Gateway) -> bool {
    let answer = gateway.chat(bodies::chat(MODEL).build()).await;
    answer.status == 200
}

#[tokio::test]
async fn drained_it_serves_and_says_that_it_is_not_ready() {
    let (gateway, _upstream) = started("access.log").await;
    let [flag, admin] = at(&gateway);
    let ran = |command: &[&str]| {
        let mut arguments = command.to_vec();
        arguments.extend([flag.as_str(), &admin]);
        gateway.run(&arguments)
    };
    let status = ran(&["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.starts_with("All is well.\n"), "{status:?}");

    let drain = ran(&["drain"]);
    assert_eq!(drain.code, Some(0), "{drain:?}");
    assert_eq!(gateway.ask_admin("/readyz").await.status, 503);
    assert!(serves(&gateway).await);
    let status = ran(&["status", "--json"]);
    assert_eq!(status.code, Some(3), "{status:?}");
    let told: Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!(
        (&told["well"], &told["readiness"]["draining"]),
        (&Value::from(false), &Value::from(true))
    );
    assert_eq!(told["problems"].as_array().map(Vec::len), Some(1), "{told}");

    let end = ran(&["drain", "--end"]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(gateway.ask_admin("/readyz").await.status, 200);
    assert!(serves(&gateway).await);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_told_apart_from_one_that_is_not_well() {
    let (running, _upstream) = started("access.log").await;
    let [flag, admin] = at(&running);
    assert_eq!(running.stop().await, Some(0));
    let gone = gateway().run(&["status", &flag, &admin]);
    assert_eq!(gone.code, Some(4), "{gone:?}");
    assert!(gone.stderr.contains("does it run?"), "{gone:?}");
}

#[tokio::test]
async fn the_access_log_that_was_moved_away_is_opened_anew_on_usr1() {
    let (gateway, _upstream) = started("access.log").await;
    let file = gateway.folder().join("access.log");
    let lines = |file: &std::path::Path| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().filter(|line| line.contains("chat")).count()
    };
    assert!(serves(&gateway).await);
    wait::until("the first line", || lines(&file) == 1).await;
    let moved = gateway.folder().join("access.log.1");
    std::fs::rename(&file, &moved).expect("moved");
    assert!(serves(&gateway).await);
    wait::until("the second line where the file went", || lines(&moved) == 2).await;
    gateway.signal("USR1");
    wait::until("a new file", || file.exists()).await;
    assert!(serves(&gateway).await);
    wait::until("the third line in the new file", || lines(&file) == 1).await;
    assert_eq!(lines(&moved), 2);
    assert!(
        gateway
            .log_lines()
            .iter()
            .all(|line| !line.contains("reload"))
    );
}
