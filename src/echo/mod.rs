//! The `echo` provider of `tollgate dev`: a small upstream on a loopback socket that speaks the OpenAI and Anthropic
//! APIs, so that a gateway can be tried without any provider's key. The gateway proxies to it as to any other.
//!
//! | request, below any prefix | answer |
//! |---|---|
//! | `POST /chat/completions`, `/completions`, `/responses`, `/messages` | the last user's text, streamed word by word if asked |
//! | `POST /messages/count_tokens` | the tokens of the request |
//! | `POST /embeddings` | a unit vector for each input, always the same one for the same input |
//! | `GET /models` | an example of each kind of name |
//!
//! - **Tools.** If the last user's text says `call NAME`, and `NAME` is one of the request's tools, the answer is a call
//!   of it; a JSON object behind the name becomes its arguments (`call get_weather {"city": "Paris"}`). The result of
//!   a tool is echoed as text, so that a loop of calls ends.
//! - **Usage** is counted over what was received and sent: one token for each four bytes of text, rounded up. Received
//!   text is that of all messages, of the system prompt or instructions, and the tools' definitions as written. What
//!   is not text (images, audio) counts nothing. Caps (`max_tokens` and its kin) are honoured.
//! - **Models.** `status-NNN` (400 to 599) answers with that status, `delay-MILLIS` waits before it answers, every other
//!   name echoes. A `status-429` carries `retry-after: 1`.
//!
//! Absent from it: authentication, TLS, HTTP/2, stored responses, sampling. It parses requests into trees, which the
//! gateway itself never does.

#![allow(
    clippy::disallowed_methods,
    reason = "this is an upstream, not the gateway's request path: it reads whole documents"
)]

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

mod answer;
mod chat;
mod completions;
mod connection;
mod embeddings;
mod messages;
mod names;
mod prompt;
mod reply;
mod responses;
mod route;
mod sse;
#[cfg(test)]
mod tests;
mod tokens;

pub use connection::BODY_MAX;
pub use names::LISTED;
pub use route::serves;

/// Most connections at a time; more wait in the listener's backlog. A gateway under test opens one for each stream.
const CONNECTIONS_MAX: usize = 4_096;

/// Pause after a failed accept, so that a process without free file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` turns true or its sender is gone, then ends idle connections, finishes the answers that have
/// begun, and returns. Dropping the future ends everything at once. The listener should be a loopback one: there is no
/// authentication.
pub async fn serve(listener: TcpListener, shutdown: watch::Receiver<bool>) {
    let stamps = Arc::new(connection::Stamps::new());
    let mut connections = JoinSet::new();
    let mut stop = shutdown.clone();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::run(stream, Arc::clone(&stamps), shutdown.clone()));
                }
                Err(error) => {
                    log::warn!("echo: accept failed: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until `shutdown` is true, or can never be.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|&stop| stop).await;
}
