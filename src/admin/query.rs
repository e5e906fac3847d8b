//! The query of a request to the admin API: each parameter once, none that is unknown, none without a name.

use std::borrow::Cow;

use serde::de::value::{Error, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::{Code, Fault};

/// Makes a `T` of a query; what `T` does not know is a mistake.
///
/// # Errors
/// [`Code::InvalidRequest`], with the parameter that is wrong.
pub fn read<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Fault> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
    T::deserialize(Pairs { pairs, at: 0 }).map_err(|error| {
        let message = format!("the query is wrong: {error}");
        Fault::new(Code::InvalidRequest, message)
    })
}

struct Pairs<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    at: usize,
}

impl<'de> de::Deserializer<'de> for Pairs<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, _)) = self.pairs.get(self.at) else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Error> = name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((name, value)) = self.pairs.get(self.at) else {
            return Err(de::Error::custom("a value is missing"));
        };
        self.at += 1;
        let read = seed.deserialize(Text(value));
        read.map_err(|error| de::Error::custom(format!("`{name}`: {error}")))
    }
}

/// A value: a number or a word by what is asked for.
struct Text<'a>(&'a str);

impl Text<'_> {
    fn number<T: std::str::FromStr>(&self) -> Result<T, Error> {
        // `+1` is a number for Rust, and for nobody's query.
        let number = Some(self.0).filter(|text| !text.starts_with('+'));
        let number = number.and_then(|text| text.parse().ok());
        number.ok_or_else(|| de::Error::custom("a whole number is expected"))
    }
}

impl<'de> de::Deserializer<'de> for Text<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(self.number()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.number()?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let word: StrDeserializer<'_, Error> = self.0.into_deserializer();
        word.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum By {
        Day,
        Key,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        limit: Option<u32>,
        account: Option<i64>,
        by: Option<By>,
        name: Option<String>,
    }

    fn form(query: &str) -> Result<Form, String> {
        read(Some(query)).map_err(|fault| fault.message)
    }

    #[test]
    fn parameters_are_read_by_name_and_kind() {
        let nothing = Form {
            limit: None,
            account: None,
            by: None,
            name: None,
        };
        assert_eq!(read::<Form>(None).expect("nothing"), nothing);
        assert_eq!(form("").expect("nothing"), nothing);
        let all = Form {
            limit: Some(10),
            account: Some(-3),
            by: Some(By::Key),
            name: Some("a & b=c".to_owned()),
        };
        let read = form("name=a+%26+b%3Dc&limit=10&account=-3&by=key");
        assert_eq!(read.expect("all"), all);
    }

    #[test]
    fn what_is_unknown_or_said_twice_is_a_mistake_with_its_name() {
        for (query, expected) in [
            (
                "limits=1",
                "the query is wrong: unknown field `limits`, expected one of",
            ),
            (
                "limit=1&limit=1",
                "the query is wrong: duplicate field `limit`",
            ),
            (
                "limit=",
                "the query is wrong: `limit`: a whole number is expected",
            ),
            (
                "limit=-1",
                "the query is wrong: `limit`: a whole number is expected",
            ),
            (
                "limit=+1",
                "the query is wrong: `limit`: a whole number is expected",
            ),
            (
                "limit=%2B1",
                "the query is wrong: `limit`: a whole number is expected",
            ),
            (
                "limit=4294967296",
                "the query is wrong: `limit`: a whole number is expected",
            ),
            (
                "by=week",
                "the query is wrong: `by`: unknown variant `week`, expected `day` or `key`",
            ),
            ("=1", "the query is wrong: unknown field ``"),
        ] {
            let said = form(query).expect_err(query);
            assert!(said.starts_with(expected), "{query}: {said}");
        }
    }
}
