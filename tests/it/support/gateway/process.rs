//! A child process whose standard error is kept line by line, and which does not outlive its handle.
//! Nothing here knows what the process is.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::support::wait;

/// What the process has written.
#[derive(Default)]
struct Output {
    lines: Vec<String>,
    /// Whether it has closed its standard error, as it does when it ends.
    ended: bool,
}

/// Sends a signal by the shell's own `kill`: there is no call for it in the standard library.
pub fn signal(process: u32, name: &str) {
    let script = format!("kill -{name} {process}");
    let status = Command::new("sh")
        .args(["-c", &script])
        .status()
        .expect("a shell");
    assert!(status.success(), "{script}");
}

/// Whether there is a process of this id that has not ended.
pub fn lives(process: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = state
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

/// A running process.
pub(super) struct Process {
    /// Held by whoever has its standard error read no further.
    reading: Arc<Mutex<()>>,
    child: Mutex<Child>,
    output: watch::Receiver<Output>,
}

impl Process {
    /// Starts `command`.
    pub(super) fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().expect("standard error"));
        let (sender, output) = watch::channel(Output::default());
        let reading = Arc::new(Mutex::new(()));
        let may_read = Arc::clone(&reading);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                drop(may_read.lock().unwrap_or_else(PoisonError::into_inner));
                sender.send_modify(|output| output.lines.push(line));
            }
            sender.send_modify(|output| output.ended = true);
        });
        Self {
            reading,
            child: Mutex::new(child),
            output,
        }
    }

    /// Has nobody read its standard error until this is dropped.
    pub(super) fn unread(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> u32 {
        self.lock().id()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.output.borrow().lines.clone()
    }

    /// Waits until `found` makes something of the lines; `None` when the process ended before.
    pub(super) async fn find<T>(
        &self,
        what: &str,
        found: impl Fn(&[String]) -> Option<T>,
    ) -> Option<T> {
        let mut output = self.output.clone();
        let seen = output.wait_for(|output| output.ended || found(&output.lines).is_some());
        let seen = wait::within(what, seen).await;
        found(&seen.ok()?.lines)
    }

    /// Waits for a line of which `condition` holds.
    pub(super) async fn line_until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let found = |lines: &[String]| lines.iter().find(|line| condition(line)).cloned();
        let line = self.find(what, found).await;
        line.unwrap_or_else(|| panic!("the process ended before {what}"))
    }

    /// Sends a signal.
    pub(super) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for the end, and returns the exit code.
    pub(super) async fn ended(&self) -> Option<i32> {
        let over = || self.lock().try_wait().expect("a child").is_some();
        wait::until("the end of the process", over).await;
        self.lock().wait().expect("a child").code()
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.lock();
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        if std::thread::panicking() {
            eprintln!("--- the process wrote:\n{}\n---", self.lines().join("\n"));
        }
    }
}
