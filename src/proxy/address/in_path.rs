//! Paths that name the model: Gemini's, `/v1beta/models/MODEL:METHOD`, and Azure's,
//! `/openai/deployments/MODEL/chat/completions`. Slashes and colons in a model's name may stand as they are: the method of
//! the one and the operation of the other are read from the end of the path.

use std::borrow::Cow;

use super::Address;
use crate::proxy::reject::{Code, Rejection};
use crate::surface::{Dialect, ModelAt, Spec, TABLE};

/// What stands before the method in the rows of surfaces that have the model in the path.
const METHOD: &str = "/models/{model}:";

/// Reads a path that names a surface and a model. `is_provider` knows ids and aliases.
pub(super) fn parse<'a>(path: &'a str, is_provider: impl Fn(&str) -> bool) -> Option<Address<'a>> {
    let path = path.trim_end_matches('/');
    let (before, model, row) = gemini(path).or_else(|| azure(path))?;
    let provider = match before.trim_matches('/') {
        "" => None,
        name if is_provider(name) => Some(name),
        _ => return None,
    };
    Some(Address::InPath {
        surface: row.surface,
        provider,
        model,
    })
}

/// What stands before the version, the model as written, and the row.
fn gemini(path: &str) -> Option<(&str, &str, &'static Spec)> {
    let (rest, method) = path.rsplit_once(':')?;
    let is_it = |row: &&Spec| row.path.strip_prefix(METHOD) == Some(method);
    let row = TABLE.iter().find(is_it)?;
    let (before, model) = rest.split_once("/models/")?;
    Some((without_versions(before), model, row))
}

/// The same of Azure's paths.
fn azure(path: &str) -> Option<(&str, &str, &'static Spec)> {
    let (before, rest) = path.split_once("/deployments/")?;
    let is_openai = |row: &&Spec| {
        let in_body = matches!(row.model_at, ModelAt::JsonBody | ModelAt::Multipart);
        in_body && row.dialect == Dialect::OpenAi
    };
    let rows = TABLE.iter().filter(is_openai);
    // `chat/completions` is no model `chat` with `completions`.
    let row = rows
        .filter(|row| rest.ends_with(row.path))
        .max_by_key(|row| row.path.len())?;
    let before = without_versions(before);
    let before = without(before, "/openai").unwrap_or(before);
    Some((before, &rest[..rest.len() - row.path.len()], row))
}

/// Two versions count once: people write a base URL with one, and clients add theirs.
fn without_versions(path: &str) -> &str {
    once(once(path))
}

fn once(path: &str) -> &str {
    let version = ["/v1beta", "/v1"]
        .iter()
        .find_map(|version| without(path, version));
    version.unwrap_or(path)
}

/// What stands before this segment at the end of `path`. Doubled slashes count once.
fn without<'a>(path: &'a str, segment: &str) -> Option<&'a str> {
    path.trim_end_matches('/').strip_suffix(segment)
}

/// The name of the model that a path has as `written`.
///
/// # Errors
/// [`Code::InvalidRequest`] when no model can be called that.
pub fn name(written: &str, dialect: Dialect) -> Result<Cow<'_, str>, Rejection> {
    let decoded = decoded(written)
        .ok_or_else(|| no_name("is not percent-encoded UTF-8; write `%` as `%25`"))?;
    checked(decoded, dialect)
}

/// The name of a model in a path that says it as `decoded`.
///
/// # Errors
/// As [`name`].
pub fn checked(decoded: Cow<'_, str>, dialect: Dialect) -> Result<Cow<'_, str>, Rejection> {
    let name = match dialect {
        Dialect::Gemini => without_collection(decoded),
        _ => decoded,
    };
    if name.is_empty() {
        return Err(no_name("names no model"));
    }
    if name.chars().any(char::is_control) {
        return Err(no_name("has control characters in the model's name"));
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(no_name(
            "has an empty segment, `.` or `..` in the model's name",
        ));
    }
    Ok(name)
}

/// Gemini's resources have their collection before their name.
fn without_collection(name: Cow<'_, str>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix("models/").unwrap_or(name)),
        Cow::Owned(name) => match name.strip_prefix("models/") {
            Some(name) => Cow::Owned(name.to_owned()),
            None => Cow::Owned(name),
        },
    }
}

fn no_name(what: &'static str) -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        format!(
            "The path {what}. It must name a model, as in `/v1beta/models/gemini-2.5-flash:generateContent` or `/openai/deployments/gpt-4o/chat/completions`."
        ),
    )
}

/// The text that is written percent-encoded; none where that is malformed.
fn decoded(written: &str) -> Option<Cow<'_, str>> {
    if !written.contains('%') {
        return Some(Cow::Borrowed(written));
    }
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let value = digit(0)? * 16 + digit(1)?;
        bytes.push(u8::try_from(value).ok()?);
        rest = after.get(2..)?;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::Surface;

    fn parsed(path: &str) -> Option<(Surface, Option<&str>, &str)> {
        match parse(path, |name| matches!(name, "google" | "gemini" | "azure"))? {
            Address::InPath {
                surface,
                provider,
                model,
            } => Some((surface, provider, model)),
            _ => None,
        }
    }

    #[test]
    fn geminis_paths_are_read_from_their_end() {
        let table = [
            (
                "/v1beta/models/g:generateContent",
                Surface::GenerateContent,
                None,
                "g",
            ),
            (
                "/v1/models/g:streamGenerateContent",
                Surface::StreamGenerateContent,
                None,
                "g",
            ),
            (
                "/models/g:countTokens",
                Surface::GeminiCountTokens,
                None,
                "g",
            ),
            (
                "/google/v1beta/models/g:embedContent",
                Surface::EmbedContent,
                Some("google"),
                "g",
            ),
            (
                "/gemini/models/g:batchEmbedContents",
                Surface::BatchEmbedContents,
                Some("gemini"),
                "g",
            ),
            (
                "/v1/v1beta/models/g:generateContent",
                Surface::GenerateContent,
                None,
                "g",
            ),
            (
                "/v1beta/models/google:g:generateContent",
                Surface::GenerateContent,
                None,
                "google:g",
            ),
            (
                "/v1beta/models/google/g:generateContent",
                Surface::GenerateContent,
                None,
                "google/g",
            ),
            (
                "/v1beta/models/models/g:generateContent",
                Surface::GenerateContent,
                None,
                "models/g",
            ),
            (
                "//google//v1beta//models/g:generateContent/",
                Surface::GenerateContent,
                Some("google"),
                "g",
            ),
            (
                "/v1beta/models/:generateContent",
                Surface::GenerateContent,
                None,
                "",
            ),
        ];
        for (path, surface, provider, model) in table {
            assert_eq!(parsed(path), Some((surface, provider, model)), "{path}");
        }
    }

    #[test]
    fn azures_paths_are_read_from_their_end() {
        let table = [
            (
                "/openai/deployments/g/chat/completions",
                Surface::Chat,
                None,
                "g",
            ),
            (
                "/openai/deployments/g/completions",
                Surface::Completions,
                None,
                "g",
            ),
            (
                "/openai/deployments/a/b:c/embeddings",
                Surface::Embeddings,
                None,
                "a/b:c",
            ),
            (
                "/azure/openai/deployments/g/chat/completions",
                Surface::Chat,
                Some("azure"),
                "g",
            ),
            ("/deployments/g/chat/completions", Surface::Chat, None, "g"),
            (
                "/openai/deployments/g/audio/transcriptions",
                Surface::AudioTranscriptions,
                None,
                "g",
            ),
            (
                "//azure/openai//deployments/g/chat/completions/",
                Surface::Chat,
                Some("azure"),
                "g",
            ),
            (
                "/openai/v1/deployments/g/chat/completions",
                Surface::Chat,
                None,
                "g",
            ),
        ];
        for (path, surface, provider, model) in table {
            assert_eq!(parsed(path), Some((surface, provider, model)), "{path}");
        }
    }

    #[test]
    fn other_paths_are_none_of_these() {
        for path in [
            "/v1/chat/completions",
            "/v1/models/llama3.2:1b",
            "/v1beta/models/g:predict",
            "/v1beta/g:generateContent",
            "/v1alpha/models/g:generateContent",
            "/nobody/v1beta/models/g:generateContent",
            "/google/google/models/g:generateContent",
            "/openai/deployments/g",
            "/openai/deployments/g/messages",
            "/v1beta/v1beta/v1beta/models/g:generateContent",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
    }

    #[test]
    fn names_are_decoded_and_have_no_collection() {
        for (written, read) in [
            ("g", "g"),
            ("models/g", "g"),
            ("models%2Fg", "g"),
            ("google%3Ag", "google:g"),
            ("google%2fg", "google/g"),
            ("a%25b", "a%b"),
            ("%C3%A9", "é"),
        ] {
            let read_as = name(written, Dialect::Gemini);
            assert_eq!(read_as.as_deref(), Ok(read), "{written}");
        }
        assert_eq!(name("models/g", Dialect::OpenAi).as_deref(), Ok("models/g"));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for written in [
            "", "models/", "..", ".", "a/../b", "%2e%2e", "a%2F..", "a%00", "%0d%0a", "%7f",
            "a//b", "/a", "a/", "%", "%4", "%zz", "%ff", "%+1",
        ] {
            let refused = name(written, Dialect::Gemini).expect_err(written);
            assert_eq!(refused.code, Code::InvalidRequest, "{written}");
        }
    }
}
