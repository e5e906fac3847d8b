//! Lists in the shapes of the real ones → files that the catalog takes, and what is said of the rest.

use serde_json::{Value, json};

use super::{Imported, List, import};
use crate::catalog::{Catalog, Files, Overrides, resolve};

const LITELLM: &str = include_str!("../../../tests/data/lists/litellm.json");
const MODELS_DEV: &str = include_str!("../../../tests/data/lists/models-dev.json");
const OPENROUTER: &str = include_str!("../../../tests/data/lists/openrouter.json");

fn builtin() -> Catalog {
    resolve(&Files::builtin(), &Overrides::default()).expect("the built-in catalog is good")
}

fn imported(list: List, text: &str) -> Imported {
    import(list, text, "2026-11-25", &builtin()).expect("a list")
}

/// The file of a provider.
#[track_caller]
fn file(imported: &Imported, provider: &str) -> Value {
    let found = imported.files.iter().find(|(id, _)| id == provider);
    let (_, text) = found.unwrap_or_else(|| panic!("no file of {provider}"));
    serde_json::from_str(text).expect("JSON")
}

/// What was left out for a reason that begins so.
#[track_caller]
fn left_out<'a>(imported: &'a Imported, why: &str) -> &'a [String] {
    let mut found = imported
        .left_out
        .iter()
        .filter(|(is, _)| is.starts_with(why));
    let all: Vec<_> = imported.left_out.iter().collect();
    found.next().unwrap_or_else(|| panic!("{why}: {all:#?}")).1
}

/// The catalog with the imported files over the built-in one.
fn laid_over(imported: &Imported) -> Catalog {
    let mut files = Files::builtin();
    for (id, text) in &imported.files {
        files.add_text(id, text.clone());
    }
    resolve(&files, &Overrides::default()).expect("imported files are good")
}

/// The amounts of a model as they would be charged.
#[track_caller]
fn price(catalog: &Catalog, name: &str) -> Vec<String> {
    let targets = catalog.lookup(name, None).expect(name);
    let model = targets[0].model().expect("known");
    let price = catalog.model(model).price.as_ref();
    let lines = price.map_or(Vec::new(), |price| price.lines());
    let shown = lines
        .iter()
        .map(|line| format!("{} {}", line.what, line.amount.decimal()));
    shown.collect()
}

#[test]
fn litellm_prices_are_exact_and_of_the_known_model_nothing_else_is_said() {
    let imported = imported(List::LiteLlm, LITELLM);
    let openai = file(&imported, "openai");
    assert_eq!(
        openai["models"]["gpt-4o"],
        json!({
            "context": 128_000, "max_output": 16384,
            "price": {"input": "2.4", "cached_input": "1.25", "output": "10"},
            "modes": {"batch": {"price": {"input": "1.2", "output": "5"}}},
            "src": ["litellm"],
        })
    );
    assert_eq!(
        openai["models"]["gpt-new"],
        json!({
            "kind": "chat", "input": ["text", "image"], "context": 1_000_000, "surfaces": ["responses"],
            "price": {"input": "0.15", "output": "0.6"},
            "tiers": [{"above": 272_000, "price": {"input": "0.3"}}],
            "modes": {"priority": {"tiers": [{"above": 272_000, "price": {"cached_input": "0.075"}}]}},
            "status": "deprecated", "retires": "2099-01-31", "src": ["litellm"],
        })
    );
    assert_eq!(
        openai["sources"]["litellm"]["date"], "2026-11-25",
        "{openai}"
    );
    // The second that is said twice is paid once.
    assert_eq!(
        openai["models"]["whisper-x"]["price"],
        json!({"per_input_second": "0.0001"})
    );
    let groq = file(&imported, "groq");
    assert_eq!(
        groq["models"]["llama-new"]["price"],
        json!({"input": "0.05", "output": "0.08"})
    );
    assert_eq!(groq["models"]["llama-new"]["context"], 131_072);
    // A search that costs the same at every size has a price; one that does not, has none.
    let google = file(&imported, "google");
    assert_eq!(
        google["models"]["gemini-new"]["price"]["per_web_search"],
        "0.035"
    );
    assert_eq!(
        left_out(
            &imported,
            "the price `search_context_cost_per_query` differs"
        ),
        ["gpt-4o"]
    );
}

#[test]
fn litellm_entries_that_have_no_place_here_are_named() {
    let imported = imported(List::LiteLlm, LITELLM);
    for (why, what) in [
        (
            "providers that the catalog does not have",
            &["bedrock (2 models)"][..],
        ),
        ("another name of a listed model", &["bedrock/latest"]),
        ("the mode `sandbox`", &["openai/container"]),
        (
            "a price class or a size of picture",
            &[
                "ft:gpt-4o",
                "high/1024-x-1024/gpt-image-1",
                "together-ai-4.1b-8b",
            ],
        ),
        ("taken over without a price: 0, which", &["gpt-free"]),
        (
            "the price `input_cost_per_pixel` has no counterpart",
            &["groq/llama-new"],
        ),
    ] {
        assert_eq!(left_out(&imported, why), what, "{why}");
    }
    let inexact = left_out(&imported, "taken over without a price: an amount");
    assert_eq!(inexact.len(), 3, "{inexact:?}");
    assert!(inexact[0].starts_with("gpt-negative (") && inexact[0].contains("negative"));
    assert!(inexact[1].starts_with("gpt-odd (") && inexact[1].contains("decimals"));
    assert!(inexact[2].starts_with("gpt-words (") && inexact[2].contains("no number"));
    let openai = file(&imported, "openai");
    for unpriced in ["gpt-words", "gpt-odd", "gpt-negative", "gpt-free"] {
        assert!(
            openai["models"][unpriced].get("price").is_none(),
            "{unpriced}"
        );
    }
}

#[test]
fn what_is_imported_is_a_good_catalog() {
    for (list, text) in [
        (List::LiteLlm, LITELLM),
        (List::ModelsDev, MODELS_DEV),
        (List::OpenRouter, OPENROUTER),
    ] {
        let imported = imported(list, text);
        assert!(!imported.files.is_empty());
        let count: usize = imported
            .files
            .iter()
            .map(|(id, _)| {
                file(&imported, id)["models"]
                    .as_object()
                    .map_or(0, |m| m.len())
            })
            .sum();
        assert_eq!(count, imported.models);
        laid_over(&imported);
    }
}

#[test]
fn models_dev_prices_limits_and_new_providers() {
    let imported = imported(List::ModelsDev, MODELS_DEV);
    let catalog = laid_over(&imported);
    assert_eq!(
        price(&catalog, "together:acme/large"),
        [
            "input 0.075",
            "output 0.3",
            "input above 200000 0.15",
            "output above 200000 0.6"
        ]
    );
    let together = file(&imported, "together");
    let large = &together["models"]["acme/large"];
    assert_eq!(
        (&large["context"], &large["max_input"]),
        (&json!(400_000), &json!(272_000))
    );
    assert_eq!(
        (&large["max_output"], &large["status"]),
        (&Value::Null, &json!("deprecated"))
    );
    let known = &file(&imported, "openai")["models"]["gpt-4o"];
    assert!(
        known.get("name").is_none() && known.get("kind").is_none(),
        "{known}"
    );

    let newcomer = file(&imported, "newcomer");
    for (member, value) in [
        ("preset", json!("openai-compatible")),
        ("base_url", json!("https://api.newcomer.example/v1")),
        ("env", json!(["NEWCOMER_API_KEY"])),
        ("key_optional", json!(false)),
    ] {
        assert_eq!(newcomer[member], value, "{member}");
    }
    assert_eq!(newcomer["models"]["embed-small"]["kind"], "embedding");
    assert_eq!(
        price(&catalog, "newcomer:small"),
        ["input 0.1", "output 0.2"]
    );
    // The preset adds the version that the list has in the address.
    assert_eq!(
        file(&imported, "messenger")["base_url"],
        "https://api.messenger.example/anthropic"
    );
    for (why, what) in [
        (
            "new providers whose library `@ai-sdk/azure`",
            "azure (1 models)",
        ),
        ("new providers without one address", "templated (0 models)"),
        ("the price `per_joke` has no counterpart", "newcomer/small"),
        ("taken over without a price: 0, which", "messenger/m1"),
        ("models that need another library", "newcomer/foreign"),
    ] {
        assert_eq!(left_out(&imported, why), [what], "{why}");
    }
}

#[test]
fn openrouter_prices_are_its_own_and_0_is_free() {
    let imported = imported(List::OpenRouter, OPENROUTER);
    let catalog = laid_over(&imported);
    assert_eq!(
        price(&catalog, "openrouter:acme/chat-large"),
        [
            "input 2.5",
            "cached_input 0.25",
            "output 10",
            "per_web_search 0.01"
        ]
    );
    assert_eq!(
        price(&catalog, "openrouter:acme/chat-small:free"),
        ["input 0", "output 0"]
    );
    assert_eq!(
        price(&catalog, "openrouter:acme/router"),
        Vec::<String>::new()
    );
    let router = left_out(&imported, "taken over without a price: an amount");
    assert!(
        router[0].starts_with("acme/router (`-1000000` is negative"),
        "{router:?}"
    );
    assert_eq!(
        left_out(&imported, "the price `image` has no counterpart"),
        ["acme/chat-large"]
    );
    let large = &file(&imported, "openrouter")["models"]["acme/chat-large"];
    assert_eq!(
        (&large["name"], &large["input"], &large["max_output"]),
        (
            &json!("Acme: Chat Large"),
            &json!(["text", "image", "file"]),
            &json!(65536)
        )
    );
}

#[test]
fn an_alias_of_the_catalog_is_no_second_model() {
    let known = builtin();
    let aliased = known.models().iter().find(|model| {
        let provider = &known.provider(model.provider).id;
        **provider == *"openai" && !model.aliases.is_empty()
    });
    let alias = &aliased.expect("an alias at openai").aliases[0];
    let list = json!({&**alias: {
        "litellm_provider": "openai", "mode": "chat",
        "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6,
    }});
    let imported = imported(List::LiteLlm, &list.to_string());
    assert!(imported.files.is_empty());
    assert_eq!(
        left_out(&imported, "an alias of another model"),
        [alias.to_string()]
    );
}

#[test]
fn a_model_written_in_another_case_is_the_same_one() {
    let list = json!({"GPT-4O": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}});
    let imported = imported(List::LiteLlm, &list.to_string());
    assert!(file(&imported, "openai")["models"]["gpt-4o"].is_object());
}

#[test]
fn one_model_is_one_line() {
    let imported = imported(List::LiteLlm, LITELLM);
    let (_, text) = &imported.files[0];
    let line = text
        .lines()
        .find(|line| line.contains("\"gemini-new\""))
        .expect("a line");
    assert!(
        line.starts_with("    \"gemini-new\": {\"kind\": \"chat\", ")
            && line.contains("{\"input\": \"1.25\", \"output\": \"10\", "),
        "{line}"
    );
    assert!(text.ends_with("  }\n}\n"));
}

#[test]
fn what_is_no_such_list_is_refused() {
    let known = builtin();
    for (list, text) in [
        (List::LiteLlm, "[]"),
        (List::LiteLlm, "{\"a\": 1}"),
        (List::LiteLlm, "{\"a\": {\"input_cost_per_token\": NaN}}"),
        (List::ModelsDev, "{\"openai\": []}"),
        (List::OpenRouter, "{\"models\": []}"),
        (List::OpenRouter, ""),
    ] {
        let error = import(list, text, "2026-11-25", &known).expect_err(text);
        assert!(error.to_string().contains(list.name()), "{error}");
    }
    let error = import(List::LiteLlm, "{}", "yesterday", &known).expect_err("no day");
    assert!(
        error.to_string().contains("`yesterday` is no day"),
        "{error}"
    );
    assert!(
        import(List::LiteLlm, "{}", "2026-11-25", &known)
            .expect("empty")
            .files
            .is_empty()
    );
}
