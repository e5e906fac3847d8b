//! Answers as providers write them (`tests/data/usage`), of every built-in provider and preset and every surface on which
//! something is used: what the meter reads of each does not depend on how it is cut, nor on the ends of its lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tollgate::usage::{Coding, Form, Meter, Report, Tier, Usage};

/// What `index.json` says.
#[derive(Deserialize)]
struct Index {
    answers: BTreeMap<String, Answer>,
    covers: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize)]
struct Answer {
    /// Where its shape is from.
    from: String,
    usage: Expected,
}

/// Counts that are left out are none.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    input: u64,
    cached: u64,
    cache_write: u64,
    cache_write_1h: u64,
    audio_input: u64,
    image_input: u64,
    output: u64,
    reasoning: u64,
    audio_output: u64,
    image_output: u64,
    searches: u64,
    tier: Option<String>,
}

impl Expected {
    fn usage(&self) -> Usage {
        Usage {
            input: self.input,
            cached: self.cached,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            audio_input: self.audio_input,
            image_input: self.image_input,
            output: self.output,
            reasoning: self.reasoning,
            audio_output: self.audio_output,
            image_output: self.image_output,
            searches: self.searches,
            tier: match self.tier.as_deref() {
                None => Tier::Unsaid,
                Some("Standard") => Tier::Standard,
                Some("Flex") => Tier::Flex,
                Some("Priority") => Tier::Priority,
                Some(other) => panic!("no tier {other}"),
            },
            ..Usage::default()
        }
    }
}

/// Surfaces whose answers say nothing of what was used: questions how many tokens there are, and what is not charged by
/// tokens.
const UNTOLD: [&str; 12] = [
    "count_tokens",
    "gemini_count_tokens",
    "responses_input_tokens",
    "images_generations",
    "images_edits",
    "images_variations",
    "audio_speech",
    "audio_transcriptions",
    "audio_translations",
    "moderations",
    "rerank",
    // Its messages are read in `usage::talk`.
    "realtime",
];

/// Surfaces whose answers are no streams.
const UNSTREAMED: [&str; 6] = [
    "embeddings",
    "responses_compact",
    "decisions",
    "generate_content",
    "embed_content",
    "batch_embed_contents",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join("tests/data/usage")
}

fn index() -> Index {
    let text = std::fs::read(folder().join("index.json")).expect("an index");
    serde_json::from_slice(&text).expect("an index")
}

fn read(form: Form, pieces: &[&[u8]]) -> Report {
    let mut meter = Meter::new(form, Coding::Identity);
    pieces.iter().for_each(|piece| meter.feed(piece));
    meter.report()
}

/// Reads an answer cut at every place in two, and byte by byte.
fn is_read_as(name: &str, form: Form, answer: &[u8], expected: &Usage) {
    let check = |report: Report, cut: &dyn std::fmt::Display| {
        assert_eq!(
            (&report.usage, report.flaw),
            (expected, None),
            "{name} cut at {cut}"
        );
    };
    for cut in 0..=answer.len() {
        let (one, two) = answer.split_at(cut);
        check(read(form, &[one, two]), &cut);
    }
    let bytes: Vec<&[u8]> = answer.chunks(1).collect();
    check(read(form, &bytes), &"every byte");
}

#[test]
fn every_answer_is_read_however_it_is_cut() {
    for (name, answer) in index().answers {
        let bytes = std::fs::read(folder().join(&name)).expect("an answer");
        let expected = answer.usage.usage();
        assert!(!answer.from.is_empty(), "{name}");
        if name.ends_with(".json") {
            is_read_as(&name, Form::Json, &bytes, &expected);
            continue;
        }
        is_read_as(&name, Form::Events, &bytes, &expected);
        let text = String::from_utf8(bytes).expect("text");
        for end in ["\r\n", "\r"] {
            let other = text.replace('\n', end);
            is_read_as(&name, Form::Events, other.as_bytes(), &expected);
        }
    }
}

/// The surfaces that a file of the catalog has a route for.
fn surfaces(file: &Path) -> Vec<String> {
    let text = std::fs::read(file).expect("a catalog file");
    let file: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let surfaces = file["surfaces"].as_object();
    surfaces.map_or_else(Vec::new, |all| all.keys().cloned().collect())
}

#[test]
fn every_provider_and_surface_has_its_answers() {
    let index = index();
    let mut files = Vec::new();
    for (folder, prefix) in [("catalog", ""), ("catalog/presets", "presets/")] {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let stem = path.file_stem().expect("a name").to_string_lossy();
                files.push((format!("{prefix}{stem}"), path.clone()));
            }
        }
    }
    let mut used = std::collections::BTreeSet::new();
    for (provider, file) in files {
        for surface in surfaces(&file)
            .iter()
            .filter(|name| !UNTOLD.contains(&name.as_str()))
        {
            let answers = index.covers.get(&provider).and_then(|all| all.get(surface));
            let answers =
                answers.unwrap_or_else(|| panic!("no answers of {provider} on {surface}"));
            let is_streamed = |name: &&String| name.ends_with(".sse");
            assert!(
                answers.iter().any(|name| !is_streamed(&name)),
                "{provider} on {surface}"
            );
            if !UNSTREAMED.contains(&surface.as_str()) {
                assert!(
                    answers.iter().any(|name| is_streamed(&name)),
                    "{provider} on {surface}"
                );
            }
            for name in answers {
                assert!(index.answers.contains_key(name), "{name} of {provider}");
                used.insert(name.clone());
            }
        }
    }
    let all: std::collections::BTreeSet<String> = index.answers.into_keys().collect();
    assert_eq!(used, all);
}
