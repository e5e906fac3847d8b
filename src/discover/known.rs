//! The last good list of each provider. Measured, so that it outlives a reload of the files; it stays for as long as
//! the provider is asked at the same address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::{Catalog, FoundModel, Provider, ProviderId};

/// A provider at an address: what its list is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// The provider's id.
    pub provider: Box<str>,
    base_url: Box<str>,
}

impl Site {
    /// Where `provider` is.
    #[must_use]
    pub fn of(provider: &Provider) -> Self {
        Self {
            provider: provider.id.clone(),
            base_url: provider.base_url.clone(),
        }
    }
}

/// The lists by site.
#[derive(Debug, Default)]
pub struct Known {
    lists: Mutex<HashMap<Site, Arc<[FoundModel]>>>,
}

impl Known {
    /// Keeps `list` in the place of the one before; whether it says something else.
    pub fn keep(&self, site: &Site, mut list: Vec<FoundModel>) -> bool {
        // Some providers list the same models in another order each time.
        list.sort_by(|a, b| a.id.cmp(&b.id));
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.get(site).is_some_and(|known| **known == *list) {
            return false;
        }
        // No list and an empty one are the same to those who look names up.
        let changed = !list.is_empty() || lists.contains_key(site);
        lists.insert(site.clone(), list.into());
        changed
    }

    /// Forgets what is known of sites that are not `wanted`.
    pub fn retain(&self, wanted: impl Fn(&Site) -> bool) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|site, _| wanted(site));
    }

    /// How many models the last good list of `site` has.
    #[must_use]
    pub fn count(&self, site: &Site) -> usize {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.get(site).map_or(0, |list| list.len())
    }

    /// `catalog` with what is known of its providers.
    #[must_use]
    pub fn beside(&self, catalog: &Catalog) -> Catalog {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |id: ProviderId| {
            let provider = catalog.provider(id);
            provider.discovery.as_ref()?;
            Some((id, Arc::clone(lists.get(&Site::of(provider))?)))
        };
        let known: Vec<_> = catalog.provider_ids().filter_map(of).collect();
        drop(lists);
        catalog.with_found(&known)
    }
}
