//! Gemini's own API: the model in the path, whatever it is called there; what its answers used and cost; and refusals as
//! its clients read them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate::store::RowState;

use crate::support::client::{Ending, Request, Response, post};
use crate::support::gateway::{CustomProvider, Gateway, custom, gateway, upstream_key};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream, fault};
use crate::till::{INPUT, OUTPUT, Till, nanos};

/// Methods, their names in the catalog, and a body of each.
const METHODS: [(&str, &str, &str); 5] = [
    ("generateContent", "generate_content", PROMPT),
    ("streamGenerateContent", "stream_generate_content", PROMPT),
    ("countTokens", "gemini_count_tokens", PROMPT),
    (
        "embedContent",
        "embed_content",
        r#"{ "content" : {"parts":[{"text":"Hello"}]} }"#,
    ),
    (
        "batchEmbedContents",
        "batch_embed_contents",
        r#"{"requests":[ {"content":{"parts":[{"text":"Hello"}]}} ]}"#,
    ),
];

const PROMPT: &str = r#"{ "contents":[{"role":"user","parts":[{"text":"Hello"}]}], "generationConfig":{"maxOutputTokens":64}}"#;

/// A provider of Gemini's API.
fn speaking_gemini(id: &str) -> CustomProvider {
    let surface = |(method, name, _): (&str, &str, &str)| {
        let path = format!("/v1beta/models/{{model}}:{method}");
        let surface = json!({"path": path, "auth": "header:x-goog-api-key"});
        (name.to_owned(), surface)
    };
    let surfaces = METHODS.into_iter().map(surface).collect();
    custom(id)
        .preset("openai-compatible", "")
        .set("surfaces", Value::Object(surfaces))
}

fn usage(input: u64, output: u64, thoughts: u64) -> Value {
    json!({
        "promptTokenCount": input, "candidatesTokenCount": output, "thoughtsTokenCount": thoughts,
        "totalTokenCount": input + output + thoughts,
    })
}

fn chunk(text: &str, reason: Option<&str>, usage: &Value) -> Value {
    let mut candidate =
        json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if let Some(reason) = reason {
        candidate["finishReason"] = reason.into();
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g"})
}

/// An answer with 31 tokens in, and 17 out.
fn answer() -> Reply {
    Reply::json(
        200,
        chunk("Hi", Some("STOP"), &usage(31, 12, 5)).to_string(),
    )
}

/// The same bit by bit.
fn chunks() -> [Value; 3] {
    [
        chunk("H", None, &usage(31, 1, 5)),
        chunk("i", None, &usage(31, 6, 5)),
        chunk("", Some("STOP"), &usage(31, 12, 5)),
    ]
}

fn events() -> Vec<Bytes> {
    let event = |chunk: Value| Bytes::from(format!("data: {chunk}\n\n"));
    chunks().into_iter().map(event).collect()
}

/// The answer without `alt=sse`.
fn list() -> Reply {
    let [one, two, three] = chunks();
    let pieces = [
        format!("[{one}"),
        format!(",\n{two}"),
        format!(",\n{three}]"),
    ];
    let reply = Reply::status(200).header("content-type", "application/json; charset=UTF-8");
    pieces.into_iter().fold(reply, Reply::piece).chunked()
}

struct Lab {
    gateway: Gateway,
    one: Upstream,
    two: Upstream,
}

impl Lab {
    async fn new() -> Self {
        let (one, two) = (upstream::h1().start().await, upstream::h1().start().await);
        one.otherwise(answer());
        two.otherwise(answer());
        let gateway = gateway()
            .custom(
                speaking_gemini("one").model_as("g-model", &["by-alias"]),
                &one,
            )
            .custom(speaking_gemini("two").model("other"), &two)
            .virtual_model("house", &["one:g-model", "two:other"])
            .start()
            .await;
        Self { gateway, one, two }
    }

    async fn send(&self, target: &str, body: impl Into<bytes::Bytes>) -> Response {
        self.gateway.send(&self.gateway.post(target, body)).await
    }
}

#[tokio::test]
async fn a_model_is_found_in_the_path_whatever_it_is_called() {
    let lab = Lab::new().await;
    for (method, _, body) in METHODS {
        for (base, name) in [
            ("/v1beta", "g-model"),
            ("/v1beta", "G-MODEL"),
            ("/v1beta", "one:g-model"),
            ("/v1beta", "one%3Ag-model"),
            ("/v1beta", "one/g-model"),
            ("/v1beta", "one%2fg-model"),
            ("/v1beta", "by-alias"),
            ("/v1beta", "house"),
            ("/v1beta", "models/g-model"),
            ("/v1", "g-model"),
            ("", "g-model"),
            ("/one/v1beta", "g-model"),
            ("/v1/v1beta", "g-model"),
            ("//one//v1beta/", "g-model"),
        ] {
            let target = format!("{base}/models/{name}:{method}");
            let before = lab.one.count();
            let response = lab.send(&target, body).await;
            assert_eq!(response.status, 200, "{target}: {}", response.text());
            assert_eq!(response.header("tollgate-model"), Some("one:g-model"));
            assert_eq!(response.header("tollgate-edits"), None, "{target}");
            let [arrived] = &lab.one.deliveries_since(before)[..] else {
                panic!("{target}: not one request");
            };
            assert_eq!(arrived.target, format!("/v1beta/models/g-model:{method}"));
            assert_eq!(arrived.bytes(), body, "{target}");
            let key = upstream_key("one", 0);
            assert_eq!(arrived.header("x-goog-api-key"), Some(key.as_str()));
            assert_eq!(arrived.header("authorization"), None);
        }
    }
    // What no catalog has goes on as it is written, as one segment of the path.
    let target = "/v1beta/models/two:tuned/x?y:generateContent";
    let response = lab.send(&target.replace('?', "%3F"), PROMPT).await;
    assert_eq!(response.header("tollgate-model"), Some("two:tuned/x?y"));
    let arrived = lab.two.deliveries_since(0).pop().expect("a request");
    assert_eq!(
        arrived.target,
        "/v1beta/models/tuned%2Fx%3Fy:generateContent"
    );
}

#[tokio::test]
async fn a_key_is_taken_from_where_clients_put_it_and_goes_no_further() {
    let lab = Lab::new().await;
    let key = lab.gateway.key().to_owned();
    let target = "/v1beta/models/g-model:streamGenerateContent";
    let plain = |query: &str| post(&format!("{target}?alt=sse{query}"), PROMPT);
    for request in [
        plain("").header("x-goog-api-key", &key),
        plain("").bearer(&key),
        plain(&format!("&key={key}")),
        plain(&format!("&k%65y={key}&key={key}")).header("x-goog-api-key", &key),
    ] {
        let before = lab.one.count();
        assert_eq!(lab.gateway.send(&request).await.status, 200, "{request:?}");
        let arrived = lab.one.deliveries_since(before).pop().expect("a request");
        assert_eq!(arrived.target, format!("{target}?alt=sse"));
        let all = format!("{:?}", arrived.fields);
        assert!(!all.contains(&key) && !all.contains("tg-"), "{all}");
    }
    let masked = plain("")
        .bearer(&key)
        .header("x-goog-fieldmask", "candidates");
    let before = lab.one.count();
    assert_eq!(lab.gateway.send(&masked).await.status, 200);
    let arrived = lab.one.deliveries_since(before).pop().expect("a request");
    assert_eq!(arrived.header("x-goog-fieldmask"), None);
    // A provider key of the client's own beside it.
    let request = plain("")
        .header("tollgate-key", &key)
        .header("x-goog-api-key", "AIza-of-the-client");
    let before = lab.one.count();
    let response = lab.gateway.send(&request).await;
    assert_eq!(response.header("tollgate-credential"), Some("request"));
    let arrived = lab.one.deliveries_since(before).pop().expect("a request");
    assert_eq!(arrived.header("x-goog-api-key"), Some("AIza-of-the-client"));
}

#[tokio::test]
async fn another_provider_is_asked_at_its_own_path() {
    let lab = Lab::new().await;
    let busy = json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}});
    lab.one.otherwise(Reply::json(503, busy.to_string()));
    for (method, _, body) in METHODS {
        let target = format!("/v1beta/models/house:{method}");
        let before = lab.two.count();
        let response = lab.send(&target, body).await;
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        assert_eq!(response.header("tollgate-model"), Some("two:other"));
        let arrived = lab.two.deliveries_since(before).pop().expect("a request");
        assert_eq!(arrived.target, format!("/v1beta/models/other:{method}"));
        assert_eq!(arrived.bytes(), body);
    }
}

#[tokio::test]
async fn a_batch_may_name_the_model_as_often_as_anybody_needs() {
    let lab = Lab::new().await;
    for (count, status) in [(1_024, 200), (1_025, 400)] {
        let requests = vec![r#"{"model":"models/two:other"}"#; count].join(",");
        let body = format!(r#"{{"requests":[{requests}]}}"#);
        let target = "/v1beta/models/two:other:batchEmbedContents";
        assert_eq!(lab.send(target, body).await.status, status, "{count}");
    }
    assert_eq!(lab.two.count(), 1);
}

#[tokio::test]
async fn what_the_body_says_again_is_said_of_the_same_model() {
    let lab = Lab::new().await;
    for (method, body, edited) in [
        (
            "batchEmbedContents",
            r#"{"requests":[{"model":"models/two:other","content":{}},{"model": "models/two:other"}]}"#,
            r#"{"requests":[{"model":"models/other","content":{}},{"model": "models/other"}]}"#,
        ),
        (
            "embedContent",
            r#"{"content":{}, "model":"models/two:other"}"#,
            r#"{"content":{}, "model":"models/other"}"#,
        ),
        (
            "countTokens",
            r#"{"generateContentRequest":{"model":"models/two:other","contents":[]}}"#,
            r#"{"generateContentRequest":{"model":"models/other","contents":[]}}"#,
        ),
        (
            "generateContent",
            r#"{"model":"models/two:other","contents":[]}"#,
            r#"{"model":"models/other","contents":[]}"#,
        ),
    ] {
        let before = lab.two.count();
        let target = format!("/v1beta/models/two:other:{method}");
        let response = lab.send(&target, body).await;
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        assert_eq!(response.header("tollgate-edits"), Some("E1"), "{target}");
        let arrived = lab.two.deliveries_since(before).pop().expect("a request");
        assert_eq!(arrived.bytes(), edited);
        let other = format!("/v1beta/models/one:g-model:{method}");
        refused(&lab.send(&other, body).await, 400, "invalid_request");
    }
    assert_eq!(lab.one.count(), 0);
}

/// Checks that a response is a refusal in Gemini's shape.
#[track_caller]
fn refused(response: &Response, status: u16, code: &str) -> String {
    let context = response.text();
    assert_eq!(response.status, status, "{context}");
    let error = &response.json()["error"];
    assert_eq!(error["code"], status, "{context}");
    assert_eq!(error["details"][0]["reason"], code, "{context}");
    let id = response.header("tollgate-request-id").expect("an id");
    assert_eq!(error["details"][1]["requestId"], id, "{context}");
    let expected = match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        _ => "INVALID_ARGUMENT",
    };
    assert_eq!(error["status"], expected, "{context}");
    error["message"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_the_shape_of_the_api() {
    let lab = Lab::new().await;
    for name in [
        "",
        "..",
        "a/../b",
        "%2e%2e",
        "a%00",
        "%0d%0aX: y",
        "%ff",
        "%zz",
        "a//b",
        "models/",
    ] {
        let target = format!(
            "/v1beta/models/{}:generateContent",
            name.replace(' ', "%20")
        );
        let said = refused(&lab.send(&target, PROMPT).await, 400, "invalid_request");
        assert!(said.contains("path"), "{name}: {said}");
    }
    let long = format!("/v1beta/models/one:{}:generateContent", "g".repeat(300));
    refused(&lab.send(&long, PROMPT).await, 400, "invalid_request");
    let at = |name: &str| format!("/v1beta/models/{name}:generateContent");
    refused(
        &lab.send(&at("nobodys"), PROMPT).await,
        404,
        "model_not_found",
    );
    refused(&lab.send(&at("g-model"), "{").await, 400, "invalid_request");
    refused(
        &lab.send("/v1beta/models/g-model:predict", PROMPT).await,
        404,
        "unknown_path",
    );
    let without = post(&at("g-model"), PROMPT).header("x-goog-api-key", "AIza-none");
    refused(&lab.gateway.send(&without).await, 401, "invalid_access_key");
    let read = Request::new("GET", &at("g-model"), None).bearer(lab.gateway.key());
    refused(&lab.gateway.send(&read).await, 405, "method_not_allowed");
    assert_eq!((lab.one.count(), lab.two.count()), (0, 0));
}

#[tokio::test]
async fn who_does_not_speak_it_is_not_asked() {
    let upstream = upstream::h1().start().await;
    let gateway = gateway()
        .custom(custom("talker").model("chatty"), &upstream)
        .start()
        .await;
    let request = gateway.post("/v1beta/models/chatty:generateContent", PROMPT);
    let said = refused(&gateway.send(&request).await, 400, "surface_not_supported");
    assert!(said.contains("google"), "{said}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_an_error_of_the_api() {
    let lab = Lab::new().await;
    let reply = Reply::sse(events(), Duration::ZERO);
    lab.one.push(fault::truncated(reply, events()[0].len()));
    let target = "/v1beta/models/g-model:streamGenerateContent?alt=sse";
    let response = lab.send(target, PROMPT).await;
    assert_ne!(response.ending, Ending::Whole);
    let text = response.text();
    let (_, last) = text.rsplit_once("data: ").expect("an event");
    let error: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(error["error"]["code"], 502, "{text}");
    assert_eq!(error["error"]["status"], "UNAVAILABLE");
}

#[tokio::test]
async fn an_explanation_names_the_path_that_would_be_asked() {
    let lab = Lab::new().await;
    let target = "/tollgate/v1/explain?surface=generate_content&model=two:other";
    let told = lab.send(target, PROMPT).await.json();
    let candidate = &told["candidates"][0];
    assert_eq!(candidate["model"], "two:other", "{told}");
    assert_eq!(candidate["edits"], json!([]), "{told}");
    let url = candidate["endpoints"][0]["url"].as_str().expect("a URL");
    assert!(
        url.ends_with("/v1beta/models/other:generateContent"),
        "{url}"
    );
    let words = ["explain", "two:other", "--surface", "embed_content"];
    let told = lab.gateway.run(&words);
    assert!(
        told.stdout.contains("/v1beta/models/other:embedContent"),
        "{told:?}"
    );
}

async fn till() -> Till {
    let provider = |_: &Upstream| speaking_gemini("one").model("g-model");
    Till::behind(Authority::new(), upstream::h1(), provider, |it| it).await
}

#[tokio::test]
async fn answers_are_charged_by_their_counts() {
    let till = till().await;
    let vector = json!({"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 31}});
    let full = 31 * INPUT + 17 * OUTPUT;
    let mut count = 0;
    for (at, reply, cost) in [
        (0, answer(), full),
        (1, list(), full),
        (1, Reply::sse(events(), Duration::ZERO), full),
        (3, Reply::json(200, vector.to_string()), 31 * INPUT),
        (4, Reply::json(200, vector.to_string()), 31 * INPUT),
    ] {
        let (method, surface, body) = METHODS[at];
        till.upstream.push(reply);
        let target = format!("/v1beta/models/g-model:{method}");
        let response = till.send(&till.gateway.post(&target, body)).await;
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        count += 1;
        let row = till.rows(count).await.pop().expect("a row");
        assert_eq!(row.surface, surface);
        assert_eq!(row.cost.charged, nanos(cost), "{row:?}");
        assert_eq!(
            (row.state, row.estimated.as_deref()),
            (RowState::Settled, None),
            "{row:?}"
        );
        assert!(row.held >= row.cost.charged, "{row:?}");
    }
    // A count of tokens costs nothing, and leaves no row.
    till.upstream
        .push(Reply::json(200, r#"{"totalTokens":31}"#));
    let request = till
        .gateway
        .post("/v1beta/models/g-model:countTokens", PROMPT);
    assert_eq!(till.send(&request).await.status, 200);
    let line = till
        .gateway
        .access_lines(count + 1)
        .await
        .pop()
        .expect("a line");
    assert_eq!(
        (&line["surface"], line.get("tokens_in")),
        (&json!("gemini_count_tokens"), None)
    );
    till.is_charged(3 * full + 2 * 31 * INPUT).await;
}

#[tokio::test]
async fn what_is_held_is_bounded_by_the_request() {
    let till = till().await;
    let body = r#"{"contents":[{"parts":[{"text":"Hello"}]}],"generationConfig":{"maxOutputTokens":10,"candidateCount":3}}"#;
    till.upstream.push(answer());
    let request = till
        .gateway
        .post("/v1beta/models/g-model:generateContent", body);
    assert_eq!(till.send(&request).await.status, 200);
    let row = till.row().await;
    // Each byte a token, and what the provider may add.
    let input = i64::try_from(body.len()).expect("a length") + 512;
    assert_eq!(row.held, nanos(input * INPUT + 3 * 10 * OUTPUT));
}

#[tokio::test]
async fn a_list_that_breaks_off_is_charged_as_a_stream_is() {
    let till = till().await;
    let begun = chunks()[0].to_string().len() + 1;
    till.upstream.push(fault::truncated(list(), begun));
    let target = "/v1beta/models/g-model:streamGenerateContent";
    till.send(&till.gateway.post(target, PROMPT)).await;
    let row = till.row().await;
    assert!(row.estimated.is_some(), "{row:?}");
    assert_eq!(row.counts.input, 31);
}

#[tokio::test]
async fn what_has_no_bound_is_not_sent_with_the_gateways_key_and_passes_with_ones_own() {
    let till = till().await;
    let target = "/v1beta/models/g-model:generateContent";
    for body in [
        r#"{"contents":[],"tools":[{"google_search":{}}]}"#,
        r#"{"contents":[],"tools":[{"codeExecution":{}}]}"#,
        r#"{"contents":[],"cachedContent":"cachedContents/theirs"}"#,
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/theirs"}}]}]}"#,
        r#"{"contents":[],"generationConfig":{"responseModalities":["IMAGE"]}}"#,
        r#"{"contents":[],"somethingNew":true}"#,
    ] {
        let before = till.upstream.count();
        let response = till.send(&till.gateway.post(target, body)).await;
        refused(&response, 403, "not_on_gateway_credential");
        assert_eq!(till.upstream.count(), before);
        till.upstream.push(answer());
        let request = post(target, body)
            .header("tollgate-key", till.gateway.key())
            .header("x-goog-api-key", "AIza-of-the-client");
        assert_eq!(till.send(&request).await.status, 200, "{body}");
        let arrived = till
            .upstream
            .deliveries_since(before)
            .pop()
            .expect("a request");
        assert_eq!(arrived.bytes(), body);
        assert_eq!(arrived.header("x-goog-api-key"), Some("AIza-of-the-client"));
    }
    for query in [
        "fields=candidates",
        "%24fields=x",
        "alt=proto",
        "callback=x",
        "alt=sse&prettyPrint=x",
    ] {
        let target = format!("{target}?{query}");
        let response = till.send(&till.gateway.post(&target, PROMPT)).await;
        refused(&response, 403, "not_on_gateway_credential");
        let before = till.upstream.count();
        till.upstream.push(answer());
        let request = post(&target, PROMPT)
            .header("tollgate-key", till.gateway.key())
            .header("x-goog-api-key", "AIza-of-the-client")
            .header("x-goog-fieldmask", "candidates");
        assert_eq!(till.send(&request).await.status, 200, "{query}");
        let arrived = till.upstream.deliveries_since(before).pop();
        let arrived = arrived.expect("a request");
        assert_eq!(arrived.target, target);
        assert_eq!(arrived.header("x-goog-fieldmask"), Some("candidates"));
    }
    let response = till
        .send(
            &till
                .gateway
                .post(target, r#"{"generationConfig":{},"generation_config":{}}"#),
        )
        .await;
    refused(&response, 400, "invalid_request");
    till.is_charged(0).await;
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_goes_on_without_naming_a_model() {
    let upstream = upstream::h1().reply(answer()).start().await;
    let gateway = gateway()
        .config("limits.replay_request", "64KiB")
        .config("credit.charge", false)
        .custom(speaking_gemini("one").model("g-model"), &upstream)
        .start()
        .await;
    let text = "x".repeat(300_000);
    let body = format!(r#"{{"contents":[{{"parts":[{{"text":"{text}"}}]}}]}}"#);
    let request = gateway.post("/v1beta/models/g-model:generateContent", body.clone());
    assert_eq!(gateway.send(&request).await.status, 200);
    let arrived = upstream.deliveries_since(0).pop().expect("a request");
    assert_eq!(arrived.length, body.len() as u64);
    let body = format!(r#"{{"content":{{"parts":[{{"text":"{text}"}}]}}}}"#);
    let request = gateway.post("/v1beta/models/g-model:embedContent", body);
    assert_eq!(gateway.send(&request).await.status, 413);
}
