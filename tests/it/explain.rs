//! `POST /tollgate/v1/explain` and `tollgate explain`: that what they say is what happens, that each reason has its
//! name, and that nothing is sent.

use serde_json::{Value, json};

use crate::ask::{self, Dialect, refused};
use crate::support::client::{Request, Response, get, post};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Reply, Upstream};

const PATH: &str = "/tollgate/v1/explain";

/// Two providers that have `fast`, one under another id, and more behind them; a key for each policy.
async fn start() -> (Gateway, [Upstream; 2]) {
    let first = upstream::h1().reply(ask::answer()).start().await;
    let second = upstream::h1().reply(ask::answer()).start().await;
    let one = custom("one").set(
        "models",
        json!({
            "m-one": {"aliases": ["fast"], "author": "acme", "family": "speedy", "price": {"input": "0.15", "output": "0.6", "cached_input": "0.075"}},
            "other": {},
        }),
    );
    let one = one.set("default_for", json!(["fast"]));
    let mute = custom("mute").set("models", json!({"fast": {"surfaces": ["embeddings"]}}));
    let gateway = gateway()
        .custom(one, &first)
        .custom(custom("two").model("fast"), &second)
        .custom(mute, &second)
        .custom(custom("off").model("fast"), &second)
        .config("providers.off.enabled", false)
        .catalog(
            "poor",
            json!({"provider": "poor", "preset": "openai-compatible", "rank": 3000, "key_optional": false,
                   "base_url": "http://127.0.0.1:9/v1", "models": {"fast": {}}}),
        )
        .credentials("one", 2)
        .virtual_model("house", &["two:fast", "one:m-one", "one:m-one", "two:unlisted"])
        .key("narrow", &["--deny-model", "one:m-*", "--provider-steps", "two=gateway", "--failover", "safe"])
        .key("fenced", &["--allow-provider", "two", "--allow-model", "fas*"])
        .start()
        .await;
    (gateway, [first, second])
}

async fn explained(gateway: &Gateway, body: &Value) -> Value {
    told(&gateway.send(&gateway.post(PATH, body.to_string())).await)
}

#[track_caller]
fn told(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.header("tollgate-request-id").is_some());
    response.json()
}

/// One member of each row of a list.
fn each(list: &Value, member: &str) -> Vec<String> {
    let rows = list.as_array().expect("a list");
    let text = |row: &Value| row[member].as_str().unwrap_or_default().to_owned();
    rows.iter().map(text).collect()
}

/// Carries out the edits of a candidate as they are told.
fn edited(body: &str, candidate: &Value) -> String {
    let mut edited = body.to_owned();
    for edit in candidate["edits"].as_array().expect("a list").iter().rev() {
        let number = |member: &str| edit[member].as_u64().expect("a number") as usize;
        let (start, length) = (number("offset"), number("length"));
        let range = start..start + length;
        assert_eq!(edit["removed"], body[range.clone()], "{edit}");
        edited.replace_range(range, edit["inserted"].as_str().expect("text"));
    }
    edited
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let (gateway, [first, second]) = start().await;
    let body = r#"{"messages": [{"role": "user", "content": "é"}], "models": ["two:unlisted"] , "model": "fast"}"#;
    let told = told(&gateway.send(&gateway.post(PATH, body)).await);
    assert_eq!(first.count() + second.count(), 0, "nothing is sent");

    first.push(ask::busy());
    second.push(ask::busy());
    let response = gateway.chat(body).await;
    assert_eq!(response.status, 200);
    let attempts = response.header("tollgate-attempts").expect("attempts");
    let tried: Vec<&str> = attempts
        .split(", ")
        .filter_map(|attempt| attempt.split(';').next())
        .collect();
    assert_eq!(each(&told["candidates"], "model"), tried);
    assert_eq!(tried, ["one:m-one", "two:fast", "two:unlisted"]);

    let candidates = told["candidates"].as_array().expect("a list");
    let reached = [first.delivery()].into_iter().chain(second.deliveries());
    for (delivery, candidate) in reached.zip(candidates) {
        let sent = String::from_utf8(delivery.body.to_vec()).expect("UTF-8");
        assert_eq!(sent, edited(body, candidate), "{candidate}");
        let url = candidate["endpoints"][0]["url"].as_str().expect("a URL");
        assert!(
            url.ends_with(&delivery.target),
            "{url}: {}",
            delivery.target
        );
    }
    // The first is renamed and its list taken out, the second keeps its name.
    assert_eq!(each(&candidates[0]["edits"], "name"), ["E2", "E1"]);
    assert_eq!(each(&candidates[1]["edits"], "name"), ["E2"]);
}

#[tokio::test]
async fn a_candidate_is_told_in_full() {
    let (gateway, [first, _]) = start().await;
    let told = explained(&gateway, &json!({"model": "fast"})).await;
    let candidate = &told["candidates"][0];
    let url = format!("{}/v1/chat/completions", first.origin());
    assert_eq!(
        candidate,
        &json!({
            "model": "one:m-one", "asked_as": "fast", "provider": "one", "upstream_id": "m-one", "known": true,
            "endpoints": [{"name": first.address().to_string(), "url": url, "state": "ready"}], "auth": "bearer",
            "steps": ["byok", "gateway"],
            "credentials": [
                {"step": "gateway", "number": 1, "state": "ready"},
                {"step": "gateway", "number": 2, "state": "ready"},
            ],
            "price": {"input": "0.15", "cached_input": "0.075", "output": "0.6"},
            "edits": [{"name": "E1", "offset": 9, "length": 6, "removed": "\"fast\"", "inserted": "\"m-one\""}],
        })
    );
    for (member, value) in [
        ("surface", json!("chat")),
        ("failover", json!("on")),
        ("attempts_max", json!(10)),
    ] {
        assert_eq!(told[member], value, "{member}");
    }
    assert_eq!(told["key"]["name"], "test");
    let ready = gateway.ask_admin("/readyz").await.json();
    assert_eq!(told["catalog"], ready["catalog"]);
}

#[tokio::test]
async fn each_form_of_a_name_has_its_rule() {
    let (gateway, _) = start().await;
    for (name, rule, means) in [
        ("one:m-one", "prefix", "one:m-one"),
        ("one:anything/at:all", "prefix", "one:anything/at:all"),
        ("house", "virtual", "two:fast"),
        ("m-one", "exact", "one:m-one"),
        ("speedy", "family", "one:m-one"),
        ("M-ONE", "any_case", "one:m-one"),
        ("two/else", "slash", "two:else"),
        ("acme/m-one", "author", "one:m-one"),
    ] {
        let told = explained(&gateway, &json!({"model": name})).await;
        let read = &told["names"][0];
        assert_eq!(
            (&read["name"], &read["rule"]),
            (&json!(name), &json!(rule)),
            "{told}"
        );
        assert_eq!(read["means"][0], means, "{name}");
        assert_eq!(told["candidates"][0]["model"], means, "{name}");
    }
    let pinned = gateway
        .post(PATH, r#"{"model": "whatever"}"#)
        .header("tollgate-provider", "two");
    let told = told(&gateway.send(&pinned).await);
    assert_eq!(
        (&told["names"][0]["rule"], &told["provider"]),
        (&json!("pinned"), &json!("two"))
    );
    assert_eq!(told["candidates"][0]["known"], false);
    assert_eq!(told["candidates"][0]["price"], Value::Null);
}

#[tokio::test]
async fn each_reason_not_to_try_something_has_its_name() {
    let (gateway, _) = start().await;
    let body = json!({"model": "fast", "models": ["two:fast"]});
    let request = post(PATH, body.to_string()).bearer(gateway.key_named("narrow"));
    let told = told(&gateway.send(&request).await);
    assert_eq!(each(&told["candidates"], "model"), ["two:fast"]);
    let dropped = told["dropped"].as_array().expect("a list");
    let reasons: Vec<(&str, &str)> = dropped
        .iter()
        .map(|row| {
            (
                row["model"].as_str().unwrap(),
                row["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("one:m-one", "policy"),
            ("mute:fast", "surface"),
            ("off:fast", "provider_disabled"),
            ("poor:fast", "no_credential"),
            ("two:fast", "repeated"),
        ]
    );
    // The rules that matched are named, and the key's own failover mode holds.
    let because = dropped[0]["because"].as_str().expect("a reason");
    assert!(because.contains("deny_models `one:m-*`"), "{because}");
    assert_eq!(told["candidates"][0]["steps_by"], "provider_steps `two`");
    assert_eq!(told["failover"], "safe");

    let fenced = |model: &str| {
        let body = json!({"model": model}).to_string();
        post(PATH, body).bearer(gateway.key_named("fenced"))
    };
    let told_of = told_by(&gateway, &fenced("fast")).await;
    assert_eq!(
        told_of["candidates"][0]["allowed_by"],
        "allow_models `fas*`"
    );
    let because = told_of["dropped"][0]["because"].as_str().expect("a reason");
    assert!(because.contains("no rule of allow_providers"), "{because}");
    let told_of = told_by(&gateway, &fenced("two:other")).await;
    let because = told_of["dropped"][0]["because"].as_str().expect("a reason");
    assert!(because.contains("no rule of allow_models"), "{because}");
}

async fn told_by(gateway: &Gateway, request: &Request) -> Value {
    told(&gateway.send(request).await)
}

#[tokio::test]
async fn a_virtual_model_is_told_in_its_order_and_each_model_once() {
    let (gateway, _) = start().await;
    let told = explained(&gateway, &json!({"model": "house"})).await;
    assert_eq!(
        each(&told["candidates"], "model"),
        ["two:fast", "one:m-one", "two:unlisted"]
    );
    assert_eq!(told["dropped"], json!([]));
    assert_eq!(each(&told["candidates"], "asked_as"), ["house"; 3]);
}

#[tokio::test]
async fn a_refusal_is_told_within_the_explanation_as_the_request_would_get_it() {
    let (gateway, _) = start().await;
    for (body, status, code) in [
        (r#"{"model": "fst"}"#, 404, "model_not_found"),
        (r#"{"model": "mute:fast"}"#, 400, "surface_not_supported"),
        (r#"{"model": "poor:fast"}"#, 503, "no_credential"),
        (
            r#"{"model": "fast", "model": "one:x"}"#,
            400,
            "ambiguous_model",
        ),
        (r#"{"models": []}"#, 400, "invalid_request"),
        (
            r#"{"model": "fast", "stream": true, "stream": false}"#,
            400,
            "invalid_request",
        ),
    ] {
        let told = told(&gateway.send(&gateway.post(PATH, body)).await);
        assert_eq!(
            (&told["refused"]["status"], &told["refused"]["code"]),
            (&json!(status), &json!(code)),
            "{body}"
        );
        let response = gateway.chat(body).await;
        let message = refused(&response, Dialect::OpenAi, status, code);
        assert_eq!(told["refused"]["message"], message, "{body}");
    }
    let unknown = explained(&gateway, &json!({"model": "fst"})).await;
    assert_eq!(unknown["names"][0]["rule"], "none");
    assert!(
        unknown["names"][0]["nearest"]
            .as_array()
            .unwrap()
            .contains(&json!("fast"))
    );
}

#[tokio::test]
async fn a_key_that_is_set_aside_comes_last_and_says_for_how_long() {
    let (gateway, [first, _]) = start().await;
    let refusing = Reply::json(429, "{}").header("retry-after", "600");
    first.push(refusing);
    assert_eq!(gateway.chat(r#"{"model": "one:m-one"}"#).await.status, 200);
    let told = explained(&gateway, &json!({"model": "one:m-one"})).await;
    let credentials = told["candidates"][0]["credentials"]
        .as_array()
        .expect("a list");
    assert_eq!(each(&json!(credentials), "state"), ["ready", "set_aside"]);
    let seconds = credentials[1]["seconds"].as_u64().expect("a number");
    assert!((1..=600).contains(&seconds), "{seconds}");
    assert!(!told.to_string().contains("sk-"), "{told}");
}

#[tokio::test]
async fn the_surface_is_asked_for_or_follows_from_the_client() {
    let (gateway, _) = start().await;
    let body = r#"{"model": "mute:fast"}"#;
    let at = |query: &str| gateway.post(&format!("{PATH}{query}"), body);
    let told_of = told_by(&gateway, &at("?surface=embeddings")).await;
    assert_eq!(
        (&told_of["surface"], &told_of["candidates"][0]["model"]),
        (&json!("embeddings"), &json!("mute:fast"))
    );
    let anthropic = at("").header("anthropic-version", "2023-06-01");
    assert_eq!(told_by(&gateway, &anthropic).await["surface"], "messages");
    let message = refused(
        &gateway.send(&at("?surface=telepathy")).await,
        Dialect::OpenAi,
        400,
        "invalid_request",
    );
    assert!(message.contains("chat, completions"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused() {
    let (gateway, _) = start().await;
    let response = gateway.send(&post(PATH, r#"{"model": "fast"}"#)).await;
    refused(&response, Dialect::OpenAi, 401, "invalid_access_key");
    let response = gateway.send(&gateway.get(PATH)).await;
    refused(&response, Dialect::OpenAi, 405, "method_not_allowed");
    assert_eq!(response.header("allow"), Some("POST"));
    for body in ["", "[1]", "{\"model\": "] {
        let response = gateway.send(&gateway.post(PATH, body)).await;
        refused(&response, Dialect::OpenAi, 400, "invalid_request");
    }
    let nearby = gateway
        .send(&get("/tollgate/v1/explein").bearer(gateway.key()))
        .await;
    let message = refused(&nearby, Dialect::OpenAi, 404, "unknown_path");
    assert!(message.contains(PATH), "{message}");
}

#[tokio::test]
async fn a_provider_key_of_the_client_counts_as_it_would_for_the_request() {
    let (gateway, [first, _]) = start().await;
    let with_key = |path: &str| {
        post(path, r#"{"model": "fast"}"#)
            .header("tollgate-key", gateway.key())
            .bearer("sk-canary-of-the-client-0123456789")
    };
    let told = told_by(&gateway, &with_key(PATH)).await;
    let steps = |at: usize| each(&told["candidates"][at]["credentials"], "step");
    assert_eq!(
        (steps(0), steps(1)),
        (vec!["request".to_owned()], vec!["gateway".to_owned()])
    );
    assert!(!told.to_string().contains("canary"), "{told}");
    let response = gateway.send(&with_key("/v1/chat/completions")).await;
    assert_eq!(response.header("tollgate-credential"), Some("request"));
    assert_eq!(
        first.delivery().header("authorization"),
        Some("Bearer sk-canary-of-the-client-0123456789")
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_to_be_kept_is_explained_from_its_beginning() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let one = custom("one").model_as("m-one", &["fast"]);
    let gateway = gateway()
        .custom(one, &upstream)
        .config("limits.replay_request", "100KiB")
        .start()
        .await;
    let padding = "x".repeat(1 << 20);
    let body = format!(r#"{{"model": "fast", "messages": "{padding}"}}"#);
    let told = told(&gateway.send(&gateway.post(PATH, body)).await);
    assert_eq!(told["candidates"][0]["edits"][0]["offset"], 10);
    let body = format!(r#"{{"models": ["fast"], "model": "fast", "messages": "{padding}"}}"#);
    let told = told_by(&gateway, &gateway.post(PATH, body)).await;
    assert_eq!(each(&told["candidates"][0]["edits"], "name"), ["E2", "E1"]);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_command_line_decides_alike() {
    let (gateway, _) = start().await;
    let body = r#"{"model": "fast", "models": ["two:unlisted", "nothing"]}"#;
    let request = post(PATH, body).bearer(gateway.key_named("narrow"));
    let mut served = told(&gateway.send(&request).await);
    let file = gateway.folder().join("request.json");
    std::fs::write(&file, body).expect("a file");
    let run = gateway.run(&[
        "explain",
        "--key",
        gateway.key_named("narrow"),
        "--body",
        file.to_str().expect("a path"),
        "--json",
    ]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut offline: Value = serde_json::from_str(&run.stdout).expect("JSON");
    // Only the running gateway knows the health of keys and endpoints.
    for (told, known) in [(&mut served, "ready"), (&mut offline, "unknown")] {
        for candidate in told["candidates"].as_array_mut().expect("a list") {
            for what in ["credentials", "endpoints"] {
                for each in candidate[what].as_array_mut().expect("a list") {
                    assert_eq!(each["state"].take(), known);
                }
            }
        }
    }
    assert_eq!(offline, served);
}

#[tokio::test]
async fn the_command_line_is_read_by_people_and_scripts() {
    let (gateway, [first, second]) = start().await;
    let run = gateway.run(&["explain", "fast"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for part in [
        "key       any without rules",
        "`fast`: the id or an alias",
        "1. one:m-one",
        "2. two:fast",
        "/v1/chat/completions",
        "gateway key 1, gateway key 2",
        "input 0.15, cached_input 0.075, output 0.6",
        "E1: bytes 9..15 \"fast\" become \"m-one\"",
        "-  mute:fast: is not served on `chat`",
        "-  poor:fast: there is no key for its provider",
    ] {
        assert!(run.stdout.contains(part), "{part}:\n{}", run.stdout);
    }
    let refused = gateway.run(&["explain", "fast", "--surface", "messages"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused
            .stdout
            .contains("refused: 400 surface_not_supported"),
        "{}",
        refused.stdout
    );
    let id = gateway.key_named("narrow");
    assert_eq!(gateway.run(&["keys", "disable", id]).code, Some(0));
    let disabled = gateway.run(&["explain", "fast", "--key", id]);
    assert_eq!(disabled.code, Some(3));
    assert!(
        disabled
            .stdout
            .contains("refused: 401 invalid_access_key: This access key is disabled"),
        "{}",
        disabled.stdout
    );
    for (arguments, code, says) in [
        (&["explain"][..], 2, "name a model"),
        (
            &["explain", "fast", "--surface", "telepathy"],
            2,
            "a surface is one of",
        ),
        (
            &["explain", "fast", "--provider", "nobody"],
            1,
            "no provider `nobody`",
        ),
        (&["explain", "fast", "--key", "nonsense"], 2, "id"),
        (&["explain", "--body", "absent.json"], 1, "absent.json"),
    ] {
        let run = gateway.run(arguments);
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(
            run.stdout.is_empty() && run.stderr.contains(says),
            "{says}: {run:?}"
        );
    }
    assert_eq!(first.count() + second.count(), 0);
}

/// What an edit takes away may be most of the body, once for each candidate.
#[tokio::test]
async fn an_explanation_does_not_grow_with_the_body() {
    let (gateway, _) = start().await;
    let names: Vec<String> = (0..60).map(|at| format!("two:unlisted-{at}")).collect();
    let body = format!(
        r#"{{"models": {}{}}}"#,
        json!(names).to_string().trim_end_matches(']'),
        " ".repeat(1 << 20) + "]"
    );
    let response = gateway.send(&gateway.post(PATH, body)).await;
    assert_eq!(
        told(&response)["candidates"][59]["edits"][0]["name"],
        "E1, E2"
    );
    assert!(response.body.len() < 1 << 20, "{}", response.body.len());
}
