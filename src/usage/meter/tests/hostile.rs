use std::io::Write as _;

use super::*;

/// The bytes in every coding.
pub fn packed(bytes: &[u8]) -> Vec<(Coding, Vec<u8>)> {
    let level = flate2::Compression::default();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(bytes).expect("packed");
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    zlib.write_all(bytes).expect("packed");
    let mut brotli = Vec::new();
    brotli::CompressorWriter::new(&mut brotli, 4096, 5, 22)
        .write_all(bytes)
        .expect("packed");
    vec![
        (Coding::Gzip, gzip.finish().expect("packed")),
        (Coding::Deflate, zlib.finish().expect("packed")),
        (Coding::Brotli, brotli),
        (Coding::Zstd, zstd::encode_all(bytes, 3).expect("packed")),
    ]
}

#[test]
fn usage_after_a_last_event_of_two_mebibytes() {
    let text = "\\\"usage\\\":{".repeat(200_000);
    let stream = format!(
        "event: response.completed\ndata: {{\"response\":{{\"output\":\"{text}\",\"usage\":{{\"input_tokens\":7,\"output_tokens\":8}}}}}}\n\n"
    );
    assert!(stream.len() > 2 << 20);
    for size in [1_000, 65_536, stream.len()] {
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        let report = report(Form::Events, Coding::Identity, &pieces);
        assert_eq!((report.usage.input, report.usage.output), (7, 8));
        assert!(report.ended && report.flaw.is_none());
    }
}

#[test]
fn usage_over_several_lines_of_data() {
    let stream = "data: {\"choices\":[],\ndata: \"usage\":\ndata:{\"prompt_tokens\":3,\ndata: \"completion_tokens\":4}\ndata: }\n\n";
    let report = events(stream);
    assert_eq!((report.usage.input, report.usage.output), (3, 4));
}

#[test]
fn an_answer_of_another_dialect_is_read_all_the_same() {
    let report = json(r#"{"type":"message","usage":{"input_tokens":3,"output_tokens":4}}"#);
    assert_eq!((report.usage.input, report.usage.output), (3, 4));
    // Events where one text was announced, and the other way round.
    assert_eq!(json("data: x\n\n").flaw, Some(Flaw::Missing));
    let report = events(r#"{"usage":{"input_tokens":3}}"#);
    assert_eq!(report.flaw, Some(Flaw::Missing));
}

#[test]
fn numbers_that_cannot_be_believed_are_flagged_and_do_no_harm() {
    for count in [
        "18446744073709551615",
        "18446744073709551616",
        "1099511627777",
        "1e300",
        "-1",
        "-0.5",
        "1.5",
        "\"12\"",
        "true",
        "[1]",
        "{\"a\":1}",
    ] {
        let answer = format!(r#"{{"usage":{{"prompt_tokens":{count},"completion_tokens":4}}}}"#);
        let report = json(&answer);
        assert_eq!(report.flaw, Some(Flaw::Absurd), "{count}");
        assert_eq!((report.usage.input, report.usage.output), (0, 4), "{count}");
    }
    let report = json(r#"{"usage":{"prompt_tokens":12.0,"completion_tokens":1e2}}"#);
    assert_eq!(
        (report.usage.input, report.usage.output, report.flaw),
        (12, 100, None)
    );
}

#[test]
fn parts_larger_than_the_whole_are_flagged_and_bounded() {
    let report = json(
        r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":11}}}"#,
    );
    assert_eq!(report.flaw, Some(Flaw::Absurd));
    assert_eq!(report.usage.cached, 10);
    let report = json(
        r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":40}}}"#,
    );
    assert_eq!(report.usage.reasoning, 4);
    let largest = format!(
        r#"{{"usage":{{"input_tokens":{0},"cache_read_input_tokens":{0},"cache_creation_input_tokens":{0},"output_tokens":{0},"total_tokens":{0}}}}}"#,
        1_u64 << 40
    );
    assert_eq!(json(&largest).usage.input, 3 << 40);
}

#[test]
fn null_is_nothing() {
    let report = json(
        r#"{"usage":{"prompt_tokens":null,"completion_tokens":4,"prompt_tokens_details":null}}"#,
    );
    assert_eq!((report.usage.output, report.flaw), (4, None));
}

#[test]
fn what_cannot_be_read_is_told() {
    for answer in [
        r#"{"usage":{"prompt_tokens":1,,}}"#,
        r#"{"usage":{"prompt_tokens_details":7}}"#,
        r#"{"usage":{"prompt_tokens":1,"prompt_tokens":2}}"#,
    ] {
        assert_eq!(json(answer).flaw, Some(Flaw::Unreadable), "{answer}");
    }
    let large = format!(r#"{{"usage":{{"a":"{}"}}}}"#, "x".repeat(20_000));
    let report = report(Form::Json, Coding::Identity, &[large.as_bytes()]);
    assert_eq!(report.flaw, Some(Flaw::Unreadable));
}

#[test]
fn bytes_that_do_not_decode_are_told() {
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        let report = report(Form::Json, coding, &[&b"{\"usage\":{}}"[..], b"\xff\xff"]);
        assert_eq!(report.flaw, Some(Flaw::Unreadable), "{coding:?}");
    }
}

/// 64 MiB of nothing, packed small: no more memory than a buffer is taken, which a limit on it would show; here it is
/// shown that all of it passes, and that what follows is read.
#[test]
fn what_decodes_to_very_much_is_read_through() {
    let mut bytes = vec![b' '; 64 << 20];
    bytes.extend_from_slice(br#"{"usage":{"prompt_tokens":3,"completion_tokens":4}}"#);
    for (coding, packed) in packed(&bytes) {
        let report = report(Form::Json, coding, &[&packed]);
        assert_eq!((report.usage.input, report.flaw), (3, None), "{coding:?}");
    }
}

#[test]
fn codings_are_known_by_name() {
    for (name, coding) in [
        ("", Some(Coding::Identity)),
        ("identity", Some(Coding::Identity)),
        ("GZIP", Some(Coding::Gzip)),
        ("x-gzip", Some(Coding::Gzip)),
        ("deflate", Some(Coding::Deflate)),
        ("br", Some(Coding::Brotli)),
        ("zstd", Some(Coding::Zstd)),
        ("gzip, br", None),
        ("compress", None),
    ] {
        assert_eq!(Coding::named(name.as_bytes()), coding, "{name}");
    }
}
