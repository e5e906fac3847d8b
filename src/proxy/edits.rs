//! The body of one attempt: the client's bytes with the published edits, in as few pieces as can be.

use http::HeaderValue;

use super::body::Body;
use super::reject::{Code, Rejection};
use crate::model::scan::Member;
use crate::model::splice::{self, Edit, Edits, Pieces};

/// A body as it goes upstream.
pub struct Laid {
    /// Its bytes, or those of its beginning.
    pub pieces: Pieces,
    /// `Tollgate-Edits`: the edits by their published names.
    pub names: Option<HeaderValue>,
    /// Its length, where it is known, in bytes.
    pub length: Option<u64>,
}

/// The edits after which `body` asks for `model` and for no other.
///
/// # Errors
/// When that cannot be told without the rest of the body.
pub fn plan(body: &Body, model: &str) -> Result<Edits, Rejection> {
    splice::name_model(&body.bytes, body.scanner.members(), model).map_err(|_| unfinished())
}

/// Lays out `body` so that it asks for `model` and for no other.
///
/// # Errors
/// When that cannot be done without the rest of the body.
pub fn lay_out(body: &Body, model: &str) -> Result<Laid, Rejection> {
    let edits = plan(body, model)?;
    let pieces = splice::splice(&body.bytes, &edits).map_err(|_| unfinished())?;
    let known = if body.whole {
        Some(body.bytes.len() as u64)
    } else {
        body.declared
    };
    // A body may shrink or grow; what is still on the wire stays as long as it is.
    let rest = known.map(|length| length.saturating_sub(body.bytes.len() as u64));
    Ok(Laid {
        names: names(&edits, body),
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

const RENAMED: &str = "E1";
const TAKEN_OUT: &str = "E2";
const BOTH: &str = "E1, E2";

/// The published name of one edit of `body`. E1: the value of `model`. E2: the member `models` is taken out. Both at
/// once where there was no `model`, and the first name of `models` took its place.
#[must_use]
pub fn name(edit: &Edit, body: &Body) -> &'static str {
    let named = body.scanner.members().get(Member::Model).is_some();
    match (edit.with.is_empty(), named) {
        (true, _) => TAKEN_OUT,
        (false, true) => RENAMED,
        (false, false) => BOTH,
    }
}

fn names(edits: &[Edit], body: &Body) -> Option<HeaderValue> {
    let both = edits.len() > 1;
    let name = edits.first().map(|edit| name(edit, body))?;
    Some(HeaderValue::from_static(if both { BOTH } else { name }))
}
