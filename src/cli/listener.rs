//! Whether what listens on the admin address may be given the admin token. While the gateway is down, any user of the machine
//! may listen there and wait for it. Only root, this user and the owner of the gateway's data are believed: they have the
//! token, or could take it.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::user;

/// The state of a socket that listens, as proc(5) writes it.
const LISTENS: u8 = 0x0A;

/// Why nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Somebody else listens.
    Stranger(u32),
    /// It cannot be told who does.
    Unknown,
}

impl fmt::Display for Distrust {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger(uid) => write!(
                out,
                "{} listens there, who is neither root, nor you, nor the owner of the gateway's data",
                user::named(*uid)
            ),
            Self::Unknown => out.write_str(
                "this machine does not tell who listens there, as where a port is forwarded",
            ),
        }
    }
}

/// The users who may be given the token.
pub struct Trusted(Vec<u32>);

impl Trusted {
    /// Root, this user, and who owns the store or its folder.
    #[must_use]
    pub fn of(store: Option<&Path>) -> Self {
        let owner = |path: &Path| fs::metadata(path).ok().map(|file| file.uid());
        let mut trusted = vec![0, rustix::process::geteuid().as_raw()];
        trusted.extend(store.and_then(owner));
        trusted.extend(store.and_then(Path::parent).and_then(owner));
        Self(trusted)
    }

    fn hold(&self, uid: u32) -> Result<(), Distrust> {
        match self.0.contains(&uid) {
            true => Ok(()),
            false => Err(Distrust::Stranger(uid)),
        }
    }

    /// Whether the other end of a connection may be given the token.
    ///
    /// # Errors
    /// Why not.
    pub fn unix(&self, socket: &UnixStream) -> Result<(), Distrust> {
        let peer = rustix::net::sockopt::socket_peercred(socket);
        let peer = peer.map_err(|_| Distrust::Unknown)?;
        self.hold(peer.uid.as_raw())
    }

    /// The same of TCP. Who is on another machine is not looked at: users of this one cannot listen there.
    ///
    /// # Errors
    /// Why not.
    pub fn tcp(&self, socket: &TcpStream) -> Result<(), Distrust> {
        let ends = socket
            .peer_addr()
            .and_then(|peer| Ok((peer, socket.local_addr()?)));
        let (peer, local) = ends.map_err(|_| Distrust::Unknown)?;
        if !peer.ip().is_loopback() && peer.ip() != local.ip() {
            return Ok(());
        }
        let table = |name: &str| fs::read_to_string(name).unwrap_or_default();
        // Below `self`, where a unit with ProcSubset=pid sees them, too.
        let text = table("/proc/self/net/tcp") + &table("/proc/self/net/tcp6");
        self.judge(&rows(&text), plain(peer), plain(local))
    }

    /// By the sockets of this machine: all that may have taken the connection, and the end of it where it is taken already.
    fn judge(&self, rows: &[Row], peer: SocketAddr, local: SocketAddr) -> Result<(), Distrust> {
        let listen = |at: fn(IpAddr, IpAddr) -> bool| {
            let is_it = move |row: &&Row| {
                row.state == LISTENS
                    && row.local.port() == peer.port()
                    && at(row.local.ip(), peer.ip())
            };
            rows.iter().filter(is_it).collect::<Vec<_>>()
        };
        // As the kernel picks: who names the address comes before who takes any.
        let mut listeners = listen(|row, peer| row == peer);
        if listeners.is_empty() {
            listeners = listen(|row, _| row.is_unspecified());
        }
        if listeners.is_empty() {
            return Err(Distrust::Unknown);
        }
        // One that nobody has taken yet has no owner, and will be the listener's.
        let taken = |row: &&Row| {
            row.state != LISTENS && row.local == peer && row.remote == local && row.inode != 0
        };
        let ends = rows.iter().filter(taken);
        let mut all = listeners.into_iter().chain(ends);
        all.try_for_each(|row| self.hold(row.uid))
    }
}

/// A socket of this machine.
struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    uid: u32,
    inode: u64,
}

/// The lines of `/proc/self/net/tcp` and `tcp6`; what is none is passed over.
fn rows(text: &str) -> Vec<Row> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    Some(Row {
        local: address(fields.get(1)?)?,
        remote: address(fields.get(2)?)?,
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// `0100007F:1F91`: words of four bytes as the machine has them, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(plain(SocketAddr::new(ip, port)))
}

/// An IPv4 address as such, also where it is written as one of IPv6, and without scope.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    /// A line, of 127.0.0.1:8081 where it is not said otherwise; the port of our end is 40000.
    fn line(local: &str, remote: &str, state: &str, uid: u32, inode: u64) -> String {
        format!(
            "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0 100 0 0 10 0\n"
        )
    }

    fn judged(lines: &[String]) -> Result<(), Distrust> {
        let text = HEAD.to_owned() + &lines.concat();
        let trusted = Trusted(vec![0, 1000, 990]);
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        trusted.judge(&rows(&text), at(8081), at(40_000))
    }

    const HERE: &str = "0100007F:1F91";
    const ANY: &str = "00000000:1F91";
    const ANY6: &str = "00000000000000000000000000000000:1F91";
    const OURS: &str = "0100007F:9C40";
    const NONE: &str = "00000000:0000";

    #[test]
    #[cfg(target_endian = "little")]
    fn a_listener_is_believed_by_its_owner() {
        for (uid, good) in [(0, true), (990, true), (1000, true), (1001, false)] {
            for local in [HERE, ANY, ANY6, "0000000000000000FFFF00000100007F:1F91"] {
                let judged = judged(&[line(local, NONE, "0A", uid, 5)]);
                assert_eq!(judged.is_ok(), good, "{local} {uid}: {judged:?}");
            }
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn who_names_the_address_comes_before_who_takes_any() {
        let mixed = |here, any| {
            judged(&[
                line(ANY6, NONE, "0A", any, 5),
                line(HERE, NONE, "0A", here, 6),
            ])
        };
        assert_eq!(mixed(990, 1001), Ok(()));
        assert_eq!(mixed(1001, 990), Err(Distrust::Stranger(1001)));
        // Two at one address: either may have taken it.
        let both = [
            line(HERE, NONE, "0A", 990, 5),
            line(HERE, NONE, "0A", 1001, 6),
        ];
        assert_eq!(judged(&both), Err(Distrust::Stranger(1001)));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_connection_itself_is_looked_at_where_it_is_taken() {
        let taken = |uid, inode| {
            judged(&[
                line(HERE, NONE, "0A", 990, 5),
                line(HERE, OURS, "01", uid, inode),
            ])
        };
        assert_eq!(taken(990, 7), Ok(()));
        assert_eq!(taken(1001, 7), Err(Distrust::Stranger(1001)));
        // Not yet taken.
        assert_eq!(taken(0, 0), Ok(()));
    }

    #[test]
    fn without_a_listener_it_cannot_be_told() {
        assert_eq!(judged(&[]), Err(Distrust::Unknown));
        let other = line("0100007F:1F92", NONE, "0A", 0, 5);
        assert_eq!(judged(&[other]), Err(Distrust::Unknown));
        let ours = line(OURS, HERE, "01", 0, 5);
        assert_eq!(judged(&[ours]), Err(Distrust::Unknown));
        assert!(rows("x\n\n 0: zz 1 2 3 4 5 6 7 8 9\n").is_empty());
    }

    #[test]
    fn the_sockets_of_this_machine_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let socket = TcpStream::connect(address).expect("connected");
        assert_eq!(Trusted::of(None).tcp(&socket), Ok(()));
        let nobody = Trusted(Vec::new());
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(nobody.tcp(&socket), Err(Distrust::Stranger(uid)));
        let (end, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(Trusted::of(None).unix(&end), Ok(()));
        assert_eq!(nobody.unix(&end), Err(Distrust::Stranger(uid)));
    }
}
