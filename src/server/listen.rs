//! Sockets are bound here, before anything is served from them: a port 0 becomes a real one, and
//! a listener that cannot be had is known before the first request. Pingora takes them over
//! through the table that it has for upgrades. One that the process before has handed over is not bound again.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use pingora::listeners::tls::TlsSettings;
use pingora::server::{Fds, ListenFds};
use pingora::services::listening::Service;

use super::certificates::Shown;
use super::upgrade::channel::{Name, Purpose};
use super::upgrade::predecessor::Predecessor;

/// A bound socket, and what is spoken on it.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    name: Name,
    /// The address it has.
    pub address: SocketAddr,
    /// Whether HTTP/2 is understood without TLS.
    pub h2c: bool,
    /// What it shows, where TLS is spoken.
    pub tls: Option<Arc<Shown>>,
}

/// The sockets that services will ask for by address.
pub struct Sockets<'a> {
    table: ListenFds,
    /// A copy of each, for the process that will take over.
    kept: Vec<(Name, OwnedFd)>,
    /// The process to take over from.
    before: Option<&'a mut Predecessor>,
}

impl<'a> Sockets<'a> {
    /// None yet; those are taken that the process `before` has handed over.
    #[must_use]
    pub fn new(before: Option<&'a mut Predecessor>) -> Self {
        Self {
            table: Arc::new(Fds::new().into()),
            kept: Vec::new(),
            before,
        }
    }

    /// Binds `address`, without TLS.
    ///
    /// # Errors
    /// The system's, with the address.
    pub fn bind(&mut self, purpose: Purpose, address: SocketAddr, h2c: bool) -> io::Result<Bound> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        };
        let name = Name {
            purpose,
            place: address.to_string(),
        };
        let socket = match self.handed_over(&name) {
            Some(socket) => socket.into(),
            None => TcpListener::bind(address).map_err(named)?,
        };
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Bound {
            socket,
            name,
            address,
            h2c,
            tls: None,
        })
    }

    fn handed_over(&mut self, name: &Name) -> Option<OwnedFd> {
        self.before.as_mut()?.socket(name.purpose, &name.place)
    }

    /// Gives a service its listeners.
    ///
    /// # Errors
    /// Pingora's, or the process has no file descriptor left.
    pub fn hand_over<A>(
        &mut self,
        bound: Vec<Bound>,
        service: &mut Service<A>,
    ) -> Result<(), String> {
        for listener in bound {
            let name = listener.address.to_string();
            match listener.tls {
                Some(shown) => service.add_tls_with_settings(&name, None, settings(shown)?),
                None => service.add_tcp(&name),
            }
            let copy = listener
                .socket
                .try_clone()
                .map_err(|error| error.to_string())?;
            self.kept.push((listener.name, copy.into()));
            self.table.lock().add(name, listener.socket.into_raw_fd());
        }
        Ok(())
    }

    /// Gives a service a Unix socket.
    ///
    /// # Errors
    /// The system's.
    pub fn hand_over_unix<A>(&mut self, path: &Path, service: &mut Service<A>) -> io::Result<()> {
        let place = path.to_string_lossy().into_owned();
        let name = Name {
            purpose: Purpose::Admin,
            place,
        };
        let socket = match self.handed_over(&name) {
            Some(socket) => socket.into(),
            None => bind_unix(path)?,
        };
        socket.set_nonblocking(true)?;
        service.add_uds(
            &name.place,
            Some(std::os::unix::fs::PermissionsExt::from_mode(0o660)),
        );
        let copy = socket.try_clone()?;
        self.table
            .lock()
            .add(name.place.clone(), socket.into_raw_fd());
        self.kept.push((name, copy.into()));
        Ok(())
    }

    /// The table, for a service that starts.
    #[must_use]
    pub fn table(&self) -> ListenFds {
        Arc::clone(&self.table)
    }

    /// A copy of each that was given to a service.
    #[must_use]
    pub fn into_kept(self) -> Vec<(Name, OwnedFd)> {
        self.kept
    }
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// The certificate is asked for at each handshake; the files that Pingora would read are none.
fn settings(shown: Arc<Shown>) -> Result<TlsSettings, String> {
    let mut settings = TlsSettings::intermediate("", "").map_err(|error| error.to_string())?;
    settings.set_cert_resolver(shown);
    settings.enable_h2();
    Ok(settings)
}
