use super::*;
use crate::catalog::{Files, Overrides, PicoDollars, Price, resolve};

/// A price as a catalog file writes it, resolved.
pub(in crate::money) fn price(model: &str) -> Price {
    let text = format!(
        r#"{{"provider": "p", "base_url": "http://127.0.0.1:1/v1", "surfaces": {{"chat": {{"path": "/chat/completions"}}}},
            "models": {{"m": {{"kind": "chat", {model}}}}}}}"#
    );
    let mut files = Files::empty();
    files.add_text("p.json", text);
    let catalog = resolve(&files, &Overrides::default()).unwrap();
    catalog.models()[0].price.as_deref().cloned().unwrap()
}

fn cost(price: &Price, usage: Usage) -> String {
    let charge = charge(price, &usage, &Fee::NONE).unwrap();
    assert_eq!(charge.fee, Credits::ZERO);
    charge.model.to_string()
}

const USED: Usage = Usage {
    input: 1_000_000,
    cached: 0,
    cached_audio: 0,
    cached_image: 0,
    cache_write: 0,
    cache_write_1h: 0,
    cache_write_12h: 0,
    audio_input: 0,
    image_input: 0,
    output: 0,
    reasoning: 0,
    audio_output: 0,
    image_output: 0,
    searches: 0,
    tier: Tier::Unsaid,
    us: false,
};

#[test]
fn every_item_has_its_own_price_and_each_token_one() {
    let price = price(
        r#""price": {"input": "1", "cached_input": "0.1", "cache_write": "1.25", "cache_write_1h": "2",
            "cache_write_12h": "3", "output": "10", "reasoning": "20", "audio_input": "100", "cached_audio_input": "50",
            "audio_output": "200", "image_input": "30", "cached_image_input": "15", "image_output": "300",
            "per_request": "0.001", "per_web_search": "0.01"}"#,
    );
    let used = Usage {
        input: 1_000_000,
        cached: 100_000,
        cache_write_12h: 100_000,
        cache_write_1h: 100_000,
        cache_write: 100_000,
        audio_input: 100_000,
        image_input: 100_000,
        output: 1_000_000,
        reasoning: 100_000,
        audio_output: 100_000,
        image_output: 100_000,
        searches: 3,
        ..USED
    };
    // 0.4 fresh text, 0.01 cached, 0.3 + 0.2 + 0.125 written, 10 sound, 3 images; 7 text, 2 thoughts, 20 sound, 30
    // images; the request and three searches.
    assert_eq!(cost(&price, used), "73.066");
    // All that is cached is text as far as that goes, then images, then sound.
    let cached = Usage {
        cached: 900_000,
        cache_write: 0,
        cache_write_1h: 0,
        cache_write_12h: 0,
        output: 0,
        searches: 0,
        ..used
    };
    assert_eq!(cost(&price, cached), "11.581");
    // Unless that is told.
    let told = Usage {
        cached: 150_000,
        cached_audio: 40_000,
        cached_image: 50_000,
        ..cached
    };
    assert_eq!(
        cost(&price, told),
        "10.997",
        "0.74 fresh text, 0.006 cached, 1.5 + 0.75 images, 6 + 2 sound, 0.001"
    );
    // Never more of a sort than there was.
    let lies = Usage {
        cached_audio: 900_000,
        ..cached
    };
    assert_eq!(cost(&price, lies), "8.081");
    // What is written is paid at least as what is read.
    let written = Usage {
        cached: 0,
        cache_write: 1_000_000,
        ..cached
    };
    assert_eq!(cost(&price, written), "14.001");
}

#[test]
fn what_has_no_price_has_the_next_one() {
    let plain = price(r#""price": {"input": "1", "output": "2"}"#);
    let used = Usage {
        cached: 10_000,
        cache_write: 10_000,
        cache_write_1h: 10_000,
        cache_write_12h: 10_000,
        audio_input: 10_000,
        image_input: 10_000,
        output: 500_000,
        reasoning: 100_000,
        searches: 5,
        ..USED
    };
    assert_eq!(cost(&plain, used), "2");
    let short = price(r#""price": {"input": "1", "cache_write": "5", "output": "2"}"#);
    let only = |long, hour| Usage {
        cache_write_12h: long,
        cache_write_1h: hour,
        ..USED
    };
    assert_eq!(cost(&short, only(500_000, 0)), "3");
    assert_eq!(cost(&short, only(0, 500_000)), "3");
    // Dearer sound keeps its price when it is cached; images as cheap as text have the cached price of text.
    let sound = price(
        r#""price": {"input": "1", "cached_input": "0.5", "audio_input": "4", "image_input": "1", "output": "2"}"#,
    );
    let cached = |audio_input, image_input| Usage {
        cached: 1_000_000,
        audio_input,
        image_input,
        ..USED
    };
    assert_eq!(cost(&sound, cached(1_000_000, 0)), "4");
    assert_eq!(cost(&sound, cached(0, 1_000_000)), "0.5");
}

#[test]
fn a_cache_write_that_is_cheaper_than_input_costs_what_input_does() {
    let storage = price(r#""price": {"input": "1", "cache_write": "0.08", "output": "2"}"#);
    let written = Usage {
        cache_write: 1_000_000,
        ..USED
    };
    assert_eq!(cost(&storage, written), "1");
}

#[test]
fn tokens_without_any_price_are_not_free() {
    let embedding = price(r#""price": {"input": "1"}"#);
    let used = |usage| charge(&embedding, &usage, &Fee::NONE);
    assert!(used(USED).is_ok());
    for (usage, item) in [
        (Usage { output: 1, ..USED }, Item::Output),
        (
            Usage {
                output: 1,
                reasoning: 1,
                ..USED
            },
            Item::Output,
        ),
        (
            Usage {
                output: 1,
                audio_output: 1,
                ..USED
            },
            Item::AudioOutput,
        ),
        (
            Usage {
                output: 1,
                image_output: 1,
                ..USED
            },
            Item::ImageOutput,
        ),
    ] {
        assert_eq!(used(usage), Err(Uncharged::NoPrice(item)));
    }
    let picture = price(r#""price": {"per_image": "1"}"#);
    let used = charge(&picture, &USED, &Fee::NONE);
    assert_eq!(used, Err(Uncharged::NoPrice(Item::Input)));
    assert!(used.unwrap_err().to_string().contains("`input`"));
}

#[test]
fn parts_beyond_the_whole_are_not_paid_twice() {
    let price = price(
        r#""price": {"input": "1", "cached_input": "0.1", "audio_input": "2", "output": "1", "audio_output": "2"}"#,
    );
    let absurd = Usage {
        cached: u64::MAX,
        cache_write: u64::MAX,
        audio_input: u64::MAX,
        image_input: u64::MAX,
        output: 1_000_000,
        reasoning: u64::MAX,
        audio_output: u64::MAX,
        image_output: u64::MAX,
        ..USED
    };
    assert_eq!(cost(&price, absurd), "4");
}

#[test]
fn a_long_request_has_its_prices_for_all_of_it() {
    let price = price(
        r#""price": {"input": "1", "cached_input": "0.5", "output": "2"},
           "tiers": [{"above": 1000, "price": {"input": "3"}}, {"above": 2000, "price": {"input": "5", "output": "7"}}]"#,
    );
    for (input, expected) in [
        (1000, "0.003"),
        (1001, "0.005003"),
        (2000, "0.008"),
        (2001, "0.017005"),
    ] {
        let used = Usage {
            input,
            output: 1000,
            ..USED
        };
        assert_eq!(cost(&price, used), expected, "{input}");
    }
    let cached = Usage {
        input: 2001,
        cached: 2001,
        ..USED
    };
    assert_eq!(cost(&price, cached), "0.0010005");
}

#[test]
fn modes_have_their_own_prices_and_factors() {
    let price = price(
        r#""price": {"input": "1", "cached_input": "0.5", "output": "2"},
           "tiers": [{"above": 2000000, "price": {"input": "4", "cached_input": "0.75"}}],
           "modes": {"priority": {"price": {"input": "3"}, "tiers": [{"above": 3000000, "price": {"input": "9"}}]},
                     "flex": {"price": {"input": "0.25"}}, "batch": {"multiplier": "0.5"},
                     "fast": {"multiplier": "2"}, "inference_geo_us": {"multiplier": "1.1"}}"#,
    );
    let used = |tier, us, input| Usage {
        input,
        tier,
        us,
        ..USED
    };
    for (usage, expected) in [
        (used(Tier::Unsaid, false, 1_000_000), "1"),
        (used(Tier::Other, false, 1_000_000), "1"),
        (used(Tier::Ultrafast, false, 1_000_000), "1"),
        (used(Tier::Flex, false, 1_000_000), "0.25"),
        (used(Tier::Batch, false, 1_000_000), "0.5"),
        (used(Tier::Fast, false, 1_000_000), "2"),
        (used(Tier::Standard, true, 1_000_000), "1.1"),
        (used(Tier::Fast, true, 1_000_000), "2.2"),
        (used(Tier::Priority, true, 1_000_000), "3.3"),
        // A mode's price is for every length, unless it has lengths of its own.
        (used(Tier::Priority, false, 3_000_000), "9"),
        (used(Tier::Priority, false, 4_000_000), "36"),
        (used(Tier::Fast, false, 3_000_000), "24"),
    ] {
        assert_eq!(cost(&price, usage), expected, "{usage:?}");
    }
    // What a mode does not have keeps the usual price, at its length.
    let cached = Usage {
        cached: 3_000_000,
        ..used(Tier::Priority, false, 3_000_000)
    };
    assert_eq!(cost(&price, cached), "2.25");
}

#[test]
fn a_service_tier_called_fast_is_priority_where_that_has_the_price() {
    let price = price(
        r#""price": {"input": "1", "output": "2"}, "modes": {"priority": {"price": {"input": "3"}}}"#,
    );
    let used = Usage {
        tier: Tier::Fast,
        ..USED
    };
    assert_eq!(cost(&price, used), "3");
}

#[test]
fn there_is_one_rounding_and_it_is_up() {
    // A token of this price is a third of a nano-dollar.
    let price = price(r#""price": {"input": "0.000333333333", "output": "0.000333333333"}"#);
    let used = |input, output| Usage {
        input,
        output,
        ..USED
    };
    assert_eq!(cost(&price, used(0, 0)), "0");
    assert_eq!(cost(&price, used(1, 0)), "0.000000001");
    assert_eq!(cost(&price, used(1, 1)), "0.000000001");
    assert_eq!(cost(&price, used(2, 1)), "0.000000001");
    assert_eq!(cost(&price, used(2, 2)), "0.000000002");
    // The fee's remainder and the model's make one nano-dollar together.
    let fee = Fee {
        per_million_tokens: PicoDollars(333_333_333),
        per_request: PicoDollars(0),
    };
    let both = charge(&price, &used(1, 0), &fee).unwrap();
    assert_eq!((both.model.nanos(), both.fee.nanos()), (1, 0));
    let both = charge(&price, &used(2, 0), &fee).unwrap();
    assert_eq!((both.model.nanos(), both.fee.nanos()), (1, 1));
    assert_eq!(both.total(), Some(Credits::from_nanos(2)));
}

#[test]
fn the_fee_is_for_all_tokens_and_the_request_and_knows_no_mode() {
    let fee = Fee {
        per_million_tokens: PicoDollars(500_000_000_000),
        per_request: PicoDollars(1_000_000_000),
    };
    let used = Usage {
        output: 1_000_000,
        ..USED
    };
    let alone = fee_only(&used, &fee).unwrap();
    assert_eq!(
        (alone.model, alone.fee.to_string().as_str()),
        (Credits::ZERO, "1.001")
    );
    let price = price(
        r#""price": {"input": "1", "output": "2"}, "modes": {"flex": {"multiplier": "0.5"}}"#,
    );
    let flex = Usage {
        tier: Tier::Flex,
        ..used
    };
    let charge = charge(&price, &flex, &fee).unwrap();
    assert_eq!(
        (charge.model.to_string(), charge.fee),
        ("1.5".into(), alone.fee)
    );
    assert_eq!(fee_only(&used, &Fee::default()), Ok(Charge::ZERO));
}

#[test]
fn what_cannot_be_kept_is_an_error_and_no_other_amount() {
    let dear =
        price(r#""price": {"input": "18446744", "output": "18446744", "per_request": "1000000"}"#);
    let used = |input| charge(&dear, &Usage { input, ..USED }, &Fee::NONE);
    assert!(used(1 << 28).is_ok());
    for input in [1 << 30, 1 << 40, u64::MAX] {
        assert_eq!(used(input), Err(Uncharged::Overflow), "{input}");
    }
    let most = Usage {
        input: u64::MAX,
        output: u64::MAX,
        searches: u64::MAX,
        ..USED
    };
    let fee = Fee {
        per_million_tokens: PicoDollars(u64::MAX),
        per_request: PicoDollars(u64::MAX),
    };
    assert_eq!(charge(&dear, &most, &fee), Err(Uncharged::Overflow));
    assert_eq!(fee_only(&most, &fee), Err(Uncharged::Overflow));
    let fine = price(
        r#""price": {"input": "1000000", "output": "1"},
           "modes": {"fast": {"multiplier": "1.000000000001"}, "inference_geo_us": {"multiplier": "1.000000000001"}}"#,
    );
    let both = Usage {
        input: 1 << 40,
        tier: Tier::Fast,
        us: true,
        ..USED
    };
    assert_eq!(charge(&fine, &both, &Fee::NONE), Err(Uncharged::Overflow));
}

#[test]
fn a_factor_of_nothing_is_nothing() {
    let price =
        price(r#""price": {"input": "1", "output": "1"}, "modes": {"flex": {"multiplier": "0"}}"#);
    let free = Usage {
        tier: Tier::Flex,
        ..USED
    };
    assert_eq!(cost(&price, free), "0");
}
