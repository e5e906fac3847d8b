//! The catalog as operators and clients meet it: virtual models and families on the wire, files that are wrong in every
//! way while requests are served, and the commands that explain the files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::ask::{self, turned_down};
use crate::support::bodies;
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};

/// Two providers that have the same model under names of their own: the first says no to everything.
struct Lab {
    gateway: Gateway,
    one: Upstream,
    two: Upstream,
}

impl Lab {
    async fn new() -> Self {
        let one = upstream::h1().reply(turned_down()).start().await;
        let two = upstream::h1().reply(ask::answer()).start().await;
        let sonnet = |rest: Value| {
            let mut entry = json!({"family": "sonnet-4.5"});
            let members = entry.as_object_mut().expect("an object");
            members.extend(rest.as_object().expect("an object").clone());
            entry
        };
        let of_one = custom("one").set(
            "models",
            json!({
                "sonnet-4-5": sonnet(json!({})),
                "sonnet-4-5-20250929": sonnet(json!({"snapshot": "2025-09-29"})),
            }),
        );
        let of_two = custom("two").set(
            "models",
            json!({
                "maker/sonnet": sonnet(json!({})),
                "maker/a-sonnet:free": sonnet(json!({"variant": "free"})),
                "large": {},
            }),
        );
        let gateway = gateway()
            .config("catalog.watch", false)
            .custom(of_one, &one)
            .custom(of_two, &two)
            .virtual_model("best", &["one:sonnet-4-5", "two:large"])
            .start()
            .await;
        Self { gateway, one, two }
    }

    /// The models that the two were asked for so far.
    fn asked(&self) -> [Vec<String>; 2] {
        [&self.one, &self.two].map(|upstream| {
            let model = |delivery: upstream::Delivery| {
                let body: Value = serde_json::from_slice(&delivery.bytes()).expect("JSON");
                body["model"].as_str().expect("a model").to_owned()
            };
            upstream
                .deliveries_since(0)
                .into_iter()
                .map(model)
                .collect()
        })
    }
}

#[tokio::test]
async fn a_virtual_model_is_reported_as_the_model_that_answered() {
    let lab = Lab::new().await;
    let response = lab.gateway.chat(bodies::chat("best").build()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("tollgate-model"), Some("two:large"));
    assert_eq!(
        lab.asked(),
        [vec!["sonnet-4-5".to_owned()], vec!["large".to_owned()]]
    );
    let lines = lab.gateway.access_lines(1).await;
    let told = ["model", "provider", "upstream_model"].map(|member| &lines[0][member]);
    assert_eq!(told, ["best", "two", "large"]);
    let labels = [("provider", "two"), ("status_class", "2xx")];
    let counted = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_requests_total", &labels) == 1.0
    };
    lab.gateway
        .metrics_until("the request counted", counted)
        .await;
}

#[tokio::test]
async fn a_family_goes_from_one_provider_to_the_next() {
    let lab = Lab::new().await;
    let response = lab.gateway.chat(bodies::chat("sonnet-4.5").build()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("tollgate-model"), Some("two:maker/sonnet"));
    assert_eq!(
        lab.asked(),
        [
            vec!["sonnet-4-5".to_owned()],
            vec!["maker/sonnet".to_owned()]
        ]
    );
    let response = lab
        .gateway
        .chat(bodies::chat("two:sonnet-4.5").build())
        .await;
    assert_eq!(response.header("tollgate-model"), Some("two:maker/sonnet"));
    let listed = lab
        .gateway
        .send(&lab.gateway.get("/v1/models"))
        .await
        .text();
    assert!(listed.contains("\"maker/sonnet\"") && !listed.contains("\"sonnet-4.5\""));
}

/// Puts every kind of mistake into the operator's folder; what to find in the log for each. That `v` names nothing is not
/// told: one of the files that could not be read may have what it names.
fn spoil(folder: &Path) -> Vec<&'static str> {
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file");
    let provider = |id: &str, models: &str| {
        format!(
            "{{\"provider\": \"{id}\", \"base_url\": \"http://127.0.0.1:1\", \"surfaces\": {{\"chat\": {{\"path\": \"/c\"}}}},\n\
             \"models\": {models}}}"
        )
    };
    write("bytes.json", b"{\n\"name\": \"\xff\"}");
    write("clash.json", provider("clash", r#"{"a": {"aliases": ["b"]}, "b": {"aliases": ["a"]}, "c": {"aliases": ["x"]}, "d": {"aliases": ["x"]}}"#).as_bytes());
    write(
        "decimals.json",
        provider(
            "decimals",
            r#"{"a": {"price": {"input": "0.0000000000001"}}}"#,
        )
        .as_bytes(),
    );
    let huge = fs::File::create(folder.join("huge.json")).expect("a file");
    huge.set_len(2 << 30).expect("a sparse file of 2 GiB");
    write("list.json", b"{\"virtual_models\": {\n\"v\": [\"no-such-model-at-all\"],\n\"w\": [\"w\"],\n\"sonnet-4-5\": [\"two:large\"]}}");
    write(
        "negative.json",
        provider("negative", r#"{"a": {"price": {"output": "-1"}}}"#).as_bytes(),
    );
    write(
        "nowhere.json",
        b"{\"provider\": \"nowhere\", \"surfaces\": {\"chat\": {\"path\": \"/c\"}}}",
    );
    symlink(folder.join("gone"), folder.join("removed.json")).expect("a link to nothing");
    write("surface.json", b"{\"provider\": \"surface\", \"base_url\": \"http://127.0.0.1:1\",\n\"surfaces\": {\"chta\": {\"path\": \"/c\"}}}");
    write(
        "twice.json",
        provider("twice", "{\"a\": {},\n\"a\": {}}").as_bytes(),
    );
    vec![
        "bytes.json:2:10: not UTF-8",
        "clash.json:2:30: models.a.aliases.0: `b` is the id of a model",
        "clash.json:2:55: models.b.aliases.0: `a` is the id of a model",
        "clash.json:2:105: models.d.aliases.0: `x` is an alias of `c`",
        "decimals.json:2:28: models.a.price.input: `0.0000000000001` has 13 decimals",
        "huge.json: larger than 64 MiB",
        "list.json:3:7: virtual_models.w.0: `w` is this virtual model itself",
        "list.json:4:1: virtual_models.sonnet-4-5: `sonnet-4-5` is the id of a model of provider `one`",
        "negative.json:2:28: models.a.price.output: `-1` is negative",
        "nowhere.json:1:2: provider: no \\\"base_url\\\"",
        "removed.json: does not exist, or was removed while the catalog was read",
        "surface.json:2:14: surfaces.chta: `chta` is no surface that is routed",
        "twice.json:3:1: models.a: this name stands here twice",
    ]
}

#[tokio::test]
async fn every_mistake_is_named_at_once_and_the_running_catalog_stays() {
    let lab = Lab::new().await;
    let version = lab.gateway.ask_admin("/readyz").await.text();
    let expected = spoil(&lab.gateway.folder().join("catalog"));
    lab.gateway.signal("HUP");
    let stays = |line: &str| line.contains("what was loaded before stays");
    lab.gateway.log_until("the end of the reload", stays).await;
    let lines: Vec<_> = lab
        .gateway
        .log_lines()
        .into_iter()
        .filter(|line| line.contains("reload: "))
        .collect();
    for mistake in &expected {
        let told = lines
            .iter()
            .filter(|line| line.contains(&format!("/{mistake}")))
            .count();
        assert_eq!(told, 1, "{mistake}\n{lines:#?}");
    }
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    assert_eq!(lab.gateway.ask_admin("/readyz").await.text(), version);
    let response = lab.gateway.chat(bodies::chat("best").build()).await;
    assert_eq!(response.header("tollgate-model"), Some("two:large"));

    let checked = lab.gateway.run(&["check"]);
    assert_eq!(checked.code, Some(1));
    for mistake in expected {
        let mistake = mistake.replace('\\', "");
        assert!(
            checked.stderr.contains(&mistake),
            "{mistake}\n{}",
            checked.stderr
        );
    }
}

#[tokio::test]
async fn a_virtual_model_that_names_nothing_is_told_with_what_is_near() {
    let broken = gateway().catalog("list", json!({"virtual_models": {"v": ["gpt-4oo"]}}));
    let ended = broken.run(&["check"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let words = "list.json:1:25: virtual_models.v.0: nothing is called `gpt-4oo`; there is gpt-4o";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[tokio::test]
async fn the_origin_of_each_value_is_told_when_asked() {
    let setup = gateway()
        .catalog(
            "own",
            json!({"provider": "openai", "models": {"gpt-4o": {"price": {"input": "2.4"}}}}),
        )
        .catalog(
            "virtual",
            json!({"virtual_models": {"best": ["openai:gpt-4o"]}}),
        )
        .config("providers.groq.base_url", "http://127.0.0.1:9/v1");
    let told = setup.run(&["check", "--origins", "gpt-4o"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("provider openai\n"), "{}", told.stdout);
    let line = |words: &str| {
        let mut lines = told.stdout.lines();
        lines
            .find(|line| line.contains(words))
            .unwrap_or_else(|| panic!("{words}\n{}", told.stdout))
    };
    assert!(line("models.gpt-4o.price.input = \"2.4\"").contains("/own.json:1: "));
    assert!(line("models.gpt-4o.price.output = \"10\"").contains("  builtin/openai.json:"));
    assert!(line("families.gpt-4o.same = \"model\"").contains("  builtin/families.json:"));
    assert!(
        told.stdout.contains("provider openrouter\n"),
        "the family too: {}",
        told.stdout
    );

    let told = setup.run(&["check", "--origins", "best"]).stdout;
    assert!(
        told.contains("/virtual.json:1: virtual_models.best = [\"openai:gpt-4o\"]"),
        "{told}"
    );
    let told = setup.run(&["check", "--origins", "groq"]).stdout;
    assert!(
        told.contains("/tollgate.toml:")
            && told.contains(": providers.groq.base_url = \"http://127.0.0.1:9/v1\""),
        "{told}"
    );
    assert!(
        !told.contains("json:7: base_url") && !told.contains("api.groq.com\""),
        "{told}"
    );
    let all = setup.run(&["check", "--origins"]).stdout;
    assert!(all.contains("provider zai\n") && all.contains("virtual models\n"));

    let nothing = setup.run(&["check", "--origins", "gtp-4o"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(
        nothing
            .stderr
            .contains("no file says anything of `gtp-4o`; there is gpt-4o"),
        "{nothing:?}"
    );
}

#[test]
fn the_schema_is_printed_as_it_is_checked_in() {
    let printed = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("schema")
        .output()
        .expect("the program");
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog/schema.json");
    assert!(printed.status.success());
    assert_eq!(
        String::from_utf8(printed.stdout).expect("UTF-8"),
        fs::read_to_string(checked_in).expect("the schema")
    );
}
