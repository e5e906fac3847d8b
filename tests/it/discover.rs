//! Models that providers list themselves: found in the background, reachable by their bare names and listed, kept when
//! the provider fails; and that no request waits for any of it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::ask::{self, refused};
use crate::support::client::Response;
use crate::support::gateway::{Builder, CustomProvider, Gateway, custom, gateway, upstream_key};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Reply, Upstream, behave};
use crate::support::wait;

/// What a fake provider answers to GET, by path; 404 for others. Requests that are posted get an answer.
#[derive(Clone, Default)]
struct Lists(Arc<Mutex<Vec<(String, Behaviour)>>>);

impl Lists {
    fn set(&self, path: &str, behaviour: impl Into<Behaviour>) {
        let mut lists = self.0.lock().expect("no panic");
        lists.retain(|(known, _)| known != path);
        lists.push((path.to_owned(), behaviour.into()));
    }

    fn set_models(&self, path: &str, ids: &[&str]) {
        let entries: Vec<Value> = ids.iter().map(|id| json!({"id": id, "name": id})).collect();
        let member = if path == "/api/tags" {
            "models"
        } else {
            "data"
        };
        self.set(path, Reply::json(200, json!({member: entries}).to_string()));
    }

    fn behaviour(&self, method: &str, target: &str) -> Behaviour {
        if method == "POST" {
            return ask::answer().into();
        }
        let lists = self.0.lock().expect("no panic");
        let found = lists.iter().find(|(path, _)| path == target);
        found.map_or_else(
            || Reply::status(404).into(),
            |(_, behaviour)| behaviour.clone(),
        )
    }

    fn on(&self, upstream: upstream::Builder) -> upstream::Builder {
        let lists = self.clone();
        upstream.each(move |delivery| lists.behaviour(&delivery.method, &delivery.target))
    }
}

/// Waits for nothing.
fn hanging() -> Behaviour {
    behave().silence()
}

fn discovering(id: &str) -> CustomProvider {
    custom(id).set("discover", json!(true))
}

/// A gateway that asks as often as it can.
fn busy_gateway() -> Builder {
    gateway().config("catalog.discover", "1s")
}

/// The ids that `/v1/models` lists with their owners, those of the shipped catalog aside.
async fn listed(gateway: &Gateway, owner: &str) -> HashSet<String> {
    let list = gateway.send(&gateway.get("/v1/models")).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    let models = list["data"].as_array().expect("a list").iter();
    models
        .filter(|model| model["owned_by"] == owner)
        .map(|model| model["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// Waits until the provider's models are these.
async fn listed_are(gateway: &Gateway, owner: &str, ids: &[&str]) {
    let expected: HashSet<String> = ids.iter().map(ToString::to_string).collect();
    wait::within(&format!("{ids:?} listed"), async {
        while listed(gateway, owner).await != expected {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn failures(gateway: &Gateway, provider: &str, count: f64) {
    let labels = [("provider", provider), ("outcome", "failure")];
    gateway
        .metrics_until("failures counted", |metrics| {
            metrics.sum("tollgate_discoveries_total", &labels) >= count
        })
        .await;
}

async fn chat(gateway: &Gateway, model: &str) -> Response {
    gateway.chat(ask::surface("chat").body(model)).await
}

/// That `model` is answered by `provider`, with `upstream_model` for its name there.
async fn reaches(gateway: &Gateway, model: &str, expected: &str) {
    let response = chat(gateway, model).await;
    assert_eq!(response.status, 200, "{model}: {}", response.text());
    assert_eq!(response.header("tollgate-model"), Some(expected), "{model}");
}

#[tokio::test]
async fn each_kind_of_server_is_asked_in_its_own_way_and_what_it_has_is_reachable_by_name() {
    let ollama = Lists::default();
    ollama.set(
        "/api/tags",
        Reply::json(
            200,
            json!({"models": [
                {"name": "llama3.2:1b", "details": {"family": "llama"}},
                {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}}
            ]})
            .to_string(),
        ),
    );
    let lmstudio = Lists::default();
    lmstudio.set(
        "/api/v0/models",
        Reply::json(
            200,
            json!({"data": [
                {"id": "qwen-test", "type": "llm", "max_context_length": 4096},
                {"id": "embed-test", "type": "embeddings"}
            ]})
            .to_string(),
        ),
    );
    let vllm = Lists::default();
    vllm.set_models("/v1/models", &["house/tuned-1"]);
    let messages = Lists::default();
    messages.set_models("/v1/models", &["claude-of-the-house"]);
    let rows = [
        ("ollama", "/v1", &ollama),
        ("lmstudio", "/v1", &lmstudio),
        ("vllm", "/v1", &vllm),
        ("anthropic-compatible", "", &messages),
    ];
    let mut builder = busy_gateway();
    let mut upstreams = Vec::new();
    for (preset, path, lists) in rows {
        let upstream = lists.on(upstream::h1()).start().await;
        builder = builder.custom(discovering(preset).preset(preset, path), &upstream);
        upstreams.push(upstream);
    }
    let gateway = builder.start().await;
    listed_are(
        &gateway,
        "ollama",
        &["llama3.2:1b", "nomic-embed-text:latest"],
    )
    .await;
    listed_are(&gateway, "lmstudio", &["qwen-test", "embed-test"]).await;
    listed_are(&gateway, "vllm", &["house/tuned-1"]).await;
    listed_are(&gateway, "anthropic-compatible", &["claude-of-the-house"]).await;

    reaches(&gateway, "llama3.2:1b", "ollama:llama3.2:1b").await;
    reaches(&gateway, "LLAMA3.2:1B", "ollama:llama3.2:1b").await;
    reaches(&gateway, "ollama:llama3.2:1B", "ollama:llama3.2:1b").await;
    reaches(&gateway, "qwen-test", "lmstudio:qwen-test").await;
    reaches(&gateway, "house/tuned-1", "vllm:house/tuned-1").await;
    // What is for embeddings is not asked to chat, and the other way round.
    let response = chat(&gateway, "embed-test").await;
    refused(
        &response,
        ask::Dialect::OpenAi,
        400,
        "surface_not_supported",
    );
    let embed = ask::surface("embeddings").post("nomic-embed-text:latest");
    let response = gateway.send(&embed.bearer(gateway.key())).await;
    assert_eq!(response.status, 200, "{}", response.text());
    // A slip in a name is met with what was found.
    let response = chat(&gateway, "llama3.2:1c").await;
    assert!(
        response.text().contains("llama3.2:1b"),
        "{}",
        response.text()
    );

    let first = |at: usize| upstreams[at].deliveries().remove(0);
    assert_eq!(first(0).target, "/api/tags");
    assert_eq!(first(0).header("authorization"), None);
    assert_eq!(first(1).target, "/api/v0/models");
    let bearer = format!("Bearer {}", upstream_key("vllm", 0));
    assert_eq!(first(2).header("authorization"), Some(&*bearer));
    let delivery = first(3);
    assert_eq!(delivery.target, "/v1/models");
    let key = upstream_key("anthropic-compatible", 0);
    assert_eq!(delivery.header("x-api-key"), Some(&*key));
    assert_eq!(delivery.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(delivery.authority, upstreams[3].address().to_string());
}

#[tokio::test]
async fn an_older_server_is_asked_at_its_other_paths() {
    let lists = Lists::default();
    lists.set(
        "/api/v0/models",
        Reply::json(200, r#"{"error":"Unexpected endpoint or method."}"#),
    );
    lists.set_models("/v1/models", &["by-the-last-path"]);
    let upstream = lists.on(upstream::h1()).start().await;
    let gateway = busy_gateway()
        .custom(discovering("lmstudio").preset("lmstudio", "/v1"), &upstream)
        .start()
        .await;
    listed_are(&gateway, "lmstudio", &["by-the-last-path"]).await;
}

#[tokio::test]
async fn a_list_is_asked_for_over_tls_with_the_roots_of_requests() {
    let authority = Authority::new();
    let lists = Lists::default();
    lists.set_models("/v1/models", &["behind-tls"]);
    let upstream = lists.on(upstream::h1_tls(&authority)).start().await;
    let gateway = busy_gateway()
        .trust(&authority)
        .custom(discovering("secure"), &upstream)
        .start()
        .await;
    listed_are(&gateway, "secure", &["behind-tls"]).await;
    reaches(&gateway, "behind-tls", "secure:behind-tls").await;
}

#[tokio::test]
async fn files_come_before_lists_and_what_they_take_away_stays_away() {
    let lists = Lists::default();
    lists.set_models(
        "/v1/models",
        &["shared", "own-id", "Own-Alias", "hidden", "gone", "news"],
    );
    let upstream = lists.on(upstream::h1()).start().await;
    let other = upstream::h1().reply(ask::answer()).start().await;
    let mut house = discovering("house").model_as("own-id", &["own-alias"]);
    house = house.set("rank", json!(1));
    let gone =
        json!({"own-id": {"aliases": ["own-alias"]}, "hidden": {"disabled": true}, "gone": null});
    let gateway = busy_gateway()
        .custom(house.set("models", gone), &upstream)
        .custom(custom("files").model("shared"), &other)
        .start()
        .await;
    listed_are(&gateway, "house", &["own-id", "news"]).await;
    // The provider that a file gives the model to comes first, whatever the ranks; the other is its second.
    reaches(&gateway, "shared", "files:shared").await;
    other.push(ask::busy());
    reaches(&gateway, "shared", "house:shared").await;
    reaches(&gateway, "OWN-ALIAS", "house:own-id").await;
    for name in ["hidden", "gone"] {
        assert_eq!(chat(&gateway, name).await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn a_list_that_changes_is_followed_and_one_that_fails_stays() {
    let lists = Lists::default();
    lists.set_models("/v1/models", &["first", "both"]);
    let upstream = lists.on(upstream::h1()).start().await;
    let gateway = busy_gateway()
        .custom(discovering("house"), &upstream)
        .start()
        .await;
    listed_are(&gateway, "house", &["first", "both"]).await;
    lists.set_models("/v1/models", &["both", "second"]);
    listed_are(&gateway, "house", &["both", "second"]).await;
    assert_eq!(chat(&gateway, "first").await.status, 404);
    reaches(&gateway, "second", "house:second").await;

    let mut count = 0.0;
    let bad: [Behaviour; 6] = [
        Reply::status(503).into(),
        Reply::status(401).into(),
        Reply::json(200, "<html>").into(),
        Reply::json(200, r#"{"models":"none"}"#).into(),
        Reply::json(200, format!("{{\"data\":[{}1]}}", "1,".repeat(10_000))).into(),
        Reply::json(200, " ".repeat((4 << 20) + 1)).into(),
    ];
    for behaviour in bad {
        lists.set("/v1/models", behaviour);
        count += 2.0;
        failures(&gateway, "house", count).await;
        assert_eq!(listed(&gateway, "house").await.len(), 2);
    }
    let warnings = || {
        let lines = gateway.log_lines().into_iter();
        lines.filter(|line| line.contains("gives no list")).count()
    };
    assert_eq!(warnings(), 1, "one line for one change of state");
    let ready = gateway.ask_admin("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text());

    lists.set_models("/v1/models", &["both", "second"]);
    gateway
        .log_until("that it is back", |line| line.contains("answers again"))
        .await;
    lists.set_models("/v1/models", &[]);
    listed_are(&gateway, "house", &[]).await;
    assert_eq!(warnings(), 1);
}

#[tokio::test]
async fn no_request_waits_while_a_provider_hangs_and_asking_ends() {
    let lists = Lists::default();
    lists.set("/v1/models", hanging());
    let upstream = lists.on(upstream::h1()).start().await;
    let hole = upstream::black_hole().await;
    let gateway = busy_gateway()
        .custom(discovering("house").model("listed"), &upstream)
        .custom(discovering("hole"), &hole)
        .start()
        .await;
    upstream
        .wait_until("asked", |all| {
            all.iter().any(|one| one.target == "/v1/models")
        })
        .await;
    // While that answer is waited for, which is never given.
    for _ in 0..20 {
        reaches(&gateway, "listed", "house:listed").await;
        assert_eq!(chat(&gateway, "not-there").await.status, 404);
        assert_eq!(listed(&gateway, "house").await.len(), 1);
    }
    failures(&gateway, "house", 1.0).await;
    failures(&gateway, "hole", 1.0).await;
    lists.set_models("/v1/models", &["later"]);
    listed_are(&gateway, "house", &["listed", "later"]).await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    let lists = Lists::default();
    let piece = vec![b' '; 1 << 20];
    let mut endless = Reply::json(200, "").chunked();
    for _ in 0..8 {
        endless = endless.piece(piece.clone());
    }
    lists.set("/v1/models", endless);
    let upstream = lists.on(upstream::h1()).start().await;
    let gateway = busy_gateway()
        .custom(discovering("house"), &upstream)
        .start()
        .await;
    failures(&gateway, "house", 2.0).await;
    lists.set("/v1/models", behave().reset());
    failures(&gateway, "house", 4.0).await;
    lists.set_models("/v1/models", &["well"]);
    listed_are(&gateway, "house", &["well"]).await;
}

#[tokio::test]
async fn a_reload_forgets_nothing_and_follows_what_the_files_say() {
    let lists = Lists::default();
    lists.set_models("/v1/models", &["kept"]);
    let upstream = lists.on(upstream::h1()).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .config("catalog.discover", "1h")
        .custom(discovering("house"), &upstream)
        .start()
        .await;
    listed_are(&gateway, "house", &["kept"]).await;
    let asked = upstream.count();

    let reload = async |word: &str| {
        let mut seen = 0;
        for line in gateway.log_lines() {
            seen += usize::from(line.contains(word));
        }
        gateway.signal("HUP");
        wait::until("the reload", || {
            let lines = gateway.log_lines().into_iter();
            lines.filter(|line| line.contains(word)).count() > seen
        })
        .await;
    };
    gateway.write_catalog(
        "more",
        &json!({"virtual_models": {"fresh": ["house:kept"]}}),
    );
    reload("reloaded").await;
    reaches(&gateway, "fresh", "house:kept").await;
    reaches(&gateway, "kept", "house:kept").await;
    assert_eq!(upstream.count(), asked + 2, "it was not asked again");
    gateway.write_catalog("more", &json!({"virtual_models": {"broken": ["broken"]}}));
    reload("reload failed").await;
    reaches(&gateway, "kept", "house:kept").await;

    // Switched off, the list is gone with the next reload; on again, it is asked for anew.
    gateway.write_catalog("more", &json!({}));
    let off = file(&upstream, false);
    gateway.write_catalog("house", &off);
    reload("reloaded").await;
    assert_eq!(chat(&gateway, "kept").await.status, 404);
    gateway.write_catalog("house", &file(&upstream, true));
    reload("reloaded").await;
    listed_are(&gateway, "house", &["kept"]).await;
}

fn file(upstream: &Upstream, discover: bool) -> Value {
    json!({"provider": "house", "preset": "openai-compatible", "discover": discover,
        "base_url": format!("{}/v1", upstream.origin())})
}

#[tokio::test]
async fn an_access_key_sees_and_reaches_only_the_found_models_that_it_may_use() {
    let lists = Lists::default();
    lists.set_models("/v1/models", &["open-1", "closed-1"]);
    let upstream = lists.on(upstream::h1()).start().await;
    let gateway = busy_gateway()
        .key("narrow", &["--allow-model", "open-*"])
        .custom(discovering("house"), &upstream)
        .start()
        .await;
    listed_are(&gateway, "house", &["open-1", "closed-1"]).await;
    let ask = |model: &str| {
        ask::surface("chat")
            .post(model)
            .bearer(gateway.key_named("narrow"))
    };
    assert_eq!(gateway.send(&ask("open-1")).await.status, 200);
    let response = gateway.send(&ask("CLOSED-1")).await;
    refused(&response, ask::Dialect::OpenAi, 403, "model_not_allowed");
}

#[tokio::test]
async fn a_provider_whose_list_is_of_something_else_is_not_asked() {
    let azure = json!({"provider": "azure", "preset": "azure-openai", "discover": true,
        "base_url": "https://example.openai.azure.com/openai/v1"});
    let ended = gateway().catalog("azure", azure).run(&["check"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in ["azure.json:1:", "discover", "`models`"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}
