//! What a reload cannot change: it is said, and comes with the next start. These are the sockets, the threads with their pools
//! of connections to providers, which Pingora makes once, and the store, which is what this gateway is.

use crate::config::{AdminAddress, Config, Listen};

/// Keys of the configuration that say otherwise than at the start, and wait for the next one.
pub fn at_next_start(first: &Config, now: &Config) -> Vec<&'static str> {
    let changed = [
        ("server.threads", first.server.threads != now.server.threads),
        ("listen", !same_listeners(&first.listen, &now.listen)),
        ("admin.address", place(first) != place(now)),
        ("store.path", first.store.path != now.store.path),
        (
            "upstream.idle_connections",
            first.upstream.idle_connections != now.upstream.idle_connections,
        ),
    ];
    let changed = changed.iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| *key).collect()
}

fn place(config: &Config) -> Option<&AdminAddress> {
    config.admin.as_ref().map(|admin| &admin.address)
}

/// Whether the sockets are the same and what is spoken on them. Certificates are read again.
fn same_listeners(first: &[Listen], now: &[Listen]) -> bool {
    let kind = |listener: &Listen| (listener.address, listener.h2c, listener.tls.is_some());
    first.iter().map(kind).eq(now.iter().map(kind))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Admin, Tls};
    use crate::secret::SecretRef;

    #[test]
    fn what_waits_for_the_next_start_is_named() {
        let first = Config::default();
        assert!(at_next_start(&first, &first).is_empty());
        let mut now = first.clone();
        now.server.drain *= 2;
        now.limits.connections += 1;
        now.catalog.watch = !now.catalog.watch;
        now.store.audit_kept *= 2;
        now.log.queue += 1;
        now.otel.queue += 1;
        now.dns.timeout *= 2;
        now.admin = now.admin.map(|admin| Admin {
            token: Some(SecretRef::Env("TOKEN".to_owned())),
            ..admin
        });
        assert!(at_next_start(&first, &now).is_empty());
        now.server.threads += 1;
        now.listen[0].address.set_port(1);
        now.store.path.push("x");
        assert_eq!(
            at_next_start(&first, &now),
            ["server.threads", "listen", "store.path"]
        );
    }

    #[test]
    fn another_certificate_is_no_other_listener() {
        let tls = |file: &str| Tls {
            certificate: PathBuf::from(file),
            key: PathBuf::from(file),
        };
        let mut first = Config::default();
        let mut now = first.clone();
        now.listen[0].tls = Some(tls("a"));
        assert_eq!(at_next_start(&first, &now), ["listen"]);
        first.listen[0].tls = Some(tls("b"));
        assert!(at_next_start(&first, &now).is_empty());
    }
}
