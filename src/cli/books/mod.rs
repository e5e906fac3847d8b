//! Accounts, keys, credit and usage for the commands: asked of the gateway that runs on them, by its admin API, or read and
//! changed in the store itself where none runs. What a command prints is the same either way.

mod changes;
mod find;
mod looks;
mod remote;
mod wire;

pub use find::{Where, with_books};
pub use remote::Remote;

use crate::store::Store;

/// Where accounts, keys, credit and usage are.
#[allow(clippy::large_enum_variant, reason = "a command has one")]
pub enum Books {
    /// In a store of which no gateway runs, or past which it is gone.
    Store(Store),
    /// With the gateway that runs.
    Gateway(Remote),
}

impl Books {
    /// Whether a gateway does what is asked.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Gateway(_))
    }
}

#[cfg(test)]
mod tests;
