//! The logs as operators meet them: their form and places, levels while it runs, and readers that do not read.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::pair::{self, MODEL};
use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};
use crate::support::wait;
use crate::till::{COST, Till};

/// Requests that fill every buffer between a gateway with the smallest queue and a reader that does not read.
const MANY: usize = 400;

async fn lone(
    configure: impl FnOnce(crate::support::gateway::Builder) -> crate::support::gateway::Builder,
) -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(pair::good()).start().await;
    let builder = gateway().custom(custom("one").model(MODEL), &upstream);
    (configure(builder).start().await, upstream)
}

/// The members of a line of logfmt whose values have no escapes.
fn members(line: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = line;
    while let Some((name, behind)) = rest.split_once('=') {
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("an end of quotes"),
            None => behind.split_at(behind.find(' ').unwrap_or(behind.len())),
        };
        assert!(
            found.insert(name.to_owned(), value.to_owned()).is_none(),
            "{line}"
        );
        rest = next.strip_prefix(' ').unwrap_or(next);
    }
    assert_eq!(rest, "", "{line}");
    found
}

#[tokio::test]
async fn a_line_tells_where_a_request_went_and_how_long_it_waited() {
    let (gateway, upstream) = lone(|gateway| gateway).await;
    let body = bodies::chat(&format!("one:{MODEL}")).build();
    assert_eq!(gateway.chat(body).await.status, 200);
    let line = gateway.access_lines(1).await.remove(0);
    assert_eq!(line["endpoint"], upstream.address().to_string(), "{line}");
    assert_eq!(line["edits"], "E1", "{line}");
    let number = |name: &str| {
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {line}"))
    };
    assert!(number("queue_ms") <= number("upstream_ms"));
    assert!(number("upstream_first_byte_ms") > 0.0);
    assert!(number("upstream_first_byte_ms") <= number("upstream_ms"));
    assert!(number("upstream_ms") <= number("duration_ms"));
}

#[tokio::test]
async fn both_logs_are_logfmt_where_the_configuration_says_so() {
    let (gateway, _upstream) = lone(|gateway| gateway.config("log.format", "logfmt")).await;
    let answer = gateway.chat(bodies::chat(MODEL).build()).await;
    assert_eq!(answer.status, 200);
    let file = gateway.folder().join("access.log");
    let text = || std::fs::read_to_string(&file).unwrap_or_default();
    wait::until("a line", || text().ends_with('\n')).await;
    let line = members(text().trim_end());
    let of = |name: &str| line.get(name).map(String::as_str);
    assert_eq!(of("request_id"), answer.header("tollgate-request-id"));
    assert_eq!((of("status"), of("provider")), (Some("200"), Some("one")));
    assert_eq!(of("attempts"), answer.header("tollgate-attempts"));
    for line in gateway.log_lines() {
        let line = members(&line);
        let names: Vec<_> = line.keys().map(String::as_str).collect();
        assert_eq!(names, ["level", "message", "target", "time"]);
    }
}

/// Ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let script = format!("kill -{name} {}", child.id());
    let status = Command::new("sh").args(["-c", &script]).status();
    assert!(status.expect("a shell").success(), "{script}");
}

#[tokio::test]
async fn the_gateways_own_log_can_be_a_file_that_is_turned_over() {
    let builder = gateway()
        .config("log.errors", "error.log")
        .config("admin.address", "unix:admin.sock");
    let checked = builder.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let file = builder.folder().join("error.log");
    let said = |file: &Path, words: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().filter(|line| line.contains(words)).count()
    };
    let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["serve", "--config"])
        .arg(builder.folder().join("tollgate.toml"))
        .current_dir(builder.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Ends(child.expect("the program"));
    wait::until("a start", || said(&file, "listening on") == 1).await;
    let moved = builder.folder().join("error.log.1");
    std::fs::rename(&file, &moved).expect("moved");
    signal(&child.0, "USR1");
    wait::until("a new file", || file.exists()).await;
    signal(&child.0, "TERM");
    let over = || child.0.try_wait().expect("a child").is_some();
    wait::until("the end", over).await;
    assert_eq!((said(&file, "stopped"), said(&moved, "stopped")), (1, 0));
    let mut on_stderr = String::new();
    let mut stderr = child.0.stderr.take().expect("standard error");
    std::io::Read::read_to_string(&mut stderr, &mut on_stderr).expect("text");
    assert_eq!(on_stderr, "");
}

#[tokio::test]
async fn levels_change_while_it_runs_and_go_back_to_those_configured() {
    let (gateway, _upstream) = lone(|gateway| {
        gateway
            .config("health.passive", false)
            .custom(custom("gone").model("other"), &upstream::refusing())
            .virtual_model("best", &["gone:other", &format!("one:{MODEL}")])
    })
    .await;
    let admin = gateway.admin().to_string();
    let ran = |more: &[&str]| {
        let mut arguments = vec!["log", "levels", "--admin", &admin];
        arguments.extend(more);
        gateway.run(&arguments)
    };
    let asked = || async {
        let body = bodies::chat("best").build();
        assert_eq!(gateway.chat(body).await.status, 200);
    };
    let told = |line: &str| line.contains("\"target\":\"tollgate::proxy::attempt\"");
    asked().await;
    assert!(!gateway.log_lines().iter().any(|line| told(line)));

    let set = ran(&["tollgate::proxy=debug", "--json"]);
    assert_eq!(set.code, Some(0), "{set:?}");
    let levels: Value = serde_json::from_str(&set.stdout).expect("JSON");
    let expected =
        json!({"configured": "info", "default": "info", "modules": {"tollgate::proxy": "debug"}});
    assert_eq!(levels, expected);
    asked().await;
    let line = gateway.log_until("a line of debugging", told).await;
    assert!(line.contains("\"level\":\"debug\""), "{line}");
    let shown = ran(&[]);
    assert_eq!(
        shown.stdout,
        "default          info  (configured: info)\ntollgate::proxy  debug\n"
    );

    for (wrong, why, status) in [
        (json!({"modules": {"pingora_pool": "info"}}), "library", 422),
        (
            json!({"modules": {"tollgate::proxies": "info"}}),
            "no module",
            422,
        ),
        (json!({"default": "loud"}), "does not fit", 400),
        (json!({"level": "info"}), "does not fit", 400),
    ] {
        let refused = gateway.tell_admin("PUT", "/log/levels", &wrong).await;
        assert_eq!(refused.status, status, "{wrong}");
        assert!(refused.text().contains(why), "{wrong}: {}", refused.text());
    }
    assert_eq!(
        ran(&["--json"]).stdout,
        set.stdout,
        "a refusal changes nothing"
    );
    let audit = gateway
        .ask_admin("/api/v1/audit?operation=setLogLevels")
        .await
        .json();
    assert_eq!(audit["data"][0]["outcome"], "status_400", "{audit}");
    assert!(
        audit["data"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|row| row["outcome"] == "done"),
        "{audit}"
    );

    assert_eq!(
        ran(&["--reset"]).stdout,
        "default  info  (configured: info)\n"
    );
    let before = gateway.log_lines().len();
    asked().await;
    assert_eq!(
        gateway.log_lines()[before..]
            .iter()
            .filter(|line| told(line))
            .count(),
        0
    );
    assert_eq!(
        gateway
            .run(&["log", "levels", "--default", "loud", "--admin", &admin])
            .code,
        Some(1)
    );
}

#[tokio::test]
async fn an_access_log_that_nobody_reads_costs_its_lines_and_no_usage_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("access.pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    // Somebody has it open, so that it can be written to, and reads nothing.
    let _reader = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("a pipe");
    let till = Till::with(upstream::h1(), |gateway| {
        gateway
            .config("log.access", pipe.display().to_string())
            .config("log.queue", "64KiB")
    })
    .await;
    let id = "\"".repeat(256);
    let mut connection = client::h1(till.gateway.address()).await;
    let request = till.chat().header("x-client-request-id", &id);
    for _ in 0..MANY {
        let answer = wait::within("an answer", connection.send(&request)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    till.rows(MANY).await;
    till.is_charged(COST * 400).await;
    let metrics = till.gateway.metrics().await;
    let dropped = metrics.sum("tollgate_access_log_dropped_total", &[]);
    assert!(dropped > 0.0 && dropped < 400.0, "{dropped}");
    assert_eq!(metrics.sum("tollgate_usage_rows_lost_total", &[]), 0.0);
    // Neither its end waits for a reader.
    assert_eq!(till.gateway.stop().await, Some(0));
}

#[tokio::test]
#[allow(
    clippy::await_holding_lock,
    reason = "who waits for it is a thread of its own"
)]
async fn standard_error_that_nobody_reads_holds_no_request_back() {
    let (gateway, _upstream) = lone(|gateway| {
        gateway
            .config("health.passive", false)
            .config("log.level", "debug")
            .config("log.queue", "64KiB")
            .custom(custom("gone").model("other"), &upstream::refusing())
            .virtual_model("best", &["gone:other", &format!("one:{MODEL}")])
    })
    .await;
    let unread = gateway.log_unread();
    let body = bodies::chat("best").build();
    let request = gateway.post("/v1/chat/completions", body);
    let mut connection = client::h1(gateway.address()).await;
    let dropped = || async {
        let metrics = gateway.metrics().await;
        metrics.sum("tollgate_log_dropped_total", &[])
    };
    let full = async {
        while dropped().await == 0.0 {
            for _ in 0..MANY {
                assert_eq!(connection.send(&request).await.status, 200);
            }
        }
    };
    wait::within("lines that are dropped", full).await;
    assert_eq!(connection.send(&request).await.status, 200);
    drop(unread);
    assert_eq!(gateway.stop().await, Some(0));
}
