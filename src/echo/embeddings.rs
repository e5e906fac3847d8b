//! `POST /embeddings`: a unit vector that is drawn from the input's digest. The same input always has the same vector;
//! nearness means nothing.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::reply::{Refusal, Reply};
use super::tokens;

/// Numbers in a vector when `dimensions` is not given.
const DIMENSIONS: usize = 256;

/// Most numbers in a vector, and most inputs in a request: the vendor's own limits. They bound an answer to 100 MB.
const DIMENSIONS_MAX: usize = 3_072;
const INPUTS_MAX: usize = 2_048;

#[derive(Deserialize)]
struct Request {
    model: String,
    input: Inputs,
    dimensions: Option<usize>,
    encoding_format: Option<Format>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Float,
    Base64,
}

/// Answers a request of the embeddings API.
///
/// # Errors
/// 400 when the body is no such request, has no or too many inputs, or asks for a vector of an impossible size.
pub fn answer(body: &[u8]) -> Result<Reply, Refusal> {
    let request: Request = serde_json::from_slice(body)?;
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(Refusal::member(
            "dimensions",
            format!("`dimensions` must be between 1 and {DIMENSIONS_MAX}"),
        ));
    }
    let inputs = request.input.0;
    if inputs.is_empty() {
        return Err(Refusal::member("input", "`input` must not be empty"));
    }
    let format = request.encoding_format.unwrap_or(Format::Float);
    let tokens: u64 = inputs.iter().map(|input| input.tokens).sum();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| entry(index, input, dimensions, format))
        .collect();
    Ok(Reply::Json(json!({
        "object": "list",
        "data": data,
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

fn entry(index: usize, input: &Embeddable, dimensions: usize, format: Format) -> Value {
    let vector = unit_vector(input.digest, dimensions);
    let embedding = match format {
        Format::Float => json!(vector),
        Format::Base64 => base64(vector.iter().flat_map(|number| number.to_le_bytes())).into(),
    };
    json!({"object": "embedding", "index": index, "embedding": embedding})
}

/// What is kept of one input.
struct Embeddable {
    digest: u64,
    tokens: u64,
}

impl Embeddable {
    fn text(text: &str) -> Self {
        Self {
            digest: digest(text.bytes()),
            tokens: tokens::count(text.len()),
        }
    }

    /// Token ids count as what they are: one token each.
    fn token_ids(ids: &[u32]) -> Self {
        Self {
            digest: digest(ids.iter().flat_map(|id| id.to_le_bytes())),
            tokens: ids.len() as u64,
        }
    }
}

/// FNV-1a, 64 bits.
fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A vector of length 1, drawn from `seed` (`SplitMix64`).
fn unit_vector(mut seed: u64, dimensions: usize) -> Vec<f32> {
    let mut draw = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [low, high, ..] = (mixed ^ (mixed >> 31)).to_le_bytes();
        // An odd number is never 0, so no vector is without a length.
        f32::from(i16::from_le_bytes([low, high]) | 1)
    };
    let drawn: Vec<f32> = (0..dimensions).map(|_| draw()).collect();
    let length = drawn
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    drawn.into_iter().map(|number| number / length).collect()
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(mut bytes: impl Iterator<Item = u8>) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    while let Some(first) = bytes.next() {
        let (second, third) = (bytes.next(), bytes.next());
        let group = u32::from_be_bytes([0, first, second.unwrap_or(0), third.unwrap_or(0)]);
        let digit = |shift: u32| char::from(ALPHABET[(group >> shift & 63) as usize]);
        text.push(digit(18));
        text.push(digit(12));
        text.push(if second.is_some() { digit(6) } else { '=' });
        text.push(if third.is_some() { digit(0) } else { '=' });
    }
    text
}

/// A text, texts, token ids, or arrays of token ids.
struct Inputs(Vec<Embeddable>);

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(InputsVisitor)
    }
}

struct InputsVisitor;

impl<'de> Visitor<'de> for InputsVisitor {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a text that is not empty, token ids, or at most {INPUTS_MAX} of either"
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Inputs, E> {
        if text.is_empty() {
            return Err(E::invalid_length(0, &self));
        }
        Ok(Inputs(vec![Embeddable::text(text)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Inputs, A::Error> {
        let mut inputs = Vec::new();
        let mut ids = Vec::new();
        while let Some(element) = elements.next_element()? {
            match element {
                Element::Input(input) => inputs.push(input),
                Element::TokenId(id) => ids.push(id),
            }
            let mixed = !inputs.is_empty() && !ids.is_empty();
            if mixed || inputs.len() > INPUTS_MAX {
                return Err(A::Error::invalid_length(inputs.len() + ids.len(), &self));
            }
        }
        if !ids.is_empty() {
            inputs.push(Embeddable::token_ids(&ids));
        }
        Ok(Inputs(inputs))
    }
}

enum Element {
    Input(Embeddable),
    TokenId(u32),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text that is not empty, a token id, or an array of token ids")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Element, E> {
        if text.is_empty() {
            return Err(E::invalid_length(0, &self));
        }
        Ok(Element::Input(Embeddable::text(text)))
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Element, E> {
        let out_of_range = |_| E::invalid_value(serde::de::Unexpected::Unsigned(id), &self);
        u32::try_from(id)
            .map(Element::TokenId)
            .map_err(out_of_range)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Element, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = elements.next_element()? {
            ids.push(id);
        }
        if ids.is_empty() {
            return Err(A::Error::invalid_length(0, &self));
        }
        Ok(Element::Input(Embeddable::token_ids(&ids)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &Value) -> Result<Value, Refusal> {
        answer(body.to_string().as_bytes()).map(Reply::json)
    }

    fn vectors(body: &Value) -> Vec<Vec<f64>> {
        let reply = reply(body).unwrap();
        let data = reply["data"].as_array().unwrap();
        data.iter()
            .map(|entry| serde_json::from_value(entry["embedding"].clone()).unwrap())
            .collect()
    }

    #[test]
    fn vectors_are_of_length_one_and_depend_on_the_input_alone() {
        let both = vectors(&json!({"model": "m", "input": ["a", "b"]}));
        let again = vectors(&json!({"model": "other", "input": "a", "encoding_format": "float"}));
        assert_eq!(both[0], again[0]);
        assert_ne!(both[0], both[1]);
        for vector in both {
            assert_eq!(vector.len(), DIMENSIONS);
            assert!((vector.iter().map(|number| number * number).sum::<f64>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn dimensions_are_honoured_within_bounds() {
        for dimensions in [1, 8, DIMENSIONS_MAX] {
            let body = json!({"model": "m", "input": "a", "dimensions": dimensions});
            assert_eq!(vectors(&body)[0].len(), dimensions);
        }
        for dimensions in [0, DIMENSIONS_MAX + 1] {
            let refused = reply(&json!({"model": "m", "input": "a", "dimensions": dimensions}));
            assert_eq!(refused.unwrap_err().param, Some("dimensions"));
        }
    }

    #[test]
    fn base64_holds_the_same_numbers_as_little_endian_floats() {
        let number = unit_vector(digest("a".bytes()), 1)[0];
        let body =
            json!({"model": "m", "input": "a", "dimensions": 1, "encoding_format": "base64"});
        assert_eq!(
            reply(&body).unwrap()["data"][0]["embedding"],
            base64(number.to_le_bytes().into_iter())
        );
    }

    #[test]
    fn base64_agrees_with_the_rfcs_examples() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in examples {
            assert_eq!(base64(bytes.bytes()), text);
        }
        assert_eq!(base64([0xfb, 0xff, 0xfe].into_iter()), "+//+");
    }

    #[test]
    fn tokens_are_counted_for_each_input_and_token_ids_as_they_are() {
        let cases = [
            (json!("hello"), 1, 2),
            (json!(["hello", "a"]), 2, 3),
            (json!([1, 2, 3]), 1, 3),
            (json!([[1, 2], [3]]), 2, 3),
        ];
        for (input, entries, tokens) in cases {
            let reply = reply(&json!({"model": "m", "input": input})).unwrap();
            assert_eq!(reply["data"].as_array().unwrap().len(), entries, "{input}");
            assert_eq!(
                reply["usage"],
                json!({"prompt_tokens": tokens, "total_tokens": tokens}),
                "{input}"
            );
        }
    }

    #[test]
    fn what_is_no_input_is_refused() {
        let too_many = vec!["a"; INPUTS_MAX + 1];
        let inputs = [
            json!(""),
            json!([]),
            json!([""]),
            json!([[]]),
            json!([1, "a"]),
            json!([-1]),
            json!(null),
        ];
        for input in inputs.into_iter().chain([json!({}), json!(too_many)]) {
            assert!(
                reply(&json!({"model": "m", "input": input})).is_err(),
                "{input}"
            );
        }
    }
}
