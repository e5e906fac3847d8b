//! The program that is to take over, and how it is started: not by the process that serves, but by a short-lived one in
//! between. So its parent is the service manager from the beginning, which sees it end, and not a process that leaves.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::{env, fs};

use super::channel::{self, New, VARIABLE};

/// In [`VARIABLE`]: starts the program that it is given, says how that went, and ends.
const LAUNCHER: &str = "launcher";

/// In [`VARIABLE`]: is to take over.
const SUCCESSOR: &str = "successor";

/// The process that systemd expects to hear from; it is not the one that takes over.
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// This program as it runs now, also when its file has been replaced or removed.
const MYSELF: &str = "/proc/self/exe";

/// A program's file and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    file: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// What this process was started as. To be asked early: what is found by a relative path depends on the folder.
    ///
    /// The file is the one that was named, and not the one that a link led to: a link may lead elsewhere by the time of an
    /// upgrade.
    ///
    /// # Errors
    /// The system does not say.
    pub fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let named = arguments.next().map(PathBuf::from).unwrap_or_default();
        let folders = env::var_os("PATH").unwrap_or_default();
        let found = match named.components().count() {
            0 => None,
            1 if !named.is_absolute() && !named.starts_with(".") => env::split_paths(&folders)
                .map(|folder| folder.join(&named))
                .find(|file| file.is_file()),
            _ => Some(named).filter(|file| file.is_file()),
        };
        let file = match found {
            Some(file) => std::path::absolute(file)?,
            None => env::current_exe()?,
        };
        Ok(Self {
            file,
            arguments: arguments.collect(),
        })
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Starts it by way of the launcher, which is returned, with `channel` as its standard input. Who starts, or why nobody
    /// does, is said there. The two are a process group of their own.
    ///
    /// # Errors
    /// There is no launcher.
    pub fn launch(&self, channel: OwnedFd) -> io::Result<Child> {
        Command::new(MYSELF)
            .arg(&self.file)
            .args(&self.arguments)
            .env(VARIABLE, LAUNCHER)
            .stdin(Stdio::from(channel))
            .process_group(0)
            .spawn()
    }
}

/// Does what a launcher does, where this process is one.
#[must_use]
pub fn launch_where_asked() -> Option<ExitCode> {
    if env::var_os(VARIABLE)? != *LAUNCHER {
        return None;
    }
    let mut arguments = env::args_os().skip(1);
    let file = arguments.next()?;
    let started = Command::new(&file)
        .args(arguments)
        .env(VARIABLE, SUCCESSOR)
        .env_remove(WATCHDOG_PROCESS)
        .spawn();
    let said = match started {
        Ok(process) => New::Started(process.id()),
        Err(error) => New::Failed(vec![format!("{}: {error}", Path::new(&file).display())]),
    };
    let told = standard_input().and_then(|channel| {
        let mut channel = fs::File::from(channel);
        channel.write_all(&channel::line(&said)?)
    });
    Some(match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// Whether this process is to take over from another.
pub(super) fn is_successor() -> bool {
    env::var_os(VARIABLE).is_some_and(|part| part == *SUCCESSOR)
}

/// A copy of the standard input, which is the channel in both parts.
pub(super) fn standard_input() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_found_again() {
        let program = Program::of_this_process().unwrap();
        assert!(program.file().is_absolute());
        assert!(program.file().is_file());
        assert_eq!(program.arguments.len(), env::args_os().len() - 1);
    }

    #[test]
    fn a_usual_process_has_no_part_in_an_upgrade() {
        assert!(launch_where_asked().is_none());
        assert!(!is_successor());
    }
}
