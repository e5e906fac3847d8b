//! A file of the catalog → the part of its page that is made from it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Marks;

/// The marks between which a page is made.
pub const MARKS: Marks = Marks {
    begin: "<!-- From here on made from the catalog; see tests/it/docs. -->",
    end: "<!-- Made from the catalog up to here. -->",
};

/// The models that examples ask for, where it is not the first of the file that chats.
const SAMPLES: &[(&str, &str)] = &[
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-flash"),
    ("groq", "openai/gpt-oss-20b"),
    ("openrouter", "anthropic/claude-haiku-4.5"),
    ("mistral", "mistral-small-2603"),
    ("hyperbolic", "meta-llama/Llama-3.3-70B-Instruct"),
    ("inference-net", "llama-3.3-70b-instruct"),
    ("together", "openai/gpt-oss-120b"),
];

/// Facts that are shown elsewhere, or that are for those who keep the catalog.
const UNSHOWN: [&str; 4] = ["sources", "not_served", "confidence", "base_url"];

/// The made part of the page of `name`.
pub fn page(name: &str, file: &Value) -> String {
    let mut text = String::new();
    text.push_str(&glance(name, file));
    if file["template"].is_null() {
        text.push_str(&configuration(name, file));
        text.push_str(&trial(name, file));
    }
    text.push_str(&surfaces(file));
    text.push_str(&peculiarities(file));
    text.push_str(&gaps(file));
    text.truncate(text.trim_end().len());
    text
}

/// The made part of the index.
pub fn index(described: &[(String, Value)]) -> String {
    let mut text = String::new();
    for (title, of_presets) in [("Built in", false), ("Custom, by preset", true)] {
        let _ = write!(
            text,
            "## {title}\n\n| Page | {} | Key variable | Surfaces |\n| --- | --- | --- | --- |\n",
            if of_presets { "`preset`" } else { "Prefix" }
        );
        for (name, file) in described {
            if file["template"].is_string() == of_presets {
                let id = if of_presets {
                    format!("`{name}`")
                } else {
                    format!("`{name}:`")
                };
                let _ = writeln!(
                    text,
                    "| [{}]({name}.md) | {id} | {} | {} |",
                    display_name(file),
                    codes(&file["env"]),
                    served(file).join(", ")
                );
            }
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

fn display_name(file: &Value) -> &str {
    file["name"].as_str().expect("a name")
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn served(file: &Value) -> Vec<String> {
    members(&file["surfaces"])
        .map(|(name, _)| format!("`{name}`"))
        .collect()
}

/// `` `A`, `B` ``, or a dash.
fn codes(list: &Value) -> String {
    let texts = list.as_array().into_iter().flatten();
    let texts: Vec<String> = texts
        .filter_map(|text| Some(format!("`{}`", text.as_str()?)))
        .collect();
    if texts.is_empty() {
        "–".to_owned()
    } else {
        texts.join(", ")
    }
}

fn glance(name: &str, file: &Value) -> String {
    let mut rows = Vec::new();
    if file["template"].is_string() {
        rows.push(("Preset", format!("`\"preset\": \"{name}\"`")));
    } else {
        rows.push(("Prefix", format!("`{name}:MODEL`")));
        rows.push(("Other prefixes", codes(&file["aliases"])));
    }
    let base_url = file["base_url"].as_str();
    let base_url = base_url.map_or_else(|| "yours to say".to_owned(), |url| format!("`{url}`"));
    rows.push(("Base URL", base_url));
    rows.push(("Key variable", codes(&file["env"])));
    let optional = file["key_optional"] == true;
    let auth = key(file["auth"].as_str().unwrap_or("bearer"));
    let auth = if optional {
        format!("{auth}; works without")
    } else {
        auth
    };
    rows.push(("Key is sent as", auth));
    rows.push(("Keys begin with", codes(&file["key_prefixes"])));
    if let Some(models) = file["models"].as_object() {
        let removed = models.values().filter(|model| model["status"] == "removed");
        let count = models.len() - removed.count();
        rows.push(("Models in the catalog", count.to_string()));
    }
    rows.push(("`\"discover\": true`", discovery(file)));
    if let Some(health) = file["health"]["path"].as_str() {
        rows.push(("Health check", format!("`{health}`")));
    }
    let mut text = "## At a glance\n\n| | |\n| --- | --- |\n".to_owned();
    for (title, value) in rows.iter().filter(|(_, value)| value != "–") {
        let _ = writeln!(text, "| {title} | {value} |");
    }
    text.push('\n');
    text
}

fn discovery(file: &Value) -> String {
    match file["model_lists"].as_array() {
        None => "asks `/models`".to_owned(),
        Some(lists) if lists.is_empty() => {
            "refused: what it lists is not what requests can ask for".to_owned()
        }
        Some(lists) => {
            let paths: Vec<String> = lists.iter().map(|list| code(&list["path"])).collect();
            format!("asks {}", paths.join(", else "))
        }
    }
}

fn key(auth: &str) -> String {
    match auth.split_once(':') {
        Some((_, header)) => format!("`{header}: KEY`"),
        None if auth == "none" => "not at all".to_owned(),
        None => "`Authorization: Bearer KEY`".to_owned(),
    }
}

fn code(value: &Value) -> String {
    format!("`{}`", value.as_str().unwrap_or_default())
}

fn configuration(name: &str, file: &Value) -> String {
    let variable = file["env"][0].as_str().expect("a key variable");
    format!(
        "## Configuration

In `tollgate.toml`; `tollgate dev` takes the variable by itself.

```toml
[providers.{name}]
keys = [\"env:{variable}\"]
```

"
    )
}

/// What is said where the model of the examples has no price, so that the gateway's key does not pay for it.
const UNPRICED: &str = "The catalog has no price for this model, and what has none is refused on the gateway's key (`model_not_priced`): \
[take over a price list](../catalog.md#take-over-a-price-list), or set `unpriced = \"allow\"` under `[credit]`, for accounts \
that [pay afterwards without a limit](../credit.md#what-is-not-sent).\n\n";

/// Whether a model, by its id or an alias, has a price for what it reads.
fn priced(file: &Value, name: &str) -> bool {
    let mut models = members(&file["models"]);
    let found = models.find(|(id, entry)| {
        let mut aliases = entry["aliases"].as_array().into_iter().flatten();
        *id == name || aliases.any(|alias| alias == name)
    });
    found.is_some_and(|(_, entry)| !entry["price"]["input"].is_null())
}

/// The model that the examples ask for.
fn sample(name: &str, file: &Value) -> String {
    let models = file["models"].as_object().expect("models");
    if let Some((_, model)) = SAMPLES.iter().find(|(id, _)| *id == name) {
        let known = members(&file["models"]).any(|(id, entry)| {
            let aliases = entry["aliases"].as_array().into_iter().flatten();
            id == model || aliases.into_iter().any(|alias| alias == model)
        });
        assert!(known, "{name} has no model {model}");
        return (*model).to_owned();
    }
    let chats = |entry: &Value| entry["kind"] == "chat" && entry["status"] != "removed";
    let mut found = models.iter().filter(|(_, entry)| chats(entry));
    found.next().expect("a model that chats").0.clone()
}

fn trial(name: &str, file: &Value) -> String {
    let sample = sample(name, file);
    let model = format!("{name}:{sample}");
    let serves = |surface: &str| file["surfaces"][surface].is_object();
    let mut text = format!(
        "## Try it

```sh
curl http://127.0.0.1:8080/v1/chat/completions \\
  -H \"Authorization: Bearer $TOLLGATE_KEY\" -H 'Content-Type: application/json' \\
  -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'
```

```python
from openai import OpenAI

client = OpenAI(base_url=\"http://127.0.0.1:8080/v1\", api_key=TOLLGATE_KEY)
client.chat.completions.create(model=\"{model}\", messages=[{{\"role\": \"user\", \"content\": \"Hello!\"}}])
```

"
    );
    assert!(serves("chat"), "{name}: the example asks for a chat");
    if !priced(file, &sample) {
        text.push_str(UNPRICED);
    }
    if serves("messages") {
        let _ = write!(
            text,
            "```python
from anthropic import Anthropic

client = Anthropic(base_url=\"http://127.0.0.1:8080\", api_key=TOLLGATE_KEY)
client.messages.create(model=\"{model}\", max_tokens=64, messages=[{{\"role\": \"user\", \"content\": \"Hello!\"}}])
```

"
        );
    }
    text
}

fn surfaces(file: &Value) -> String {
    let mut text =
        "## Surfaces\n\n| Surface | You ask | It is asked | Key | Note |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    let common = file["auth"].as_str().unwrap_or("bearer");
    for (name, entry) in members(&file["surfaces"]) {
        let row = tollgate::surface::Surface::from_name(name).expect("a surface");
        let query = entry["query"].as_str();
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let headers: Vec<String> = members(&entry["headers"])
            .filter_map(|(name, value)| Some(format!("adds `{name}: {}`", value.as_str()?)))
            .collect();
        let note = entry["note"].as_str().map(escaped);
        let notes: Vec<String> = headers.into_iter().chain(note).collect();
        let _ = writeln!(
            text,
            "| `{name}` | `/v1{}` | `{}{query}` | {} | {} |",
            row.spec().path,
            entry["path"].as_str().expect("a path"),
            key(entry["auth"].as_str().unwrap_or(common)),
            notes.join("; ").replace('|', "\\|"),
        );
    }
    text.push_str(
        "\nPaths are below the base URL; each `../` takes one segment of it away. A note `low` or `medium` says how sure \
         the catalog is.\n\n",
    );
    text
}

fn peculiarities(file: &Value) -> String {
    let empty = Map::new();
    let facts = file["facts"].as_object().unwrap_or(&empty);
    let mut text = String::new();
    for (name, fact) in facts {
        if !UNSHOWN.contains(&name.as_str()) && !is_empty(fact) {
            bullet(&mut text, 0, name, fact);
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("## Peculiarities\n\nAs the catalog has them, with its words.\n\n{text}\n")
}

fn is_empty(fact: &Value) -> bool {
    match fact {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn bullet(text: &mut String, depth: usize, name: &str, fact: &Value) {
    let indent = "  ".repeat(depth);
    let title = name.replace('_', " ");
    let _ = write!(text, "{indent}- **{title}**:");
    match fact {
        // What an error looks like is JSON, to be read as such.
        Value::Object(_) if name.ends_with("shape") => {
            let _ = writeln!(text, " `{fact}`");
        }
        Value::Object(all) => {
            text.push('\n');
            for (name, fact) in all.iter().filter(|(_, fact)| !is_empty(fact)) {
                bullet(text, depth + 1, name, fact);
            }
        }
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(inline).collect();
            let _ = writeln!(text, " {}", all.join("; "));
        }
        other => {
            let _ = writeln!(text, " {}", inline(other));
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text),
        other => format!("`{other}`"),
    }
}

/// Text that Markdown leaves alone; what stands between backticks it leaves alone by itself.
fn escaped(text: &str) -> String {
    let plain = |part: &str| {
        let part = part.replace('<', "&lt;").replace('*', "\\*");
        part.replace('_', "\\_")
    };
    let parts = text.trim().split('`').enumerate();
    let parts: Vec<String> = parts
        .map(|(at, part)| {
            if at % 2 == 0 {
                plain(part)
            } else {
                part.to_owned()
            }
        })
        .collect();
    parts.join("`")
}

fn gaps(file: &Value) -> String {
    // Lists of models are Tollgate's own.
    let others: Vec<String> = members(&file["other_surfaces"])
        .filter(|(name, _)| !name.ends_with(".models"))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let mut text = String::new();
    if !others.is_empty() {
        let _ = writeln!(
            text,
            "- It serves these too, which Tollgate does not route: {}.",
            others.join(", ")
        );
    }
    let unserved = codes(&file["facts"]["not_served"]);
    if unserved != "–" {
        let _ = writeln!(text, "- It does not serve these: {unserved}.");
    }
    if let Some(confidence) = file["facts"]["confidence"].as_str() {
        let _ = writeln!(
            text,
            "- How sure the catalog is of all this: {} (as of {}).",
            escaped(confidence),
            file["as_of"].as_str().unwrap_or("no date")
        );
    }
    if text.is_empty() {
        return text;
    }
    format!("## Known gaps\n\n{text}\n")
}
