//! One request as one line. Appends to a buffer that is used again, and allocates nothing once that has grown. Members
//! without a value are left out. `docs/logs.md` lists them: a test below holds it to that.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::access::{Cost, Entry};
use super::clock::Clock;
use super::format::{Format, Line, Name, name};
use crate::usage::Usage;

/// Bytes of a path, of a list of attempts, and of any other text that a client or a provider has a say in. What is
/// longer is cut: a line says what happened, it is not a place to store things.
const PATH_MAX: usize = 512;
const ATTEMPTS_MAX: usize = 2_048;
const TEXT_MAX: usize = 256;

/// Appends the line of `entry`, its line break included.
pub(super) fn write(out: &mut Vec<u8>, format: Format, clock: &mut Clock, entry: &Entry<'_>) {
    let mut line = Line::begin(out, format, clock, entry.time_ms);
    caller(&mut line, entry);
    target(&mut line, entry);
    outcome(&mut line, entry);
    times(&mut line, entry);
    line.end();
}

fn caller(line: &mut Line<'_>, entry: &Entry<'_>) {
    line.plain(name!("request_id"), entry.request_id);
    optional(line, name!("client_request_id"), entry.client_request_id);
    if let Some(client) = entry.client {
        line.quoted(name!("client"), |out| address(out, client));
    }
    if let Some(key) = entry.key_id {
        line.plain(name!("key"), key);
    }
    optional(line, name!("account"), entry.account);
}

/// An address has nothing to escape. Formatting costs as much as half a line, so the common kind goes without.
fn address(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // A `Vec` takes every write.
        let _ = write!(out, "{address}");
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        for power in [100, 10] {
            if octet >= power {
                out.push(b'0' + octet / power % 10);
            }
        }
        out.push(b'0' + octet % 10);
    }
}

fn target(line: &mut Line<'_>, entry: &Entry<'_>) {
    let path = entry.path.split(['?', '#']).next().unwrap_or_default();
    text(line, name!("method"), entry.method, TEXT_MAX);
    text(line, name!("path"), path, PATH_MAX);
    if let Some(surface) = entry.surface {
        line.plain(name!("surface"), surface);
    }
    optional(line, name!("model"), entry.model);
    optional(line, name!("provider"), entry.provider);
    optional(line, name!("endpoint"), entry.endpoint);
    optional(line, name!("upstream_model"), entry.upstream_model);
    if let Some(credential) = entry.credential {
        line.plain(name!("credential"), credential);
    }
}

fn outcome(line: &mut Line<'_>, entry: &Entry<'_>) {
    line.number(name!("status"), entry.status);
    optional(line, name!("code"), entry.code);
    if let Some(attempts) = entry.attempts {
        text(line, name!("attempts"), attempts, ATTEMPTS_MAX);
    }
    optional(line, name!("edits"), entry.edits);
    line.flag(name!("stream"), entry.stream);
    line.number(name!("bytes_in"), entry.bytes_in);
    line.number(name!("bytes_out"), entry.bytes_out);
    if let Some((word, usage)) = &entry.usage {
        used(line, word, usage);
    }
    if let Some(cost) = &entry.cost {
        charged(line, cost);
    }
}

/// How long it took, and what of it was whose.
fn times(line: &mut Line<'_>, entry: &Entry<'_>) {
    line.milliseconds(name!("duration_ms"), micros(entry.duration));
    if let Some(queue) = entry.queue {
        line.milliseconds(name!("queue_ms"), micros(queue));
    }
    if let Some(upstream) = entry.upstream {
        line.milliseconds(name!("upstream_ms"), micros(upstream));
    }
    if let Some(first_byte) = entry.first_byte {
        line.milliseconds(name!("upstream_first_byte_ms"), micros(first_byte));
    }
    if let Some(overhead) = entry.overhead {
        line.number(name!("overhead_us"), micros(overhead));
    }
    if let Some(catalog) = entry.catalog {
        line.plain(name!("catalog"), catalog);
    }
    if let Some(trace) = entry.trace {
        line.quoted(name!("trace_id"), |out| {
            // A `Vec` takes every write.
            let _ = write!(out, "{:032x}", u128::from_be_bytes(trace));
        });
    }
}

/// What it has cost.
fn charged(line: &mut Line<'_>, cost: &Cost) {
    line.number(name!("cost_nano"), cost.charged);
    if let Some(held) = cost.held {
        line.number(name!("hold_nano"), held);
    }
    if let Some(reason) = cost.estimated {
        line.plain(name!("estimated"), reason);
    }
}

/// What was used. Counts of parts that are none are left out.
fn used(line: &mut Line<'_>, word: &str, usage: &Usage) {
    line.plain(name!("usage"), word);
    line.number(name!("tokens_in"), usage.input);
    line.number(name!("tokens_out"), usage.output);
    for (name, count) in [
        (name!("tokens_cached"), usage.cached),
        (name!("tokens_cache_write"), usage.cache_write),
        (name!("tokens_cache_write_1h"), usage.cache_write_1h),
        (name!("tokens_cache_write_12h"), usage.cache_write_12h),
        (name!("tokens_audio_in"), usage.audio_input),
        (name!("tokens_image_in"), usage.image_input),
        (name!("tokens_reasoning"), usage.reasoning),
        (name!("tokens_audio_out"), usage.audio_output),
        (name!("tokens_image_out"), usage.image_output),
        (name!("searches"), usage.searches),
    ] {
        if count > 0 {
            line.number(name, count);
        }
    }
}

fn optional(line: &mut Line<'_>, name: Name, value: Option<&str>) {
    if let Some(value) = value {
        text(line, name, value, TEXT_MAX);
    }
}

fn text(line: &mut Line<'_>, name: Name, value: &str, bytes_max: usize) {
    line.text(name, &value[..value.floor_char_boundary(bytes_max)]);
}

fn micros(value: Duration) -> u64 {
    u64::try_from(value.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests read back what was written"
)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn written(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        write(&mut out, Format::Json, &mut Clock::new(), entry);
        String::from_utf8(out).expect("UTF-8")
    }

    fn full() -> Entry<'static> {
        Entry {
            time_ms: 1_795_413_821_250,
            request_id: "req_1",
            client_request_id: Some("mine \"7\""),
            client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            key_id: Some("k1"),
            account: Some("acme"),
            method: "POST",
            path: "/v1/chat/completions",
            surface: Some("chat"),
            model: Some("gpt-4o"),
            provider: Some("openai"),
            endpoint: Some("eu"),
            upstream_model: Some("gpt-4o-2024-08-06"),
            credential: Some("gateway"),
            status: 200,
            code: None,
            attempts: Some("openai:gpt-4o;ok;812"),
            edits: Some("E1, E3"),
            stream: true,
            bytes_in: 1_024,
            bytes_out: 18_446_744_073_709_551_615,
            usage: Some((
                "reported",
                Usage {
                    input: 30,
                    cached: 10,
                    output: 5,
                    ..Usage::default()
                },
            )),
            cost: Some(Cost {
                charged: 14_500,
                held: Some(1_234_567),
                estimated: Some("cut"),
            }),
            duration: Duration::from_micros(815_042),
            queue: Some(Duration::from_micros(1_500)),
            upstream: Some(Duration::from_micros(7)),
            first_byte: Some(Duration::from_micros(5)),
            overhead: Some(Duration::from_micros(61)),
            catalog: Some("c0ffee"),
            trace: Some([7; 16]),
        }
    }

    #[test]
    fn a_line_says_what_happened() {
        assert_eq!(
            written(&full()),
            "{\"time\":\"2026-11-23T06:03:41.250Z\",\"request_id\":\"req_1\",\"client_request_id\":\"mine \\\"7\\\"\",\
             \"client\":\"127.0.0.1\",\"key\":\"k1\",\"account\":\"acme\",\"method\":\"POST\",\
             \"path\":\"/v1/chat/completions\",\"surface\":\"chat\",\"model\":\"gpt-4o\",\"provider\":\"openai\",\"endpoint\":\"eu\",\
             \"upstream_model\":\"gpt-4o-2024-08-06\",\"credential\":\"gateway\",\"status\":200,\
             \"attempts\":\"openai:gpt-4o;ok;812\",\"edits\":\"E1, E3\",\"stream\":true,\"bytes_in\":1024,\
             \"bytes_out\":18446744073709551615,\"usage\":\"reported\",\"tokens_in\":30,\"tokens_out\":5,\
             \"tokens_cached\":10,\"cost_nano\":14500,\"hold_nano\":1234567,\"estimated\":\"cut\",\
             \"duration_ms\":815.042,\"queue_ms\":1.500,\"upstream_ms\":0.007,\"upstream_first_byte_ms\":0.005,\"overhead_us\":61,\
             \"catalog\":\"c0ffee\",\"trace_id\":\"07070707070707070707070707070707\"}\n"
        );
    }

    /// The fields that the documentation lists, in its order.
    fn documented() -> Vec<&'static str> {
        let page = include_str!("../../docs/logs.md");
        let (_, section) = page.split_once("## The access log").expect("a section");
        let (section, _) = section.split_once("\n## ").expect("its end");
        let field = |row: &'static str| row.strip_prefix("| `")?.split('`').next();
        section.lines().filter_map(field).collect()
    }

    #[test]
    fn the_documentation_lists_the_fields_that_are_written_and_no_other() {
        let everything = Entry {
            code: Some("all_candidates_failed"),
            usage: Some((
                "reported",
                Usage {
                    input: 1,
                    cached: 1,
                    cached_audio: 1,
                    cached_image: 1,
                    cache_write: 1,
                    cache_write_1h: 1,
                    cache_write_12h: 1,
                    audio_input: 1,
                    image_input: 1,
                    output: 1,
                    reasoning: 1,
                    audio_output: 1,
                    image_output: 1,
                    searches: 1,
                    tier: crate::usage::Tier::default(),
                    us: true,
                },
            )),
            ..full()
        };
        let mut out = Vec::new();
        write(&mut out, Format::Logfmt, &mut Clock::new(), &everything);
        let line = String::from_utf8(out).expect("UTF-8");
        // No value of this line has both a blank and a `=` behind it.
        let names = line.split(' ').filter_map(|word| word.split_once('='));
        let names: Vec<_> = names.map(|(name, _)| name).collect();
        assert_eq!(names, documented());
        let json: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&written(&everything)).expect("JSON");
        let mut sorted = names;
        sorted.sort_unstable();
        let written: Vec<_> = json.keys().map(String::as_str).collect();
        assert_eq!(written, sorted);
    }

    #[test]
    fn what_is_not_known_is_left_out_and_the_rest_is_still_json() {
        let line = written(&Entry {
            method: "GET",
            path: "/nowhere",
            status: 404,
            ..Entry::default()
        });
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&line).expect("JSON");
        let names: Vec<_> = object.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "bytes_in",
                "bytes_out",
                "duration_ms",
                "method",
                "path",
                "request_id",
                "status",
                "stream",
                "time"
            ]
        );
    }

    #[test]
    fn a_query_string_is_never_written() {
        for path in ["/v1/models?key=SECRET", "/v1/models#SECRET", "?SECRET"] {
            assert!(
                !written(&Entry { path, ..full() }).contains("SECRET"),
                "{path}"
            );
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ü".repeat(100_000);
        let entry = Entry {
            model: Some(&long),
            path: &long,
            attempts: Some(&long),
            client_request_id: Some(&long),
            ..full()
        };
        let line = written(&entry);
        let object: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(object["model"], "ü".repeat(128));
        assert!(line.len() < 4_096, "{}", line.len());
    }
}
