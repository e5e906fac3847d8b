//! What the scanned members of a body say: which models are asked for, and whether the body says
//! so in one way only.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::reject::{Code, Rejection};
use crate::model::scan::{Kind, Member, Members, model_list, string_value};
use crate::model::stream_options;

/// The names that a body asks for; nearly always one.
pub type Names<'a> = SmallVec<[Cow<'a, str>; 1]>;

/// Refuses a body that names its model twice, or in a way that some parsers overlook: under a key
/// written with escapes, or in other letter case.
///
/// # Errors
/// [`Code::AmbiguousModel`].
pub fn unambiguous(members: &Members) -> Result<(), Rejection> {
    for member in [Member::Model, Member::Models] {
        if let Some(how) = twofold(members, member) {
            let name = member.name();
            return Err(Rejection::new(
                Code::AmbiguousModel,
                format!(
                    "The member `{name}` {how} in the request body. Write it once, in plain lower-case letters."
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses a body that says any other member of weight in two ways; it would be charged by one of
/// them and served by the other.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn chargeable(members: &Members, body: &[u8]) -> Result<(), Rejection> {
    said_once(members)?;
    stream_options::check(body, members).map_err(|unclear| {
        let words = format!("{unclear}. Write it once, in plain lower-case letters.");
        Rejection::new(Code::InvalidRequest, words)
    })
}

/// Refuses a body of which more has come, if that could change what it costs: it is under way already.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn costs_no_more(before: &Members, now: &Members) -> Result<(), Rejection> {
    said_once(now)?;
    let came = |member: &&Member| now.get(**member).is_some() && before.get(**member).is_none();
    let weighty = Member::ALL.iter().filter(|member| !is_light(**member));
    match weighty.clone().find(came) {
        None => Ok(()),
        Some(member) => Err(Rejection::new(
            Code::InvalidRequest,
            format!(
                "In a body this large, on the gateway's credential, `{}` must come before the rest.",
                member.name()
            ),
        )),
    }
}

/// Whether a member can come late: of itself it costs nothing.
fn is_light(member: Member) -> bool {
    matches!(
        member,
        Member::Model
            | Member::Models
            | Member::Stream
            | Member::StreamOptions
            | Member::PromptCacheKey
            | Member::SessionId
    )
}

fn said_once(members: &Members) -> Result<(), Rejection> {
    // All that are looked for are read for routing or money.
    for member in Member::ALL {
        if let Some(how) = twofold(members, member) {
            let name = member.name();
            return Err(Rejection::new(
                Code::InvalidRequest,
                format!(
                    "The member `{name}` {how} in the request body. Write it once, in plain lower-case letters."
                ),
            ));
        }
    }
    Ok(())
}

fn twofold(members: &Members, member: Member) -> Option<&'static str> {
    if members.is_repeated(member) {
        Some("occurs twice")
    } else if members.is_escaped(member) {
        Some("is written with escapes")
    } else if members.has_look_alike(member) {
        Some("occurs in other letter case")
    } else {
        None
    }
}

/// The names asked for, in order: `model`, then those of `models`, without repetition.
///
/// # Errors
/// [`Code::InvalidRequest`] when there is none, or one is not a string.
pub fn names<'a>(members: &Members, body: &'a [u8]) -> Result<Names<'a>, Rejection> {
    let mut names = Names::new();
    if let Some(found) = members.get(Member::Model) {
        let name = string_value(body, found.last()).filter(|name| !name.is_empty());
        names.push(name.ok_or_else(|| {
            not_a_name("`model` must be a non-empty string, for example \"openai:gpt-4o\".")
        })?);
    }
    if let Some(found) = members.get(Member::Models) {
        let list = model_list(body, found.last()).map_err(|_| {
            not_a_name("`models` must be an array of model names (strings), at most 64.")
        })?;
        for listed in list {
            if listed.name.is_empty() {
                return Err(not_a_name("`models` holds an empty name."));
            }
            if !names.contains(&listed.name) {
                names.push(listed.name);
            }
        }
    }
    if names.is_empty() {
        return Err(not_a_name(
            "The request body names no model. Add a top-level `model`, for example \"openai:gpt-4o\".",
        ));
    }
    Ok(names)
}

fn not_a_name(message: &'static str) -> Rejection {
    Rejection::new(Code::InvalidRequest, message)
}

/// Whether the client asked for a stream.
#[must_use]
pub fn streamed(members: &Members) -> bool {
    members
        .get(Member::Stream)
        .is_some_and(|found| found.last().kind() == Kind::True)
}
