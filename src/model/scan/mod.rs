//! An incremental scanner of JSON request bodies: bytes in, the places of the top-level [`Member`]s
//! out.
//!
//! A body is fed in pieces of any size, as they arrive; the answer does not depend on where they
//! are cut. No former byte is needed again, nothing is allocated, and a [`Scanner`] has one fixed
//! size. The whole document is checked against the grammar of RFC 8259, nested values too, so that
//! what is found is what any other exact parser finds. No value is interpreted here except on
//! demand ([`string_value`], [`model_list`], [`elements`], [`entries`]), and nothing is changed.
//!
//! Decisions where RFC 8259 leaves room, and where parsers differ:
//!
//! - The top-level value must be an object ([`Flaw::NotAnObject`]).
//! - One UTF-8 byte order mark at the very start is passed over (section 8.1 allows it). Parsers
//!   pass over it or refuse the document, as `serde_json` does; none reads another `model` because
//!   of it.
//! - A member that occurs twice, a key written with escapes, and a key that differs from a name in
//!   letter case only (some parsers take it for the name) are reported, see [`Members`]; whether to
//!   refuse is the caller's choice.
//! - Escapes must be well-formed, but surrogates need not be paired: a lone one is the upstream's
//!   matter. Raw control characters (below U+0020) in strings are refused.
//! - Bytes above 0x7F in strings are passed over unchecked, so that a body in broken UTF-8 is
//!   accepted: the names looked for are ASCII, and a byte above 0x7F is part of none.
//! - Numbers follow the grammar and have no range: `1e400` and a thousand digits are numbers.
//! - Containers nested deeper than [`DEPTH_MAX`], and bodies longer than [`BODY_MAX`], are refused.
//! - After the object only white space may follow.

mod escapes;
mod flaw;
mod key;
mod long;
mod member;
mod parts;
mod plain;
mod scanner;
mod stack;
mod string;
mod token;
mod value;

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "serde_json is the slow twin of what is tested"
)]
mod tests;

pub use flaw::{Flaw, Malformed};
pub use member::{Found, Kind, Member, Members, Occurrence};
pub use parts::{Elements, Entries, elements, entries, raw, says_something, whole_number};
pub use scanner::{BODY_MAX, Progress, Scanner};
pub use stack::DEPTH_MAX;
pub use value::{ListError, ListedModel, MODELS_MAX, decoded, model_list, string_value};
