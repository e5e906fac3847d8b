//! `tollgate status`: one screen that says whether all is well with a running gateway, and if not, where.

use std::io::Write;

use serde_json::{Value, json};

use super::admin::{Answer, Gateway};
use super::exit::Failure;
use super::form::Form;
use super::samples::Samples;
use super::table;

/// Seconds of a certificate's life that are worth a warning: two weeks.
const CERTIFICATE_NEAR: f64 = 14.0 * 24.0 * 3_600.0;

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
pub fn run(options: &Options, out: &mut dyn Write) -> Result<bool, Failure> {
    let gateway = &options.gateway;
    let ready = gateway.ask("GET", "/readyz")?;
    if !matches!(ready.status, 200 | 503) || !ready.body["ready"].is_boolean() {
        return Err(ready.failure());
    }
    let metrics = super::running::good(gateway.ask("GET", "/metrics")?)?;
    let versions = super::running::good(gateway.ask("GET", "/catalog/versions")?)?;
    let samples = Samples::new(&metrics.text);
    let problems = problems(&ready, &samples, now());
    let written = if options.form.json {
        let all =
            json!({"well": problems.is_empty(), "problems": problems, "readiness": ready.body});
        writeln!(out, "{all:#}")
    } else {
        tell(out, &ready.body, &versions.body, &samples, &problems)
    };
    written.map_err(super::one)?;
    Ok(!problems.is_empty())
}

fn now() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

fn tell(
    out: &mut dyn Write,
    ready: &Value,
    versions: &Value,
    samples: &Samples<'_>,
    problems: &[String],
) -> std::io::Result<()> {
    match problems {
        [] => writeln!(out, "All is well.")?,
        [_] => writeln!(out, "Something is wrong:")?,
        _ => writeln!(out, "{} things are wrong:", problems.len())?,
    }
    for problem in problems {
        writeln!(out, "  - {problem}")?;
    }
    writeln!(out)?;
    let in_use = |version: &&Value| version["in_use"] == true;
    let version = versions["versions"].as_array();
    let version = version.and_then(|all| all.iter().find(in_use));
    let since = version.and_then(|version| version["since"].as_str());
    let number = |name| samples.sum(name).unwrap_or(0.0);
    let lines = [
        ("up for", span(now() - number("process_start_time_seconds"))),
        (
            "catalog",
            format!(
                "{} since {}",
                ready["catalog"].as_str().unwrap_or("none"),
                since.unwrap_or("-")
            ),
        ),
        ("access keys", ready["access_keys"].to_string()),
        ("ledger", ready["ledger"].as_str().unwrap_or("-").to_owned()),
        (
            "under way",
            format!(
                "{} requests, {} streams, {} connections",
                number("tollgate_in_flight"),
                number("tollgate_streams_open"),
                number("tollgate_connections_open")
            ),
        ),
        (
            "since the start",
            format!("{} requests", number("tollgate_requests_total")),
        ),
    ];
    let rows = lines.map(|(name, value)| vec![name.to_owned(), value]);
    table::write(out, &rows)
}

/// Everything that is not as it should be, for people, with what to do.
fn problems(ready: &Answer, samples: &Samples<'_>, now: f64) -> Vec<String> {
    let ready = &ready.body;
    let mut found = Vec::new();
    if ready["draining"] == true {
        found.push("it is drained, or ends: load balancers send requests elsewhere (`tollgate drain --end`)".to_owned());
    }
    if ready["catalog"].is_null() {
        found.push("no catalog is in use yet".to_owned());
    }
    if ready["store"] == false {
        found.push("the store does not answer: look into its log".to_owned());
    }
    match ready["ledger"].as_str() {
        Some("down") => found.push(
            "the ledger cannot be written: requests on the gateway's keys are refused; look at its disk"
                .to_owned(),
        ),
        Some("waiting") => found.push(
            "the ledger is another process's: requests on the gateway's keys are refused until it ends"
                .to_owned(),
        ),
        _ => {}
    }
    for endpoint in ready["ejected"].as_array().into_iter().flatten() {
        let name = endpoint.as_str().unwrap_or_default();
        found.push(format!("endpoint {name} is ejected: requests go elsewhere"));
    }
    if let Some(count) = ready["provider_keys_unusable"]
        .as_u64()
        .filter(|count| *count > 0)
    {
        found.push(format!(
            "{count} stored provider keys are opened by no master key (`tollgate check`)"
        ));
    }
    found.extend(counted(samples));
    for (labels, value) in samples.of("tollgate_certificate_expiry_timestamp_seconds") {
        if value - now < CERTIFICATE_NEAR {
            let listener = Samples::label(labels, "listener").unwrap_or_default();
            let left = span((value - now).max(0.0));
            found.push(format!("the certificate of {listener} expires in {left}"));
        }
    }
    found
}

fn counted(samples: &Samples<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (labels, value) in samples
        .of("tollgate_keys_set_aside")
        .filter(|(_, value)| *value > 0.0)
    {
        let label = |name| Samples::label(labels, name).unwrap_or_default();
        found.push(format!(
            "{value} of the gateway's keys for {} set aside: {}",
            label("provider"),
            label("reason")
        ));
    }
    if samples.sum("tollgate_last_reload_successful") == Some(0.0) {
        found.push("the files had a mistake when they were read last: a restart would fail (`tollgate check`)".to_owned());
    }
    for (name, what) in [
        ("tollgate_usage_rows_lost_total", "usage rows are lost"),
        (
            "tollgate_access_log_dropped_total",
            "lines of the access log are dropped: its target is too slow",
        ),
    ] {
        if let Some(count) = samples.sum(name).filter(|count| *count > 0.0) {
            found.push(format!("{count} {what}, since the start"));
        }
    }
    found
}

/// Seconds, as people say them: the two largest units.
fn span(seconds: f64) -> String {
    let left = seconds.max(0.0) as u64;
    let units = [
        (left / 86_400, "d"),
        (left / 3_600 % 24, "h"),
        (left / 60 % 60, "min"),
        (left % 60, "s"),
    ];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let told = units[first..]
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0);
    let told: Vec<_> = told
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    match told.is_empty() {
        true => "0 s".to_owned(),
        false => told.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: Value) -> Answer {
        Answer {
            status: 200,
            body,
            text: String::new(),
        }
    }

    fn good() -> Value {
        json!({"ready": true, "catalog": "c0ffee", "access_keys": 3, "store": true, "ledger": "up", "draining": false})
    }

    #[test]
    fn a_gateway_that_is_well_has_no_problem() {
        let samples = Samples::new(
            "tollgate_keys_set_aside{provider=\"openai\",reason=\"auth\"} 0\ntollgate_last_reload_successful 1\n\
             tollgate_certificate_expiry_timestamp_seconds{listener=\"a\"} 1e9\n",
        );
        assert_eq!(problems(&answer(good()), &samples, 0.0), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_wrong_is_told() {
        for (member, value, says) in [
            ("draining", json!(true), "drained"),
            ("catalog", Value::Null, "no catalog"),
            ("store", json!(false), "store"),
            ("ledger", json!("down"), "cannot be written"),
            ("ledger", json!("waiting"), "another process"),
            ("ejected", json!(["openai/main"]), "openai/main"),
            ("provider_keys_unusable", json!(2), "2 stored provider keys"),
        ] {
            let mut ready = good();
            ready[member] = value;
            let found = problems(&answer(ready), &Samples::new(""), 0.0);
            assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
        }
        for (text, says) in [
            (
                "tollgate_keys_set_aside{provider=\"openai\",reason=\"auth\"} 2",
                "openai set aside: auth",
            ),
            ("tollgate_last_reload_successful 0", "mistake"),
            ("tollgate_usage_rows_lost_total 1", "usage rows"),
            ("tollgate_access_log_dropped_total 7", "7 lines"),
            (
                "tollgate_certificate_expiry_timestamp_seconds{listener=\"[::]:443\"} 90000",
                "[::]:443 expires in 1 d 1 h",
            ),
        ] {
            let found = problems(&answer(good()), &Samples::new(text), 0.0);
            assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
        }
    }

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (seconds, told) in [
            (0.0, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (3_725.0, "1 h 2 min"),
            (86_400.0 * 3.0 + 60.0, "3 d"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }
}
