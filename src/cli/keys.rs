//! `tollgate keys`: access keys, made, listed, switched off and on, revoked. A running gateway
//! notices within a second.

use std::fmt;
use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::books::Books;
use super::exit::Failure;
use super::form::{self, Form};
use super::limits::LimitFlags;
use super::table;
use super::terminal::Out;
use crate::access::key::{self, KeyId};
use crate::access::policy::{FailoverMode, PolicyEntry, Step, StepsEntry};
use crate::access::times::{self, TimesEntry};
use crate::money::Credits;
use crate::statement::time::{NotToCome, Time, until};
use crate::store::{Billing, KeyRow, NewKey, StoreError};

/// What can be done with access keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Make an access key; it is shown this once
    #[command(after_help = "\
Examples:
  tollgate keys create --name ci --account acme --expires 90d
  tollgate keys create --name batch --allow-provider openai --requests-per-minute 60 --spend-day 20")]
    Create(Box<Create>),
    /// List all access keys, revoked ones included
    #[command(after_help = "Examples:\n  tollgate keys list\n  tollgate keys list --json")]
    List(Form),
    /// Change the limits of a key
    #[command(after_help = "\
Examples:
  tollgate keys update 2f8k1m0qXYZ0 --requests-per-minute 120
  tollgate keys update 2f8k1m0qXYZ0 --spend-month none")]
    Update(Box<Update>),
    /// Refuse a key until it is enabled again
    #[command(after_help = "Example:\n  tollgate keys disable 2f8k1m0qXYZ0")]
    Disable(Named),
    /// Accept a disabled key again
    #[command(after_help = "Example:\n  tollgate keys enable 2f8k1m0qXYZ0")]
    Enable(Named),
    /// End a key for good
    #[command(after_help = "Example:\n  tollgate keys revoke 2f8k1m0qXYZ0")]
    Revoke(Named),
}

/// Which key.
#[derive(Args, Clone, Debug)]
pub struct Named {
    /// The key's id, or the whole key
    id: String,
    #[command(flatten)]
    form: Form,
}

/// A key to be made.
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// What lists and logs call it
    #[arg(long)]
    name: String,
    /// The account that pays; made if there is none of this name
    #[arg(long, default_value = "default")]
    account: String,
    /// How long it is good for (90d, 12h), or until when (2030-01-31, 2030-01-31T12:00:00Z)
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Only this provider; * stands for anything; may be repeated
    #[arg(long, value_name = "PROVIDER")]
    allow_provider: Vec<String>,
    /// Not this provider, whatever is allowed
    #[arg(long, value_name = "PROVIDER")]
    deny_provider: Vec<String>,
    /// Only this model: its id, or provider:model
    #[arg(long, value_name = "MODEL")]
    allow_model: Vec<String>,
    /// Not this model, whatever is allowed
    #[arg(long, value_name = "MODEL")]
    deny_model: Vec<String>,
    /// Whose credentials are tried, in this order: request, byok (byok:NAME for one stored key), gateway [default:
    /// byok,gateway]
    #[arg(long, value_name = "STEPS", value_delimiter = ',')]
    credential_steps: Option<Vec<Step>>,
    /// Steps of one provider, as openai=byok,gateway
    #[arg(long, value_name = "PROVIDER=STEPS", value_parser = steps_entry)]
    provider_steps: Vec<StepsEntry>,
    /// Steps of one model, before those of its provider
    #[arg(long, value_name = "MODEL=STEPS", value_parser = steps_entry)]
    model_steps: Vec<StepsEntry>,
    /// Once a request has come to a provider that the account has a stored key for, do not go on with the gateway's
    #[arg(long)]
    no_fallback: bool,
    /// Try elsewhere what failed: on, safe (never resend what was delivered) or off
    #[arg(long, value_name = "MODE")]
    failover: Option<FailoverMode>,
    /// Bound a time of its requests: connect, first_byte, first_byte_stream, idle or total, as total=60s; may be repeated
    #[arg(long, value_name = "TIME=DURATION", value_parser = bound)]
    timeout: Vec<(String, Duration)>,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    form: Form,
}

/// A key whose limits are changed.
#[derive(Args, Clone, Debug)]
pub struct Update {
    /// The key's id, or the whole key
    id: String,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    form: Form,
}

impl Create {
    fn policy(&self) -> PolicyEntry {
        PolicyEntry {
            allow_providers: self.allow_provider.clone(),
            deny_providers: self.deny_provider.clone(),
            allow_models: self.allow_model.clone(),
            deny_models: self.deny_model.clone(),
            credential_steps: self.credential_steps.clone(),
            provider_steps: self.provider_steps.clone(),
            model_steps: self.model_steps.clone(),
            no_fallback: self.no_fallback,
            failover: self.failover,
            timeouts: self.timeouts(),
            limits: self.limits.of_new(),
        }
    }

    fn timeouts(&self) -> TimesEntry {
        let mut entry = TimesEntry::default();
        for (name, time) in &self.timeout {
            entry.set(name, *time);
        }
        entry
    }
}

/// Does what was asked, at the time `now`, and writes what there is to see.
///
/// # Errors
/// When an argument makes no sense, the store refuses or fails, or `out` cannot be written.
pub async fn run(
    command: KeysCommand,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    match command {
        KeysCommand::Create(asked) => create(&asked, books, now, out).await,
        KeysCommand::List(form) => list(form, books, now, out).await,
        KeysCommand::Update(asked) => update(&asked, books, now, out).await,
        KeysCommand::Disable(Named { id, form }) => {
            let id = key_id(&id)?;
            books.set_enabled(id, false).await?;
            tell(id, "is disabled", form, books, now, out).await
        }
        KeysCommand::Enable(Named { id, form }) => {
            let id = key_id(&id)?;
            books.set_enabled(id, true).await?;
            tell(id, "is enabled", form, books, now, out).await
        }
        KeysCommand::Revoke(Named { id, form }) => {
            let id = key_id(&id)?;
            books.revoke(id, now.as_second()).await?;
            tell(id, "is revoked", form, books, now, out).await
        }
    }
}

/// Says what became of a key: as a sentence, or as what the key is now.
async fn tell(
    id: KeyId,
    what: &str,
    form: Form,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    if form.json {
        let row = books.key(id).await?;
        return write_json(out, &Listed::new(&row, now));
    }
    Ok(writeln!(out, "Access key {id} {what}.")?)
}

async fn update(
    asked: &Update,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let id = key_id(&asked.id)?;
    if asked.limits.is_empty() {
        return Err(CliError::Usage(
            "name a limit to change, as --requests-per-minute 60".to_owned(),
        ));
    }
    let policy = books.change_limits(id, &asked.limits.change()).await?;
    let what = format!("is changed; rules: {}", rules(Some(&policy)));
    tell(id, &what, asked.form, books, now, out).await
}

/// Whether the account pays beforehand, and has nothing to pay with.
async fn is_without_credit(books: &Books, account: &str) -> Result<bool, CliError> {
    let account = books.account_named(account).await?;
    Ok(account.billing == Billing::Prepaid && account.balance <= Credits::ZERO)
}

async fn create(
    asked: &Create,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let expires = asked
        .expires
        .as_deref()
        .map(|text| expiry(text, now))
        .transpose()?;
    let new = NewKey {
        name: asked.name.clone(),
        expires,
        policy: asked.policy(),
    };
    // Before an account is made for it.
    new.check()?;
    let (account, is_new) = books
        .ensure_account(&asked.account, now.as_second())
        .await?;
    let created = books.create_key(account.id, &new, now.as_second()).await?;
    let row = KeyRow {
        id: created.id,
        name: new.name,
        account,
        enabled: true,
        created: now.as_second(),
        expires,
        revoked: None,
        policy: Some(new.policy),
    };
    if asked.form.json {
        let shown = Listed {
            access_key: Some(created.shown.expose()),
            ..Listed::new(&row, now)
        };
        return write_json(out, &shown);
    }
    let made = if is_new { " (made just now)" } else { "" };
    writeln!(out, "id       {}", row.id)?;
    writeln!(out, "name     {}", row.name)?;
    writeln!(out, "account  {}{made}", row.account.name)?;
    writeln!(out, "expires  {}", expires.map_or("never".into(), time))?;
    writeln!(out, "rules    {}", rules(row.policy.as_ref()))?;
    if is_without_credit(books, &row.account.name).await? {
        let name = &row.account.name;
        writeln!(
            out,
            "credit   none: `tollgate credit grant {name} 20`, or `tollgate accounts set {name} --postpaid`"
        )?;
    }
    writeln!(
        out,
        "\nThe access key, shown this once:\n\n{}",
        created.shown.expose()
    )?;
    Ok(())
}

async fn list(
    form: Form,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let keys = books.list_keys().await?;
    if form.json {
        let listed: Vec<Listed> = keys.iter().map(|key| Listed::new(key, now)).collect();
        return write_json(out, &listed);
    }
    let row = |key: &KeyRow| {
        [
            key.id.to_string(),
            key.name.clone(),
            key.account.name.to_string(),
            state(key, now).into(),
            time(key.created),
            key.expires.map_or("never".into(), time),
            rules(key.policy.as_ref()),
        ]
    };
    let header = [
        "ID", "NAME", "ACCOUNT", "STATE", "CREATED", "EXPIRES", "RULES",
    ];
    write_columns(out, header, keys.iter().map(row).collect())
}

/// An id, or a whole key: who finds a leaked one should not have to look for its id.
pub(super) fn key_id(text: &str) -> Result<KeyId, CliError> {
    match (text.parse(), key::parse(text)) {
        (Ok(id), _) => Ok(id),
        (_, Ok(whole)) => Ok(whole.id()),
        (Err(not_an_id), Err(_)) => Err(CliError::Usage(not_an_id.to_string())),
    }
}

/// Unix seconds. A date means its first second in UTC.
pub(super) fn expiry(text: &str, now: Timestamp) -> Result<i64, CliError> {
    until(text, now).map_err(|fault| {
        CliError::Usage(match fault {
            NotToCome::Unreadable => format!(
                "--expires {text:?}: write how long (90d, 12h) or until when (2030-01-31, \
                 2030-01-31T12:00:00Z)"
            ),
            NotToCome::Past => format!("--expires {text:?} is not in the future"),
        })
    })
}

/// `RULE=STEP,STEP`.
fn steps_entry(text: &str) -> Result<StepsEntry, String> {
    let (rule, steps) = text
        .rsplit_once('=')
        .ok_or("write NAME=STEPS, as openai=byok,gateway")?;
    let steps: Result<_, _> = steps.split(',').map(str::parse).collect();
    Ok(StepsEntry {
        rule: rule.to_owned(),
        steps: steps.map_err(str::to_owned)?,
    })
}

/// `TIME=DURATION`.
fn bound(text: &str) -> Result<(String, Duration), String> {
    let (name, time) = text
        .split_once('=')
        .ok_or("write TIME=DURATION, as total=60s")?;
    let time = times::duration(time)
        .ok_or("a duration is a number and a unit, as 500ms, 30s, 10m or 1h")?;
    if !TimesEntry::default().set(name, time) {
        return Err(
            "the times are connect, first_byte, first_byte_stream, idle and total".to_owned(),
        );
    }
    Ok((name.to_owned(), time))
}

fn state(key: &KeyRow, now: Timestamp) -> &'static str {
    if key.revoked.is_some() {
        "revoked"
    } else if key.policy.is_none() {
        "unreadable"
    } else if key
        .expires
        .is_some_and(|expires| expires <= now.as_second())
    {
        "expired"
    } else if key.enabled {
        "active"
    } else {
        "disabled"
    }
}

/// A policy in a line.
fn rules(policy: Option<&PolicyEntry>) -> String {
    let Some(policy) = policy else {
        return "of another version of Tollgate, or damaged".into();
    };
    let mut parts = Vec::new();
    for (words, list) in [
        ("providers", &policy.allow_providers),
        ("not providers", &policy.deny_providers),
        ("models", &policy.allow_models),
        ("not models", &policy.deny_models),
    ] {
        if !list.is_empty() {
            parts.push(format!("{words} {}", list.join(",")));
        }
    }
    if let Some(steps) = &policy.credential_steps {
        parts.push(format!("steps {}", joined(steps)));
    }
    for entry in policy.model_steps.iter().chain(&policy.provider_steps) {
        parts.push(format!("steps {}={}", entry.rule, joined(&entry.steps)));
    }
    if policy.no_fallback {
        parts.push("no fallback".into());
    }
    if let Some(mode) = policy.failover {
        parts.push(format!("failover {}", mode.as_str()));
    }
    for (name, time) in policy.timeouts.named() {
        if let Some(ms) = time {
            parts.push(format!("{name} {ms} ms"));
        }
    }
    for (name, limit) in policy.limits.named() {
        if let Some(limit) = limit {
            parts.push(format!("{limit} {name}"));
        }
    }
    if parts.is_empty() {
        "none".into()
    } else {
        parts.join("; ")
    }
}

fn joined(steps: &[Step]) -> String {
    let words: Vec<&str> = steps.iter().map(Step::as_str).collect();
    words.join(",")
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    name: &'a str,
    account: &'a str,
    state: &'static str,
    created: String,
    expires: Option<String>,
    revoked: Option<String>,
    policy: Option<&'a PolicyEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<&'a str>,
}

impl<'a> Listed<'a> {
    fn new(key: &'a KeyRow, now: Timestamp) -> Self {
        Self {
            id: key.id.as_str(),
            name: &key.name,
            account: &key.account.name,
            state: state(key, now),
            created: time(key.created),
            expires: key.expires.map(time),
            revoked: key.revoked.map(time),
            policy: key.policy.as_ref(),
            access_key: None,
        }
    }
}

/// Unix seconds as RFC 3339 in UTC; as they are where no calendar reaches.
pub(super) fn time(seconds: i64) -> String {
    Time(seconds).to_string()
}

/// A table: a header, then rows.
pub(super) fn write_columns<const N: usize>(
    out: &mut dyn Out,
    header: [&str; N],
    rows: Vec<[String; N]>,
) -> Result<(), CliError> {
    let header = std::iter::once(header.map(str::to_owned));
    let rows: Vec<Vec<String>> = header.chain(rows).map(Vec::from).collect();
    Ok(table::write(out, &rows)?)
}

/// One JSON document and a line break.
pub(super) fn write_json(out: &mut dyn Out, value: &impl Serialize) -> Result<(), CliError> {
    Ok(form::json(out, value)?)
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum CliError {
    /// The command line makes no sense; the text says what would.
    Usage(String),
    /// What was asked cannot be done; the text says why.
    Argument(String),
    /// The gateway refused, or does not answer.
    Gateway(Failure),
    /// The store refused or failed.
    Store(StoreError),
    /// The output could not be written.
    Output(io::Error),
}

impl fmt::Display for CliError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Argument(text) => out.write_str(text),
            Self::Gateway(failure) => out.write_str(&failure.problems.join("\n")),
            Self::Store(error) => error.fmt(out),
            Self::Output(error) => write!(out, "cannot write the answer: {error}"),
        }
    }
}

impl std::error::Error for CliError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Usage(_) | Self::Argument(_) | Self::Gateway(_) => None,
            Self::Store(error) => Some(error),
            Self::Output(error) => Some(error),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests {
    use super::*;
    use crate::access::policy::Verdict;
    use crate::access::{Keyring, Refusal};
    use crate::store::Store;
    use clap::Parser;
    use serde_json::{Value, json};

    /// 2027-01-15T08:00:00Z.
    const NOW: i64 = 1_800_000_000;

    #[derive(Parser)]
    struct Arguments {
        #[command(subcommand)]
        command: KeysCommand,
    }

    fn parsed(arguments: &[&str]) -> Result<KeysCommand, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"keys").chain(arguments))
            .map(|arguments| arguments.command)
    }

    async fn say(store: &Store, arguments: &[&str]) -> Result<String, CliError> {
        let mut out = Vec::new();
        let now = Timestamp::from_second(NOW).unwrap();
        run(
            parsed(arguments).unwrap(),
            &Books::Store(store.clone()),
            now,
            &mut out,
        )
        .await?;
        Ok(String::from_utf8(out).unwrap())
    }

    async fn say_json(store: &Store, arguments: &[&str]) -> Value {
        serde_json::from_str(&say(store, arguments).await.unwrap()).unwrap()
    }

    async fn open() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        (folder, store)
    }

    fn ask(keyring: &Keyring, key: &str) -> Result<(), Refusal> {
        keyring.authenticate(key, NOW).map(drop)
    }

    #[tokio::test]
    async fn limits_are_set_changed_and_taken_away() {
        let (_folder, store) = open().await;
        let create = [
            "create",
            "--name",
            "ci",
            "--json",
            "--requests-per-minute",
            "60",
            "--in-flight",
            "4",
            "--spend-day",
            "12.50",
            "--max-cost",
            "0.05",
            "--failover",
            "off",
        ];
        let created = say_json(&store, &create).await;
        let expected = json!({
            "failover": "off",
            "limits": {"requests_minute": 60, "in_flight": 4, "spend_day": "12.5", "max_cost": "0.05"},
        });
        assert_eq!(created["policy"], expected);
        let id = created["id"].as_str().unwrap();
        let update = [
            "update",
            id,
            "--in-flight",
            "none",
            "--tokens-per-minute",
            "5000",
            "--spend-month",
            "100",
        ];
        let said = say(&store, &update).await.unwrap();
        let rules = "rules: failover off; 60 requests a minute; 5000 tokens a minute; $12.5 a day; $100 a month; $0.05 a request.";
        assert_eq!(said, format!("Access key {id} is changed; {rules}\n"));
        let listed = say_json(&store, &["list", "--json"]).await;
        let limits = json!({
            "requests_minute": 60, "tokens_minute": 5000, "spend_day": "12.5", "spend_month": "100",
            "max_cost": "0.05",
        });
        assert_eq!(listed[0]["policy"]["limits"], limits);

        let nothing = say(&store, &["update", id]).await.unwrap_err();
        assert!(nothing.to_string().contains("name a limit"), "{nothing}");
        let zero = say(&store, &["update", id, "--in-flight", "0"])
            .await
            .unwrap_err();
        assert_eq!(
            zero.to_string(),
            "limits: in_flight must be from 1 to 1000000"
        );
        for wrong in [
            ["--spend-day", "-1"],
            ["--spend-day", "1.0000000001"],
            ["--spend-day", "ten"],
            ["--in-flight", "many"],
            ["--requests-per-minute", "1.5"],
        ] {
            let arguments = ["update", id, wrong[0], wrong[1]];
            assert!(parsed(&arguments).is_err(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_key_is_made_used_disabled_enabled_and_revoked() {
        let (_folder, store) = open().await;
        let shown = say(&store, &["create", "--name", "ci"]).await.unwrap();
        let key = shown
            .lines()
            .find(|line| line.starts_with("tg-"))
            .expect("the key has a line of its own");
        assert_eq!(shown.matches("tg-").count(), 1, "{shown}");
        assert!(
            shown.contains("account  default (made just now)"),
            "{shown}"
        );
        let id = key::parse(key).unwrap().id().to_string();

        let steps = [
            (vec!["disable", &id], "disabled", Err(Refusal::Disabled)),
            (vec!["enable", &id], "enabled", Ok(())),
            (vec!["revoke", key], "revoked", Err(Refusal::Unknown)),
        ];
        assert_eq!(ask(&store.load_keyring().await.unwrap(), key), Ok(()));
        for (arguments, done, expected) in steps {
            let said = say(&store, &arguments).await.unwrap();
            assert_eq!(said, format!("Access key {id} is {done}.\n"));
            assert_eq!(
                ask(&store.load_keyring().await.unwrap(), key),
                expected,
                "{done}"
            );
        }
        let again = say(&store, &["create", "--name", "two"]).await.unwrap();
        assert!(again.contains("account  default\n"), "{again}");
    }

    #[tokio::test]
    async fn what_was_said_of_a_key_is_kept() {
        let (_folder, store) = open().await;
        let created = say_json(
            &store,
            &[
                "create",
                "--name",
                "team x",
                "--account",
                "acme",
                "--expires",
                "90d",
                "--json",
                "--allow-provider",
                "openai",
                "--allow-provider",
                "azure-*",
                "--deny-provider",
                "azure-eu",
                "--allow-model",
                "gpt-*",
                "--deny-model",
                "*-preview",
                "--credential-steps",
                "byok",
                "--provider-steps",
                "openai=gateway,byok",
                "--model-steps",
                "azure-us:gpt-4o=request",
                "--failover",
                "safe",
            ],
        )
        .await;
        let expected = json!({
            "allow_providers": ["openai", "azure-*"], "deny_providers": ["azure-eu"],
            "allow_models": ["gpt-*"], "deny_models": ["*-preview"],
            "credential_steps": ["byok"],
            "provider_steps": [{"rule": "openai", "steps": ["gateway", "byok"]}],
            "model_steps": [{"rule": "azure-us:gpt-4o", "steps": ["request"]}],
            "failover": "safe",
        });
        assert_eq!(created["policy"], expected);
        assert_eq!(created["expires"], "2027-04-15T08:00:00Z");
        assert_eq!(
            (&created["name"], &created["account"]),
            (&json!("team x"), &json!("acme"))
        );

        let key = created["access_key"].as_str().unwrap();
        let caller = store
            .load_keyring()
            .await
            .unwrap()
            .authenticate(key, NOW)
            .unwrap();
        assert_eq!(
            caller.policy.permits("azure-us", "gpt-4o"),
            Verdict::Allowed
        );
        assert_eq!(
            caller.policy.permits("azure-eu", "gpt-4o"),
            Verdict::ProviderDenied
        );
        assert_eq!(
            caller.policy.steps_for("azure-us", "gpt-4o"),
            [Step::Request]
        );

        let listed = say_json(&store, &["list", "--json"]).await;
        let mut without_key = created.clone();
        without_key.as_object_mut().unwrap().remove("access_key");
        assert_eq!(listed, json!([without_key]));
    }

    #[tokio::test]
    async fn the_list_has_a_line_a_key_in_columns_and_no_secret() {
        let (_folder, store) = open().await;
        let mut ids = Vec::new();
        for arguments in [
            &["create", "--name", "a", "--json"][..],
            &[
                "create",
                "--name",
                "longer name",
                "--json",
                "--expires",
                "2027-02-01",
                "--allow-model",
                "gpt-*",
                "--failover",
                "off",
            ],
        ] {
            ids.push(
                say_json(&store, arguments).await["id"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        say(&store, &["disable", &ids[1]]).await.unwrap();
        let made = "2027-01-15T08:00:00Z";
        let until = "2027-02-01T00:00:00Z";
        let header = "ID            NAME         ACCOUNT  STATE     CREATED               EXPIRES";
        let mut lines = [
            format!(
                "{}  a            default  active    {made}  never                 none\n",
                ids[0]
            ),
            format!(
                "{}  longer name  default  disabled  {made}  {until}  models gpt-*; failover off\n",
                ids[1]
            ),
        ];
        // Made in the same second, so the order is that of their ids, with which the lines begin.
        lines.sort();
        let expected = format!("{header}               RULES\n{}", lines.concat());
        assert_eq!(say(&store, &["list"]).await.unwrap(), expected);
    }

    #[test]
    fn expiry_is_a_length_or_a_moment() {
        let now = Timestamp::from_second(NOW).unwrap();
        for (text, expected) in [
            ("90d", "2027-04-15T08:00:00Z"),
            ("12h", "2027-01-15T20:00:00Z"),
            ("2 weeks", "2027-01-29T08:00:00Z"),
            ("1y", "2028-01-15T08:00:00Z"),
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
        ] {
            assert_eq!(expiry(text, now).map(time).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "90",
            "tomorrow",
            "2027-13-01",
            "2027-01-31T12:00:00",
            "2026-01-01",
            "2027-01-15",
            "-1d",
            "0d",
            "9999999y",
        ] {
            assert!(
                matches!(expiry(text, now), Err(CliError::Usage(_))),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn bad_arguments_are_refused_and_leave_nothing_behind() {
        for arguments in [
            &["create"][..],
            &["create", "--name", "x", "--credential-steps", "loan"],
            &["create", "--name", "x", "--failover", "maybe"],
            &["create", "--name", "x", "--model-steps", "gpt-4o"],
            &["create", "--name", "x", "--model-steps", "gpt-4o=loan"],
            &["revoke"],
            &["forget", "x"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
        let (_folder, store) = open().await;
        for arguments in [
            &["create", "--name", ""][..],
            &["create", "--name", "x", "--expires", "2020-01-01"],
            &["create", "--name", "x", "--allow-model", ""],
            &["create", "--name", "x", "--credential-steps", "byok,byok"],
            &["disable", "0123456789AB"],
            &["revoke", "nonsense"],
        ] {
            assert!(say(&store, arguments).await.is_err(), "{arguments:?}");
        }
        assert_eq!(store.list_keys().await.unwrap(), []);
        assert_eq!(store.list_accounts().await.unwrap(), []);
    }

    #[test]
    fn a_mistyped_key_is_not_repeated() {
        let error = key_id("tg-not-quite-a-key").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("quite"), "{error}");
    }
}
