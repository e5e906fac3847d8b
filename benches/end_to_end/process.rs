//! A proxy as a child process: pinned to its own core, measured through `/proc`, and ended with the
//! harness, however that one ends.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::sleep;

/// Ticks per second in `/proc/PID/stat`: `USER_HZ`, which is 100 on every architecture that
/// Debian's Linux runs on, whatever the kernel's own clock.
const TICKS_PER_SECOND: u64 = 100;
/// How long a proxy may take to listen, or to end when asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// The cores that proxies and harness are bound to; `None` on a machine with one core only.
#[derive(Clone, Copy, Debug)]
pub struct Pins {
    pub proxy: usize,
    pub harness: usize,
    /// Whether a proxy may use the harness's core too.
    pub shared: bool,
}

impl Pins {
    /// The first two cores, if there are two.
    pub fn detect() -> Option<Pins> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (cores > 1).then_some(Pins {
            proxy: 0,
            harness: 1,
            shared: false,
        })
    }

    /// The cores of a proxy, as `taskset` wants them.
    fn of_proxy(self) -> String {
        let Pins { proxy, harness, .. } = self;
        if self.shared {
            format!("{proxy},{harness}")
        } else {
            proxy.to_string()
        }
    }

    /// Binds this process, as it is now, to the harness's core.
    pub fn bind_harness(self) -> io::Result<()> {
        let (core, pid) = (self.harness.to_string(), std::process::id().to_string());
        let status = Command::new("taskset")
            .args(["-a", "-c", "-p", &core, &pid])
            .stdout(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other("taskset failed"))
        }
    }
}

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: Duration,
    pub kernel: Duration,
}

impl Cpu {
    pub fn total(self) -> Duration {
        self.user + self.kernel
    }

    /// What was used since `before` was read.
    pub fn since(self, before: Cpu) -> Cpu {
        Cpu {
            user: self.user.saturating_sub(before.user),
            kernel: self.kernel.saturating_sub(before.kernel),
        }
    }
}

/// What is to be started.
pub struct Launch {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, String)>,
    /// Where it will listen.
    pub address: SocketAddr,
    /// Processes that it starts for itself, soon after it listens.
    pub workers: usize,
    /// Gets what it says on its standard error.
    pub log: PathBuf,
}

/// A running proxy; dropped, it ends.
pub struct Process {
    child: Child,
    /// Its own children, as nginx's worker: they are measured and ended with it.
    workers: Vec<u32>,
}

impl Process {
    /// Starts the program, and waits until it listens and its workers are there.
    ///
    /// `setpriv` asks the kernel to end the child if the harness is killed, `taskset` binds it; each
    /// then becomes the next program, so that the child's pid is the proxy's. Call it on the main
    /// thread: the kernel's promise is bound to the thread that starts the child.
    pub async fn start(launch: &Launch, pins: Option<Pins>) -> io::Result<Process> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]);
        if let Some(pins) = pins {
            command.args(["taskset", "-c", &pins.of_proxy()]);
        }
        command.arg(&launch.program).args(&launch.arguments);
        command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&launch.log)?);
        let mut process = Process {
            child: command.spawn()?,
            workers: Vec::new(),
        };
        process.wait_until_listening(launch).await?;
        process.wait_for_workers(launch).await?;
        Ok(process)
    }

    async fn wait_for_workers(&mut self, launch: &Launch) -> io::Result<()> {
        let started = Instant::now();
        while self.workers.len() < launch.workers {
            self.wait_on(started, launch).await?;
            self.workers = children_of(self.child.id())?;
        }
        Ok(())
    }

    /// Waits a moment, unless that is of no use any more.
    async fn wait_on(&mut self, started: Instant, launch: &Launch) -> io::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = fs::read_to_string(&launch.log).unwrap_or_default();
            let program = launch.program.display();
            return Err(io::Error::other(format!("{program}: {status}: {said}")));
        }
        if started.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sleep(Duration::from_millis(5)).await;
        Ok(())
    }

    async fn wait_until_listening(&mut self, launch: &Launch) -> io::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(launch.address).await.is_err() {
            self.wait_on(started, launch).await?;
        }
        Ok(())
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().copied().chain([self.child.id()])
    }

    /// CPU time since the start, threads that have ended included. In steps of 10 ms for each pid.
    pub fn cpu(&self) -> io::Result<Cpu> {
        let ticks = |ticks| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        let mut cpu = Cpu::default();
        for pid in self.pids() {
            let stat = Stat::read(pid)?;
            cpu.user += ticks(stat.field(STAT_UTIME)?);
            cpu.kernel += ticks(stat.field(STAT_STIME)?);
        }
        Ok(cpu)
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> io::Result<u64> {
        let mut kibibytes = 0;
        for pid in self.pids() {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kibibytes += number.ok_or_else(|| io::Error::other("no VmRSS in /proc"))?;
        }
        Ok(kibibytes)
    }
}

impl Drop for Process {
    #[allow(
        clippy::disallowed_methods,
        reason = "a drop cannot wait in any other way"
    )]
    fn drop(&mut self) {
        // Asked first: a killed nginx would leave its worker behind.
        signal(self.child.id(), "TERM");
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > PATIENCE / 4 {
                let _ = self.child.kill();
                let _ = self.child.wait();
                self.workers.iter().for_each(|&pid| signal(pid, "KILL"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: there need not be one in a file.
    let script = format!("kill -s {name} {pid}");
    let _ = Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .status();
}

/// Positions in `/proc/PID/stat`, counted from 0 after the command's name (proc(5)).
const STAT_PARENT: usize = 1;
const STAT_UTIME: usize = 11;
const STAT_STIME: usize = 12;

/// `/proc/PID/stat` from behind the command's name, which may itself hold blanks and brackets.
struct Stat(String);

impl Stat {
    fn read(pid: u32) -> io::Result<Stat> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?.1;
        Ok(Stat(fields.to_owned()))
    }

    fn field(&self, at: usize) -> io::Result<u64> {
        let field = self
            .0
            .split_whitespace()
            .nth(at)
            .and_then(|field| field.parse().ok());
        field.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn children_of(parent: u32) -> io::Result<Vec<u32>> {
    let names =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok());
    let parent = u64::from(parent);
    // A process that ends while the list is read is nobody's child.
    Ok(pids
        .filter(|&pid| Stat::read(pid).and_then(|s| s.field(STAT_PARENT)).ok() == Some(parent))
        .collect())
}
