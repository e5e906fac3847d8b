//! `tollgate models`: the catalog's models as a table, narrowed down.

use serde::Serialize;

use super::form::Form;
use super::keys::{CliError, write_json};
use super::terminal::Out;
use super::{ConfigFile, offline, one, table};
use crate::catalog::file::{Decimal, Modality, Status};
use crate::catalog::show::name;
use crate::catalog::{Catalog, Item, Model, PicoDollars, Provider, ProviderId};
use crate::config::Config;
use crate::surface::Surface;

/// Flags of `tollgate models`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate models --surface messages --max-price 5 --min-context 200000
  tollgate models --provider groq --columns model,input,output

Prices are US dollars per million tokens.")]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Only those whose id, name or alias holds this text, in any case
    text: Option<String>,
    /// Only of this provider
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// Only those served on this surface
    #[arg(long, value_parser = super::explain::surface)]
    surface: Option<Surface>,
    /// Only those that read or write this: text, image, audio, video, pdf …; may be repeated
    #[arg(long, value_name = "MODALITY", value_parser = modality)]
    modality: Vec<Modality>,
    /// Only those whose input and output cost no more than this
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    max_price: Option<PicoDollars>,
    /// Only those with a context of so many tokens or more
    #[arg(long, value_name = "TOKENS")]
    min_context: Option<u64>,
    /// Those that are no longer offered as well
    #[arg(long)]
    removed: bool,
    /// What to show, in this order
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = Column::read, default_value = "model,kind,context,max_output,input,cached_input,output,status")]
    columns: Vec<Column>,
    /// The providers instead of the models
    #[arg(long)]
    providers: bool,
    #[command(flatten)]
    form: Form,
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Model,
    Provider,
    Id,
    Name,
    Aliases,
    Kind,
    Modalities,
    Surfaces,
    Context,
    MaxOutput,
    Amount(Item),
    Status,
    Retires,
}

impl Column {
    /// The columns that are not prices, by name.
    const NAMED: [(&'static str, Self); 12] = [
        ("model", Self::Model),
        ("provider", Self::Provider),
        ("id", Self::Id),
        ("name", Self::Name),
        ("aliases", Self::Aliases),
        ("kind", Self::Kind),
        ("modalities", Self::Modalities),
        ("surfaces", Self::Surfaces),
        ("context", Self::Context),
        ("max_output", Self::MaxOutput),
        ("status", Self::Status),
        ("retires", Self::Retires),
    ];

    fn read(text: &str) -> Result<Self, String> {
        let named = Self::NAMED.iter().find(|(name, _)| *name == text);
        if let Some((_, column)) = named {
            return Ok(*column);
        }
        written(text).map(Self::Amount).ok_or_else(|| {
            let names = Self::NAMED.map(|(name, _)| name);
            format!(
                "a column is {}, or an item of a price as input, output, cached_input",
                names.join(", ")
            )
        })
    }

    fn title(self) -> String {
        let named = Self::NAMED.iter().find(|(_, column)| *column == self);
        let title = match (named, self) {
            (Some((name, _)), _) => (*name).to_owned(),
            (None, Self::Amount(item)) => name(&item),
            (None, _) => String::new(),
        };
        title.to_uppercase()
    }
}

/// The value that files write as `text`.
#[allow(
    clippy::disallowed_methods,
    reason = "a word of the command line, read as files read it"
)]
fn written<T: for<'de> serde::Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}

fn modality(text: &str) -> Result<Modality, String> {
    written(text)
        .ok_or_else(|| "a modality is text, image, audio, video, pdf, file, embedding".to_owned())
}

fn dollars(text: &str) -> Result<PicoDollars, String> {
    PicoDollars::read(&Decimal(text.into()))
}

/// Lists what was asked for.
///
/// # Errors
/// Every problem that keeps it from doing so.
pub fn run(options: &Options, out: &mut dyn Out) -> Result<(), Vec<String>> {
    let config = offline::config(&options.file.config)?;
    let catalog = offline::catalog(&config)?;
    let only = match &options.provider {
        None => None,
        Some(name) => Some(catalog.provider_by_name(name).ok_or_else(|| {
            one(format!(
                "the catalog has no provider `{name}`; see `tollgate models --providers`"
            ))
        })?),
    };
    if options.providers {
        return providers(&catalog, &config, options.form.json, out).map_err(one);
    }
    let wanted =
        |model: &&Model| only.is_none_or(|only| only == model.provider) && options.wants(model);
    let models: Vec<&Model> = catalog.models().iter().filter(wanted).collect();
    let done = if options.form.json {
        let rows: Vec<Row> = models
            .iter()
            .map(|model| Row::new(&catalog, model))
            .collect();
        write_json(out, &rows)
    } else {
        shown(options, &catalog, &models, out)
    };
    done.map_err(one)
}

impl Options {
    fn wants(&self, model: &Model) -> bool {
        (self.removed || model.status != Status::Removed)
            && self.text.as_deref().is_none_or(|text| holds(model, text))
            && self
                .surface
                .is_none_or(|surface| model.surfaces.has(surface))
            && self
                .modality
                .iter()
                .all(|one| model.input.has(*one) || model.output.has(*one))
            && self
                .min_context
                .is_none_or(|least| model.context.is_some_and(|context| context >= least))
            && self.max_price.is_none_or(|most| costs_at_most(model, most))
    }
}

fn holds(model: &Model, text: &str) -> bool {
    let text = text.to_lowercase();
    let names = std::iter::once(&*model.id)
        .chain(model.aliases.iter().map(|alias| &**alias))
        .chain(model.name.as_deref());
    let mut names = names.map(str::to_lowercase);
    names.any(|name| name.contains(&text))
}

/// A model whose price is not known may cost anything.
fn costs_at_most(model: &Model, most: PicoDollars) -> bool {
    let Some(price) = &model.price else {
        return false;
    };
    let amounts = [Item::Input, Item::Output].map(|item| price.rates.get(item));
    amounts.iter().any(Option::is_some) && amounts.iter().flatten().all(|amount| *amount <= most)
}

fn shown(
    options: &Options,
    catalog: &Catalog,
    models: &[&Model],
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let header = options.columns.iter().map(|column| column.title());
    let row = |model: &&Model| {
        let cells = options.columns.iter();
        cells.map(|column| cell(*column, catalog, model)).collect()
    };
    let rows = std::iter::once(header.collect()).chain(models.iter().map(row));
    table::write(out, &rows.collect::<Vec<_>>())?;
    Ok(())
}

/// What is not known is a dash.
fn cell(column: Column, catalog: &Catalog, model: &Model) -> String {
    let or_dash = |text: Option<String>| {
        text.filter(|text| !text.is_empty())
            .unwrap_or("-".to_owned())
    };
    let provider = &catalog.provider(model.provider).id;
    or_dash(match column {
        Column::Model => Some(format!("{provider}:{}", model.id)),
        Column::Provider => Some(provider.to_string()),
        Column::Id => Some(model.id.to_string()),
        Column::Name => model.name.as_deref().map(str::to_owned),
        Column::Aliases => Some(model.aliases.join(",")),
        Column::Kind => model.kind.as_ref().map(name),
        Column::Modalities => Some(format!(
            "{}>{}",
            modalities(model, true).join("+"),
            modalities(model, false).join("+")
        )),
        Column::Surfaces => Some(surfaces(model).join(",")),
        Column::Context => model.context.map(|tokens| tokens.to_string()),
        Column::MaxOutput => model.max_output.map(|tokens| tokens.to_string()),
        Column::Amount(item) => {
            let price = model.price.as_ref();
            price.and_then(|price| Some(price.rates.get(item)?.decimal()))
        }
        Column::Status => Some(name(&model.status)),
        Column::Retires => model.retires.as_deref().map(str::to_owned),
    })
}

fn surfaces(model: &Model) -> Vec<&'static str> {
    model.surfaces.iter().map(Surface::name).collect()
}

fn modalities(model: &Model, input: bool) -> Vec<String> {
    let set = if input { model.input } else { model.output };
    set.iter().map(|one| name(&one)).collect()
}

#[derive(Serialize)]
struct Row<'a> {
    model: String,
    provider: &'a str,
    id: &'a str,
    name: Option<&'a str>,
    aliases: Vec<&'a str>,
    kind: Option<String>,
    input: Vec<String>,
    output: Vec<String>,
    surfaces: Vec<&'static str>,
    context: Option<u64>,
    max_output: Option<u64>,
    price: Option<crate::explain::Prices>,
    status: String,
    retires: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(catalog: &'a Catalog, model: &'a Model) -> Self {
        let provider = &*catalog.provider(model.provider).id;
        Self {
            model: format!("{provider}:{}", model.id),
            provider,
            id: &model.id,
            name: model.name.as_deref(),
            aliases: model.aliases.iter().map(|alias| &**alias).collect(),
            kind: model.kind.as_ref().map(name),
            input: modalities(model, true),
            output: modalities(model, false),
            surfaces: surfaces(model),
            context: model.context,
            max_output: model.max_output,
            price: model
                .price
                .as_deref()
                .map(|price| crate::explain::Prices(price.shown())),
            status: name(&model.status),
            retires: model.retires.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ProviderRow<'a> {
    provider: &'a str,
    name: &'a str,
    aliases: Vec<&'a str>,
    models: usize,
    surfaces: Vec<&'static str>,
    enabled: bool,
    keys: usize,
    base_url: &'a str,
}

fn providers(
    catalog: &Catalog,
    config: &Config,
    json: bool,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let ids = catalog.provider_ids();
    let rows: Vec<ProviderRow> = ids.map(|id| provider_row(catalog, config, id)).collect();
    if json {
        return write_json(out, &rows);
    }
    let header = [
        "PROVIDER", "MODELS", "KEYS", "ENABLED", "SURFACES", "BASE_URL",
    ];
    let header = header.map(str::to_owned).to_vec();
    let line = |row: &ProviderRow| {
        vec![
            row.provider.to_owned(),
            row.models.to_string(),
            row.keys.to_string(),
            if row.enabled { "yes" } else { "no" }.to_owned(),
            row.surfaces.join(","),
            row.base_url.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(header)
        .chain(rows.iter().map(line))
        .collect();
    table::write(out, &rows)?;
    Ok(())
}

fn provider_row<'a>(catalog: &'a Catalog, config: &Config, id: ProviderId) -> ProviderRow<'a> {
    let provider: &Provider = catalog.provider(id);
    let sections = config.providers.iter();
    let own = sections.filter(|(name, _)| catalog.provider_by_name(name) == Some(id));
    ProviderRow {
        provider: &provider.id,
        name: &provider.name,
        aliases: provider.aliases.iter().map(|alias| &**alias).collect(),
        models: catalog
            .listed()
            .filter(|model| model.provider == id)
            .count(),
        surfaces: provider.surfaces.iter().map(Surface::name).collect(),
        enabled: offline::is_enabled(config, catalog, id),
        keys: own.map(|(_, section)| section.keys.len()).sum(),
        base_url: &provider.base_url,
    }
}
