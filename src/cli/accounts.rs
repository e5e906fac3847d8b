//! `tollgate accounts`: who pays.

use std::io::Write;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::keys::{CliError, time, write_columns, write_json};
use crate::store::{AccountRow, Store};

/// What can be done with accounts.
#[derive(Clone, Debug, Subcommand)]
pub enum AccountsCommand {
    /// Make an account
    Create {
        /// Its name, which no other account has
        name: String,
    },
    /// List all accounts
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked, at the time `now`, and writes what there is to see.
///
/// # Errors
/// When the store refuses or fails, or `out` cannot be written.
pub async fn run(
    command: AccountsCommand,
    store: &Store,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        AccountsCommand::Create { name } => {
            store.create_account(&name, now.as_second()).await?;
            writeln!(out, "Account {name} is made.")?;
        }
        AccountsCommand::List { json } => {
            let accounts = store.list_accounts().await?;
            if json {
                let listed: Vec<Listed> = accounts.iter().map(Listed::from).collect();
                write_json(out, &listed)?;
            } else {
                let rows = accounts.iter().map(row).collect();
                write_columns(out, ["NAME", "KEYS", "CREATED"], rows)?;
            }
        }
    }
    Ok(())
}

fn row(account: &AccountRow) -> [String; 3] {
    [
        account.account.name.to_string(),
        account.keys.to_string(),
        time(account.created),
    ]
}

#[derive(Serialize)]
struct Listed<'a> {
    id: i64,
    name: &'a str,
    keys: i64,
    created: String,
}

impl<'a> From<&'a AccountRow> for Listed<'a> {
    fn from(row: &'a AccountRow) -> Self {
        Self {
            id: row.account.id.0,
            name: &row.account.name,
            keys: row.keys,
            created: time(row.created),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Arguments {
        #[command(subcommand)]
        command: AccountsCommand,
    }

    async fn say(store: &Store, arguments: &[&str]) -> Result<String, CliError> {
        let arguments =
            Arguments::try_parse_from(std::iter::once(&"accounts").chain(arguments)).unwrap();
        let mut out = Vec::new();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        run(arguments.command, store, now, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn accounts_are_made_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(
            say(&store, &["list"]).await.unwrap(),
            "NAME  KEYS  CREATED\n"
        );
        say(&store, &["create", "zeta"]).await.unwrap();
        assert_eq!(
            say(&store, &["create", "acme & co"]).await.unwrap(),
            "Account acme & co is made.\n"
        );
        let again = say(&store, &["create", "zeta"]).await.unwrap_err();
        assert_eq!(again.to_string(), r#"there is already an account "zeta""#);
        assert_eq!(
            say(&store, &["list"]).await.unwrap(),
            "NAME       KEYS  CREATED\n\
             acme & co  0     2027-01-15T08:00:00Z\n\
             zeta       0     2027-01-15T08:00:00Z\n"
        );
        let listed: serde_json::Value =
            serde_json::from_str(&say(&store, &["list", "--json"]).await.unwrap()).unwrap();
        assert_eq!(listed[1]["name"], "zeta");
        assert_eq!(listed[1]["created"], "2027-01-15T08:00:00Z");
    }
}
