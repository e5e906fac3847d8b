//! What becomes of a request whose body has been read, up to the point where something is sent: the names that it asks
//! for, and the candidates for them. A request goes on with it; an explanation stops here.

use super::candidates::{self, Ask, Found, Watch};
use super::members;
use super::path_model;
use super::reject::Rejection;

/// What was decided.
pub struct Decision<'b> {
    /// The names asked for, in order, without repetition; at least one.
    pub names: members::Names<'b>,
    /// What they come to.
    pub found: Found,
}

/// Decides; `watch` is told what leads to it.
///
/// # Errors
/// The refusal that the client gets.
pub fn decide<'b>(ask: &Ask<'b>, watch: &mut impl Watch) -> Result<Decision<'b>, Rejection> {
    let body = ask.body;
    let read = body.scanner.members();
    members::unambiguous(read)?;
    let names = match &body.in_path {
        Some(path) => path_model::names(path, body)?,
        None => members::names(read, &body.bytes)?,
    };
    let found = candidates::find(ask, &names, watch)?;
    Ok(Decision { names, found })
}
