use proptest::prelude::*;

use super::*;
use crate::catalog::{Catalog, Files, Overrides, resolve};
use crate::model::scan::Scanner;
use crate::money::shape::AskedTier;
use crate::money::{Betas, Uncharged, charge};
use crate::surface::Surface;
use crate::usage::{Tier, Usage};

/// A catalog of one provider with a model `m` that is `model`, on all surfaces.
fn catalog(model: &str) -> Catalog {
    let text = format!(
        r#"{{"provider": "p", "base_url": "http://127.0.0.1:1/v1",
            "surfaces": {{"chat": {{"path": "/chat/completions", "max_completion_tokens": true}},
                "completions": {{"path": "/completions", "kinds": ["chat"]}}, "messages": {{"path": "/messages"}},
                "responses": {{"path": "/responses"}}, "embeddings": {{"path": "/embeddings", "kinds": ["chat"]}}}},
            "models": {{"m": {{"kind": "chat", {model}}}}}}}"#
    );
    let mut files = Files::empty();
    files.add_text("p.json", text);
    resolve(&files, &Overrides::default()).unwrap()
}

fn offer(catalog: &Catalog) -> Offer<'_> {
    of_model(catalog, &catalog.models()[0]).unwrap()
}

fn of_model<'c>(catalog: &'c Catalog, model: &'c Model) -> Option<Offer<'c>> {
    Some(Offer {
        provider: catalog.provider(model.provider),
        model,
        price: model.price.as_deref()?,
    })
}

fn read(surface: Surface, body: &str) -> Asked {
    let mut scanner = Scanner::new();
    scanner.feed(body.as_bytes()).unwrap();
    scanner.finish().unwrap();
    Asked::read(surface, scanner.members(), body.as_bytes()).unwrap()
}

/// What is held for a body of 1,000 bytes less [`FRAME`] with these members.
fn held(model: &str, surface: Surface, members: &str) -> Result<String, Unbounded> {
    let comma = if members.is_empty() { "" } else { "," };
    let start = format!("{{\"model\":\"m\"{comma}{members},\"x\":\"");
    let body = format!("{start}{}\"}}", "x".repeat(488 - start.len() - 2));
    let catalog = catalog(model);
    let bound = offer(&catalog).hold(&read(surface, &body), &Rule::default())?;
    assert!(bound.estimate <= bound.hold);
    Ok(bound.hold.to_string())
}

const CHEAP: &str =
    r#""context": 100000, "max_output": 1000, "price": {"input": "1", "output": "10"}"#;

#[test]
fn the_output_is_bounded_by_the_request_or_the_model() {
    for (surface, members, hold) in [
        (Surface::Chat, "", "0.011"),
        (Surface::Chat, r#""max_tokens":100"#, "0.002"),
        (Surface::Chat, r#""max_completion_tokens":100"#, "0.002"),
        (
            Surface::Chat,
            r#""max_tokens":100,"max_completion_tokens":200"#,
            "0.003",
        ),
        (Surface::Chat, r#""max_tokens":100000"#, "0.011"),
        (Surface::Chat, r#""max_output_tokens":100"#, "0.011"),
        (Surface::Chat, r#""max_tokens":-1"#, "0.011"),
        (Surface::Chat, r#""max_tokens":100,"n":3"#, "0.004"),
        (
            Surface::Chat,
            r#""max_tokens":100,"prediction":{"type":"content"}"#,
            "0.011",
        ),
        (
            Surface::Completions,
            r#""max_tokens":100,"best_of":3"#,
            "0.004",
        ),
        (
            Surface::Completions,
            r#""max_tokens":100,"n":2,"prompt":["a","b"]"#,
            "0.005",
        ),
        (
            Surface::Completions,
            r#""max_completion_tokens":100"#,
            "0.011",
        ),
        (Surface::Responses, r#""max_output_tokens":100"#, "0.002"),
        (Surface::Responses, r#""max_tokens":100"#, "0.011"),
        (Surface::Messages, r#""max_tokens":100"#, "0.002"),
        (Surface::Embeddings, r#""max_tokens":100"#, "0.001"),
    ] {
        let held = held(CHEAP, surface, members);
        assert_eq!(held.as_deref(), Ok(hold), "{surface:?} {members}");
    }
    // Not every provider keeps to both names.
    let mut catalog = catalog(CHEAP);
    let shipped = resolve(&Files::builtin(), &Overrides::default()).unwrap();
    let deepseek = shipped.provider_by_name("deepseek").unwrap();
    let asked = read(Surface::Chat, r#"{"max_completion_tokens":1}"#);
    let here = offer(&catalog).hold(&asked, &Rule::default()).unwrap();
    let there = Offer {
        provider: shipped.provider(deepseek),
        ..offer(&catalog)
    };
    let there = there.hold(&asked, &Rule::default()).unwrap();
    assert_eq!((here.output_most, there.output_most), (1, 1000));

    // Of which nothing is known.
    catalog = self::catalog(r#""context": 5000, "price": {"input": "1", "output": "1"}"#);
    let bound = offer(&catalog).hold(&read(Surface::Chat, "{}"), &Rule::default());
    assert_eq!(bound.unwrap().output_most, 5000);
    catalog = self::catalog(r#""price": {"input": "1", "output": "1"}"#);
    let rule = Rule {
        output_unknown: 77,
        ..Rule::default()
    };
    let most = |body| {
        offer(&catalog)
            .hold(&read(Surface::Chat, body), &rule)
            .unwrap()
            .output_most
    };
    assert_eq!((most("{}"), most(r#"{"max_tokens":5000}"#)), (77, 5000));
}

#[test]
fn the_input_is_bounded_by_bytes_or_the_context() {
    let model = r#""context": 700, "max_output": 1, "price": {"input": "1", "output": "0"}"#;
    assert_eq!(held(model, Surface::Chat, "").as_deref(), Ok("0.0007"));
    // A list of texts has the context for each.
    let two = r#""prompt":["a","b"]"#;
    assert_eq!(
        held(model, Surface::Completions, two).as_deref(),
        Ok("0.001")
    );
    assert_eq!(held(model, Surface::Embeddings, "").as_deref(), Ok("0.001"));
    // A picture is as long as the context allows.
    let image =
        r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a"}}]}]"#;
    assert_eq!(held(CHEAP, Surface::Chat, image).as_deref(), Ok("0.11"));
    let unknown = r#""max_output": 1, "price": {"input": "1", "output": "0"}"#;
    assert_eq!(
        held(unknown, Surface::Chat, image),
        Err(Unbounded::References)
    );
    assert_eq!(held(unknown, Surface::Chat, "").as_deref(), Ok("0.001"));
    // The provider writes about tools in words of its own.
    let tools = r#""tools":[{"name":"f"}]"#;
    assert_eq!(
        held(unknown, Surface::Messages, tools).as_deref(),
        Ok("0.004584")
    );
}

#[test]
fn the_dearest_price_that_the_request_allows_is_held() {
    let model = r#""context": 100000, "max_output": 100,
        "price": {"input": "1", "cached_input": "0.1", "cache_write": "2", "cache_write_1h": "3", "cache_write_12h": "4",
                  "output": "10", "reasoning": "20", "audio_output": "30", "audio_input": "50", "per_request": "1"},
        "modes": {"priority": {"price": {"input": "100"}}, "fast": {"multiplier": "2"}, "flex": {"multiplier": "0.5"},
                  "inference_geo_us": {"multiplier": "1.5"}}"#;
    for (surface, members, hold) in [
        (Surface::Messages, "", "1.003"),
        (Surface::Chat, "", "1.004"),
        (
            Surface::Messages,
            r#""cache_control":{"type":"ephemeral"}"#,
            "1.004",
        ),
        (
            Surface::Messages,
            r#""cache_control":{"ttl":"1h"}"#,
            "1.005",
        ),
        (
            Surface::Chat,
            r#""prompt_cache_options":{"ttl":"12h"}"#,
            "1.006",
        ),
        (Surface::Chat, r#""modalities":["audio"]"#, "1.005"),
        (Surface::Messages, r#""service_tier":"priority""#, "1.102"),
        (Surface::Messages, r#""service_tier":"flex""#, "1.003"),
        (Surface::Messages, r#""speed":"fast""#, "2.006"),
        (
            Surface::Messages,
            r#""speed":"fast","inference_geo":"us""#,
            "3.009",
        ),
    ] {
        assert_eq!(
            held(model, surface, members).as_deref(),
            Ok(hold),
            "{members}"
        );
    }
    let long = r#""context": 100000, "max_output": 100, "price": {"input": "1", "output": "10"},
        "tiers": [{"above": 900, "price": {"input": "0.5"}}, {"above": 2000, "price": {"input": "100"}}]"#;
    assert_eq!(held(long, Surface::Messages, "").as_deref(), Ok("0.0019"));
}

#[test]
fn what_has_no_bound_is_refused_and_says_why() {
    for (model, members, why) in [
        (
            r#""price": {"input": "1"}"#,
            "",
            Unbounded::NoPrice(Item::Output),
        ),
        (
            r#""price": {"output": "1"}"#,
            "",
            Unbounded::NoPrice(Item::Input),
        ),
        (
            r#""price": {"per_request": "1"}"#,
            "",
            Unbounded::NoPrice(Item::Input),
        ),
        (
            r#""output": ["text", "image"], "price": {"input": "1", "output": "1"}"#,
            "",
            Unbounded::Output,
        ),
        (
            r#""price": {"input": "1", "output": "1", "image_output": "1"}"#,
            "",
            Unbounded::Output,
        ),
        (
            r#""searches": true, "price": {"input": "1", "output": "1"}"#,
            "",
            Unbounded::Searches,
        ),
        (
            r#""output": ["text", "audio"], "price": {"input": "1", "output": "1"}"#,
            r#""modalities":["text","audio"]"#,
            Unbounded::NoPrice(Item::AudioOutput),
        ),
        (
            r#""context": 10, "price": {"input": "1", "output": "1", "video_input": "1"}"#,
            r#""a":[{"type":"video_url"}]"#,
            Unbounded::Video,
        ),
        (
            r#""price": {"input": "1", "output": "1"}"#,
            r#""service_tier":"priority""#,
            Unbounded::Tier,
        ),
        (
            r#""price": {"input": "1", "output": "1"}"#,
            r#""service_tier":"scale""#,
            Unbounded::Tier,
        ),
        (
            r#""price": {"input": "1", "output": "18000000"}"#,
            r#""max_tokens":18446744073709551615"#,
            Unbounded::Overflow,
        ),
    ] {
        assert_eq!(held(model, Surface::Chat, members), Err(why), "{model}");
        assert!(!why.to_string().is_empty());
    }
    // Text of one that can speak is text.
    let speaks =
        r#""output": ["text", "audio"], "max_output": 1, "price": {"input": "1", "output": "1"}"#;
    assert!(held(speaks, Surface::Chat, "").is_ok());
    // Without an output price embeddings have one all the same.
    assert!(held(r#""price": {"input": "1"}"#, Surface::Embeddings, "").is_ok());
}

#[test]
fn what_a_header_lifts_is_no_bound() {
    let long = Betas {
        long_input: true,
        long_output: false,
    };
    let longer = Betas {
        long_input: false,
        long_output: true,
    };
    let usual = r#""max_input": 600, "max_output": 10, "price": {"input": "1", "output": "1"}"#;
    let tiers = r#""tiers": [{"above": 600, "price": {"input": "3", "output": "2"}}]"#;
    let priced = format!("{usual}, {tiers}");
    let native = r#""context": 1000000, "max_output": 10, "price": {"input": "1", "output": "1"}"#;
    let picture = r#"{"max_tokens":90,"messages":[{"content":[{"type":"image"}]}]}"#;
    let text = format!(r#"{{"max_tokens":90,"x":"{}"}}"#, "x".repeat(466));
    for (model, body, betas, hold) in [
        // Without it the usual limits hold.
        (usual, &*text, Betas::default(), Ok("0.00061")),
        (usual, &text, long, Err(Unbounded::LongInput)),
        (usual, picture, long, Err(Unbounded::LongInput)),
        // Each byte of it may be a token, at the price of a long request.
        (&priced, &text, long, Ok("0.003026")),
        (&priced, picture, long, Ok("3.00002")),
        // What is within the usual limit, or has none, is what it was.
        (usual, r#"{"max_tokens":9}"#, long, Ok("0.000537")),
        (native, &text, long, Ok("0.001012")),
        (native, picture, long, Ok("1.00001")),
        (usual, &text, longer, Ok("0.00069")),
    ] {
        let catalog = catalog(model);
        let asked = Asked {
            betas,
            ..read(Surface::Messages, body)
        };
        let bound = offer(&catalog).hold(&asked, &Rule::default());
        let held = bound.map(|bound| bound.hold.to_string());
        assert_eq!(held, hold.map(str::to_owned), "{model}, {body}, {betas:?}");
    }
    assert!(Unbounded::LongInput.to_string().contains("anthropic-beta"));
}

#[test]
fn what_is_expected_is_less_and_a_limit_of_ones_own_is_kept() {
    let catalog = catalog(CHEAP);
    let asked = read(
        Surface::Chat,
        &format!("{{\"x\":\"{}\"}}", "word ".repeat(1000)),
    );
    let rule = Rule {
        expected_output: 10,
        ..Rule::default()
    };
    let strict = offer(&catalog).hold(&asked, &rule).unwrap();
    let size = Size::Expected;
    let expected = offer(&catalog)
        .hold(&asked, &Rule { size, ..rule })
        .unwrap();
    assert_eq!(expected.hold, strict.estimate);
    assert!(expected.hold < strict.hold && expected.input_estimate < strict.input_most);

    let most: Credits = "0.007".parse().unwrap();
    assert_eq!(strict.capped(most).hold, most);
    assert_eq!(expected.capped(Credits::MAX), expected);
    // 0.007 pays for 2,000 tokens of input and 500 of output.
    let within =
        |input, most, limit| offer(&catalog).output_within(&asked, &Fee::NONE, most, input, limit);
    assert_eq!(within(2000, most, 1_000_000), Ok(Some(500)));
    assert_eq!(within(2000, most, 300), Ok(Some(300)));
    assert_eq!(within(7000, most, 1000), Ok(Some(0)));
    assert_eq!(within(7001, most, 1000), Ok(None));
    assert_eq!(
        within(0, Credits::MAX, u64::MAX),
        Ok(Some(922_337_203_685_477))
    );
}

fn shipped() -> &'static Catalog {
    static SHIPPED: std::sync::OnceLock<Catalog> = std::sync::OnceLock::new();
    SHIPPED.get_or_init(|| resolve(&Files::builtin(), &Overrides::default()).unwrap())
}

/// All that has a price in it.
fn offers() -> &'static [Offer<'static>] {
    static OFFERS: std::sync::OnceLock<Vec<Offer<'_>>> = std::sync::OnceLock::new();
    OFFERS.get_or_init(|| {
        let models = shipped().models().iter();
        models
            .filter_map(|model| of_model(shipped(), model))
            .collect()
    })
}

/// A body of some shape, on some surface.
fn request() -> impl Strategy<Value = (Surface, String)> {
    let member =
        |values: &'static [&'static str]| proptest::option::of(prop::sample::select(values));
    let members = (
        member(&[
            r#""max_tokens":1"#,
            r#""max_tokens":300"#,
            r#""max_tokens":1000000"#,
            r#""max_tokens":null"#,
        ]),
        member(&[
            r#""max_completion_tokens":200"#,
            r#""max_output_tokens":50"#,
        ]),
        member(&[r#""n":1"#, r#""n":4"#, r#""best_of":3"#]),
        member(&[
            r#""service_tier":"flex""#,
            r#""service_tier":"priority""#,
            r#""service_tier":"fast""#,
            r#""service_tier":"auto""#,
            r#""speed":"fast""#,
        ]),
        member(&[r#""inference_geo":"us""#]),
        member(&[r#""cache_control":{"ttl":"1h"}"#, r#""cache_control":{}"#]),
        member(&[r#""prompt_cache_options":{"ttl":"12h"}"#]),
        member(&[r#""modalities":["text","audio"]"#]),
        member(&[r#""prompt":["a","b","c"]"#]),
        member(&[
            r#""messages":[{"content":[{"type":"image_url"}]}]"#,
            r#""messages":[{"content":[{"type":"input_audio"}]}]"#,
        ]),
    );
    let surfaces = [
        Surface::Chat,
        Surface::Completions,
        Surface::Responses,
        Surface::Messages,
        Surface::Embeddings,
    ];
    let flat = |(a, b, c, d, e, f, g, h, i, j)| [a, b, c, d, e, f, g, h, i, j];
    (
        prop::sample::select(surfaces.to_vec()),
        members.prop_map(flat),
    )
        .prop_map(|(surface, members)| {
            let served = |member: &&str| {
                surface == Surface::Completions || !member.starts_with("\"prompt\"")
            };
            let members: Vec<&str> = members.into_iter().flatten().filter(served).collect();
            (surface, format!("{{{}}}", members.join(",")))
        })
}

/// Shares of a whole.
fn shares() -> impl Strategy<Value = [u64; 10]> {
    proptest::array::uniform10(prop_oneof![Just(0), Just(1000), 0..=1000_u64])
}

/// What an answer to `asked` may report, as far as the request allows it.
fn usage(asked: &Asked, bound: &Bound, shares: [u64; 10], tier: u8) -> Usage {
    let part =
        |share: u64, of: u64| u64::try_from(u128::from(of) * u128::from(share) / 1000).unwrap();
    let [
        input,
        output,
        cached,
        write,
        hour,
        audio,
        image,
        thought,
        sound,
        _,
    ] = shares;
    let (input, output) = (
        part(input, bound.input_most),
        part(output, bound.output_most),
    );
    let allowed = |is: bool, count: u64| if is { count } else { 0 };
    let things = asked.marks.beyond_bytes();
    let writes = asked.surface != Surface::Messages || asked.marks.cache;
    let tiers = match asked.tier {
        AskedTier::Named(tier) => [tier, Tier::Standard, Tier::Unsaid, Tier::Flex],
        _ => [Tier::Standard, Tier::Unsaid, Tier::Other, Tier::Standard],
    };
    Usage {
        input,
        cached: part(cached, input),
        cache_write: allowed(writes, part(write, input)),
        cache_write_1h: allowed(asked.marks.hour, part(hour, input)),
        audio_input: allowed(things, part(audio, input)),
        image_input: allowed(things, part(image, input)),
        output,
        reasoning: part(thought, output),
        audio_output: allowed(asked.beyond_text, part(sound, output)),
        tier: tiers[usize::from(tier)],
        us: asked.us && tier.is_multiple_of(2),
        ..Usage::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is settled is never more than what was held, for every model that ships, whatever the answer reports.
    #[test]
    fn what_is_settled_is_no_more_than_what_was_held(
        model in any::<prop::sample::Index>(),
        (surface, body) in request(),
        shares in shares(),
        tier in 0..4_u8,
        fee in (0..10_000_000_000_u64, 0..10_000_000_000_u64),
        length in prop_oneof![0..2_000_u64, 0..2_000_000_u64],
    ) {
        let offers = offers();
        let offer = offers[model.index(offers.len())];
        let mut asked = read(surface, &body);
        asked.bytes += length;
        asked.estimate += length / 4;
        let fee = Fee {
            per_million_tokens: crate::catalog::PicoDollars(fee.0),
            per_request: crate::catalog::PicoDollars(fee.1),
        };
        let rule = Rule { fee, ..Rule::default() };
        let Ok(bound) = offer.hold(&asked, &rule) else { return Ok(()) };
        prop_assert!(bound.estimate <= bound.hold);
        let used = asked.complete(offer.price, usage(&asked, &bound, shares, tier));
        match charge(offer.price, &used, &fee) {
            Ok(charge) => {
                let settled = charge.total().unwrap();
                prop_assert!(settled <= bound.hold, "{settled} > {} for {used:?}", bound.hold);
            }
            // Sound that the model is not said to make.
            Err(why) => prop_assert_eq!(why, Uncharged::NoPrice(Item::AudioOutput)),
        }
        // And what a limit cuts off costs no more than the limit.
        let most = Credits::from_nanos(bound.hold.nanos() / 2);
        let within = offer.output_within(&asked, &fee, most, used.input, bound.output_most).unwrap();
        if let Some(output) = within {
            let cut = Usage {
                output,
                reasoning: used.reasoning.min(output),
                audio_output: 0,
                ..used
            };
            let settled = charge(offer.price, &cut, &fee).unwrap().total().unwrap();
            prop_assert!(settled <= most, "{settled} > {most}");
        }
    }
}
