//! The list of models: in the shape that the asking SDK expects, of what the key may use, page by page, and one by one.

use serde_json::{Value, json};

use crate::ask::{self, Dialect, refused};
use crate::support::client::{Request, Response, get};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream;

/// Asks in Anthropic's way.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// Two providers of our own beside those shipped, and a key for each set of models:
/// `ours` sees only the two, `narrow` some of the first, `none` nothing, `test` everything.
async fn start() -> Gateway {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let mut one = custom("one").set("models", json!({
        "first": {"name": "The First", "context": 1000, "max_output": 100, "aliases": ["alias-of-first"]},
        "acme/with-slash": {}, "with:colon": {}, "shared": {},
        "gone": {"status": "removed"},
    }));
    for number in 0..25 {
        one = one.model(&format!("m{number:02}"));
    }
    let two = custom("two").model("shared").model("second");
    let off = custom("off").model("of-a-provider-that-is-off");
    gateway()
        .custom(one, &upstream)
        .custom(two, &upstream)
        .custom(off, &upstream)
        .config("providers.off.enabled", false)
        .virtual_model("fast", &["two:second", "one:first"])
        .virtual_model("elsewhere", &["openai:gpt-4o"])
        .key(
            "ours",
            &[
                "--allow-provider",
                "one",
                "--allow-provider",
                "two",
                "--allow-provider",
                "off",
            ],
        )
        .key(
            "narrow",
            &[
                "--allow-provider",
                "one",
                "--allow-model",
                "m*",
                "--deny-model",
                "m1*",
            ],
        )
        .key("none", &["--allow-model", "no-such-model"])
        .start()
        .await
}

pub async fn ask(gateway: &Gateway, key: &str, target: &str) -> Response {
    let request = get(target).bearer(gateway.key_named(key));
    gateway.send(&request).await
}

pub async fn ask_anthropic(gateway: &Gateway, key: &str, target: &str) -> Response {
    let request = get(target)
        .header("x-api-key", gateway.key_named(key))
        .headers(&[VERSION]);
    gateway.send(&request).await
}

/// The ids in a list of either shape.
#[track_caller]
pub fn ids(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    let list = response.json();
    let data = list["data"]
        .as_array()
        .unwrap_or_else(|| panic!("no list: {list}"));
    data.iter()
        .map(|row| row["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// The ids that the key `ours` may use: the operator's own names, then the catalog's order.
fn ours() -> Vec<String> {
    let mut ids = ["fast", "acme/with-slash", "first"]
        .map(str::to_owned)
        .to_vec();
    ids.extend((0..25).map(|number| format!("m{number:02}")));
    ids.extend(["shared", "with:colon", "second"].map(str::to_owned));
    ids
}

#[tokio::test]
async fn an_openai_client_gets_the_whole_list_in_its_shape() {
    let gateway = start().await;
    for target in ["/v1/models", "/models", "/v1/v1/models"] {
        let response = ask(&gateway, "ours", target).await;
        let list = response.json();
        assert_eq!(list["object"], "list", "{target}");
        assert_eq!(list["has_more"], false, "{target}");
        assert_eq!(ids(&response), ours(), "{target}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(response.header("tollgate-request-id").is_some());
        for row in list["data"].as_array().expect("a list") {
            assert_eq!(row["object"], "model", "{row}");
            assert!(
                row["created"].is_u64() && row["owned_by"].is_string(),
                "{row}"
            );
            // What the Anthropic SDK reads: not every one of its clients says that it is one.
            assert_eq!(row["type"], "model", "{row}");
            assert!(
                row["display_name"].is_string() && row["created_at"].is_string(),
                "{row}"
            );
        }
        let owner = |id: &str| {
            let rows = list["data"].as_array().expect("a list");
            rows.iter().find(|row| row["id"] == id).expect("a row")["owned_by"].clone()
        };
        assert_eq!(
            (owner("shared"), owner("second")),
            (json!("one"), json!("two"))
        );
    }
}

#[tokio::test]
async fn a_virtual_model_is_in_the_list_of_those_who_may_use_one_of_its_models() {
    let gateway = start().await;
    for (key, fast, elsewhere) in [
        ("ours", true, false),
        ("test", true, true),
        ("narrow", false, false),
    ] {
        let listed = ids(&ask(&gateway, key, "/v1/models").await);
        assert_eq!(listed.iter().any(|id| id == "fast"), fast, "{key}");
        assert_eq!(
            listed.iter().any(|id| id == "elsewhere"),
            elsewhere,
            "{key}"
        );
        let status = ask(&gateway, key, "/v1/models/fast").await.status;
        assert_eq!(status, if fast { 200 } else { 404 }, "{key}");
    }
    let row = ask_anthropic(&gateway, "ours", "/v1/models/fast")
        .await
        .json();
    assert_eq!(
        (&row["type"], &row["id"]),
        (&json!("model"), &json!("fast"))
    );
}

#[tokio::test]
async fn the_list_is_what_the_key_may_use_and_what_is_served() {
    let gateway = start().await;
    let narrow = ids(&ask(&gateway, "narrow", "/v1/models").await);
    let expected = (0..25)
        .filter(|number| !(10..20).contains(number))
        .map(|number| format!("m{number:02}"));
    assert_eq!(narrow, expected.collect::<Vec<_>>());
    assert_eq!(
        ids(&ask(&gateway, "none", "/v1/models").await),
        Vec::<String>::new()
    );

    // Each name once, those shipped included; nothing that is gone or of a provider that is switched off.
    let all = ids(&ask(&gateway, "test", "/v1/models").await);
    for id in ["gpt-4o", "claude-haiku-4-5", "first", "shared"] {
        assert_eq!(all.iter().filter(|listed| *listed == id).count(), 1, "{id}");
    }
    for id in ["gone", "of-a-provider-that-is-off"] {
        assert!(!all.iter().any(|listed| listed == id), "{id}");
    }
}

#[tokio::test]
async fn an_anthropic_client_gets_pages_in_its_shape() {
    let gateway = start().await;
    let expected = ours();
    let response = ask_anthropic(&gateway, "ours", "/v1/models").await;
    let page = response.json();
    assert_eq!(ids(&response), expected[..20], "20 models are a page");
    assert_eq!(page["has_more"], true);
    assert_eq!(
        (&page["first_id"], &page["last_id"]),
        (&json!(expected[0]), &json!(expected[19]))
    );
    for row in page["data"].as_array().expect("a list") {
        assert_eq!(row["type"], "model", "{row}");
        assert!(
            row["display_name"].is_string() && row["created_at"].is_string(),
            "{row}"
        );
    }
    let first = &page["data"][2];
    assert_eq!(
        (&first["id"], &first["display_name"]),
        (&json!("first"), &json!("The First"))
    );
    assert_eq!(
        (&first["max_input_tokens"], &first["max_tokens"]),
        (&json!(1000), &json!(100))
    );

    let response = ask_anthropic(&gateway, "ours", "/v1/models?limit=1000").await;
    assert_eq!(ids(&response), expected);
    assert_eq!(response.json()["has_more"], false);
}

#[tokio::test]
async fn a_page_that_begins_nowhere_is_refused() {
    let gateway = start().await;
    for edge in ["after_id", "before_id"] {
        let target = format!("/v1/models?{edge}=no-such-model");
        let response = ask_anthropic(&gateway, "ours", &target).await;
        let message = refused(&response, Dialect::Anthropic, 400, "invalid_request");
        assert!(message.contains("`no-such-model`"), "{message}");
    }
}

#[tokio::test]
async fn a_model_says_where_it_stands_and_a_list_can_be_narrowed_to_that() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let one = custom("one").set(
        "models",
        json!({"new": {}, "old": {"status": "deprecated", "retires": "2027-01"}}),
    );
    let gateway = gateway().custom(one, &upstream).start().await;
    let list = |query: &str| {
        let request = get(&format!("/one/v1/models{query}"))
            .header("x-api-key", gateway.key())
            .headers(&[VERSION]);
        async { gateway.send(&{ request }).await }
    };
    let page = list("").await.json();
    assert_eq!(page["data"][0]["lifecycle"], "active");
    assert_eq!(page["data"][0]["retires_at"], Value::Null);
    assert_eq!(page["data"][1]["lifecycle"], "deprecated");
    assert_eq!(page["data"][1]["retires_at"], "2027-01-01T00:00:00Z");
    for (query, expected) in [
        ("?lifecycle[]=active", &["new"][..]),
        ("?lifecycle%5B%5D=deprecated", &["old"]),
        ("?lifecycle=active&lifecycle=deprecated", &["new", "old"]),
        ("?lifecycle[]=retired", &[]),
    ] {
        assert_eq!(ids(&list(query).await), expected, "{query}");
    }
    let openai = gateway.send(&gateway.get("/one/v1/models")).await.json();
    assert_eq!(openai["data"][1]["shutdown_date"], "2027-01");
}

/// Asks in Gemini's way.
pub async fn ask_gemini(gateway: &Gateway, key: &str, target: &str) -> Response {
    let request = get(target).header("x-goog-api-key", gateway.key_named(key));
    gateway.send(&request).await
}

/// The names in a list of Gemini's shape, without what stands before each.
#[track_caller]
pub fn gemini_ids(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    let list = response.json();
    let models = list["models"].as_array().expect("a list");
    let id = |row: &Value| {
        let name = row["name"].as_str().expect("a name");
        name.strip_prefix("models/").expect("a resource").to_owned()
    };
    models.iter().map(id).collect()
}

#[tokio::test]
async fn a_gemini_client_gets_pages_in_its_shape() {
    let gateway = start().await;
    let expected = ours();
    // Newer clients of that make ask where OpenAI's do; their header says who they are.
    let whole = ask_gemini(&gateway, "ours", "/v1/models").await;
    assert_eq!(gemini_ids(&whole), expected);
    let whole = ask_gemini(&gateway, "ours", "/v1beta/models").await;
    assert_eq!(gemini_ids(&whole), expected);
    assert!(whole.json().get("nextPageToken").is_none());
    let first = &whole.json()["models"][2];
    assert_eq!(
        first,
        &json!({"name": "models/first", "displayName": "The First", "inputTokenLimit": 1000, "outputTokenLimit": 100})
    );
    let mut all = Vec::new();
    let mut target = "/v1beta/models?pageSize=9".to_owned();
    loop {
        let page = ask_gemini(&gateway, "ours", &target).await;
        let ids = gemini_ids(&page);
        assert!(ids.len() <= 9 && all.len() < expected.len(), "{target}");
        all.extend(ids);
        let page = page.json();
        let Some(token) = page["nextPageToken"].as_str() else {
            break;
        };
        let token = token.replace('/', "%2F");
        target = format!("/v1beta/models?pageSize=9&pageToken={token}");
    }
    assert_eq!(all, expected);
    // More than there may be is as much as there may be, and none is the usual.
    for size in ["0", "100000"] {
        let target = format!("/v1beta/models?pageSize={size}");
        assert_eq!(
            gemini_ids(&ask_gemini(&gateway, "ours", &target).await),
            expected
        );
    }
}

#[tokio::test]
async fn a_gemini_client_gets_one_model_and_errors_in_its_shape() {
    let gateway = start().await;
    for (name, id) in [
        ("first", "first"),
        ("alias-of-first", "first"),
        ("acme/with-slash", "acme/with-slash"),
        ("with:colon", "with:colon"),
    ] {
        let row = ask_gemini(&gateway, "ours", &format!("/v1beta/models/{name}")).await;
        assert_eq!(row.json()["name"], format!("models/{id}"), "{name}");
    }
    let narrow = ask_gemini(&gateway, "narrow", "/one/v1beta/models?pageSize=1000").await;
    assert_eq!(gemini_ids(&narrow).len(), 15);
    for (key, target, status, code) in [
        ("narrow", "/v1beta/models/first", 404, "NOT_FOUND"),
        ("ours", "/v1beta/models/no-such-model", 404, "NOT_FOUND"),
        (
            "ours",
            "/v1beta/models?pageSize=-1",
            400,
            "INVALID_ARGUMENT",
        ),
        (
            "ours",
            "/v1beta/models?pageToken=gone",
            400,
            "INVALID_ARGUMENT",
        ),
    ] {
        let response = ask_gemini(&gateway, key, target).await;
        let error = &response.json()["error"];
        assert_eq!(
            (response.status, &error["code"], &error["status"]),
            (status, &json!(status), &json!(code)),
            "{target}"
        );
    }
    let unsigned = gateway.send(&get("/v1beta/models")).await;
    assert_eq!(unsigned.json()["error"]["status"], "UNAUTHENTICATED");
    // A method of a model is no model.
    let method = gateway.post("/v1beta/models/first:predict", "{}");
    let response = gateway.send(&method).await;
    assert_eq!(response.status, 404, "{}", response.text());
}

/// Goes through all pages as the SDKs do, by `next` of the page's edge `edge`, and gives the pages.
async fn pages(gateway: &Gateway, first: &str, next: &str, edge: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut target = first.to_owned();
    loop {
        let response = ask_anthropic(gateway, "ours", &target).await;
        pages.push(ids(&response));
        let page = response.json();
        if page["has_more"] == false {
            return pages;
        }
        let id = page[edge].as_str().expect("an id").replace('/', "%2F");
        target = format!("/v1/models?limit=9&{next}={id}");
        assert!(pages.len() < 10, "no end");
    }
}

#[tokio::test]
async fn pages_follow_one_another_in_both_directions() {
    let gateway = start().await;
    let expected = ours();
    let forward = pages(&gateway, "/v1/models?limit=9", "after_id", "last_id").await;
    assert_eq!(
        forward.iter().map(Vec::len).collect::<Vec<_>>(),
        [9, 9, 9, 4]
    );
    assert_eq!(forward.concat(), expected);

    let begin = "/v1/models?limit=9&before_id=second";
    let mut backward = pages(&gateway, begin, "before_id", "first_id").await;
    backward.reverse();
    assert_eq!(backward.concat(), expected[..expected.len() - 1]);

    let last = ask_anthropic(&gateway, "ours", "/v1/models?after_id=second").await;
    let empty = json!({"data": [], "has_more": false, "first_id": null, "last_id": null});
    assert_eq!(last.json(), empty);
}

#[tokio::test]
async fn a_limit_is_a_number_from_1_to_1000() {
    let gateway = start().await;
    for limit in ["0", "1001", "-1", "many", "", "1.5"] {
        let response = ask_anthropic(&gateway, "ours", &format!("/v1/models?limit={limit}")).await;
        let message = refused(&response, Dialect::Anthropic, 400, "invalid_request");
        assert!(message.contains("`limit`"), "{message}");
    }
    let response = ask_anthropic(&gateway, "ours", "/v1/models?limit=1&beta=true").await;
    assert_eq!(ids(&response).len(), 1);
}

#[tokio::test]
async fn one_model_is_found_by_each_of_its_names() {
    let gateway = start().await;
    for (name, id) in [
        ("first", "first"),
        ("acme/with-slash", "acme/with-slash"),
        ("acme%2Fwith-slash", "acme/with-slash"),
        ("acme%2fwith-slash", "acme/with-slash"),
        ("with:colon", "with:colon"),
        ("with%3Acolon", "with:colon"),
        // As a request may write it.
        ("alias-of-first", "first"),
        ("FIRST", "first"),
        ("one:first", "first"),
    ] {
        let target = format!("/v1/models/{name}");
        let response = ask(&gateway, "ours", &target).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let row = response.json();
        let context = format!("{name}: {row}");
        assert_eq!(
            (&row["id"], &row["object"]),
            (&json!(id), &json!("model")),
            "{context}"
        );
        assert_eq!(row["owned_by"], "one", "{context}");

        let row = ask_anthropic(&gateway, "ours", &target).await.json();
        assert_eq!(
            (&row["id"], &row["type"]),
            (&json!(id), &json!("model")),
            "{row}"
        );
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_or_not_for_this_key_is_not_found() {
    let gateway = start().await;
    for (key, name) in [
        ("ours", "no-such-model"),
        ("ours", "gpt-4o"),
        ("ours", "gone"),
        ("ours", "of-a-provider-that-is-off"),
        ("ours", "one:not-listed"),
        ("narrow", "first"),
        ("narrow", "m15"),
    ] {
        let target = format!("/v1/models/{name}");
        let response = ask(&gateway, key, &target).await;
        let message = refused(&response, Dialect::OpenAi, 404, "model_not_found");
        assert!(message.contains(&format!("`{name}`")), "{message}");
        let response = ask_anthropic(&gateway, key, &target).await;
        refused(&response, Dialect::Anthropic, 404, "model_not_found");
    }
}

#[tokio::test]
async fn a_provider_in_the_path_or_a_header_narrows_the_list() {
    let gateway = start().await;
    let of_two = ["fast", "second", "shared"];
    assert_eq!(ids(&ask(&gateway, "ours", "/two/v1/models").await), of_two);
    assert_eq!(ids(&ask(&gateway, "ours", "/two/models").await), of_two);
    assert_eq!(
        ask(&gateway, "ours", "/two/v1/models/second").await.status,
        200
    );
    assert_eq!(
        ask(&gateway, "ours", "/two/v1/models/first").await.status,
        404
    );
    let pinned = get("/v1/models")
        .bearer(gateway.key_named("ours"))
        .header("tollgate-provider", "two");
    assert_eq!(ids(&gateway.send(&pinned).await), of_two);

    let openai = ask(&gateway, "test", "/openai/v1/models").await;
    let rows = openai.json();
    let rows = rows["data"].as_array().expect("a list");
    let is_openais = |row: &&Value| row["owned_by"] == "openai";
    assert!(
        rows.len() > 50 && rows.iter().filter(is_openais).count() == rows.len() - 1,
        "{rows:?}"
    );
    assert_eq!(
        rows[0]["id"], "elsewhere",
        "the one of the operator's own names that is served there"
    );
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let gateway = start().await;
    for target in ["/v1/models", "/v1/models/first"] {
        let whole = ask(&gateway, "ours", target).await;
        let request = Request::new("HEAD", target, None).bearer(gateway.key_named("ours"));
        let head = gateway.send(&request).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-type", "content-length"] {
            assert_eq!(head.header(name), whole.header(name), "{target}: {name}");
        }
    }
    let request =
        Request::new("HEAD", "/v1/models/nothing", None).bearer(gateway.key_named("ours"));
    let head = gateway.send(&request).await;
    assert_eq!((head.status, head.body.len()), (404, 0));
}

#[tokio::test]
async fn without_a_key_there_is_no_list() {
    let gateway = start().await;
    for target in ["/v1/models", "/v1/models/first", "/openai/v1/models"] {
        let response = gateway.send(&get(target)).await;
        refused(&response, Dialect::OpenAi, 401, "invalid_access_key");
        let response = gateway.send(&get(target).headers(&[VERSION])).await;
        refused(&response, Dialect::Anthropic, 401, "invalid_access_key");
    }
    // A key in the query serves as well.
    let target = format!("/v1/models?key={}", gateway.key_named("ours"));
    assert_eq!(ids(&gateway.send(&get(&target)).await), ours());
    let value: Value = ask(&gateway, "ours", "/v1/models").await.json();
    assert!(!value.to_string().contains("tg-"));
}
