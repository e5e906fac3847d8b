//! What is not as it should be with a running gateway: where, what, and what to do next.

use serde::Serialize;
use serde_json::Value;

use super::samples::Samples;

/// Seconds of a certificate's life that are worth a warning: two weeks.
const CERTIFICATE_NEAR: f64 = 14.0 * 24.0 * 3_600.0;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The part that it is about.
    #[serde(rename = "where")]
    pub place: String,
    /// What is wrong, and what it means for requests.
    pub what: String,
    /// What to do.
    pub next: String,
}

fn problem(place: impl Into<String>, what: impl Into<String>, next: impl Into<String>) -> Problem {
    Problem {
        place: place.into(),
        what: what.into(),
        next: next.into(),
    }
}

/// All that is wrong by what the gateway answers and measures, at Unix time `now`; what keeps it from serving comes first.
#[must_use]
pub fn find(ready: &Value, samples: &Samples<'_>, now: f64) -> Vec<Problem> {
    let mut found = of_process(ready);
    found.extend(of_ledger(ready["ledger"].as_str()));
    found.extend(of_files(samples));
    found.extend(of_providers(ready, samples));
    found.extend(of_certificates(samples, now));
    found.extend(lost(samples));
    found
}

fn of_process(ready: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    if ready["catalog"].is_null() {
        found.push(problem(
            "catalog",
            "none is in use yet: nothing can be served",
            "wait until it has started; `tollgate check` lists what is wrong with the files",
        ));
    }
    if ready["store"] == false {
        found.push(problem(
            "store",
            "it does not answer: new and changed keys are not seen, and credit cannot be held",
            "see the gateway's log, and whether its disk is full or cannot be written",
        ));
    }
    if ready["draining"] == true {
        found.push(problem(
            "gateway",
            "it is drained, or ends: load balancers send requests elsewhere",
            "`tollgate drain --end` when it is to be sent requests again",
        ));
    }
    found
}

fn of_ledger(state: Option<&str>) -> Option<Problem> {
    match state? {
        "down" => Some(problem(
            "ledger",
            "it cannot be written: requests on the gateway's keys are refused",
            "see the gateway's log, and whether the disk of the store is full or cannot be written; it is tried again by itself",
        )),
        "waiting" => Some(problem(
            "ledger",
            "another process has it: requests on the gateway's keys are refused until that one ends",
            "after an upgrade, wait; otherwise end the other gateway on this store",
        )),
        _ => None,
    }
}

fn of_files(samples: &Samples<'_>) -> Option<Problem> {
    let is_bad = samples.sum("tollgate_last_reload_successful") == Some(0.0);
    is_bad.then(|| {
        problem(
            "configuration",
            "the files had a mistake when they were read last: what was in use before goes on, and a restart would fail",
            "`tollgate check` lists every mistake; `tollgate reload` when they are mended",
        )
    })
}

fn of_providers(ready: &Value, samples: &Samples<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for endpoint in ready["ejected"].as_array().into_iter().flatten() {
        let name = endpoint.as_str().unwrap_or_default();
        found.push(problem(
            format!("endpoint {name}"),
            "it is ejected, because requests to it failed: they go elsewhere, or fail where there is nothing else",
            "see the gateway's log for why, and whether the provider can be reached; it is tried again by itself",
        ));
    }
    for (labels, _) in samples
        .of("tollgate_virtual_model_candidates_ready")
        .filter(|(_, ready)| *ready == 0.0)
    {
        let model = Samples::label(labels, "model").unwrap_or_default();
        found.push(problem(
            format!("virtual model {model}"),
            "none of its candidates is ready",
            format!("`tollgate explain {model}` says what it stands for"),
        ));
    }
    for (labels, count) in samples
        .of("tollgate_keys_set_aside")
        .filter(|(_, count)| *count > 0.0)
    {
        let label = |name| Samples::label(labels, name).unwrap_or_default();
        found.push(set_aside(label("provider"), label("reason"), count));
    }
    let unusable = ready["provider_keys_unusable"].as_u64().unwrap_or(0);
    if unusable > 0 {
        found.push(problem(
            "stored provider keys",
            format!("{unusable} of them are opened by no master key, and are out of use"),
            "`tollgate check` names them; bring their master key back into byok.master_keys, or store them anew",
        ));
    }
    found
}

fn set_aside(provider: &str, reason: &str, count: f64) -> Problem {
    let (why, next) = match reason {
        "refused" => (
            "the provider refuses them",
            format!("put good ones into providers.{provider}.keys, then `tollgate reload`"),
        ),
        "out_of_credit" => (
            "their account at the provider has no credit",
            "pay the provider, or add a key of another account, then `tollgate reload`".to_owned(),
        ),
        "rate_limited" => (
            "the provider has limited their rate",
            "wait, they are used again by themselves; more keys, or fewer requests, where it is often"
                .to_owned(),
        ),
        other => (
            other,
            "see the gateway's log".to_owned(),
        ),
    };
    problem(
        format!("keys for {provider}"),
        format!("{count} of the gateway's set aside: {why}"),
        next,
    )
}

fn of_certificates(samples: &Samples<'_>, now: f64) -> Vec<Problem> {
    let certificates = samples.of("tollgate_certificate_expiry_timestamp_seconds");
    let near = certificates.filter(|(_, end)| end - now < CERTIFICATE_NEAR);
    let told = near.map(|(labels, end)| {
        let listener = Samples::label(labels, "listener").unwrap_or_default();
        let what = match end - now {
            left if left > 0.0 => format!("it expires in {}", span(left)),
            left => format!("it has expired {} ago: clients refuse it", span(-left)),
        };
        problem(
            format!("certificate of {listener}"),
            what,
            "renew the file that listen.tls names, then `tollgate reload`",
        )
    });
    told.collect()
}

/// What has been lost since the start.
fn lost(samples: &Samples<'_>) -> Vec<Problem> {
    let counters = [
        (
            "tollgate_usage_rows_lost_total",
            "usage",
            "rows were lost since the start, while the store failed",
            "`tollgate reconcile` says what a provider has counted more; see the gateway's log",
        ),
        (
            "tollgate_access_log_dropped_total",
            "access log",
            "lines were dropped since the start: its target is too slow",
            "write it to a file (log.access), or have a faster reader; log.queue says how much may wait",
        ),
        (
            "tollgate_log_dropped_total",
            "log",
            "lines of the gateway's own log were dropped since the start: its target is too slow",
            "write it to a file (log.errors), have a faster reader, or `tollgate log levels` to tell less",
        ),
    ];
    let found = counters
        .into_iter()
        .filter_map(|(name, place, what, next)| {
            let count = samples.sum(name).filter(|count| *count > 0.0)?;
            Some(problem(place, format!("{count} {what}"), next))
        });
    found.collect()
}

/// Seconds, as people say them: the two largest units.
#[must_use]
pub fn span(seconds: f64) -> String {
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
    use serde_json::json;

    fn good() -> Value {
        json!({"ready": true, "catalog": "c0ffee", "access_keys": 3, "store": true, "ledger": "up", "draining": false})
    }

    #[test]
    fn a_gateway_that_is_well_has_no_problem() {
        let samples = Samples::new(
            "tollgate_keys_set_aside{provider=\"openai\",reason=\"refused\"} 0\ntollgate_last_reload_successful 1\n\
             tollgate_certificate_expiry_timestamp_seconds{listener=\"a\"} 1e9\n\
             tollgate_virtual_model_candidates_ready{model=\"fast\"} 1\ntollgate_log_dropped_total 0\n",
        );
        assert_eq!(find(&good(), &samples, 0.0), []);
    }

    #[track_caller]
    fn one(found: &[Problem], place: &str, what: &str) {
        let [problem] = found else {
            panic!("{found:?}");
        };
        assert!(problem.place.contains(place), "{problem:?}");
        assert!(problem.what.contains(what), "{problem:?}");
        assert!(!problem.next.is_empty(), "{problem:?}");
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_with_its_place() {
        for (member, value, place, what) in [
            ("draining", json!(true), "gateway", "drained"),
            ("catalog", Value::Null, "catalog", "none is in use"),
            ("store", json!(false), "store", "does not answer"),
            ("ledger", json!("down"), "ledger", "cannot be written"),
            ("ledger", json!("waiting"), "ledger", "another process"),
            ("ejected", json!(["openai/main"]), "openai/main", "ejected"),
            (
                "provider_keys_unusable",
                json!(2),
                "stored provider keys",
                "2 of them",
            ),
        ] {
            let mut ready = good();
            ready[member] = value;
            one(&find(&ready, &Samples::new(""), 0.0), place, what);
        }
        for (text, place, what) in [
            (
                "tollgate_keys_set_aside{provider=\"openai\",reason=\"refused\"} 2",
                "openai",
                "the provider refuses them",
            ),
            (
                "tollgate_last_reload_successful 0",
                "configuration",
                "mistake",
            ),
            (
                "tollgate_virtual_model_candidates_ready{model=\"fast\"} 0",
                "virtual model fast",
                "none of its candidates",
            ),
            ("tollgate_usage_rows_lost_total 1", "usage", "1 rows"),
            (
                "tollgate_access_log_dropped_total 7",
                "access log",
                "7 lines",
            ),
            ("tollgate_log_dropped_total 7", "log", "own log"),
            (
                "tollgate_certificate_expiry_timestamp_seconds{listener=\"[::]:443\"} 90000",
                "[::]:443",
                "expires in 1 d 1 h",
            ),
            (
                "tollgate_certificate_expiry_timestamp_seconds{listener=\"[::]:443\"} -60",
                "[::]:443",
                "has expired 1 min ago",
            ),
        ] {
            one(&find(&good(), &Samples::new(text), 0.0), place, what);
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
