//! `[cors]`: pages of which origins may ask the gateway from a browser.

use super::file::{Section, Value};

/// More are a list that nobody keeps; `"*"` is shorter.
const ORIGINS_MAX: usize = 256;

/// `[cors]`: what browsers are told of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins whose pages may ask, as browsers write them, or `*` for all; none: browsers are told nothing.
    pub origins: Vec<String>,
}

/// Reads the section.
pub(super) fn cors(section: Section<'_>) -> Cors {
    let written = section.get("origins");
    let elements = written
        .as_ref()
        .and_then(|value| value.elements("an array of origins"));
    if let (Some(value), Some(elements)) = (&written, &elements)
        && elements.len() > ORIGINS_MAX
    {
        value.wrong(format!(
            "has at most {ORIGINS_MAX} origins; [\"*\"] is all there are"
        ));
    }
    let origins = elements.iter().flatten().filter_map(origin).collect();
    section.finish();
    Cors { origins }
}

fn origin(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if text == "*" || is_origin(text) {
        return Some(text.to_owned());
    }
    value.wrong(
        "is no origin: \"*\", or scheme, host and (if it is not the usual one) port as browsers write them, without a slash at the end: \"https://app.example.com\"",
    );
    None
}

/// RFC 6454, section 6.2, of pages and of browsers' extensions. Browsers write letters in lower case.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let scheme_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let host_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
    let usual_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    !scheme.is_empty()
        && !authority.is_empty()
        && scheme.bytes().all(scheme_byte)
        && authority.bytes().all(host_byte)
        && (usual_port.is_empty() || !authority.ends_with(usual_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://[::1]:8080",
            "chrome-extension://abcdefgh",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://App.example.com",
            "https://a.example.com:443",
            "https://*.example.com",
            "https://a b",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
