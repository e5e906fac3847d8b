//! A request's header and what is in memory of its body in as few segments as hold them, to an HTTP/1.1 upstream whose connection
//! cannot be told what is coming (`upstream/joined.rs`): under TLS, and where not all of the body is in memory.
//!
//! Pingora writes and flushes the header by itself, then each piece. Sent so, a small request is two packets, and its receiver
//! is woken twice, which is a tenth of the CPU time of a request of 1 KiB; a body of which a member is replaced near its end has a
//! last piece of some bytes. The socket is corked (tcp(7), `TCP_CORK`) before the header is written, and uncorked when Pingora
//! lets go of the last piece that is in memory, which it does as soon as that is written. What fills a segment leaves meanwhile,
//! and the next piece is handed over when the last is written, so that nothing waits.
//!
//! Not here: which attempts are corked (`join_writes`), and the piece's way (`flow.rs`).

#![expect(
    unsafe_code,
    reason = "Pingora tells the number of the socket, and no more"
)]

use std::os::fd::{BorrowedFd, RawFd};

/// The socket of an attempt, corked until this is dropped.
///
/// It lives in a piece of the body, which exists only while Pingora proxies the attempt over that socket.
#[derive(Debug)]
pub struct Corked(RawFd);

/// Corks the socket `fd`, over which Pingora is about to write; false where that cannot be done.
pub(super) fn cork(fd: RawFd) -> bool {
    set(fd, true)
}

impl Corked {
    /// Takes over the uncorking of `fd`.
    pub(super) fn new(fd: RawFd) -> Self {
        Self(fd)
    }
}

impl Drop for Corked {
    fn drop(&mut self) {
        set(self.0, false);
    }
}

fn set(fd: RawFd, corked: bool) -> bool {
    // -1 stands for none, and may not be borrowed.
    if fd < 0 {
        return false;
    }
    // SAFETY: the number is that of the upstream's socket, which Pingora keeps open while it proxies the attempt; both callers
    // run in that time, and the borrow ends with this call.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::net::sockopt::set_tcp_cork(socket, corked).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use bytes::Bytes;
    use rustix::net::sockopt::tcp_cork;

    use super::*;
    use crate::proxy::flow;

    #[test]
    fn a_socket_is_corked_until_the_piece_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(cork(socket.as_raw_fd()));
        assert!(tcp_cork(&socket).unwrap());
        let piece = flow::held(
            Bytes::from_static(b"piece"),
            Corked::new(socket.as_raw_fd()),
        );
        let part = piece.slice(1..);
        drop(piece);
        assert!(tcp_cork(&socket).unwrap(), "a part of it is on its way");
        drop(part);
        assert!(!tcp_cork(&socket).unwrap());
    }

    #[test]
    fn what_is_no_tcp_socket_is_left_alone() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!cork(file.as_raw_fd()));
        assert!(!cork(-1));
    }
}
