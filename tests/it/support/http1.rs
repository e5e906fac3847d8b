//! A minimal HTTP/1.1 reader for both ends: heads, header fields in order, and bodies by their framing, piece by piece.
//! It judges nothing but what it cannot read; writing is left to `client` and `upstream`, who may want it wrong.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Header fields in the order they came, names as they were spelled.
pub type Fields = Vec<(String, String)>;

/// The longest head that is read, in bytes.
const HEAD_MAX: usize = 1024 * 1024;

/// Bytes asked of the socket at a time.
const READ: usize = 256 * 1024;

/// A start line and its header fields.
#[derive(Clone, Debug)]
pub struct Head {
    /// The first line, without its line end.
    pub start: String,
    /// The header fields.
    pub fields: Fields,
}

impl Head {
    /// The part of the start line between its spaces; the third is the rest of the line.
    pub fn word(&self, index: usize) -> Option<&str> {
        self.start.splitn(3, ' ').nth(index)
    }
}

/// The first value of the field `name`, in any case.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// How the end of a body is known, and how far its reader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// This many bytes remain of `Content-Length`.
    Length(u64),
    /// A chunk's size line comes next.
    Chunked,
    /// This many bytes remain of the current chunk.
    Chunk(u64),
    /// The body goes on until the connection ends.
    UntilClose,
    /// Nothing remains.
    Done,
}

impl Body {
    /// The framing that a request's fields announce.
    pub fn of_request(fields: &Fields) -> io::Result<Self> {
        Ok(Self::announced(fields)?.unwrap_or(Self::Done))
    }

    /// The framing of the response to `method` with `status`.
    pub fn of_response(method: &str, status: u16, fields: &Fields) -> io::Result<Self> {
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Self::Done);
        }
        Ok(Self::announced(fields)?.unwrap_or(Self::UntilClose))
    }

    fn announced(fields: &Fields) -> io::Result<Option<Self>> {
        if let Some(coding) = field(fields, "transfer-encoding") {
            if coding.eq_ignore_ascii_case("chunked") {
                return Ok(Some(Self::Chunked));
            }
            return Err(malformed(&format!("transfer-encoding: {coding}")));
        }
        match field(fields, "content-length") {
            None => Ok(None),
            Some(length) => match length.parse() {
                Ok(0) => Ok(Some(Self::Done)),
                Ok(bytes) => Ok(Some(Self::Length(bytes))),
                Err(_) => Err(malformed(&format!("content-length: {length}"))),
            },
        }
    }
}

/// The reading end of a connection. Every method may be cancelled and called again without losing a byte.
pub struct Reader<R> {
    io: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `io`.
    pub fn new(io: R) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
        }
    }

    /// Bytes that were received and not asked for.
    pub fn unread(&self) -> usize {
        self.buffer.len()
    }

    /// The next head; `None` when the connection ended before its first byte.
    ///
    /// # Errors
    /// When the connection fails, ends inside the head, or the head cannot be taken apart.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let bytes = self.buffer.split_to(end + 4);
                return parse(&bytes[..end]).map(Some);
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(malformed("a head without an end"));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(cut("inside a head"))
                };
            }
        }
    }

    /// The next piece of `body`, as it came off the socket but of at most `most` bytes; `None` at its end.
    ///
    /// # Errors
    /// When the connection fails or ends before the body does, or its chunks cannot be read.
    pub async fn piece(&mut self, body: &mut Body, most: u64) -> io::Result<Option<Bytes>> {
        loop {
            match *body {
                Body::Done => return Ok(None),
                Body::Chunked => self.chunk_size(body).await?,
                Body::Length(left) | Body::Chunk(left) => {
                    if self.buffer.is_empty() && !self.fill().await? {
                        return Err(cut("inside a body"));
                    }
                    let length = self
                        .buffer
                        .len()
                        .min(usize::try_from(left.min(most)).unwrap_or(usize::MAX));
                    let piece = self.buffer.split_to(length).freeze();
                    let left = left - length as u64;
                    match *body {
                        Body::Chunk(_) if left == 0 => self.chunk_end(body),
                        Body::Chunk(_) => *body = Body::Chunk(left),
                        _ if left == 0 => *body = Body::Done,
                        _ => *body = Body::Length(left),
                    }
                    return Ok(Some(piece));
                }
                Body::UntilClose => {
                    if self.buffer.is_empty() && !self.fill().await? {
                        *body = Body::Done;
                        return Ok(None);
                    }
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
    }

    /// Waits until the peer ends the connection, in whatever way; what it sends meanwhile is kept unread.
    pub async fn gone(&mut self) {
        while let Ok(true) = self.fill().await {}
    }

    /// Reads and throws away everything until the connection ends.
    pub async fn discard(&mut self) {
        while let Ok(true) = self.fill().await {
            self.buffer.clear();
        }
    }

    /// A chunk's line end is read together with the next size line, so a chunk is handed on as soon as it is whole.
    fn chunk_end(&mut self, body: &mut Body) {
        *body = Body::Chunked;
        if self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
    }

    /// Reads a size line; after the last chunk, its trailer section too.
    async fn chunk_size(&mut self, body: &mut Body) -> io::Result<()> {
        loop {
            // The line end of the chunk before may arrive with this size line.
            let skip = if self.buffer.starts_with(b"\r\n") {
                2
            } else {
                0
            };
            if let Some(end) = find(&self.buffer[skip..], b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[skip..skip + end]).into_owned();
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16)
                    .map_err(|_| malformed(&format!("chunk size {line:?}")))?;
                if size > 0 {
                    self.buffer.advance(skip + end + 2);
                    *body = Body::Chunk(size);
                    return Ok(());
                }
                // The trailer section ends with an empty line; the size line's own end may be part of it.
                if let Some(last) = find(&self.buffer[skip + end..], b"\r\n\r\n") {
                    self.buffer.advance(skip + end + last + 4);
                    *body = Body::Done;
                    return Ok(());
                }
            }
            if !self.fill().await? {
                return Err(cut("before the last chunk"));
            }
        }
    }

    /// Reads more; `false` at the end of the connection.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ);
        Ok(self.io.read_buf(&mut self.buffer).await? > 0)
    }
}

/// Takes a head apart.
///
/// # Errors
/// When a field line has no colon, or a name holds white space (as in a folded line).
pub fn parse(bytes: &[u8]) -> io::Result<Head> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let mut fields = Fields::new();
    for line in lines {
        match line.split_once(':') {
            Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                fields.push((name.to_owned(), value.trim().to_owned()));
            }
            _ => return Err(malformed(&format!("header line {line:?}"))),
        }
    }
    Ok(Head { start, fields })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn cut(place: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the connection ended {place}"),
    )
}
