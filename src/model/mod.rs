//! What a request says about its model: where the name stands in the body (`scan`), and how another
//! is put in its place (`splice`). Works on bytes alone. Knows nothing of HTTP, of the catalog, or
//! of which model is allowed to whom, and never builds a tree of the document.

pub mod form;
pub mod scan;
pub mod splice;
pub mod stream_options;

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "serde_json is the slow twin of what is tested"
)]
mod documents;
