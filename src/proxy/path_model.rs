//! A model that the path names. The body may say it again (Azure's clients write it in both, Gemini's embeddings and
//! token counts repeat it): then the two must agree, and where the provider has another id both are changed.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::body::{Body, InPath};
use super::members::{self, Names};
use super::reject::{Code, Rejection};
use crate::access::presented;
use crate::model::scan::{Member, decoded, elements, entries};
use crate::model::splice::{self, CannotEdit, Edit, Edits};
use crate::surface::{ModelAt, Surface};

/// What Gemini's resources have before their name.
const COLLECTION: &str = "models/";

/// Members of Gemini's bodies that hold requests of their own.
const NESTED: [&[u8]; 3] = [
    b"requests",
    b"generateContentRequest",
    b"generate_content_request",
];

/// The names asked for: the path's, and of an OpenAI body those of `models`.
///
/// # Errors
/// [`Code::InvalidRequest`] when the body names another model than the path.
pub fn names<'b>(path: &'b InPath, body: &'b Body) -> Result<Names<'b>, Rejection> {
    for place in places(path, body) {
        agrees(path, body.bytes.get(place).unwrap_or_default())?;
    }
    let mut names = Names::new();
    names.push(Cow::Borrowed(&*path.name));
    let members = body.scanner.members();
    if repeats_as_openai(path) && members.get(Member::Models).is_some() {
        for name in members::names(members, &body.bytes)? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// The edits after which the body names `model`, the id that a provider has for the path's. `in_route`: the provider is
/// told it in the path, and needs none in the body.
///
/// # Errors
/// As [`splice::name_model`].
pub fn edits(path: &InPath, body: &Body, model: &str, in_route: bool) -> Result<Edits, CannotEdit> {
    if path.surface.spec().model_at == ModelAt::Query {
        // There is no body.
        return Ok(Edits::new());
    }
    if repeats_as_openai(path) {
        let members = body.scanner.members();
        let mut edits = splice::name_model(&body.bytes, members, model)?;
        let named = [Member::Model, Member::Models].map(|member| members.get(member).is_some());
        if named == [false, false] && !in_route {
            edits.extend(put_in(&body.bytes, model));
        }
        return Ok(edits);
    }
    if *path.name == *model {
        return Ok(Edits::new());
    }
    let edit = |place: Range<usize>| {
        let written = body.bytes.get(place.clone()).unwrap_or_default();
        let collection = match decoded(written) {
            Some(name) if name.starts_with(COLLECTION) => COLLECTION,
            _ => "",
        };
        Edit {
            range: place,
            with: splice::json_string(&format!("{collection}{model}")).into(),
        }
    };
    Ok(places(path, body).into_iter().map(edit).collect())
}

/// Refuses a body in which the model cannot be named anew: what is missing of it may name one too, or it does so absurdly
/// often.
///
/// # Errors
/// [`Code::BodyTooLarge`], [`Code::InvalidRequest`].
pub fn is_readable(surface: Surface, body: &Body, limit: u64) -> Result<(), Rejection> {
    if !has_nested(surface) {
        return Ok(());
    }
    if body.whole {
        return match nested(&body.bytes).nth(NESTED_MAX) {
            None => Ok(()),
            Some(_) => Err(Rejection::new(
                Code::InvalidRequest,
                format!("At most {NESTED_MAX} requests at once may name the model again."),
            )),
        };
    }
    Err(Rejection::new(
        Code::BodyTooLarge,
        format!(
            "A request body of `{}` has at most {limit} bytes (limits.replay_request), because it may name its model anywhere.",
            surface.name()
        ),
    ))
}

/// Whether a query asks for an answer of Gemini's as it usually is. Google's APIs take parameters that leave members out of
/// it (`fields`), or write it in another way (`alt=proto`, `callback`): then it does not say what was used.
#[must_use]
pub fn is_plain(query: Option<&str>) -> bool {
    let Some(query) = query else { return true };
    let stripped = presented::strip_query(query, &[]);
    let query = stripped.as_deref().unwrap_or(query);
    query
        .split('&')
        .all(|pair| matches!(pair, "" | "alt=sse" | "alt=json"))
}

/// Whether the body is one of OpenAI's, with the model in it, as JSON or as a form.
fn repeats_as_openai(path: &InPath) -> bool {
    !matches!(path.surface.spec().model_at, ModelAt::Path | ModelAt::Query)
}

const fn has_nested(surface: Surface) -> bool {
    matches!(
        surface,
        Surface::GeminiCountTokens | Surface::EmbedContent | Surface::BatchEmbedContents
    )
}

/// Requests in one body that may name the model again; each is an edit. Google's batches are of a hundred.
const NESTED_MAX: usize = 1_024;

/// Where the body says the model again, in order.
fn places(path: &InPath, body: &Body) -> SmallVec<[Range<usize>; 1]> {
    let found = body.scanner.members().get(Member::Model);
    let mut places: SmallVec<[Range<usize>; 1]> = found
        .map(|found| found.last().value())
        .into_iter()
        .collect();
    if has_nested(path.surface) {
        places.extend(nested(&body.bytes));
        places.sort_unstable_by_key(|place| place.start);
    }
    places
}

/// The same of the requests inside.
fn nested(body: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let start = body.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let holders = entries(&body[start..]).filter(|(key, _)| NESTED.contains(key));
    let requests = holders.flat_map(|(_, value)| {
        let one = value.starts_with(b"{").then_some(value);
        one.into_iter().chain(elements(value))
    });
    let models = requests
        .flat_map(entries)
        .filter(|(key, _)| *key == b"model");
    models.map(|(_, value)| {
        // Both are of the same slice.
        let start = value.as_ptr().addr() - body.as_ptr().addr();
        start..start + value.len()
    })
}

fn agrees(path: &InPath, written: &[u8]) -> Result<(), Rejection> {
    let Some(said) = decoded(written) else {
        return Err(Rejection::new(
            Code::InvalidRequest,
            "`model` in the request body must be a string; the path names the model already, so it can be left out.",
        ));
    };
    let said = match path.surface.spec().model_at {
        ModelAt::Path => said.strip_prefix(COLLECTION).unwrap_or(&said),
        ModelAt::JsonBody | ModelAt::Multipart | ModelAt::Query => &*said,
    };
    if *said == *path.name {
        return Ok(());
    }
    Err(Rejection::new(
        Code::InvalidRequest,
        format!(
            "The path names the model `{}` and the request body `{said}`. Name the same in both, or leave it out of the body.",
            path.name
        ),
    ))
}

/// The member `model`, put in before all others.
fn put_in(body: &[u8], model: &str) -> Option<Edit> {
    let at = body.iter().position(|byte| *byte == b'{')? + 1;
    let next = body[at..].iter().find(|byte| !byte.is_ascii_whitespace());
    let comma = if next == Some(&b'}') { "" } else { "," };
    let with = format!("\"model\":{}{comma}", splice::json_string(model));
    Some(Edit {
        range: at..at,
        with: with.into(),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn in_path(surface: Surface, name: &str) -> InPath {
        InPath {
            name: name.into(),
            surface,
            plain: true,
        }
    }

    #[test]
    fn only_a_plain_query_leaves_the_answer_as_it_is() {
        for query in [
            None,
            Some(""),
            Some("alt=sse"),
            Some("key=x&alt=json"),
            Some("k%65y=x"),
        ] {
            assert!(is_plain(query), "{query:?}");
        }
        for query in [
            "fields=x",
            "$fields=x",
            "f%69elds=x",
            "alt=proto",
            "alt=sse&alt=proto",
            "callback=x",
            "alt=%73se",
        ] {
            assert!(!is_plain(Some(query)), "{query}");
        }
    }

    fn body(text: &'static str) -> Body {
        Body::of_bytes(Bytes::from_static(text.as_bytes())).expect("JSON")
    }

    fn edited(surface: Surface, text: &'static str, id: &str, in_route: bool) -> String {
        let body = body(text);
        let made = edits(&in_path(surface, "p:g"), &body, id, in_route).expect("edits");
        let pieces = splice::splice(&body.bytes, &made).expect("spliced");
        String::from_utf8(pieces.as_slice().concat()).expect("text")
    }

    #[test]
    fn what_repeats_the_model_is_changed_with_it() {
        use Surface::{BatchEmbedContents, EmbedContent, GeminiCountTokens, GenerateContent};
        for (surface, text, expected) in [
            (GenerateContent, r#"{"contents":[{"model":"p:g"}]}"#, None),
            (
                GenerateContent,
                r#"{ "model":"models/p:g"}"#,
                Some(r#"{ "model":"models/g"}"#),
            ),
            (
                EmbedContent,
                r#"{"model":"p:g","content":{}}"#,
                Some(r#"{"model":"g","content":{}}"#),
            ),
            (
                BatchEmbedContents,
                r#" {"requests":[{"model":"models/p:g","content":{"model":"x"}}, {"model": "p:g"},{}]}"#,
                Some(
                    r#" {"requests":[{"model":"models/g","content":{"model":"x"}}, {"model": "g"},{}]}"#,
                ),
            ),
            (
                GeminiCountTokens,
                r#"{"generateContentRequest":{"model":"models/p:g","contents":[]}}"#,
                Some(r#"{"generateContentRequest":{"model":"models/g","contents":[]}}"#),
            ),
        ] {
            assert_eq!(edited(surface, text, "g", true), expected.unwrap_or(text));
            assert_eq!(edited(surface, text, "p:g", true), text);
        }
    }

    #[test]
    fn an_openai_body_names_the_model_where_no_path_does() {
        for (text, in_route, expected) in [
            (r#"{"model":"p:g","n":1}"#, false, r#"{"model":"g","n":1}"#),
            (r#" { "n":1}"#, false, r#" {"model":"g", "n":1}"#),
            ("{ }", false, r#"{"model":"g" }"#),
            (r#"{"n":1}"#, true, r#"{"n":1}"#),
            (r#"{"n":1,"models":["x"]}"#, true, r#"{"n":1,"model":"g"}"#),
        ] {
            assert_eq!(
                edited(Surface::Chat, text, "g", in_route),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_path_comes_first_and_the_body_agrees() {
        for (surface, text, expected) in [
            (
                Surface::Chat,
                r#"{"models":["a","p:g","b"]}"#,
                &["p:g", "a", "b"][..],
            ),
            (Surface::Chat, r#"{"model":"p:g"}"#, &["p:g"]),
            (Surface::GenerateContent, r#"{"models":["a"]}"#, &["p:g"]),
            (Surface::EmbedContent, r#"{"model":"models/p:g"}"#, &["p:g"]),
        ] {
            let (path, body) = (in_path(surface, "p:g"), body(text));
            let found = names(&path, &body).expect("names");
            assert_eq!(found.as_slice(), expected, "{text}");
        }
        for (surface, text) in [
            (Surface::Chat, r#"{"model":"g"}"#),
            (Surface::Chat, r#"{"model":"models/p:g"}"#),
            (Surface::Chat, r#"{"model":7}"#),
            (Surface::GenerateContent, r#"{"model":"models/x"}"#),
            (
                Surface::BatchEmbedContents,
                r#"{"requests":[{"model":"p:g"},{"model":"models/x"}]}"#,
            ),
        ] {
            let (path, body) = (in_path(surface, "p:g"), body(text));
            let refused = names(&path, &body).expect_err(text);
            assert_eq!(refused.code, Code::InvalidRequest, "{text}");
        }
    }
}
