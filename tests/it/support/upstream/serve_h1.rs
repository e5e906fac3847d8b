//! An upstream that speaks HTTP/1.1: carries out the steps of a script on one connection, request after request.
//! Which steps those are is said in `script`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};

use super::delivery::{Delivery, Framing, Recorder};
use super::reply::{Reply, ReplyFraming};
use super::script::{Behaviour, End, Step, Upto};
use super::{Shared, reply};
use crate::support::http1::{self, Body, Head, Reader};
use crate::support::socket::{Socket, Stream};

/// The most that `ReadSlowly` takes between two pauses, in bytes.
const SLOW_PIECE: usize = 16 * 1024;

/// Why the steps of a request stopped early.
enum Stop {
    /// The script says so.
    End(End),
    /// The connection failed under us.
    Lost,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: Stream, socket: Socket, number: usize, shared: Arc<Shared>) {
    let (read, write) = tokio::io::split(stream);
    let mut line = Line {
        reader: Reader::new(read),
        write,
        socket,
    };
    loop {
        let head = match line.reader.head().await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => return shared.log.complain(format!("connection {number}: {error}")),
        };
        let (delivery, body) = match delivery(&head, number) {
            Ok(parsed) => parsed,
            Err(error) => {
                return shared
                    .log
                    .complain(format!("connection {number}: {error}: {head:?}"));
            }
        };
        let expects = delivery.header("expect").is_some();
        let until_close = delivery
            .header("connection")
            .is_some_and(|value| value == "close");
        let recorder = shared.log.arrived(delivery);
        let behaviour = shared.script.next(&recorder.delivery());
        let mut exchange = Exchange {
            line: &mut line,
            recorder,
            body,
            expects,
        };
        match exchange.run(behaviour).await {
            Ok(()) if until_close => return,
            Ok(()) => {}
            Err(Stop::Lost) => return exchange.recorder.gone(),
            Err(Stop::End(end)) => return exchange.end(end).await,
        }
    }
}

/// The two directions of a connection.
struct Line {
    reader: Reader<ReadHalf<Stream>>,
    write: WriteHalf<Stream>,
    socket: Socket,
}

/// One request and its answer.
struct Exchange<'a> {
    line: &'a mut Line,
    recorder: Recorder,
    body: Body,
    /// Whether the client waits for `100 Continue`.
    expects: bool,
}

impl Exchange<'_> {
    async fn run(&mut self, behaviour: Behaviour) -> Result<(), Stop> {
        if self.body == Body::Done {
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
            Step::Raw(bytes) => self.put(&bytes).await?,
            Step::End(end) => return Err(Stop::End(end)),
            Step::Frames(_) | Step::ResetStream(_) => {
                panic!("an HTTP/2 step in a script for HTTP/1.1")
            }
        }
        Ok(())
    }

    /// Reads the body until `bytes` of it have arrived, or its end.
    async fn read(&mut self, bytes: u64) -> Result<(), Stop> {
        while self.body != Body::Done && self.recorder.length() < bytes {
            self.piece(bytes - self.recorder.length()).await?;
        }
        Ok(())
    }

    async fn read_slowly(&mut self, pause: Duration) -> Result<(), Stop> {
        let mut next = self.recorder.length();
        while self.body != Body::Done {
            tokio::time::sleep(pause).await;
            next += SLOW_PIECE as u64;
            self.read(next).await?;
        }
        Ok(())
    }

    /// Reads one piece of the body, of at most `most` bytes.
    async fn piece(&mut self, most: u64) -> Result<(), Stop> {
        if std::mem::take(&mut self.expects) {
            self.put(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if let Some(piece) = self.line.reader.piece(&mut self.body, most).await? {
            self.recorder.piece(&piece);
        }
        if self.body == Body::Done {
            self.recorder.complete();
        }
        Ok(())
    }

    /// Waits for `time`, or until the peer goes away (seen only when the body has been read).
    async fn pause(&mut self, time: Duration) -> Result<(), Stop> {
        if time.is_zero() {
            return Ok(());
        }
        if self.body != Body::Done {
            tokio::time::sleep(time).await;
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.line.reader.gone() => Err(Stop::Lost),
        }
    }

    async fn send(&mut self, reply: &Reply, upto: Upto) -> Result<(), Stop> {
        let head = reply.head();
        if upto == Upto::HalfHead {
            return self.put(&head[..head.len() / 2]).await;
        }
        self.put(&head).await?;
        let mut room = if let Upto::Bytes(bytes) = upto {
            bytes
        } else {
            usize::MAX
        };
        for piece in &reply.pieces {
            if room == 0 {
                return Ok(());
            }
            self.send_piece(reply, piece, &mut room).await?;
        }
        if upto == Upto::End {
            match reply.framing {
                ReplyFraming::Chunked => self.put(b"0\r\n\r\n").await?,
                ReplyFraming::UntilClose => return Err(Stop::End(End::Close)),
                ReplyFraming::Length | ReplyFraming::Claimed(_) => {}
            }
        }
        Ok(())
    }

    async fn send_piece(
        &mut self,
        reply: &Reply,
        piece: &reply::Piece,
        room: &mut usize,
    ) -> Result<(), Stop> {
        self.pause(piece.pause).await?;
        if let Some(gate) = &piece.gate {
            gate.pass().await;
        }
        let bytes = piece.bytes.slice(..piece.bytes.len().min(*room));
        *room -= bytes.len();
        if reply.framing != ReplyFraming::Chunked {
            return self.put(&bytes).await;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(&bytes);
        chunk.extend_from_slice(b"\r\n");
        self.put(&chunk).await
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.line.write.write_all(bytes).await?;
        self.line.write.flush().await?;
        Ok(())
    }

    /// Ends the connection; the rest happens when the line is dropped.
    async fn end(&mut self, end: End) {
        match end {
            End::Abandon => {}
            End::Reset => self.line.socket.reset_on_close(),
            End::Close => {
                let _ = self.line.write.shutdown().await;
                self.line.reader.discard().await;
            }
            End::Silence | End::Freeze => {
                if self.body != Body::Done {
                    std::future::pending::<()>().await;
                }
                self.line.reader.gone().await;
                self.recorder.gone();
            }
        }
    }
}

/// A request head as a delivery, and the framing of the body that follows it.
fn delivery(head: &Head, connection: usize) -> io::Result<(Delivery, Body)> {
    let body = Body::of_request(&head.fields)?;
    let framing = match http1::field(&head.fields, "content-length") {
        Some(_) => Framing::Length,
        None if body == Body::Chunked => Framing::Chunked,
        None => Framing::None,
    };
    let (Some(method), Some(target), Some("HTTP/1.1")) = (head.word(0), head.word(1), head.word(2))
    else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no request line",
        ));
    };
    let delivery = Delivery {
        number: 0,
        connection,
        method: method.to_owned(),
        target: target.to_owned(),
        authority: http1::field(&head.fields, "host")
            .unwrap_or_default()
            .to_owned(),
        fields: head.fields.clone(),
        framing,
        length: 0,
        sha256: None,
        body: Vec::new(),
        complete: false,
        at: Instant::now(),
        complete_at: None,
        gone_at: None,
    };
    Ok((delivery, body))
}
