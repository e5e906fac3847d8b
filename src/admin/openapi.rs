//! The OpenAPI document of the admin listener, made of its table of routes and of the types that are read and written.

use std::collections::BTreeMap;

use schemars::generate::{Contract, SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::answer::JSON;
use super::fault::{Code, Problem};
use super::route::{self, Access, Row};

/// Where parts of the document stand that are named once.
const COMPONENTS: &str = "/components/schemas";

/// What a row takes and answers.
pub struct Shape {
    /// The parameters of its query, as an object.
    pub query: Schema,
    /// Its body.
    pub body: Option<Schema>,
    /// Its answers that are no refusals: status, media type, form.
    pub answers: Vec<(u16, &'static str, Schema)>,
    /// Its refusals.
    pub faults: Vec<Code>,
}

/// Makes schemas of types. What is answered is named once in the document; what is asked stands where it is asked,
/// because a type may be read more freely than it is written.
pub struct Schemas {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let with = |contract, inline| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = COMPONENTS.into();
                settings.meta_schema = None;
                settings.contract = contract;
                settings.inline_subschemas = inline;
            });
            settings.into_generator()
        };
        Self {
            asked: with(Contract::Deserialize, true),
            answered: with(Contract::Serialize, false),
        }
    }

    /// The form of what is read.
    pub fn asked<T: JsonSchema>(&mut self) -> Schema {
        self.asked.subschema_for::<T>()
    }

    /// The form of what is written.
    pub fn answered<T: JsonSchema>(&mut self) -> Schema {
        self.answered.subschema_for::<T>()
    }
}

/// The document as it is checked in and served: JSON with a line break at its end.
#[must_use]
pub fn document() -> String {
    let mut schemas = Schemas::new();
    let problem = schemas.answered::<Problem<'_>>();
    let mut paths: Map<String, Value> = Map::new();
    for row in route::rows() {
        let operation = operation(row, &mut schemas, &problem);
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.verb.as_str().to_ascii_lowercase()] = operation;
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate's admin API",
            "version": "1",
            "description": "What the operator of a gateway can see and change, on the admin listener. Amounts are decimal dollars in strings, with at most nine decimals; times are RFC 3339 in UTC. What is unknown in a query or a body is a mistake.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "`admin.address` of the configuration"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "`admin.token` of the configuration. Where it has none, nothing is to be sent.",
            }},
            "schemas": schemas.answered.take_definitions(true),
        },
    });
    format!("{document:#}\n")
}

fn operation(row: &Row, schemas: &mut Schemas, problem: &Schema) -> Value {
    let shape = (row.describe)(schemas);
    let mut parameters: Vec<Value> = route::names(row.path).map(in_path).collect();
    parameters.extend(in_query(&shape.query));
    let mut operation = json!({
        "operationId": row.name,
        "summary": row.summary,
        "tags": [tag(row.path)],
        "responses": responses(row, &shape, problem),
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = shape.body {
        operation["requestBody"] = json!({"required": true, "content": {JSON: {"schema": body}}});
    }
    if row.access == Access::Open {
        operation["security"] = json!([]);
    }
    operation
}

/// What it is about: the first word below the API's root.
fn tag(path: &str) -> &str {
    let below = path.strip_prefix("/api/v1/");
    below.map_or("process", |below| {
        below.split('/').next().unwrap_or_default()
    })
}

fn in_path(name: &str) -> Value {
    let (schema, description) = match name {
        "account" => (
            json!({"type": "integer", "format": "int64", "minimum": 1}),
            "The number of an account.",
        ),
        "key" => (
            json!({"type": "string", "pattern": "^[0-9A-Za-z]{12}$"}),
            "The id of an access key.",
        ),
        "grant" => (
            json!({"type": "integer", "format": "int64", "minimum": 1}),
            "The number of a grant.",
        ),
        "provider_key" => (
            json!({"type": "string", "pattern": "^pk-[0-9a-f]{16}$"}),
            "The id of a stored provider key.",
        ),
        "request" => (
            json!({"type": "string", "minLength": 1, "maxLength": 100}),
            "The id of a request, as in `Tollgate-Request-Id`.",
        ),
        _ => (json!({"type": "string"}), ""),
    };
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema})
}

fn in_query(schema: &Schema) -> Vec<Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)));
    let members = schema.get("properties").and_then(Value::as_object);
    let members = members.into_iter().flatten();
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = not_null(schema.clone());
        let description = schema
            .as_object_mut()
            .and_then(|it| it.remove("description"));
        json!({
            "name": name,
            "in": "query",
            "required": is_required(name),
            "description": description.unwrap_or_default(),
            "schema": schema,
        })
    };
    members.map(parameter).collect()
}

/// A parameter that is not there is left out: there is no way to write null.
fn not_null(mut schema: Value) -> Value {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = &types[..] {
            schema["type"] = one.clone();
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(forms)) = schema.get("anyOf") else {
        return schema;
    };
    let mut other = forms.iter().filter(|form| form["type"] != "null").cloned();
    let (Some(Value::Object(only)), None) = (other.next(), other.next()) else {
        return schema;
    };
    if let Value::Object(members) = &mut schema {
        members.remove("anyOf");
        members.extend(only);
    }
    schema
}

fn responses(row: &Row, shape: &Shape, problem: &Schema) -> Value {
    let mut all = Map::new();
    for (status, media, schema) in &shape.answers {
        all.insert(
            status.to_string(),
            json!({"description": described(*status), "content": {*media: {"schema": schema}}}),
        );
    }
    let mut faults: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let guard: &[Code] = match row.access {
        Access::Open => &[],
        Access::Guarded => &[Code::InvalidToken, Code::NotForWebPages, Code::TooManyTries],
    };
    for code in shape.faults.iter().chain(guard) {
        let names = faults.entry(code.status()).or_default();
        names.push(format!("`{}`", code.name()));
    }
    for (status, names) in faults {
        let response = json!({
            "description": format!("Refused: {}.", names.join(", ")),
            "content": {JSON: {"schema": problem}},
        });
        all.insert(status.to_string(), response);
    }
    Value::Object(all)
}

fn described(status: u16) -> &'static str {
    match status {
        201 => "Made.",
        422 => "Not done.",
        503 => "Not now.",
        _ => "Done.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::route::Verb;

    /// Every reference in the document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    found.push(to.clone());
                }
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(elements) => elements.iter().for_each(|it| references(it, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(&document()).expect("JSON");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_row_is_in_it_with_its_parameters() {
        let document: Value = serde_json::from_str(&document()).expect("JSON");
        for row in route::rows() {
            let verb = row.verb.as_str().to_ascii_lowercase();
            let operation = &document["paths"][row.path][&verb];
            assert_eq!(operation["operationId"], row.name);
            let empty = Vec::new();
            let parameters = operation["parameters"].as_array().unwrap_or(&empty);
            for name in route::names(row.path) {
                let found = parameters.iter().find(|it| it["name"] == name);
                let description = found.and_then(|it| it["description"].as_str());
                assert!(description.is_some_and(|it| !it.is_empty()), "{name}");
            }
            for parameter in parameters {
                let description = parameter["description"].as_str();
                assert!(description.is_some_and(|it| !it.is_empty()), "{parameter}");
            }
            if row.path.starts_with("/api/") && matches!(row.verb, Verb::Post | Verb::Patch) {
                // Otherwise a web page could send it without asking.
                assert!(operation["requestBody"].is_object(), "{}", row.name);
            }
        }
    }
}
