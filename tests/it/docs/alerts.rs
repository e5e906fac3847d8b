//! The alerts of `conf/prometheus/alerts.yaml`: each says what to do and where more is told, has its tests, and names
//! metrics that there are. The same of the dashboard's panels. That all of them are well formed, that alerts fire when
//! they should and that queries have an answer, is what `tests/prometheus/run` sees.

use std::collections::BTreeSet;

use super::metrics;
use super::root;

const ALERTS: &str = "conf/prometheus/alerts.yaml";
const DASHBOARD: &str = "conf/grafana/tollgate.json";
const PAGE: &str = "docs/observability.md";

/// The severities that the page tells of.
const SEVERITIES: [&str; 2] = ["page", "ticket"];

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Each alert: its name, and its lines.
fn alerts() -> Vec<(String, String)> {
    let text = text(ALERTS);
    let rules = text.split("\n      - ").skip(1);
    rules
        .filter_map(|rule| rule.strip_prefix("alert: "))
        .map(|rule| {
            let (name, lines) = rule.split_once('\n').expect("more than a name");
            (name.to_owned(), lines.to_owned())
        })
        .collect()
}

/// What stands behind `key: ` in a line of its own.
fn value<'t>(lines: &'t str, key: &str) -> Option<&'t str> {
    lines
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "))
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let letters = title
                .chars()
                .filter(|it| it.is_alphanumeric() || " -_".contains(*it));
            letters.map(|it| if it == ' ' { '-' } else { it }).collect()
        })
        .collect()
}

/// What looks like the name of a metric, and is the value of a label.
const NO_METRIC: &str = "process_cap";

/// The names of our metrics, and of the process's, that stand in a text.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let words = text.split(|letter| !is_part(letter));
    let families =
        words.filter(|word| word.starts_with("tollgate_") || word.starts_with("process_"));
    families
        .filter(|word| *word != NO_METRIC)
        .map(str::to_owned)
        .collect()
}

/// Holds the names of metrics in a file to those that `docs/metrics.md` has.
fn names_metrics_that_there_are(file: &str) {
    let known = metrics::described();
    for name in named(&text(file)) {
        let family = metrics::SUFFIXES.iter().find_map(|suffix| {
            let name = name.strip_suffix(suffix)?;
            (known.get(name)?.0 == "histogram").then_some(name)
        });
        assert!(
            known.contains_key(family.unwrap_or(&name)),
            "{file}: {name}"
        );
    }
}

#[test]
fn each_says_what_to_do_and_where_more_is_told() {
    let page = text(PAGE);
    let anchors = anchors(&page);
    let alerts = alerts();
    assert!(alerts.len() >= 25, "{}", alerts.len());
    for (name, lines) in &alerts {
        assert!(name.starts_with("Tollgate"), "{name}");
        assert!(
            value(lines, "summary").is_some_and(|it| it.len() > 20),
            "{name}"
        );
        let description = lines
            .split_once("description: >-\n")
            .expect("a description")
            .1;
        assert!(
            description
                .split("runbook")
                .next()
                .is_some_and(|it| it.trim().len() > 60),
            "{name}"
        );
        let runbook = value(lines, "runbook").expect("a runbook");
        let (file, anchor) = runbook.split_once('#').expect("a section");
        assert!(
            file == PAGE && anchors.contains(anchor),
            "{name}: {runbook}"
        );
        let severity = SEVERITIES
            .iter()
            .find(|it| lines.contains(&format!("{{severity: {it}}}")));
        let severity = severity.unwrap_or_else(|| panic!("{name} has no severity"));
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{PAGE} has no row of {name}"));
        assert!(row.ends_with(&format!("| {severity} |")), "{row}");
    }
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `Tollgate"))
        .count();
    assert_eq!(rows, alerts.len(), "a row of no alert");
}

#[test]
fn each_has_a_case_in_which_it_fires_and_one_in_which_nothing_does() {
    let tests = text("tests/prometheus/alerts_test.yaml");
    let (quiet, cases) = tests.split_once("exp_samples: []").expect("a good day");
    for (name, lines) in alerts() {
        assert!(
            cases.contains(&format!("alertname=\"{name}\"")),
            "{name} never fires"
        );
        // On the good day there is something for each to look at.
        let metrics = named(&lines);
        let seen = |metric: &String| metric.contains(":") || quiet.contains(metric.as_str());
        assert!(metrics.iter().all(seen), "{name}: {metrics:?}");
    }
}

/// The panels of the dashboard, by their titles.
#[test]
fn each_panel_is_explained_once() {
    let page = text(PAGE);
    let (_, section) = page.split_once("## The dashboard").expect("a section");
    let dashboard: serde_json::Value = serde_json::from_str(&text(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let panels = panels.iter().filter(|panel| panel["type"] != "row");
    let titles: Vec<&str> = panels.filter_map(|panel| panel["title"].as_str()).collect();
    for title in &titles {
        let row = format!("\n| {title} |");
        assert_eq!(section.matches(&row).count(), 1, "{title}");
    }
    let rows = section.matches("\n| ").count();
    let heads = section.matches("\n| panel |").count();
    assert_eq!(rows - heads, titles.len(), "a row of no panel");
}

#[test]
fn they_name_metrics_that_there_are() {
    names_metrics_that_there_are(DASHBOARD);
    names_metrics_that_there_are(ALERTS);
    names_metrics_that_there_are("tests/prometheus/alerts_test.yaml");
    names_metrics_that_there_are(PAGE);
}

/// Of a page that is no provider's: files, and headings in them.
#[test]
fn links_lead_somewhere() {
    for page in ["docs/observability.md", "docs/metrics.md"] {
        let here = text(page);
        for link in here.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.to_owned()
            } else {
                format!("docs/{file}")
            };
            let there = text(&target);
            assert!(
                anchor.is_empty() || anchors(&there).contains(anchor),
                "{page}: {link}"
            );
        }
    }
}
