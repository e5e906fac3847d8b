//! Sockets are bound here, before anything is served from them: a port 0 becomes a real one, and
//! a listener that cannot be had is known before the first request. Pingora takes them over
//! through the table that it has for upgrades.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::listeners::tls::TlsSettings;
use pingora::server::{Fds, ListenFds};
use pingora::services::listening::Service;

use super::certificates::Shown;

/// A bound socket, and what is spoken on it.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    /// The address it has.
    pub address: SocketAddr,
    /// Whether HTTP/2 is understood without TLS.
    pub h2c: bool,
    /// What it shows, where TLS is spoken.
    pub tls: Option<Arc<Shown>>,
}

impl Bound {
    /// Binds `address`, without TLS.
    ///
    /// # Errors
    /// The system's, with the address.
    pub fn new(address: SocketAddr, h2c: bool) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        };
        let socket = TcpListener::bind(address).map_err(named)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            h2c,
            tls: None,
        })
    }
}

/// The sockets that services will ask for by address.
pub struct Sockets(ListenFds);

impl Default for Sockets {
    fn default() -> Self {
        Self(Arc::new(Fds::new().into()))
    }
}

impl Sockets {
    /// Gives a service its listeners.
    ///
    /// # Errors
    /// Pingora's.
    pub fn hand_over<A>(&self, bound: Vec<Bound>, service: &mut Service<A>) -> Result<(), String> {
        for listener in bound {
            let name = listener.address.to_string();
            match listener.tls {
                Some(shown) => service.add_tls_with_settings(&name, None, settings(shown)?),
                None => service.add_tcp(&name),
            }
            self.0.lock().add(name, listener.socket.into_raw_fd());
        }
        Ok(())
    }

    /// Gives a service a Unix socket.
    ///
    /// # Errors
    /// The system's.
    pub fn hand_over_unix<A: HttpServerApp>(
        &self,
        path: &Path,
        service: &mut Service<A>,
    ) -> io::Result<()> {
        let name = path.to_string_lossy().into_owned();
        if path.exists() {
            std::fs::remove_file(path)?;
        }
        let socket = UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        service.add_uds(
            &name,
            Some(std::os::unix::fs::PermissionsExt::from_mode(0o660)),
        );
        self.0.lock().add(name, socket.into_raw_fd());
        Ok(())
    }

    /// The table, for a service that starts.
    #[must_use]
    pub fn table(&self) -> ListenFds {
        Arc::clone(&self.0)
    }
}

/// The certificate is asked for at each handshake; the files that Pingora would read are none.
fn settings(shown: Arc<Shown>) -> Result<TlsSettings, String> {
    let mut settings = TlsSettings::intermediate("", "").map_err(|error| error.to_string())?;
    settings.set_cert_resolver(shown);
    settings.enable_h2();
    Ok(settings)
}
