//! Files of an operator's catalog: custom providers that stand for fake upstreams, and their models.
//! The shipped catalog is not touched.

use std::path::Path;

use serde_json::{Value, json};

/// A provider of a catalog file.
#[derive(Clone, Debug)]
pub struct CustomProvider {
    pub(super) id: String,
    /// Path of the base URL.
    pub(super) path: String,
    pub(super) file: Value,
}

/// An OpenAI-compatible provider without models, whose base URL ends in `/v1`. It stands behind those shipped and those
/// made before it in a test, in the order of their ranks.
pub fn custom(id: &str) -> CustomProvider {
    CustomProvider {
        id: id.to_owned(),
        path: "/v1".to_owned(),
        file: json!({"provider": id, "preset": "openai-compatible", "models": {}}),
    }
}

impl CustomProvider {
    /// Rests on another preset, but for its checks: what arrives are requests. `path` is the path of its base URL.
    pub fn preset(mut self, preset: &str, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self.set("preset", json!(preset))
            .set("health", json!({"type": "none"}))
    }

    /// Sets a member of the file.
    pub fn set(mut self, member: &str, value: Value) -> Self {
        self.file[member] = value;
        self
    }

    /// Adds a model, with a price.
    pub fn model(self, id: &str) -> Self {
        self.model_as(id, &[])
    }

    /// Adds a model without a price.
    pub fn unpriced(mut self, id: &str) -> Self {
        self.file["models"][id] = json!({"context": 1_000_000});
        self
    }

    /// Adds a model, with a price, that clients know by other names too; `id` is what goes upstream.
    pub fn model_as(mut self, id: &str, aliases: &[&str]) -> Self {
        let price = json!({"input": "1", "output": "2"});
        self.file["models"][id] = json!({"aliases": aliases, "price": price, "context": 1_000_000});
        self
    }
}

/// Writes `file` as `NAME.json` into `folder` by a rename, so that no one reads half of it.
pub(super) fn write(folder: &Path, name: &str, file: &Value) {
    let unfinished = folder.join(format!(".{name}.unfinished"));
    std::fs::write(&unfinished, file.to_string()).expect("a catalog file");
    std::fs::rename(&unfinished, folder.join(format!("{name}.json"))).expect("a catalog file");
}
