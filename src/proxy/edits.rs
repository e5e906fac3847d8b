//! The body of one attempt: the client's bytes with the published edits, in as few pieces as can be; and the names of all
//! edits.

use http::HeaderValue;

use super::body::Body;
use super::path_model;
use super::reject::{Code, Rejection};
use crate::catalog::Provider;
use crate::model::scan::Member;
use crate::model::splice::{self, Edit, Edits, Pieces};
use crate::model::stream_options;
use crate::surface::{ModelAt, Surface};

/// A body as it goes upstream.
pub struct Laid {
    /// Its bytes, or those of its beginning.
    pub pieces: Pieces,
    /// The edits that were made.
    pub made: Made,
    /// Its length, where it is known, in bytes.
    pub length: Option<u64>,
}

/// Published edits of a request and its answer, as a set. (E5 shows when their header has gone.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made(u8);

impl Made {
    /// E1: the value of `model`.
    pub const RENAMED: Self = Self(1);
    /// E2: the member `models` is taken out.
    const TAKEN_OUT: Self = Self(2);
    /// E3: `stream_options.include_usage` is set.
    pub const ASKED: Self = Self(4);
    /// E4: the extra event with the usage is taken out of the answer.
    pub const USAGE_OUT: Self = Self(8);
    /// E6: `traceparent` names the span of the attempt.
    pub const TRACED: Self = Self(16);

    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `other` is in it.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Their published names; empty where there are none.
    #[must_use]
    pub fn names(self) -> &'static str {
        const NAMES: [&str; 32] = [
            "",
            "E1",
            "E2",
            "E1, E2",
            "E3",
            "E1, E3",
            "E2, E3",
            "E1, E2, E3",
            "E4",
            "E1, E4",
            "E2, E4",
            "E1, E2, E4",
            "E3, E4",
            "E1, E3, E4",
            "E2, E3, E4",
            "E1, E2, E3, E4",
            "E6",
            "E1, E6",
            "E2, E6",
            "E1, E2, E6",
            "E3, E6",
            "E1, E3, E6",
            "E2, E3, E6",
            "E1, E2, E3, E6",
            "E4, E6",
            "E1, E4, E6",
            "E2, E4, E6",
            "E1, E2, E4, E6",
            "E3, E4, E6",
            "E1, E3, E4, E6",
            "E2, E3, E4, E6",
            "E1, E2, E3, E4, E6",
        ];
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// `Tollgate-Edits`.
    #[must_use]
    pub fn header(self) -> Option<HeaderValue> {
        let names = Some(self.names()).filter(|names| !names.is_empty());
        names.map(HeaderValue::from_static)
    }
}

/// Whether the body of an attempt is made to ask for the usage of its stream: it is charged, and the provider tells its
/// usage only if it is asked.
#[must_use]
pub fn asks_for_usage(
    provider: &Provider,
    surface: Surface,
    charged: bool,
    streamed: bool,
) -> bool {
    streamed && charged && provider.include_usage(surface)
}

/// Edits of a body, in order.
#[derive(Debug, Default)]
pub struct Planned {
    edits: Edits,
    /// Which of them asks for usage.
    asks: Option<usize>,
}

impl Planned {
    /// The edits, each with its published name, or both where there was no `model` and the first name of `models` took
    /// its place.
    pub fn named<'p>(&'p self, body: &'p Body) -> impl Iterator<Item = (&'p Edit, Made)> {
        self.edits.iter().enumerate().map(|(at, edit)| {
            let made = if self.asks == Some(at) {
                Made::ASKED
            } else {
                of_model(edit, body)
            };
            (edit, made)
        })
    }
}

fn of_model(edit: &Edit, body: &Body) -> Made {
    let named = body.scanner.members().get(Member::Model).is_some()
        // Put in where there was none.
        || edit.range.is_empty()
        || of_path(body);
    match (edit.with.is_empty(), named) {
        (true, _) => Made::TAKEN_OUT,
        (false, true) => Made::RENAMED,
        (false, false) => Made::RENAMED.and(Made::TAKEN_OUT),
    }
}

/// Whether the body's surface has the model in the path, so that `models` is nothing there.
fn of_path(body: &Body) -> bool {
    let path = body.in_path.as_deref();
    path.is_some_and(|path| path.surface.spec().model_at == ModelAt::Path)
}

/// The edit of a query that names the model by another name than `model`.
#[must_use]
pub fn of_query(body: &Body, model: &str) -> Made {
    match &body.in_path {
        Some(path) if path.surface.spec().model_at == ModelAt::Query && *path.name != *model => {
            Made::RENAMED
        }
        _ => Made::default(),
    }
}

/// The edits after which `body` asks for `model` and for no other, and for its usage if it is to `ask` for that. A body
/// that can no longer be made to ask for it is left as it is: what it used is estimated then. `in_route`: the provider is
/// told the model in the path.
///
/// # Errors
/// When that cannot be told without the rest of the body.
pub fn plan(body: &Body, model: &str, ask: bool, in_route: bool) -> Result<Planned, Rejection> {
    let members = body.scanner.members();
    let edits = match &body.in_path {
        Some(path) => path_model::edits(path, body, model, in_route),
        None => splice::name_model(&body.bytes, members, model),
    };
    let mut edits = edits.map_err(|_| unfinished())?;
    let asking = ask
        .then(|| stream_options::ask(&body.bytes, members, body.whole))
        .flatten();
    let asks = asking.map(|asking| {
        // What is put in stands before what is taken away behind it.
        let at = edits.partition_point(|edit| edit.range.start < asking.range.start);
        edits.insert(at, asking);
        at
    });
    Ok(Planned { edits, asks })
}

/// Lays out `body` as it was planned.
///
/// # Errors
/// As [`plan`].
pub fn lay_out(body: &Body, model: &str, ask: bool, in_route: bool) -> Result<Laid, Rejection> {
    let planned = plan(body, model, ask, in_route)?;
    let pieces = splice::splice(&body.bytes, &planned.edits).map_err(|_| unfinished())?;
    let known = if body.whole {
        Some(body.bytes.len() as u64)
    } else {
        body.declared
    };
    // A body may shrink or grow; what is still on the wire stays as long as it is.
    let rest = known.map(|length| length.saturating_sub(body.bytes.len() as u64));
    let made = planned.named(body).map(|(_, made)| made);
    Ok(Laid {
        made: made.fold(Made::default(), Made::and),
        length: rest.map(|rest| rest + pieces.total_len() as u64),
        pieces,
    })
}

fn unfinished() -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        "In a body this large, `model` and `models` must come first, before the rest.",
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn laid(body: &'static str, model: &str) -> (String, &'static str) {
        let body = Body::of_bytes(Bytes::from_static(body.as_bytes())).expect("JSON");
        let laid = lay_out(&body, model, true, false).expect("edits");
        let text = laid.pieces.as_slice().concat();
        (String::from_utf8(text).expect("text"), laid.made.names())
    }

    #[test]
    fn usage_is_asked_for_beside_every_other_edit() {
        for (body, model, expected, names) in [
            (
                r#"{"model":"a","stream":true}"#,
                "a",
                r#"{"model":"a","stream":true,"stream_options":{"include_usage":true}}"#,
                "E3",
            ),
            (
                r#"{"stream":true,"models":["a"],"model":"x"}"#,
                "a",
                r#"{"stream":true,"stream_options":{"include_usage":true},"model":"a"}"#,
                "E1, E2, E3",
            ),
            (
                r#"{"models":["a"],"stream":true}"#,
                "a",
                r#"{"model":"a","stream":true,"stream_options":{"include_usage":true}}"#,
                "E1, E2, E3",
            ),
            (
                r#"{"stream_options":{"include_usage":false},"stream":true,"model":"a","models":["a"]}"#,
                "a",
                r#"{"stream_options":{"include_usage":true},"stream":true,"model":"a"}"#,
                "E2, E3",
            ),
            (
                r#"{"model":"x","stream":true,"stream_options":{"include_usage":true}}"#,
                "a",
                r#"{"model":"a","stream":true,"stream_options":{"include_usage":true}}"#,
                "E1",
            ),
        ] {
            assert_eq!(laid(body, model), (expected.to_owned(), names), "{body}");
        }
    }

    #[test]
    fn edits_have_their_names() {
        assert_eq!(Made::default().header(), None);
        let all = Made::ASKED.and(Made::USAGE_OUT);
        assert_eq!(all.header().expect("a value"), "E3, E4");
        let traced = all.and(Made::TRACED);
        assert_eq!(traced.header().expect("a value"), "E3, E4, E6");
        assert!(all.has(Made::ASKED) && !all.has(Made::RENAMED));
    }
}
