//! One request as one line of JSON. Appends to a buffer that is used again, and allocates nothing once that has grown.
//! Members without a value are left out.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::access::{Cost, Entry};
use super::clock::Clock;
use super::json;
use crate::usage::Usage;

/// Bytes of a path, of a list of attempts, and of any other text that a client or a provider has a say in. What is
/// longer is cut: a line says what happened, it is not a place to store things.
const PATH_MAX: usize = 512;
const ATTEMPTS_MAX: usize = 2_048;
const TEXT_MAX: usize = 256;

/// Appends the line of `entry`, its line break included.
pub(super) fn write(out: &mut Vec<u8>, clock: &mut Clock, entry: &Entry<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    clock.write(entry.time_ms, out);
    out.push(b'"');
    caller(out, entry);
    target(out, entry);
    outcome(out, entry);
    out.extend_from_slice(b"}\n");
}

fn caller(out: &mut Vec<u8>, entry: &Entry<'_>) {
    plain(out, ",\"request_id\":\"", entry.request_id);
    optional(out, ",\"client_request_id\":", entry.client_request_id);
    if let Some(client) = entry.client {
        out.extend_from_slice(b",\"client\":\"");
        address(out, client);
        out.push(b'"');
    }
    if let Some(key) = entry.key_id {
        plain(out, ",\"key\":\"", key);
    }
    optional(out, ",\"account\":", entry.account);
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
        out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
    }
}

fn target(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let path = entry.path.split(['?', '#']).next().unwrap_or_default();
    text(out, ",\"method\":", entry.method, TEXT_MAX);
    text(out, ",\"path\":", path, PATH_MAX);
    if let Some(surface) = entry.surface {
        plain(out, ",\"surface\":\"", surface);
    }
    optional(out, ",\"model\":", entry.model);
    optional(out, ",\"provider\":", entry.provider);
    optional(out, ",\"upstream_model\":", entry.upstream_model);
    if let Some(credential) = entry.credential {
        plain(out, ",\"credential\":\"", credential);
    }
}

fn outcome(out: &mut Vec<u8>, entry: &Entry<'_>) {
    number(out, ",\"status\":", entry.status);
    optional(out, ",\"code\":", entry.code);
    if let Some(attempts) = entry.attempts {
        text(out, ",\"attempts\":", attempts, ATTEMPTS_MAX);
    }
    out.extend_from_slice(if entry.stream {
        b",\"stream\":true"
    } else {
        b",\"stream\":false"
    });
    number(out, ",\"bytes_in\":", entry.bytes_in);
    number(out, ",\"bytes_out\":", entry.bytes_out);
    if let Some((word, usage)) = &entry.usage {
        used(out, word, usage);
    }
    if let Some(cost) = &entry.cost {
        charged(out, cost);
    }
    milliseconds(out, ",\"duration_ms\":", entry.duration);
    if let Some(upstream) = entry.upstream {
        milliseconds(out, ",\"upstream_ms\":", upstream);
    }
    if let Some(overhead) = entry.overhead {
        number(out, ",\"overhead_us\":", micros(overhead));
    }
    if let Some(catalog) = entry.catalog {
        plain(out, ",\"catalog\":\"", catalog);
    }
}

/// What it has cost.
fn charged(out: &mut Vec<u8>, cost: &Cost) {
    number(out, ",\"cost_nano\":", cost.charged);
    if let Some(held) = cost.held {
        number(out, ",\"hold_nano\":", held);
    }
    if let Some(reason) = cost.estimated {
        plain(out, ",\"estimated\":\"", reason);
    }
}

/// What was used. Counts of parts that are none are left out.
fn used(out: &mut Vec<u8>, word: &str, usage: &Usage) {
    plain(out, ",\"usage\":\"", word);
    number(out, ",\"tokens_in\":", usage.input);
    number(out, ",\"tokens_out\":", usage.output);
    for (name, count) in [
        (",\"tokens_cached\":", usage.cached),
        (",\"tokens_cache_write\":", usage.cache_write),
        (",\"tokens_cache_write_1h\":", usage.cache_write_1h),
        (",\"tokens_reasoning\":", usage.reasoning),
    ] {
        if count > 0 {
            number(out, name, count);
        }
    }
}

/// A text made of our own letters, in which nothing has to be escaped.
fn plain(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn optional(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        text(out, name, value, TEXT_MAX);
    }
}

fn text(out: &mut Vec<u8>, name: &str, value: &str, bytes_max: usize) {
    out.extend_from_slice(name.as_bytes());
    json::string(out, &value[..value.floor_char_boundary(bytes_max)]);
}

fn number(out: &mut Vec<u8>, name: &str, value: impl itoa::Integer) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Milliseconds with three decimals: most answers of our own take less than one.
fn milliseconds(out: &mut Vec<u8>, name: &str, value: Duration) {
    let micros = micros(value);
    number(out, name, micros / 1_000);
    out.push(b'.');
    for power in [100, 10, 1] {
        out.push(b'0' + u8::try_from(micros / power % 10).unwrap_or(0));
    }
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
        write(&mut out, &mut Clock::new(), entry);
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
            upstream_model: Some("gpt-4o-2024-08-06"),
            credential: Some("gateway"),
            status: 200,
            code: None,
            attempts: Some("openai:gpt-4o;ok;812"),
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
            upstream: Some(Duration::from_micros(7)),
            overhead: Some(Duration::from_micros(61)),
            catalog: Some("c0ffee"),
        }
    }

    #[test]
    fn a_line_says_what_happened() {
        assert_eq!(
            written(&full()),
            "{\"time\":\"2026-11-23T06:03:41.250Z\",\"request_id\":\"req_1\",\"client_request_id\":\"mine \\\"7\\\"\",\
             \"client\":\"127.0.0.1\",\"key\":\"k1\",\"account\":\"acme\",\"method\":\"POST\",\
             \"path\":\"/v1/chat/completions\",\"surface\":\"chat\",\"model\":\"gpt-4o\",\"provider\":\"openai\",\
             \"upstream_model\":\"gpt-4o-2024-08-06\",\"credential\":\"gateway\",\"status\":200,\
             \"attempts\":\"openai:gpt-4o;ok;812\",\"stream\":true,\"bytes_in\":1024,\
             \"bytes_out\":18446744073709551615,\"usage\":\"reported\",\"tokens_in\":30,\"tokens_out\":5,\
             \"tokens_cached\":10,\"cost_nano\":14500,\"hold_nano\":1234567,\"estimated\":\"cut\",\
             \"duration_ms\":815.042,\"upstream_ms\":0.007,\"overhead_us\":61,\
             \"catalog\":\"c0ffee\"}\n"
        );
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
