//! What a scrape has: no request can make a series, and what operators are warned by is there.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tollgate::catalog::{Files, Overrides, resolve};
use tollgate::metrics::{CredentialLabel, Metrics as Families};
use tollgate::surface::Surface;

use crate::health_passive;
use crate::pair::{self, MODEL};
use crate::support::bodies;
use crate::support::client::{self, Request};
use crate::support::gateway::{Gateway, Metrics, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply};
use crate::till::Till;

/// Random names that are looked up in the shipped catalog.
const NAMES: u64 = 1_000_000;

/// Requests over one connection before the scrape that is compared with, and after it.
const FEW: u64 = 600;
const MANY: u64 = 6_000;

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn word(&mut self) -> String {
        format!("{:x}", self.next())
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let place = self.below(all.len() as u64);
        usize::try_from(place)
            .ok()
            .and_then(|place| all.get(place))
            .expect("one of them")
    }

    /// A name as no catalog has it, in every form that leads somewhere.
    fn model(&mut self) -> String {
        let word = self.word();
        match self.below(5) {
            0 => word,
            1 => format!("openai:{word}"),
            2 => format!("{word}:gpt-4o"),
            3 => format!("anthropic/{word}"),
            _ => format!("one:{word}"),
        }
    }

    fn path(&mut self) -> String {
        let word = self.word();
        match self.below(8) {
            0 => format!("/{word}"),
            1 => format!("/v1/{word}"),
            2 => format!("/v1beta/models/{word}:generateContent"),
            3 => format!("/openai/deployments/{word}/chat/completions?api-version={word}"),
            4 => format!("/v1/models/{word}"),
            5 => format!("/v1/responses/{word}"),
            6 => format!("/one/v1/{word}"),
            _ => "/v1/chat/completions".to_owned(),
        }
    }

    /// A request of which nothing is as it was in another.
    fn request(&mut self, gateway: &Gateway) -> Request {
        let (path, model) = (self.path(), self.model());
        let method = self.of(&["POST", "POST", "POST", "PUT", "PATCH"]);
        let body = bodies::chat(&model).build();
        let request = Request::new(method, &path, Some(body))
            .header("content-type", "application/json")
            .header("user-agent", &self.word())
            .header(&format!("tollgate-{}", self.word()), &self.word())
            .header("x-client-request-id", &self.word());
        match self.below(3) {
            0 => request.bearer(&format!("tg-{}", self.word())),
            1 => request.bearer(&self.word()),
            _ => request.bearer(gateway.key()),
        }
    }
}

/// The series of a scrape.
fn series(metrics: &Metrics) -> BTreeSet<String> {
    let named = |sample: &crate::support::gateway::Sample| {
        let labels: Vec<_> = sample
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("{} {}", sample.name, labels.join(","))
    };
    metrics.samples().iter().map(named).collect()
}

async fn send(gateway: &Gateway, chance: &mut Chance, count: u64) {
    let mut connection = client::h1(gateway.address()).await;
    for _ in 0..count {
        let request = chance.request(gateway);
        let closed = match connection.try_send(&request).await {
            Ok(response) => response.head.closes() || !response.is_whole(),
            Err(_) => true,
        };
        if closed {
            connection = client::h1(gateway.address()).await;
        }
    }
}

#[tokio::test]
async fn no_request_makes_a_series() {
    let upstream = upstream::h1().reply(pair::good()).start().await;
    let gateway = gateway()
        .custom(custom("one").model(MODEL), &upstream)
        .provider("openai", &upstream)
        .start()
        .await;
    let mut chance = Chance(1);
    send(&gateway, &mut chance, FEW).await;
    let some = series(&pair::idle(&gateway).await);
    send(&gateway, &mut chance, MANY).await;
    let metrics = pair::idle(&gateway).await;
    let counted = metrics.sum("tollgate_requests_total", &[]);
    assert!(counted >= (FEW + MANY) as f64, "{counted}");
    assert!(metrics.sum("tollgate_requests_total", &[("provider", "one")]) > 0.0);
    let new: Vec<_> = series(&metrics).difference(&some).cloned().collect();
    assert!(new.is_empty(), "{new:#?}");
}

/// The same by the million, where it is decided: what a name leads to is a provider of the catalog, or nothing, and the
/// other labels are no texts of a request at all.
#[test]
fn a_million_names_lead_to_no_more_providers_than_there_are() {
    let catalog = resolve(&Files::builtin(), &Overrides::default()).expect("the catalog");
    let families = Families::new(&["model_not_found"]).expect("the families");
    let mut chance = Chance(2);
    let (mut known, mut unknown) = (0_u64, 0_u64);
    for _ in 0..NAMES {
        let name = chance.model();
        match catalog.lookup(&name, None) {
            Ok(targets) => {
                known += 1;
                for target in targets.iter() {
                    let provider = families.provider(&catalog.provider(target.provider).id);
                    let surface = Some(Surface::Chat);
                    let credential = CredentialLabel::Gateway;
                    provider.request(surface, 200, credential, Duration::ZERO);
                }
            }
            Err(_) => {
                unknown += 1;
                families.rejection(0);
            }
        }
    }
    assert!(
        known > NAMES / 10 && unknown > NAMES / 10,
        "{known} {unknown}"
    );
    let text = String::from_utf8(families.render()).expect("UTF-8");
    let requests = |line: &&str| line.starts_with("tollgate_requests_total{");
    let series = text.lines().filter(requests).count();
    assert!(
        (2..=catalog.providers().len()).contains(&series),
        "{series}"
    );
}

#[tokio::test]
async fn the_expiry_of_a_certificate_is_told_by_listener() {
    let authority = Authority::new();
    let gateway = gateway().tls(&authority).start().await;
    let metrics = gateway.metrics().await;
    let name = "tollgate_certificate_expiry_timestamp_seconds";
    let listener = gateway.tls_address().to_string();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    assert!(metrics.sum(name, &[("listener", &listener)]) > now);
    let listeners = metrics
        .samples()
        .iter()
        .filter(|sample| sample.name == name);
    assert_eq!(listeners.count(), 1, "the plain one has none");
}

#[tokio::test]
async fn whether_the_files_are_in_order_is_told_until_they_are_again() {
    let upstream = upstream::h1().reply(pair::good()).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model("small"), &upstream)
        .start()
        .await;
    let state = async || {
        let metrics = gateway.metrics().await;
        (
            metrics.sum("tollgate_last_reload_successful", &[]),
            metrics.sum("tollgate_last_reload_success_timestamp_seconds", &[]),
        )
    };
    let (in_order, loaded) = state().await;
    assert!(in_order == 1.0 && loaded > 1.7e9, "{in_order} {loaded}");
    gateway.write_catalog("more", &json!({"virtual_models": {"loop": ["loop"]}}));
    assert_ne!(gateway.post_admin("/reload").await.status, 200);
    assert_eq!(state().await, (0.0, loaded));
    gateway.write_catalog(
        "more",
        &json!({"virtual_models": {"loop": ["house:small"]}}),
    );
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    let (in_order, again) = state().await;
    assert!(in_order == 1.0 && again >= loaded, "{in_order} {again}");
}

#[tokio::test]
async fn a_mistake_that_is_taken_back_before_it_was_loaded_is_none() {
    let gateway = gateway().start().await;
    let good = std::fs::read_to_string(gateway.config_file()).expect("the configuration");
    let in_order = |value: f64| {
        move |metrics: &Metrics| metrics.sum("tollgate_last_reload_successful", &[]) == value
    };
    std::fs::write(gateway.config_file(), "[[[").expect("written");
    gateway.metrics_until("the mistake", in_order(0.0)).await;
    std::fs::write(gateway.config_file(), good).expect("written");
    let metrics = gateway.metrics_until("its end", in_order(1.0)).await;
    assert!(metrics.sum("tollgate_reload_failures_total", &[]) >= 1.0);
}

#[tokio::test]
async fn the_candidates_of_a_virtual_model_that_are_left_are_told() {
    let first = upstream::h1().reply(pair::error(503)).start().await;
    let second = upstream::h1().reply(pair::error(503)).start().await;
    let builder = pair::before(&first, &second)
        .virtual_model("best", &[&format!("one:{MODEL}"), &format!("two:{MODEL}")]);
    let gateway = health_passive::health(builder, 1, health_passive::LONG)
        .start()
        .await;
    let ready = |metrics: &Metrics| {
        metrics.sum(
            "tollgate_virtual_model_candidates_ready",
            &[("model", "best")],
        )
    };
    assert_eq!(ready(&gateway.metrics().await), 2.0);
    let answer = gateway.chat(bodies::chat("best").build()).await;
    assert_eq!(answer.status, 503);
    gateway
        .metrics_until("no candidate", |metrics| ready(metrics) == 0.0)
        .await;
}

const FLAGGED: &str = "tollgate_usage_flagged_total";

#[tokio::test]
async fn rows_flags_holds_and_the_age_of_prices_are_told() {
    let till = Till::new().await;
    let gate = upstream::gate();
    till.upstream.push(
        crate::support::upstream::behave()
            .read()
            .hold(&gate)
            .send(pair::good()),
    );
    let request = till.chat();
    let sent = till.send(&request);
    let watched = async {
        gate.held(1).await;
        let metrics = till.gateway.metrics().await;
        assert_eq!(metrics.sum("tollgate_holds_open", &[]), 1.0);
        // To ten seconds, of a request that has just begun on a machine that may be slow.
        assert!(metrics.has("tollgate_oldest_hold_seconds", &[]));
        gate.open();
    };
    let (answer, ()) = tokio::join!(sent, watched);
    assert_eq!(answer.status, 200);
    till.upstream.push(Reply::json(
        200,
        r#"{"choices":[{"message":{"content":"Hello"}}],"usage":{"prompt_tokens":31,"completion_tokens":-17}}"#,
    ));
    assert_eq!(till.send(&till.chat()).await.status, 200);
    let metrics = till
        .gateway
        .metrics_until("two rows, one of them flagged", |metrics| {
            // Of one answer, the one may be of before a row and the other of after it.
            let rows = metrics.sum("tollgate_usage_rows_total", &[]);
            (rows, metrics.sum(FLAGGED, &[("flag", "absurd")])) == (2.0, 1.0)
        })
        .await;
    assert_eq!(metrics.sum(FLAGGED, &[("flag", "unpriced")]), 0.0);
    assert_eq!(metrics.sum("tollgate_oldest_hold_seconds", &[]), 0.0);
    let name = "tollgate_catalog_as_of_timestamp_seconds";
    assert!(metrics.sum(name, &[("provider", "openai")]) > 1.7e9);
}
