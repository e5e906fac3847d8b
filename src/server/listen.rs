//! Sockets are bound here, before anything is served from them: a port 0 becomes a real one, and
//! a listener that cannot be had is known before the first request. Pingora takes them over
//! through the table that it has for upgrades. One that the process before has handed over is not bound again.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use pingora::listeners::ListenerConfig;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::{Fds, ListenFds};
use pingora::services::listening::Service;
use rustix::io::Errno;

use super::certificates::{Certificates, Shown};
use super::unix::{self, SocketFile};
use super::upgrade::channel::{Name, Purpose};
use super::upgrade::predecessor::Predecessor;
use crate::config::{AdminAddress, Config};

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

/// A bound Unix socket.
#[derive(Debug)]
pub struct BoundUnix {
    socket: UnixListener,
    path: PathBuf,
    handed_over: bool,
}

/// The admin listener's socket.
#[derive(Debug)]
pub enum BoundAdmin {
    /// At an address.
    Tcp(Bound),
    /// At a path.
    Unix(BoundUnix),
}

/// Everything that the configuration has listened on.
#[derive(Debug)]
pub struct BoundAll {
    /// In the configuration's order.
    pub public: Vec<Bound>,
    /// Where there is one.
    pub admin: Option<BoundAdmin>,
}

impl BoundAll {
    /// The file of the Unix socket, where there is one. It is to be removed with this process if that has made it.
    #[must_use]
    pub fn socket_file(&self) -> Option<SocketFile> {
        match &self.admin {
            Some(BoundAdmin::Unix(bound)) => Some(SocketFile::new(&bound.path, !bound.handed_over)),
            _ => None,
        }
    }
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

    /// Binds all that `config` has listened on. The Unix socket comes last: its file is the one thing that stays where a
    /// later one fails.
    ///
    /// # Errors
    /// The system's, with what could not be bound.
    pub fn bind_all(
        &mut self,
        config: &Config,
        certificates: &Certificates,
    ) -> io::Result<BoundAll> {
        let mut public = Vec::new();
        for listen in &config.listen {
            let mut bound = self.bind(Purpose::Public, listen.address, listen.h2c)?;
            if listen.tls.is_some() {
                bound.tls = certificates.of(listen.address, bound.address);
            }
            public.push(bound);
        }
        let admin = config.admin.as_ref().map(|admin| match &admin.address {
            AdminAddress::Tcp(address) => self
                .bind(Purpose::Admin, *address, false)
                .map(BoundAdmin::Tcp),
            AdminAddress::Unix(path) => self.bind_unix(path.clone()).map(BoundAdmin::Unix),
        });
        Ok(BoundAll {
            public,
            admin: admin.transpose()?,
        })
    }

    fn bind_unix(&mut self, path: PathBuf) -> io::Result<BoundUnix> {
        let handed_over = self.handed_over(&unix_name(&path));
        let is_handed_over = handed_over.is_some();
        let socket = match handed_over {
            Some(socket) => socket.into(),
            None => unix::bind(&path)?,
        };
        socket.set_nonblocking(true)?;
        Ok(BoundUnix {
            socket,
            path,
            handed_over: is_handed_over,
        })
    }

    /// Binds `address`, without TLS.
    ///
    /// # Errors
    /// The system's, with the address.
    fn bind(&mut self, purpose: Purpose, address: SocketAddr, h2c: bool) -> io::Result<Bound> {
        let named = |error: io::Error| {
            let advice = advice(&error);
            io::Error::new(
                error.kind(),
                format!("cannot listen on {address}: {error}{advice}"),
            )
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
                None => service.add_listener(clear(&name)),
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
    pub fn hand_over_unix<A>(
        &mut self,
        bound: BoundUnix,
        service: &mut Service<A>,
    ) -> io::Result<()> {
        let name = unix_name(&bound.path);
        service.add_uds(
            &name.place,
            Some(std::os::unix::fs::PermissionsExt::from_mode(0o660)),
        );
        let copy = bound.socket.try_clone()?;
        self.table
            .lock()
            .add(name.place.clone(), bound.socket.into_raw_fd());
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

fn unix_name(path: &std::path::Path) -> Name {
    Name {
        purpose: Purpose::Admin,
        place: path.to_string_lossy().into_owned(),
    }
}

/// What to do about an address that cannot be had.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            "; raise LimitNOFILE= of the unit (`ulimit -n`)"
        }
        io::ErrorKind::AddrInUse => "; another process listens there, and `ss -ltnp` shows which",
        io::ErrorKind::PermissionDenied => {
            "; a port below 1024 takes the capability CAP_NET_BIND_SERVICE, which the systemd unit gives"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has this address",
        _ => "",
    }
}

/// A listener without TLS. Nothing is read ahead: headers come with the first read, and bodies are read to where they stay.
fn clear(address: &str) -> ListenerConfig {
    let buffer = L4BufferSettings::default().read(0);
    ListenerConfig::tcp(address).l4_buffer(buffer)
}

/// The certificate is asked for at each handshake; the files that Pingora would read are none.
fn settings(shown: Arc<Shown>) -> Result<TlsSettings, String> {
    let mut settings = TlsSettings::intermediate("", "").map_err(|error| error.to_string())?;
    settings.set_cert_resolver(shown);
    settings.enable_h2();
    Ok(settings)
}
