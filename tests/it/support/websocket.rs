//! WebSockets at both ends: a fake provider of one, and a client, both by `tokio-tungstenite`. A raw one answers 101 with
//! bytes of its own, for what no library would send.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

pub use tokio_tungstenite::tungstenite::Message;
pub use tokio_tungstenite::tungstenite::protocol::CloseFrame;
pub use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::http1::Fields;
use super::socket::{Stream, Task};
use super::tls::Authority;
use super::wait;

/// A client's end.
pub type Client = WebSocketStream<TcpStream>;

/// What a response of the Realtime API says when it is done.
pub const DONE: &str = r#"{"type":"response.done","response":{"id":"resp_1","usage":{"total_tokens":30,"input_tokens":10,"output_tokens":20,"input_token_details":{"text_tokens":4,"audio_tokens":6,"cached_tokens":2},"output_token_details":{"text_tokens":5,"audio_tokens":15}}}}"#;

/// The same, of which more came from a cache.
pub const CACHED: &str = r#"{"type":"response.done","response":{"id":"resp_2","usage":{"total_tokens":30,"input_tokens":10,"output_tokens":20,"input_token_details":{"text_tokens":4,"audio_tokens":6,"cached_tokens":5,"cached_tokens_details":{"text_tokens":1,"audio_tokens":4}},"output_token_details":{"text_tokens":5,"audio_tokens":15}}}}"#;

/// What the transcription of the input has used, as one that is charged by the second says it.
pub const TRANSCRIBED: &str = r#"{"type":"conversation.item.input_audio_transcription.completed","transcript":"x","usage":{"type":"duration","seconds":3}}"#;

/// An answer that opens a WebSocket whose handshake has the key of RFC 6455.
pub const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What a message has that has the provider say something else than the message.
const SAY: &str = "\"say\":\"";

/// How late the end of a frame is.
const LATE: Duration = Duration::from_millis(200);

/// The events that a message asks for, as in `"say":"created,done"`.
fn events(text: &str) -> Vec<String> {
    let said = text.split_once(SAY).map_or("", |(_, said)| said);
    let said = said.split('"').next().unwrap_or_default();
    let event = |name: &str| match name {
        "done" => DONE.to_owned(),
        "cached" => CACHED.to_owned(),
        "transcribed" => TRANSCRIBED.to_owned(),
        "session" => r#"{"type":"session.updated","session":{"max_output_tokens":10}}"#.to_owned(),
        "short" => r#"{"type":"response.created","response":{"max_output_tokens":10}}"#.to_owned(),
        "failed" => {
            r#"{"type":"response.done","response":{"status":"failed","usage":null}}"#.to_owned()
        }
        "untold" => r#"{"type":"response.done","response":{"status":"completed"}}"#.to_owned(),
        name => format!(r#"{{"type":"response.{name}","response":{{"usage":null}}}}"#),
    };
    said.split(',').map(event).collect()
}

/// A handshake that has arrived.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Path and query.
    pub target: String,
    /// Its header.
    pub fields: Fields,
}

impl Handshake {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        super::http1::field(&self.fields, name)
    }
}

/// A provider. It sends messages back as they are; but to `done` it answers with [`DONE`], to `close` by closing with
/// 4001, at `drop` it is gone, to what has `"quiet"` it says nothing, and to what has a member `say` with the events that it names.
pub struct Fake {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Handshake>>>,
    heard: Arc<Mutex<Vec<String>>>,
    _task: Task,
}

impl Fake {
    /// Starts it.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts it behind TLS, where it would also be asked by HTTP/2.
    pub async fn start_tls(authority: &Authority) -> Self {
        let config = authority.server().config(&["h2", "http/1.1"]);
        Self::start_with(Some(TlsAcceptor::from(config))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let seen = Arc::<Mutex<Vec<Handshake>>>::default();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let (log, texts) = (Arc::clone(&seen), Arc::clone(&heard));
        let serving = async move {
            let mut all = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (log, texts, tls) = (Arc::clone(&log), Arc::clone(&texts), tls.clone());
                all.push(Task::spawn(async move {
                    let stream: Stream = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    // Whoever does not shake hands has gone away.
                    let _ = serve(stream, &log, &texts).await;
                }));
            }
        };
        Self {
            address,
            scheme,
            seen,
            heard,
            _task: Task::spawn(serving),
        }
    }

    /// Its base URL.
    pub fn base_url(&self) -> String {
        format!("{}://{}/v1", self.scheme, self.address)
    }

    /// The handshakes that have arrived.
    pub fn seen(&self) -> Vec<Handshake> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// The texts that it has heard.
    pub fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }

    /// The last of the handshakes.
    ///
    /// # Panics
    /// When there was none.
    pub fn last(&self) -> Handshake {
        self.seen().pop().expect("a handshake")
    }
}

#[allow(clippy::result_large_err, reason = "the library's own types")]
async fn serve(
    stream: Stream,
    log: &Mutex<Vec<Handshake>>,
    texts: &Mutex<Vec<String>>,
) -> Result<(), Error> {
    let note = |request: &Request, mut response: Response| {
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let fields = request.headers().iter();
        let handshake = Handshake {
            target: request.uri().to_string(),
            fields: fields
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
        };
        let offered = handshake
            .header("sec-websocket-protocol")
            .unwrap_or_default();
        if offered.split(',').any(|one| one.trim() == "realtime") {
            let value = http::HeaderValue::from_static("realtime");
            response
                .headers_mut()
                .insert("sec-websocket-protocol", value);
        }
        let id = http::HeaderValue::from_static("theirs-1");
        response.headers_mut().insert("x-request-id", id);
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handshake);
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, note).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() {
            let text = message.to_text().unwrap_or_default().to_owned();
            let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
            texts.push(text);
        }
        match message.to_text() {
            Ok(text) if text.contains(SAY) => {
                for event in events(text) {
                    socket.send(Message::text(event)).await?;
                }
            }
            // A message in two fragments, of which the other comes with the next message.
            Ok(text) if text.contains("\"fragment\"") => {
                let first = Frame::message("{\"type\":", OpCode::Data(Data::Text), false);
                socket.send(Message::Frame(first)).await?;
            }
            Ok(text) if text.contains("\"quiet\"") => {}
            // A message, and a frame that has no end.
            Ok(text) if text.contains("\"endless\"") => {
                socket.send(Message::text("{}")).await?;
                socket.get_mut().write_all(&[0x81, 125, b'{']).await?;
            }
            // A frame whose end comes late.
            Ok(text) if text.contains("\"late\"") => {
                let whole = [&[0x81, 125][..], &[b' '; 123], b"{}"].concat();
                let (first, last) = whole.split_at(60);
                socket.get_mut().write_all(first).await?;
                tokio::time::sleep(LATE).await;
                socket.get_mut().write_all(last).await?;
            }
            Ok("done") => socket.send(Message::text(DONE)).await?,
            Ok("drop") => return Ok(()),
            Ok("close") => {
                let code = CloseCode::from(4001);
                let reason = "as you wish".into();
                socket.close(Some(CloseFrame { code, reason })).await?;
            }
            _ if message.is_text() || message.is_binary() => socket.send(message).await?,
            _ => {}
        }
    }
    Ok(())
}

/// Accepts one connection, sends `bytes` before or after it has read a request's head, and then sends back what comes.
pub struct Raw {
    address: SocketAddr,
    _task: Task,
}

impl Raw {
    /// Starts it. `eager`: it answers before it has read anything.
    pub async fn start(bytes: Vec<u8>, eager: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = async move {
            let _: io::Result<()> = async {
                let (mut stream, _) = listener.accept().await?;
                if eager {
                    stream.write_all(&bytes).await?;
                }
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                if !eager {
                    stream.write_all(&bytes).await?;
                }
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await?;
                Ok(())
            }
            .await;
        };
        Self {
            address,
            _task: Task::spawn(serving),
        }
    }

    /// Its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// Opens a WebSocket.
///
/// # Errors
/// The answer that is no 101, or how the connection ended.
#[allow(clippy::result_large_err, reason = "the library's own types")]
pub async fn open(
    address: SocketAddr,
    target: &str,
    fields: &[(&str, &str)],
) -> Result<(Client, http::Response<()>), Error> {
    let mut request = http::Request::get(format!("ws://{address}{target}"))
        .header("host", address.to_string())
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (client, response) = wait::within("a handshake", client_async(request, stream)).await?;
    Ok((client, response.map(drop)))
}

/// Says something, and returns what is said next.
///
/// # Panics
/// When the connection ends.
pub async fn say(client: &mut Client, text: &str) -> String {
    client.send(Message::text(text)).await.expect("sent");
    let answer = wait::within("a message", client.next()).await;
    let answer = answer.expect("no end").expect("a message");
    answer.into_text().expect("text").to_string()
}

/// What comes next; an error where the connection ended without a close frame.
#[allow(clippy::result_large_err, reason = "the library's own types")]
pub async fn next(client: &mut Client) -> Option<Result<Message, Error>> {
    wait::within("a message or the end", client.next()).await
}
