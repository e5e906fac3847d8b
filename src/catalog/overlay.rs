//! How a later file changes an earlier one: member by member. Objects are merged by name; anything else (lists, and
//! each entry of `facts`) is replaced whole. A `null` for an entry takes away what earlier files said of it, also for
//! the files that come after and say something else.
//!
//! Laying files over one another is associative and idempotent: where the folding begins makes no difference.

use std::collections::BTreeMap;

use super::file::{
    ErrorsEntry, FamilyEntry, File, HealthEntry, Members, ModeEntry, ModelEntry, SurfaceEntry,
};

/// Families by name.
pub(super) type Families = Members<String, Option<FamilyEntry>>;

/// `later` over `earlier`.
pub(super) fn overlay(mut earlier: File, later: File) -> File {
    // Every member is named, so that a new one is not forgotten.
    let File {
        schema,
        provider,
        template,
        preset,
        name,
        aliases,
        disabled,
        rank,
        author,
        base_url,
        endpoints,
        balance,
        requests,
        auth,
        env,
        key_prefixes,
        key_optional,
        ca_file,
        tls_name,
        headers,
        surfaces,
        other_surfaces,
        discover,
        model_lists,
        health,
        errors,
        generates_on,
        default_for,
        as_of,
        sources,
        facts,
        models,
        families,
        virtual_models,
    } = later;
    replace(&mut earlier.schema, schema);
    replace(&mut earlier.provider, provider);
    replace(&mut earlier.template, template);
    replace(&mut earlier.preset, preset);
    replace(&mut earlier.name, name);
    replace(&mut earlier.aliases, aliases);
    replace(&mut earlier.disabled, disabled);
    replace(&mut earlier.rank, rank);
    replace(&mut earlier.author, author);
    replace(&mut earlier.base_url, base_url);
    replace(&mut earlier.endpoints, endpoints);
    replace(&mut earlier.balance, balance);
    replace(&mut earlier.requests, requests);
    replace(&mut earlier.auth, auth);
    replace(&mut earlier.env, env);
    replace(&mut earlier.key_prefixes, key_prefixes);
    replace(&mut earlier.key_optional, key_optional);
    replace(&mut earlier.ca_file, ca_file);
    replace(&mut earlier.tls_name, tls_name);
    merge(&mut earlier.headers, headers, entries);
    merge(&mut earlier.surfaces, surfaces, objects);
    merge(&mut earlier.other_surfaces, other_surfaces, entries);
    replace(&mut earlier.discover, discover);
    replace(&mut earlier.model_lists, model_lists);
    merge(&mut earlier.health, health, lay_health);
    merge(&mut earlier.errors, errors, lay_errors);
    replace(&mut earlier.generates_on, generates_on);
    replace(&mut earlier.default_for, default_for);
    replace(&mut earlier.as_of, as_of);
    merge(&mut earlier.sources, sources, entries);
    merge(&mut earlier.facts, facts, entries);
    merge(&mut earlier.models, models, objects);
    merge(&mut earlier.families, families, objects);
    merge(&mut earlier.virtual_models, virtual_models, entries);
    earlier
}

/// `later` over `earlier`, by name.
pub(super) fn overlay_lists(
    earlier: &mut BTreeMap<String, Vec<String>>,
    later: Members<String, Option<Vec<String>>>,
) {
    for (name, list) in later.0 {
        match list {
            Some(list) => earlier.insert(name, list),
            None => earlier.remove(&name),
        };
    }
}

/// `later` over `earlier`, by name.
pub(super) fn overlay_families(earlier: &mut Families, later: Families) {
    objects(earlier, later);
}

fn replace<T>(earlier: &mut Option<T>, later: Option<T>) {
    if later.is_some() {
        *earlier = later;
    }
}

fn merge<T>(earlier: &mut Option<T>, later: Option<T>, lay: impl FnOnce(&mut T, T)) {
    match (earlier, later) {
        (Some(earlier), Some(later)) => lay(earlier, later),
        (earlier, later) => replace(earlier, later),
    }
}

/// Each entry is replaced whole.
fn entries<K: Ord, V>(earlier: &mut Members<K, V>, later: Members<K, V>) {
    earlier.0.extend(later.0);
}

/// An entry that is an object, and that a `null` can take away.
trait Entry {
    fn lay(&mut self, later: Self);
    /// Whether a file between took away what earlier files say of it.
    fn is_anew(&self) -> bool;
    fn begin_anew(&mut self);
}

/// Each entry is merged with the earlier one of its name.
fn objects<E: Entry>(earlier: &mut Members<String, Option<E>>, later: Members<String, Option<E>>) {
    for (name, change) in later.0 {
        match (earlier.0.get_mut(&name), change) {
            (Some(Some(entry)), Some(change)) if !change.is_anew() => entry.lay(change),
            (Some(entry @ None), Some(mut change)) => {
                change.begin_anew();
                *entry = Some(change);
            }
            (_, change) => drop(earlier.0.insert(name, change)),
        }
    }
}

impl Entry for Box<ModelEntry> {
    fn lay(&mut self, later: Self) {
        let ModelEntry {
            name,
            family,
            author,
            variant,
            snapshot,
            aliases,
            same_as,
            disabled,
            kind,
            input,
            output,
            context,
            max_input,
            max_output,
            surfaces,
            other_surfaces,
            formats,
            price,
            image_price,
            tiers,
            modes,
            searches,
            min_cache_tokens,
            embedding_dim,
            status,
            deprecated,
            retires,
            expires,
            last_seen,
            hf,
            note,
            src,
            conf,
            conflict,
            anew: _,
        } = *later;
        replace(&mut self.name, name);
        replace(&mut self.family, family);
        replace(&mut self.author, author);
        replace(&mut self.variant, variant);
        replace(&mut self.snapshot, snapshot);
        replace(&mut self.aliases, aliases);
        replace(&mut self.same_as, same_as);
        replace(&mut self.disabled, disabled);
        replace(&mut self.kind, kind);
        replace(&mut self.input, input);
        replace(&mut self.output, output);
        replace(&mut self.context, context);
        replace(&mut self.max_input, max_input);
        replace(&mut self.max_output, max_output);
        replace(&mut self.surfaces, surfaces);
        replace(&mut self.other_surfaces, other_surfaces);
        replace(&mut self.formats, formats);
        merge(&mut self.price, price, entries);
        merge(&mut self.image_price, image_price, entries);
        replace(&mut self.tiers, tiers);
        merge(&mut self.modes, modes, objects);
        replace(&mut self.searches, searches);
        replace(&mut self.min_cache_tokens, min_cache_tokens);
        replace(&mut self.embedding_dim, embedding_dim);
        replace(&mut self.status, status);
        replace(&mut self.deprecated, deprecated);
        replace(&mut self.retires, retires);
        replace(&mut self.expires, expires);
        replace(&mut self.last_seen, last_seen);
        replace(&mut self.hf, hf);
        replace(&mut self.note, note);
        replace(&mut self.src, src);
        replace(&mut self.conf, conf);
        merge(&mut self.conflict, conflict, entries);
    }

    fn is_anew(&self) -> bool {
        self.anew
    }

    fn begin_anew(&mut self) {
        self.anew = true;
    }
}

impl Entry for SurfaceEntry {
    fn lay(&mut self, later: Self) {
        let Self {
            path,
            query,
            auth,
            headers,
            kinds,
            include_usage,
            max_completion_tokens,
            note,
            facts,
            anew: _,
        } = later;
        replace(&mut self.path, path);
        replace(&mut self.query, query);
        replace(&mut self.auth, auth);
        merge(&mut self.headers, headers, entries);
        replace(&mut self.kinds, kinds);
        replace(&mut self.include_usage, include_usage);
        replace(&mut self.max_completion_tokens, max_completion_tokens);
        replace(&mut self.note, note);
        merge(&mut self.facts, facts, entries);
    }

    fn is_anew(&self) -> bool {
        self.anew
    }

    fn begin_anew(&mut self) {
        self.anew = true;
    }
}

impl Entry for ModeEntry {
    fn lay(&mut self, later: Self) {
        let Self {
            multiplier,
            price,
            tiers,
            anew: _,
        } = later;
        replace(&mut self.multiplier, multiplier);
        merge(&mut self.price, price, entries);
        replace(&mut self.tiers, tiers);
    }

    fn is_anew(&self) -> bool {
        self.anew
    }

    fn begin_anew(&mut self) {
        self.anew = true;
    }
}

impl Entry for FamilyEntry {
    fn lay(&mut self, later: Self) {
        let Self {
            same,
            disabled,
            note,
            conf,
            anew: _,
        } = later;
        replace(&mut self.same, same);
        replace(&mut self.disabled, disabled);
        replace(&mut self.note, note);
        replace(&mut self.conf, conf);
    }

    fn is_anew(&self) -> bool {
        self.anew
    }

    fn begin_anew(&mut self) {
        self.anew = true;
    }
}

fn lay_health(earlier: &mut HealthEntry, later: HealthEntry) {
    let HealthEntry {
        kind,
        path,
        statuses,
        interval,
        timeout,
        healthy,
        unhealthy,
        headers,
        host,
        note,
    } = later;
    replace(&mut earlier.kind, kind);
    replace(&mut earlier.path, path);
    replace(&mut earlier.statuses, statuses);
    replace(&mut earlier.interval, interval);
    replace(&mut earlier.timeout, timeout);
    replace(&mut earlier.healthy, healthy);
    replace(&mut earlier.unhealthy, unhealthy);
    merge(&mut earlier.headers, headers, entries);
    replace(&mut earlier.host, host);
    replace(&mut earlier.note, note);
}

fn lay_errors(earlier: &mut ErrorsEntry, later: ErrorsEntry) {
    let ErrorsEntry {
        out_of_credit,
        bad_key,
    } = later;
    replace(&mut earlier.out_of_credit, out_of_credit);
    replace(&mut earlier.bad_key, bad_key);
}
