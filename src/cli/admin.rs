//! The admin listener of a running gateway, asked over HTTP: for the commands that change or look at what runs.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{ConfigFile, user};
use crate::config::{Admin, AdminAddress, Config};
use crate::secret::{Secret, SecretRef};

/// The longest that an answer may take: a reload of the largest catalog takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 << 20;

/// Which gateway is meant.
#[derive(Clone, Debug, clap::Args)]
pub struct Gateway {
    #[command(flatten)]
    file: ConfigFile,
    /// Where its admin listener is, in place of `admin.address`: IP:PORT or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
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
}

impl Gateway {
    /// The one that a configuration describes.
    #[must_use]
    pub fn configured(file: &ConfigFile) -> Self {
        Self {
            file: file.clone(),
            admin: None,
        }
    }

    /// The one that a configuration describes, at `admin` where that is given.
    #[must_use]
    pub fn new(file: &ConfigFile, admin: Option<String>) -> Self {
        Self {
            file: file.clone(),
            admin,
        }
    }

    /// Whether this user may ask, and anything listens there, which may be something else. The token of a unit's
    /// `LoadCredential=` is the unit's alone.
    #[must_use]
    pub fn can_be_asked(&self) -> bool {
        let Ok(admin) = self.address() else {
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
    pub fn ask(&self, method: &str, target: &str) -> Result<Answer, Vec<String>> {
        self.send(method, target, None)
    }

    /// Asks for `target` with a body, JSON.
    ///
    /// # Errors
    /// Why there was no answer, for people.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        body: Option<&str>,
    ) -> Result<Answer, Vec<String>> {
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
    ) -> Result<Answer, Vec<String>> {
        let admin = self.address()?;
        let ask = Ask {
            method,
            target,
            body,
        };
        let token = admin.token.as_ref().map(SecretRef::resolve).transpose();
        let token = token.map_err(|error| vec![error.to_string()])?;
        let asked = match &admin.address {
            AdminAddress::Tcp(address) => exchange(
                connect(*address, patience),
                &address.to_string(),
                &ask,
                token,
            ),
            AdminAddress::Unix(path) => {
                let connected = UnixStream::connect(path).and_then(|socket| {
                    socket.set_read_timeout(Some(patience))?;
                    Ok(socket)
                });
                exchange(connected, "localhost", &ask, token)
            }
        };
        asked.map_err(|error| {
            let place = Place(&admin.address);
            vec![format!(
                "no answer from the gateway at {place}: {error}; does it run?"
            )]
        })
    }

    /// As the configuration says, which may be absent where the address is given.
    fn address(&self) -> Result<Admin, Vec<String>> {
        let given = self.admin.as_deref().map(parse).transpose()?;
        let configured = Config::load_values(&self.file.config).or_else(|problems| {
            // Mistakes elsewhere are no reason not to ask the gateway that runs.
            alone(&self.file.config).ok_or(problems)
        });
        match (configured, given) {
            (Ok(config), Some(address)) => Ok(Admin {
                address,
                token: config.admin.and_then(|admin| admin.token),
            }),
            (Err(_), Some(address)) if !self.file.config.exists() => Ok(Admin {
                address,
                token: None,
            }),
            (Ok(config), None) => config.admin.ok_or_else(|| {
                vec!["there is no admin listener: `admin.address` is \"off\"".to_owned()]
            }),
            (Err(problems), _) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }
}

/// The section `[admin]` by itself, where it is good, and a word that something else is not.
fn alone(file: &Path) -> Option<Config> {
    let whole: toml::Table = std::fs::read_to_string(file).ok()?.parse().ok()?;
    let admin = whole.get("admin").cloned();
    let section = admin.map(|section| ("admin".to_owned(), section));
    let text = toml::to_string(&toml::Table::from_iter(section)).ok()?;
    let config = Config::parse(&text, file).ok()?;
    // Once, though several things are asked.
    static TOLD: std::sync::Once = std::sync::Once::new();
    TOLD.call_once(|| {
        let file = file.display();
        eprintln!(
            "tollgate: {file} has mistakes (`tollgate check` lists them); its [admin] is gone by"
        );
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

fn parse(text: &str) -> Result<AdminAddress, Vec<String>> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(AdminAddress::Unix(PathBuf::from(path)));
    }
    let address = text.parse().map(AdminAddress::Tcp);
    address.map_err(|_| {
        vec![format!(
            "--admin {text}: must be an IP address and port, as 127.0.0.1:8081, or unix:PATH"
        )]
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
    socket: io::Result<impl Read + Write>,
    host: &str,
    ask: &Ask<'_>,
    token: Option<Secret>,
) -> io::Result<Answer> {
    let mut socket = socket?;
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
