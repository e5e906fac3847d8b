//! `tollgate status`: one screen that says whether all is well with a running gateway, and if not, where and what to do next.

use std::io;

use serde_json::{Value, json};

use super::admin::Gateway;
use super::exit::Failure;
use super::form::{self, Form};
use super::problems::{self, Problem, span};
use super::samples::Samples;
use super::table;
use super::terminal::{Ink, Out, paint};

/// What is looked at.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tollgate status\n  tollgate status --admin 127.0.0.1:8081 --json"
)]
pub struct Options {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    form: Form,
}

/// Writes how the gateway is; whether anything is wrong with it.
///
/// # Errors
/// When it does not answer, or not to this caller.
pub fn run(options: &Options, out: &mut dyn Out) -> Result<bool, Failure> {
    let gateway = &options.gateway;
    let ready = gateway.ask("GET", "/readyz")?;
    if !matches!(ready.status, 200 | 503) || !ready.body["ready"].is_boolean() {
        return Err(ready.failure());
    }
    let metrics = super::running::good(gateway.ask("GET", "/metrics")?)?;
    let versions = super::running::good(gateway.ask("GET", "/catalog/versions")?)?;
    let samples = Samples::new(&metrics.text);
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    let state = State {
        ready: &ready.body,
        since: since(&versions.body),
        up: (now - samples.sum("process_start_time_seconds").unwrap_or(now)).max(0.0),
        problems: problems::find(&ready.body, &samples, now),
        samples,
    };
    let written = match options.form.json {
        true => form::json(out, &state.json()),
        false => state.tell(out),
    };
    written.map_err(super::one)?;
    Ok(!state.problems.is_empty())
}

/// Since when the catalog in use is so.
fn since(versions: &Value) -> Option<&str> {
    let mut all = versions["versions"].as_array()?.iter();
    all.find(|version| version["in_use"] == true)?["since"].as_str()
}

/// How a gateway is.
struct State<'a> {
    ready: &'a Value,
    since: Option<&'a str>,
    /// Seconds since its start.
    up: f64,
    problems: Vec<Problem>,
    samples: Samples<'a>,
}

impl State<'_> {
    fn number(&self, name: &str) -> f64 {
        self.samples.sum(name).unwrap_or(0.0)
    }

    fn json(&self) -> Value {
        json!({
            "well": self.problems.is_empty(),
            "problems": self.problems,
            "readiness": self.ready,
            "up_seconds": self.up as u64,
            "catalog_since": self.since,
            "requests": self.number("tollgate_requests_total") as u64,
            "in_flight": self.number("tollgate_in_flight") as u64,
            "streams": self.number("tollgate_streams_open") as u64,
            "connections": self.number("tollgate_connections_open") as u64,
        })
    }

    fn tell(&self, out: &mut dyn Out) -> io::Result<()> {
        let colours = out.has_colours();
        let heading = match self.problems.len() {
            0 => paint("All is well.", Ink::Good, colours),
            1 => paint("Something is wrong:", Ink::Bad, colours),
            count => paint(&format!("{count} things are wrong:"), Ink::Bad, colours),
        };
        writeln!(out, "{heading}")?;
        let width = out.width().unwrap_or(usize::MAX);
        for problem in &self.problems {
            let place = paint(&problem.place, Ink::Strong, colours);
            writeln!(out, "\n  {place}")?;
            for text in [&problem.what, &format!("Next: {}", problem.next)] {
                for line in wrapped(text, width.saturating_sub(4)) {
                    writeln!(out, "    {line}")?;
                }
            }
        }
        writeln!(out)?;
        table::pairs(out, &self.lines())
    }

    fn lines(&self) -> [(&'static str, String); 6] {
        let catalog = self.ready["catalog"].as_str().unwrap_or("none");
        let since = self.since.unwrap_or("-");
        let requests = self.number("tollgate_requests_total");
        [
            ("up for", span(self.up)),
            ("catalog", format!("{catalog} since {since}")),
            ("access keys", self.ready["access_keys"].to_string()),
            (
                "ledger",
                self.ready["ledger"].as_str().unwrap_or("-").to_owned(),
            ),
            (
                "under way",
                format!(
                    "{} requests, {} streams, {} connections",
                    self.number("tollgate_in_flight"),
                    self.number("tollgate_streams_open"),
                    self.number("tollgate_connections_open")
                ),
            ),
            ("since the start", format!("{requests} requests")),
        ]
    }
}

/// A text in lines of so many columns, where its words allow it.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrapped("longer-than-that x", 4), ["longer-than-that", "x"]);
        assert_eq!(wrapped("a bb ccc", usize::MAX), ["a bb ccc"]);
    }

    #[test]
    fn the_screen_says_what_is_wrong_and_what_next() {
        let ready = json!({"ready": true, "catalog": "c0ffee", "access_keys": 3, "store": true, "ledger": "down", "draining": false});
        let samples = Samples::new("tollgate_requests_total{a=\"b\"} 5\n");
        let state = State {
            ready: &ready,
            since: Some("2026-11-01T00:00:00Z"),
            up: 3_725.0,
            problems: problems::find(&ready, &samples, 0.0),
            samples,
        };
        let mut out = Vec::new();
        state.tell(&mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.starts_with("Something is wrong:\n\n  ledger\n    it cannot be written"),
            "{text}"
        );
        assert!(text.contains("\n    Next: see the gateway's log"), "{text}");
        assert!(text.contains("\nup for           1 h 2 min\n"), "{text}");
        assert!(text.ends_with("\nsince the start  5 requests\n"), "{text}");
        assert_eq!(state.json()["problems"][0]["where"], "ledger");
    }
}
