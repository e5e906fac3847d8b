//! Members such as `cache_read_input_token_cost_above_272k_tokens_priority` → item, prompt length and service tier.

use serde_json::value::RawValue;

use super::Raw;
use crate::catalog::file::Kind;
use crate::catalog::import::LeftOut;
use crate::catalog::import::number::Number;
use crate::catalog::import::prices::{Prices, When};
use crate::catalog::price::Item;

/// From one token, or one letter, to a million of them.
const PER_MILLION: i32 = 6;

/// Members that are an amount, what it is for, and by how many digits its unit differs from ours.
const AMOUNTS: &[(&str, Item, i32)] = &[
    ("input_cost_per_token", Item::Input, PER_MILLION),
    ("output_cost_per_token", Item::Output, PER_MILLION),
    (
        "cache_read_input_token_cost",
        Item::CachedInput,
        PER_MILLION,
    ),
    (
        "cache_creation_input_token_cost",
        Item::CacheWrite,
        PER_MILLION,
    ),
    (
        "cache_creation_input_token_cost_above_1hr",
        Item::CacheWrite1h,
        PER_MILLION,
    ),
    (
        "cache_creation_input_token_cost_above_12hr",
        Item::CacheWrite12h,
        PER_MILLION,
    ),
    (
        "output_cost_per_reasoning_token",
        Item::Reasoning,
        PER_MILLION,
    ),
    ("input_cost_per_audio_token", Item::AudioInput, PER_MILLION),
    (
        "cache_read_input_audio_token_cost",
        Item::CachedAudioInput,
        PER_MILLION,
    ),
    (
        "output_cost_per_audio_token",
        Item::AudioOutput,
        PER_MILLION,
    ),
    ("input_cost_per_image_token", Item::ImageInput, PER_MILLION),
    (
        "cache_read_input_image_token_cost",
        Item::CachedImageInput,
        PER_MILLION,
    ),
    (
        "output_cost_per_image_token",
        Item::ImageOutput,
        PER_MILLION,
    ),
    ("input_cost_per_video_token", Item::VideoInput, PER_MILLION),
    (
        "output_cost_per_video_token",
        Item::VideoOutput,
        PER_MILLION,
    ),
    (
        "input_cost_per_character",
        Item::PerMillionChars,
        PER_MILLION,
    ),
    ("input_cost_per_request", Item::PerRequest, 0),
    ("input_cost_per_query", Item::PerRequest, 0),
    ("output_cost_per_image", Item::PerImage, 0),
    ("input_cost_per_second", Item::PerInputSecond, 0),
    ("output_cost_per_second", Item::PerOutputSecond, 0),
    ("output_cost_per_video_per_second", Item::PerOutputSecond, 0),
    (
        "output_cost_per_second_1080p",
        Item::PerOutputSecond1080p,
        0,
    ),
    ("output_cost_per_second_4k", Item::PerOutputSecond4k, 0),
];

/// What ends the name of an amount of another service tier, and how we call that.
const MODES: &[(&str, &str)] = &[
    ("_batches", "batch"),
    ("_flex", "flex"),
    ("_priority", "priority"),
    ("_balanced", "balanced"),
    ("_ultrafast", "ultrafast"),
];

/// A price that says again what another one says.
const AGAIN: &str = "input_cost_per_token_cache_hit";

/// Prices of a web search, by how much it reads.
const SEARCH: &str = "search_context_cost_per_query";

/// The amounts among `members`. What looks like one and is not understood is put down in `left_out`.
pub(super) fn prices(key: &str, kind: Kind, members: &Raw, left_out: &mut LeftOut) -> Prices {
    let mut prices = Prices::default();
    for (name, value) in members {
        if name == SEARCH {
            search(key, value, &mut prices, left_out);
        } else if is_amount(name) && name != AGAIN {
            add(key, name, value, &mut prices, left_out);
        }
    }
    if kind == Kind::Transcription {
        // The list says the same second of audio twice, or in tokens as well; it is paid once.
        prices.remove(Item::PerOutputSecond);
        if prices.usual(Item::Input).is_some() || prices.usual(Item::AudioInput).is_some() {
            prices.remove(Item::PerInputSecond);
        }
    }
    prices
}

fn is_amount(name: &str) -> bool {
    name.contains("_cost") || name.contains("pricing")
}

fn add(key: &str, name: &str, value: &RawValue, prices: &mut Prices, left_out: &mut LeftOut) {
    let Some((item, when, places)) = named(name) else {
        return left_out.add(format!("the price `{name}` has no counterpart"), key);
    };
    let is_zero = Number::of(value).is_some_and(|number| number.is_zero());
    if is_zero && !matches!(item, Item::Input | Item::Output) {
        // Not "costs nothing", but "has no price of its own".
        return;
    }
    prices.add(when, item, Number::price_of(value, places));
}

/// Item, requests and digits of an amount.
fn named(name: &str) -> Option<(Item, When, i32)> {
    let (name, mode) = MODES
        .iter()
        .find_map(|(end, mode)| Some((name.strip_suffix(end)?, *mode)))
        .unwrap_or((name, ""));
    let (name, above) = match name.strip_suffix("k_tokens") {
        Some(rest) => {
            let (name, thousands) = rest.rsplit_once("_above_")?;
            (name, thousands.parse::<u64>().ok()?.checked_mul(1000)?)
        }
        None => (name, 0),
    };
    let (_, item, places) = AMOUNTS.iter().find(|(known, ..)| *known == name)?;
    let mode = mode.to_owned();
    Some((*item, When { mode, above }, *places))
}

/// One price, where all three are the same.
fn search(key: &str, value: &RawValue, prices: &mut Prices, left_out: &mut LeftOut) {
    let sizes: Option<std::collections::BTreeMap<String, Number>> =
        serde_json::from_str(value.get()).ok();
    let mut amounts = sizes.iter().flatten().map(|(_, number)| number.price(0));
    match amounts.next() {
        Some(first) if amounts.all(|amount| amount == first) => {
            let free = first.as_ref().is_ok_and(|amount| &*amount.0 == "0");
            if !free {
                prices.add(When::default(), Item::PerWebSearch, first);
            }
        }
        _ => left_out.add(format!("the price `{SEARCH}` differs by size"), key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_when_and_how_much() {
        let when = |mode: &str, above| When {
            mode: mode.to_owned(),
            above,
        };
        for (name, item, expected) in [
            ("input_cost_per_token", Item::Input, when("", 0)),
            (
                "output_cost_per_token_above_200k_tokens",
                Item::Output,
                when("", 200_000),
            ),
            (
                "cache_read_input_token_cost_above_272k_tokens_priority",
                Item::CachedInput,
                when("priority", 272_000),
            ),
            (
                "cache_creation_input_token_cost_above_1hr",
                Item::CacheWrite1h,
                when("", 0),
            ),
            (
                "cache_creation_input_token_cost_above_12hr_above_272k_tokens_flex",
                Item::CacheWrite12h,
                when("flex", 272_000),
            ),
            (
                "output_cost_per_image_token_batches",
                Item::ImageOutput,
                when("batch", 0),
            ),
        ] {
            let (found, when, _) = named(name).expect(name);
            assert_eq!((found, when), (item, expected), "{name}");
        }
        for name in [
            "input_cost_per_pixel",
            "output_cost_per_token_decisions",
            "input_cost_per_token_above_many_tokens",
            "input_cost_per_token_above_99999999999999999999k_tokens",
        ] {
            assert_eq!(named(name), None, "{name}");
        }
    }
}
