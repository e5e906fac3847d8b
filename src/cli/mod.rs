//! The subcommands. Each is a call of the library; what they print is for people, or JSON.

pub mod accounts;
pub mod admin;
pub mod check;
pub mod keys;
pub mod running;
pub mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiff::Timestamp;

use crate::{catalog, dev};

/// An AI gateway: one access key for every provider.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/tollgate/tollgate.toml"
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
    /// Manage the catalogs of the running gateway
    Catalog {
        #[command(subcommand)]
        command: running::CatalogCommand,
    },
    /// Run everything locally: prints an access key and the lines to paste
    Dev(dev::Options),
    /// Manage access keys
    Keys {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Manage accounts
    Accounts {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        command: accounts::AccountsCommand,
    },
}

/// Runs what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve(file) => serve::serve(&file.config),
        Command::Check(options) => check::check(&options),
        Command::Schema => {
            print!("{}", catalog::schema());
            Ok(())
        }
        Command::Reload(gateway) => running::reload(&gateway),
        Command::Catalog { command } => running::catalog(&command),
        Command::Dev(options) => dev::run(&options),
        Command::Keys { file, command } => serve::with_store(&file.config, async |store, out| {
            keys::run(command, store, Timestamp::now(), out).await
        }),
        Command::Accounts { file, command } => {
            serve::with_store(&file.config, async |store, out| {
                accounts::run(command, store, Timestamp::now(), out).await
            })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                eprintln!("tollgate: {problem}");
            }
            ExitCode::FAILURE
        }
    }
}
