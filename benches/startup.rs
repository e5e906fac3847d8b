//! Time from the start of `tollgate serve`, with the full built-in catalog and no network, to the
//! first byte of an answer that it has fetched from an upstream. Every run is a new process.
//!
//!     cargo bench --bench startup -- [--runs N] [--gateway FILE]

#[path = "end_to_end/gateway.rs"]
#[allow(dead_code, reason = "the other benchmark asks for more")]
mod gateway;

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The most that the slowest run may take.
const BAR: Duration = Duration::from_millis(200);
/// Time between two tries to connect: what a result can be too long by.
const POLL: Duration = Duration::from_micros(500);
/// After this a gateway that does not answer counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

const BODY: &str =
    r#"{"messages":[{"role":"user","content":"Say hello."}],"model":"openai:gpt-4o-mini"}"#;
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "startup: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> io::Result<()> {
    let options = Options::parse(env::args_os().skip(1))?;
    let upstream = start_upstream()?;
    let mut times = Vec::new();
    for _ in 0..options.runs {
        // Its accounts are made anew each time.
        let folder = tempfile::tempdir()?;
        times.push(one(&options.gateway, folder.path(), upstream)?);
    }
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    let verdict = if slowest <= BAR { "met" } else { "not met" };
    writeln!(
        io::stdout(),
        "start to first proxied byte, {} runs: p50 {:.1} ms, slowest {:.1} ms (bar {} ms: {verdict})",
        times.len(),
        median.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3,
        BAR.as_millis(),
    )
}

struct Options {
    runs: usize,
    gateway: OsString,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> io::Result<Options> {
        let mut options = Options {
            runs: 20,
            gateway: gateway::PROGRAM.into(),
        };
        while let Some(argument) = arguments.next() {
            let value = |value: Option<OsString>| value.ok_or(io::ErrorKind::InvalidInput);
            match argument.to_str() {
                Some("--bench") => {}
                Some("--runs") => {
                    let runs = value(arguments.next())?.to_string_lossy().parse::<usize>();
                    options.runs = runs.map_err(io::Error::other)?.max(1);
                }
                Some("--gateway") => options.gateway = value(arguments.next())?,
                _ => {
                    return Err(io::Error::other(format!(
                        "{} is no option",
                        argument.display()
                    )));
                }
            }
        }
        Ok(options)
    }
}

/// Answers every request that arrives in one piece, as those here do.
fn start_upstream() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut request = [0; 16 * 1024];
                while matches!(connection.read(&mut request), Ok(1..)) {
                    if connection.write_all(ANSWER).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(address)
}

/// Ends its gateway when dropped.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one(program: &OsString, folder: &Path, upstream: SocketAddr) -> io::Result<Duration> {
    let free = || TcpListener::bind((gateway::LOOPBACK, 0))?.local_addr();
    let addresses = gateway::Addresses {
        listen: free()?,
        admin: free()?,
        upstream,
    };
    let config = gateway::write_config(folder, addresses, 1, "")?;
    let key = gateway::create_keys(Path::new(program), &config)?.own;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        addresses.listen,
        BODY.len()
    );
    let mut command = Command::new(program);
    command
        .args(gateway::serve_arguments(&config))
        .envs(gateway::environment());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());

    let started = Instant::now();
    let mut gateway = Gateway(command.spawn()?);
    let mut connection = connect(addresses.listen, started, &mut gateway)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(request.as_bytes())?;
    let mut answer = [0; 4 * 1024];
    let length = connection.read(&mut answer)?;
    let took = started.elapsed();
    if answer[..length].starts_with(b"HTTP/1.1 200") {
        return Ok(took);
    }
    let answer = String::from_utf8_lossy(&answer[..length]);
    Err(io::Error::other(format!(
        "not the upstream's answer: {answer}"
    )))
}

#[allow(
    clippy::disallowed_methods,
    reason = "this thread has nothing else to do"
)]
fn connect(address: SocketAddr, started: Instant, gateway: &mut Gateway) -> io::Result<TcpStream> {
    while started.elapsed() < PATIENCE {
        if let Ok(connection) = TcpStream::connect(address) {
            return Ok(connection);
        }
        if let Some(status) = gateway.0.try_wait()? {
            return Err(io::Error::other(format!(
                "the gateway ended by itself: {status}"
            )));
        }
        thread::sleep(POLL);
    }
    Err(io::ErrorKind::TimedOut.into())
}
