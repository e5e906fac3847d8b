//! The pages in `docs/providers`: one for each file of the catalog, what they show of it, and that their examples work.
//! The table of `docs/failover.md` is in `failover`. With `TOLLGATE_REWRITE=1` in the environment, what is made is
//! written anew.

mod alerts;
mod estimates;
mod failover;
mod headers;
mod metrics;
mod openapi;
mod page;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::gateway::gateway;

/// Between these, a page is made.
struct Marks {
    begin: &'static str,
    end: &'static str,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every provider and preset: its name and its file.
fn described() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for folder in ["catalog", "catalog/presets"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("the catalog");
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file");
            let file: Value = serde_json::from_str(&text).expect("JSON");
            let name = file["provider"].as_str().or(file["template"].as_str());
            if let Some(name) = name {
                all.push((name.to_owned(), file.clone()));
            }
        }
    }
    all.sort_by_key(|(name, file)| (file["template"].is_string(), name.clone()));
    all
}

/// Where a page is, and what it says.
fn read(name: &str) -> (PathBuf, String) {
    let path = root().join(format!("docs/providers/{name}.md"));
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, text)
}

/// Holds what stands between the two marks of a page to `made`.
fn hold(path: &Path, marks: &Marks, made: &str) {
    let Marks { begin, end } = marks;
    let name = path.display();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let parts = text.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        panic!("{name} has no `{begin}` and `{end}`");
    };
    let expected = format!("{before}{begin}\n\n{made}\n\n{end}{after}");
    if text == expected {
        return;
    }
    if std::env::var_os("TOLLGATE_REWRITE").is_some() {
        std::fs::write(path, expected).expect("a file that can be written");
        return;
    }
    panic!(
        "{name} does not say what it is made from; see the head of {}",
        file!()
    );
}

#[test]
fn every_page_says_what_the_catalog_says() {
    let described = described();
    for (name, file) in &described {
        hold(&read(name).0, &page::MARKS, &page::page(name, file));
    }
    hold(&read("README").0, &page::MARKS, &page::index(&described));
}

#[test]
fn there_is_a_page_for_everything_and_none_for_nothing() {
    let mut expected: Vec<String> = described().into_iter().map(|(name, _)| name).collect();
    expected.push("README".to_owned());
    expected.sort();
    let entries = std::fs::read_dir(root().join("docs/providers")).expect("the pages");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        let name = name.into_string().expect("UTF-8");
        name.strip_suffix(".md").expect("a page").to_owned()
    };
    let mut pages: Vec<String> = entries.map(name).collect();
    pages.sort();
    assert_eq!(pages, expected);
}

/// The blocks of code in that language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    let rests = text.split(&fence).skip(1);
    rests
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

/// The variables that a configuration refers to.
fn variables(text: &str) -> Vec<&str> {
    let names = text.split("\"env:").skip(1);
    names
        .map(|rest| rest.split('"').next().unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn every_example_passes_the_check() {
    let mut checked = 0;
    let mut names: Vec<String> = described().into_iter().map(|(name, _)| name).collect();
    names.push("README".to_owned());
    for name in names {
        let (_, text) = read(&name);
        let mut builder = gateway();
        let files = blocks(&text, "json");
        let configs = blocks(&text, "toml");
        assert!(files.len() + configs.len() > 0, "{name}.md has no example");
        for (position, file) in files.iter().enumerate() {
            let file = serde_json::from_str(file);
            let file = file.unwrap_or_else(|error| panic!("{name}.md: {error}"));
            builder = builder.catalog(&format!("example-{position}"), file);
            checked += 1;
        }
        for config in configs {
            let table: toml::Table = config
                .parse()
                .unwrap_or_else(|error| panic!("{name}.md: {error}"));
            for (id, section) in table["providers"].as_table().expect("providers") {
                builder = builder.config(&format!("providers.{id}"), section.clone());
            }
            for variable in variables(config) {
                builder = builder.environment(variable, "sk-example");
            }
            checked += 1;
        }
        let ended = builder.run(&["check"]);
        assert_eq!(ended.code, Some(0), "{name}.md: {}", ended.stderr);
    }
    assert!(checked >= 30, "{checked} examples");
}
