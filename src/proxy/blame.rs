//! What the end of an attempt says of the endpoint it went to. Pure functions: what the client, its request or a key is
//! to blame for says nothing.

use crate::routing::failover::{self, Happened, Sent, Verdict};

/// What an attempt says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It does its work.
    Good,
    /// It is there; whether it does its work was not tried, or is not known yet.
    Alive,
    /// It failed.
    Bad,
}

/// Of an answer with this status, for as much as its header tells.
#[must_use]
pub fn of_status(status: u16) -> Option<Sign> {
    match status {
        101 | 200..=299 => Some(Sign::Good),
        // Of the key.
        401 | 402 | 403 | 429 => Some(Sign::Alive),
        _ if failover::is_failure(status) => Some(Sign::Bad),
        300..=499 => Some(Sign::Alive),
        _ => None,
    }
}

/// What followed an attempt that brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How it ended.
    pub happened: Happened,
    /// How much of the body the upstream may have got.
    pub sent: Sent,
    /// What was decided.
    pub verdict: Verdict,
    /// Whether a next address is one of the same endpoint.
    pub same_endpoint: bool,
    /// Whether a time is over that the client, or the access key, has made short.
    pub late: bool,
    /// Whether this upstream had refused the request before.
    pub refused: bool,
}

/// Of an attempt that ended without an answer.
#[must_use]
pub fn of_end(end: End) -> Option<Sign> {
    match end.happened {
        _ if end.late => None,
        // One address of several is no more than that.
        Happened::NotConnected | Happened::Lost
            if end.verdict == Verdict::NextAddress && end.same_endpoint =>
        {
            None
        }
        // An upstream may close a connection, and refuse what comes over it, once.
        Happened::Stale => None,
        Happened::Refused if !end.refused => None,
        // An upload that broke: a body may be too large for the upstream.
        Happened::Lost if end.sent == Sent::Part => None,
        Happened::Answered { status, .. } => of_status(status),
        Happened::NotConnected
        | Happened::Refused
        | Happened::FirstByteTimeout
        | Happened::Lost => Some(Sign::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_sign() {
        let table: [(&[u16], Option<Sign>); 4] = [
            (&[101, 200, 201, 204, 206, 299], Some(Sign::Good)),
            (
                &[
                    301, 304, 400, 401, 402, 403, 404, 405, 409, 413, 422, 429, 451, 499,
                ],
                Some(Sign::Alive),
            ),
            (
                &[408, 500, 502, 503, 504, 520, 521, 524, 525, 529],
                Some(Sign::Bad),
            ),
            (&[501, 505, 511, 530, 599, 600], None),
        ];
        for (statuses, sign) in table {
            for status in statuses {
                assert_eq!(of_status(*status), sign, "{status}");
            }
        }
    }

    #[test]
    fn each_end_has_its_sign() {
        use Happened::{FirstByteTimeout, Lost, NotConnected, Refused, Stale};
        use Verdict::{Fail, NextAddress, NextCandidate, Resend};
        let bad = Some(Sign::Bad);
        // What happened, what was sent, what follows, at the same endpoint, refused before: the sign.
        for (happened, sent, verdict, same_endpoint, refused, sign) in [
            (NotConnected, Sent::Nothing, NextAddress, true, false, None),
            (NotConnected, Sent::Nothing, NextAddress, false, false, bad),
            (NotConnected, Sent::Nothing, NextCandidate, true, false, bad),
            (NotConnected, Sent::Nothing, Fail, true, false, bad),
            (Refused, Sent::All, Resend, true, false, None),
            (Stale, Sent::All, Resend, true, false, None),
            (Stale, Sent::All, Fail, true, false, None),
            (Refused, Sent::All, Fail, true, false, None),
            (Refused, Sent::All, NextCandidate, true, true, bad),
            (Refused, Sent::Nothing, Fail, false, true, bad),
            (FirstByteTimeout, Sent::All, NextCandidate, true, false, bad),
            (FirstByteTimeout, Sent::All, Fail, true, false, bad),
            (FirstByteTimeout, Sent::Part, Fail, true, false, bad),
            (Lost, Sent::Nothing, NextCandidate, true, false, bad),
            (Lost, Sent::Nothing, NextAddress, true, false, None),
            (Lost, Sent::Nothing, NextAddress, false, false, bad),
            (Lost, Sent::Part, NextCandidate, true, false, None),
            (Lost, Sent::All, Fail, true, false, bad),
        ] {
            let end = End {
                happened,
                sent,
                verdict,
                same_endpoint,
                refused,
                late: false,
            };
            assert_eq!(of_end(end), sign, "{end:?}");
            assert_eq!(of_end(End { late: true, ..end }), None);
        }
    }
}
