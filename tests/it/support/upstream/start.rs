//! Starting a fake provider: its builder, the accepting loop, and the ports at which nobody answers.
//! What is done with requests is in `script`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::delivery::{Connected, Delivery, Log};
use super::script::{Behaviour, End, Script};
use super::{Greeting, Port, Reply, Settings, Shared, Upstream, serve_h1, serve_h2};
use crate::support::socket::{Socket, Stream, Task};
use crate::support::tls::{Authority, Identity};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    H1,
    H2,
}

/// A fake provider that has not been started yet.
pub struct Builder {
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    script: Script,
    settings: Settings,
    greetings: VecDeque<Greeting>,
    always: Greeting,
    at: SocketAddr,
}

/// HTTP/1.1 without TLS.
pub fn h1() -> Builder {
    Builder::new(Protocol::H1, None)
}

/// HTTP/1.1 over TLS, with a certificate of `authority`.
pub fn h1_tls(authority: &Authority) -> Builder {
    Builder::new(Protocol::H1, Some(&authority.server()))
}

/// HTTP/2 without TLS, with prior knowledge.
pub fn h2c() -> Builder {
    Builder::new(Protocol::H2, None)
}

/// HTTP/2 over TLS, agreed by ALPN, with a certificate of `authority`.
pub fn h2_tls(authority: &Authority) -> Builder {
    Builder::new(Protocol::H2, Some(&authority.server()))
}

/// A port that is taken but at which no one listens: every connect is refused.
pub fn refusing() -> Upstream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(loopback()).expect("a port");
    let address = socket.local_addr().expect("an address");
    Upstream::of(
        address,
        "http",
        Builder::new(Protocol::H1, None),
        Box::new(socket),
    )
}

/// A port that accepts and never says or reads anything.
pub async fn black_hole() -> Upstream {
    h1().always(Greeting::Hang).start().await
}

/// A port at which connects hang: its queue of connections is full and never emptied.
pub async fn unreachable() -> Upstream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(loopback()).expect("a port");
    let listener = socket.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    loop {
        // The only way to see that the queue is full is a connect that is not answered at once.
        let connect = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(100), connect).await {
            Ok(stream) => waiting.push(stream.expect("a connection")),
            Err(_) => break,
        }
    }
    let builder = Builder::new(Protocol::H1, None);
    Upstream::of(address, "http", builder, Box::new((listener, waiting)))
}

impl Builder {
    fn new(protocol: Protocol, identity: Option<&Identity>) -> Self {
        let mut builder = Self {
            protocol,
            tls: None,
            script: Script::new(),
            settings: Settings::default(),
            greetings: VecDeque::new(),
            always: Greeting::Serve,
            at: loopback(),
        };
        if let Some(identity) = identity {
            builder = builder.identity(identity);
        }
        builder
    }

    /// Presents this certificate (one of another authority, or for another name, makes TLS fail at the client).
    pub fn identity(mut self, identity: &Identity) -> Self {
        let alpn = if self.protocol == Protocol::H2 {
            "h2"
        } else {
            "http/1.1"
        };
        self.tls = Some(TlsAcceptor::from(identity.config(&[alpn])));
        self
    }

    /// Answers every request with `reply`, after reading its body.
    pub fn reply(self, reply: Reply) -> Self {
        self.otherwise(reply)
    }

    /// What is done with requests for which nothing was queued by `then`.
    pub fn otherwise(self, behaviour: impl Into<Behaviour>) -> Self {
        let behaviour = behaviour.into();
        self.each(move |_| behaviour.clone())
    }

    /// Chooses the behaviour for each request for which nothing was queued.
    pub fn each(self, choose: impl Fn(&Delivery) -> Behaviour + Send + Sync + 'static) -> Self {
        self.script.otherwise(choose);
        self
    }

    /// Queues a behaviour: the first is for the first request, and so on.
    pub fn then(self, behaviour: impl Into<Behaviour>) -> Self {
        self.script.push(behaviour.into());
        self
    }

    /// Queues a greeting: the first is for the first connection, and so on.
    pub fn greeting(mut self, greeting: Greeting) -> Self {
        self.greetings.push_back(greeting);
        self
    }

    /// Greets every connection so for which nothing was queued.
    pub fn always(mut self, greeting: Greeting) -> Self {
        self.always = greeting;
        self
    }

    /// HTTP/2 settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Listens at this loopback address rather than at a free port of 127.0.0.1.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.at = address;
        self
    }

    /// Opens a port on loopback and begins to accept.
    pub async fn start(self) -> Upstream {
        let listener = TcpListener::bind(self.at).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let (cut, cutting) = watch::channel(None);
        let host = Host {
            protocol: self.protocol,
            tls: self.tls,
            greetings: self.greetings,
            always: self.always,
            shared: Arc::new(Shared {
                log: Log::new(),
                script: self.script,
                settings: self.settings,
            }),
            cutting,
        };
        let shared = host.shared.clone();
        let port = Box::new(Task::spawn(host.accept(listener)));
        Upstream {
            address,
            scheme,
            shared,
            cut,
            _port: port,
        }
    }
}

impl Upstream {
    /// An upstream that serves nothing.
    fn of(
        address: SocketAddr,
        scheme: &'static str,
        builder: Builder,
        port: Box<dyn Port>,
    ) -> Self {
        let shared = Shared {
            log: Log::new(),
            script: builder.script,
            settings: builder.settings,
        };
        let cut = watch::channel(None).0;
        Self {
            address,
            scheme,
            shared: Arc::new(shared),
            cut,
            _port: port,
        }
    }
}

/// The accepting side of an upstream.
struct Host {
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    greetings: VecDeque<Greeting>,
    always: Greeting,
    shared: Arc<Shared>,
    cutting: watch::Receiver<Option<End>>,
}

impl Host {
    async fn accept(mut self, listener: TcpListener) {
        // Dropped with this task, and the connections' tasks with it.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let greeting = self.greetings.pop_front().unwrap_or(self.always.clone());
                    connections.spawn(self.connection(Socket::new(stream), greeting));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// What becomes of one connection, unless it is cut before.
    fn connection(
        &self,
        socket: Socket,
        greeting: Greeting,
    ) -> impl Future<Output = ()> + Send + use<> {
        let connected = self.shared.log.connected();
        let (protocol, tls, shared) = (self.protocol, self.tls.clone(), self.shared.clone());
        let mut cutting = self.cutting.clone();
        cutting.mark_unchanged();
        let line = socket.clone();
        async move {
            let served = async move {
                match greeting {
                    Greeting::Serve => serve(protocol, tls, socket, connected, shared).await,
                    Greeting::Hang => std::future::pending().await,
                    Greeting::Reset => socket.reset_on_close(),
                    Greeting::Close => {}
                    Greeting::Raw(bytes) => {
                        let mut socket = socket;
                        let _ = socket.write_all(&bytes).await;
                        let _ = socket.shutdown().await;
                        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
                    }
                }
            };
            tokio::select! {
                () = served => {}
                Ok(()) = cutting.changed() => {
                    if *cutting.borrow() == Some(End::Reset) {
                        line.reset_on_close();
                    }
                }
            }
        }
    }
}

async fn serve(
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    socket: Socket,
    connected: Connected,
    shared: Arc<Shared>,
) {
    let stream: Stream = match tls {
        None => Box::new(socket.clone()),
        Some(acceptor) => match acceptor.accept(socket.clone()).await {
            Ok(stream) => Box::new(stream),
            Err(error) => {
                return shared
                    .log
                    .complain(format!("connection {}: {error}", connected.number));
            }
        },
    };
    match protocol {
        Protocol::H1 => serve_h1::serve(stream, socket, connected.number, shared).await,
        Protocol::H2 => serve_h2::serve(stream, socket, connected, shared).await,
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
