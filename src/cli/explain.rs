//! `tollgate explain`: the whole decision on a request, without sending it and without the running gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::exit::{Exit, Failure};
use super::form::Form;
use super::keys::write_json;
use super::terminal::Out;
use super::{ConfigFile, offline, one, serve};
use crate::access::key::KeyId;
use crate::access::policy::Policy;
use crate::access::{Account, AccountId, Caller, Refusal};
use crate::byok::Stored;
use crate::byok::keys::StoredKeys;
use crate::config;
use crate::explain::{Explanation, Refused};
use crate::live::{self, Lasting, Live};
use crate::metrics::Metrics;
use crate::proxy::explain::Question;
use crate::proxy::reject;
use crate::store::KeyRow;
use crate::surface::{ModelAt, Surface, TABLE};
use crate::upstream::dns::{Resolver, Ways};

/// Flags of `tollgate explain`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate explain gpt-4o --key 2f8k1m0qXYZ0 --surface responses
  tollgate explain --body request.json --json

The health of provider keys is known to the running gateway only: POST a request's body to /tollgate/v1/explain, with
an access key, to see it. The exit code is 3 where the request would be refused.")]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// The model as a client would write it; not needed with --body
    model: Option<String>,
    /// The access key that asks: its id, or the whole key [default: any without rules]
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The API shape: chat, responses, messages …
    #[arg(long, default_value = "chat", value_parser = surface)]
    surface: Surface,
    /// Only this provider, as if path or header said so
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// A file with the body of the request; - for standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn surface(name: &str) -> Result<Surface, String> {
    Surface::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        format!("a surface is one of {}", names.join(", "))
    })
}

/// Explains, and says by the exit code whether the request would be refused.
///
/// # Errors
/// Every problem that keeps it from doing so.
pub fn run(options: &Options, out: &mut dyn Out) -> Result<Exit, Failure> {
    let body = body(options)?;
    let path = &*options.file.config;
    let config = offline::config(path)?;
    let catalog = offline::catalog(&config)?;
    let looking = Looking::new().map_err(one)?;
    let live = live::build_without_secrets(Arc::new(catalog), &config, path, &looking.lasting)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let found = options.key.as_deref();
    let found = found.map(|id| key(config.store.path, id)).transpose()?;
    let (key, stored) = found.map_or_else(Default::default, |(key, rows)| (Some(key), rows));
    let stored = StoredKeys::without_secrets(&stored);
    let refusal = key.as_ref().and_then(refusal);
    let caller = caller(key)?;
    let question = Question {
        live: &live,
        caller: &caller,
        named: options.key.is_some(),
        surface: options.surface,
        in_path: in_path(options),
        pinned: pinned(&live, options.provider.as_deref())?,
        own_key: None,
        stored: &stored,
        mode: caller.policy.failover().unwrap_or(live.rules.mode),
        // How the account pays is not looked up.
        unpriced: live.terms.unpriced,
        measured: false,
    };
    let told = question
        .of_bytes(body)
        .map_err(|rejection| one(&rejection.message))?;
    check_names(options, &told)?;
    let told = Explanation {
        refused: refusal.or(told.refused.clone()),
        ..told
    };
    if options.form.json {
        write_json(out, &told).map_err(one)?;
    } else {
        write!(out, "{told}").map_err(one)?;
    }
    Ok(Exit::of_look(told.refused.is_some()))
}

/// What a process that sends nothing has in place of what is measured. Names are looked up by tasks of its runtime,
/// which never runs.
struct Looking {
    lasting: Lasting,
    _runtime: tokio::runtime::Runtime,
}

impl Looking {
    fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| error.to_string())?;
        let metrics = Metrics::new(&reject::code_names()).map_err(|error| error.to_string())?;
        let resolver = Resolver::new(runtime.handle().clone(), Ways::of(&config::Dns::default()));
        Ok(Self {
            lasting: Lasting::new(resolver, Arc::new(metrics)),
            _runtime: runtime,
        })
    }
}

/// The body as it would be sent: the file's, or the shortest that asks for the model.
fn body(options: &Options) -> Result<Bytes, Failure> {
    match (&options.body, &options.model) {
        (Some(file), _) => {
            Ok(read(file).map_err(|error| one(format!("{}: {error}", file.display())))?)
        }
        (None, Some(_)) if has_path(options) => Ok(Bytes::from_static(b"{}")),
        (None, Some(model)) => {
            let body = serde_json::json!({ "model": model });
            Ok(body.to_string().into())
        }
        (None, None) => Err(Failure::usage(
            "name a model, or a file with a request's body (--body)",
        )),
    }
}

/// Whether the model stands in the path of the surface, or in its query.
fn has_path(options: &Options) -> bool {
    matches!(
        options.surface.spec().model_at,
        ModelAt::Path | ModelAt::Query
    )
}

fn in_path(options: &Options) -> Option<Box<str>> {
    let model = options.model.as_deref();
    model.filter(|_| has_path(options)).map(Into::into)
}

fn read(file: &Path) -> std::io::Result<Bytes> {
    if file == Path::new("-") {
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut body)?;
        return Ok(body.into());
    }
    Ok(fs::read(file)?.into())
}

/// The model and the body that are both given must agree: which of them is meant could not be told.
fn check_names(options: &Options, told: &Explanation) -> Result<(), Vec<String>> {
    let (Some(model), Some(_)) = (&options.model, &options.body) else {
        return Ok(());
    };
    match told.names.first() {
        Some(name) if name.name != *model => Err(one(format!(
            "the body asks for `{}` and not for `{model}`; leave the model out",
            name.name
        ))),
        _ => Ok(()),
    }
}

fn pinned(
    live: &Live,
    name: Option<&str>,
) -> Result<Option<crate::catalog::ProviderId>, Vec<String>> {
    let Some(name) = name else { return Ok(None) };
    let found = live.catalog.provider_by_name(name);
    found.map(Some).ok_or_else(|| {
        one(format!(
            "the catalog has no provider `{name}`; see `tollgate models --providers`"
        ))
    })
}

/// The key of that id in the store, and the stored provider keys beside it.
fn key(store: PathBuf, text: &str) -> Result<(KeyRow, Vec<Stored>), Failure> {
    let id = super::keys::key_id(text)?;
    if !store.exists() {
        return Err(one(format!(
            "there is no store at {}, and no key in it",
            store.display()
        ))
        .into());
    }
    let (mut found, mut stored) = (None, Vec::new());
    serve::on_store(store, async |store, _| {
        let keys = store.list_keys().await?;
        found = keys.into_iter().find(|key| key.id == id);
        stored = store.list_provider_keys().await?;
        Ok(())
    })?;
    found.map(|key| (key, stored)).ok_or_else(|| {
        one(format!(
            "there is no access key {id}; see `tollgate keys list`"
        ))
        .into()
    })
}

/// Why requests with the key are refused whatever they ask for.
fn refusal(key: &KeyRow) -> Option<Refused> {
    let now = Timestamp::now().as_second();
    let refusal = if key.revoked.is_some() {
        Refusal::Unknown
    } else if !key.enabled || key.policy.is_none() {
        Refusal::Disabled
    } else if key.expires.is_some_and(|expires| expires <= now) {
        Refusal::Expired
    } else {
        return None;
    };
    let code = reject::Code::InvalidAccessKey;
    Some(Refused {
        status: code.status(),
        code: code.name(),
        message: refusal.to_string(),
    })
}

/// The caller that a key speaks for; without one, somebody without rules.
fn caller(key: Option<KeyRow>) -> Result<Caller, Vec<String>> {
    let Some(key) = key else {
        return Ok(Caller {
            key_id: nobody()?,
            key_name: "".into(),
            account: Account {
                id: AccountId(0),
                name: "".into(),
            },
            policy: Policy::default(),
            allowance: None,
        });
    };
    Ok(Caller {
        key_id: key.id,
        key_name: key.name.into(),
        account: key.account,
        policy: Policy::new(&key.policy.unwrap_or_default()).map_err(one)?,
        allowance: None,
    })
}

/// An id that is shown nowhere.
fn nobody() -> Result<KeyId, Vec<String>> {
    crate::access::key::AccessKey::generate()
        .map(|key| key.id)
        .map_err(one)
}
