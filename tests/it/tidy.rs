//! Rules about the source itself that no compiler holds: which module may know which.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each top-level module, and those of ours that it may name. What is not listed may name nothing.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("usage", &[]),
    ("money", &["catalog", "model", "surface", "usage"]),
    ("metrics", &["surface", "usage"]),
    ("snapshot", &[]),
    ("secret", &["whole"]),
    ("whole", &[]),
    ("surface", &[]),
    ("log", &["snapshot", "usage"]),
    ("otel", &["snapshot", "surface", "upstream", "usage"]),
    ("echo", &[]),
    ("explain", &[]),
    ("kept", &[]),
    ("table", &[]),
    ("access", &["money", "snapshot", "secret", "table"]),
    ("catalog", &["give_way", "surface", "table"]),
    ("config", &["ledger", "log", "money", "secret", "whole"]),
    ("credentials", &[]),
    (
        "store",
        &[
            "access",
            "byok",
            "credentials",
            "money",
            "secret",
            "snapshot",
            "usage",
        ],
    ),
    ("money", &["catalog", "usage"]),
    (
        "ledger",
        &["access", "credentials", "money", "store", "usage"],
    ),
    ("byok", &["access", "credentials", "secret", "table"]),
    ("upstream", &["config", "credentials", "surface"]),
    ("routing", &["access", "catalog", "credentials", "money"]),
    ("discover", &["catalog", "credentials", "upstream"]),
    ("statement", &["access", "money", "store"]),
    (
        "admin",
        &[
            "access",
            "byok",
            "log",
            "kept",
            "metrics",
            "money",
            "secret",
            "snapshot",
            "statement",
            "store",
        ],
    ),
    (
        "live",
        &[
            "byok",
            "catalog",
            "config",
            "cors",
            "credentials",
            "discover",
            "give_way",
            "metrics",
            "money",
            "routing",
            "secret",
            "snapshot",
            "upstream",
        ],
    ),
    (
        "proxy",
        &[
            "access",
            "byok",
            "catalog",
            "cors",
            "credentials",
            "explain",
            "kept",
            "ledger",
            "live",
            "log",
            "metrics",
            "model",
            "money",
            "otel",
            "routing",
            "snapshot",
            "statement",
            "store",
            "surface",
            "upstream",
            "usage",
        ],
    ),
];

/// Modules that assemble the others, and may name all of them.
const ASSEMBLE: &[&str] = &["server", "cli", "dev", "main", "lib"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn source_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&root).expect("below src");
        let top = below
            .components()
            .next()
            .expect("a name")
            .as_os_str()
            .to_string_lossy();
        let top = top.trim_end_matches(".rs").to_owned();
        (top, std::fs::read_to_string(&path).expect("UTF-8"))
    };
    found.into_iter().map(read).collect()
}

/// The top-level modules that a text names as `crate::name`, its tests aside.
fn named(text: &str) -> BTreeSet<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let names = code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        &rest[..end.unwrap_or(rest.len())]
    });
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (module, text) in source_files() {
        if ASSEMBLE.contains(&module.as_str()) {
            continue;
        }
        let allowed = MAY_NAME
            .iter()
            .find(|(name, _)| *name == module)
            .map_or(&[][..], |(_, names)| names);
        for name in named(&text) {
            if name != module && !allowed.contains(&name) {
                wrong.push(format!("{module} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_http_side_knows_pingora_proxy() {
    for (module, text) in source_files() {
        if !["proxy", "server"].contains(&module.as_str()) {
            assert!(!text.contains("pingora_proxy"), "{module}");
        }
    }
}

#[test]
fn the_source_says_nothing_of_machines_or_unfinished_work() {
    for (module, text) in source_files() {
        for word in ["TODO", "FIXME", "XXX", "/work/", "/home/"] {
            assert!(!text.contains(word), "{word} in {module}");
        }
    }
}
