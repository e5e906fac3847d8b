//! The real gateway as a process of its own, between clients and fake providers: configured, started, watched, stopped.
//! What it is asked and what it answers is in `client`.

mod builder;
mod catalog;
mod metrics;
mod process;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

pub use builder::{Builder, Finished, MASTER_KEY, gateway, stored_key, upstream_key};
pub use catalog::{CustomProvider, custom};
pub use metrics::{Metrics, Sample};

use super::client::{self, Request, Response};
use super::wait;
use process::Process;
pub use process::{lives, signal};

/// A running gateway. Dropping it kills the process; if the test is failing, what it logged is printed.
pub struct Gateway {
    process: Process,
    addresses: Vec<SocketAddr>,
    admin: SocketAddr,
    keys: HashMap<String, String>,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

impl Gateway {
    /// The first public listener: HTTP/1.1 and h2c.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The public TLS listener.
    ///
    /// # Panics
    /// When the gateway was started without `Builder::tls`.
    pub fn tls_address(&self) -> SocketAddr {
        *self.addresses.get(1).expect("a TLS listener: Builder::tls")
    }

    /// The admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The access key named `test`, which every gateway has unless told otherwise.
    pub fn key(&self) -> &str {
        self.key_named("test")
    }

    /// An access key by its name.
    ///
    /// # Panics
    /// When there is none.
    pub fn key_named(&self, name: &str) -> &str {
        self.keys
            .get(name)
            .unwrap_or_else(|| panic!("no access key named {name}"))
    }

    /// A `POST` with the access key named `test`.
    pub fn post(&self, target: &str, body: impl Into<Bytes>) -> Request {
        client::post(target, body).bearer(self.key())
    }

    /// A `GET` with the access key named `test`.
    pub fn get(&self, target: &str) -> Request {
        client::get(target).bearer(self.key())
    }

    /// Sends a request over HTTP/1.1, on a connection of its own.
    pub async fn send(&self, request: &Request) -> Response {
        client::send(self.address(), request).await
    }

    /// Posts a chat request with the access key named `test`.
    pub async fn chat(&self, body: impl Into<Bytes>) -> Response {
        self.send(&self.post("/v1/chat/completions", body)).await
    }

    /// Asks the admin listener.
    pub async fn ask_admin(&self, target: &str) -> Response {
        // Without a token the listener answers to its own name only.
        let request = client::get(target).header("host", &self.admin.to_string());
        client::send(self.admin, &request).await
    }

    /// Posts nothing to the admin listener.
    pub async fn post_admin(&self, target: &str) -> Response {
        client::send(self.admin, &self.to_admin(target)).await
    }

    /// A request without a body to the admin listener.
    pub fn to_admin(&self, target: &str) -> Request {
        client::post(target, Bytes::new()).header("host", &self.admin.to_string())
    }

    /// A request with a body of JSON to the admin listener.
    pub async fn tell_admin(&self, method: &str, target: &str, body: &Value) -> Response {
        let request = Request::new(method, target, Some(body.to_string().into()))
            .header("host", &self.admin.to_string())
            .header("content-type", "application/json");
        client::send(self.admin, &request).await
    }

    /// The metrics as they stand.
    pub async fn metrics(&self) -> Metrics {
        let response = self.ask_admin("/metrics").await;
        assert_eq!(response.status, 200, "/metrics: {}", response.text());
        Metrics::parse(&response.text())
    }

    /// Waits until `condition` holds of the metrics, which it returns; for what is counted after the response.
    pub async fn metrics_until(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        let seen = async {
            loop {
                let metrics = self.metrics().await;
                if condition(&metrics) {
                    return metrics;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        wait::within(what, seen).await
    }

    /// What it has written to standard error so far, line by line.
    pub fn log_lines(&self) -> Vec<String> {
        self.process.lines()
    }

    /// Waits for a line on standard error of which `condition` holds.
    pub async fn log_until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        self.process.line_until(what, condition).await
    }

    /// Has nobody read its standard error until this is dropped.
    pub fn log_unread(&self) -> std::sync::MutexGuard<'_, ()> {
        self.process.unread()
    }

    /// The lines of the access log so far.
    pub fn access_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder().join("access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let line = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("access log: {error}: {line}"))
        };
        whole.lines().map(line).collect()
    }

    /// Waits until the access log has `count` lines.
    pub async fn access_lines(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} lines of the access log");
        wait::until(&what, || self.access_log().len() >= count).await;
        self.access_log()
    }

    /// Everything that it has written to files and streams, for tests that look for secrets.
    pub fn everything_written(&self) -> String {
        let access = std::fs::read_to_string(self.folder().join("access.log")).unwrap_or_default();
        format!("{}\n{access}", self.log_lines().join("\n"))
    }

    /// The most memory that the process has used, in bytes (`VmHWM`).
    pub fn memory_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that the process uses now, in bytes (`VmRSS`).
    pub fn memory_now(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, row: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("a running process");
        let line = status
            .lines()
            .find(|line| line.starts_with(row))
            .expect(row);
        let kib = line
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse::<u64>().ok());
        kib.expect("a number of KiB") * 1024
    }

    /// How many file descriptors the process has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id()))
            .expect("a process")
            .count()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The folder with everything this gateway owns.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder().join("tollgate.toml")
    }

    /// Writes a file of the operator's catalog folder, at once and whole.
    pub fn write_catalog(&self, name: &str, file: &Value) {
        catalog::write(&self.folder().join("catalog"), name, file);
    }

    /// Runs a subcommand with this gateway's configuration and environment: `run(&["keys", "list"])`.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, "")
    }

    /// As `run`, with `input` at the standard input of the subcommand.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Finished {
        builder::run_with(self.folder(), arguments, &self.environment, input)
    }

    /// Sends a signal: `HUP`, `TERM`, `INT`, `QUIT`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// The processes that have taken over from this one and from one another, so far.
    pub fn successors(&self) -> Vec<u32> {
        let process = |line: &String| {
            let (_, rest) = line.split_once("has taken over as process ")?;
            let end = rest.find(|letter: char| !letter.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse().ok()
        };
        self.log_lines().iter().filter_map(process).collect()
    }

    /// Waits until the process has ended, and returns its exit code; `None` when a signal ended it.
    pub async fn ended(&self) -> Option<i32> {
        self.process.ended().await
    }

    /// Asks it to stop (`TERM`) and waits for the end.
    pub async fn stop(self) -> Option<i32> {
        self.signal("TERM");
        self.ended().await
    }
}

impl Drop for Gateway {
    /// Kills those that have taken over: they are children of others by now.
    fn drop(&mut self) {
        for process in self.successors() {
            if process::lives(process) {
                process::signal(process, "KILL");
            }
        }
    }
}
