//! HTTP/2 frames by hand (RFC 9113, section 4.1), for what a well-behaved library does not send.
//! Nothing is parsed here but the length of a frame.

/// Length of a frame header, in bytes.
pub const HEADER: usize = 9;

/// Frame type DATA.
pub const DATA: u8 = 0;
/// Frame type HEADERS.
pub const HEADERS: u8 = 1;
/// Frame type `RST_STREAM`.
pub const RST_STREAM: u8 = 3;
/// Frame type GOAWAY.
pub const GOAWAY: u8 = 7;

/// Flag `END_STREAM` of DATA and HEADERS.
pub const END_STREAM: u8 = 1;

/// Error code `NO_ERROR`.
pub const NO_ERROR: u32 = 0;
/// Error code `PROTOCOL_ERROR`.
pub const PROTOCOL_ERROR: u32 = 1;
/// Error code `INTERNAL_ERROR`.
pub const INTERNAL_ERROR: u32 = 2;
/// Error code `REFUSED_STREAM`.
pub const REFUSED_STREAM: u32 = 7;
/// Error code CANCEL.
pub const CANCEL: u32 = 8;
/// Error code `HTTP_1_1_REQUIRED`.
pub const HTTP_1_1_REQUIRED: u32 = 13;

/// A frame of `kind` with `flags` on `stream`.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a frame's payload")
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// GOAWAY: streams above `last` were not processed.
pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), code.to_be_bytes()].concat(),
    )
}

/// `RST_STREAM`.
pub fn rst_stream(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// HEADERS of a response with status 200 whose header block does not end.
pub fn half_headers(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0, stream, &[0x88])
}

/// The frame that `bytes` begin with.
pub struct Parsed {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its length on the wire, header included.
    pub length: usize,
}

/// Reads a frame header; `None` while `bytes` are fewer than one.
pub fn parse(bytes: &[u8]) -> Option<Parsed> {
    let head: &[u8; HEADER] = bytes.first_chunk()?;
    let payload = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    Some(Parsed {
        kind: head[3],
        flags: head[4],
        stream,
        length: HEADER + payload,
    })
}
