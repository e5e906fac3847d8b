//! A list of ten thousand models, page by page: whatever the key may use, each model once and in order, and tokens that mean
//! nothing are told as such. How long it takes is measured by `benches/list.rs`.

use serde_json::{Value, json};

use crate::models::{ask, ask_anthropic, ask_gemini, gemini_ids, ids};
use crate::pair::code;
use crate::support::client::Response;
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream;

const MODELS: usize = 10_000;

/// Keys that may use all of them, and nine tenths.
const KEYS: [&str; 2] = ["all", "most"];

async fn start() -> Gateway {
    let upstream = upstream::h1().start().await;
    let models: serde_json::Map<String, Value> = (0..MODELS)
        .map(|number| (format!("maker-{}/m{number:05}", number % 7), json!({})))
        .collect();
    gateway()
        .custom(custom("many").set("models", models.into()), &upstream)
        .virtual_model("fast", &["many:maker-1/m00001", "many:maker-2/m00002"])
        .key("all", &["--allow-provider", "many"])
        .key(
            "most",
            &["--allow-provider", "many", "--deny-model", "*/m*3"],
        )
        .start()
        .await
}

/// All pages of an Anthropic client that begins with `target`.
async fn anthropic(gateway: &Gateway, key: &str, target: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut asked = target.to_owned();
    loop {
        let response = ask_anthropic(gateway, key, &asked).await;
        all.extend(ids(&response));
        assert!(all.len() <= MODELS + 1, "no end");
        let page = response.json();
        if page["has_more"] == false {
            return all;
        }
        let last = page["last_id"].as_str().expect("an id").replace('/', "%2F");
        asked = format!("{target}&after_id={last}");
    }
}

/// The same of a Gemini client.
async fn gemini(gateway: &Gateway, key: &str, target: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut asked = target.to_owned();
    loop {
        let response = ask_gemini(gateway, key, &asked).await;
        all.extend(gemini_ids(&response));
        assert!(all.len() <= MODELS + 1, "no end");
        match response.json()["nextPageToken"].as_str() {
            Some(token) => asked = format!("{target}&pageToken={}", token.replace('/', "%2F")),
            None => return all,
        }
    }
}

#[tokio::test]
async fn every_page_size_has_each_model_once_and_in_order() {
    let gateway = start().await;
    for key in KEYS {
        let whole = ids(&ask(&gateway, key, "/v1/models").await);
        let expected = match key {
            "all" => MODELS + 1,
            _ => MODELS + 1 - MODELS / 10,
        };
        assert_eq!(whole.len(), expected, "{key}");
        assert_eq!(whole[0], "fast");
        // In the order of the file.
        assert!(whole[1..].is_sorted());
        for size in [1000, 777] {
            let target = format!("/v1/models?limit={size}");
            assert!(
                anthropic(&gateway, key, &target).await == whole,
                "{key}, {target}"
            );
            let target = format!("/v1beta/models?pageSize={size}");
            assert!(
                gemini(&gateway, key, &target).await == whole,
                "{key}, {target}"
            );
        }
    }
}

#[tokio::test]
async fn a_token_that_means_nothing_is_told_as_such() {
    let gateway = start().await;
    let is_refused = |response: &Response, told: &str| {
        assert_eq!(response.status, 400, "{}", response.text());
        assert!(
            response.text().contains("invalid_request"),
            "{}",
            response.text()
        );
        assert!(response.text().contains(told), "{}", response.text());
    };
    // One that is of no model, and one of a model that this key does not see.
    for id in ["no-such-model", "maker-3%2Fm00003"] {
        let told = id.replace("%2F", "/");
        for name in ["after_id", "before_id"] {
            let target = format!("/v1/models?{name}={id}");
            let response = ask_anthropic(&gateway, "most", &target).await;
            is_refused(&response, &told);
            assert_eq!(code(&response), "invalid_request");
        }
        let target = format!("/v1beta/models?pageToken={id}");
        is_refused(&ask_gemini(&gateway, "most", &target).await, &told);
    }
    for (target, told) in [
        ("/v1/models?limit=0", "`limit`"),
        ("/v1/models?limit=1001", "`limit`"),
        ("/v1/models?limit=ten", "`limit`"),
    ] {
        is_refused(&ask_anthropic(&gateway, "all", target).await, told);
    }
    for size in ["-1", "ten"] {
        let target = format!("/v1beta/models?pageSize={size}");
        is_refused(&ask_gemini(&gateway, "all", &target).await, "`pageSize`");
    }
}
