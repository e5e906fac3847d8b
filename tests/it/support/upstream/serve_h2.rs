//! An upstream that speaks HTTP/2: carries out the steps of a script on each stream of one connection.
//! Which steps those are is said in `script`; frames that a library would not send go through `pump`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::task::JoinSet;

use super::delivery::{Connected, Delivery, Framing, Recorder};
use super::pump::Pump;
use super::reply::{Piece, Reply, ReplyFraming};
use super::script::{Behaviour, End, Step, Upto};
use super::{Shared, frame};
use crate::support::socket::{Socket, Stream};

/// The most that `ReadSlowly` takes between two pauses, in bytes.
const SLOW_PIECE: u64 = 16 * 1024;

/// What the server announces in its SETTINGS.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Window of a stream, in bytes.
    pub stream_window: u32,
    /// Window of the connection, in bytes (at least 65,535).
    pub connection_window: u32,
    /// `MAX_CONCURRENT_STREAMS`.
    pub streams_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            streams_max: 100,
        }
    }
}

/// Why the steps of a request stopped early.
enum Stop {
    End(End),
    Lost,
}

impl From<h2::Error> for Stop {
    fn from(_: h2::Error) -> Self {
        Self::Lost
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: Stream,
    socket: Socket,
    connected: Connected,
    shared: Arc<Shared>,
) {
    let (pump, near, _pumping, mut finished) = Pump::start(stream, socket);
    let handshake = h2::server::Builder::new()
        .initial_window_size(shared.settings.stream_window)
        .initial_connection_window_size(shared.settings.connection_window)
        .max_concurrent_streams(shared.settings.streams_max)
        .max_send_buffer_size(4 << 20)
        .handshake::<_, Bytes>(near)
        .await;
    let mut connection = match handshake {
        Ok(connection) => connection,
        Err(error) => {
            return shared
                .log
                .complain(format!("connection {}: {error}", connected.number));
        }
    };
    let mut exchanges = JoinSet::new();
    loop {
        tokio::select! {
            next = connection.accept() => match next {
                Some(Ok((request, respond))) => {
                    let (pump, shared) = (pump.clone(), shared.clone());
                    exchanges.spawn(exchange(request, respond, pump, connected.number, shared));
                }
                Some(Err(error)) if error.is_go_away() && error.is_library() => {
                    shared.log.complain(format!("connection {}: {error}", connected.number));
                    break;
                }
                _ => break,
            },
            Some(_) = exchanges.join_next() => {}
        }
    }
    drop(connection);
    let _ = finished.recv().await;
    drop(connected);
    while exchanges.join_next().await.is_some() {}
}

/// Serves one stream.
async fn exchange(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    pump: Pump,
    connection: usize,
    shared: Arc<Shared>,
) {
    let recorder = shared.log.arrived(delivery(&request, connection));
    let behaviour = shared.script.next(&recorder.delivery());
    let id = respond.stream_id().as_u32();
    let body = request.into_body();
    let mut exchange = Exchange {
        recorder,
        body,
        respond,
        stream: None,
        pump,
        id,
        data: 0,
        ended: false,
    };
    match exchange.run(behaviour).await {
        Ok(()) => {}
        Err(Stop::Lost) => exchange.recorder.gone(),
        Err(Stop::End(End::Silence)) => {
            exchange.gone().await;
            exchange.recorder.gone();
        }
        Err(Stop::End(end)) => exchange.pump.end(end).await,
    }
}

/// One request and its answer.
struct Exchange {
    recorder: Recorder,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// Where the response body goes, once its head was sent.
    stream: Option<SendStream<Bytes>>,
    pump: Pump,
    id: u32,
    /// Response body bytes handed to the library.
    data: u64,
    /// Whether the response was sent to its end.
    ended: bool,
}

impl Exchange {
    async fn run(&mut self, behaviour: Behaviour) -> Result<(), Stop> {
        if self.body.is_end_stream() {
            self.recorder.complete();
        }
        for step in behaviour.steps {
            self.step(step).await?;
        }
        self.read(u64::MAX).await
    }

    async fn step(&mut self, step: Step) -> Result<(), Stop> {
        match step {
            Step::Read => self.read(u64::MAX).await?,
            Step::ReadUntil(bytes) => self.read(bytes).await?,
            Step::ReadSlowly(pause) => self.read_slowly(pause).await?,
            Step::Hold(gate) => gate.pass().await,
            Step::Pause(time) => self.pause(time).await?,
            Step::Send(reply, upto) => self.send(&reply, upto).await?,
            Step::Raw(bytes) => self.pump.frames(bytes.to_vec()).await,
            Step::Frames(frames) => self.pump.frames(frames(self.id)).await,
            Step::ResetStream(code) => self.reset(code).await,
            Step::End(end) => return Err(Stop::End(end)),
        }
        Ok(())
    }

    /// Reads the body until `bytes` of it have arrived, or its end.
    async fn read(&mut self, bytes: u64) -> Result<(), Stop> {
        while self.recorder.length() < bytes {
            match self.body.data().await {
                None => {
                    self.recorder.complete();
                    return Ok(());
                }
                Some(piece) => {
                    let piece = piece?;
                    self.recorder.piece(&piece);
                    self.body.flow_control().release_capacity(piece.len())?;
                }
            }
        }
        Ok(())
    }

    async fn read_slowly(&mut self, pause: Duration) -> Result<(), Stop> {
        let mut next = self.recorder.length();
        while !self.body.is_end_stream() {
            tokio::time::sleep(pause).await;
            next += SLOW_PIECE;
            self.read(next).await?;
        }
        self.read(u64::MAX).await
    }

    /// Waits for `time`, or until the peer goes away.
    async fn pause(&mut self, time: Duration) -> Result<(), Stop> {
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.gone() => Err(Stop::Lost),
        }
    }

    /// Returns when the peer has reset the stream or the connection has ended.
    async fn gone(&mut self) {
        poll_fn(|cx| match &mut self.stream {
            Some(stream) => stream.poll_reset(cx).map(drop),
            None => self.respond.poll_reset(cx).map(drop),
        })
        .await;
    }

    async fn send(&mut self, reply: &Reply, upto: Upto) -> Result<(), Stop> {
        if upto == Upto::HalfHead {
            self.pump.frames(frame::half_headers(self.id)).await;
            return Ok(());
        }
        let whole = upto == Upto::End;
        let bare = whole && reply.pieces.is_empty();
        self.stream = Some(self.respond.send_response(head(reply), bare)?);
        self.ended = bare;
        self.flushed().await?;
        let mut room = if let Upto::Bytes(bytes) = upto {
            bytes
        } else {
            usize::MAX
        };
        for (index, piece) in reply.pieces.iter().enumerate() {
            if room == 0 {
                return Ok(());
            }
            let last = whole && index + 1 == reply.pieces.len();
            self.send_piece(piece, &mut room, last).await?;
        }
        Ok(())
    }

    async fn send_piece(
        &mut self,
        piece: &Piece,
        room: &mut usize,
        last: bool,
    ) -> Result<(), Stop> {
        self.pause(piece.pause).await?;
        if let Some(gate) = &piece.gate {
            gate.pass().await;
        }
        let bytes = piece.bytes.slice(..piece.bytes.len().min(*room));
        *room -= bytes.len();
        self.push(bytes, last).await?;
        self.ended |= last;
        self.flushed().await
    }

    /// Sends `bytes` as the peer's window allows.
    async fn push(&mut self, mut bytes: Bytes, end: bool) -> Result<(), Stop> {
        let Some(stream) = &mut self.stream else {
            return Err(Stop::Lost);
        };
        self.data += bytes.len() as u64;
        while !bytes.is_empty() {
            stream.reserve_capacity(bytes.len());
            let room = poll_fn(|cx| match stream.capacity() {
                0 => stream.poll_capacity(cx),
                room => Poll::Ready(Some(Ok(room))),
            })
            .await
            .ok_or(Stop::Lost)??;
            let now = bytes.split_to(room.min(bytes.len()));
            if !now.is_empty() {
                stream.send_data(now, end && bytes.is_empty())?;
            } else if end && bytes.is_empty() {
                break;
            }
        }
        if self.data == 0 && end {
            stream.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    /// Waits until what was sent so far is on the wire.
    async fn flushed(&mut self) -> Result<(), Stop> {
        let (id, data, ended) = (self.id, self.data, self.ended);
        let mut pump = self.pump.clone();
        tokio::select! {
            () = pump.sent(id, |sent| sent.headers && sent.data >= data && sent.ended >= ended) => Ok(()),
            () = self.gone() => Err(Stop::Lost),
        }
    }

    /// Resets the stream and waits until that is on the wire.
    async fn reset(&mut self, code: u32) {
        let over = self.ended && self.body.is_end_stream();
        match &mut self.stream {
            Some(stream) => stream.send_reset(Reason::from(code)),
            None => self.respond.send_reset(Reason::from(code)),
        }
        if !over {
            self.pump.sent(self.id, |sent| sent.reset).await;
        }
    }
}

/// The head of a response; `Content-Length` as on HTTP/1.1, other framings have none.
fn head(reply: &Reply) -> Response<()> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.fields {
        response = response.header(name, value);
    }
    match reply.framing {
        ReplyFraming::Claimed(bytes) => response = response.header("content-length", bytes),
        ReplyFraming::Length if !matches!(reply.status, 204 | 304) => {
            response = response.header("content-length", reply.body().len());
        }
        _ => {}
    }
    response.body(()).expect("a response head")
}

/// A request head as a delivery.
fn delivery(request: &Request<RecvStream>, connection: usize) -> Delivery {
    let fields = request.headers().iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    Delivery {
        number: 0,
        connection,
        method: request.method().to_string(),
        target: target.to_owned(),
        authority: request
            .uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default(),
        fields: fields.collect(),
        framing: Framing::H2,
        length: 0,
        sha256: None,
        body: Vec::new(),
        complete: false,
        at: Instant::now(),
        complete_at: None,
        gone_at: None,
    }
}
