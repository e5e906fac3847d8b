//! What the process that serves and the one that is to take over say to one another: a line of JSON each, over a pair of
//! connected sockets, over which the listening sockets go as well. The new process finds its end as its standard input.
//!
//! ```text
//! old                                  new
//!  ├── Sockets, with the sockets ──────>│   (waits in the channel until it is read)
//!  │<────────────────── Started, Failed ┤   by the launcher: the process there is, or why there is none
//!  │<─────────────────── Ready, Failed ─┤   everything is read and opened; nothing is accepted yet
//!  ├── Go, or Stop ────────────────────>│
//!  │<────────────────────────── Serving ┤   connections are accepted, by both
//!  ├── Main ───────────────────────────>│   the old one accepts no more, and lets go of the ledger
//! ```
//!
//! Until `Serving` has come the old process has given nothing up, so it goes on where that does not come.
//!
//! Programs of different versions talk to one another here: members may be added, and what is not known is passed over.
#![allow(
    clippy::disallowed_methods,
    reason = "a few short lines between two processes of ours; no request waits for them"
)]

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Names the part of a process in an upgrade.
pub const VARIABLE: &str = "TOLLGATE_UPGRADE";

/// The most sockets that go over at one time; the system's bound is 253.
pub const SOCKETS_MAX: usize = 250;

/// The longest line, in bytes.
pub const LINE_MAX: usize = 64 << 10;

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Requests.
    Public,
    /// The admin API.
    Admin,
}

/// A listening socket, by what the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// What it is for.
    pub purpose: Purpose,
    /// Where the configuration says it is: IP:PORT, or a path.
    pub place: String,
}

/// Said by the one that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Old {
    /// The listening sockets that go with this line, in this order.
    Sockets(Vec<Name>),
    /// Accept connections.
    Go(Go),
    /// You are the service's main process, as systemd was told; and what was said with [`Old::Go`], as it is now.
    Main(Go),
    /// End.
    Stop,
}

/// What the one that takes over has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Go {
    /// A reload was asked for meanwhile.
    pub reload: bool,
    /// `/readyz` is to say 503.
    pub drained: bool,
    /// [`Old::Main`] follows.
    pub main_follows: bool,
    /// The ledger is another process's, and does not come with this.
    pub ledger_elsewhere: bool,
}

/// Said by the one that is to take over, or by who starts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum New {
    /// The process of this id is there.
    Started(u32),
    /// It cannot take over, for these reasons.
    Failed(Vec<String>),
    /// Everything is read and opened.
    Ready,
    /// Connections are accepted.
    Serving,
}

/// `said` as a line.
///
/// # Errors
/// None that is known; serialization's.
pub fn line(said: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    Ok(line)
}

/// What a line says.
///
/// # Errors
/// It is none of what is said here.
pub fn read<T: DeserializeOwned>(line: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(line)?)
}

/// Says which listening sockets there are, and sends them along.
///
/// # Errors
/// The system's, or there are more than [`SOCKETS_MAX`].
pub fn send_sockets(channel: &impl AsFd, sockets: &[(Name, OwnedFd)]) -> io::Result<()> {
    if sockets.len() > SOCKETS_MAX {
        return Err(io::Error::other(format!(
            "{} listening sockets are more than the {SOCKETS_MAX} that can be handed over",
            sockets.len()
        )));
    }
    let names = sockets.iter().map(|(name, _)| name.clone()).collect();
    let line = line(&Old::Sockets(names))?;
    let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    let sent = sendmsg(
        channel,
        &[IoSlice::new(&line)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    if sent == line.len() {
        Ok(())
    } else {
        Err(io::Error::other("the listening sockets went over in part"))
    }
}

/// Takes the first line, and the listening sockets that come with it.
///
/// # Errors
/// The system's, or something else was said.
pub fn receive_sockets(channel: &mut (impl AsFd + Read)) -> io::Result<Vec<(Name, OwnedFd)>> {
    let mut line = vec![0; LINE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        &*channel,
        &mut [IoSliceMut::new(&mut line)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    line.truncate(received.bytes);
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        if line.len() >= LINE_MAX || channel.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend(byte);
    }
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    match read(&line)? {
        Old::Sockets(names) if names.len() == sockets.len() => {
            Ok(names.into_iter().zip(sockets).collect())
        }
        _ => Err(io::Error::other(
            "the process before hands over its listening sockets in a way that is not known",
        )),
    }
}

/// Whether the other end is gone: also where it left something unread.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Reads one line, a byte at a time: there are few, and what comes after it stays where it is.
///
/// # Errors
/// The system's; [`is_gone`] when the other end is.
pub fn read_line<T: DeserializeOwned>(channel: &mut impl Read) -> io::Result<T> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        channel.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return read(&line);
        }
        if line.len() >= LINE_MAX {
            return Err(io::Error::other("a line without an end"));
        }
        line.extend(byte);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sockets_go_over_with_their_names_and_are_closed_at_the_next_exec() {
        let (old, mut new) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let name = Name {
            purpose: Purpose::Public,
            place: "127.0.0.1:0".to_owned(),
        };
        send_sockets(&old, &[(name.clone(), listener.into())]).unwrap();
        (&old).write_all(&line(&Old::Stop).unwrap()).unwrap();
        let mut sockets = receive_sockets(&mut new).unwrap();
        assert_eq!(read_line::<Old>(&mut new).unwrap(), Old::Stop);
        assert_eq!(sockets.len(), 1);
        let (named, socket) = sockets.remove(0);
        assert_eq!(named, name);
        let flags = rustix::io::fcntl_getfd(&socket).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let listener = TcpListener::from(socket);
        assert_eq!(listener.local_addr().unwrap(), address);
        TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let go = read::<Old>(br#"{"go":{"reload":true,"later":1}}"#).unwrap();
        let reload = Go {
            reload: true,
            ..Go::default()
        };
        assert_eq!(go, Old::Go(reload));
        assert!(read::<New>(br#""sung""#).is_err());
    }

    #[test]
    fn an_end_that_is_gone_and_a_line_that_does_not_end_are_errors() {
        let (old, mut new) = UnixStream::pair().unwrap();
        (&old).write_all(b"\"ready").unwrap();
        drop(old);
        assert!(read_line::<New>(&mut new).is_err());
        assert!(receive_sockets(&mut new).is_err());
        let endless = vec![b' '; LINE_MAX + 1];
        assert!(read_line::<New>(&mut &endless[..]).is_err());
    }
}
