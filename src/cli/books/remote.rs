//! The admin API, asked by a command.

use form_urlencoded::Serializer;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::admin::{Answer, Gateway};
use crate::cli::exit::Failure;
use crate::cli::keys::CliError;

/// Entries of a page: as many as the API gives at most.
const PAGE: usize = 1_000;

/// A gateway that runs.
pub struct Remote {
    gateway: Gateway,
}

/// The parameters of a query; what is `None` is left out.
pub(super) type Query<'q> = Vec<(&'q str, Option<String>)>;

impl Remote {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    /// What is at `path`.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
    ) -> Result<T, CliError> {
        let mut encoded = Serializer::new(String::new());
        for (name, value) in query {
            if let Some(value) = value {
                encoded.append_pair(name, value);
            }
        }
        let query = encoded.finish();
        let target = match query.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{query}"),
        };
        read(self.gateway.ask("GET", &target).map_err(told)?)
    }

    /// Does what `method` does at `path`.
    pub(super) fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<T, CliError> {
        let body = body.to_string();
        let asked = self.gateway.send(method, path, Some(&body));
        read(asked.map_err(told)?)
    }

    /// At most `most` entries of the list at `path`, page by page.
    pub(super) fn some<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
        most: usize,
    ) -> Result<Vec<T>, CliError> {
        let mut found = Vec::new();
        self.pages(path, query, |page| {
            found.extend(page);
            found.len() < most
        })?;
        found.truncate(most);
        Ok(found)
    }

    /// Has `each` look at every entry of the list at `path`, in order.
    pub(super) fn each<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
        mut each: impl FnMut(T) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut done = Ok(());
        self.pages(path, query, |page| {
            done = page.into_iter().try_for_each(&mut each);
            done.is_ok()
        })?;
        done
    }

    /// Gives the pages of the list at `path` to `take`, until it wants no more.
    fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
        mut take: impl FnMut(Vec<T>) -> bool,
    ) -> Result<(), CliError> {
        let mut cursor = None;
        loop {
            let mut query = query.clone();
            query.push(("limit", Some(PAGE.to_string())));
            query.push(("cursor", cursor));
            let page: Page<T> = self.get(path, &query)?;
            let more = take(page.data);
            cursor = page.next_cursor;
            if cursor.is_none() || !more {
                return Ok(());
            }
        }
    }

    /// All entries of the list at `path`.
    pub(super) fn all<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
    ) -> Result<Vec<T>, CliError> {
        self.some(path, query, usize::MAX)
    }

    /// A change whose answer does not matter.
    pub(super) fn change(&self, method: &str, path: &str, body: &Value) -> Result<(), CliError> {
        self.send::<Value>(method, path, body).map(drop)
    }

    /// As [`Remote::change`], of the one member.
    pub(super) fn set(&self, path: &str, name: &str, value: Value) -> Result<(), CliError> {
        self.change("PATCH", path, &json!({ name: value }))
    }
}

#[derive(serde::Deserialize)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "an answer of our own, and no request waits for it"
)]
fn read<T: DeserializeOwned>(answer: Answer) -> Result<T, CliError> {
    if !matches!(answer.status, 200 | 201) {
        return Err(told(answer.failure()));
    }
    serde_json::from_value(answer.body).map_err(|error| {
        CliError::Argument(format!(
            "the gateway's answer is none of this version ({error}); --direct works on the store itself"
        ))
    })
}

fn told(failure: Failure) -> CliError {
    CliError::Gateway(failure)
}
