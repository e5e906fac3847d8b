//! The store itself: by this a command sees that a gateway works on the store that it means.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::AdminApp;
use crate::admin::fault::Fault;
use crate::admin::operation::{Asked, Nothing, Operation};

/// Where accounts, keys and usage are.
#[derive(Serialize, JsonSchema)]
pub struct Place {
    /// The file, with no link in its path.
    file: String,
}

/// Tells of the store.
pub struct Get;

impl Operation for Get {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Place;

    async fn run(app: &AdminApp, _: Asked<Nothing, Nothing>) -> Result<Place, Fault> {
        let file = app.store.file();
        let whole = tokio::fs::canonicalize(file).await;
        let file = whole.unwrap_or_else(|_| file.to_owned());
        Ok(Place {
            file: file.display().to_string(),
        })
    }
}
