//! The admin listener of a running gateway, asked over HTTP: for the commands that change or look at what runs.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::exit::{Exit, Failure};
use crate::cli::listener::{Distrust, Trusted};
use crate::cli::progress::Progress;
use crate::cli::{ConfigFile, aside, user};
use crate::config::{Admin, AdminAddress, Config};
use crate::secret::{Secret, SecretRef};

/// The longest that an answer may take: a reload of the largest catalog takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 << 20;

/// The code of what is not sent to somebody else.
pub const NOT_THE_GATEWAY: &str = "not_the_gateway";

/// Which gateway is meant.
#[derive(Clone, Debug, clap::Args)]
pub struct Gateway {
    #[command(flatten)]
    file: ConfigFile,
    /// Where its admin listener is, in place of `admin.address`: IP:PORT or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Send the admin token to whoever listens there, as through a port that is forwarded
    #[arg(long)]
    trust_listener: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body as JSON; `Null` where it is none.
    pub body: serde_json::Value,
    /// Its body as it is.
    pub text: String,
}

impl Answer {
    /// What it says went wrong, line by line.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        if let Some(problems) = self.body["problems"].as_array() {
            return problems.iter().filter_map(text).collect();
        }
        let message = text(&self.body["error"]["message"]);
        vec![message.unwrap_or_else(|| format!("the gateway answered with status {}", self.status))]
    }

    /// The refusal that it is.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let failure = Failure::from(self.problems());
        match self.body["error"]["code"].as_str() {
            Some(code) => Failure {
                code: code.to_owned(),
                ..failure
            },
            None => failure,
        }
    }
}

impl Gateway {
    /// The one that a configuration describes.
    #[must_use]
    pub fn configured(file: &ConfigFile) -> Self {
        Self {
            file: file.clone(),
            admin: None,
            trust_listener: false,
        }
    }

    /// The one that a configuration describes, at `admin` where that is given.
    #[must_use]
    pub fn new(file: &ConfigFile, admin: Option<String>, trust_listener: bool) -> Self {
        Self {
            file: file.clone(),
            admin,
            trust_listener,
        }
    }

    /// Whether this user may ask, and anything listens there, which may be something else. The token of a unit's
    /// `LoadCredential=` is the unit's alone.
    #[must_use]
    pub fn can_be_asked(&self) -> bool {
        let Ok((admin, _)) = self.address() else {
            return false;
        };
        if admin.token.is_some_and(|token| token.resolve().is_err()) {
            return false;
        }
        match admin.address {
            AdminAddress::Tcp(address) => connect(address, PATIENCE).is_ok(),
            AdminAddress::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }

    /// Asks for `target`.
    ///
    /// # Errors
    /// Why there was no answer, for people.
    pub fn ask(&self, method: &str, target: &str) -> Result<Answer, Failure> {
        self.send(method, target, None)
    }

    /// Asks for `target` with a body, JSON.
    ///
    /// # Errors
    /// Why there was no answer, for people.
    pub fn send(&self, method: &str, target: &str, body: Option<&str>) -> Result<Answer, Failure> {
        self.send_within(PATIENCE, method, target, body)
    }

    /// As [`Self::send`], for what may take longer than others.
    ///
    /// # Errors
    /// Why there was no answer, for people.
    pub fn send_within(
        &self,
        patience: Duration,
        method: &str,
        target: &str,
        body: Option<&str>,
    ) -> Result<Answer, Failure> {
        let (admin, store) = self.address()?;
        let ask = Ask {
            method,
            target,
            body,
        };
        let token = admin.token.as_ref().map(SecretRef::resolve).transpose();
        let token = token.map_err(|error| vec![error.to_string()])?;
        // Without a secret in it, whoever reads it may.
        let secret = token.is_some() || body.is_some();
        let trusted = (secret && !self.trust_listener).then(|| Trusted::of(store.as_deref()));
        let _progress = Progress::start(match target {
            "/reload" => "The gateway reads its files",
            "/upgrade" => "A new process starts and takes over",
            _ => "Waiting for the gateway",
        });
        let asked =
            match &admin.address {
                AdminAddress::Tcp(address) => connect(*address, patience)
                    .map_err(NoAnswer::from)
                    .and_then(|socket| {
                        trusted.map_or(Ok(()), |trusted| trusted.tcp(&socket))?;
                        Ok(exchange(socket, &address.to_string(), &ask, token)?)
                    }),
                AdminAddress::Unix(path) => UnixStream::connect(path)
                    .map_err(NoAnswer::from)
                    .and_then(|socket| {
                        trusted.map_or(Ok(()), |trusted| trusted.unix(&socket))?;
                        socket.set_read_timeout(Some(patience))?;
                        Ok(exchange(socket, "localhost", &ask, token)?)
                    }),
            };
        asked.map_err(|why| why.failure(&Place(&admin.address)))
    }

    /// As the configuration says, and where the store is; it may be absent where the address is given.
    fn address(&self) -> Result<(Admin, Option<PathBuf>), Failure> {
        let given = self.admin.as_deref().map(parse).transpose()?;
        let configured = Config::load_values(&self.file.config).or_else(|problems| {
            // Mistakes elsewhere are no reason not to ask the gateway that runs.
            alone(&self.file.config).ok_or(problems)
        });
        match (configured, given) {
            (Ok(config), Some(address)) => {
                let token = config.admin.and_then(|admin| admin.token);
                Ok((Admin { address, token }, Some(config.store.path)))
            }
            (Err(_), Some(address)) if !self.file.config.exists() => {
                let token = None;
                Ok((Admin { address, token }, None))
            }
            (Ok(config), None) => {
                let off = || {
                    let problem = "there is no admin listener: `admin.address` is \"off\"";
                    Failure::new(Exit::NoGateway, problem)
                };
                Ok((config.admin.ok_or_else(off)?, Some(config.store.path)))
            }
            (Err(problems), _) => {
                let problems = problems.iter().map(ToString::to_string);
                Err(problems.collect::<Vec<_>>().into())
            }
        }
    }
}

/// Why there is no answer.
enum NoAnswer {
    Failed(io::Error),
    Distrusted(Distrust),
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Distrust> for NoAnswer {
    fn from(why: Distrust) -> Self {
        Self::Distrusted(why)
    }
}

impl NoAnswer {
    fn failure(self, place: &Place<'_>) -> Failure {
        match self {
            Self::Failed(error) => {
                let problem = format!(
                    "no answer from the gateway at {place}: {error}; does it run? `tollgate check` says whether it could, and `systemctl status tollgate` how it ended"
                );
                Failure::new(Exit::NoGateway, problem)
            }
            Self::Distrusted(why) => {
                let problem = format!(
                    "nothing was sent to {place}: {why}; --trust-listener sends the token all the same"
                );
                Failure {
                    code: NOT_THE_GATEWAY.to_owned(),
                    ..Failure::new(Exit::NoGateway, problem)
                }
            }
        }
    }
}

/// The section `[admin]` by itself, where it is good, and a word that something else is not.
fn alone(file: &Path) -> Option<Config> {
    let whole: toml::Table = std::fs::read_to_string(file).ok()?.parse().ok()?;
    // The store says whose gateway it is, if it is good, too.
    let read = |names: &[&str]| {
        let of = |name: &&str| Some(((*name).to_owned(), whole.get(*name)?.clone()));
        let sections = names.iter().filter_map(of);
        let text = toml::to_string(&toml::Table::from_iter(sections)).ok()?;
        Config::parse(&text, file).ok()
    };
    let config = read(&["admin", "store"]).or_else(|| read(&["admin"]))?;
    // Once, though several things are asked.
    static TOLD: std::sync::Once = std::sync::Once::new();
    TOLD.call_once(|| {
        let file = file.display();
        aside::note(&format!(
            "{file} has mistakes (`tollgate check` lists them); its [admin] is gone by"
        ));
    });
    Some(config)
}

/// An address for people.
struct Place<'a>(&'a AdminAddress);

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AdminAddress::Tcp(address) => address.fmt(out),
            AdminAddress::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

fn parse(text: &str) -> Result<AdminAddress, Failure> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(AdminAddress::Unix(PathBuf::from(path)));
    }
    let address = text.parse().map(AdminAddress::Tcp);
    address.map_err(|_| {
        Failure::usage(format!(
            "--admin {text}: must be an IP address and port, as 127.0.0.1:8081, or unix:PATH"
        ))
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "a command of its own, which has nothing else to do"
)]
fn connect(address: std::net::SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}

/// What is asked.
struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    body: Option<&'a str>,
}

/// One request and its answer, on a connection that ends with it.
fn exchange(
    mut socket: impl Read + Write,
    host: &str,
    ask: &Ask<'_>,
    token: Option<Secret>,
) -> io::Result<Answer> {
    let body = ask.body.unwrap_or_default();
    let mut request = format!(
        "{} {} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\nTollgate-Actor: {}\r\n",
        ask.method,
        ask.target,
        body.len(),
        user::actor(),
    );
    if ask.body.is_some() {
        request.push_str("Content-Type: application/json\r\n");
    }
    if let Some(token) = token {
        request.push_str(&format!("Authorization: Bearer {}\r\n", token.expose()));
    }
    request.push_str("\r\n");
    request.push_str(body);
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.take(ANSWER_MAX).read_to_end(&mut answer)?;
    read(&answer).ok_or_else(|| io::Error::other("that is no answer of Tollgate's"))
}

#[allow(
    clippy::disallowed_methods,
    reason = "an answer of our own, and no request waits for it"
)]
fn read(answer: &[u8]) -> Option<Answer> {
    let (head, body) = std::str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?,
        body: serde_json::from_str(body).unwrap_or_default(),
        text: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_says_what_went_wrong() {
        let good = read(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"catalog\":\"a\"}").expect("an answer");
        assert_eq!(
            (good.status, good.body["catalog"].as_str()),
            (200, Some("a"))
        );
        let bad = |text: &[u8]| read(text).expect("an answer").problems();
        assert_eq!(
            bad(b"HTTP/1.1 422 U\r\n\r\n{\"problems\":[\"a\",\"b\"]}"),
            ["a", "b"]
        );
        assert_eq!(
            bad(b"HTTP/1.1 409 C\r\n\r\n{\"error\":{\"message\":\"m\"}}"),
            ["m"]
        );
        assert_eq!(
            bad(b"HTTP/1.1 500 I\r\n\r\nx"),
            ["the gateway answered with status 500"]
        );
        assert!(read(b"SSH-2.0-OpenSSH\r\n").is_none());
    }

    #[test]
    fn an_address_is_one_of_two_kinds() {
        assert!(matches!(parse("127.0.0.1:1"), Ok(AdminAddress::Tcp(_))));
        assert!(matches!(parse("unix:/run/x"), Ok(AdminAddress::Unix(_))));
        assert!(parse("localhost:1").is_err());
    }
}
