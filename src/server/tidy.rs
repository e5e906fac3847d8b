//! Drops catalogs that were replaced, once the last request that saw them is over: not on the thread that serves it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::reload::Reloader;

/// How long a catalog that nobody sees may be kept.
const EVERY: Duration = Duration::from_secs(1);

/// Tidies until `shutdown` is ready.
pub(super) async fn run(reloader: Arc<Reloader>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(EVERY) => {
                reloader.aside(|reloader| reloader.live().tidy()).await;
            }
        }
    }
}
