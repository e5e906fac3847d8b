//! Drops what a reload has replaced, once the last request that saw it is over: not on the thread that serves it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::reload::Reloader;
use crate::log::access::AccessLog;
use crate::log::logger;

/// How long what nobody sees may be kept.
const EVERY: Duration = Duration::from_secs(1);

/// Tidies until `shutdown` is ready.
pub(super) async fn run(
    reloader: Arc<Reloader>,
    access_log: Arc<AccessLog>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(EVERY) => {
                let access_log = Arc::clone(&access_log);
                reloader.aside(move |reloader| {
                    reloader.live().tidy();
                    access_log.tidy();
                    logger::tidy();
                }).await;
            }
        }
    }
}
