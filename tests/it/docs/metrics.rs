//! `docs/metrics.md` has every family that a gateway shows, with its type and its labels, and no other.

use std::collections::{BTreeMap, BTreeSet};

use super::root;
use crate::pair::{self, MODEL};
use crate::support::gateway::{Metrics, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Delivery, Reply};

/// Families by name: their type and their labels.
pub type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// What comes behind the name of a histogram, and the label that only its buckets have.
pub const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];
const BOUND: &str = "le";

/// The text between each two backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The tables of the page whose columns are family, type, labels and what it says.
pub fn described() -> Families {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).expect("the page");
    let mut families = Families::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" |").map(str::trim).collect();
        let [names, kind, labels, says] = cells[..] else {
            continue;
        };
        if !["counter", "gauge", "histogram"].contains(&kind) {
            continue;
        }
        assert!(!says.is_empty(), "{line}");
        let labels: BTreeSet<String> = quoted(labels).map(str::to_owned).collect();
        for name in quoted(names) {
            let before = families.insert(name.to_owned(), (kind.to_owned(), labels.clone()));
            assert!(before.is_none(), "{name} stands twice");
        }
    }
    families
}

/// The families of a scrape, each of which has a help that names its unit.
fn shown(text: &str) -> Families {
    let mut families = Families::new();
    let mut help = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, words)) = line
            .strip_prefix("# HELP ")
            .and_then(|it| it.split_once(' '))
        {
            help.insert(name, words);
        }
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    for name in families.keys() {
        let words = help.get(name.as_str()).copied().unwrap_or_default();
        let words = words.to_lowercase();
        for unit in ["seconds", "bytes", "dollars"] {
            assert!(
                !name.contains(unit) || words.contains(unit),
                "{name}: {words}"
            );
        }
        assert!(words.len() > 5 && words.ends_with('.'), "{name}: {words}");
    }
    for sample in Metrics::parse(text).samples() {
        let whole = SUFFIXES
            .iter()
            .find_map(|suffix| sample.name.strip_suffix(suffix));
        let name = whole
            .filter(|name| families.contains_key(*name))
            .unwrap_or(&sample.name);
        let (_, labels) = families.get_mut(name).expect("a type");
        let names = sample.labels.iter().map(|(name, _)| name.clone());
        labels.extend(names.filter(|name| name != BOUND));
    }
    families
}

#[tokio::test]
async fn the_page_has_the_metrics_that_there_are() {
    let authority = Authority::new();
    let list = Reply::json(200, r#"{"data":[{"id":"found"}]}"#);
    let answers = move |delivery: &Delivery| -> Behaviour {
        match delivery.method.as_str() {
            "GET" => list.clone().into(),
            _ => pair::good().into(),
        }
    };
    let good = upstream::h1().each(answers).start().await;
    let angry = upstream::h1().reply(pair::error(401)).start().await;
    let broken = upstream::refusing();
    let gateway = gateway()
        .tls(&authority)
        .custom(
            custom("one").model(MODEL).set("discover", true.into()),
            &good,
        )
        .custom(custom("two").model("refused"), &angry)
        .custom(custom("three").model("gone"), &broken)
        .virtual_model("best", &[&format!("one:{MODEL}")])
        .stored("default", "one", "ours", &[])
        .start()
        .await;
    assert_eq!(gateway.send(&pair::chat(&gateway, 0)).await.status, 200);
    for model in ["refused", "gone"] {
        let body = crate::support::bodies::chat(model).build();
        assert_ne!(gateway.chat(body).await.status, 200);
    }
    pair::idle(&gateway).await;
    gateway
        .metrics_until("a list of models", |metrics| {
            metrics.has("tollgate_discovered_models", &[])
        })
        .await;
    let shown = shown(&gateway.ask_admin("/metrics").await.text());
    let described = described();
    for (name, told) in &described {
        assert_eq!(
            shown.get(name),
            Some(told),
            "{name}: what is shown, and docs/metrics.md"
        );
    }
    let untold: Vec<_> = shown
        .keys()
        .filter(|name| !described.contains_key(*name))
        .collect();
    assert!(untold.is_empty(), "not in docs/metrics.md: {untold:?}");
}
