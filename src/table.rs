//! Tables that every request is looked up in. What is in them comes from files, the store, and the lists of the operator's
//! providers, and not from requests, so that no client can fill them with keys that collide; a quick hash is enough, and its
//! seed is drawn in each process all the same.

use std::collections::HashMap;

/// A table of that kind. Against the usual one it saves a look-up some 130 instructions of 200.
pub type Table<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
