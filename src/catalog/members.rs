//! The two shapes of JSON that catalog files have and serde has not: an object whose names are unique, and a number
//! whose digits are all kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A price or factor as written: a string, so that no digit is lost on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Decimal(#[schemars(extend("pattern" = r"^[0-9]+(\.[0-9]{1,12})?$"))] pub Box<str>);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsString;
        impl Visitor<'_> for AsString {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number in quotes, such as \"0.075\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
                Ok(Decimal(text.into()))
            }
        }
        deserializer.deserialize_str(AsString)
    }
}

/// A JSON object as a sorted map; a name that stands in it twice is a mistake.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Members<K: Ord, V>(pub BTreeMap<K, V>);

impl<K: Ord + JsonSchema, V: JsonSchema> JsonSchema for Members<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{} by {}", V::schema_name(), K::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<K>(),
            "additionalProperties": generator.subschema_for::<V>(),
        })
    }
}

impl<K: Ord, V> Default for Members<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K: Ord + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Members<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Ord + Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Unique<K, V> {
            type Value = Members<K, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = access.next_key()? {
                    // Before the value is read, so that the error stands at the second name.
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(
                            "this name stands here twice; keep one of the two",
                        ));
                    }
                    members.insert(name, access.next_value()?);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Unique(PhantomData))
    }
}
