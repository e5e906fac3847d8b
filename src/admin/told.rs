//! Who asks, as the audit calls it, and what is told to it of changes that are not the store's own.

use http::header::HeaderName;
use pingora::http::RequestHeader;
use sha2::{Digest, Sha256};

use super::AdminApp;
use super::answer::{Answer, JSON};
use super::guard::Guard;
use super::route::{Row, Verb};
use crate::store;

/// By this a program says for whom it asks: `cli:alice`.
pub const ACTOR: HeaderName = HeaderName::from_static("tollgate-actor");

/// Letters of [`ACTOR`] that are written down.
const ACTOR_MAX: usize = 64;

/// Bytes of a digest that tell one token from another.
const DIGEST_BYTES: usize = 4;

/// Bytes of an answer that are written down.
const ANSWER_MAX: usize = 1_500;

/// Operations that change nothing, though they are no `GET`.
const LOOKS: &[&str] = &["reconcile"];

/// Whom the guard lets in: a part of the token's digest, which tells an old token from a new one.
pub fn let_in_by(guard: &Guard) -> String {
    match guard {
        Guard::Token(token) => {
            let digest = Sha256::digest(token.expose().as_bytes());
            let part = digest.iter().take(DIGEST_BYTES);
            let hex: String = part.map(|byte| format!("{byte:02x}")).collect();
            format!("token:{hex}")
        }
        Guard::Loopback => "loopback".to_owned(),
        Guard::Socket => "socket".to_owned(),
    }
}

/// Who asks: whom the guard let in, and for whom it says to ask.
pub fn who(let_in: &str, header: &RequestHeader) -> String {
    let said = header
        .headers
        .get(&ACTOR)
        .and_then(|said| said.to_str().ok());
    let is_name = |said: &&str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b":._@-".contains(&byte);
        (1..=ACTOR_MAX).contains(&said.len()) && said.bytes().all(letter)
    };
    match said.filter(is_name) {
        Some(said) => format!("{let_in} {said}"),
        None => let_in.to_owned(),
    }
}

/// Whether what the row does is for us to tell. What is no look is told: the store tells its own changes.
fn is_ours(row: &Row) -> bool {
    row.verb != Verb::Get && !LOOKS.contains(&row.name) && !store::Operation::is_one(row.name)
}

/// Writes down what was asked of the process and how it ended, where it is a change.
pub async fn tell(app: &AdminApp, row: &Row, who: &str, answer: &Answer) {
    if !is_ours(row) {
        return;
    }
    let status = answer.status();
    let outcome = match status.is_success() {
        true => store::DONE.to_owned(),
        false => format!("status_{}", status.as_u16()),
    };
    let said = said(answer);
    let store = app.store.by(who, app.now().as_second());
    let told = store.tell(row.name, "gateway", &outcome, &said);
    if let Err(error) = told.await {
        log::error!("{} by {who} is not in the audit: {error}", row.name);
    }
}

/// What was answered, where it is short.
#[allow(
    clippy::disallowed_methods,
    reason = "an answer of our own to an operator, not a request's body"
)]
fn said(answer: &Answer) -> serde_json::Value {
    let is_json = answer.headers().get(http::header::CONTENT_TYPE);
    let is_json = is_json.is_some_and(|media| media.as_bytes().starts_with(JSON.as_bytes()));
    let short = Some(answer.body()).filter(|body| is_json && body.len() <= ANSWER_MAX);
    let read = short.and_then(|body| serde_json::from_slice(body).ok());
    read.unwrap_or_else(|| serde_json::json!({}))
}
