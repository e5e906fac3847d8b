//! A gateway that runs: until it is told to stop, or until another process takes over.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::Running;
use super::reload::{self, Cause};
use super::signals::{self, End, Signals};
use super::upgrade::Serving;
use super::upgrade::predecessor::{Last, Predecessor};
use crate::kept::LINGER;
use crate::metrics::Upgrade;

/// How often the end of the last request is looked for while draining.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// How long the runtimes may take to end when nothing is under way.
const STOP_TIME: Duration = Duration::from_millis(200);

impl Running {
    /// Says in the log where it listens.
    pub(super) fn tell_addresses(&self) {
        for address in &self.public {
            info!("listening on {address} (public)");
        }
        if let Some(address) = self.admin {
            info!("listening on {address} (admin)");
        }
    }

    /// Serves until a signal says to stop, or another process takes over, then lets what is under way end.
    pub fn run(mut self) {
        let Some((control, mut signals)) = self.control.take().zip(self.signals.take()) else {
            return;
        };
        let Some(mut upgrades) = self.upgrades.take() else {
            return;
        };
        let end = signals.serve(&self.reloader, &self.access_log, &mut upgrades);
        let end = control.block_on(end);
        self.control = Some(control);
        // Ends one that was to take over, and closes its listening sockets.
        drop(upgrades);
        match end {
            End::Stop => self.stop_serving(signals),
            End::Upgraded(successor) => self.leave(signals, successor),
        }
    }

    /// Takes over from the process `before` when that one says so, and runs.
    pub fn take_over(mut self, before: Predecessor) {
        let (Some(control), Some(signals)) = (&self.control, &mut self.signals) else {
            return;
        };
        let go = control.block_on(async {
            tokio::select! {
                go = before.go() => go,
                () = signals.stop() => None,
            }
        });
        let Some((mut word, mut granted)) = go else {
            info!("stopped before it took over");
            return;
        };
        self.drained.store(word.drained, Ordering::Relaxed);
        if let Some(books) = &self.books {
            match word.ledger_elsewhere {
                true => books.ledger.expect_none(),
                false => books.ledger.expect_soon(),
            }
        }
        let _ = self.opened.send(true);
        if let Some(file) = &mut self.socket_file {
            file.is_ours(true);
        }
        self.metrics.upgrade(Upgrade::Done);
        info!("has taken over as process {}", std::process::id());
        self.tell_addresses();
        granted.serving();
        if word.main_follows {
            match control.block_on(granted.main()) {
                Last::Main(last) => {
                    // Else it is as it was, or as this process was told since.
                    if last.drained != word.drained {
                        self.drained.store(last.drained, Ordering::Relaxed);
                    }
                    word = last;
                }
                Last::Stop => {
                    info!("the process before serves on; this one ends");
                    return;
                }
                Last::Nothing => {}
            }
        }
        // From here on systemd listens to this process.
        let _ = self.main.send(true);
        if word.reload {
            let reloader = self.reloader.clone();
            // What is wrong is logged and counted.
            control.spawn(async move { reload::reload(&reloader, Cause::Signal).await });
        }
        self.run();
    }

    /// Stops taking requests, waits for those under way, no longer than the configuration says.
    fn stop_serving(mut self, mut signals: Signals) {
        self.upgrades = None;
        let _ = self.stop.send(true);
        let Some(control) = self.control.take() else {
            return;
        };
        control.block_on(async {
            tokio::select! {
                () = self.drained(self.drain_time()) => {}
                () = signals.serve_stopping(&self.access_log) => {}
            }
        });
        info!("stopped");
        self.control = Some(control);
    }

    /// Hands over to one that serves, and waits for the requests under way and for the connections that are kept.
    fn leave(mut self, mut signals: Signals, mut serving: Serving) {
        let Some(control) = self.control.take() else {
            return;
        };
        let process = serving.successor.id();
        control.block_on(async {
            // From here on systemd takes nothing from this process.
            self.watchdog.abort();
            signals::hand_over(process);
            if let Some(file) = &mut self.socket_file {
                file.is_ours(false);
            }
            serving.is_main().await;
            self.connections.leave();
            self.operators.leave();
            let _ = self.stop.send(true);
            self.hand_books_over().await;
            serving.tell();
            info!("process {process} has taken over; waiting for the requests under way");
            // An answer of this moment is to be read by whoever asked, however short the time is.
            let ended = self.drained(self.drain_time().max(LINGER));
            tokio::select! {
                () = ended => {}
                () = signals.serve_leaving(&serving.successor, &self.access_log) => {}
            }
        });
        info!("stopped; process {process} serves");
        self.control = Some(control);
    }

    /// Has the ledger be the other's, so that it finds it free. What is still held here is told to it.
    async fn hand_books_over(&self) {
        if let Some(books) = &self.books
            && !books.ledger.hand_over().await
        {
            warn!(
                "the ledger cannot be handed over yet, since the store fails; it is as soon as it can be"
            );
        }
    }

    /// As the configuration in use says.
    fn drain_time(&self) -> Duration {
        self.reloader.configuration().server.drain
    }

    /// Ready when everything has ended, after `at_most` at the latest.
    async fn drained(&self, at_most: Duration) {
        if tokio::time::timeout(at_most, self.ended()).await.is_err()
            && self.metrics.in_flight() > 0
        {
            error!(
                "{} request(s) did not end in time and are cut",
                self.metrics.in_flight()
            );
        }
    }

    /// Ready when no request is under way. Where another process has taken over, connections are waited for as well: one may
    /// have been accepted whose request is not here yet.
    async fn ended(&self) {
        let mut quiet = None;
        loop {
            if self.metrics.in_flight() > 0 {
                quiet = None;
            } else {
                let since = *quiet.get_or_insert_with(Instant::now);
                let open = self.connections.waited_for() + self.operators.waited_for();
                if open == 0 {
                    return;
                }
                if since.elapsed() > LINGER * 2 {
                    warn!("{open} connection(s) without a request did not end and are cut");
                    return;
                }
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(workers) = self.workers.take() {
            workers.shutdown_timeout(STOP_TIME);
        }
        // Requests that were cut have told it by now what they cost.
        if let Some(books) = self.books.take() {
            books.close();
        }
        self.telling.end();
        if let Some(control) = self.control.take() {
            control.shutdown_timeout(STOP_TIME);
        }
    }
}
