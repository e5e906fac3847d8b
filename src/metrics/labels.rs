//! The label values that are not names of the catalog: closed sets, so that no request can mint a series.

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// What Prometheus sees.
    fn label(self) -> &'static str;

    /// Position in [`Label::ALL`].
    fn index(self) -> usize;
}

/// The status of a response, as much of it as a label holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 101: the connection became something else.
    Informational,
    /// 2xx
    Success,
    /// 3xx
    Redirect,
    /// 4xx
    ClientError,
    /// 5xx, and what is no status at all.
    ServerError,
    /// The client was gone before a response could begin.
    NoResponse,
}

impl StatusClass {
    /// The class of `status`; 0 stands for no response.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            0 => Self::NoResponse,
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

impl Label for StatusClass {
    const ALL: &'static [Self] = &[
        Self::Informational,
        Self::Success,
        Self::Redirect,
        Self::ClientError,
        Self::ServerError,
        Self::NoResponse,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::NoResponse => "none",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Where the credential that went upstream came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialLabel {
    /// The operator's.
    Gateway,
    /// The account's stored provider key.
    Byok,
    /// Sent along by the client.
    Request,
    /// None was sent: the provider wants none, or the request was answered here.
    None,
}

impl Label for CredentialLabel {
    const ALL: &'static [Self] = &[Self::Gateway, Self::Byok, Self::Request, Self::None];

    fn label(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Byok => "byok",
            Self::Request => "request",
            Self::None => "none",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// How one attempt ended. Also the reason of the failover that followed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A response that is passed on, and is no error.
    Ok,
    /// A 4xx that is the caller's: passed on.
    ClientError,
    /// 401, 402, 403: the credential was refused.
    Auth,
    /// 429
    RateLimited,
    /// 408, 5xx
    ServerError,
    /// No connection: DNS, TCP or TLS failed.
    ConnectFailed,
    /// No response header in time.
    Timeout,
    /// The connection was lost before a response header came.
    Broken,
    /// The client went away first.
    Canceled,
    /// None was made: the provider has as many requests under way as it may.
    Full,
    /// None was made: the account has no credit for it.
    NoCredit,
    /// None was made: what it may cost cannot be written down.
    NoStore,
}

impl Label for AttemptOutcome {
    const ALL: &'static [Self] = &[
        Self::Ok,
        Self::ClientError,
        Self::Auth,
        Self::RateLimited,
        Self::ServerError,
        Self::ConnectFailed,
        Self::Timeout,
        Self::Broken,
        Self::Canceled,
        Self::Full,
        Self::NoCredit,
        Self::NoStore,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::ConnectFailed => "connect_failed",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Canceled => "canceled",
            Self::Full => "full",
            Self::NoCredit => "no_credit",
            Self::NoStore => "no_store",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// What a token was used for. Every token is of one kind, so that the sum over the kinds is what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Read, neither from nor for a cache.
    Input,
    /// Read from a cache.
    CachedInput,
    /// Read, and written to a cache.
    CacheWrite,
    /// Written, thoughts left out.
    Output,
    /// Thoughts.
    Reasoning,
}

impl Label for TokenKind {
    const ALL: &'static [Self] = &[
        Self::Input,
        Self::CachedInput,
        Self::CacheWrite,
        Self::Output,
        Self::Reasoning,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite => "cache_write",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Why a body was not kept for a further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayLost {
    /// It is larger than one request's share may be (`limits.replay_request`).
    RequestCap,
    /// The process holds as much as it may (`limits.replay_total`).
    ProcessCap,
}

impl Label for ReplayLost {
    const ALL: &'static [Self] = &[Self::RequestCap, Self::ProcessCap];

    fn label(self) -> &'static str {
        match self {
            Self::RequestCap => "request_cap",
            Self::ProcessCap => "process_cap",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// What an answer said of a provider key that it was asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFailure {
    /// It is not accepted: 401, and what the catalog knows.
    Refused,
    /// No credit is left: 402, and what the catalog knows.
    OutOfCredit,
    /// 429
    RateLimited,
}

impl Label for KeyFailure {
    const ALL: &'static [Self] = &[Self::Refused, Self::OutOfCredit, Self::RateLimited];

    fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::OutOfCredit => "out_of_credit",
            Self::RateLimited => "rate_limited",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<L: Label + PartialEq + std::fmt::Debug>() {
        let mut labels: Vec<_> = L::ALL.iter().map(|value| value.label()).collect();
        assert!(
            L::ALL
                .iter()
                .enumerate()
                .all(|(index, value)| value.index() == index)
        );
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), L::ALL.len());
    }

    #[test]
    fn every_value_stands_at_its_own_index_and_has_its_own_label() {
        check::<StatusClass>();
        check::<CredentialLabel>();
        check::<AttemptOutcome>();
        check::<ReplayLost>();
        check::<KeyFailure>();
        check::<TokenKind>();
    }

    #[test]
    fn a_status_has_the_class_of_its_first_digit() {
        for (status, label) in [
            (0, "none"),
            (101, "1xx"),
            (200, "2xx"),
            (299, "2xx"),
            (304, "3xx"),
            (404, "4xx"),
            (499, "4xx"),
            (503, "5xx"),
            (599, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(StatusClass::of(status).label(), label, "{status}");
        }
    }
}
