//! Whose credential a request goes on with: the words of a policy for it.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Letters that the name of a stored key may have: as in the configuration.
pub const KEY_NAME_MAX: usize = 64;

/// What stands before the name of a stored key.
const NAMED: &str = "byok:";

/// Whose credential a request goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Step {
    /// A provider key that the client sent along.
    Request,
    /// The account's stored provider keys.
    Byok,
    /// The one of them that has this name.
    Named(KeyName),
    /// The operator's, charged to the account's credit.
    Gateway,
}

/// The name of a stored key, as a step is written: behind `byok:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// The name alone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0[NAMED.len()..]
    }
}

/// Whether a stored key may be called so. The letters are few, so that steps can be listed with commas.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=KEY_NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
}

impl Step {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Request => "request",
            Self::Byok => "byok",
            Self::Named(KeyName(written)) => written,
            Self::Gateway => "gateway",
        }
    }
}

impl JsonSchema for Step {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Whose credential a request goes on with: one that the client sent along, the account's stored provider keys, the one of them of that name, or the operator's.",
            "pattern": format!("^(request|byok|gateway|byok:[A-Za-z0-9._-]{{1,{KEY_NAME_MAX}}})$"),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Step {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "request" => Ok(Self::Request),
            "byok" => Ok(Self::Byok),
            "gateway" => Ok(Self::Gateway),
            _ => match text.strip_prefix(NAMED) {
                Some(name) if is_key_name(name) => Ok(Self::Named(KeyName(text.into()))),
                Some(_) => Err(
                    "the name of a stored key has letters, digits, `.`, `_` and `-` only, 1 to 64 of them",
                ),
                None => Err("a credential step is request, byok, byok:NAME or gateway"),
            },
        }
    }
}

impl TryFrom<String> for Step {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Step> for String {
    fn from(step: Step) -> Self {
        step.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_written() {
        for text in ["request", "byok", "gateway", "byok:main", "byok:EU-1.a_b"] {
            let step: Step = text.parse().unwrap();
            assert_eq!((step.as_str(), step.to_string()), (text, text.to_owned()));
        }
        let Ok(Step::Named(name)) = "byok:main".parse() else {
            panic!("a name");
        };
        assert_eq!(name.as_str(), "main");
        let long = format!("byok:{}", "n".repeat(KEY_NAME_MAX + 1));
        for text in [
            "",
            "BYOK",
            "byok:",
            "byok:a b",
            "byok:a,b",
            "byok:a:b",
            "gateway:main",
            "loan",
            &long,
        ] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }
}
