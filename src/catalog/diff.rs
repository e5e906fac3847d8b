//! What changes for users from one catalog to another. Two outlines in, a list of changes out; who reads files, asks
//! servers and prints is elsewhere.

mod model;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::file::Status;
use super::outline::{Outline, ProviderOutline};

/// What kind of change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    ProviderGone,
    ProviderDisabled,
    ProviderNew,
    ProviderAddress,
    ProviderAliasGone,
    SurfaceLost,
    SurfaceNew,
    ModelGone,
    ModelNew,
    ModelDeprecated,
    NameGone,
    NameMoved,
    NameChanged,
    VirtualGone,
    VirtualMoved,
    VirtualShorter,
    VirtualChanged,
    VirtualNew,
    PriceUp,
    PriceUnknown,
    PriceDown,
    PriceKnown,
    LimitDown,
    LimitUp,
}

/// What a change means for users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Something that worked fails, goes elsewhere, or costs more.
    Worse,
    /// Something is new, or costs less.
    Better,
    /// Neither.
    Other,
}

impl Kind {
    /// What it means for users.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Self::ProviderGone
            | Self::ProviderDisabled
            | Self::ProviderAliasGone
            | Self::SurfaceLost
            | Self::ModelGone
            | Self::NameGone
            | Self::NameMoved
            | Self::VirtualGone
            | Self::VirtualMoved
            | Self::VirtualShorter
            | Self::PriceUp
            | Self::PriceUnknown
            | Self::LimitDown => Effect::Worse,
            Self::ProviderNew
            | Self::SurfaceNew
            | Self::ModelNew
            | Self::VirtualNew
            | Self::PriceDown
            | Self::PriceKnown
            | Self::LimitUp => Effect::Better,
            Self::ProviderAddress
            | Self::ModelDeprecated
            | Self::NameChanged
            | Self::VirtualChanged => Effect::Other,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What it means for users.
    pub effect: Effect,
    /// What kind of change it is.
    pub kind: Kind,
    /// What has changed: a provider, `provider:model`, or a name.
    pub subject: String,
    /// Which part of it, where it has several: a surface, an item of a price, a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// What was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// By how much a price differs, `+12.5`; not from 0, and not where it is more than can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<String>,
}

impl Change {
    fn new(kind: Kind, subject: impl Into<String>) -> Self {
        Self {
            effect: kind.effect(),
            kind,
            subject: subject.into(),
            part: None,
            before: None,
            after: None,
            percent: None,
        }
    }

    fn part(self, part: impl Into<String>) -> Self {
        Self {
            part: Some(part.into()),
            ..self
        }
    }

    fn from(self, before: impl fmt::Display) -> Self {
        Self {
            before: Some(before.to_string()),
            ..self
        }
    }

    fn to(self, after: impl fmt::Display) -> Self {
        Self {
            after: Some(after.to_string()),
            ..self
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, .. } = self;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (part, before, after) = (text(&self.part), text(&self.before), text(&self.after));
        let percent = self.percent.as_ref();
        let percent = percent.map_or(String::new(), |percent| format!(" ({percent} %)"));
        match self.kind {
            Kind::ProviderGone => write!(out, "{subject}: the provider is gone, with {before}"),
            Kind::ProviderDisabled => write!(
                out,
                "{subject}: the provider is switched off, with {before}"
            ),
            Kind::ProviderNew => write!(out, "{subject}: a new provider, with {after}"),
            Kind::ProviderAddress => write!(out, "{subject}: is at {after}, was at {before}"),
            Kind::ProviderAliasGone => write!(out, "{subject}: no longer called `{before}`"),
            Kind::SurfaceLost => write!(out, "{subject}: no longer served on `{part}`"),
            Kind::SurfaceNew => write!(out, "{subject}: served on `{part}`"),
            Kind::ModelGone => write!(out, "{subject}: the model is gone"),
            Kind::ModelNew => write!(out, "{subject}: a new model"),
            Kind::ModelDeprecated if after.is_empty() => write!(out, "{subject}: deprecated"),
            Kind::ModelDeprecated => write!(out, "{subject}: deprecated, ends {after}"),
            Kind::NameGone => write!(out, "`{subject}`: means nothing, meant {before}"),
            Kind::NameMoved | Kind::NameChanged => {
                write!(out, "`{subject}`: goes to {after}, went to {before}")
            }
            Kind::VirtualGone => write!(
                out,
                "`{subject}`: the virtual model is gone; it was {before}"
            ),
            Kind::VirtualMoved => {
                write!(out, "`{subject}`: begins with {after}, began with {before}")
            }
            Kind::VirtualShorter => write!(out, "`{subject}`: has lost {before}"),
            Kind::VirtualChanged => write!(out, "`{subject}`: is {after}, was {before}"),
            Kind::VirtualNew => write!(out, "`{subject}`: a new virtual model: {after}"),
            Kind::PriceUp | Kind::PriceDown => {
                write!(out, "{subject}: {part} {before} -> {after}{percent}")
            }
            Kind::PriceUnknown => {
                write!(out, "{subject}: {part} has no price any more, was {before}")
            }
            Kind::PriceKnown => write!(out, "{subject}: {part} has a price: {after}"),
            Kind::LimitDown | Kind::LimitUp => write!(out, "{subject}: {part} {before} -> {after}"),
        }
    }
}

/// All changes: what is worse first, then by kind and subject.
#[must_use]
pub fn diff(old: &Outline, new: &Outline) -> Vec<Change> {
    let mut changes = Vec::new();
    for (id, before) in &old.providers {
        match new.providers.get(id) {
            Some(after) => provider(id, before, after, &mut changes),
            None if before.enabled => {
                changes.push(Change::new(Kind::ProviderGone, id).from(models(before)));
            }
            None => {}
        }
    }
    for (id, after) in &new.providers {
        let before = old.providers.get(id).is_some_and(|before| before.enabled);
        if after.enabled && !before {
            changes.push(Change::new(Kind::ProviderNew, id).to(models(after)));
        }
    }
    provider_names(old, new, &mut changes);
    names(old, new, &mut changes);
    virtuals(old, new, &mut changes);
    changes.sort_unstable();
    changes
}

/// How many models a provider has, in words.
fn models(provider: &ProviderOutline) -> String {
    let count = provider.models.values();
    match count
        .filter(|model| model.status != Status::Removed)
        .count()
    {
        1 => "1 model".to_owned(),
        count => format!("{count} models"),
    }
}

fn provider(
    id: &str,
    before: &ProviderOutline,
    after: &ProviderOutline,
    changes: &mut Vec<Change>,
) {
    if !before.enabled {
        return;
    }
    if !after.enabled {
        changes.push(Change::new(Kind::ProviderDisabled, id).from(models(before)));
        return;
    }
    if before.base_url != after.base_url {
        let moved = Change::new(Kind::ProviderAddress, id);
        changes.push(moved.from(&before.base_url).to(&after.base_url));
    }
    model::surfaces(id, &before.surfaces, &after.surfaces, changes);
    for (model, was) in &before.models {
        let subject = format!("{id}:{model}");
        match after.models.get(model) {
            Some(is) => model::model(&subject, (was, before), (is, after), changes),
            None if was.status != Status::Removed => {
                changes.push(Change::new(Kind::ModelGone, subject));
            }
            None => {}
        }
    }
    for (model, is) in &after.models {
        let new = is.status != Status::Removed
            && before
                .models
                .get(model)
                .is_none_or(|was| was.status == Status::Removed);
        if new {
            changes.push(Change::new(Kind::ModelNew, format!("{id}:{model}")));
        }
    }
}

/// Prefixes that no longer mean a provider, or another.
fn provider_names(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    for (id, before) in &old.providers {
        for alias in &before.aliases {
            let kept = |(other, after): (&String, &ProviderOutline)| {
                other == id && (after.aliases.contains(alias) || other == alias)
            };
            if new.providers.contains_key(id) && !new.providers.iter().any(kept) {
                changes.push(Change::new(Kind::ProviderAliasGone, id).from(alias));
            }
        }
    }
}

/// The ids and aliases of models, written alone.
fn names(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    for (name, before) in &old.names {
        let Some(was) = first(before, old) else {
            continue;
        };
        // A model is also meant by the names of the operator's lists, which come before its own.
        let after = new.virtual_models.get(name).or_else(|| new.names.get(name));
        match after.and_then(|after| first(after, new)) {
            None => {
                // That the model itself is gone has been said.
                let id = was.split_once(':').map(|(_, id)| id);
                if id != Some(name) {
                    changes.push(Change::new(Kind::NameGone, name).from(was));
                }
            }
            Some(is) if is != was => {
                let kind = if provider_of(is) == provider_of(was) {
                    Kind::NameChanged
                } else {
                    Kind::NameMoved
                };
                changes.push(Change::new(kind, name).from(was).to(is));
            }
            Some(_) => {}
        }
    }
}

/// The first of `targets` whose provider is switched on.
fn first<'a>(targets: &'a [String], outline: &Outline) -> Option<&'a String> {
    let on = |target: &&String| {
        let provider = outline.providers.get(provider_of(target));
        provider.is_some_and(|provider| provider.enabled)
    };
    targets.iter().find(on)
}

fn provider_of(target: &str) -> &str {
    target.split(':').next().unwrap_or(target)
}

fn virtuals(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    for (name, before) in &old.virtual_models {
        let Some(after) = new.virtual_models.get(name) else {
            let gone = Change::new(Kind::VirtualGone, name);
            changes.push(gone.from(before.join(", ")));
            continue;
        };
        let (was, is) = (first(before, old), first(after, new));
        if let (Some(was), Some(is)) = (was, is)
            && provider_of(was) != provider_of(is)
        {
            changes.push(Change::new(Kind::VirtualMoved, name).from(was).to(is));
        }
        let lost: Vec<&str> = before
            .iter()
            .filter(|target| !after.contains(target))
            .map(String::as_str)
            .collect();
        if !lost.is_empty() {
            changes.push(Change::new(Kind::VirtualShorter, name).from(lost.join(", ")));
        } else if before != after {
            let changed = Change::new(Kind::VirtualChanged, name);
            changes.push(changed.from(before.join(", ")).to(after.join(", ")));
        }
    }
    for (name, after) in &new.virtual_models {
        if !old.virtual_models.contains_key(name) {
            changes.push(Change::new(Kind::VirtualNew, name).to(after.join(", ")));
        }
    }
}
