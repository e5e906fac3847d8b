//! The steps of a policy → the credentials of one candidate, in the order in which they are tried.

use std::sync::Arc;
use std::time::Instant;

use crate::access::policy::Step;
use crate::byok::keys::ProviderKeys;
use crate::credentials::{Key, Keys, Payer, Source};
use crate::routing::plan::{Credential, Credentials};

/// Where the credentials for one provider come from.
pub struct Sources<'a> {
    /// The provider key that the client sent along, where it is bound to this provider.
    pub own: Option<&'a Arc<Key>>,
    /// Those that the account has stored.
    pub stored: Option<&'a ProviderKeys>,
    /// The operator's.
    pub gateway: &'a Keys,
    /// Whether the provider may be asked without any.
    pub keyless: bool,
    /// Who pays.
    pub payer: Payer,
}

/// Why the operator's keys are not used, although a step names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// The account has a key of its own for the provider, and has said that nothing else is to be used in its place.
    ByStoredKey,
    /// The access key says so of every request that has come to a stored key.
    ByPolicy,
}

/// What of a request's way so far bears on what follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Whether the access key is one that never falls back to the operator's keys.
    pub no_fallback: bool,
    /// Whether the request has come to a provider that the account has a stored key for.
    pub own_key: bool,
}

impl Way {
    fn bars(self, stored: Option<&ProviderKeys>, own_step: bool) -> Option<Barred> {
        if own_step && stored.is_some_and(|stored| !stored.fallback()) {
            return Some(Barred::ByStoredKey);
        }
        (self.no_fallback && self.own_key).then_some(Barred::ByPolicy)
    }
}

/// The credentials that `steps` come to, and whether the operator's are left out.
pub fn walk(
    steps: &[Step],
    of: &Sources<'_>,
    way: &mut Way,
    now: Instant,
) -> (Credentials, Option<Barred>) {
    let mut found = Credentials::new();
    let mut barred = None;
    if of.own.is_some() && !steps.contains(&Step::Request) {
        // The client says whose key it is to be; Tollgate does not charge another's instead.
        found.extend(of.own.map(|key| credential(Source::Request, key)));
        return (found, barred);
    }
    let mut own_step = false;
    for step in steps {
        match step {
            Step::Request => found.extend(of.own.map(|key| credential(Source::Request, key))),
            Step::Byok | Step::Named(_) => {
                own_step = true;
                if let Some(stored) = of.stored {
                    way.own_key = true;
                    add_stored(&mut found, step, stored, of.payer, now);
                }
            }
            Step::Gateway => {
                barred = way
                    .bars(of.stored, own_step)
                    .filter(|_| !of.gateway.is_empty());
                if barred.is_none() {
                    let keys = of.gateway.in_turn(of.payer, now);
                    found.extend(keys.map(|key| credential(Source::Gateway, key)));
                }
            }
        }
    }
    // Where somebody has a key for it, it is asked with one.
    if found.is_empty() && of.keyless && of.gateway.is_empty() && of.stored.is_none() {
        found.push(Credential {
            source: Source::None,
            key: None,
        });
    }
    // Of those that are set aside, which come last, the soonest to return comes first.
    let until = |credential: &Credential| {
        let aside = credential.key.as_ref()?.health().aside(of.payer, now)?;
        Some(aside.until)
    };
    if found.iter().any(|credential| until(credential).is_some()) {
        found.sort_by_key(until);
    }
    (found, barred)
}

/// The one credential for what a provider keeps under the key that it was made with: it does not change from request to
/// request, and is none of the operator's, which accounts share.
#[must_use]
pub fn sole(steps: &[Step], of: &Sources<'_>) -> Option<Sole> {
    if let Some(own) = of.own.filter(|_| !steps.contains(&Step::Request)) {
        // As in `walk`, the client says whose key it is to be.
        return Some(Sole::of(Source::Request, own, true));
    }
    let none = || {
        let keyless = of.keyless && of.gateway.is_empty() && of.stored.is_none();
        keyless.then(|| Sole {
            credential: Credential {
                source: Source::None,
                key: None,
            },
            certain: true,
        })
    };
    let of_step = |step: &Step| match step {
        Step::Request => of.own.map(|own| Sole::of(Source::Request, own, true)),
        Step::Byok => {
            let stored = of.stored?;
            let first = stored.first()?;
            Some(Sole::of(Source::Byok, first, !stored.is_spread()))
        }
        Step::Named(name) => {
            let key = of.stored?.named(name.as_str())?;
            Some(Sole::of(Source::Byok, key, true))
        }
        Step::Gateway => None,
    };
    steps.iter().find_map(of_step).or_else(none)
}

/// A credential that stays the same.
pub struct Sole {
    /// It.
    pub credential: Credential,
    /// Whether other requests of the account go on with it, too, as far as it serves; false where they are spread over
    /// several.
    pub certain: bool,
}

impl Sole {
    fn of(source: Source, key: &Arc<Key>, certain: bool) -> Self {
        Self {
            credential: credential(source, key),
            certain,
        }
    }
}

/// The stored keys of a step; one that an earlier step has named is not tried twice.
fn add_stored(
    found: &mut Credentials,
    step: &Step,
    stored: &ProviderKeys,
    payer: Payer,
    now: Instant,
) {
    if let Step::Named(name) = step {
        let key = stored.named(name.as_str());
        add(found, key);
    } else {
        add(found, stored.in_turn(payer, now));
    }
}

fn add<'k>(found: &mut Credentials, keys: impl IntoIterator<Item = &'k Arc<Key>>) {
    for key in keys {
        let is_it = |known: &Credential| {
            known
                .key
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, key))
        };
        if !found.iter().any(is_it) {
            found.push(credential(Source::Byok, key));
        }
    }
}

fn credential(source: Source, key: &Arc<Key>) -> Credential {
    Credential {
        source,
        key: Some(Arc::clone(key)),
    }
}
