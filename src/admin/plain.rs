//! A JSON document in which whole numbers are written as such: `7` for `7.0`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The document. A member that stands twice in an object is a mistake.
pub struct Plain(pub Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Document).map(Self)
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        /// Up to here every whole number has a binary fraction of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() != 0.0 || value.abs() > EXACT {
            return Ok(value.into());
        }
        #[allow(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
        Ok((value as i64).into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Plain(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Plain(value))) = map.next_entry::<String, Plain>()? {
            if members.contains_key(&name) {
                return Err(Error::custom("a member stands twice"));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        let Plain(value) = serde_json::from_str(text).expect("JSON");
        value
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (text, number) in [
            ("7.0", 7_i64),
            ("-7e0", -7),
            // Read carelessly it is not whole.
            ("3757704259408306.0", 3_757_704_259_408_306),
            ("9007199254740992.0", 9_007_199_254_740_992),
        ] {
            assert_eq!(read(text), Value::from(number), "{text}");
        }
        assert_eq!(read("7.5"), Value::from(7.5));
        assert!(read("9007199254740994.0").is_f64());
    }

    #[test]
    fn a_member_stands_once() {
        assert!(serde_json::from_str::<Plain>(r#"{"a":[{"b":1,"b":2}]}"#).is_err());
        assert_eq!(
            read(r#"{"a":[1.0,{"b":null}]}"#),
            serde_json::json!({"a":[1,{"b":null}]})
        );
    }
}
