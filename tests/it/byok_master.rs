//! The master key of stored provider keys: lost, wrong, and changed while requests run. Whatever becomes of it, everything
//! else goes on.

use std::time::Duration;

use crate::byok::{asking, credentials, operators, own};
use crate::pair::{Pair, chat, code};
use crate::support::gateway::{Builder, Gateway, MASTER_KEY};
use crate::support::wait;

const OTHER: &str = "a3f19c07d25e8b4460bd7e1f92c835a6e0174bd88f3c62a95d1be7042f96c8d3";

async fn start(more: impl FnOnce(Builder) -> Builder) -> Pair {
    Pair::start(|gateway| {
        let gateway = gateway.stored("default", "one", "main", &[]);
        more(gateway.key("own-only", &["--credential-steps", "byok"]))
    })
    .await
}

/// Writes the configuration anew with this in the place of `[byok]`, and has it read.
async fn configure(gateway: &Gateway, byok: &str) {
    let text = std::fs::read_to_string(gateway.config_file()).expect("the configuration");
    let mut table: toml::Table = text.parse().expect("a configuration");
    table.insert(
        "byok".to_owned(),
        byok.parse::<toml::Table>().expect("a section").into(),
    );
    std::fs::write(gateway.config_file(), table.to_string()).expect("written");
    let answer = gateway.post_admin("/reload").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn write_master(gateway: &Gateway, file: &str, key: &str) {
    std::fs::write(gateway.folder().join(file), key).expect("written");
}

async fn status(pair: &Pair) -> u16 {
    let request = asking(&pair.gateway, "own-only");
    pair.gateway.send(&request).await.status
}

async fn until_status(pair: &Pair, expected: u16) {
    let asking = async {
        while status(pair).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("that status", asking).await;
}

/// `unusable` stored keys in `/readyz`, which says ready all the same.
async fn unusable(gateway: &Gateway) -> Option<u64> {
    let ready = gateway.ask_admin("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    ready.json()["provider_keys_unusable"].as_u64()
}

/// What `check` says of stored keys and of master keys that cannot be read; where they lie here is no matter.
fn warnings_of_keys(pair: &Pair) -> String {
    let said = pair.gateway.run(&["check"]).stderr;
    let of_keys = said
        .lines()
        .filter(|line| line.contains("provider key pk-") || line.contains("cannot read"));
    of_keys.collect()
}

#[tokio::test]
async fn with_a_wrong_master_key_the_stored_keys_are_out_of_use_and_all_else_goes_on() {
    let wrong = |it: Builder| {
        it.master_key("wrong", OTHER)
            .start_with("byok.master_key", "file:wrong")
    };
    for (what, more) in [
        (
            "wrong",
            Box::new(wrong) as Box<dyn FnOnce(Builder) -> Builder>,
        ),
        (
            "lost",
            Box::new(|it: Builder| it.start_with("byok.master_key", "file:nowhere")),
        ),
        (
            "none",
            Box::new(|it: Builder| it.start_with("byok", toml::Table::new())),
        ),
    ] {
        let pair = start(more).await;
        let line = pair
            .gateway
            .log_until("a word about it", |line| {
                line.contains("1 stored provider key(s) cannot be used")
            })
            .await;
        assert!(
            line.contains("pk-") && line.contains("master key"),
            "{line}"
        );
        assert_eq!(unusable(&pair.gateway).await, Some(1), "{what}");
        let metrics = pair.gateway.metrics().await;
        assert!(metrics.sum("tollgate_provider_keys", &[("state", "unusable")]) == 1.0);

        let refused = pair.gateway.send(&asking(&pair.gateway, "own-only")).await;
        assert_eq!(
            (refused.status, &*code(&refused)),
            (503, "no_credential"),
            "{what}"
        );
        assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
        assert_eq!(credentials(&pair.first, 0), [operators()]);
        let checked = pair.gateway.run(&["check"]);
        // No mistake that keeps it from starting: the unit file runs this check before it does.
        assert_eq!(checked.code, Some(0), "{what}: {checked:?}");
        assert!(
            checked.stderr.contains("(main, one, of default)"),
            "{checked:?}"
        );
        assert_eq!(
            checked.stderr.contains("cannot read the secret"),
            what == "lost",
            "{checked:?}"
        );

        // The right one is found again.
        configure(&pair.gateway, "master_key = \"file:master-key\"").await;
        until_status(&pair, 200).await;
        assert_eq!(credentials(&pair.first, 1), [own("main")]);
        assert_eq!(unusable(&pair.gateway).await, None);
        assert_eq!(warnings_of_keys(&pair), "");
    }
}

#[tokio::test]
async fn the_master_key_is_changed_while_requests_run() {
    let pair = start(|it| it).await;
    assert_eq!(status(&pair).await, 200);
    write_master(&pair.gateway, "new", OTHER);
    configure(
        &pair.gateway,
        "master_keys = [\"file:new\", \"file:master-key\"]",
    )
    .await;
    let resealed = pair.gateway.run(&["provider-keys", "reseal"]);
    assert_eq!(resealed.code, Some(0), "{resealed:?}");
    assert!(
        resealed.stdout.starts_with("1 key(s) sealed anew, 0"),
        "{resealed:?}"
    );
    assert_eq!(status(&pair).await, 200);
    // The old one can go.
    configure(&pair.gateway, "master_key = \"file:new\"").await;
    assert_eq!(warnings_of_keys(&pair), "");
    for _ in 0..10 {
        assert_eq!(status(&pair).await, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = pair.gateway.run(&["provider-keys", "reseal"]);
    assert!(
        again.stdout.starts_with("0 key(s) sealed anew, 1 were"),
        "{again:?}"
    );
    assert_eq!(unusable(&pair.gateway).await, None);
}

#[tokio::test]
async fn a_master_key_that_is_taken_out_too_early_is_found_by_the_check() {
    let pair = start(|it| it.master_key("new", OTHER)).await;
    let text = std::fs::read_to_string(pair.gateway.config_file()).expect("the configuration");
    std::fs::write(
        pair.gateway.config_file(),
        text.replace("file:master-key", "file:new"),
    )
    .expect("written");
    let checked = pair.gateway.run(&["check"]);
    assert!(
        checked.stderr.starts_with("tollgate: warning: "),
        "{checked:?}"
    );
    assert!(
        checked
            .stderr
            .contains("none of those that the configuration names"),
        "{checked:?}"
    );
    assert!(!checked.stderr.contains(MASTER_KEY) && !checked.stderr.contains(OTHER));
}

#[tokio::test]
async fn a_reload_that_cannot_read_the_master_key_keeps_the_one_it_has() {
    let pair = start(|it| it).await;
    std::fs::remove_file(pair.gateway.folder().join("master-key")).expect("removed");
    let answer = pair.gateway.post_admin("/reload").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    pair.gateway
        .log_until("a word about it", |line| {
            line.contains("those that were read before stay in use")
        })
        .await;
    for _ in 0..10 {
        assert_eq!(status(&pair).await, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let checked = pair.gateway.run(&["check"]);
    assert!(
        checked.stderr.contains("there is no such file"),
        "{checked:?}"
    );
}

#[tokio::test]
async fn a_reload_that_fails_changes_no_master_key() {
    let pair = start(|it| it).await;
    let config = pair.gateway.config_file();
    let good = std::fs::read_to_string(&config).expect("the configuration");
    write_master(&pair.gateway, "new", OTHER);
    // A mistake that shows when all else has been read.
    let mut bad: toml::Table = good.parse().expect("a configuration");
    let log = bad
        .entry("log")
        .or_insert_with(|| toml::Table::new().into());
    log["access"] = "no-such-folder/access.log".into();
    let bad = bad.to_string().replace("file:master-key", "file:new");
    std::fs::write(&config, bad).expect("written");
    assert_eq!(pair.gateway.post_admin("/reload").await.status, 422);
    // The one in use is the one that stays, also where it cannot be read for a while.
    std::fs::rename(
        pair.gateway.folder().join("master-key"),
        pair.gateway.folder().join("away"),
    )
    .expect("moved");
    std::fs::write(&config, good).expect("written");
    assert_eq!(pair.gateway.post_admin("/reload").await.status, 200);
    for _ in 0..10 {
        assert_eq!(status(&pair).await, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_a_master_key_nothing_is_stored() {
    let pair = Pair::start(|gateway| gateway).await;
    let add = ["provider-keys", "add", "--provider", "one"];
    let refused = pair.gateway.run_with(&add, "sk-live-do-not-print");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("set `byok.master_key` in the configuration"),
        "{refused:?}"
    );
    assert!(!format!("{refused:?}").contains("do-not-print"));
    let listed = pair.gateway.run(&["provider-keys", "list"]);
    assert_eq!(listed.stdout.lines().count(), 1, "{listed:?}");
}
