//! Starting: mistakes in configuration and catalog, what is told about them, and that nothing listens then.

use serde_json::json;

use crate::support::gateway::gateway;

#[tokio::test]
async fn every_mistake_is_told_at_once_and_nothing_listens() {
    let broken = gateway()
        .config("limits.body", "many")
        .config("listen_adress", "x")
        .config("timeouts.connect", "0s");
    for command in ["serve", "check"] {
        let ended = broken.run(&[command]);
        assert_eq!(ended.code, Some(1), "{command}: {ended:?}");
        for part in [
            "limits.body",
            "listen_adress",
            "timeouts.connect",
            "tollgate.toml:",
        ] {
            assert!(
                ended.stderr.contains(part),
                "{command}: {part}: {}",
                ended.stderr
            );
        }
        assert!(!ended.stderr.contains("listening on"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn every_mistake_of_the_catalog_is_told_with_its_place() {
    let broken = gateway()
        .catalog(
            "one",
            json!({"provider": "one", "base_url": "ftp://x", "surfaces": {"chat": {"path": "/c"}}}),
        )
        .catalog("two", json!({"virtual_models": {"loop": ["loop"]}}))
        // A mistake elsewhere hides none of them.
        .config("providers.openai.keys", vec!["env:ABSENT_FOR_SURE"]);
    let ended = broken.run(&["check"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in [
        "one.json:",
        "base_url",
        "two.json:",
        "loop",
        "ABSENT_FOR_SURE",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_section_for_no_provider_and_a_secret_that_is_not_there_are_told() {
    let broken = gateway().config("providers.opennai.keys", vec!["env:ABSENT_FOR_SURE"]);
    let ended = broken.run(&["serve"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("ABSENT_FOR_SURE"), "{}", ended.stderr);
    let broken = gateway().config("providers.opennai.enabled", true);
    for command in ["serve", "check"] {
        let ended = broken.run(&[command]);
        assert_eq!(ended.code, Some(1), "{command}: {ended:?}");
        assert!(ended.stderr.contains("opennai"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut listener = toml::Table::new();
    listener.insert("address".to_owned(), address.clone().into());
    let ended = gateway().config("listen", vec![listener]).run(&["serve"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
}

#[tokio::test]
async fn a_good_setup_is_said_to_be_good() {
    let ended = gateway().run(&["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("is good"), "{}", ended.stdout);
}

#[tokio::test]
async fn readiness_and_liveness_are_told() {
    let gateway = gateway().start().await;
    let ready = gateway.ask_admin("/readyz").await;
    assert_eq!(
        (ready.status, ready.json()["ready"].as_bool()),
        (200, Some(true)),
        "{}",
        ready.text()
    );
    assert!(ready.text().contains("catalog"), "{}", ready.text());
    assert_eq!(
        gateway
            .send(&crate::support::client::get("/healthz"))
            .await
            .status,
        200
    );
}
