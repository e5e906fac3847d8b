//! The bare names of models reach their providers: an id and an alias of each shipped provider, and of each preset. What
//! arrives is checked as in `upstream_request`, where the names have prefixes.

use serde_json::Value;

use crate::ask::{self, SURFACES, Surface};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::Upstream;
use crate::upstream_request::{PRESETS, PROVIDERS, Row, rows, start};

/// Asks for `name` on one surface; it goes on as `model`.
async fn check(
    gateway: &Gateway,
    row: &Row,
    upstream: &Upstream,
    surface: &Surface,
    (name, model): (&str, &str),
) {
    let mut served = row.served.iter();
    let Some(served) = served.find(|served| served.surface == surface.name) else {
        return;
    };
    let before = upstream.count();
    let request = surface.post(name).bearer(gateway.key());
    let response = gateway.send(&request).await;
    let context = format!("{}, {}, {name}", row.id, surface.name);
    assert_eq!(response.status, 200, "{context}: {}", response.text());
    let delivery = upstream.deliveries_since(before).remove(0);
    row.check(served, surface, model, &delivery, upstream);
}

/// A model of a shipped provider that is served on `surface`, with its id or an alias for a name.
fn names(file: &Value, surface: &str, by_alias: bool) -> Option<(String, String)> {
    let usual = if surface == "embeddings" {
        "embedding"
    } else {
        "chat"
    };
    let kind = file["surfaces"][surface]["kinds"][0].as_str();
    let kind = kind.unwrap_or(usual);
    let models = file["models"].as_object().expect("models");
    models.iter().find_map(|(id, model)| {
        let serves = match model["surfaces"].as_array() {
            Some(surfaces) => surfaces.iter().any(|served| served == surface),
            None => model["kind"] == kind,
        };
        let alias = || Some(model["aliases"].get(0)?.as_str()?.to_owned());
        let name = if by_alias { alias()? } else { id.clone() };
        (serves && model["status"] != "removed").then(|| (name, id.clone()))
    })
}

#[tokio::test]
async fn each_shipped_provider_is_reached_by_the_ids_and_aliases_of_its_models() {
    let rows = rows(PROVIDERS);
    let upstreams = start(&rows).await;
    for (row, upstream) in rows.iter().zip(&upstreams) {
        // Where others have the model too, they have no key.
        let builder = gateway().provider_with(row.id, upstream, row.path, 1);
        // Names are what is asked for here, not what has a price.
        let builder = builder.config("credit.charge", false);
        let gateway = builder.start().await;
        let path = format!("{}/catalog/{}.json", env!("CARGO_MANIFEST_DIR"), row.id);
        let file: Value =
            serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON");
        for surface in SURFACES {
            for by_alias in [false, true] {
                if let Some((name, model)) = names(&file, surface.name, by_alias) {
                    check(&gateway, row, upstream, &surface, (&name, &model)).await;
                }
            }
        }
        assert!(upstream.count() > 0, "{}: no model to ask for", row.id);
    }
}

#[tokio::test]
async fn each_preset_is_reached_by_the_names_of_its_models() {
    let rows = rows(PRESETS);
    let upstreams = start(&rows).await;
    let mut builder = gateway();
    for (row, upstream) in rows.iter().zip(&upstreams) {
        let alias = format!("alias-at-{}", row.id);
        let provider = custom(row.id).preset(row.id, row.path);
        // The tables have the paths of a model `m`.
        let provider = provider.model_as("m", &[&alias]);
        builder = builder.custom(provider, upstream);
    }
    let gateway = builder.start().await;
    for (row, upstream) in rows.iter().zip(&upstreams) {
        for surface in SURFACES {
            let alias = format!("alias-at-{}", row.id);
            check(&gateway, row, upstream, &surface, (&alias, "m")).await;
        }
        assert_eq!(upstream.count(), row.served.len(), "{}", row.id);
    }
    // The id that all of them have leads to the first in the order of the catalog.
    let response = gateway.chat(ask::surface("chat").body("m")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.header("tollgate-model"),
        Some("openai-compatible:m")
    );
}
