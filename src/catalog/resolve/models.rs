//! Checks and builds the models of one provider, with their prices.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::providers::{self, Draft};
use super::routes::{self, Kinds};
use crate::catalog::ProviderId;
use crate::catalog::date;
use crate::catalog::file::{self, Decimal, Kind, Members, ModeEntry, ModelEntry, TierEntry};
use crate::catalog::lookup::NAME_MAX;
use crate::catalog::model::Model;
use crate::catalog::price::{self, Factor, Item, Mode, PicoDollars, Price, Rates, Tier};
use crate::catalog::provider::Provider;
use crate::catalog::report::{Reports, Scope};
use crate::surface::{Surface, SurfaceSet};

/// The longest id or alias of a model, in bytes: with any provider's id before it, it is still a name.
pub(in crate::catalog) const ID_MAX: usize = NAME_MAX - providers::NAME_MAX - 1;

/// The models of `draft`, by id.
pub(super) fn models(draft: &mut Draft, id: ProviderId, reports: &mut Reports<'_>) -> Vec<Model> {
    let written = std::mem::take(&mut draft.models).0;
    let mut models = Vec::with_capacity(written.len());
    {
        let mut scope = reports.scope(&draft.layers);
        for (name, entry) in written {
            let Some(entry) = entry.filter(|entry| entry.disabled != Some(true)) else {
                continue;
            };
            let mut scope = scope.within(&["models", &name]);
            check_id(&name, &[], &mut scope);
            models.push(model(draft, id, &name, *entry, &mut scope));
        }
    }
    check_aliases(&models, draft, reports);
    models
}

fn check_id(id: &str, path: &[&str], scope: &mut Scope<'_, '_>) {
    if id.is_empty() || id.len() > ID_MAX || id.chars().any(char::is_control) {
        scope.problem(
            path,
            format!("the name of a model has 1 to {ID_MAX} bytes and no control characters"),
        );
    }
}

fn model(
    draft: &Draft,
    provider: ProviderId,
    id: &str,
    entry: ModelEntry,
    scope: &mut Scope<'_, '_>,
) -> Model {
    for (position, alias) in entry.aliases.iter().flatten().enumerate() {
        check_id(alias, &["aliases", &position.to_string()], scope);
    }
    if let Some(family) = &entry.family {
        check_id(family, &["family"], scope);
    }
    for (name, day) in [
        ("retires", &entry.retires),
        ("expires", &entry.expires),
        ("last_seen", &entry.last_seen),
    ] {
        day.as_deref()
            .and_then(|day| scope.check(&[name], seconds(day)));
    }
    Model {
        id: id.into(),
        provider,
        surfaces: surfaces(draft, &entry, scope),
        created: entry
            .snapshot
            .as_deref()
            .and_then(|day| scope.check(&["snapshot"], seconds(day))),
        price: price(&entry, scope),
        sources: sources(&draft.provider, &entry, scope),
        author: author(draft, id, entry.author),
        aliases: entry.aliases.into_iter().flatten().map(Arc::from).collect(),
        name: entry.name,
        family: entry.family,
        variant: entry.variant,
        kind: entry.kind,
        input: entry.input.into_iter().flatten().collect(),
        output: entry.output.into_iter().flatten().collect(),
        context: entry.context,
        max_input: entry.max_input,
        max_output: entry.max_output,
        searches: entry.searches == Some(true),
        status: entry.status.unwrap_or_default(),
        retires: entry.retires,
        confidence: entry.conf,
    }
}

/// Where an alias is an id, or the alias of two models, one of the two could never be reached.
fn check_aliases(models: &[Model], draft: &Draft, reports: &mut Reports<'_>) {
    let mut owner: HashMap<&str, &str> = models
        .iter()
        .map(|model| (&*model.id, &*model.id))
        .collect();
    for model in models {
        for (position, alias) in model.aliases.iter().enumerate() {
            let Some(other) = owner.insert(alias, &model.id) else {
                continue;
            };
            let what = if *other == **alias {
                "is the id of a model"
            } else {
                "is an alias of"
            };
            let whose = if *other == **alias {
                String::new()
            } else {
                format!(" `{other}`")
            };
            let message = format!(
                "`{alias}` {what}{whose} of this provider already; take it away here (or write it in `same_as`)"
            );
            let path = ["models", &*model.id, "aliases", &position.to_string()];
            reports.scope(&draft.layers).problem(&path, message);
        }
    }
}

pub(super) fn seconds(day: &str) -> Result<i64, String> {
    date::unix_seconds(day)
        .ok_or_else(|| format!("`{day}` is no day; write it as 2026-11-10, or 2026-11 for a month"))
}

fn author(draft: &Draft, id: &str, written: Option<Box<str>>) -> Option<Box<str>> {
    written.or_else(|| usual_author(id, draft.author.as_deref()))
}

/// Who made the model of that id, where its entry does not say it.
pub(in crate::catalog) fn usual_author(id: &str, of_provider: Option<&str>) -> Option<Box<str>> {
    let in_id = id
        .split_once('/')
        .map(|(author, _)| author.trim_start_matches('~'));
    in_id.or(of_provider).map(Into::into)
}

/// What the model allows of what its provider serves.
fn surfaces(draft: &Draft, entry: &ModelEntry, scope: &mut Scope<'_, '_>) -> SurfaceSet {
    let mut allowed = SurfaceSet::EMPTY;
    if let Some(names) = &entry.surfaces {
        for (position, name) in names.iter().enumerate() {
            let found = routes::surface(name, "others belong in `other_surfaces`");
            if let Some(surface) = scope.check(&["surfaces", &position.to_string()], found) {
                allowed = allowed.with(surface);
            }
        }
        if allowed.has(Surface::Responses) {
            // They are about such requests.
            allowed = allowed
                .with(Surface::ResponsesCompact)
                .with(Surface::ResponsesInputTokens);
        }
        return draft
            .provider
            .surfaces
            .iter()
            .filter(|surface| allowed.has(*surface))
            .collect();
    }
    match entry.kind {
        Some(kind) => fitting(draft.provider.surfaces, &draft.kinds, kind),
        None => draft.provider.surfaces,
    }
}

/// Those of `surfaces` on which models of `kind` are served.
pub(super) fn fitting(surfaces: SurfaceSet, kinds: &Kinds, kind: Kind) -> SurfaceSet {
    let fits = |surface: &Surface| match &kinds[*surface as usize] {
        Some(kinds) => kinds.contains(&kind),
        None => usually_serves(*surface, kind),
    };
    surfaces.iter().filter(fits).collect()
}

/// Whether models of `kind` are usually served on `surface`.
fn usually_serves(surface: Surface, kind: Kind) -> bool {
    match surface {
        Surface::Chat => matches!(kind, Kind::Chat | Kind::Classifier),
        Surface::Completions => matches!(kind, Kind::Completion | Kind::Chat),
        Surface::Embeddings | Surface::EmbedContent | Surface::BatchEmbedContents => {
            kind == Kind::Embedding
        }
        Surface::Responses
        | Surface::ResponsesCompact
        | Surface::ResponsesInputTokens
        | Surface::Messages
        | Surface::CountTokens
        | Surface::GenerateContent
        | Surface::StreamGenerateContent
        | Surface::GeminiCountTokens => kind == Kind::Chat,
        Surface::ImagesGenerations => kind == Kind::Image,
        Surface::AudioSpeech => kind == Kind::Speech,
        Surface::Moderations => kind == Kind::Moderation,
        Surface::Rerank => kind == Kind::Rerank,
        Surface::Decisions => kind == Kind::Decisions,
        // None is for nothing else.
        Surface::Fim => false,
        Surface::AudioTranscriptions | Surface::AudioTranslations => kind == Kind::Transcription,
        // Which of a provider's models do is told of each.
        Surface::ImagesEdits | Surface::ImagesVariations => false,
        Surface::Realtime => kind == Kind::Realtime,
    }
}

fn sources(provider: &Provider, entry: &ModelEntry, scope: &mut Scope<'_, '_>) -> Box<[u16]> {
    let mut positions = Vec::new();
    for (nth, name) in entry.src.iter().flatten().enumerate() {
        match provider
            .sources
            .iter()
            .position(|source| *source.id == **name)
        {
            Some(position) => positions.extend(u16::try_from(position)),
            None => scope.problem(
                &["src", &nth.to_string()],
                format!("`{name}` is not in `sources` of the provider; add it"),
            ),
        }
    }
    positions.into()
}

fn price(entry: &ModelEntry, scope: &mut Scope<'_, '_>) -> Option<Box<Price>> {
    let rates = entry
        .price
        .as_ref()
        .map(|written| rates(written, &mut scope.within(&["price"])));
    let tiers = tiers(entry.tiers.as_deref(), &mut scope.within(&["tiers"]));
    let modes = modes(entry.modes.as_ref(), &mut scope.within(&["modes"]));
    let images = images(
        entry.image_price.as_ref(),
        &mut scope.within(&["image_price"]),
    );
    if rates.is_none() && !tiers.is_empty() {
        scope.problem(&["tiers"], "tiers differ from a `price`; say it");
    }
    // A model that only has prices of some modes has none that a plain request could be charged at.
    if rates.is_none() && images.is_empty() {
        return None;
    }
    Some(Box::new(Price {
        rates: rates.unwrap_or_default(),
        tiers,
        modes,
        images,
    }))
}

fn rates(written: &file::Rates, scope: &mut Scope<'_, '_>) -> Rates {
    let mut rates = Vec::with_capacity(written.0.len());
    for (item, amount) in &written.0 {
        let Some(amount) = amount else { continue };
        match price::parse(amount) {
            Ok(amount) => rates.push((*item, PicoDollars(amount))),
            Err(message) => scope.problem(&[&item_name(*item)], message),
        }
    }
    Rates(rates.into())
}

/// As the file writes it.
fn item_name(item: Item) -> String {
    serde_json::to_value(item)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn tiers(written: Option<&[TierEntry]>, scope: &mut Scope<'_, '_>) -> Box<[Tier]> {
    let mut above = 0;
    let mut tier = |(position, entry): (usize, &TierEntry)| {
        let position = position.to_string();
        let mut scope = scope.within(&[&position]);
        if entry.above <= above {
            scope.problem(&["above"], "tiers begin above 0 tokens and ascend");
        }
        above = entry.above;
        Tier {
            above,
            rates: rates(&entry.price, &mut scope.within(&["price"])),
        }
    };
    written
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(&mut tier)
        .collect()
}

fn modes(
    written: Option<&Members<String, Option<ModeEntry>>>,
    scope: &mut Scope<'_, '_>,
) -> Box<[(Box<str>, Mode)]> {
    let mut modes = Vec::new();
    for (name, entry) in written.iter().flat_map(|modes| &modes.0) {
        let Some(entry) = entry else { continue };
        let mut scope = scope.within(&[name]);
        let factor = entry
            .multiplier
            .as_ref()
            .and_then(|text| scope.check(&["multiplier"], price::parse(text)));
        let written = entry.price.as_ref();
        let rates = written
            .map(|written| rates(written, &mut scope.within(&["price"])))
            .unwrap_or_default();
        let tiers = tiers(entry.tiers.as_deref(), &mut scope.within(&["tiers"]));
        modes.push((
            name.as_str().into(),
            Mode {
                factor: factor.map_or(Factor::ONE, Factor),
                rates,
                tiers,
            },
        ));
    }
    modes.into()
}

fn images(
    written: Option<&Members<String, Decimal>>,
    scope: &mut Scope<'_, '_>,
) -> Box<[(Box<str>, PicoDollars)]> {
    let empty = BTreeMap::new();
    let mut images = Vec::new();
    for (size, amount) in written.map_or(&empty, |members| &members.0) {
        if let Some(amount) = scope.check(&[size], price::parse(amount)) {
            images.push((size.as_str().into(), PicoDollars(amount)));
        }
    }
    images.into()
}
