//! What metering costs: the time an event of a streamed answer, in the three shapes of events, each handed over by itself
//! as from a model that generates; and an answer that is one JSON text. `told` is the meter of an answer that will say what
//! was used; `estimating` also counts the text that comes, as for whatever is charged. `gzip` is the same stream
//! compressed, each event flushed, decoded on the way.
//!
//! Beside them, over the same bytes: one `memchr` pass for a byte that is not there, which is about what looking at them
//! costs.

#![allow(
    clippy::expect_used,
    reason = "a benchmark stops at what it does not expect"
)]
#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use tollgate::usage::{Coding, Form, Meter};

/// Events of a stream that bring text.
const EVENTS: usize = 1_000;

/// What each brings, by turns: about the pieces in which models write.
const PIECES: [&str; 8] = [
    " quick",
    " brown",
    ",",
    " said",
    " \\\"hello",
    "\\n\\n",
    " gateways",
    " —",
];

/// Bytes of the text of a JSON answer.
const TEXTS: [(&str, usize); 2] = [("1KiB", 1 << 10), ("64KiB", 1 << 16)];

fn chat() -> Vec<Bytes> {
    let event = |choices: &str, usage: &str| {
        let head = r#"{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_06737a9306""#;
        Bytes::from(format!(
            "data: {head},\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        ))
    };
    let text = |piece: &&str| {
        let delta = format!(
            r#"{{"index":0,"delta":{{"content":"{piece}"}},"logprobs":null,"finish_reason":null}}"#
        );
        event(&delta, "null")
    };
    let mut events: Vec<Bytes> = pieces().iter().map(text).collect();
    events.push(event(
        r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}"#,
        "null",
    ));
    let usage = r#"{"prompt_tokens":19,"completion_tokens":1000,"total_tokens":1019,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;
    events.push(event("", usage));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn messages() -> Vec<Bytes> {
    let event = |name: &str, members: &str| {
        Bytes::from(format!(
            "event: {name}\ndata: {{\"type\":\"{name}\",{members}}}\n\n"
        ))
    };
    let text = |piece: &&str| {
        let delta = format!(r#""index":0,"delta":{{"type":"text_delta","text":"{piece}"}}"#);
        event("content_block_delta", &delta)
    };
    let start = r#""message":{"id":"msg_014p7gG3wDgGV9EUtLvnow3U","type":"message","role":"assistant","model":"claude-sonnet-4-5","stop_sequence":null,"usage":{"input_tokens":472,"output_tokens":2,"cache_creation_input_tokens":0,"cache_read_input_tokens":0},"content":[],"stop_reason":null}"#;
    let mut events = vec![event("message_start", start)];
    events.extend(pieces().iter().map(text));
    let end =
        r#""delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1000}"#;
    events.push(event("message_delta", end));
    events.push(Bytes::from_static(
        b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ));
    events
}

fn responses() -> Vec<Bytes> {
    let event = |name: &str, members: &str| {
        Bytes::from(format!(
            "event: {name}\ndata: {{\"type\":\"{name}\",{members}}}\n\n"
        ))
    };
    let text = |(number, piece): (usize, &&str)| {
        let delta = format!(
            r#""sequence_number":{number},"item_id":"msg_67c9fdcf37fc8190ba82116e33fb28c507b8b0ad4e5eb654","output_index":0,"content_index":0,"delta":"{piece}","logprobs":[]"#
        );
        event("response.output_text.delta", &delta)
    };
    let mut events: Vec<Bytes> = pieces().iter().enumerate().map(text).collect();
    let whole: String = pieces().concat();
    let end = format!(
        r#""response":{{"id":"resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654","object":"response","status":"completed","model":"gpt-4o-2024-08-06","output":[{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"{whole}"}}]}}],"usage":{{"input_tokens":37,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":1000,"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":1037}}}}"#
    );
    events.push(event("response.completed", &end));
    events
}

fn pieces() -> Vec<&'static str> {
    PIECES.into_iter().cycle().take(EVENTS).collect()
}

/// A chat completion with about so many bytes of text.
fn json(text: usize) -> Bytes {
    let words: String = PIECES.into_iter().cycle().take(text / 5).collect();
    Bytes::from(format!(
        r#"{{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":19,"completion_tokens":1000,"total_tokens":1019}},"service_tier":"default"}}"#
    ))
}

/// Each event compressed and flushed, as servers do that compress streams.
fn gzip(events: &[Bytes]) -> Vec<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut flushed = |event: &Bytes| {
        encoder.write_all(event).expect("written");
        encoder.flush().expect("flushed");
        Bytes::from(std::mem::take(encoder.get_mut()))
    };
    let mut compressed: Vec<Bytes> = events.iter().map(&mut flushed).collect();
    compressed.push(encoder.finish().expect("finished").into());
    compressed
}

fn run(mut meter: Meter, pieces: &[Bytes]) -> Meter {
    for piece in pieces {
        meter.feed(black_box(piece));
    }
    meter
}

/// Measures both meters over an answer; what they read must be what it says.
fn compare(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    form: Form,
    coding: Coding,
    answer: &[Bytes],
) {
    type Make = fn(Form, Coding) -> Meter;
    let kinds: [(&str, Make); 2] = [
        ("told", Meter::new),
        ("estimating", |form, coding| {
            Meter::new(form, coding).estimating()
        }),
    ];
    for (kind, make) in kinds {
        let report = run(make(form, coding), answer).report();
        assert_eq!(
            (report.usage.output, report.flaw),
            (1_000, None),
            "{name} {kind}"
        );
        group.bench_with_input(BenchmarkId::new(kind, name), answer, |bencher, answer| {
            bencher.iter_batched(
                || make(form, coding),
                |meter| run(meter, answer),
                BatchSize::SmallInput,
            );
        });
    }
}

/// One look at every byte.
fn look(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, answer: &[Bytes]) {
    group.bench_with_input(
        BenchmarkId::new("memchr", name),
        answer,
        |bencher, answer| {
            bencher.iter(|| {
                let found = |piece: &Bytes| memchr::memchr(0, black_box(piece)).is_some();
                answer.iter().filter(|piece| found(piece)).count()
            });
        },
    );
}

/// The time an event: `elem/s` is events a second.
fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    for (name, events) in [
        ("chat", chat()),
        ("messages", messages()),
        ("responses", responses()),
    ] {
        group.throughput(Throughput::Elements(events.len() as u64));
        compare(&mut group, name, Form::Events, Coding::Identity, &events);
        let compressed = gzip(&events);
        let name_gzip = format!("{name}-gzip");
        compare(
            &mut group,
            &name_gzip,
            Form::Events,
            Coding::Gzip,
            &compressed,
        );
        look(&mut group, name, &events);
    }
    group.finish();
}

fn texts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    for (name, size) in TEXTS {
        let answer = [json(size)];
        group.throughput(Throughput::Bytes(answer[0].len() as u64));
        compare(&mut group, name, Form::Json, Coding::Identity, &answer);
        let compressed = gzip(&answer);
        let name_gzip = format!("{name}-gzip");
        compare(
            &mut group,
            &name_gzip,
            Form::Json,
            Coding::Gzip,
            &compressed,
        );
        look(&mut group, name, &answer);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = events, texts
}
criterion_main!(benches);
