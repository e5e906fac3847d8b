//! Prices as exact integers. Knows nothing of usage: what tokens cost is reckoned elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::Decimal;

/// Digits after the point that a price may have: what one pico-dollar is.
const DECIMALS: usize = 12;

/// Money in 10⁻¹² US dollars. As a price it is per the unit of its [`Item`], which for tokens is a million of them:
/// so that every price of up to twelve decimals is an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PicoDollars(pub u64);

impl PicoDollars {
    /// The amount as people write it: dollars, with up to twelve decimals.
    ///
    /// # Errors
    /// What is wrong with the text and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(&Decimal(text.into())).map(Self)
    }
}

/// A factor on prices in 10⁻¹².
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor(pub u64);

impl Factor {
    /// The factor 1.
    pub const ONE: Self = Self(1_000_000_000_000);
}

/// What is counted, and per how many of it the price is. Without another word: per million tokens.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Input that came from no cache.
    Input,
    /// Input read from a cache.
    CachedInput,
    /// Input written to a cache for the shortest time offered (5 minutes at Anthropic, 30 minutes at `OpenAI`).
    CacheWrite,
    /// Input written to a cache for an hour.
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    /// Input written to a cache for twelve hours.
    #[serde(rename = "cache_write_12h")]
    CacheWrite12h,
    /// Output.
    Output,
    /// Output that is reasoning, where its price is another.
    Reasoning,
    /// Input that is audio.
    AudioInput,
    /// Input that is audio, read from a cache.
    CachedAudioInput,
    /// Output that is audio.
    AudioOutput,
    /// Input that is an image.
    ImageInput,
    /// Input that is an image, read from a cache.
    CachedImageInput,
    /// Output that is an image.
    ImageOutput,
    /// Input that is video.
    VideoInput,
    /// Output that is video.
    VideoOutput,
    /// Per request.
    PerRequest,
    /// Per web search the model made.
    PerWebSearch,
    /// Per image made; never added to `ImageOutput`.
    PerImage,
    /// Per image read.
    PerInputImage,
    /// Per second of audio or video read.
    PerInputSecond,
    /// Per second of audio or video made.
    PerOutputSecond,
    /// Per second of video made at 1080p.
    #[serde(rename = "per_output_second_1080p")]
    PerOutputSecond1080p,
    /// Per second of video made at 4K.
    #[serde(rename = "per_output_second_4k")]
    PerOutputSecond4k,
    /// Per hour of audio read; never added to `PerInputSecond`.
    PerAudioHour,
    /// Per million characters of text read.
    PerMillionChars,
    /// Per song made.
    PerSong,
}

/// Prices by item. Few items have one, so they are kept as a short sorted list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(pub(super) Box<[(Item, PicoDollars)]>);

impl Rates {
    /// The price of `item`, if it has one here.
    #[must_use]
    pub fn get(&self, item: Item) -> Option<PicoDollars> {
        self.0
            .iter()
            .find(|(candidate, _)| *candidate == item)
            .map(|(_, price)| *price)
    }

    /// All prices, in the order of [`Item`].
    pub fn iter(&self) -> impl Iterator<Item = (Item, PicoDollars)> {
        self.0.iter().copied()
    }
}

/// What a model costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// The usual prices.
    pub rates: Rates,
    /// Prices of long requests, ascending by [`Tier::above`].
    pub tiers: Box<[Tier]>,
    /// Prices of other service tiers, by their name.
    pub modes: Box<[(Box<str>, Mode)]>,
    /// Price of one image by `quality/size`; never added to [`Item::ImageOutput`].
    pub images: Box<[(Box<str>, PicoDollars)]>,
}

/// Prices that hold for the whole of a request whose prompt has more than `above` tokens, cached ones included. An
/// item that is not here keeps its usual price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Tokens.
    pub above: u64,
    /// The prices that differ.
    pub rates: Rates,
}

/// Prices of another service tier. An item that is not here keeps its usual price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Factor on every price.
    pub factor: Factor,
    /// The prices that differ.
    pub rates: Rates,
    /// As those of the model.
    pub tiers: Box<[Tier]>,
}

/// The amount as written, times 10¹².
///
/// # Errors
/// What is wrong with the text and what to write.
pub(super) fn parse(text: &Decimal) -> Result<u64, String> {
    let text = &*text.0;
    if text.starts_with('-') {
        return Err(format!("`{text}` is negative; a price is 0 or more"));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(format!(
            "`{text}` is not a decimal number; write digits and at most one point, such as \"0.075\""
        ));
    }
    if fraction.len() > DECIMALS {
        return Err(format!(
            "`{text}` has {} decimals; at most {DECIMALS} can be kept exactly",
            fraction.len()
        ));
    }
    format!("{whole}{fraction:0<DECIMALS$}")
        .parse()
        .map_err(|_| {
            format!(
                "`{text}` is too large; the most is {}",
                u64::MAX / Factor::ONE.0
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<u64, String> {
        parse(&Decimal(text.into()))
    }

    #[test]
    fn a_price_keeps_every_digit() {
        let table = [
            ("0", 0),
            ("0.075", 75_000_000_000),
            ("2.5", 2_500_000_000_000),
            ("0.0833333333", 83_333_333_300),
            ("0.000000000001", 1),
            ("007", 7_000_000_000_000),
            ("18446744.073709551615", u64::MAX),
        ];
        for (text, expected) in table {
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_price_is_refused_with_the_reason() {
        let table = [
            ("-1", "negative"),
            ("-0", "negative"),
            ("0.0000000000001", "13 decimals"),
            ("18446744.073709551616", "too large"),
            ("99999999999999999999999999", "too large"),
            ("", "not a decimal"),
            (".5", "not a decimal"),
            ("1.", "not a decimal"),
            ("1e-5", "not a decimal"),
            ("1.2.3", "not a decimal"),
            ("+1", "not a decimal"),
            (" 1", "not a decimal"),
            ("NaN", "not a decimal"),
            ("1,5", "not a decimal"),
            ("١", "not a decimal"),
        ];
        for (text, reason) in table {
            let error = parsed(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
