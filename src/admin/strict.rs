//! A JSON document made into a type: each object where one is expected and nowhere else, and mistakes told with the path
//! to where they are (`policy.timeouts.total_ms: expected u64`).
//!
//! What serde makes of JSON by itself is freer: it takes an array for a struct.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// Makes a `T` of a document.
///
/// # Errors
/// What is wrong, for people; without the value, which may be a secret.
pub fn read<T: DeserializeOwned>(document: Value) -> Result<T, String> {
    T::deserialize(Node(document)).map_err(|error| error.to_string())
}

struct Node(Value);

/// What was expected or is unknown: serde names the value before that (`invalid type: string "s3cret", expected a
/// number`). Names of members are written in backticks, and are shown.
fn without_value(error: &Error) -> Error {
    let words = error.to_string();
    let valued = ["invalid type", "invalid value", "invalid length"];
    if !valued.iter().any(|kind| words.starts_with(kind)) {
        return Error::custom(words);
    }
    let expected = words.rsplit_once(", expected ");
    Error::custom(expected.map_or_else(
        || "another value is expected".to_owned(),
        |(_, expected)| format!("expected {expected}"),
    ))
}

/// The same mistake, one step further from where it is.
fn below(step: &str, error: &Error) -> Error {
    let words = error.to_string();
    let (path, words) = match words.split_once(": ") {
        Some((path, words)) if !path.contains(' ') => (format!("{step}.{path}"), words),
        _ => (step.to_owned(), &*words),
    };
    Error::custom(format!("{path}: {words}"))
}

impl<'de> de::Deserializer<'de> for Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let read = match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::String(text) => visitor.visit_string(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (_, _, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::Array(elements) => visitor.visit_seq(Elements {
                elements: elements.into_iter(),
                at: 0,
            }),
            Value::Object(members) => visitor.visit_map(Members::new(members)),
        };
        // One from further within begins with its path, and is left as it is.
        read.map_err(|error: Error| without_value(&error))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(members) => visitor.visit_map(Members::new(members)),
            _ => Err(Error::custom("expected an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::String(word) = self.0 else {
            return Err(Error::invalid_type(Unexpected::Other("a value"), &"a word"))
                .map_err(|error| without_value(&error));
        };
        let word: StrDeserializer<'_, Error> = word.as_str().into_deserializer();
        word.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Elements {
    elements: std::vec::IntoIter<Value>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(element) = self.elements.next() else {
            return Ok(None);
        };
        let at = self.at;
        self.at += 1;
        let read = seed.deserialize(Node(element));
        read.map(Some)
            .map_err(|error| below(&at.to_string(), &error))
    }
}

struct Members {
    members: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
}

impl Members {
    fn new(members: Map<String, Value>) -> Self {
        Self {
            members: members.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.members.next() else {
            return Ok(None);
        };
        let (name, _) = self.value.insert((name, value));
        let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((name, value)) = self.value.take() else {
            return Err(Error::custom("a value is missing"));
        };
        seed.deserialize(Node(value))
            .map_err(|error| below(&name, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        On,
        Off,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        total: Option<u64>,
        words: Vec<Word>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        key: String,
        #[serde(default)]
        inner: Inner,
        #[serde(default)]
        list: Vec<Inner>,
    }

    #[test]
    fn a_document_that_fits_is_read() {
        let read = read::<Outer>(
            json!({"key": "k", "inner": {"total": null, "words": ["on", "off"]}, "list": [{"total": 7}]}),
        );
        let expected = Outer {
            key: "k".to_owned(),
            inner: Inner {
                total: None,
                words: vec![Word::On, Word::Off],
            },
            list: vec![Inner {
                total: Some(7),
                words: Vec::new(),
            }],
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_mistake_is_told_with_its_path_and_without_the_value() {
        for (document, expected) in [
            (json!([]), "expected an object"),
            (json!(["k"]), "expected an object"),
            (json!("s3cret"), "expected an object"),
            (json!({}), "missing field `key`"),
            (json!({"key": 7}), "key: expected a string"),
            (json!({"key": {"s3cret": 1}}), "key: expected a string"),
            (
                json!({"key": "k", "kee": "s3cret"}),
                "unknown field `kee`, expected one of `key`, `inner`, `list`",
            ),
            (
                json!({"key": "k", "inner": [7]}),
                "inner: expected an object",
            ),
            (
                json!({"key": "k", "inner": {"total": "s3cret, expected x"}}),
                "inner.total: expected u64",
            ),
            (
                json!({"key": "k", "inner": {"total": -1}}),
                "inner.total: expected u64",
            ),
            (
                json!({"key": "k", "inner": {"total": 1.5}}),
                "inner.total: expected u64",
            ),
            (
                json!({"key": "k", "inner": {"words": ["on", 7]}}),
                "inner.words.1: expected a word",
            ),
            (
                json!({"key": "k", "inner": {"words": ["no"]}}),
                "inner.words.0: unknown variant `no`, expected `on` or `off`",
            ),
            (
                json!({"key": "k", "list": [{}, {"x": 1}]}),
                "list.1: unknown field `x`, expected `total` or `words`",
            ),
            (
                json!({"key": "k", "list": {"total": 1}}),
                "list: expected a sequence",
            ),
        ] {
            let said = read::<Outer>(document.clone()).expect_err("a mistake");
            assert!(
                said == expected || said.starts_with(expected),
                "{document}: {said}"
            );
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
