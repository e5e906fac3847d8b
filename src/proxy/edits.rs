//! The body of one attempt: the client's bytes with the published edits, in as few pieces as can be.

use http::HeaderValue;

use super::body::Body;
use super::reject::{Code, Rejection};
use crate::model::scan::Member;
use crate::model::splice::{self, Edit, Pieces};

/// A body as it goes upstream.
pub struct Laid {
    /// Its bytes, or those of its beginning.
    pub pieces: Pieces,
    /// `Tollgate-Edits`: the edits by their published names.
    pub names: Option<HeaderValue>,
    /// Its length, where it is known, in bytes.
    pub length: Option<u64>,
}

/// Lays out `body` so that it asks for `model` and for no other.
///
/// # Errors
/// When that cannot be done without the rest of the body.
pub fn lay_out(body: &Body, model: &str) -> Result<Laid, Rejection> {
    let members = body.scanner.members();
    let edits = splice::name_model(&body.bytes, members, model).map_err(|_| unfinished())?;
    let pieces = splice::splice(&body.bytes, &edits).map_err(|_| unfinished())?;
    let listed = members.get(Member::Models).is_some();
    let known = if body.whole {
        Some(body.bytes.len() as u64)
    } else {
        body.declared
    };
    // A body may shrink or grow; what is still on the wire stays as long as it is.
    let rest = known.map(|length| length.saturating_sub(body.bytes.len() as u64));
    Ok(Laid {
        names: names(&edits, listed),
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

/// E1: the value of `model`. E2: the member `models` is taken out. Both at once where there was no
/// `model`, and the first name of `models` took its place.
fn names(edits: &[Edit], listed: bool) -> Option<HeaderValue> {
    let renamed = edits.iter().any(|edit| !edit.with.is_empty());
    let name = match (renamed, listed) {
        (true, true) => "E1, E2",
        (true, false) => "E1",
        (false, true) => "E2",
        (false, false) => return None,
    };
    Some(HeaderValue::from_static(name))
}
