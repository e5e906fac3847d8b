//! The subcommands. Each is a call of the library; what they print is for people, or JSON.

pub mod accounts;
pub mod admin;
pub mod audit;
mod books;
pub mod catalog;
pub mod check;
pub mod credit;
pub mod explain;
pub mod keys;
pub mod levels;
mod limits;
pub mod manual;
pub mod models;
mod money;
mod offline;
pub mod price;
pub mod provider_keys;
pub mod reconcile;
mod risks;
pub mod running;
mod running_catalog;
mod samples;
pub mod serve;
pub mod status;
mod table;
pub mod usage;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use jiff::Timestamp;

use crate::dev;
use crate::log::logger;
use crate::server::upgrade::program;

/// An AI gateway: one access key for every provider.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is when nobody says.
const DEFAULT_CONFIG: &str = "/etc/tollgate/tollgate.toml";

/// Where something has got worse, or would be refused: the answer is given, and a script can go by it.
const WORSE: u8 = 2;

/// How long the process waits at its end for whoever reads what it told.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = DEFAULT_CONFIG
    )]
    pub config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(ConfigFile),
    /// Report every mistake in configuration and catalog; exits with 1 if there is one
    Check(check::Options),
    /// Print the JSON Schema of catalog files
    Schema,
    /// Have the running gateway read configuration and catalog again
    Reload(admin::Gateway),
    /// Have the program's file started anew and take over from the running gateway, without a request lost
    Upgrade(admin::Gateway),
    /// Say on one screen whether all is well with the running gateway; exits with 2 where something is not
    Status(status::Options),
    /// Have load balancers send requests elsewhere (/readyz says 503), while those that come are served
    Drain(running::DrainOptions),
    /// Look at the log of the running gateway, and have it tell more or less
    Log {
        #[command(subcommand)]
        command: levels::LogCommand,
    },
    /// Print what a shell needs to complete commands and options
    Completions(manual::CompletionsOptions),
    /// Write the man pages, one a command
    Man(manual::ManOptions),
    /// Run everything locally: prints an access key and the lines to paste
    Dev(dev::Options),
    /// Say why a request goes where it goes, without sending it
    Explain(Box<explain::Options>),
    /// List the models of the catalog, with their prices and limits
    Models(Box<models::Options>),
    /// Say what a usage costs at a model
    Price(Box<price::Options>),
    /// Compare catalogs, take over price lists, and manage the catalogs of the running gateway
    Catalog {
        #[command(subcommand)]
        command: catalog::CatalogCommand,
    },
    /// Manage access keys
    Keys {
        #[command(flatten)]
        at: Box<books::Where>,
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Manage provider keys that accounts have stored
    ProviderKeys {
        #[command(flatten)]
        at: Box<books::Where>,
        #[command(subcommand)]
        command: provider_keys::ProviderKeysCommand,
    },
    /// Manage accounts
    Accounts {
        #[command(flatten)]
        at: Box<books::Where>,
        #[command(subcommand)]
        command: accounts::AccountsCommand,
    },
    /// Give credit to accounts, and show what became of it
    Credit {
        #[command(flatten)]
        at: Box<books::Where>,
        #[command(subcommand)]
        command: credit::CreditCommand,
    },
    /// Show what was used and what it cost
    Usage(Box<usage::Options>),
    /// Show what operators changed, or were refused to change
    Audit(Box<audit::Options>),
    /// Hold a provider's own report of usage or costs against our rows; exits with 2 where they differ
    Reconcile(Box<reconcile::Options>),
}

/// Runs what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    if let Some(ended) = program::launch_where_asked() {
        return ended;
    }
    let out = &mut Pipe(std::io::stdout());
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return said(&told),
    };
    let done = match arguments.command {
        Command::Serve(file) => serve::serve(&file.config).map(good),
        Command::Check(options) => check::check(&options),
        Command::Schema => {
            print!("{}", crate::catalog::schema());
            Ok(ExitCode::SUCCESS)
        }
        Command::Reload(gateway) => running::reload(&gateway).map(good),
        Command::Upgrade(gateway) => running::upgrade(&gateway).map(good),
        Command::Status(options) => status::run(&options, out).map(worse),
        Command::Drain(options) => running::drain(&options).map(good),
        Command::Log { command } => levels::run(&command, out).map(good),
        Command::Completions(options) => manual::completions(&options, out).map(good),
        Command::Man(options) => manual::man(&options).map(good),
        Command::Dev(options) => dev::run(&options).map(good),
        Command::Explain(options) => explain::run(&options, out),
        Command::Models(options) => models::run(&options, out).map(good),
        Command::Price(options) => price::run(&options, out).map(good),
        Command::Catalog { command } => catalog::run(&command, out),
        Command::Keys { at, command } => books::with_books(&at, async |books, out| {
            keys::run(command, books, Timestamp::now(), out).await
        })
        .map(good),
        Command::ProviderKeys { at, command } => provider_keys::start(&at, command).map(good),
        Command::Accounts { at, command } => books::with_books(&at, async |books, out| {
            accounts::run(command, books, Timestamp::now(), out).await
        })
        .map(good),
        Command::Credit { at, command } => books::with_books(&at, async |books, out| {
            credit::run(command, books, Timestamp::now(), out).await
        })
        .map(worse),
        Command::Usage(options) => books::with_books(&options.at, async |books, out| {
            usage::run(&options, books, out).await
        })
        .map(good),
        Command::Audit(options) => books::with_books(&options.at, async |books, out| {
            audit::run(&options, books, out).await
        })
        .map(good),
        Command::Reconcile(options) => books::with_books(&options.at, async |books, out| {
            reconcile::run(&options, books, out).await
        })
        .map(worse),
    };
    logger::flush(LAST_LINES);
    match done {
        Ok(code) => code,
        Err(problems) => {
            for problem in problems {
                eprintln!("tollgate: {problem}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Standard output. Who reads only the beginning of it, as `head` does, has what it wants: that is no error.
struct Pipe(std::io::Stdout);

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// Help and version, or what is wrong with the arguments: an error as any other, and nothing that got worse.
fn said(told: &clap::Error) -> ExitCode {
    let _ = told.print();
    if told.use_stderr() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn good((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// The exit code of an answer that says whether something is worse.
fn worse(is: bool) -> ExitCode {
    if is {
        ExitCode::from(WORSE)
    } else {
        ExitCode::SUCCESS
    }
}

/// An error that ends a command, for people.
fn one(error: impl std::fmt::Display) -> Vec<String> {
    vec![error.to_string()]
}
