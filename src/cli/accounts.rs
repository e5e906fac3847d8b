//! `tollgate accounts`: who pays, and how. A running gateway notices a change within a second.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::books::Books;
use super::form::Form;
use super::keys::{CliError, time, write_columns, write_json};
use super::money::dollars;
use super::table;
use super::terminal::Out;
use crate::money::Credits;
use crate::statement::account::{Account, Pays};
use crate::store::{AccountDetails, Billing};

/// What can be done with accounts.
#[derive(Clone, Debug, Subcommand)]
pub enum AccountsCommand {
    /// Make an account; prepaid, unless it is said otherwise
    #[command(after_help = "\
Examples:
  tollgate accounts create acme
  tollgate accounts create lab --postpaid --limit 500")]
    Create {
        /// Its name, which no other account has
        name: String,
        /// How it pays
        #[command(flatten)]
        billing: NewBilling,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Limit the requests of an account that may be under way at one time, over all its keys
    #[command(after_help = "\
Examples:
  tollgate accounts limit acme --in-flight 50
  tollgate accounts limit acme --in-flight none")]
    Limit {
        /// Its name
        name: String,
        /// How many, from 1 to 1000000, or none for any number
        #[arg(long, value_name = "COUNT", value_parser = in_flight)]
        in_flight: InFlight,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// List all accounts
    #[command(after_help = "Examples:\n  tollgate accounts list\n  tollgate accounts list --json")]
    List(Form),
    /// Show an account with its credit
    #[command(after_help = "Example:\n  tollgate accounts show acme")]
    Show {
        /// Its name
        name: String,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Change how an account pays
    #[command(after_help = "\
Examples:
  tollgate accounts set acme --postpaid --limit 500
  tollgate accounts set acme --prepaid")]
    Set {
        /// Its name
        name: String,
        /// What changes
        #[command(flatten)]
        change: Change,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Close an account for good: its keys are refused, what it has or owes stays in the books
    #[command(after_help = "Example:\n  tollgate accounts close acme")]
    Close {
        /// Its name
        name: String,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
}

/// How a new account pays.
#[derive(Args, Clone, Copy, Debug)]
pub struct NewBilling {
    /// Pay afterwards: the balance may go below zero
    #[arg(long)]
    postpaid: bool,
    /// How far below zero, in dollars; without end by default
    #[arg(
        long,
        value_name = "AMOUNT",
        requires = "postpaid",
        allow_negative_numbers = true
    )]
    limit: Option<Credits>,
}

impl NewBilling {
    fn billing(self) -> Billing {
        match self.postpaid {
            true => Billing::Postpaid { limit: self.limit },
            false => Billing::Prepaid,
        }
    }
}

/// What changes of how an account pays.
#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// Pay from what was granted: the balance does not go below zero any more
    #[arg(long, conflicts_with_all = ["postpaid", "limit", "no_limit"])]
    prepaid: bool,
    /// Pay afterwards: the balance may go below zero
    #[arg(long)]
    postpaid: bool,
    /// How far below zero the balance of a postpaid account may go, in dollars
    #[arg(
        long,
        value_name = "AMOUNT",
        conflicts_with = "no_limit",
        allow_negative_numbers = true
    )]
    limit: Option<Credits>,
    /// Let the balance of a postpaid account go below zero without end
    #[arg(long)]
    no_limit: bool,
}

impl Change {
    /// What becomes of an account that pays in this way.
    fn of(self, now: Billing) -> Result<Billing, CliError> {
        let (pays, had) = Pays::of(now);
        match (self.prepaid, self.postpaid, pays) {
            (true, _, _) => Ok(Billing::Prepaid),
            (false, false, Pays::Prepaid) => Err(CliError::Argument(
                "the account is prepaid, and has no limit but its balance; say --postpaid too"
                    .to_owned(),
            )),
            (false, _, _) => Ok(Billing::Postpaid {
                limit: self.limit.or(had).filter(|_| !self.no_limit),
            }),
        }
    }
}

/// A limit, or that there is none.
#[derive(Clone, Copy, Debug)]
pub struct InFlight(Option<u32>);

fn in_flight(text: &str) -> Result<InFlight, String> {
    /// As many as the process may have.
    const BOUNDS: std::ops::RangeInclusive<u32> = 1..=1_000_000;
    if text == "none" {
        return Ok(InFlight(None));
    }
    let limit = text.parse().ok().filter(|limit| BOUNDS.contains(limit));
    limit
        .map(|limit| InFlight(Some(limit)))
        .ok_or_else(|| "a limit is a number from 1 to 1000000, or none".to_owned())
}

/// Does what was asked, at the time `now`, and writes what there is to see.
///
/// # Errors
/// When an argument makes no sense, the store refuses or fails, or `out` cannot be written.
pub async fn run(
    command: AccountsCommand,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    match command {
        AccountsCommand::Create {
            name,
            billing,
            form,
        } => {
            let billing = billing.billing();
            let at = now.as_second();
            books.create_account(&name, billing, at).await?;
            let what = format!("is made ({})", words(billing));
            tell(&name, &what, form, books, out).await
        }
        AccountsCommand::Limit {
            name,
            in_flight: InFlight(limit),
            form,
        } => {
            let account = books.account_named(&name).await?;
            books.limit_account(account.account.id, limit).await?;
            let many = limit.map_or_else(|| "any number of".to_owned(), |limit| limit.to_string());
            let what = format!("may have {many} requests under way");
            tell(&name, &what, form, books, out).await
        }
        AccountsCommand::List(form) => list(books, form, out).await,
        AccountsCommand::Show { name, form } => {
            let account = books.account_named(&name).await?;
            match form.json {
                true => write_json(out, &Account::from(&account)),
                false => show(&account, out),
            }
        }
        AccountsCommand::Set { name, change, form } => {
            let account = books.account_named(&name).await?;
            let billing = change.of(account.billing)?;
            books.set_billing(account.account.id, billing).await?;
            let what = format!("is {} now", words(billing));
            tell(&name, &what, form, books, out).await
        }
        AccountsCommand::Close { name, form } => {
            let id = books.account_named(&name).await?.account.id;
            books.close_account(id, now.as_second()).await?;
            tell(&name, "is closed", form, books, out).await
        }
    }
}

/// Says what became of an account: as a sentence, or as what the account is now.
async fn tell(
    name: &str,
    what: &str,
    form: Form,
    books: &Books,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    if form.json {
        let account = books.account_named(name).await?;
        return write_json(out, &Account::from(&account));
    }
    Ok(writeln!(out, "Account {name} {what}.")?)
}

/// How an account pays, in words.
fn words(billing: Billing) -> String {
    match billing {
        Billing::Prepaid => "prepaid".to_owned(),
        Billing::Postpaid { limit: None } => "postpaid without limit".to_owned(),
        Billing::Postpaid { limit: Some(limit) } => format!("postpaid down to -{}", dollars(limit)),
    }
}

fn available(account: &AccountDetails) -> String {
    account
        .available()
        .map_or_else(|| "no limit".to_owned(), dollars)
}

async fn list(books: &Books, form: Form, out: &mut dyn Out) -> Result<(), CliError> {
    let accounts = books.accounts().await?;
    if form.json {
        let listed: Vec<Account> = accounts.iter().map(Account::from).collect();
        return write_json(out, &listed);
    }
    let header = [
        "NAME",
        "BILLING",
        "BALANCE",
        "HELD",
        "AVAILABLE",
        "KEYS",
        "STATE",
        "CREATED",
    ];
    write_columns(out, header, accounts.iter().map(row).collect())
}

fn row(account: &AccountDetails) -> [String; 8] {
    let state = match account.closed {
        Some(_) => "closed",
        None => "open",
    };
    [
        account.account.name.to_string(),
        Pays::of(account.billing).0.as_str().to_owned(),
        dollars(account.balance),
        dollars(account.held),
        available(account),
        account.keys.to_string(),
        state.to_owned(),
        time(account.created),
    ]
}

fn show(account: &AccountDetails, out: &mut dyn Out) -> Result<(), CliError> {
    let never = || "never".to_owned();
    let lines = [
        ("name", account.account.name.to_string()),
        ("number", account.account.id.0.to_string()),
        ("billing", words(account.billing)),
        ("balance", dollars(account.balance)),
        ("held", dollars(account.held)),
        ("available", available(account)),
        (
            "in flight",
            account
                .in_flight
                .map_or_else(|| "any number".to_owned(), |limit| limit.to_string()),
        ),
        ("next expiry", account.expires.map_or_else(never, time)),
        ("keys", account.keys.to_string()),
        ("created", time(account.created)),
        ("closed", account.closed.map_or_else(never, time)),
    ];
    Ok(table::pairs(out, &lines)?)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests {
    use super::*;
    use crate::store::Store;
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Arguments {
        #[command(subcommand)]
        command: AccountsCommand,
    }

    fn parsed(arguments: &[&str]) -> Result<AccountsCommand, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"accounts").chain(arguments))
            .map(|arguments| arguments.command)
    }

    async fn say(store: &Store, arguments: &[&str]) -> Result<String, CliError> {
        let mut out = Vec::new();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        run(
            parsed(arguments).unwrap(),
            &Books::Store(store.clone()),
            now,
            &mut out,
        )
        .await?;
        Ok(String::from_utf8(out).unwrap())
    }

    async fn open() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn accounts_are_made_listed_and_shown() {
        let (_folder, store) = open().await;
        let header = "NAME  BILLING  BALANCE  HELD  AVAILABLE  KEYS  STATE  CREATED\n";
        assert_eq!(say(&store, &["list"]).await.unwrap(), header);
        assert_eq!(
            say(&store, &["create", "zeta"]).await.unwrap(),
            "Account zeta is made (prepaid).\n"
        );
        let postpaid = ["create", "acme & co", "--postpaid", "--limit", "20.5"];
        assert_eq!(
            say(&store, &postpaid).await.unwrap(),
            "Account acme & co is made (postpaid down to -20.50).\n"
        );
        let again = say(&store, &["create", "zeta"]).await.unwrap_err();
        assert_eq!(again.to_string(), r#"there is already an account "zeta""#);
        assert_eq!(
            say(&store, &["list"]).await.unwrap(),
            "NAME       BILLING   BALANCE  HELD  AVAILABLE  KEYS  STATE  CREATED\n\
             acme & co  postpaid     0.00  0.00      20.50     0  open   2027-01-15T08:00:00Z\n\
             zeta       prepaid      0.00  0.00       0.00     0  open   2027-01-15T08:00:00Z\n"
        );
        let listed: serde_json::Value =
            serde_json::from_str(&say(&store, &["list", "--json"]).await.unwrap()).unwrap();
        assert_eq!(listed[1]["name"], "zeta");
        let shown: serde_json::Value =
            serde_json::from_str(&say(&store, &["show", "acme & co", "--json"]).await.unwrap())
                .unwrap();
        assert_eq!(shown, listed[0]);
        let expected = json!({
            "id": 2, "name": "acme & co", "billing": "postpaid", "limit": "20.5", "balance": "0", "held": "0",
            "available": "20.5", "in_flight": null, "next_expiry": null, "keys": 0, "created": "2027-01-15T08:00:00Z", "closed": null,
        });
        assert_eq!(shown, expected);
        let shown = say(&store, &["show", "zeta"]).await.unwrap();
        assert!(shown.contains("billing      prepaid\n"), "{shown}");
        assert!(shown.contains("closed       never\n"), "{shown}");
    }

    #[tokio::test]
    async fn how_an_account_pays_is_changed_and_it_is_closed() {
        let (_folder, store) = open().await;
        say(&store, &["create", "acme"]).await.unwrap();
        for (arguments, expected) in [
            (&["--postpaid"][..], "postpaid without limit"),
            (&["--limit", "5"], "postpaid down to -5.00"),
            (&["--postpaid"], "postpaid down to -5.00"),
            (&["--no-limit"], "postpaid without limit"),
            (
                &["--postpaid", "--limit", "0.000000001"],
                "postpaid down to -0.000000001",
            ),
            (&["--prepaid"], "prepaid"),
        ] {
            let said = say(&store, &[&["set", "acme"], arguments].concat()).await;
            assert_eq!(said.unwrap(), format!("Account acme is {expected} now.\n"));
        }
        let refused = say(&store, &["set", "acme", "--limit", "5"])
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("say --postpaid"), "{refused}");
        let refused = say(&store, &["set", "nobody", "--prepaid"])
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("no account \"nobody\""),
            "{refused}"
        );
        let closed = say(&store, &["close", "acme"]).await.unwrap();
        assert_eq!(closed, "Account acme is closed.\n");
        let listed = say(&store, &["list"]).await.unwrap();
        assert!(listed.contains("closed"), "{listed}");
    }

    #[test]
    fn amounts_that_make_no_sense_are_refused_with_the_reason() {
        for (arguments, words) in [
            (&["create", "a", "--limit", "5"][..], "--postpaid"),
            (
                &["create", "a", "--postpaid", "--limit", "-5"],
                "not below zero",
            ),
            (
                &["create", "a", "--postpaid", "--limit", "0.0000000001"],
                "too many decimals",
            ),
            (
                &["create", "a", "--postpaid", "--limit", "99999999999"],
                "too large",
            ),
            (
                &["create", "a", "--postpaid", "--limit", "5$"],
                "not an amount",
            ),
            (&["set", "a"], "required"),
            (
                &["set", "a", "--prepaid", "--limit", "5"],
                "cannot be used with",
            ),
            (
                &["set", "a", "--limit", "5", "--no-limit"],
                "cannot be used with",
            ),
        ] {
            let refused = parsed(arguments).unwrap_err().to_string();
            assert!(refused.contains(words), "{arguments:?}: {refused}");
        }
    }

    #[tokio::test]
    async fn an_account_is_limited_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        say(&store, &["create", "acme"]).await.unwrap();
        assert_eq!(
            say(&store, &["limit", "acme", "--in-flight", "8"])
                .await
                .unwrap(),
            "Account acme may have 8 requests under way.\n"
        );
        assert_eq!(
            say(&store, &["limit", "acme", "--in-flight", "none"])
                .await
                .unwrap(),
            "Account acme may have any number of requests under way.\n"
        );
        let unknown = say(&store, &["limit", "zeta", "--in-flight", "8"])
            .await
            .unwrap_err();
        assert!(
            unknown.to_string().contains("there is no account"),
            "{unknown}"
        );
        for limit in ["0", "1000001", "-1", "x"] {
            let words = ["accounts", "limit", "acme", "--in-flight", limit];
            assert!(Arguments::try_parse_from(words).is_err(), "{limit}");
        }
    }
}
