//! Requests that are to become WebSockets. An upstream may answer 101 as soon as it is connected, before it has been told
//! that the request has no body. Pingora then takes that end for the end of the WebSocket, and closes it
//! (cloudflare/pingora issue 946). So the end is not told: it looks, once the header has been written, as if a body were
//! still to come. Where the answer is another one, the request ends with it.

use super::shared::Shared;

/// How far such a request has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Upgrade {
    /// It is no such request.
    #[default]
    No,
    /// Its header has not been written in this attempt.
    Asked,
    /// Its answer is awaited.
    Awaited,
}

impl Upgrade {
    /// An attempt begins.
    pub(super) fn again(&mut self) {
        if matches!(self, Self::Awaited) {
            *self = Self::Asked;
        }
    }
}

impl Shared {
    /// The request is to become a WebSocket.
    pub fn upgrades(&self) {
        self.lock().upgrade = Upgrade::Asked;
    }

    /// The request's header has been written.
    pub(super) fn set_out(&self) {
        let mut state = self.lock();
        if matches!(state.upgrade, Upgrade::Asked) {
            state.upgrade = Upgrade::Awaited;
        }
    }

    pub(super) fn awaits_upgrade(&self) -> bool {
        matches!(self.lock().upgrade, Upgrade::Awaited)
    }
}
