//! The commands give the admin token to the gateway alone, and not to whoever else listens where it would. A listener of
//! another user can be had by root only; the judgement itself is tested beside the code, by whoever runs the tests.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::gateway::{Builder, gateway};

/// A user that owns nothing here.
const OTHER: u32 = 65_534;

const TOKEN: &str = "the-token-of-the-operator";

/// Listens as that user, answers one request, and prints where it listens and then what it was sent.
const LISTENER: &str = r#"
import os, socket, sys
os.setgid(65534); os.setuid(65534)
if len(sys.argv) > 1:
    server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen()
    print("unix:" + sys.argv[1], flush=True)
else:
    server = socket.create_server(("127.0.0.1", 0))
    print("127.0.0.1:%d" % server.getsockname()[1], flush=True)
client, _ = server.accept()
sent = b""
while b"\r\n\r\n" not in sent:
    part = client.recv(4096)
    if not part:
        break
    sent += part
if sent:
    client.sendall(b"HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\n{}")
client.close()
os.write(1, b"sent " + sent)
"#;

struct Listener {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Listener {
    fn start(at: Option<&Path>) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", LISTENER]).args(at);
        let started = command.stdout(Stdio::piped()).spawn();
        let mut child = started.expect("python3");
        let mut out = BufReader::new(child.stdout.take().expect("standard output"));
        let mut address = String::new();
        out.read_line(&mut address).expect("an address");
        Self {
            child,
            out,
            address: address.trim().to_owned(),
        }
    }

    /// What it was sent.
    fn end(mut self) -> String {
        let mut sent = String::new();
        self.out.read_to_string(&mut sent).expect("text");
        self.child.wait().expect("it ends");
        sent.strip_prefix("sent ")
            .expect("what was sent")
            .to_owned()
    }
}

fn told_of(listener: &Listener) -> Builder {
    let builder = gateway()
        .config("admin.address", listener.address.clone())
        .config("admin.token", "file:token");
    std::fs::write(builder.folder().join("token"), TOKEN).expect("a file");
    builder
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_stranger_who_listens_is_sent_nothing() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::chown(folder.path(), Some(OTHER), None).expect("given away");
    let socket = folder.path().join("admin");
    for at in [None, Some(&*socket)] {
        for command in [&["status"][..], &["accounts", "list", "--trust-listener"]] {
            if at.is_some() {
                let _ = std::fs::remove_file(&socket);
            }
            let listener = Listener::start(at);
            let trusting = command.contains(&"--trust-listener");
            let builder = told_of(&listener);
            let named = ["--admin", &listener.address];
            let run = builder.run(&[command, &named].concat());
            let sent = listener.end();
            assert_eq!(sent.contains(TOKEN), trusting, "{sent:?}: {run:?}");
            if !trusting {
                assert_eq!((run.code, &*sent), (Some(4), ""), "{run:?}");
                let says = run.stderr.contains("(65534) listens there");
                assert!(says && run.stdout.is_empty(), "{run:?}");
            }
        }
    }
}

#[test]
fn the_owner_of_the_data_is_the_gateway() {
    if !is_root() {
        return;
    }
    let listener = Listener::start(None);
    let builder = told_of(&listener);
    std::os::unix::fs::chown(builder.folder(), Some(OTHER), None).expect("given away");
    let run = builder.run(&["status"]);
    let sent = listener.end();
    assert!(sent.contains(TOKEN), "{run:?}");
    assert!(run.stderr.contains("status 500"), "{run:?}");
}

#[test]
fn secrets_are_kept_back_also_where_there_is_no_token() {
    if !is_root() {
        return;
    }
    let listener = Listener::start(None);
    let builder = gateway().config("admin.address", listener.address.clone());
    let run = builder.run(&["log", "levels", "--admin", &listener.address]);
    assert!(listener.end().starts_with("GET /log/levels"), "{run:?}");
    let listener = Listener::start(None);
    let account = ["accounts", "create", "acme", "--admin", &listener.address];
    let run = builder.run(&account);
    let sent = listener.end();
    assert!(!sent.contains("acme"), "{sent:?}: {run:?}");
}
