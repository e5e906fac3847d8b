//! The subcommands. Each is a call of the library; what they print is for people, or JSON.

pub mod accounts;
pub mod admin;
mod aside;
pub mod audit;
mod books;
pub mod catalog;
pub mod check;
pub mod credit;
pub mod exit;
pub mod explain;
mod form;
pub mod keys;
pub mod levels;
mod limits;
mod listener;
pub mod manual;
pub mod models;
mod money;
mod offline;
pub mod price;
mod problems;
mod progress;
pub mod provider_keys;
pub mod reconcile;
mod risks;
pub mod running;
mod running_catalog;
mod samples;
pub mod serve;
pub mod status;
mod table;
mod terminal;
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
use exit::{Exit, Failure};
use form::Form;
use terminal::{Colour, Pipe};

/// An AI gateway: one access key for every provider.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about, disable_help_subcommand = true)]
struct Arguments {
    /// When there are colours; NO_COLOR and CLICOLOR_FORCE are gone by, too
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is when nobody says.
const DEFAULT_CONFIG: &str = "/etc/tollgate/tollgate.toml";

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
    Serve(serve::Options),
    /// Report every mistake in configuration and catalog; exits with 1 if there is one
    Check(check::Options),
    /// Print the JSON Schema of catalog files
    #[command(after_help = "Example:\n  tollgate schema > catalog.schema.json")]
    Schema(Form),
    /// Have the running gateway read configuration and catalog again
    #[command(after_help = "Examples:\n  tollgate reload\n  tollgate check && tollgate reload")]
    Reload(running::Options),
    /// Have the program's file started anew and take over from the running gateway, without a request lost
    #[command(after_help = "Example:\n  tollgate upgrade")]
    Upgrade(running::Options),
    /// Say on one screen whether all is well with the running gateway; exits with 3 where something is not
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
    /// Hold a provider's own report of usage or costs against our rows; exits with 3 where they differ
    Reconcile(Box<reconcile::Options>),
}

/// Runs what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    if let Some(ended) = program::launch_where_asked() {
        return ended;
    }
    aside::init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return said(&told).into(),
    };
    arguments.color.init();
    let done = arguments.command.run(&mut Pipe::new());
    logger::flush(LAST_LINES);
    let exit = done.unwrap_or_else(|failure| {
        aside::fail(&failure);
        failure.exit
    });
    exit.into()
}

impl Command {
    fn run(self, out: &mut Pipe) -> Result<Exit, Failure> {
        match self {
            Self::Serve(options) => Ok(serve::serve(&options.file.config).map(done)?),
            Self::Check(options) => check::check(&options, out),
            Self::Schema(_) => manual::schema(out).map(done),
            Self::Reload(options) => running::reload(&options, out).map(done),
            Self::Upgrade(options) => running::upgrade(&options, out).map(done),
            Self::Status(options) => status::run(&options, out).map(Exit::of_look),
            Self::Drain(options) => running::drain(&options, out).map(done),
            Self::Log { command } => levels::run(&command, out).map(done),
            Self::Completions(options) => manual::completions(&options, out).map(done),
            Self::Man(options) => manual::man(&options, out).map(done),
            Self::Dev(options) => Ok(dev::run(&options).map(done)?),
            Self::Explain(options) => explain::run(&options, out),
            Self::Models(options) => Ok(models::run(&options, out).map(done)?),
            Self::Price(options) => Ok(price::run(&options, out).map(done)?),
            Self::Catalog { command } => catalog::run(&command, out),
            command => command.on_books(),
        }
    }

    /// Those on accounts, keys, credit and usage.
    fn on_books(self) -> Result<Exit, Failure> {
        let now = Timestamp::now();
        match self {
            Self::Keys { at, command } => books::with_books(&at, async |books, out| {
                keys::run(command, books, now, out).await
            })
            .map(done),
            Self::ProviderKeys { at, command } => provider_keys::start(&at, command).map(done),
            Self::Accounts { at, command } => books::with_books(&at, async |books, out| {
                accounts::run(command, books, now, out).await
            })
            .map(done),
            Self::Credit { at, command } => books::with_books(&at, async |books, out| {
                credit::run(command, books, now, out).await
            })
            .map(Exit::of_look),
            Self::Usage(options) => books::with_books(&options.at, async |books, out| {
                usage::run(&options, books, out).await
            })
            .map(done),
            Self::Audit(options) => books::with_books(&options.at, async |books, out| {
                audit::run(&options, books, out).await
            })
            .map(done),
            Self::Reconcile(options) => books::with_books(&options.at, async |books, out| {
                reconcile::run(&options, books, out).await
            })
            .map(Exit::of_look),
            // The others have been run above.
            _ => Ok(Exit::Done),
        }
    }
}

/// Help and version, or what is wrong with the arguments.
fn said(told: &clap::Error) -> Exit {
    if told.use_stderr() {
        aside::misused(told);
        Exit::Usage
    } else {
        let _ = told.print();
        Exit::Done
    }
}

fn done((): ()) -> Exit {
    Exit::Done
}

/// An error that ends a command, for people.
fn one(error: impl std::fmt::Display) -> Vec<String> {
    vec![error.to_string()]
}
