//! Says on a terminal that something takes long, and takes it back when it is over: on standard error, so that no answer has
//! it, and nowhere else.

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::aside;

/// What takes less is not worth a word.
const SHORT: Duration = Duration::from_millis(700);

/// Time between two looks at the clock.
const STEP: Duration = Duration::from_millis(250);

/// What is said as long as this lives.
pub struct Progress {
    said: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins to say that `what` is being done.
    #[must_use]
    pub fn start(what: &str) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_seen = std::io::stderr().is_terminal() && !is_dumb && !aside::is_json();
        let said = is_seen.then(|| {
            let (end, ended) = channel();
            let what = what.to_owned();
            (end, std::thread::spawn(move || show(&what, &ended)))
        });
        Self { said }
    }

    /// The same beside an answer that is written meanwhile, which must not be on the same screen.
    #[must_use]
    pub fn beside_answer(what: &str) -> Self {
        match std::io::stdout().is_terminal() {
            true => Self { said: None },
            false => Self::start(what),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.said.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

fn show(what: &str, ended: &Receiver<()>) {
    let start = Instant::now();
    let mut wait = SHORT;
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = STEP;
        eprint!("\r{what} … {} s", start.elapsed().as_secs());
    }
    if wait == STEP {
        // Back to the beginning of the line, and the line emptied.
        eprint!("\r\u{1b}[2K");
    }
}
