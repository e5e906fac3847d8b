//! What a model's name means: which providers are asked, in which order, for what, and how the body is edited for it.
//! Against fake providers, row by row. Who may ask for what is in `access`; what follows a failure is another file's
//! matter, here it only shows the order of the candidates.

use bytes::Bytes;
use serde_json::json;

use crate::ask::{self, speaking_all};
use crate::support::client::Response;
use crate::support::edits::{self, Edit};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};

/// Three providers: `one` (aliases `uno` and `premier`), `two`, and `talker`, which speaks chat only; `talker` first.
struct Lab {
    gateway: Gateway,
    upstreams: [(&'static str, Upstream); 3],
}

/// What came of a request.
struct Outcome {
    response: Response,
    /// Provider, and body as it arrived, in the order of the attempts.
    attempts: Vec<(&'static str, Bytes)>,
}

impl Lab {
    async fn new() -> Self {
        let start = async || upstream::h1().reply(ask::answer()).start().await;
        let (talker, one, two) = (start().await, start().await, start().await);
        let of_one = speaking_all(custom("one"))
            .set("aliases", json!(["uno", "premier"]))
            .set("author", json!("acme"))
            .model_as("small", &["tiny", "by-alias"])
            .model("Big")
            .model("shared")
            .model("both");
        let of_two = speaking_all(custom("two"))
            .set("default_for", json!(["both"]))
            .model("shared")
            .model("both")
            .model("by-alias")
            .model("acme/wide")
            .model("one/odd")
            .model("llama3.2:1b");
        let gateway = gateway()
            .custom(custom("talker").model("shared").model("chatty"), &talker)
            .custom(of_one, &one)
            .custom(of_two, &two)
            .virtual_model(
                "fast",
                &["two:shared", "small", "one:not-listed", "two:shared"],
            )
            .virtual_model("team/any", &["both"])
            .start()
            .await;
        Self {
            gateway,
            upstreams: [("talker", talker), ("one", one), ("two", two)],
        }
    }

    fn upstream(&self, provider: &str) -> &Upstream {
        let mut found = self.upstreams.iter().filter(|(id, _)| *id == provider);
        &found
            .next()
            .unwrap_or_else(|| panic!("no provider {provider}"))
            .1
    }

    /// Posts `body` to `path` with these headers.
    async fn send(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Outcome {
        let before: Vec<usize> = self
            .upstreams
            .iter()
            .map(|(_, upstream)| upstream.count())
            .collect();
        let request = self.gateway.post(path, body.to_owned()).headers(headers);
        let response = self.gateway.send(&request).await;
        let mut attempts = Vec::new();
        for ((id, upstream), before) in self.upstreams.iter().zip(before) {
            let arrived = upstream.deliveries_since(before);
            attempts.extend(
                arrived
                    .into_iter()
                    .map(|delivery| (delivery.at, *id, delivery.bytes())),
            );
        }
        attempts.sort_by_key(|(at, ..)| *at);
        let attempts = attempts
            .into_iter()
            .map(|(_, id, body)| (id, body))
            .collect();
        Outcome { response, attempts }
    }

    /// Checks that a chat request with these raw `members` in place of the model is answered by `provider`, which is
    /// asked for `model`, with these `edits` made and published.
    async fn check(&self, members: &str, provider: &str, model: &str, edits: &[Edit<'_>]) {
        let surface = ask::surface("chat");
        self.check_at(surface.path, &[], members, provider, model, edits)
            .await;
    }

    async fn check_at(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        members: &str,
        provider: &str,
        model: &str,
        edits: &[Edit<'_>],
    ) {
        let context = format!("{path} {headers:?} {members}");
        let body = ask::surface("chat").body_with(members);
        let Outcome { response, attempts } = self.send(path, headers, &body).await;
        assert_eq!(response.status, 200, "{context}: {}", response.text());
        let full = format!("{provider}:{model}");
        assert_eq!(
            response.header("tollgate-model"),
            Some(full.as_str()),
            "{context}"
        );
        let names: Vec<&str> = edits.iter().map(name).collect();
        let published = (!names.is_empty()).then(|| names.join(", "));
        assert_eq!(
            response.header("tollgate-edits"),
            published.as_deref(),
            "{context}"
        );
        let [(reached, arrived)] = &attempts[..] else {
            panic!("{context}: {} attempts", attempts.len());
        };
        assert_eq!(*reached, provider, "{context}");
        let expected = edits::expected(body.as_bytes(), edits);
        assert_eq!(*arrived, expected, "{context}");
        let asked: serde_json::Value = serde_json::from_slice(arrived).expect("JSON");
        assert_eq!(asked["model"], model, "{context}");
        assert_eq!(asked.get("models"), None, "{context}");
    }

    /// Checks which candidates a chat request with these raw `members` has, in order, by failing them all.
    async fn check_order(&self, path: &str, members: &str, candidates: &[&str]) {
        let context = format!("{path} {members}");
        self.upstreams
            .iter()
            .for_each(|(_, upstream)| upstream.otherwise(ask::turned_down()));
        let surface = ask::SURFACES
            .iter()
            .find(|surface| path.ends_with(surface.path));
        let body = surface.expect("a surface").body_with(members);
        let Outcome { response, attempts } = self.send(path, &[], &body).await;
        self.upstreams
            .iter()
            .for_each(|(_, upstream)| upstream.otherwise(ask::answer()));
        assert_eq!(response.status, 403, "{context}");
        let asked = attempts.iter().map(|(id, body)| {
            let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            assert_eq!(body.get("models"), None, "{context}");
            format!("{id}:{}", body["model"].as_str().unwrap_or_default())
        });
        let asked: Vec<String> = asked.collect();
        assert_eq!(asked, candidates, "{context}");
        let listed = response.header("tollgate-attempts").unwrap_or_default();
        let at = |candidate: &&str| {
            listed
                .find(*candidate)
                .unwrap_or_else(|| panic!("{candidate} in {listed}"))
        };
        assert!(candidates.iter().map(at).is_sorted(), "{context}: {listed}");
    }
}

/// The published name of an edit.
fn name(edit: &Edit<'_>) -> &'static str {
    match edit {
        Edit::Model(_) => "E1",
        Edit::WithoutModels => "E2",
    }
}

fn model(name: &str) -> String {
    format!("\"model\":\"{name}\"")
}

#[tokio::test]
async fn a_prefix_picks_the_provider_and_the_rest_goes_upstream() {
    let lab = Lab::new().await;
    for prefix in ["one", "ONE", "One", "uno", "UNO", "premier"] {
        for (rest, upstream) in [
            ("small", "small"),
            // An alias is resolved, and any case.
            ("tiny", "small"),
            ("TINY", "small"),
            ("big", "Big"),
            // What the catalog does not know goes as it is.
            ("not-listed", "not-listed"),
            ("Not-Listed", "Not-Listed"),
            ("acme/deep/er:free:now", "acme/deep/er:free:now"),
            ("two:shared", "two:shared"),
            ("fast", "fast"),
        ] {
            let members = model(&format!("{prefix}:{rest}"));
            lab.check(&members, "one", upstream, &[Edit::Model(upstream)])
                .await;
        }
    }
    lab.check(
        &model("two:llama3.2:1b"),
        "two",
        "llama3.2:1b",
        &[Edit::Model("llama3.2:1b")],
    )
    .await;
}

#[tokio::test]
async fn a_bare_name_is_looked_up_and_stays_as_it_is_where_the_provider_calls_it_so() {
    let lab = Lab::new().await;
    lab.check(&model("small"), "one", "small", &[]).await;
    lab.check(&model("Big"), "one", "Big", &[]).await;
    // Another case, and an alias.
    lab.check(&model("SMALL"), "one", "small", &[Edit::Model("small")])
        .await;
    lab.check(&model("big"), "one", "Big", &[Edit::Model("Big")])
        .await;
    lab.check(&model("tiny"), "one", "small", &[Edit::Model("small")])
        .await;
    // The first in catalog order; the default before it; an id before an alias.
    lab.check(&model("shared"), "talker", "shared", &[]).await;
    lab.check(&model("both"), "two", "both", &[]).await;
    lab.check(&model("by-alias"), "two", "by-alias", &[]).await;
    // A colon and a slash can be part of an id.
    lab.check(&model("llama3.2:1b"), "two", "llama3.2:1b", &[])
        .await;
    lab.check(
        &model("LLAMA3.2:1B"),
        "two",
        "llama3.2:1b",
        &[Edit::Model("llama3.2:1b")],
    )
    .await;
    lab.check(&model("acme/wide"), "two", "acme/wide", &[])
        .await;
    // An id as it stands comes before a provider or an author on the left.
    lab.check(&model("one/odd"), "two", "one/odd", &[]).await;
}

#[tokio::test]
async fn what_stands_before_a_slash_is_a_provider_or_an_author() {
    let lab = Lab::new().await;
    let small = [Edit::Model("small")];
    lab.check(&model("one/small"), "one", "small", &small).await;
    lab.check(&model("Uno/tiny"), "one", "small", &small).await;
    lab.check(
        &model("one/not/listed:x"),
        "one",
        "not/listed:x",
        &[Edit::Model("not/listed:x")],
    )
    .await;
    lab.check(&model("acme/small"), "one", "small", &small)
        .await;
    lab.check(&model("ACME/Tiny"), "one", "small", &small).await;
}

#[tokio::test]
async fn a_virtual_model_stands_for_its_list() {
    let lab = Lab::new().await;
    lab.check(&model("fast"), "two", "shared", &[Edit::Model("shared")])
        .await;
    lab.check(&model("FAST"), "two", "shared", &[Edit::Model("shared")])
        .await;
    lab.check(&model("team/any"), "two", "both", &[Edit::Model("both")])
        .await;
    let path = ask::surface("chat").path;
    lab.check_order(
        path,
        &model("fast"),
        &["two:shared", "one:small", "one:not-listed"],
    )
    .await;
    lab.check_order(path, &model("team/any"), &["two:both", "one:both"])
        .await;
}

#[tokio::test]
async fn candidates_are_tried_in_catalog_order_and_only_those_that_speak_the_surface() {
    let lab = Lab::new().await;
    let chat = ask::surface("chat").path;
    lab.check_order(
        chat,
        &model("shared"),
        &["talker:shared", "one:shared", "two:shared"],
    )
    .await;
    lab.check_order(chat, &model("both"), &["two:both", "one:both"])
        .await;
    lab.check_order(chat, &model("by-alias"), &["two:by-alias", "one:small"])
        .await;
    for name in ["responses", "messages", "count_tokens"] {
        let path = ask::surface(name).path;
        lab.check_order(path, &model("shared"), &["one:shared", "two:shared"])
            .await;
    }
}

#[tokio::test]
async fn models_are_tried_after_model_in_order_without_repetition() {
    let lab = Lab::new().await;
    let chat = ask::surface("chat").path;
    lab.check_order(
        chat,
        r#""model":"one:small","models":["two:acme/wide","one:small","tiny","one:x","two:acme/wide"]"#,
        &["one:small", "two:acme/wide", "one:x"],
    )
    .await;
    // A candidate that two names lead to is tried once, where it came first.
    lab.check_order(
        chat,
        r#""models":["both","one:both","fast"],"model":"two:shared""#,
        &[
            "two:shared",
            "two:both",
            "one:both",
            "one:small",
            "one:not-listed",
        ],
    )
    .await;
    lab.check_order(
        chat,
        r#""models":["chatty","one:big"]"#,
        &["talker:chatty", "one:Big"],
    )
    .await;
    // A name that means nothing is passed over where another one means something.
    lab.check_order(
        chat,
        r#""models":["no-such-model-at-all","one:big"]"#,
        &["one:Big"],
    )
    .await;
}

#[tokio::test]
async fn the_member_models_goes_no_further() {
    let lab = Lab::new().await;
    lab.check(
        r#""model":"small","models":["two:shared"]"#,
        "one",
        "small",
        &[Edit::WithoutModels],
    )
    .await;
    lab.check(
        r#""models" : [ "two:shared" ] , "model" : "tiny""#,
        "one",
        "small",
        &[Edit::Model("small"), Edit::WithoutModels],
    )
    .await;
    lab.check(
        r#""model":"small","models":[]"#,
        "one",
        "small",
        &[Edit::WithoutModels],
    )
    .await;
}

#[tokio::test]
async fn models_alone_is_enough() {
    let lab = Lab::new().await;
    let surface = ask::surface("chat");
    for (list, attempts_made) in [(r#"["one:tiny"]"#, 1), (r#"["two:gone","one:tiny"]"#, 2)] {
        if attempts_made == 2 {
            lab.upstream("two").push(ask::turned_down());
        }
        let body = surface.body_with(&format!("\"models\":{list}"));
        let Outcome { response, attempts } = lab.send(surface.path, &[], &body).await;
        assert_eq!(response.status, 200, "{list}: {}", response.text());
        assert_eq!(response.header("tollgate-model"), Some("one:small"));
        assert_eq!(response.header("tollgate-edits"), Some("E1, E2"));
        assert_eq!(attempts.len(), attempts_made, "{list}");
        // The name takes the place of the list; not a byte of the rest is touched.
        let (id, arrived) = &attempts[attempts_made - 1];
        let expected = surface.body_with(&model("small"));
        assert_eq!(
            (*id, arrived.as_ref()),
            ("one", expected.as_bytes()),
            "{list}"
        );
    }
}

#[tokio::test]
async fn a_name_may_be_written_with_escapes() {
    let lab = Lab::new().await;
    lab.check(
        r#""model":"one\u003asmall""#,
        "one",
        "small",
        &[Edit::Model("small")],
    )
    .await;
    lab.check(r#""model":"one:a\/b""#, "one", "a/b", &[Edit::Model("a/b")])
        .await;
    lab.check(
        r#""model":"one:a \"q\" \\""#,
        "one",
        r#"a "q" \"#,
        &[Edit::Model(r#"a "q" \"#)],
    )
    .await;
}

#[tokio::test]
async fn a_name_in_other_letters_reaches_the_upstream_as_it_is() {
    let lab = Lab::new().await;
    let surface = ask::surface("chat");
    let Outcome { response, attempts } = lab
        .send(surface.path, &[], &surface.body("one:größe-模型"))
        .await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(attempts[0].1, surface.body("größe-模型"));
    let shown = response.header("tollgate-model").unwrap_or_default();
    assert!(shown.starts_with("one:gr") && shown.is_ascii(), "{shown}");
}

#[tokio::test]
async fn a_header_pins_the_provider() {
    let lab = Lab::new().await;
    let path = ask::surface("chat").path;
    for provider in ["two", "TWO"] {
        let pin = [("Tollgate-Provider", provider)];
        lab.check_at(path, &pin, &model("shared"), "two", "shared", &[])
            .await;
        lab.check_at(path, &pin, &model("both"), "two", "both", &[])
            .await;
        lab.check_at(path, &pin, &model("not-listed"), "two", "not-listed", &[])
            .await;
        lab.check_at(
            path,
            &pin,
            &model("two:shared"),
            "two",
            "shared",
            &[Edit::Model("shared")],
        )
        .await;
        lab.check_at(
            path,
            &pin,
            &model("fast"),
            "two",
            "shared",
            &[Edit::Model("shared")],
        )
        .await;
        // Another provider's prefix is part of the name here.
        lab.check_at(path, &pin, &model("one:small"), "two", "one:small", &[])
            .await;
    }
    let pin = [("tollgate-provider", "premier")];
    lab.check_at(
        path,
        &pin,
        &model("tiny"),
        "one",
        "small",
        &[Edit::Model("small")],
    )
    .await;
}

#[tokio::test]
async fn every_accepted_base_url_reaches_the_surface() {
    let lab = Lab::new().await;
    for surface in ask::SURFACES {
        let below = surface.path.trim_start_matches("/v1");
        for base in ["", "/v1", "/v1/v1", "/two", "/two/v1", "/TWO/v1/v1"] {
            let path = format!("{base}{below}");
            let pinned = base.to_ascii_lowercase().starts_with("/two");
            let before = lab.upstream("two").count();
            let body = surface.body(if pinned { "shared" } else { "both" });
            let Outcome { response, attempts } = lab.send(&path, &[], &body).await;
            assert_eq!(response.status, 200, "{path}: {}", response.text());
            assert_eq!(attempts.len(), 1, "{path}");
            // Upstream it is the provider's own path.
            let delivery = lab.upstream("two").deliveries_since(before).remove(0);
            assert_eq!(delivery.target, surface.path, "{path}");
        }
    }
    let path = "/uno/v1/chat/completions";
    lab.check_at(path, &[], &model("shared"), "one", "shared", &[])
        .await;
    let agreed = [("tollgate-provider", "one")];
    lab.check_at(path, &agreed, &model("shared"), "one", "shared", &[])
        .await;
}

#[tokio::test]
async fn the_names_of_the_shipped_catalog_mean_their_providers() {
    let start = async || upstream::h1().reply(ask::answer()).start().await;
    let (openai, anthropic, openrouter) = (start().await, start().await, start().await);
    let gateway = gateway()
        .provider("openai", &openai)
        .provider("anthropic", &anthropic)
        .provider_with("openrouter", &openrouter, "/api/v1", 1)
        .start()
        .await;
    let (chat, messages) = (ask::surface("chat"), ask::surface("messages"));
    for (surface, name, answered) in [
        (chat, "gpt-4o", "openai:gpt-4o"),
        (chat, "GPT-4o", "openai:gpt-4o"),
        (chat, "oai:gpt-4o", "openai:gpt-4o"),
        (
            chat,
            "openai:a-model-of-tomorrow",
            "openai:a-model-of-tomorrow",
        ),
        (
            chat,
            "openai/gpt-5.3-codex-spark",
            "openai:gpt-5.3-codex-spark",
        ),
        (chat, "openai/gpt-4o", "openrouter:openai/gpt-4o"),
        (
            chat,
            "openrouter:anthropic/claude-3.5-sonnet",
            "openrouter:anthropic/claude-3.5-sonnet",
        ),
        (messages, "claude-haiku-4-5", "anthropic:claude-haiku-4-5"),
        (
            messages,
            "anthropic/claude-sonnet-4-5",
            "anthropic:claude-sonnet-4-5",
        ),
        (
            messages,
            "Claude:claude-sonnet-4-5",
            "anthropic:claude-sonnet-4-5",
        ),
    ] {
        let request = surface.post(name).bearer(gateway.key());
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert_eq!(response.header("tollgate-model"), Some(answered), "{name}");
        let (provider, model) = answered.split_once(':').expect("a prefix");
        let upstream = match provider {
            "openai" => &openai,
            "anthropic" => &anthropic,
            _ => &openrouter,
        };
        let delivery = upstream.deliveries().pop().expect("a delivery");
        assert_eq!(delivery.json()["model"], model, "{name}");
    }
}
