//! A body of known length that may be kept is read from the client's connection to where it stays, past Pingora's session
//! (`inbound.rs`), which is told afterwards how much of it is gone.

use std::mem;

use http::header::CONTENT_LENGTH;
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::server::HttpSession;

use super::{Reader, Reading, Unread, in_time, slow};
use crate::proxy::inbound::Inbound;

impl<R: Reading> Reader<'_, R> {
    /// Reads all of the body where it can be read so; false where it cannot, and nothing of it was.
    pub(super) async fn read_directly(
        &mut self,
        session: &mut ServerSession,
    ) -> Result<bool, Unread> {
        let length = self.declared.filter(|_| self.lost.is_none());
        let length = length.and_then(|length| usize::try_from(length).ok());
        let (Some(length), Some(inbound)) = (length, Inbound::before_body(session)) else {
            return Ok(false);
        };
        let read = self.read_from(inbound, length).await;
        let left = length - self.rest.len();
        if matches!(read, Err(Unread::Gone)) || !tell(session, left) {
            // Where the next request would begin is not known.
            session.set_keepalive(None);
            return Err(Unread::Gone);
        }
        read.map(|()| true)
    }

    async fn read_from(&mut self, inbound: &Inbound, length: usize) -> Result<(), Unread> {
        self.rest = inbound.begun(length);
        self.came(0)?;
        while self.rest.len() < length {
            let before = self.rest.len();
            self.read_some(inbound, length).await?;
            self.came(before)?;
        }
        Ok(())
    }

    /// Reads what there is, in the client's time.
    async fn read_some(&mut self, inbound: &Inbound, length: usize) -> Result<(), Unread> {
        let Self { rest, pace, .. } = self;
        match in_time(pace, inbound.read(rest, length)).await? {
            Ok(1..) => Ok(()),
            _ => Err(Unread::Gone),
        }
    }

    /// Takes in what is behind the first `before` bytes.
    fn came(&mut self, before: usize) -> Result<(), Unread> {
        let new = &self.rest[before..];
        self.length += new.len() as u64;
        if !new.is_empty() && !self.pace.keep(new.len() as u64) {
            return Err(slow().into());
        }
        Ok(self.scanner.feed(new)?)
    }
}

/// Has Pingora's session know that all of the body but its last `left` bytes has been read; false where it is of another mind.
fn tell(session: &mut ServerSession, left: usize) -> bool {
    match session {
        ServerSession::H1(session) => begin(session, left).is_ok_and(|done| done == (left == 0)),
        _ => false,
    }
}

/// Begins a body of `left` bytes; whether it is over. Pingora goes by the header when it is first asked for the body, so it
/// sees another one then.
fn begin(session: &mut HttpSession, left: usize) -> Result<bool> {
    let mut seen = RequestHeader::from(http::Request::new(()).into_parts().0);
    if left > 0 {
        seen.insert_header(CONTENT_LENGTH, left)?;
    }
    let header = mem::replace(session.req_header_mut(), seen);
    let done = session.is_body_done();
    *session.req_header_mut() = header;
    Ok(done)
}

#[cfg(test)]
mod tests;
