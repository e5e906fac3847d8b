use super::*;

const CONTENT: &str =
    r#"{"id":"1","choices":[{"delta":{"content":"\"choices\":[],\"usage\":{}"}}],"usage":null}"#;
const USED: &str = r#"{"id":"1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;

/// What goes on of a stream that comes in these pieces.
fn passed(pieces: &[&[u8]]) -> Vec<u8> {
    let mut extra = Extra::default();
    let (mut all, mut came) = (Vec::new(), 0);
    for piece in pieces {
        let passed = extra.pass(Bytes::copy_from_slice(piece));
        assert!(passed.iter().all(|bytes| !bytes.is_empty()));
        all.extend(passed.concat());
        came += piece.len();
    }
    all.extend(extra.finish().unwrap_or_default());
    assert_eq!(extra.taken(), (came - all.len()) as u64);
    all
}

/// `stream` becomes `expected`, however it is cut, and whatever its lines end in.
fn check(stream: &str, expected: &str) {
    for end in ["\n", "\r\n", "\r"] {
        let (stream, expected) = (stream.replace('\n', end), expected.replace('\n', end));
        let stream = stream.as_bytes();
        let is_expected = |passed: Vec<u8>, how: &str| {
            let passed = String::from_utf8(passed).expect("text");
            assert_eq!(passed, expected, "{how}, {end:?}");
        };
        for cut in 0..=stream.len() {
            let (one, rest) = stream.split_at(cut);
            is_expected(passed(&[one, rest]), &format!("cut at {cut}"));
            let (two, three) = rest.split_at(rest.len().min(1));
            is_expected(passed(&[one, two, three]), &format!("cut twice at {cut}"));
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        is_expected(passed(&bytes), "byte by byte");
    }
}

#[test]
fn the_event_with_usage_alone_is_taken_out() {
    let before = format!("data: {CONTENT}\n\n");
    let done = "data: [DONE]\n\n";
    for extra in [
        format!("data: {USED}\n\n"),
        format!("data:{USED}\n\n"),
        format!("id: 7\ndata: {USED}\nevent: x\n\n"),
        "data: {\"choices\":[ ],\ndata: \"usage\":{\"a\":[{}]}\ndata:}\n\n".to_owned(),
        r#"data: {"usage":{},"x":[1,-2.5,"a",true,null],"choices":[]}"#.to_owned() + "\n\n",
    ] {
        check(
            &format!("{before}{extra}{done}"),
            &format!("{before}{done}"),
        );
        check(
            &format!("{extra}{before}{done}"),
            &format!("{before}{done}"),
        );
        check(&format!("{before}{extra}"), &before);
    }
}

#[test]
fn it_is_taken_out_where_the_stream_ends_without_a_blank_line() {
    let before = format!("data: {CONTENT}\n\n");
    for end in ["", "\n"] {
        check(&format!("{before}data: {USED}{end}"), &before);
        let other = format!("{before}data: {CONTENT}{end}");
        check(&other, &other);
    }
    check(&before[..before.len() - 1], &before[..before.len() - 1]);
}

#[test]
fn comments_stay_wherever_they_are() {
    let before = format!(": hello\n\n:\n: \"usage\"\ndata: {CONTENT}\n\n");
    let done = "data: [DONE]\n\n";
    let extra = format!(": one\ndata: {USED}\n: two\n\n: three\n\n");
    check(
        &format!("{before}{extra}{done}"),
        &format!("{before}: one\n: two\n: three\n\n{done}"),
    );
}

#[test]
fn every_other_event_stays() {
    for event in [
        CONTENT.to_owned(),
        r#"{"choices":[],"usage":null}"#.into(),
        r#"{"choices":[],"prompt_filter_results":[{"usage":{}}]}"#.into(),
        r#"{"choices":[{"usage":{}}],"usage":{"a":1}}"#.into(),
        r#"{"choices":[],"usage":{}"#.into(),
        r#"{"choices":[],"usage":{}} x"#.into(),
        r#"{"choices":{},"usage":{}}"#.into(),
        r#"{"usage":{"choices":[]}}"#.into(),
        r#"{"x":{"choices":[],"usage":{}}}"#.into(),
        r#"[{"choices":[],"usage":{}}]"#.into(),
        r#"{"choices":[],"usage":[]}"#.into(),
        format!("\"{}\"", USED.replace('"', "\\\"")),
        String::new(),
    ] {
        let stream = format!("data: {event}\n\ndata: [DONE]\n\n");
        check(&stream, &stream);
    }
    for stream in [
        "\n\n\n\n".to_owned(),
        format!("{USED}\n\n"),
        format!("datas: {USED}\n\n"),
        format!(" data: {USED}\n\n"),
        format!(": {USED}\n\n"),
        format!("event: {USED}\n\n"),
    ] {
        check(&stream, &stream);
    }
}

#[test]
fn no_event_waits_for_another() {
    let mut extra = Extra::default();
    let mut pass = |text: &str| extra.pass(Bytes::copy_from_slice(text.as_bytes())).concat();
    assert_eq!(pass("data: 1\n\ndata: 2\n\nda"), b"data: 1\n\ndata: 2\n\n");
    assert_eq!(pass("ta: 3\n"), b"");
    assert_eq!(pass("\n"), b"data: 3\n\n");
    // A comment keeps a connection open: it does not wait for its end even.
    assert_eq!(pass(": kee"), b": kee");
    assert_eq!(pass("p-alive\n"), b"p-alive\n");
    assert_eq!(pass("\n"), b"\n");
    assert_eq!(pass("data: 4\r\n\r"), b"data: 4\r\n\r");
    assert_eq!(pass("\ndata: 5\r\r"), b"\ndata: 5\r\r");
}

#[test]
fn what_is_not_touched_is_not_copied() {
    let stream = Bytes::from(format!("data: {CONTENT}\n\ndata: {CONTENT}\n\n"));
    let passed = Extra::default().pass(stream.clone());
    assert_eq!(passed.len(), 1);
    assert_eq!(passed[0].as_ptr(), stream.as_ptr());
}

#[test]
fn an_event_that_is_too_long_is_not_held() {
    let long = "x".repeat(HELD_MAX);
    let mut extra = Extra::default();
    let mut pass = |text: &str| extra.pass(Bytes::copy_from_slice(text.as_bytes())).concat();
    assert_eq!(pass("data: {\""), b"");
    assert_eq!(pass(&long).len(), "data: {\"".len() + HELD_MAX);
    assert_eq!(pass("more\n"), b"more\n");
    assert_eq!(pass("\n"), b"\n");
    assert_eq!(pass(&format!("data: {USED}\n\n")), b"");
}
