//! What a later file, a preset and the caller change.

use super::super::{Auth, Balance, Catalog, Files, Item, Overrides, PicoDollars, Scheme, resolve};
use super::{catalog, shipped_and, targets, texts};
use crate::surface::Surface;

/// `scheme://host:port/path?query`, as a request of the surface is sent.
fn url(catalog: &Catalog, provider: &str, surface: Surface, model: &str) -> String {
    let provider = catalog.provider(catalog.provider_by_name(provider).expect(provider));
    let route = provider.route(surface).expect("a route");
    let endpoint = provider.endpoints.first().expect("an endpoint");
    let scheme = if endpoint.scheme == Scheme::Https {
        "https"
    } else {
        "http"
    };
    let query = route
        .query
        .as_deref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    format!(
        "{scheme}://{}{}{query}",
        endpoint.authority,
        route.path(model).expect("a path")
    )
}

fn price(catalog: &Catalog, name: &str, item: Item) -> Option<u64> {
    let model = catalog.lookup(name, None).expect(name)[0]
        .model()
        .expect("listed");
    let price = catalog.model(model).price.as_ref()?;
    price.rates.get(item).map(|PicoDollars(amount)| amount)
}

#[test]
fn one_price_can_be_changed() {
    let own = r#"{"provider": "openai", "models": {"gpt-4o": {"price": {"input": "1"}}}}"#;
    let catalog = shipped_and(&[own]);
    assert_eq!(
        price(&catalog, "gpt-4o", Item::Input),
        Some(1_000_000_000_000)
    );
    assert_eq!(
        price(&catalog, "gpt-4o", Item::Output),
        Some(10_000_000_000_000)
    );
    assert_ne!(catalog.version(), shipped_and(&[]).version());
}

#[test]
fn models_and_surfaces_can_be_added_and_taken_away() {
    let own = r#"{"provider": "openai",
        "surfaces": {"responses": null, "chat": {"query": "x=1"}},
        "models": {"gpt-4o": null, "o3": {"disabled": true}, "our-tune": {"aliases": ["tune"], "kind": "chat"}}}"#;
    let catalog = shipped_and(&[own]);
    // What others have of the family is left.
    assert_eq!(
        targets(&catalog, "o3", None),
        Ok(vec!["openrouter:openai/o3".to_owned()])
    );
    assert_eq!(
        targets(&catalog, "openai:gpt-4o", None),
        Ok(vec!["openai:gpt-4o?".to_owned()])
    );
    assert_eq!(
        targets(&catalog, "tune", None),
        Ok(vec!["openai:our-tune".to_owned()])
    );
    let openai = catalog.provider(catalog.provider_by_name("openai").expect("openai"));
    assert!(!openai.surfaces.has(Surface::Responses));
    assert_eq!(
        url(&catalog, "openai", Surface::Chat, "m"),
        "https://api.openai.com/v1/chat/completions?x=1"
    );
    let target = catalog
        .lookup("gpt-5.4-pro", None)
        .expect("a model of the responses surface only")[0];
    assert!(!catalog.serves(&target, Surface::Responses));
}

#[test]
fn a_provider_can_be_disabled() {
    let catalog = shipped_and(&[r#"{"provider": "openrouter", "disabled": true}"#]);
    assert!(catalog.provider_by_name("openrouter").is_none());
    assert_eq!(
        targets(&catalog, "openai/gpt-4o", None),
        Ok(vec!["openai:gpt-4o".to_owned()])
    );
}

#[test]
fn a_virtual_model_is_replaced_or_taken_away() {
    let base = r#"{"virtual_models": {"a": ["gpt-4o"], "b": ["gpt-4o"]}}"#;
    let over = r#"{"virtual_models": {"a": ["openai:o3"], "b": null}}"#;
    let catalog = shipped_and(&[base, over]);
    assert_eq!(
        targets(&catalog, "a", None),
        Ok(vec!["openai:o3".to_owned()])
    );
    assert!(catalog.lookup("b", None).is_err());
}

#[test]
fn the_version_is_that_of_the_content() {
    let one = r#"{"provider": "p", "base_url": "http://a", "surfaces": {"chat": {"path": "/c"}}, "models": {"m": {}, "n": {}}}"#;
    let same = r#"
        {"models": {"n": {}, "m": {}}, "surfaces": {"chat": {"path": "/c"}},
         "base_url": "http://a", "provider": "p"}"#;
    let more = r#"{"provider": "p", "models": {"n": {"context": 1}}}"#;
    let version = |files: &[&str]| catalog(files).version().to_owned();
    assert_eq!(version(&[one]), version(&[same]));
    assert_eq!(version(&[one]), version(&[one, one]));
    assert_ne!(version(&[one]), version(&[one, more]));
    assert_eq!(version(&[one]).len(), 16);
    let overrides = Overrides {
        base_urls: [("p".to_owned(), "http://b".to_owned())].into(),
    };
    let moved = resolve(&texts(&[one]), &overrides).expect("a catalog");
    assert_ne!(version(&[one]), moved.version());
    let unrelated = Overrides {
        base_urls: [("q".to_owned(), "http://b".to_owned())].into(),
    };
    let same = resolve(&texts(&[one]), &unrelated).expect("a catalog");
    assert_eq!(version(&[one]), same.version());
}

#[test]
fn a_few_lines_on_a_preset_make_a_provider() {
    let catalog = shipped_and(&[
        r#"{"provider": "ollama", "preset": "ollama"}"#,
        r#"{"provider": "gpu1", "preset": "vllm", "base_url": "http://gpu1:8000/v1"}"#,
        r#"{"provider": "studio", "preset": "lmstudio"}"#,
        r#"{"provider": "azure", "preset": "azure-openai", "base_url": "https://acme.openai.azure.com/openai/v1",
            "models": {"prod-4o": {"aliases": ["gpt-4o"]}}}"#,
        r#"{"provider": "azure-old", "preset": "azure-openai-dated", "base_url": "https://acme.openai.azure.com/openai"}"#,
        r#"{"provider": "azure-claude", "preset": "azure-anthropic", "base_url": "https://acme.services.ai.azure.com/anthropic"}"#,
        r#"{"provider": "mine", "preset": "openai-compatible", "base_url": "http://10.0.0.1:81/v1"}"#,
        r#"{"provider": "mine-too", "preset": "anthropic-compatible", "base_url": "http://10.0.0.1:82"}"#,
        r#"{"provider": "bedrock", "preset": "bedrock", "base_url": "https://bedrock-mantle.us-east-1.api.aws/openai/v1"}"#,
    ]);
    let table = [
        (
            "ollama",
            Surface::Chat,
            "http://127.0.0.1:11434/v1/chat/completions",
        ),
        (
            "ollama",
            Surface::Messages,
            "http://127.0.0.1:11434/v1/messages",
        ),
        (
            "gpu1",
            Surface::CountTokens,
            "http://gpu1:8000/v1/messages/count_tokens",
        ),
        (
            "studio",
            Surface::Responses,
            "http://127.0.0.1:1234/v1/responses",
        ),
        (
            "azure",
            Surface::Chat,
            "https://acme.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "azure-old",
            Surface::Chat,
            "https://acme.openai.azure.com/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure-claude",
            Surface::Messages,
            "https://acme.services.ai.azure.com/anthropic/v1/messages",
        ),
        (
            "mine",
            Surface::Embeddings,
            "http://10.0.0.1:81/v1/embeddings",
        ),
        (
            "mine-too",
            Surface::Messages,
            "http://10.0.0.1:82/v1/messages",
        ),
        (
            "bedrock",
            Surface::Messages,
            "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages",
        ),
    ];
    for (provider, surface, expected) in table {
        assert_eq!(url(&catalog, provider, surface, "m/1"), expected);
    }
    let provider = |name: &str| catalog.provider(catalog.provider_by_name(name).expect(name));
    assert_eq!(
        provider("azure").route(Surface::Chat).map(|r| &r.auth),
        Some(&Auth::Header("api-key".into()))
    );
    assert_eq!(
        provider("ollama")
            .route(Surface::Chat)
            .map(|route| &route.auth),
        Some(&Auth::None)
    );
    let optional: Vec<_> = ["ollama", "gpu1", "studio", "mine", "azure"]
        .map(|name| provider(name).key_optional)
        .into();
    assert_eq!(optional, [true, true, true, true, false]);
    for (name, path, statuses) in [
        ("ollama", "/", &[200..=299][..]),
        ("gpu1", "/health", &[200..=299]),
        // Alive, though it wants a key.
        ("studio", "/v1/models", &[200..=299, 401..=401]),
    ] {
        let check = provider(name).health.as_ref().expect("a check");
        let asked = check.http.as_ref().expect("over HTTP");
        assert_eq!((&*asked.path, &*asked.statuses), (path, statuses), "{name}");
    }
    assert_eq!(provider("mine").health, None);
    assert_eq!(
        targets(&catalog, "gpt-4o", None),
        Ok(
            ["openai:gpt-4o", "azure:prod-4o", "openrouter:openai/gpt-4o"]
                .map(str::to_owned)
                .to_vec()
        )
    );
}

#[test]
fn presets_tell_where_local_servers_usually_are() {
    let catalog = shipped_and(&[]);
    let local = |name: &str| {
        let preset = catalog
            .presets()
            .iter()
            .find(|preset| *preset.name == *name)
            .expect(name);
        (preset.base_url.as_deref(), preset.health.as_deref())
    };
    assert_eq!(
        local("ollama"),
        (Some("http://127.0.0.1:11434/v1"), Some("/"))
    );
    assert_eq!(
        local("vllm"),
        (Some("http://127.0.0.1:8000/v1"), Some("/health"))
    );
    assert_eq!(
        local("lmstudio"),
        (Some("http://127.0.0.1:1234/v1"), Some("/v1/models"))
    );
    assert_eq!(local("azure-openai"), (None, None));
    assert_eq!(local("openai-compatible"), (None, None));
}

#[test]
fn a_base_url_from_outside_moves_every_surface_of_its_provider() {
    let variables = [
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9"),
        ("DEEPSEEK_BASE_URL", "http://127.0.0.1:9/ds"),
        ("INFERENCE_NET_BASE_URL", "http://127.0.0.1:9/v1/"),
        ("GEMINI_BASE_URL", "http://127.0.0.1:9"),
        ("MOONSHOT_BASE_URL", "http://[::1]:9/kimi/v1"),
        ("NOBODY_BASE_URL", "not a URL"),
        ("GROQ_BASE_URL", ""),
        ("PATH", "/bin"),
    ];
    let overrides =
        Overrides::from_env(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let catalog = resolve(&Files::builtin(), &overrides).expect("a catalog");
    let table = [
        (
            "openai",
            Surface::Responses,
            "http://127.0.0.1:9/v1/responses",
        ),
        (
            "anthropic",
            Surface::Messages,
            "http://127.0.0.1:9/v1/messages",
        ),
        (
            "deepseek",
            Surface::Chat,
            "http://127.0.0.1:9/ds/chat/completions",
        ),
        (
            "deepseek",
            Surface::Messages,
            "http://127.0.0.1:9/ds/anthropic/v1/messages",
        ),
        (
            "inference-net",
            Surface::Messages,
            "http://127.0.0.1:9/v1/messages",
        ),
        (
            "google",
            Surface::Embeddings,
            "http://127.0.0.1:9/v1beta/openai/embeddings",
        ),
        (
            "moonshot",
            Surface::Messages,
            "http://[::1]:9/kimi/anthropic/v1/messages",
        ),
        (
            "groq",
            Surface::Chat,
            "https://api.groq.com/openai/v1/chat/completions",
        ),
    ];
    for (provider, surface, expected) in table {
        assert_eq!(url(&catalog, provider, surface, "m"), expected);
    }
    let bad = Overrides {
        base_urls: [("groq".to_owned(), "groq.com".to_owned())].into(),
    };
    let problems = resolve(&Files::builtin(), &bad).expect_err("no URL");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0]
            .to_string()
            .starts_with("GROQ_BASE_URL: `groq.com` is no base URL"),
        "{}",
        problems[0]
    );
}

#[test]
fn several_endpoints_share_the_path() {
    let catalog = catalog(&[r#"{"provider": "p", "base_url": "http://unused:1/v1",
        "endpoints": [{"url": "http://10.0.0.1:8000/v1", "weight": 3},
                      {"url": "https://b.example/v1/", "name": "b", "host": "front.example"}],
        "surfaces": {"chat": {"path": "/chat/completions"}}}"#]);
    let provider = &catalog.providers()[0];
    let endpoints: Vec<_> = provider
        .endpoints
        .iter()
        .map(|e| (&*e.name, &*e.host, e.port, e.weight, &*e.authority))
        .collect();
    assert_eq!(
        endpoints,
        [
            ("10.0.0.1:8000", "10.0.0.1", 8000, 3, "10.0.0.1:8000"),
            ("b", "b.example", 443, 1, "front.example")
        ]
    );
    assert_eq!(
        url(&catalog, "p", Surface::Chat, "m"),
        "http://10.0.0.1:8000/v1/chat/completions"
    );
}

#[test]
fn balance_and_limits_are_read_and_a_later_file_changes_each_by_itself() {
    let catalog = catalog(&[
        r#"{"provider": "p", "balance": "affinity", "requests": 9,
            "endpoints": [{"url": "http://a/v1", "requests": 4}, {"url": "http://b/v1"}],
            "surfaces": {"chat": {"path": "/c"}}}"#,
        r#"{"provider": "p", "requests": 7}"#,
    ]);
    let provider = &catalog.providers()[0];
    assert_eq!(provider.balance, Balance::Affinity);
    assert_eq!(provider.requests, Some(7));
    let limits: Vec<_> = provider.endpoints.iter().map(|it| it.requests).collect();
    assert_eq!(limits, [Some(4), None]);
}
