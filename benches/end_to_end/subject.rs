//! What is measured: the proxies, and the way without one.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::gateway::Keys;
use crate::options::Options;
use crate::process::{Cpu, Launch, Pins, Process};
use crate::{gateway, nginx};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From the load generator to the mock upstream, nothing between them.
    Direct,
    Gateway,
    /// The gateway that writes no rows for what costs an account nothing.
    NoRows,
    Bare,
    Nginx,
}

impl Kind {
    pub const PROXIES: [Kind; 4] = [Kind::Gateway, Kind::NoRows, Kind::Bare, Kind::Nginx];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Direct => "direct",
            Kind::Gateway => "gateway",
            Kind::NoRows => "no-rows",
            Kind::Bare => "bare",
            Kind::Nginx => "nginx",
        }
    }

    /// Whether it puts the upstream's name for the model in place.
    pub fn names_model(self) -> bool {
        matches!(self, Kind::Gateway | Kind::NoRows)
    }
}

/// A proxy that serves, or the mock upstream itself.
pub struct Subject {
    pub kind: Kind,
    pub address: SocketAddr,
    /// The gateway's admin listener.
    pub admin: Option<SocketAddr>,
    /// None for [`Kind::Direct`].
    process: Option<Process>,
}

/// What all subjects share.
pub struct Stage<'a> {
    pub options: &'a Options,
    /// For configurations, logs and the store; removed at the end.
    pub folder: &'a Path,
    pub upstream: SocketAddr,
    pub pins: Option<Pins>,
    /// The gateway's worker threads.
    pub threads: u32,
}

impl Stage<'_> {
    pub fn direct(&self) -> Subject {
        Subject {
            kind: Kind::Direct,
            address: self.upstream,
            admin: None,
            process: None,
        }
    }

    /// Starts a proxy, with the access keys that it knows, if it knows any.
    pub async fn start(&self, kind: Kind) -> io::Result<(Subject, Option<Keys>)> {
        let address = free_address()?;
        let (mut keys, mut admin) = (None, None);
        let (program, arguments) = match kind {
            Kind::Direct => return Ok((self.direct(), None)),
            Kind::Gateway | Kind::NoRows => {
                let program = self.gateway_program();
                let free = free_address()?;
                admin = Some(free);
                let addresses = gateway::Addresses {
                    listen: address,
                    admin: free,
                    upstream: self.upstream,
                };
                let (folder, more) = match kind {
                    Kind::NoRows => (self.folder.join(kind.name()), gateway::NO_ROWS),
                    _ => (self.folder.to_owned(), ""),
                };
                let config = gateway::write_config(&folder, addresses, self.threads, more)?;
                keys = Some(gateway::create_keys(Path::new(&program), &config)?);
                (program, gateway::serve_arguments(&config))
            }
            Kind::Bare => (self.bare_program()?, self.bare_arguments(address)),
            Kind::Nginx => {
                let gather = self.options.nginx_gathers_bodies;
                let config = nginx::write_config(self.folder, address, self.upstream, gather)?;
                (nginx::PROGRAM.into(), vec!["-c".into(), config.into()])
            }
        };
        let launch = Launch {
            program,
            arguments,
            environment: gateway::environment(),
            address,
            workers: usize::from(kind == Kind::Nginx),
            log: self.folder.join(format!("{}.stderr", kind.name())),
        };
        let process = Some(Process::start(&launch, self.pins).await?);
        Ok((
            Subject {
                kind,
                address,
                admin,
                process,
            },
            keys,
        ))
    }

    /// The gateway's binary.
    pub fn gateway_program(&self) -> OsString {
        let other = self.options.gateway.clone();
        other.unwrap_or_else(|| gateway::PROGRAM.into())
    }

    fn bare_program(&self) -> io::Result<OsString> {
        match &self.options.bare {
            Some(program) => Ok(program.clone()),
            None => Ok(env::current_exe()?.into()),
        }
    }

    fn bare_arguments(&self, listen: SocketAddr) -> Vec<OsString> {
        vec![
            "bare".into(),
            listen.to_string().into(),
            self.upstream.to_string().into(),
            "1".into(),
        ]
    }
}

impl Subject {
    /// CPU time of the proxy since its start; nothing for [`Kind::Direct`].
    pub fn cpu(&self) -> io::Result<Cpu> {
        self.process
            .as_ref()
            .map_or(Ok(Cpu::default()), Process::cpu)
    }

    /// Resident memory of the proxy, in KiB; nothing for [`Kind::Direct`].
    pub fn resident(&self) -> io::Result<u64> {
        self.process.as_ref().map_or(Ok(0), Process::resident)
    }
}

/// A port that was free a moment ago: proxies take numbers, not sockets.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((gateway::LOOPBACK, 0))?.local_addr()
}
