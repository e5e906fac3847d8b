//! What is an error and what is not, whole and cut at every place.

use super::*;
use Answer::{Error, Good, Refusal};

/// JSON bodies of 200, and what they are.
const BODIES: &[(&str, Answer)] = &[
    (
        r#"{"error":{"message":"boom","type":"server_error","code":null}}"#,
        Error,
    ),
    (
        " \n{ \"error\" : { \"message\" : \"a \\\"quoted\\\" } ]\" } }\n",
        Error,
    ),
    (
        r#"{"error":{"message":"Provider returned error","code":502},"user_id":"u"}"#,
        Error,
    ),
    (
        r#"{"user_id":"u","error":{"code":503,"message":"x"}}"#,
        Error,
    ),
    (
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#,
        Error,
    ),
    (r#"{"error":"model crashed"}"#, Error),
    (r#"[{"error":{"code":500,"status":"INTERNAL"}}]"#, Error),
    (r#"{"error":{"code":408,"message":"slow"}}"#, Error),
    (r#"{"error":{"code":429,"message":"limit"}}"#, Refusal),
    (r#"{"error":{"code":"400","message":"bad"}}"#, Refusal),
    (
        r#"{"error":{"message":"m","type":"invalid_request_error"}}"#,
        Refusal,
    ),
    (
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#,
        Refusal,
    ),
    (
        r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        Refusal,
    ),
    (
        r#"{"id":"c","object":"chat.completion","choices":[{"message":{"content":"{\"error\":{}}"}}]}"#,
        Good,
    ),
    (
        r#"{"error":{"message":"partly"},"choices":[{"message":{"content":"hi"}}]}"#,
        Good,
    ),
    (r#"{"choices":[],"error":{"message":"late"}}"#, Good),
    (
        r#"{"id":"r","object":"response","status":"completed","error":null,"output":[]}"#,
        Good,
    ),
    (r#"{"id":"r","error":null}"#, Good),
    (
        r#"{"content":[{"type":"text","text":"\"error\":"}],"type":"message"}"#,
        Good,
    ),
    (
        r#"{"metadata":{"error":{"message":"deep"}},"x":[{"error":{}}]}"#,
        Good,
    ),
    (r#"{"errors":{"a":1}}"#, Good),
    (r#"{"data":[1,2,3]}"#, Good),
    ("{}", Good),
    ("[]", Good),
    ("", Good),
    ("plain text with \"error\":{", Good),
    ("{\"a\" 1 \"error\":{}}", Good),
    ("{\"a\":tru", Good),
];

/// Event streams, and what they are.
const STREAMS: &[(&str, Answer)] = &[
    (
        "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\ndata: [DONE]\n\n",
        Error,
    ),
    (
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
        Error,
    ),
    (
        "event: error\r\ndata: {\"type\":\"error\",\"code\":\"server_error\"}\r\n\r\n",
        Error,
    ),
    ("event:error\rdata:oops\r\r", Error),
    (
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\"}}\n\n",
        Refusal,
    ),
    (
        "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\"}\n\n",
        Refusal,
    ),
    (
        ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: {\"id\":\"g\",\"object\":\"chat.completion.chunk\",\
         \"error\":{\"code\":502,\"message\":\"m\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        Error,
    ),
    (
        "data: {\"choices\":[],\n data: x\ndata: \"error\":{\"message\":\"two lines\"}}\n\n",
        Error,
    ),
    (
        "data: {\"error\":{\"message\":\"no blank line behind it\"}}",
        Error,
    ),
    ("\u{feff}data: {\"error\":{}}\n\n", Error),
    (
        "event: ping\ndata: {\"type\": \"ping\"}\n\nevent: error\ndata: {\"error\":{\"type\":\"api_error\"}}\n\n",
        Error,
    ),
    (
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"error\":{}}\n\n",
        Good,
    ),
    (
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\nevent: error\ndata: {}\n\n",
        Good,
    ),
    (
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n",
        Good,
    ),
    ("data: [DONE]\n\n", Good),
    (": nothing but a comment\n\n", Good),
    ("\n\n\n", Good),
    ("", Good),
];

fn told(form: Form, pieces: &[&[u8]]) -> Option<Answer> {
    let mut watch = Watch::new(form);
    let mut found = Vec::new();
    for piece in pieces {
        found.extend(watch.look(piece, false));
    }
    found.extend(watch.look(b"", true));
    assert!(found.len() <= 1, "told more than once: {found:?}");
    found.pop()
}

fn all() -> impl Iterator<Item = (Form, &'static str, Answer)> {
    let bodies = BODIES.iter().map(|(text, is)| (Form::Json, *text, *is));
    let streams = STREAMS.iter().map(|(text, is)| (Form::Events, *text, *is));
    bodies.chain(streams)
}

#[test]
fn an_error_is_told_from_an_answer() {
    for (form, text, is) in all() {
        assert_eq!(told(form, &[text.as_bytes()]), Some(is), "{text}");
        let mut watch = Watch::new(form);
        assert_eq!(watch.look(text.as_bytes(), true), Some(is), "{text}");
    }
}

#[test]
fn it_does_not_matter_where_it_is_cut() {
    for (form, text, is) in all() {
        let text = text.as_bytes();
        for first in 0..=text.len() {
            let (head, tail) = text.split_at(first);
            assert_eq!(told(form, &[head, tail]), Some(is), "{first} {text:?}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(told(form, &single), Some(is), "byte by byte: {text:?}");
        for second in (0..text.len()).step_by(7) {
            let (head, tail) = text.split_at(second);
            let (middle, tail) = tail.split_at(tail.len() / 2);
            assert_eq!(told(form, &[head, middle, tail]), Some(is));
        }
    }
}

#[test]
fn an_answer_is_known_by_its_first_piece_and_nothing_is_copied() {
    let mut watch = Watch::new(Form::Json);
    let begin = br#"{"id":"c","object":"chat.completion","created":1,"choices":[{"#;
    assert_eq!(watch.look(begin, false), Some(Good));
    assert_eq!(watch.kept.capacity(), 0);
    assert_eq!(watch.look(b"}]}", true), None);

    let mut watch = Watch::new(Form::Events);
    let begin = b"data: {\"choices\":[]}\n\n";
    assert_eq!(watch.look(begin, false), Some(Good));
    assert_eq!(watch.kept.capacity(), 0);
}

#[test]
fn no_more_is_looked_at_than_the_bound() {
    let long = "x".repeat(LOOKED_AT);
    for (text, is) in [
        (format!(r#"{{"error":{{"message":"{long}"#), Error),
        (
            format!(r#"{{"error":{{"code":400,"message":"{long}"#),
            Refusal,
        ),
        (format!(r#"{{"x":"{long}","error":{{}}}}"#), Good),
        (format!("{{{}\"error\":{{}}}}", " ".repeat(LOOKED_AT)), Good),
    ] {
        for size in [1, 7, 1_000, LOOKED_AT, 2 * LOOKED_AT] {
            let mut watch = Watch::new(Form::Json);
            let found = text
                .as_bytes()
                .chunks(size)
                .find_map(|piece| watch.look(piece, false));
            assert_eq!(found, Some(is), "{size}");
            assert!(watch.kept.len() <= LOOKED_AT);
        }
    }
    let comments = ": waiting\n\n".repeat(1_000);
    let mut watch = Watch::new(Form::Events);
    assert_eq!(watch.look(comments.as_bytes(), false), Some(Good));
}

#[test]
fn only_json_and_events_are_read_and_nothing_compressed() {
    let form = |kind: &'static str, coding: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static(coding));
        }
        Form::of(&headers)
    };
    assert_eq!(form("application/json", None), Some(Form::Json));
    assert_eq!(
        form("Application/JSON; charset=utf-8", None),
        Some(Form::Json)
    );
    assert_eq!(
        form("text/event-stream;charset=utf-8", None),
        Some(Form::Events)
    );
    assert_eq!(form("application/json", Some("gzip")), None);
    assert_eq!(form("application/jsonl", None), None);
    assert_eq!(form("audio/mpeg", None), None);
    assert_eq!(Form::of(&HeaderMap::new()), None);
}
