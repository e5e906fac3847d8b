//! What a model's name costs on the request path, and what loading the catalog costs off it: on the shipped catalog,
//! on one with 100,000 models more, which a look-up must not notice, and on generated ones of two sizes.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark stops at what it does not expect"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::catalog::{Catalog, Files, Overrides, resolve};

/// Models that the large catalog has beside the shipped ones.
const GENERATED: usize = 100_000;

/// Names by the way they are found. The last does not exist.
const NAMES: [(&str, &str); 7] = [
    ("prefixed", "openai:gpt-4o"),
    ("prefixed_unlisted", "openai:some-model-of-tomorrow"),
    ("bare", "gpt-4o"),
    ("bare_three_providers", "openai/gpt-oss-120b"),
    ("any_case", "GPT-4O"),
    ("slashed", "anthropic/claude-sonnet-4-5"),
    ("miss", "gtp-4o-minni"),
];

/// Models of the generated catalogs that are compared. The bar: 1.3 times the time of the first in the last.
const SIZES: [usize; 2] = [1_000, 100_000];

/// Different names that are asked for in turn, as many in each size.
const ASKED: usize = 1_000;

fn large() -> Files {
    let mut files = Files::builtin();
    files.add_text("large.json", generated(GENERATED));
    files
}

fn generated(models: usize) -> String {
    let mut text = String::from(
        r#"{"provider":"large","base_url":"http://127.0.0.1:1","surfaces":{"chat":{"path":"/c"}},"models":{"#,
    );
    for n in 0..models {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}"acme/model-{n}":{{"family":"model","aliases":["model-{n}-latest"],"kind":"chat","input":["text"],"#
        );
        text.push_str(r#""output":["text"],"context":131072,"max_output":8192,"price":{"input":"0.15","output":"0.6"}}"#);
    }
    text.push_str("}}");
    text
}

fn build(files: &Files) -> Catalog {
    resolve(files, &Overrides::default()).expect("a catalog without problems")
}

fn lookups(criterion: &mut Criterion, size: &str, catalog: &Catalog) {
    let mut group = criterion.benchmark_group(format!("lookup/{size}"));
    for (form, name) in NAMES {
        group.bench_function(form, |bencher| {
            bencher.iter(|| {
                catalog
                    .lookup(black_box(name), None)
                    .map(|targets| targets.len())
            });
        });
    }
    group.finish();
    let (_, miss) = NAMES[NAMES.len() - 1];
    let mut group = criterion.benchmark_group(format!("nearest/{size}"));
    group.bench_function("typing_mistake", |bencher| {
        bencher.iter(|| catalog.nearest(black_box(miss)))
    });
    // Like every generated name: the worst that a name can do.
    group.bench_function("like_all", |bencher| {
        bencher.iter(|| catalog.nearest(black_box("acme/modle-12345")))
    });
    group.finish();
}

/// The same number of names in catalogs of different sizes: one again and again, and all in turn.
fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup_by_size");
    for size in SIZES {
        let mut files = Files::empty();
        files.add_text("generated.json", generated(size));
        let catalog = build(&files);
        let names: Vec<String> = (0..ASKED)
            .map(|n| format!("acme/model-{}", n * (size / ASKED)))
            .collect();
        let find = |name: &str| {
            catalog
                .lookup(black_box(name), None)
                .map(|targets| targets.len())
        };
        group.bench_function(format!("one_name/{size}"), |bencher| {
            bencher.iter(|| find(&names[ASKED / 2]));
        });
        let mut turn = names.iter().cycle();
        group.bench_function(format!("names_in_turn/{size}"), |bencher| {
            bencher.iter(|| turn.next().map(|name| find(name)));
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let large = large();
    sizes(criterion);
    lookups(criterion, "shipped", &build(&Files::builtin()));
    lookups(criterion, "100k", &build(&large));
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.bench_function("shipped", |bencher| {
        bencher.iter(|| build(&Files::builtin()))
    });
    group.bench_function("100k", |bencher| bencher.iter(|| build(&large)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
