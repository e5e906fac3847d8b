//! Look-ups against a slow, obvious twin, on generated catalogs: the twin goes over lists in the order of the rules.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

use super::{catalog, targets};

#[derive(Clone, Debug)]
struct Provider {
    id: &'static str,
    aliases: Vec<&'static str>,
    rank: u32,
    author: Option<&'static str>,
    models: BTreeMap<&'static str, Model>,
    default_for: BTreeSet<&'static str>,
}

#[derive(Clone, Debug)]
struct Model {
    aliases: Vec<&'static str>,
    status: &'static str,
    family: Option<&'static str>,
    variant: Option<&'static str>,
    snapshot: Option<&'static str>,
}

/// A model under a name of it: what decides which comes first, and what it is.
type Found = (
    (bool, bool, u8, usize, u8),
    (&'static str, &'static str, String),
);

#[derive(Clone, Debug)]
struct Twin {
    /// In catalog order.
    providers: Vec<Provider>,
    /// Families that are switched off.
    off: BTreeSet<&'static str>,
    virtuals: BTreeMap<&'static str, Vec<&'static str>>,
}

/// Names that meet often: in other cases, with separators, as providers, authors and models at once.
const NAMES: [&str; 18] = [
    "m", "M", "n", "N", "mn", "Mn", "a/m", "A/m", "a/M", "b/n", "p/m", "p/M", "m:1", "M:1", "p:m",
    "a/m:1", "x", "a",
];
/// Some of which are names of models too, and some in another case.
const FAMILIES: [&str; 6] = ["m", "f", "F", "n", "a/m", "G"];
const IDS: [&str; 4] = ["p", "q", "a", "s"];
const ALIASES: [&str; 4] = ["P2", "b", "Q2", "x"];
const AUTHORS: [&str; 3] = ["a", "B", "c"];

fn providers() -> impl Strategy<Value = Vec<Provider>> {
    let rest = (
        select(vec!["active", "active", "active", "removed", "listed"]),
        proptest::option::of(select(&FAMILIES[..])),
        proptest::option::weighted(0.2, Just("free")),
        proptest::option::of(Just("2026-01-01")),
    );
    let models = btree_map(
        select(&NAMES[..]),
        (btree_set(select(&NAMES[..]), 0..3), rest),
        0..6,
    );
    let one = (
        0_u32..3,
        proptest::option::of(select(&AUTHORS[..])),
        models,
        btree_set(
            select(NAMES.iter().chain(&FAMILIES).copied().collect::<Vec<_>>()),
            0..3,
        ),
    );
    (vec(one, IDS.len()), 1..=IDS.len()).prop_map(|(parts, count)| {
        let mut defaults = BTreeSet::new();
        let mut providers: Vec<_> = parts
            .into_iter()
            .take(count)
            .enumerate()
            .map(|(n, (rank, author, models, chosen))| {
                let ids: BTreeSet<_> = models.keys().copied().collect();
                let mut used = BTreeSet::new();
                let keep = |aliases: BTreeSet<&'static str>, used: &mut BTreeSet<&'static str>| {
                    aliases
                        .into_iter()
                        .filter(|alias| !ids.contains(alias) && used.insert(*alias))
                        .collect::<Vec<_>>()
                };
                let models: BTreeMap<_, _> = models
                    .into_iter()
                    .map(|(id, (aliases, (status, family, variant, snapshot)))| {
                        let aliases = keep(aliases, &mut used);
                        let model = Model {
                            aliases,
                            status,
                            family,
                            variant,
                            snapshot,
                        };
                        (id, model)
                    })
                    .collect();
                let of_family = |name: &str| models.values().any(|model| model.stands_for(name));
                let has = |name: &&str| {
                    models.contains_key(*name) || used.contains(*name) || of_family(name)
                };
                let default_for = chosen
                    .into_iter()
                    .filter(|name| has(name) && defaults.insert(*name))
                    .collect();
                Provider {
                    id: IDS[n],
                    aliases: vec![ALIASES[n]],
                    rank,
                    author,
                    models,
                    default_for,
                }
            })
            .collect();
        providers.sort_by_key(|provider| (provider.rank, provider.id));
        providers
    })
}

fn twins() -> impl Strategy<Value = Twin> {
    let entries = [
        "p:m",
        "q:anything",
        "m",
        "M",
        "a/m",
        "N",
        "b/n",
        "P2:M",
        "f",
        "p:f",
    ];
    let lists = btree_map(
        select(vec!["v", "V", "m", "a/M", "w:1"]),
        vec(select(entries.to_vec()), 1..4),
        0..3,
    );
    let off = btree_set(select(&FAMILIES[..]), 0..2);
    (providers(), lists, off).prop_map(|(providers, lists, off)| {
        let is_of = |family: &&str| {
            let mut models = providers
                .iter()
                .flat_map(|provider| provider.models.values());
            models.any(|model| model.family == Some(family))
        };
        let plain = Twin {
            off: off.into_iter().filter(is_of).collect(),
            providers,
            virtuals: BTreeMap::new(),
        };
        let nested = |entry: &str| lists.keys().any(|name| name.eq_ignore_ascii_case(entry));
        let good = |entries: &Vec<&'static str>| {
            let entries = entries
                .iter()
                .copied()
                .filter(|entry| !nested(entry) && plain.lookup(entry, None).is_some());
            entries.collect::<Vec<_>>()
        };
        let virtuals = lists.iter().map(|(name, entries)| (*name, good(entries)));
        let virtuals = virtuals
            .filter(|(name, entries)| !entries.is_empty() && !plain.clashes(name, entries))
            .collect();
        Twin { virtuals, ..plain }
    })
}

impl Model {
    fn stands_for(&self, family: &str) -> bool {
        self.family == Some(family) && self.status == "active" && self.variant.is_none()
    }
}

impl Twin {
    fn files(&self) -> Vec<String> {
        let file = |provider: &Provider| {
            let models: serde_json::Map<_, _> = provider
                .models
                .iter()
                .map(|(id, model)| {
                    let mut entry =
                        serde_json::json!({"aliases": model.aliases, "status": model.status});
                    let members = [
                        ("family", model.family),
                        ("variant", model.variant),
                        ("snapshot", model.snapshot),
                    ];
                    for (name, value) in members {
                        if let Some(value) = value {
                            entry[name] = value.into();
                        }
                    }
                    ((*id).to_owned(), entry)
                })
                .collect();
            let mut file = serde_json::json!({"provider": provider.id, "aliases": provider.aliases, "rank": provider.rank,
                "base_url": "http://127.0.0.1:1", "surfaces": {"chat": {"path": "/c"}}, "models": models,
                "default_for": provider.default_for});
            if let Some(author) = provider.author {
                file["author"] = author.into();
            }
            file.to_string()
        };
        let off: BTreeMap<_, _> = self
            .off
            .iter()
            .map(|family| (family, serde_json::json!({"disabled": true})))
            .collect();
        let virtuals =
            serde_json::json!({"virtual_models": self.virtuals, "families": off}).to_string();
        self.providers.iter().map(file).chain([virtuals]).collect()
    }

    fn provider(&self, name: &str) -> Option<&Provider> {
        let called = |provider: &&Provider| {
            provider.id.eq_ignore_ascii_case(name)
                || provider
                    .aliases
                    .iter()
                    .any(|alias| alias.eq_ignore_ascii_case(name))
        };
        self.providers.iter().find(called)
    }

    /// Every provider's model that `same` says is called so, in order: provider, id, author.
    fn models(
        &self,
        name: &str,
        same: fn(&str, &str) -> bool,
    ) -> Vec<(&'static str, &'static str, String)> {
        let mut found: Vec<Found> = Vec::new();
        let mut mixed = false;
        for (position, provider) in self.providers.iter().enumerate() {
            for (id, model) in &provider.models {
                let author = id
                    .split_once('/')
                    .map_or(provider.author.unwrap_or("?"), |(author, _)| author);
                let mut add = |called: &str, kind, likeness| {
                    let not_default = !provider.default_for.contains(called);
                    let removed = model.status == "removed";
                    let order = (not_default, removed, kind, position, likeness);
                    found.push((order, (provider.id, *id, author.to_owned())));
                };
                let other = |called: &str| {
                    model
                        .family
                        .is_some_and(|family| !family.eq_ignore_ascii_case(called))
                };
                if same(id, name) {
                    add(id, 0, 0);
                    mixed |= other(id);
                }
                for alias in model.aliases.iter().filter(|alias| same(alias, name)) {
                    add(alias, 1, 0);
                    mixed |= other(alias);
                }
                if let Some(family) = model.family
                    && same(family, name)
                    && model.stands_for(family)
                    && !self.off.contains(family)
                {
                    let last = id.split('/').next_back().unwrap_or_default();
                    let likeness = match model.snapshot {
                        _ if last.eq_ignore_ascii_case(family) => 0,
                        None => 1,
                        Some(_) => 2,
                    };
                    add(family, 2, likeness);
                }
            }
        }
        // A name that is a model's of another family is no family's.
        found.retain(|(order, _)| order.2 < 2 || !mixed);
        found.sort();
        let mut seen = BTreeSet::new();
        found
            .into_iter()
            .map(|(_, model)| model)
            .filter(|model| seen.insert(model.0))
            .collect()
    }

    fn exact_then_any_case(
        &self,
        name: &str,
        fits: impl Fn(&(&str, &str, String)) -> bool,
    ) -> Vec<String> {
        for same in [
            |a: &str, b: &str| a == b,
            |a: &str, b: &str| a.eq_ignore_ascii_case(b),
        ] {
            let found: Vec<_> = self.models(name, same).into_iter().filter(&fits).collect();
            if !found.is_empty() {
                return found
                    .iter()
                    .map(|(provider, id, _)| format!("{provider}:{id}"))
                    .collect();
            }
        }
        Vec::new()
    }

    fn at(&self, provider: &Provider, rest: &str) -> Option<Vec<String>> {
        if rest.is_empty() {
            return None;
        }
        let own = self.exact_then_any_case(rest, |(id, _, _)| *id == provider.id);
        Some(if own.is_empty() {
            vec![format!("{}:{rest}?", provider.id)]
        } else {
            own
        })
    }

    fn expanded(&self, entries: &[&str]) -> Vec<String> {
        let plain = Twin {
            virtuals: BTreeMap::new(),
            ..self.clone()
        };
        let mut all = Vec::new();
        for target in entries
            .iter()
            .flat_map(|entry| plain.lookup(entry, None).unwrap_or_default())
        {
            if !all.contains(&target) {
                all.push(target);
            }
        }
        all
    }

    /// Whether the name is the id of models none of which is listed.
    fn clashes(&self, name: &str, entries: &[&str]) -> bool {
        let is_id = |target: &&String| {
            let (_, id) = target.split_once(':').expect("a provider");
            id.eq_ignore_ascii_case(name)
        };
        let meant = self.lookup(name, None).unwrap_or_default();
        let ids: Vec<_> = meant.iter().filter(is_id).collect();
        let listed = self.expanded(entries);
        !ids.is_empty() && !ids.iter().any(|id| listed.contains(id))
    }

    fn lookup(&self, name: &str, pinned: Option<&Provider>) -> Option<Vec<String>> {
        if let Some(provider) = pinned {
            return self.at_pinned(provider, name);
        }
        if let Some((left, rest)) = name.split_once(':')
            && let Some(provider) = self.provider(left)
        {
            return self.at(provider, rest);
        }
        for same in [
            |a: &str, b: &str| a == b,
            |a: &str, b: &str| a.eq_ignore_ascii_case(b),
        ] {
            if let Some((_, entries)) = self
                .virtuals
                .iter()
                .find(|(virtual_name, _)| same(virtual_name, name))
            {
                return Some(self.expanded(entries));
            }
            let found = self.models(name, same);
            if !found.is_empty() {
                return Some(
                    found
                        .iter()
                        .map(|(provider, id, _)| format!("{provider}:{id}"))
                        .collect(),
                );
            }
        }
        let (left, rest) = name.split_once('/')?;
        if let Some(provider) = self.provider(left) {
            return self.at(provider, rest);
        }
        let of_author =
            self.exact_then_any_case(rest, |(_, _, author)| author.eq_ignore_ascii_case(left));
        (!of_author.is_empty()).then_some(of_author)
    }

    fn at_pinned(&self, provider: &Provider, name: &str) -> Option<Vec<String>> {
        let here = |target: &String| target.starts_with(&format!("{}:", provider.id));
        if let Some(entries) = self.virtuals.get(name) {
            let found: Vec<_> = self.expanded(entries).into_iter().filter(here).collect();
            if !found.is_empty() {
                return Some(found);
            }
        }
        let own = self.exact_then_any_case(name, |(id, _, _)| *id == provider.id);
        if !own.is_empty() {
            return Some(own);
        }
        for separator in [':', '/'] {
            if let Some((left, rest)) = name.split_once(separator)
                && self
                    .provider(left)
                    .is_some_and(|named| named.id == provider.id)
            {
                return self.at(provider, rest);
            }
        }
        (!name.is_empty() && !self.virtuals.contains_key(name))
            .then(|| vec![format!("{}:{name}?", provider.id)])
    }
}

/// Names as requests write them.
fn asked() -> Vec<String> {
    let mut names: Vec<String> = NAMES
        .iter()
        .chain(&FAMILIES)
        .chain(&["v", "V", "w:1", "W:1", "g", "nothing", ""])
        .map(|n| (*n).to_owned())
        .collect();
    for left in ["p", "P2", "q", "b", "a", "c", "x", "nobody"] {
        for rest in ["m", "M", "Mn", "a/m", "x/y:z", "v", "m:1", "f", "g", ""] {
            names.push(format!("{left}:{rest}"));
            names.push(format!("{left}/{rest}"));
        }
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_name_means_what_the_twin_says(twin in twins()) {
        let files = twin.files();
        let catalog = catalog(&files.iter().map(String::as_str).collect::<Vec<_>>());
        for name in asked() {
            prop_assert_eq!(targets(&catalog, &name, None).ok(), twin.lookup(&name, None), "{:?}", &name);
            for provider in &twin.providers {
                let pinned = catalog.provider_by_name(provider.id);
                prop_assert!(pinned.is_some());
                let expected = twin.lookup(&name, Some(provider));
                prop_assert_eq!(targets(&catalog, &name, pinned).ok(), expected, "{:?} at {}", &name, provider.id);
            }
        }
    }
}
