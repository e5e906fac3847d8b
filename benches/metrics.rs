//! What a scrape costs: all families in the text format, with the shipped catalog. `usual`: every provider has answered
//! on each surface that it serves, well and with errors of both kinds, with two kinds of credentials. `every`: each
//! combination of labels that can be, which no gateway comes near to.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark stops at what it does not expect"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::catalog::{Catalog, Files, Overrides, resolve};
use tollgate::metrics::{
    AttemptOutcome, CredentialLabel, KeyFailure, Label as _, Metrics, ProviderMetrics,
};
use tollgate::surface::{self, Surface};
use tollgate::usage::Usage;

fn catalog() -> Catalog {
    resolve(&Files::builtin(), &Overrides::default()).expect("the catalog")
}

fn count_all(provider: &ProviderMetrics) {
    let usage = Usage {
        input: 100,
        cached: 20,
        cache_write: 10,
        output: 50,
        reasoning: 10,
        ..Usage::default()
    };
    provider.tokens(&usage);
    provider.first_byte(Duration::from_millis(300));
    AttemptOutcome::ALL
        .iter()
        .for_each(|outcome| provider.attempt(*outcome));
    KeyFailure::ALL
        .iter()
        .for_each(|reason| provider.key_failure(*reason));
}

fn request(
    provider: &ProviderMetrics,
    surface: Option<Surface>,
    statuses: &[u16],
    credentials: &[CredentialLabel],
) {
    for status in statuses {
        for credential in credentials {
            provider.request(surface, *status, *credential, Duration::from_millis(700));
        }
    }
}

fn usual(catalog: &Catalog) -> Metrics {
    let metrics = Metrics::new(&["model_not_found"]).expect("the families");
    let credentials = [CredentialLabel::Gateway, CredentialLabel::Byok];
    for provider in catalog.providers() {
        let series = metrics.provider(&provider.id);
        count_all(&series);
        for row in surface::TABLE {
            if provider.surfaces.has(row.surface) {
                request(&series, Some(row.surface), &[200, 400, 500], &credentials);
            }
        }
    }
    metrics
}

fn every(catalog: &Catalog) -> Metrics {
    let metrics = Metrics::new(&["model_not_found"]).expect("the families");
    for provider in catalog.providers() {
        let series = metrics.provider(&provider.id);
        count_all(&series);
        let surfaces = surface::TABLE.iter().map(|row| Some(row.surface));
        for surface in surfaces.chain([None]) {
            let statuses = [0, 101, 200, 302, 404, 500];
            request(&series, surface, &statuses, CredentialLabel::ALL);
        }
    }
    metrics
}

fn scrape(criterion: &mut Criterion) {
    let catalog = catalog();
    let mut group = criterion.benchmark_group("scrape");
    for (name, metrics) in [("usual", usual(&catalog)), ("every", every(&catalog))] {
        let text = metrics.render();
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        eprintln!("{name}: {lines} lines, {} bytes", text.len());
        group.bench_function(name, |bencher| bencher.iter(|| black_box(metrics.render())));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(5)).sample_size(30);
    targets = scrape
}
criterion_main!(benches);
