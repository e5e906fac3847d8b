//! Requests that refer to what a provider keeps of earlier ones: a response, a conversation, a prompt. Only the provider that
//! keeps it can serve them, and only on the key that it was made with.
//!
//! Tollgate keeps no list of who made what. Such a request goes to the first provider and the first key that other requests of
//! its kind go to, and nowhere else; where there is no such key, it is refused.

use super::body::Body;
use super::reject::{Code, Rejection};
use crate::model::scan::{Member, says_something};
use crate::surface::Surface;

/// Members that refer to something.
const MEMBERS: [Member; 3] = [
    Member::PreviousResponseId,
    Member::Conversation,
    Member::Prompt,
];

/// The member by which a request refers to something, if it does.
#[must_use]
pub fn of(surface: Surface, body: &Body) -> Option<&'static str> {
    if !surface.has_state() {
        return None;
    }
    let members = body.scanner.members();
    let says = |member: &Member| {
        let found = members.get(*member);
        found.is_some_and(|found| says_something(&body.bytes, found.last()))
    };
    MEMBERS.into_iter().find(says).map(Member::name)
}

/// The refusal where nobody can say which key it was made with.
#[must_use]
pub fn uncertain(member: &str, provider: &str) -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        format!(
            "`{member}` refers to what `{provider}` keeps under one key, and requests are spread over several of yours. Use an access key whose steps name one of them (`byok:NAME`), or send the whole conversation."
        ),
    )
}
