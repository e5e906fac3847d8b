//! A little DNS server over UDP on loopback: one name has the addresses that the test says, or an error, or no answer; no
//! other name exists. It counts what it is asked for that name.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::UdpSocket;

use super::socket::Task;
use super::wait;

/// The name that the server knows.
pub const NAME: &str = "house.example";

const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses hold for so many seconds; of a family without any: none.
    Addresses(Vec<IpAddr>, u32),
    /// `SERVFAIL`
    Fails,
    /// Questions for `AAAA` have this answer, others the second.
    ByFamily(Box<[Answer; 2]>),
    /// Nothing, ever.
    Hangs,
}

/// A running server.
pub struct Dns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _task: Task,
}

struct State {
    answer: Answer,
    asked: Vec<Instant>,
}

/// These addresses, for `ttl` seconds.
pub fn addresses(all: &[&str], ttl: u32) -> Answer {
    let parse = |text: &&str| text.parse().expect("an IP address");
    Answer::Addresses(all.iter().map(parse).collect(), ttl)
}

/// Starts a server that answers so.
pub async fn start(answer: Answer) -> Dns {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    let state = Arc::new(Mutex::new(State {
        answer,
        asked: Vec::new(),
    }));
    let task = Task::spawn(serve(socket, Arc::clone(&state)));
    Dns {
        address,
        state,
        _task: task,
    }
}

impl Dns {
    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what is answered.
    pub fn answers(&self, answer: Answer) {
        self.lock().answer = answer;
    }

    /// How many questions there were so far.
    pub fn asked(&self) -> usize {
        self.lock().asked.len()
    }

    /// When each question came.
    pub fn asked_at(&self) -> Vec<Instant> {
        self.lock().asked.clone()
    }

    /// Waits until `count` more questions have come.
    pub async fn wait_asked(&self, count: usize) {
        let wanted = self.asked() + count;
        wait::until("questions at the DNS server", || self.asked() >= wanted).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let answer = if name(&buffer[..length]).as_deref() == Some(NAME) {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.asked.push(Instant::now());
            state.answer.clone()
        } else {
            Answer::Addresses(Vec::new(), 0)
        };
        if let Some(reply) = reply(&buffer[..length], &answer) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// The name that is asked for.
fn name(question: &[u8]) -> Option<String> {
    let (mut at, mut labels) = (12, Vec::new());
    while *question.get(at)? != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(question.get(at + 1..end)?).to_lowercase());
        at = end;
    }
    Some(labels.join("."))
}

/// The message that answers `question` (RFC 1035, section 4).
fn reply(question: &[u8], answer: &Answer) -> Option<Vec<u8>> {
    let mut end = 12;
    while *question.get(end)? != 0 {
        end += 1 + usize::from(question[end]);
    }
    let kind = u16::from_be_bytes([*question.get(end + 1)?, *question.get(end + 2)?]);
    let asked = question.get(12..end + 5)?;
    let (code, found, ttl) = match answer {
        Answer::Addresses(all, ttl) => {
            let of_kind = |ip: &&IpAddr| kind == if ip.is_ipv4() { A } else { AAAA };
            (0, all.iter().filter(of_kind).collect(), *ttl)
        }
        Answer::Fails => (2, Vec::new(), 0),
        Answer::ByFamily(both) => {
            let [v6, v4] = &**both;
            return reply(question, if kind == AAAA { v6 } else { v4 });
        }
        Answer::Hangs => return None,
    };
    let mut reply = question[..2].to_vec();
    // A response, with recursion desired and available.
    reply.extend([0x81, 0x80 | code]);
    for count in [1, found.len() as u16, 0, 0] {
        reply.extend(count.to_be_bytes());
    }
    reply.extend(asked);
    for ip in found {
        // The name of the question, by its place.
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend(IN.to_be_bytes());
        reply.extend(ttl.to_be_bytes());
        match ip {
            IpAddr::V4(ip) => {
                reply.extend([0, 4]);
                reply.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                reply.extend([0, 16]);
                reply.extend(ip.octets());
            }
        }
    }
    Some(reply)
}
