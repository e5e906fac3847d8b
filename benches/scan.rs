//! The scanner and the splice, over request bodies of 1 KiB, 64 KiB and 1 MiB, with `model` first
//! and last.
//!
//! Beside the scanner, over the same bytes: one `memchr` pass (for a byte that is not there), which
//! is about what reading the bytes costs; `sonic_rs::get`, which stops at the member and checks
//! nothing behind it; and `serde_json` into a struct with a `model`, which checks the whole
//! document as the scanner does.

#![allow(
    clippy::disallowed_methods,
    reason = "serde_json is what the scanner is measured beside"
)]
#![allow(clippy::expect_used, reason = "a benchmark of bodies written here")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use tollgate::model::scan::{Member, Members, Scanner};
use tollgate::model::splice::{name_model, splice};

const SIZES: [(&str, usize); 3] = [("1KiB", 1 << 10), ("64KiB", 1 << 16), ("1MiB", 1 << 20)];

/// Where `model` stands in a body.
#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

const PLACES: [(&str, Place); 2] = [("first", Place::First), ("last", Place::Last)];

/// A body of about `len` bytes: `model` and `stream` around a member `name` that holds `items` by
/// turns.
fn body(len: usize, place: Place, name: &str, mut item: impl FnMut(&mut Dice) -> String) -> Bytes {
    let (start, end) = match place {
        Place::First => (r#"{"model":"gpt-4o","stream":true,"#, "}"),
        Place::Last => ("{", r#","stream":true,"model":"gpt-4o"}"#),
    };
    let mut dice = Dice(1);
    let mut text = format!("{start}\"{name}\":[{}", item(&mut dice));
    while text.len() < len {
        text.push(',');
        text += &item(&mut dice);
    }
    (text + "]" + end).into()
}

/// Numbers without an order, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    /// Words up to about `len` bytes, with a line break after about every `line` of them.
    fn prose(&mut self, len: usize, line: usize) -> String {
        self.words(len, line, "\\n")
    }

    /// Words up to about `len` bytes, with `escape` after about every `line` of them.
    fn words(&mut self, len: usize, line: usize, escape: &str) -> String {
        const WORDS: [&str; 12] = [
            "the",
            "gateway",
            "reads",
            "only",
            "what",
            "it",
            "must",
            "and",
            "passes",
            "everything",
            "else",
            "through",
        ];
        let mut text = String::new();
        let mut rest = line / 2 + self.roll(line);
        while text.len() < len {
            let word = WORDS[self.roll(WORDS.len())];
            text += word;
            rest = rest.saturating_sub(word.len() + 1);
            if rest == 0 {
                text += escape;
                rest = line / 2 + self.roll(line);
            } else {
                text.push(' ');
            }
        }
        text
    }
}

fn message(content: &str) -> String {
    format!(r#"{{"role":"user","content":"{content}"}}"#)
}

/// Messages of up to 8,000 bytes, with a line break after every 400 or so.
fn chat(len: usize, place: Place) -> Bytes {
    chat_with(len, place, 400, "\\n")
}

/// Messages of up to 8,000 bytes, with `escape` after every `line` bytes or so.
fn chat_with(len: usize, place: Place, line: usize, escape: &str) -> Bytes {
    body(len, place, "messages", |dice| {
        message(&dice.words(len.min(8_000) * 3 / 4, line, escape))
    })
}

/// A body of about 1 KiB with many small members: parameters, a tool, and short messages.
fn small_members(place: Place) -> Bytes {
    let parameters = r#""temperature":0.7,"top_p":1,"max_tokens":512,"user":"u-1234""#;
    let properties = r#"{"place":{"type":"string"},"unit":{"type":"string","enum":["c","f"]}}"#;
    let schema = format!(r#"{{"type":"object","properties":{properties},"required":["place"]}}"#);
    let about = r#""name":"get_weather","description":"Gets the weather.""#;
    let tool = format!(r#"{{"type":"function","function":{{{about},"parameters":{schema}}}}}"#);
    let mut head = Some(format!(r#"{{{parameters},"tools":[{tool}]}}"#));
    body(1 << 10, place, "messages", |dice| {
        head.take().unwrap_or_else(|| {
            let len = 20 + dice.roll(100);
            message(&dice.prose(len, 60))
        })
    })
}

/// Other kinds of bodies, with `model` last.
fn kinds(len: usize) -> Vec<(&'static str, Bytes)> {
    let base64 = |dice: &mut Dice| {
        (0..len)
            .map(|_| {
                char::from(
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                        [dice.roll(64)],
                )
            })
            .collect::<String>()
    };
    let code = |dice: &mut Dice| {
        let mut text = String::new();
        while text.len() < 4_000 {
            text += &" ".repeat(4 * dice.roll(5));
            let len = 10 + dice.roll(40);
            text += &dice.prose(len, usize::MAX / 2);
            text += ["(\\\"", "\\\")", ";", " = ", "{"][dice.roll(5)];
            text += "\\n";
        }
        message(&text)
    };
    let tool = |dice: &mut Dice| {
        let (name, about, detail) = (dice.roll(1000), dice.prose(60, 1000), dice.prose(30, 1000));
        let place = format!(r#"{{"type":"string","description":"{detail}"}}"#);
        let unit = r#"{"type":"string","enum":["c","f"]}"#;
        let days = r#"{"type":"integer","minimum":1,"maximum":14}"#;
        let properties = format!(r#"{{"place":{place},"unit":{unit},"days":{days}}}"#);
        let rest = r#""required":["place","unit"],"additionalProperties":false"#;
        let parameters = format!(r#"{{"type":"object","properties":{properties},{rest}}}"#);
        let head = format!(r#""name":"tool_{name}","description":"{about}""#);
        format!(r#"{{"type":"function","function":{{{head},"parameters":{parameters}}}}}"#)
    };
    vec![
        ("short_lines", chat_with(len, Place::Last, 40, "\\n")),
        ("quotes", chat_with(len, Place::Last, 20, "\\\"")),
        ("json_in_json", chat_with(len, Place::Last, 12, "\\\\n\\\"")),
        (
            "long_lines",
            body(len, Place::Last, "messages", |dice| {
                message(&dice.prose(100_000, 4_000))
            }),
        ),
        (
            "image",
            body(len, Place::Last, "messages", |dice| message(&base64(dice))),
        ),
        ("code", body(len, Place::Last, "messages", code)),
        (
            "escaped_unicode",
            body(len, Place::Last, "messages", |dice| {
                message(
                    &(0..1_000)
                        .map(|_| format!("\\u{:04x}", 0x4E00 + dice.roll(0x4000)))
                        .collect::<String>(),
                )
            }),
        ),
        ("tools", body(len, Place::Last, "tools", tool)),
        (
            "tokens",
            body(len, Place::Last, "input", |dice| {
                dice.roll(100_000).to_string()
            }),
        ),
        (
            "vectors",
            body(len, Place::Last, "input", |dice| {
                format!("-0.{:010}", dice.roll(1 << 30))
            }),
        ),
    ]
}

fn scanned(body: &[u8]) -> Members {
    let mut scanner = Scanner::new();
    scanner.feed(body).expect("JSON");
    scanner.finish().expect("an object");
    scanner.members().clone()
}

fn model_start(body: &[u8]) -> usize {
    let mut scanner = Scanner::new();
    scanner.feed(body).expect("JSON");
    scanner.finish().expect("an object");
    scanner
        .members()
        .get(Member::Model)
        .expect("a model")
        .last()
        .value()
        .start
}

#[derive(Deserialize)]
struct Request<'a> {
    model: &'a str,
}

fn compare(criterion: &mut Criterion, name: &str, id: &str, body: &Bytes) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(body.len() as u64));
    let mut bench = |what: &str, run: &dyn Fn(&[u8]) -> usize| {
        group.bench_function(BenchmarkId::new(what, id), |bencher| {
            bencher.iter(|| run(black_box(body)))
        });
    };
    bench("memchr", &|body| {
        memchr::memchr(0, body).unwrap_or(body.len())
    });
    bench("scanner", &model_start);
    bench("sonic_rs", &|body| {
        sonic_rs::get_from_slice(body, &["model"])
            .expect("a model")
            .as_raw_str()
            .len()
    });
    bench("serde_json", &|body| {
        serde_json::from_slice::<Request>(body)
            .expect("a model")
            .model
            .len()
    });
    group.finish();
}

fn scan(criterion: &mut Criterion) {
    for (size, len) in SIZES {
        for (name, place) in PLACES {
            compare(
                criterion,
                "scan",
                &format!("{size}/{name}"),
                &chat(len, place),
            );
        }
    }
    for (name, place) in PLACES {
        compare(
            criterion,
            "scan",
            &format!("1KiB/small_members/{name}"),
            &small_members(place),
        );
    }
    compare(
        criterion,
        "scan",
        "100KiB/short_lines",
        &chat_with(100 << 10, Place::Last, 40, "\\n"),
    );
}

fn scan_kinds(criterion: &mut Criterion) {
    for (kind, body) in kinds(1 << 20) {
        compare(criterion, "scan_1MiB", kind, &body);
    }
}

/// From the members found to the pieces that are written: the model is replaced.
fn edit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("splice");
    for (size, len) in SIZES {
        for (name, place) in PLACES {
            let body = chat(len, place);
            let members = scanned(&body);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::new(size, name), |bencher| {
                bencher.iter(|| {
                    let edits = name_model(&body, black_box(&members), "openai/gpt-4o-2024-08-06")
                        .expect("edits");
                    splice(&body, &edits).expect("pieces").total_len()
                });
            });
        }
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = short();
    targets = scan, scan_kinds, edit
}
criterion_main!(benches);
