//! What the admin listener refuses, and with which words: a code, its status, one form of body.
//! The only place that picks a status.

use std::time::Duration;

use http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{self, Answer};
use crate::store::StoreError;

/// Why a request of an operator's is refused. The names are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A parameter or the body is malformed, or holds something unknown.
    InvalidRequest,
    /// The token is missing or wrong.
    InvalidToken,
    /// The request comes from a web page.
    NotForWebPages,
    /// Too many wrong tokens came from where this one does.
    TooManyTries,
    /// There is nothing at the path.
    UnknownPath,
    /// There is no such account.
    UnknownAccount,
    /// There is no such access key.
    UnknownKey,
    /// There is no such grant.
    UnknownGrant,
    /// There is no such stored provider key.
    UnknownProviderKey,
    /// There is no such request.
    UnknownRequest,
    /// The path takes other methods.
    MethodNotAllowed,
    /// There is an account of this name.
    AccountExists,
    /// The account is closed.
    AccountClosed,
    /// The account has open holds.
    HasHolds,
    /// The idempotency key is that of another grant.
    OtherGrant,
    /// The account has a provider key of this name for the provider.
    ProviderKeyExists,
    /// The account has as many provider keys for the provider as it may.
    TooManyProviderKeys,
    /// The configuration names no master key, or none that can be read.
    NoMasterKey,
    /// The access key is revoked for good.
    KeyRevoked,
    /// No such version of the catalog is kept.
    NotKept,
    /// Another upgrade is under way.
    UpgradeInProgress,
    /// The body is larger than the path takes.
    BodyTooLarge,
    /// The body is no JSON by its `Content-Type`, or it is compressed.
    UnsupportedMediaType,
    /// Well formed, but refused for what it says.
    Unprocessable,
    /// No catalog is in use yet.
    NotReady,
    /// The store does not answer.
    StoreUnavailable,
    /// As many requests are under way as may be.
    Overloaded,
}

impl Code {
    /// What the store refuses, by the names that it has for it.
    const STORE: [Self; 14] = [
        Self::UnknownAccount,
        Self::UnknownKey,
        Self::UnknownGrant,
        Self::UnknownProviderKey,
        Self::AccountExists,
        Self::AccountClosed,
        Self::HasHolds,
        Self::OtherGrant,
        Self::ProviderKeyExists,
        Self::TooManyProviderKeys,
        Self::NoMasterKey,
        Self::KeyRevoked,
        Self::Unprocessable,
        Self::StoreUnavailable,
    ];

    /// Its stable name and its status.
    fn row(self) -> (&'static str, u16) {
        match self {
            Self::InvalidRequest => ("invalid_request", 400),
            Self::InvalidToken => ("invalid_token", 401),
            Self::NotForWebPages => ("not_for_web_pages", 403),
            Self::TooManyTries => ("too_many_tries", 429),
            Self::UnknownPath => ("unknown_path", 404),
            Self::UnknownAccount => ("unknown_account", 404),
            Self::UnknownKey => ("unknown_key", 404),
            Self::UnknownGrant => ("unknown_grant", 404),
            Self::UnknownProviderKey => ("unknown_provider_key", 404),
            Self::UnknownRequest => ("unknown_request", 404),
            Self::MethodNotAllowed => ("method_not_allowed", 405),
            Self::AccountExists => ("account_exists", 409),
            Self::AccountClosed => ("account_closed", 409),
            Self::HasHolds => ("has_holds", 409),
            Self::OtherGrant => ("other_grant", 409),
            Self::ProviderKeyExists => ("provider_key_exists", 409),
            Self::TooManyProviderKeys => ("too_many_provider_keys", 409),
            Self::NoMasterKey => ("no_master_key", 409),
            Self::KeyRevoked => ("key_revoked", 409),
            Self::NotKept => ("not_kept", 409),
            Self::UpgradeInProgress => ("upgrade_in_progress", 409),
            Self::BodyTooLarge => ("body_too_large", 413),
            Self::UnsupportedMediaType => ("unsupported_media_type", 415),
            Self::Unprocessable => ("unprocessable", 422),
            Self::NotReady => ("not_ready", 503),
            Self::StoreUnavailable => ("store_unavailable", 503),
            Self::Overloaded => ("overloaded", 503),
        }
    }

    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().1
    }
}

/// A refusal: what the operator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The methods that the path takes, where it is about that.
    allow: Option<String>,
    /// Seconds after which it may be tried again, where they are known.
    retry_after: Option<u64>,
}

impl Fault {
    /// A refusal with this code and these words.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            allow: None,
            retry_after: None,
        }
    }

    /// The path takes these methods only.
    #[must_use]
    pub fn method(allow: String) -> Self {
        Self {
            code: Code::MethodNotAllowed,
            message: format!("this path takes {allow}"),
            allow: Some(allow),
            retry_after: None,
        }
    }

    /// Too many wrong tokens have come; the next is read after `wait`.
    #[must_use]
    pub fn barred(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let message =
            format!("too many wrong tokens have come from here; try again in {seconds} s");
        Self {
            retry_after: Some(seconds),
            ..Self::new(Code::TooManyTries, message)
        }
    }

    /// The answer that says so.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let problem = Problem {
            error: Error {
                code: self.code.name(),
                message: &self.message,
            },
        };
        let mut answer = answer::json(self.code.status(), &problem);
        let headers = answer.headers_mut();
        if self.code == Code::InvalidToken {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let soon = (self.code.status() == 503).then_some(1);
        if let Some(seconds) = self.retry_after.or(soon) {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(Ok(allow)) = self.allow.as_deref().map(HeaderValue::from_str) {
            headers.insert(ALLOW, allow);
        }
        answer
    }
}

/// Why the request was refused.
#[derive(Serialize, JsonSchema)]
pub(super) struct Problem<'a> {
    error: Error<'a>,
}

/// A code for programs, and words for people.
#[derive(Serialize, JsonSchema)]
struct Error<'a> {
    /// A stable name.
    code: &'a str,
    /// What is wrong and what to do; may change.
    message: &'a str,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let name = error.refusal();
        let code = name.and_then(|name| Code::STORE.into_iter().find(|code| code.name() == name));
        let code = code.unwrap_or(Code::StoreUnavailable);
        if code == Code::StoreUnavailable {
            log::error!("the admin API could not do what it was asked: {error}");
        }
        Self::new(code, error.to_string())
    }
}
