//! Where each value of the catalog came from: the layered files gone through once more, this time with an eye on the
//! lines rather than the values. For `tollgate check --origins`; nothing is loaded by it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::load::Files;
use super::paths::{is_entry, is_whole, own_path};
use super::place::{self, Index};
use super::{Catalog, Target};

/// The members that are of no provider, whichever file they stand in, and what they are called.
const SHARED: [(&str, &str); 2] = [
    ("families", "families"),
    ("virtual_models", "virtual models"),
];

/// Members of one provider, or of the virtual models, and where each stands.
#[derive(Debug)]
pub struct Origins {
    /// `provider openai`, `preset ollama`, `families`, `virtual models`.
    pub title: String,
    /// The provider that the members are of, if they are of one.
    pub provider: Option<String>,
    /// In the order of their paths.
    pub members: Vec<Member>,
}

/// A value that is in force, or a `null` that takes something away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Members from the top of the file to the value, with dots between: `models."gpt-4.1".price.input`.
    pub path: String,
    /// JSON, on one line.
    pub value: String,
    /// The file that says it, as it was named to us.
    pub file: Box<str>,
    /// Its line, from 1.
    pub line: u32,
}

/// The origins of everything, or of what `name` means: a provider, a preset, or what a request may ask for (of which
/// those models are told that the catalog lists). `None` when it means nothing. `catalog` is that of `files`.
#[must_use]
pub fn origins(files: &Files, catalog: &Catalog, name: Option<&str>) -> Option<Vec<Origins>> {
    let layers = Layers::new(files);
    let Some(name) = name else {
        let providers = layers.providers.keys();
        let mut all: Vec<_> = providers.map(|id| layers.provider(id, &[])).collect();
        all.extend(SHARED.map(|shared| layers.shared(shared, None)));
        all.retain(|origins| !origins.members.is_empty());
        return Some(all);
    };
    let known = catalog.provider_by_name(name);
    let id = known.map_or(name, |id| &catalog.provider(id).id);
    // Also one that is disabled, and so not in the catalog.
    if layers.providers.contains_key(id) {
        return Some(vec![layers.provider(id, &[])]);
    }
    if layers.presets.contains_key(name) {
        return Some(vec![layers.preset(name)]);
    }
    let targets = catalog.lookup(name, None).ok()?;
    let mut found: Vec<_> = SHARED
        .map(|shared| layers.shared(shared, Some(name)))
        .into();
    found.extend(
        targets
            .iter()
            .filter_map(|target| layers.model(catalog, target)),
    );
    found.retain(|origins| !origins.members.is_empty());
    (!found.is_empty()).then_some(found)
}

/// The files by what they describe.
struct Layers<'f> {
    files: &'f Files,
    indexes: Vec<Index<'f>>,
    providers: BTreeMap<String, Vec<usize>>,
    presets: BTreeMap<String, Vec<usize>>,
}

impl<'f> Layers<'f> {
    fn new(files: &'f Files) -> Self {
        let mut layers = Self {
            files,
            indexes: files
                .sources()
                .iter()
                .map(|source| Index::new(source.text()))
                .collect(),
            providers: BTreeMap::new(),
            presets: BTreeMap::new(),
        };
        for (position, index) in layers.indexes.iter().enumerate() {
            if let Some(id) = string(index, "provider") {
                layers.providers.entry(id).or_default().push(position);
            } else if let Some(name) = string(index, "template") {
                layers.presets.entry(name).or_default().push(position);
            }
        }
        layers
    }

    /// What is below `within` in the files of a provider and of its preset.
    fn provider(&self, id: &str, within: &[&str]) -> Origins {
        let own = self.providers.get(id).map_or(&[][..], Vec::as_slice);
        let mut presets = own
            .iter()
            .rev()
            .filter_map(|at| string(&self.indexes[*at], "preset"));
        let preset = presets.next().and_then(|name| self.presets.get(&name));
        let mut layered = Layered::default();
        for position in preset.into_iter().flatten() {
            self.lay(&mut layered, *position, |path| path[0] != "template");
        }
        for position in own {
            self.lay(&mut layered, *position, |path| {
                SHARED.iter().all(|(member, _)| path[0] != *member)
            });
        }
        Origins {
            title: format!("provider {id}"),
            provider: Some(id.to_owned()),
            members: layered.members(within),
        }
    }

    fn preset(&self, name: &str) -> Origins {
        let mut layered = Layered::default();
        for position in self.presets.get(name).into_iter().flatten() {
            self.lay(&mut layered, *position, |_| true);
        }
        Origins {
            title: format!("preset {name}"),
            provider: None,
            members: layered.members(&[]),
        }
    }

    fn model(&self, catalog: &Catalog, target: &Target) -> Option<Origins> {
        let model = catalog.model(target.model()?);
        Some(self.provider(
            &catalog.provider(target.provider).id,
            &["models", &model.id],
        ))
    }

    /// The entries of a member that is of no provider, or the one of that name.
    fn shared(&self, (member, title): (&str, &str), name: Option<&str>) -> Origins {
        let is_called = |path: &[String], name: &str| {
            path.get(1)
                .is_none_or(|entry| entry.eq_ignore_ascii_case(name))
        };
        let wanted =
            |path: &[String]| path[0] == member && name.is_none_or(|name| is_called(path, name));
        let mut layered = Layered::default();
        for position in 0..self.indexes.len() {
            self.lay(&mut layered, position, wanted);
        }
        Origins {
            title: title.to_owned(),
            provider: None,
            members: layered.members(&[]),
        }
    }

    /// Lays the members of one file that `wanted` chooses over what is there.
    fn lay(&self, layered: &mut Layered, position: usize, wanted: impl Fn(&[String]) -> bool) {
        let (Some(index), Some(source)) = (
            self.indexes.get(position),
            self.files.sources().get(position),
        ) else {
            return;
        };
        for (entry, line) in index.all() {
            let Some(path) = own_path(index, entry).filter(|path| wanted(path)) else {
                continue;
            };
            let value = index.value(entry);
            let merged = value.starts_with('{') && !is_whole(&path);
            if (merged && index.is_parent(entry)) || (value == "null" && !is_entry(&path)) {
                continue;
            }
            layered.set(path, value, merged, source.name(), line);
        }
    }
}

fn string(index: &Index<'_>, name: &str) -> Option<String> {
    let (_, entry) = index.follow(&[name]);
    serde_json::from_str(index.value(entry?)).ok()
}

/// What is in force, by path.
#[derive(Default)]
struct Layered(BTreeMap<Vec<String>, Member>);

impl Layered {
    /// An `empty` object is merged with what is there, and so changes nothing.
    fn set(&mut self, path: Vec<String>, value: &str, empty: bool, file: &str, line: u32) {
        let inside = self.0.range(path.clone()..).map(|(other, _)| other);
        let inside: Vec<_> = inside
            .take_while(|other| other.starts_with(&path))
            .cloned()
            .collect();
        if empty && inside.iter().any(|other| other.len() > path.len()) {
            return;
        }
        // A value takes the place of what was inside it, and of the `null` or the nothing that it is inside of.
        for other in inside {
            self.0.remove(&other);
        }
        for length in 1..path.len() {
            self.0.remove(&path[..length]);
        }
        // On one line, whatever the file's own form.
        let compact = serde_json::from_str::<Value>(value).map(|value| value.to_string());
        let member = Member {
            path: place::dotted(&path),
            value: compact.unwrap_or_else(|_| value.to_owned()),
            file: file.into(),
            line,
        };
        self.0.insert(path, member);
    }

    fn members(self, within: &[&str]) -> Vec<Member> {
        let inside = |path: &Vec<String>| {
            let mut names = path.iter().zip(within);
            path.len() >= within.len() && names.all(|(name, wanted)| name == wanted)
        };
        let found = self.0.into_iter().filter(|(path, _)| inside(path));
        found.map(|(_, member)| member).collect()
    }
}
