//! `tollgate price`: what a usage costs at a model.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::form::Form;
use super::terminal::Out;
use super::{ConfigFile, offline, one};
use crate::catalog::file::Decimal;
use crate::catalog::{Catalog, Model, PicoDollars};
use crate::money::{Credits, Fee, charge};
use crate::usage::{Tier, Usage};

/// Flags of `tollgate price`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate price gpt-4o --usage '{\"input\": 1200, \"cached\": 1000, \"output\": 300}'
  tollgate price --fee-per-request 0.0001 < usages.jsonl

Each line of standard input is a usage with its \"model\". Members: input, cached, cache_write, cache_write_1h,
cache_write_12h, audio_input, image_input, output, reasoning, audio_output, image_output (tokens; input and output are
totals, the others parts of them), searches, tier (standard, flex, priority, fast, ultrafast, batch), us (true or false).")]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// The model as a client would write it; of several that have the name, the first with a price
    model: Option<String>,
    /// What was used, as a JSON object [default: a line each of standard input]
    #[arg(long, value_name = "JSON", requires = "model")]
    usage: Option<String>,
    /// A processing fee for a million tokens
    #[arg(long, value_name = "DOLLARS", value_parser = dollars, default_value = "0")]
    fee_per_million_tokens: PicoDollars,
    /// A processing fee for the request
    #[arg(long, value_name = "DOLLARS", value_parser = dollars, default_value = "0")]
    fee_per_request: PicoDollars,
    #[command(flatten)]
    form: Form,
}

fn dollars(text: &str) -> Result<PicoDollars, String> {
    PicoDollars::read(&Decimal(text.into()))
}

/// A usage as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    model: Option<String>,
    input: u64,
    cached: u64,
    cache_write: u64,
    cache_write_1h: u64,
    cache_write_12h: u64,
    audio_input: u64,
    image_input: u64,
    output: u64,
    reasoning: u64,
    audio_output: u64,
    image_output: u64,
    searches: u64,
    tier: Named,
    us: bool,
}

/// A service tier as written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Named {
    #[default]
    Standard,
    Flex,
    Priority,
    Fast,
    Ultrafast,
    Batch,
}

impl Written {
    fn usage(&self) -> Usage {
        Usage {
            cached_audio: 0,
            cached_image: 0,
            input: self.input,
            cached: self.cached,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            cache_write_12h: self.cache_write_12h,
            audio_input: self.audio_input,
            image_input: self.image_input,
            output: self.output,
            reasoning: self.reasoning,
            audio_output: self.audio_output,
            image_output: self.image_output,
            searches: self.searches,
            tier: match self.tier {
                Named::Standard => Tier::Standard,
                Named::Flex => Tier::Flex,
                Named::Priority => Tier::Priority,
                Named::Fast => Tier::Fast,
                Named::Ultrafast => Tier::Ultrafast,
                Named::Batch => Tier::Batch,
            },
            us: self.us,
        }
    }
}

/// A line of the answer.
#[derive(Serialize)]
struct Line {
    model: String,
    model_cost: Credits,
    fee: Credits,
    total: Credits,
}

/// Prices what was asked for.
///
/// # Errors
/// The first usage that has no price, and why.
pub fn run(options: &Options, out: &mut dyn Out) -> Result<(), Vec<String>> {
    let config = offline::config(&options.file.config)?;
    let catalog = offline::catalog(&config)?;
    let price = |text: &str| price(options, &catalog, text);
    if let Some(usage) = &options.usage {
        return write(options, &price(usage).map_err(one)?, out);
    }
    for (position, text) in std::io::stdin().lock().lines().enumerate() {
        let text = text.map_err(one)?;
        let line = price(&text).map_err(|why| one(format!("line {}: {why}", position + 1)))?;
        write(options, &line, out)?;
    }
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "what an operator has written, not a request"
)]
fn price(options: &Options, catalog: &Catalog, text: &str) -> Result<Line, String> {
    let written: Written =
        serde_json::from_str(text).map_err(|error| format!("no usage: {error}"))?;
    let name = written.model.as_deref().or(options.model.as_deref());
    let name = name.ok_or("no model: name it, or write it into each usage")?;
    let model = model(catalog, name)?;
    let full = format!("{}:{}", catalog.provider(model.provider).id, model.id);
    let Some(price) = &model.price else {
        return Err(format!("{full} has no price"));
    };
    let fee = Fee {
        per_million_tokens: options.fee_per_million_tokens,
        per_request: options.fee_per_request,
    };
    let charge = charge(price, &written.usage(), &fee).map_err(|why| format!("{full}: {why}"))?;
    Ok(Line {
        model: full,
        model_cost: charge.model,
        fee: charge.fee,
        total: charge.total().ok_or("too large an amount")?,
    })
}

/// The first model of that name that has a price, else the first.
fn model<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c Model, String> {
    let unknown = || format!("`{name}` is no model of the catalog; see `tollgate models`");
    let targets = catalog.lookup(name, None).map_err(|_| unknown())?;
    let found = targets.iter().filter_map(|target| target.model());
    let mut models: Vec<&Model> = found.map(|id| catalog.model(id)).collect();
    models.sort_by_key(|model| model.price.is_none());
    models.first().copied().ok_or_else(unknown)
}

#[allow(
    clippy::disallowed_methods,
    reason = "what the command says, not a request"
)]
fn write(options: &Options, line: &Line, out: &mut dyn Out) -> Result<(), Vec<String>> {
    let written = if options.form.json {
        serde_json::to_writer(&mut *out, line)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        let Line {
            model,
            model_cost,
            fee,
            total,
        } = line;
        writeln!(out, "{model}  {total}  (model {model_cost}, fee {fee})")
    };
    written.map_err(one)
}
