//! `tollgate provider-keys`: provider keys of accounts, stored, listed, rotated, switched and removed. A running gateway
//! notices within a second. A key is read from standard input or from where a reference says, and never from an argument:
//! arguments are seen by everybody on the machine.

use std::io::{IsTerminal as _, Read};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::books::{Books, Where, with_books};
use super::exit::Failure;
use super::form::Form;
use super::keys::{CliError, time, write_columns, write_json};
use super::offline;
use super::terminal::Out;
use crate::access::Account;
use crate::byok::master::MasterKeys;
use crate::byok::{Stored, StoredId};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::secret::{Secret, SecretRef};
use crate::store::{NewProviderKey, ProviderKeyChange, Store, StoreError};

/// Bytes of standard input that are read: a key has fewer.
const INPUT_MAX: u64 = 64 * 1024;

/// What can be done with stored provider keys.
#[derive(Clone, Debug, Subcommand)]
pub enum ProviderKeysCommand {
    /// Store a provider key, read from standard input or from where --secret says
    #[command(after_help = "\
Examples:
  tollgate provider-keys add --account acme --provider openai < key.txt
  tollgate provider-keys add --account acme --provider openai --name spare --secret file:key.txt --no-fallback")]
    Add(Add),
    /// List all stored keys; none is ever shown
    #[command(after_help = "\
Examples:
  tollgate provider-keys list
  tollgate provider-keys list --account acme --json")]
    List {
        /// Of this account only
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// For this provider only
        #[arg(long, value_name = "PROVIDER")]
        provider: Option<String>,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Put another key in the place of one; id and name stay
    #[command(
        after_help = "Example:\n  tollgate provider-keys rotate acme/openai/main --secret file:new-key.txt"
    )]
    Rotate(Rotate),
    /// Change all but the key itself
    #[command(
        after_help = "Example:\n  tollgate provider-keys update acme/openai/main --name first --fallback off"
    )]
    Update(Update),
    /// Use a key no more until it is enabled again
    #[command(after_help = "Example:\n  tollgate provider-keys disable acme/openai/main")]
    Disable(One),
    /// Use a disabled key again
    #[command(after_help = "Example:\n  tollgate provider-keys enable acme/openai/main")]
    Enable(One),
    /// Remove a key for good
    #[command(after_help = "Example:\n  tollgate provider-keys remove acme/openai/main")]
    Remove(One),
    /// Seal all keys anew under the first master key
    #[command(after_help = "Example:\n  tollgate provider-keys reseal")]
    Reseal(Form),
}

/// Which key, and how the answer is written.
#[derive(Args, Clone, Debug)]
pub struct One {
    #[command(flatten)]
    key: Named,
    /// How the answer is written
    #[command(flatten)]
    form: Form,
}

/// A key to be stored.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// The account whose key it is
    #[arg(long, value_name = "NAME", default_value = "default")]
    account: String,
    /// The provider it is for
    #[arg(long, value_name = "PROVIDER")]
    provider: String,
    /// What lists, logs and policy steps (byok:NAME) call it
    #[arg(long, default_value = "main")]
    name: String,
    /// Its share of the requests, from 1 to 1000; without one it is used in its turn
    #[arg(long)]
    weight: Option<u32>,
    /// Its place among the account's keys for the provider, smallest first [default: behind all others]
    #[arg(long)]
    position: Option<u32>,
    /// Where it does not serve, do not go on with the gateway's key and the account's credit
    #[arg(long)]
    no_fallback: bool,
    #[command(flatten)]
    from: From,
    /// How the answer is written
    #[command(flatten)]
    form: Form,
}

/// A key and what is put in its place.
#[derive(Args, Clone, Debug)]
pub struct Rotate {
    #[command(flatten)]
    key: Named,
    #[command(flatten)]
    from: From,
    /// How the answer is written
    #[command(flatten)]
    form: Form,
}

/// Which key.
#[derive(Args, Clone, Debug)]
pub struct Named {
    /// Its id (pk-…), or ACCOUNT/PROVIDER/NAME
    #[arg(value_name = "KEY")]
    key: String,
}

/// Where a key is read from.
#[derive(Args, Clone, Debug)]
pub struct From {
    /// Where the key is: file:PATH, env:NAME or credential:NAME [default: standard input]
    #[arg(long, value_name = "REFERENCE")]
    secret: Option<String>,
}

/// What is changed.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct Changes {
    /// What it is called
    #[arg(long)]
    name: Option<String>,
    /// Its share of the requests, from 1 to 1000, or `none`
    #[arg(long, value_parser = weight)]
    weight: Option<Share>,
    /// Its place, smallest first
    #[arg(long)]
    position: Option<u32>,
    /// Whether requests may go on with credit where it does not serve: on or off
    #[arg(long, value_parser = switch)]
    fallback: Option<bool>,
}

/// A key and what is changed of it.
#[derive(Args, Clone, Debug)]
pub struct Update {
    #[command(flatten)]
    key: Named,
    #[command(flatten)]
    changes: Changes,
    /// How the answer is written
    #[command(flatten)]
    form: Form,
}

/// A weight, or that there is none.
#[derive(Clone, Copy, Debug)]
pub struct Share(Option<u32>);

fn weight(text: &str) -> Result<Share, String> {
    match text {
        "none" => Ok(Share(None)),
        _ => text
            .parse()
            .map(|weight| Share(Some(weight)))
            .map_err(|_| "a weight is a number from 1 to 1000, or none".to_owned()),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

/// What a command needs beside its arguments.
pub struct Context<'a> {
    /// Where the keys are.
    pub books: &'a Books,
    /// The master keys, and what is wrong with those that cannot be read.
    pub masters: (MasterKeys, Vec<String>),
    /// The providers there are.
    pub catalog: &'a Catalog,
    /// The time.
    pub now: Timestamp,
}

/// Runs a command on the store and the catalog that the configuration names.
///
/// # Errors
/// What went wrong, for people.
pub fn start(at: &Where, command: ProviderKeysCommand) -> Result<(), Failure> {
    let config = at.config()?;
    let catalog = offline::catalog(&config)?;
    let masters = MasterKeys::read(&config.byok.master_keys);
    with_books(at, async |books, out| {
        let context = Context {
            books,
            masters,
            catalog: &catalog,
            now: Timestamp::now(),
        };
        let input = std::io::stdin();
        if command.reads_input() && input.is_terminal() {
            return Err(CliError::Argument(
                "the key is read from standard input, which is a terminal and would show it: write \
                 `tollgate provider-keys … < FILE`, or name where it is with --secret"
                    .to_owned(),
            ));
        }
        run(command, &context, &mut input.lock(), out).await
    })
}

/// What is wrong with the master keys of `config`, and with the stored keys that they are to open. Nothing is written.
///
/// # Errors
/// When the store cannot be looked into.
pub fn problems(config: &Config) -> Result<Vec<String>, String> {
    let (masters, problems) = MasterKeys::read(&config.byok.master_keys);
    let mut problems: Vec<String> = problems
        .into_iter()
        .map(|problem| format!("byok.master_keys: {problem}"))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let rows = runtime.block_on(async {
        let Some(store) = Store::look_into(&config.store.path).await? else {
            return Ok(Vec::new());
        };
        let rows = store.list_provider_keys().await;
        store.close().await;
        rows
    });
    let rows = rows.map_err(|error: StoreError| error.to_string())?;
    problems.extend(rows.iter().filter_map(|row| {
        let why = masters.open(&row.place(), &row.sealed).err()?;
        let (id, name, provider) = (&row.id, &row.name, &row.provider);
        let account = &row.account.name;
        Some(format!(
            "provider key {id} ({name}, {provider}, of {account}): {why}"
        ))
    }));
    Ok(problems)
}

impl ProviderKeysCommand {
    fn reads_input(&self) -> bool {
        match self {
            Self::Add(Add { from, .. }) | Self::Rotate(Rotate { from, .. }) => {
                from.secret.is_none()
            }
            _ => false,
        }
    }
}

/// Does what was asked, and writes what there is to see; `input` holds the key, where one is read from it.
///
/// # Errors
/// When an argument makes no sense, the store refuses or fails, or `out` cannot be written.
pub async fn run(
    command: ProviderKeysCommand,
    context: &Context<'_>,
    input: &mut dyn Read,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let (books, now) = (context.books, context.now.as_second());
    match command {
        ProviderKeysCommand::Add(asked) => add(&asked, context, input, out).await?,
        ProviderKeysCommand::List {
            account,
            provider,
            form,
        } => {
            let filter = (account.as_deref(), provider.as_deref());
            list(filter, form, context, out).await?;
        }
        ProviderKeysCommand::Rotate(Rotate { key, from, form }) => {
            let row = find(books, &key.key).await?;
            let masters = masters(context)?;
            let secret = secret(&from, input)?;
            books
                .rotate_provider_key(&row.id, &secret, masters, now)
                .await?;
            now_is(&row, "is rotated", form, books, out).await?;
        }
        ProviderKeysCommand::Update(Update { key, changes, form }) => {
            let row = find(books, &key.key).await?;
            let change = ProviderKeyChange {
                name: changes.name,
                position: changes.position.map(i64::from),
                weight: changes.weight.map(|Share(weight)| weight),
                enabled: None,
                fallback: changes.fallback,
            };
            books.change_provider_key(&row.id, &change, now).await?;
            now_is(&row, "is changed", form, books, out).await?;
        }
        ProviderKeysCommand::Disable(key) => enable(false, &key, context, out).await?,
        ProviderKeysCommand::Enable(key) => enable(true, &key, context, out).await?,
        ProviderKeysCommand::Remove(key) => {
            let row = find(books, &key.key.key).await?;
            books.remove_provider_key(&row.id).await?;
            match key.form.json {
                true => write_json(out, &Listed::new(&row))?,
                false => told(out, &row, "is removed")?,
            }
        }
        ProviderKeysCommand::Reseal(form) => reseal(form, context, out).await?,
    }
    Ok(())
}

/// Says what became of a key: as a sentence, or as what the key is now.
async fn now_is(
    row: &Stored,
    what: &str,
    form: Form,
    books: &Books,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    if form.json {
        let row = find(books, row.id.as_str()).await?;
        return write_json(out, &Listed::new(&row));
    }
    told(out, row, what)
}

fn told(out: &mut dyn Out, row: &Stored, what: &str) -> Result<(), CliError> {
    let Stored { id, name, .. } = row;
    let (account, provider) = (&row.account.name, &row.provider);
    Ok(writeln!(
        out,
        "Provider key {id} ({name}, {provider}, of {account}) {what}."
    )?)
}

async fn add(
    asked: &Add,
    context: &Context<'_>,
    input: &mut dyn Read,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let books = context.books;
    let account = account(books, &asked.account).await?;
    let provider = provider(context.catalog, &asked.provider)?;
    let masters = masters(context)?;
    let secret = secret(&asked.from, input)?;
    let new = NewProviderKey {
        account: account.id,
        provider,
        name: asked.name.clone(),
        position: asked.position.map(i64::from),
        weight: asked.weight,
        fallback: !asked.no_fallback,
    };
    let now = context.now.as_second();
    let id = books.add_provider_key(&new, &secret, masters, now).await?;
    let row = find(books, id.as_str()).await?;
    if asked.form.json {
        return write_json(out, &Listed::new(&row));
    }
    told(out, &row, "is stored")
}

async fn list(
    (account, provider): (Option<&str>, Option<&str>),
    form: Form,
    context: &Context<'_>,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let wanted = |row: &Stored| {
        account.is_none_or(|name| *row.account.name == *name)
            && provider.is_none_or(|name| *row.provider == *name)
    };
    let mut rows = context.books.list_provider_keys().await?;
    rows.retain(wanted);
    if form.json {
        let listed: Vec<Listed> = rows.iter().map(Listed::new).collect();
        return write_json(out, &listed);
    }
    let row = |row: &Stored| {
        [
            row.id.to_string(),
            row.account.name.to_string(),
            row.provider.to_string(),
            row.name.to_string(),
            row.hint.to_string(),
            state(row).to_owned(),
            row.position.to_string(),
            row.weight
                .map_or_else(|| "-".to_owned(), |weight| weight.to_string()),
            if row.fallback { "yes" } else { "no" }.to_owned(),
            time(row.updated),
        ]
    };
    let header = [
        "ID", "ACCOUNT", "PROVIDER", "NAME", "KEY", "STATE", "POSITION", "WEIGHT", "FALLBACK",
        "UPDATED",
    ];
    write_columns(out, header, rows.iter().map(row).collect())
}

async fn enable(
    enabled: bool,
    key: &One,
    context: &Context<'_>,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let row = find(context.books, &key.key.key).await?;
    let change = ProviderKeyChange {
        enabled: Some(enabled),
        ..ProviderKeyChange::default()
    };
    let now = context.now.as_second();
    context
        .books
        .change_provider_key(&row.id, &change, now)
        .await?;
    let what = if enabled { "is enabled" } else { "is disabled" };
    now_is(&row, what, key.form, context.books, out).await
}

async fn reseal(form: Form, context: &Context<'_>, out: &mut dyn Out) -> Result<(), CliError> {
    let (moved, already, unusable) = context
        .books
        .reseal_provider_keys(masters(context)?)
        .await?;
    let failed = unusable.iter();
    let failed = failed.map(|(id, why)| json!({"id": id, "reason": why}));
    let value = json!({
        "moved": moved, "already": already, "unusable": failed.collect::<Vec<_>>(),
    });
    form.tell(
        out,
        &value,
        format_args!(
            "{moved} key(s) sealed anew, {already} were sealed under the first master key already."
        ),
    )?;
    if unusable.is_empty() {
        return Ok(());
    }
    let mut words = format!(
        "{} key(s) could not be opened and stay as they are",
        unusable.len()
    );
    for (id, why) in &unusable {
        words.push_str(&format!("\n  {id}: {why}"));
    }
    Err(CliError::Argument(words))
}

/// Master keys that can seal.
fn masters<'a>(context: &'a Context<'_>) -> Result<&'a MasterKeys, CliError> {
    let (keys, problems) = &context.masters;
    // The gateway has its own.
    if !context.books.is_remote() && keys.sealing().is_none() && !problems.is_empty() {
        return Err(CliError::Argument(problems.join("\n")));
    }
    Ok(keys)
}

async fn account(books: &Books, name: &str) -> Result<Account, CliError> {
    let accounts = books.accounts().await?;
    let mut named = accounts.into_iter().map(|row| row.account);
    named.find(|account| *account.name == *name).ok_or_else(|| {
        CliError::Argument(format!(
            "there is no account {name:?}; `tollgate accounts list` shows all"
        ))
    })
}

/// The catalog's id of a provider that may be named by an alias.
fn provider(catalog: &Catalog, name: &str) -> Result<String, CliError> {
    match catalog.provider_by_name(name) {
        Some(id) => Ok(catalog.provider(id).id.to_string()),
        None => Err(CliError::Argument(format!(
            "the catalog has no provider `{name}`; see `tollgate models --providers`"
        ))),
    }
}

/// The key of that id, or of those names.
async fn find(books: &Books, key: &str) -> Result<Stored, CliError> {
    let rows = books.list_provider_keys().await?;
    let id = key.parse::<StoredId>();
    let path: Vec<&str> = key.rsplitn(3, '/').collect();
    let is_it = |row: &Stored| match (&id, &path[..]) {
        (Ok(id), _) => row.id == *id,
        (_, [name, provider, account]) => {
            *row.name == **name && *row.provider == **provider && *row.account.name == **account
        }
        _ => false,
    };
    // What was written is not repeated: it may be a key.
    rows.into_iter().find(is_it).ok_or_else(|| {
        CliError::Argument(
            "there is no such provider key: name it by its id (pk-…) or as ACCOUNT/PROVIDER/NAME; \
             `tollgate provider-keys list` shows all"
                .to_owned(),
        )
    })
}

fn secret(from: &From, input: &mut dyn Read) -> Result<Secret, CliError> {
    if let Some(reference) = &from.secret {
        let argument = |error: crate::secret::SecretError| CliError::Argument(error.to_string());
        let reference = SecretRef::parse(reference).map_err(argument)?;
        return reference.resolve().map_err(argument);
    }
    let mut text = String::new();
    input
        .take(INPUT_MAX)
        .read_to_string(&mut text)
        .map_err(|error| CliError::Argument(format!("cannot read the key: {error}")))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(Secret::new(text))
}

fn state(row: &Stored) -> &'static str {
    if row.enabled { "enabled" } else { "disabled" }
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    account: &'a str,
    provider: &'a str,
    name: &'a str,
    hint: &'a str,
    state: &'static str,
    position: i64,
    weight: Option<u32>,
    fallback: bool,
    created: String,
    updated: String,
    master_key: String,
}

impl<'a> Listed<'a> {
    fn new(row: &'a Stored) -> Self {
        Self {
            id: row.id.as_str(),
            account: &row.account.name,
            provider: &row.provider,
            name: &row.name,
            hint: &row.hint,
            state: state(row),
            position: row.position,
            weight: row.weight,
            fallback: row.fallback,
            created: time(row.created),
            updated: time(row.updated),
            master_key: row.sealed.master.to_string(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests {
    use super::*;
    use crate::byok::master::MasterKey;
    use crate::store::Store;
    use clap::Parser;
    use serde_json::Value;

    /// 2027-01-15T08:00:00Z.
    const NOW: i64 = 1_800_000_000;
    const SECRET: &str = "sk-0123456789-do-not-print-wxyz";

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(subcommand)]
        command: ProviderKeysCommand,
    }

    struct Bench {
        folder: tempfile::TempDir,
        store: Store,
        catalog: Catalog,
        master: MasterKey,
    }

    impl Bench {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).await.unwrap();
            for account in ["default", "acme/eu"] {
                store.create_account(account, NOW).await.unwrap();
            }
            Self {
                folder,
                store,
                catalog: offline::catalog(&Config::default()).unwrap(),
                master: MasterKey::generate().unwrap(),
            }
        }

        async fn say_with(
            &self,
            masters: (MasterKeys, Vec<String>),
            arguments: &[&str],
            input: &str,
        ) -> Result<String, String> {
            let words = std::iter::once(&"provider-keys").chain(arguments);
            let command = Arguments::try_parse_from(words).unwrap().command;
            let context = Context {
                books: &Books::Store(self.store.clone()),
                masters,
                catalog: &self.catalog,
                now: Timestamp::from_second(NOW).unwrap(),
            };
            let mut out = Vec::new();
            let done = run(command, &context, &mut input.as_bytes(), &mut out).await;
            let out = String::from_utf8(out).unwrap();
            done.map(|()| out.clone())
                .map_err(|error| format!("{out}{error}"))
        }

        async fn say(&self, arguments: &[&str], input: &str) -> Result<String, String> {
            let masters = MasterKeys::new(std::slice::from_ref(&self.master));
            let said = self.say_with((masters, Vec::new()), arguments, input).await;
            assert!(!format!("{said:?}").contains("do-not-print"), "{said:?}");
            said
        }

        async fn listed(&self) -> Vec<Value> {
            let text = self.say(&["list", "--json"], "").await.unwrap();
            serde_json::from_str(&text).unwrap()
        }

        async fn secrets(&self) -> Vec<String> {
            let masters = MasterKeys::new(std::slice::from_ref(&self.master));
            let rows = self.store.list_provider_keys().await.unwrap();
            let open = |row: &Stored| masters.open(&row.place(), &row.sealed).unwrap();
            rows.iter()
                .map(|row| open(row).expose().to_owned())
                .collect()
        }
    }

    #[tokio::test]
    async fn a_key_is_stored_from_standard_input_and_from_a_file() {
        let bench = Bench::new().await;
        let said = bench
            .say(&["add", "--provider", "openai"], &format!("{SECRET}\n"))
            .await
            .unwrap();
        assert!(
            said.contains("(main, openai, of default) is stored."),
            "{said}"
        );
        let file = bench.folder.path().join("key");
        std::fs::write(&file, "gsk-second\n").unwrap();
        let reference = format!("file:{}", file.display());
        let arguments = [
            "add",
            "--account",
            "acme/eu",
            "--provider",
            "GEMINI",
            "--name",
            "eu",
            "--weight",
            "3",
            "--no-fallback",
            "--secret",
            &reference,
            "--json",
        ];
        let added: Value = serde_json::from_str(&bench.say(&arguments, "").await.unwrap()).unwrap();
        assert_eq!(added["provider"], "google");
        assert_eq!(bench.secrets().await, [SECRET, "gsk-second"]);

        let listed = bench.say(&["list"], "").await.unwrap();
        let rows: Vec<Vec<&str>> = listed
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows[1][1..9],
            [
                "default",
                "openai",
                "main",
                "sk-…wxyz",
                "enabled",
                "1",
                "-",
                "yes"
            ]
        );
        assert_eq!(
            rows[2][1..9],
            ["acme/eu", "google", "eu", "…", "enabled", "1", "3", "no"]
        );
        let some = bench
            .say(&["list", "--provider", "google"], "")
            .await
            .unwrap();
        assert_eq!(some.lines().count(), 2);
        let none = bench
            .say(&["list", "--account", "nobody"], "")
            .await
            .unwrap();
        assert_eq!(none.lines().count(), 1);
    }

    #[tokio::test]
    async fn a_key_goes_by_its_id_or_its_names() {
        let bench = Bench::new().await;
        bench
            .say(
                &["add", "--account", "acme/eu", "--provider", "openai"],
                SECRET,
            )
            .await
            .unwrap();
        let id = bench.listed().await[0]["id"].as_str().unwrap().to_owned();
        for (arguments, member, value) in [
            (vec!["disable", &id], "state", Value::from("disabled")),
            (
                vec!["enable", "acme/eu/openai/main"],
                "state",
                "enabled".into(),
            ),
            (
                vec!["update", &id, "--weight", "7", "--position", "4"],
                "weight",
                7.into(),
            ),
            (
                vec!["update", &id, "--weight", "none", "--fallback", "off"],
                "weight",
                Value::Null,
            ),
            (
                vec!["update", &id, "--name", "other"],
                "name",
                "other".into(),
            ),
            (vec!["rotate", "acme/eu/openai/other"], "hint", "…".into()),
        ] {
            bench.say(&arguments, "short").await.unwrap();
            assert_eq!(bench.listed().await[0][member], value, "{arguments:?}");
        }
        let row = bench.listed().await.remove(0);
        assert_eq!(
            (&row["position"], &row["fallback"], &row["id"]),
            (&4.into(), &false.into(), &id.clone().into())
        );
        assert_eq!(bench.secrets().await, ["short"]);
        bench.say(&["remove", &id], "").await.unwrap();
        assert!(bench.listed().await.is_empty());
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_and_nothing_is_stored() {
        let bench = Bench::new().await;
        for (arguments, input, expected) in [
            (
                &["add", "--provider", "opneai"][..],
                SECRET,
                "the catalog has no provider `opneai`",
            ),
            (
                &["add", "--provider", "openai", "--account", "nobody"],
                SECRET,
                "there is no account",
            ),
            (
                &["add", "--provider", "openai"],
                "",
                "no provider key was given",
            ),
            (
                &["add", "--provider", "openai"],
                "two words do-not-print",
                "a blank",
            ),
            (
                &["add", "--provider", "openai", "--weight", "0"],
                SECRET,
                "from 1 to 1000",
            ),
            (
                &["add", "--provider", "openai", "--name", "a b"],
                SECRET,
                "a provider key's name",
            ),
            (
                &["add", "--provider", "openai", "--secret", "sk-do-not-print"],
                "",
                "not a reference",
            ),
            (
                &["rotate", "sk-do-not-print"],
                SECRET,
                "there is no such provider key",
            ),
            (
                &["remove", "pk-0000000000000000"],
                "",
                "there is no such provider key",
            ),
        ] {
            let refused = bench.say(arguments, input).await.unwrap_err();
            assert!(refused.contains(expected), "{arguments:?}: {refused}");
        }
        assert!(bench.listed().await.is_empty());
        let none = (MasterKeys::default(), Vec::new());
        let refused = bench
            .say_with(none, &["add", "--provider", "openai"], SECRET)
            .await
            .unwrap_err();
        assert!(refused.contains("set `byok.master_key`"), "{refused}");
        let unreadable = (MasterKeys::default(), vec!["cannot read it".to_owned()]);
        let refused = bench
            .say_with(unreadable, &["add", "--provider", "openai"], SECRET)
            .await
            .unwrap_err();
        assert_eq!(refused, "cannot read it");
    }

    #[test]
    fn no_argument_holds_a_key() {
        for arguments in [
            &["add", "--provider", "openai", "--key", "sk-1"][..],
            &["add", "--provider", "openai", "sk-1"],
            &["rotate", "a/b/c", "sk-1"],
            &["update", "a/b/c"],
        ] {
            let words = std::iter::once(&"provider-keys").chain(arguments);
            assert!(Arguments::try_parse_from(words).is_err(), "{arguments:?}");
        }
    }

    #[tokio::test]
    async fn resealing_says_what_it_did_and_what_it_could_not() {
        let bench = Bench::new().await;
        bench
            .say(&["add", "--provider", "openai"], SECRET)
            .await
            .unwrap();
        let next = MasterKey::generate().unwrap();
        let lost = (MasterKeys::new(std::slice::from_ref(&next)), Vec::new());
        let refused = bench.say_with(lost, &["reseal"], "").await.unwrap_err();
        assert!(
            refused.contains("0 key(s) sealed anew")
                && refused.contains("pk-")
                && refused.contains("master key"),
            "{refused}"
        );
        let both = [next, bench.master];
        let done = {
            let context = Context {
                books: &Books::Store(bench.store.clone()),
                masters: (MasterKeys::new(&both), Vec::new()),
                catalog: &bench.catalog,
                now: Timestamp::from_second(NOW).unwrap(),
            };
            let mut out = Vec::new();
            run(
                ProviderKeysCommand::Reseal(Form::default()),
                &context,
                &mut std::io::empty(),
                &mut out,
            )
            .await
            .unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(done.starts_with("1 key(s) sealed anew, 0 were"), "{done}");
        let rows = bench.store.list_provider_keys().await.unwrap();
        let opened = MasterKeys::new(&both[..1]).open(&rows[0].place(), &rows[0].sealed);
        assert_eq!(opened.unwrap().expose(), SECRET);
    }
}
