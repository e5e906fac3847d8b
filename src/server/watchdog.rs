//! systemd's watchdog (`WatchdogSec=`): it is told that all is well only while every thread that serves requests does work.
//! Where one hangs it is told nothing more, and systemd starts the gateway anew.

use std::time::Duration;

use log::{info, warn};
use pingora_runtime::Runtime;
use sd_notify::NotifyState;
use tokio::runtime::Handle;

/// Times that systemd is told in the time that it waits.
const TOLD: u32 = 3;

/// The threads that serve requests.
pub fn threads(workers: &Runtime) -> Vec<Handle> {
    match workers {
        Runtime::NoSteal(workers) => (0..workers.threads())
            .map(|at| workers.get_runtime_at(at).clone())
            .collect(),
        workers => vec![workers.get_handle().clone()],
    }
}

/// Tells systemd, where it waits to be told; never returns.
pub async fn run(threads: Vec<Handle>) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    info!("systemd's watchdog is told {TOLD} times in {patience:?} that requests are served");
    watch(&threads, patience / TOLD, || {
        if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
            warn!("systemd's watchdog was not told: {error}");
        }
    })
    .await;
}

/// Calls `well` again and again, each time after all of `threads` have done something.
async fn watch(threads: &[Handle], every: Duration, mut well: impl FnMut()) {
    loop {
        let asked: Vec<_> = threads
            .iter()
            .map(|thread| thread.spawn(async {}))
            .collect();
        for asked in asked {
            if asked.await.is_err() {
                // The threads end: so does the process.
                return std::future::pending().await;
            }
        }
        well();
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn thread() -> tokio::runtime::Runtime {
        let mut thread = tokio::runtime::Builder::new_multi_thread();
        let thread = thread.worker_threads(1).enable_time().build();
        thread.expect("a runtime")
    }

    #[test]
    fn a_thread_that_hangs_is_not_well() {
        let (one, other, control) = (thread(), thread(), thread());
        let threads = [one.handle().clone(), other.handle().clone()];
        let (tell, mut told) = unbounded_channel();
        let enter = control.enter();
        let watched = tokio::spawn(async move {
            watch(&threads, Duration::from_millis(1), || {
                let _ = tell.send(());
            })
            .await;
        });
        drop(enter);
        for _ in 0..3 {
            control.block_on(told.recv()).expect("all is well");
        }
        let (go_on, hangs) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        other.spawn(async move {
            begin.send(()).expect("awaited");
            // Not as a task should wait: the thread does nothing else meanwhile.
            let _ = hangs.recv();
        });
        begun.recv().expect("it hangs");
        // What was asked before it hung may still be told.
        while let Ok(Some(())) = control
            .block_on(async { tokio::time::timeout(Duration::from_millis(500), told.recv()).await })
        {
        }
        assert!(told.is_empty() && !watched.is_finished());
        drop(go_on);
        control.block_on(told.recv()).expect("all is well again");
        watched.abort();
    }
}
