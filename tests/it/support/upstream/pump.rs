//! Carries bytes between the wire and an HTTP/2 library, frame by frame, so that a script can put frames of its own
//! between two of the library's, end the connection as it likes, and know what has reached the wire.

use std::collections::HashMap;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use super::frame;
use super::script::End;
use crate::support::socket::{Socket, Stream, Task};

/// Bytes between the library and the wire.
const BUFFER: usize = 256 * 1024;

/// Orders that may wait; more of them wait at the stream that gives them.
const ORDERS: usize = 16;

/// What has been written to the wire for one stream.
#[derive(Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) headers: bool,
    /// Payload bytes of DATA frames.
    pub(super) data: u64,
    pub(super) ended: bool,
    pub(super) reset: bool,
}

enum Order {
    Frames(Vec<u8>),
    End(End),
}

/// The handle of a running pump.
#[derive(Clone)]
pub(super) struct Pump {
    orders: mpsc::Sender<Order>,
    sent: watch::Receiver<HashMap<u32, Sent>>,
}

impl Pump {
    /// Starts a pump on `wire`; the library speaks over the stream that is returned. The receiver yields when the
    /// pump has let go of the wire.
    pub(super) fn start(
        wire: Stream,
        socket: Socket,
    ) -> (Self, DuplexStream, Task, mpsc::Receiver<()>) {
        let (near, far) = tokio::io::duplex(BUFFER);
        let (orders, queue) = mpsc::channel(ORDERS);
        let (sent, seen) = watch::channel(HashMap::new());
        let (over, finished) = mpsc::channel(1);
        let task = Task::spawn(async move {
            run(wire, &socket, far, queue, sent).await;
            drop(socket);
            drop(over);
        });
        (Self { orders, sent: seen }, near, task, finished)
    }

    /// Puts frames on the wire, after what has been sent.
    pub(super) async fn frames(&self, frames: Vec<u8>) {
        let _ = self.orders.send(Order::Frames(frames)).await;
    }

    /// Ends the connection.
    pub(super) async fn end(&self, end: End) {
        let _ = self.orders.send(Order::End(end)).await;
    }

    /// Returns once `condition` holds of what was written for `stream`; never, if the connection ends before.
    pub(super) async fn sent(&mut self, stream: u32, condition: impl Fn(Sent) -> bool) {
        let reached =
            |all: &HashMap<u32, Sent>| condition(all.get(&stream).copied().unwrap_or_default());
        if self.sent.wait_for(reached).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn run(
    wire: Stream,
    socket: &Socket,
    library: DuplexStream,
    orders: mpsc::Receiver<Order>,
    sent: watch::Sender<HashMap<u32, Sent>>,
) {
    let (mut from_peer, mut to_peer) = tokio::io::split(wire);
    let (mut from_library, mut to_library) = tokio::io::split(library);
    let inward = async {
        let _ = tokio::io::copy(&mut from_peer, &mut to_library).await;
        let _ = to_library.shutdown().await;
        std::future::pending::<()>().await;
    };
    let outward = outward(&mut from_library, &mut to_peer, orders, &sent);
    let end = tokio::select! {
        () = inward => End::Abandon,
        end = outward => end,
    };
    match end {
        End::Abandon | End::Silence => {}
        End::Reset => socket.reset_on_close(),
        End::Freeze => std::future::pending().await,
        End::Close => {
            // The library learns of the end now, the peer may take its time.
            drop((from_library, to_library));
            let _ = to_peer.shutdown().await;
            let _ = tokio::io::copy(&mut from_peer, &mut tokio::io::sink()).await;
        }
    }
}

/// Writes whole frames of the library, and orders between them, until one says how to end or the library is done.
async fn outward(
    from_library: &mut ReadHalf<DuplexStream>,
    to_peer: &mut WriteHalf<Stream>,
    mut orders: mpsc::Receiver<Order>,
    sent: &watch::Sender<HashMap<u32, Sent>>,
) -> End {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    loop {
        let whole = whole_frames(&buffer);
        if whole > 0 {
            if write(to_peer, &buffer[..whole]).await.is_err() {
                return End::Abandon;
            }
            note(&buffer[..whole], sent);
            buffer.advance(whole);
        }
        buffer.reserve(BUFFER);
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Frames(frames)) => {
                    if write(to_peer, &frames).await.is_err() {
                        return End::Abandon;
                    }
                }
                Some(Order::End(end)) => return end,
                None => return End::Close,
            },
            read = from_library.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) {
                    return End::Close;
                }
            }
        }
    }
}

async fn write(to_peer: &mut WriteHalf<Stream>, bytes: &[u8]) -> std::io::Result<()> {
    to_peer.write_all(bytes).await?;
    to_peer.flush().await
}

/// How many bytes at the start of `buffer` are whole frames.
fn whole_frames(buffer: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(frame) = frame::parse(&buffer[whole..]) {
        if whole + frame.length > buffer.len() {
            break;
        }
        whole += frame.length;
    }
    whole
}

/// Notes the frames that have been written.
fn note(mut frames: &[u8], sent: &watch::Sender<HashMap<u32, Sent>>) {
    sent.send_modify(|all| {
        while let Some(frame) = frame::parse(frames) {
            let stream = all.entry(frame.stream).or_default();
            match frame.kind {
                frame::DATA => stream.data += (frame.length - frame::HEADER) as u64,
                frame::HEADERS => stream.headers = true,
                frame::RST_STREAM => stream.reset = true,
                _ => {}
            }
            if matches!(frame.kind, frame::DATA | frame::HEADERS) {
                stream.ended |= frame.flags & frame::END_STREAM != 0;
            }
            frames = &frames[frame.length..];
        }
    });
}
