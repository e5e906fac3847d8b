//! As much of HTTP/1.1 as the mock upstream and the load generator need: heads, `Content-Length`
//! and chunked bodies, keep-alive. Absent: everything that neither of them sends or is sent
//! (upgrades, trailers with a meaning, bodies that end with the connection).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes asked of the kernel at once. Also the longest head that is accepted.
const BUFFER: usize = 256 * 1024;

/// How the length of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`, or none of the two headers: no body.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What is read from a head; all other headers are passed over.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The status of a response; 0 for a request.
    pub status: u16,
    pub framing: Framing,
}

/// One end of a connection, read message after message.
pub struct Reader<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(inner: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Reader {
            inner,
            buffer,
            start: 0,
            end: 0,
        }
    }

    /// The next message's head, or `None` where the peer closed between two messages.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(at) = find(unread, b"\r\n\r\n", searched) {
                let head = parse_head(&unread[..at + 2])?;
                self.start += at + 4;
                return Ok(Some(head));
            }
            searched = unread.len().saturating_sub(3);
            if self.fill().await? == 0 {
                let closed_between = self.start == self.end;
                return if closed_between {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads a body to its end; `each` gets the content piece by piece, without its framing.
    pub async fn body(&mut self, framing: Framing, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut decoder = match framing {
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunked::Size(0)),
        };
        loop {
            self.start += decoder.feed(&self.buffer[self.start..self.end], &mut each)?;
            if decoder.is_done() {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads once more from the connection. 0: the peer has closed it.
    async fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            return Err(io::Error::other("a head of more than 256 KiB"));
        }
        let read = self.inner.read(&mut self.buffer[self.end..]).await?;
        self.end += read;
        Ok(read)
    }
}

fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let found = bytes[from..]
        .windows(needle.len())
        .position(|window| window == needle)?;
    Some(from + found)
}

/// `head` ends with the line end of its last line.
fn parse_head(head: &[u8]) -> io::Result<Head> {
    let bad = || io::Error::other(format!("not HTTP/1.1: {}", String::from_utf8_lossy(head)));
    let text = str::from_utf8(head).map_err(|_| bad())?;
    let mut lines = text.split("\r\n");
    let first = lines.next().ok_or_else(bad)?;
    let status = match first.strip_prefix("HTTP/1.1 ") {
        Some(rest) => rest
            .get(..3)
            .and_then(|code| code.parse().ok())
            .ok_or_else(bad)?,
        None => 0,
    };
    let mut framing = Framing::Length(0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.trim().parse().map_err(|_| bad())?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        }
    }
    Ok(Head { status, framing })
}

enum Decoder {
    /// Bytes still to come.
    Length(u64),
    Chunked(Chunked),
}

/// Where in a chunked body the next byte lies.
#[derive(Clone, Copy)]
enum Chunked {
    /// In a size line, with the digits read so far.
    Size(u64),
    /// In what follows the digits of a size line.
    SizeEnd(u64),
    /// In a chunk, with the bytes still to come.
    Data(u64),
    /// In the line end after a chunk.
    DataEnd,
    /// In the lines after the last chunk, with the length of the current one.
    Trailer(u64),
    Done,
}

impl Decoder {
    fn is_done(&self) -> bool {
        matches!(self, Decoder::Length(0) | Decoder::Chunked(Chunked::Done))
    }

    /// Takes what belongs to the body from the front of `bytes`; the number of bytes taken.
    fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> io::Result<usize> {
        match self {
            Decoder::Length(left) => Ok(take(left, bytes, each)),
            Decoder::Chunked(state) => {
                let mut taken = 0;
                while taken < bytes.len() && !matches!(state, Chunked::Done) {
                    taken += state.feed(&bytes[taken..], each)?;
                }
                Ok(taken)
            }
        }
    }
}

impl Chunked {
    /// One step: a whole piece of data, or one byte of framing. `bytes` is not empty.
    fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> io::Result<usize> {
        let byte = bytes[0];
        *self = match *self {
            Chunked::Data(mut left) => {
                let taken = take(&mut left, bytes, each);
                *self = if left == 0 {
                    Chunked::DataEnd
                } else {
                    Chunked::Data(left)
                };
                return Ok(taken);
            }
            Chunked::Size(size) => match (byte as char).to_digit(16) {
                Some(digit) => Chunked::Size(size * 16 + u64::from(digit)),
                None => Chunked::SizeEnd(size),
            },
            Chunked::SizeEnd(0) if byte == b'\n' => Chunked::Trailer(0),
            Chunked::SizeEnd(size) if byte == b'\n' => Chunked::Data(size),
            Chunked::DataEnd if byte == b'\n' => Chunked::Size(0),
            Chunked::Trailer(0) if byte == b'\n' => Chunked::Done,
            Chunked::Trailer(_) if byte == b'\n' => Chunked::Trailer(0),
            Chunked::Trailer(length) if byte != b'\r' => Chunked::Trailer(length + 1),
            Chunked::DataEnd if byte != b'\r' => {
                return Err(io::Error::other("a chunk without end"));
            }
            unchanged => unchanged,
        };
        Ok(1)
    }
}

/// Hands over at most `left` of `bytes`; the number of bytes handed over.
fn take(left: &mut u64, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> usize {
    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    if taken > 0 {
        each(&bytes[..taken]);
        *left -= taken as u64;
    }
    taken
}
