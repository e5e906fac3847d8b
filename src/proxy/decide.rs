//! What becomes of a request whose body has been read, up to the point where something is sent: the names that it asks
//! for, and the candidates for them. A request goes on with it; an explanation stops here.

use super::body::Body;
use super::candidates::{self, Ask, Found, Watch};
use super::members;
use super::reject::Rejection;
use crate::credentials::Source;

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
pub fn decide<'b>(
    ask: &Ask<'_>,
    body: &'b Body,
    watch: &mut impl Watch,
) -> Result<Decision<'b>, Rejection> {
    let read = body.scanner.members();
    members::unambiguous(read)?;
    let names = members::names(read, &body.bytes)?;
    let found = candidates::find(ask, &names, watch)?;
    let mut credentials = found
        .candidates
        .iter()
        .flat_map(|candidate| &*candidate.credentials);
    if credentials.any(|credential| credential.source == Source::Gateway) {
        members::chargeable(read, &body.bytes)?;
    }
    Ok(Decision { names, found })
}
