//! How long the list of models takes, from the request's first byte to the answer's last, of a gateway with one worker
//! thread, the built-in catalog and ten thousand models more: whole (OpenAI), and by pages (Anthropic, Gemini).
//!
//!     cargo bench --bench list -- [--runs N] [--gateway FILE]

#[path = "end_to_end/gateway.rs"]
#[allow(dead_code, reason = "the other benchmark asks for more")]
mod gateway;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The most that the slowest run may take.
const BAR: Duration = Duration::from_millis(50);
/// After this a gateway that does not answer counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two tries to connect.
const POLL: Duration = Duration::from_millis(5);

const MODELS: usize = 10_000;

/// What is asked for, and the header that says by whose client.
const LISTS: [(&str, &str, &str); 5] = [
    ("OpenAI, whole", "/v1/models", ""),
    (
        "Anthropic, 1000 a page",
        "/v1/models?limit=1000",
        "anthropic-version: 2023-06-01\r\n",
    ),
    (
        "Anthropic, the last 20",
        "/v1/models?limit=20&after_id=acme%2Fmodel-9979",
        "anthropic-version: 2023-06-01\r\n",
    ),
    ("Gemini, 1000 a page", "/v1beta/models?pageSize=1000", ""),
    ("one model", "/v1/models/acme/model-9999", ""),
];

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "list: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> io::Result<()> {
    let options = Options::parse(env::args_os().skip(1))?;
    let folder = tempfile::tempdir()?;
    let (_running, address, key) = start(&options.gateway, folder.path())?;
    for (name, target, header) in LISTS {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n{header}Connection: close\r\n\r\n"
        );
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..options.runs {
            let (took, length) = ask(address, &request)?;
            times.push(took);
            bytes = length;
        }
        times.sort_unstable();
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        let verdict = if slowest <= BAR { "met" } else { "not met" };
        writeln!(
            io::stdout(),
            "{name}: {bytes} bytes, {} runs: p50 {:.1} ms, slowest {:.1} ms (bar {} ms: {verdict})",
            times.len(),
            median.as_secs_f64() * 1e3,
            slowest.as_secs_f64() * 1e3,
            BAR.as_millis(),
        )?;
    }
    Ok(())
}

struct Options {
    runs: usize,
    gateway: OsString,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> io::Result<Options> {
        let mut options = Options {
            runs: 50,
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
                    let told = format!("{} is no option", argument.display());
                    return Err(io::Error::other(told));
                }
            }
        }
        Ok(options)
    }
}

/// Ends its gateway when dropped.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running gateway, where it listens, and a key.
fn start(program: &OsString, folder: &Path) -> io::Result<(Gateway, SocketAddr, String)> {
    let free = || TcpListener::bind((gateway::LOOPBACK, 0))?.local_addr();
    let addresses = gateway::Addresses {
        listen: free()?,
        admin: free()?,
        // Nothing is asked of it.
        upstream: (Ipv4Addr::LOCALHOST, 9).into(),
    };
    let config = gateway::write_config(folder, addresses, 1, "")?;
    fs::write(folder.join("catalog").join("many.json"), many())?;
    let key = gateway::create_keys(Path::new(program), &config)?.own;
    let mut command = Command::new(program);
    command
        .args(gateway::serve_arguments(&config))
        .envs(gateway::environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = Gateway(command.spawn()?);
    wait(addresses.listen, &mut running)?;
    Ok((running, addresses.listen, key))
}

fn many() -> String {
    let mut text = String::from(
        r#"{"provider":"many","preset":"openai-compatible","base_url":"http://127.0.0.1:9/v1","models":{"#,
    );
    for n in 0..MODELS {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}"acme/model-{n}":{{"name":"Model {n}","kind":"chat","context":131072,"max_output":8192,"price":{{"input":"0.15","output":"0.6"}}}}"#
        );
    }
    text.push_str("}}");
    text
}

#[allow(
    clippy::disallowed_methods,
    reason = "this thread has nothing else to do"
)]
fn wait(address: SocketAddr, running: &mut Gateway) -> io::Result<()> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        if let Some(status) = running.0.try_wait()? {
            let told = format!("the gateway ended by itself: {status}");
            return Err(io::Error::other(told));
        }
        thread::sleep(POLL);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The time until the whole answer is there, and its length.
fn ask(address: SocketAddr, request: &str) -> io::Result<(Duration, usize)> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    let started = Instant::now();
    connection.write_all(request.as_bytes())?;
    connection.read_to_end(&mut answer)?;
    let took = started.elapsed();
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok((took, answer.len()));
    }
    let answer = String::from_utf8_lossy(&answer[..answer.len().min(500)]);
    Err(io::Error::other(format!("no list: {answer}")))
}
