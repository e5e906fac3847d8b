//! Providers that say themselves which models they have: their lists, asked for in the background, and what the last
//! good answer of each was. When they are asked is decided in `server`; no request ever waits for any of this.

pub mod ask;
pub mod fetch;
pub mod known;
pub mod list;
