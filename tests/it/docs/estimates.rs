//! The table of errors in `docs/credit.md`: what the estimator says of streams that are cut, beside the counts of real
//! tokenizers in `tests/estimate/counts.json` (`tests/estimate/count.cjs` makes them).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate::usage::{Coding, Form, Meter, estimate};

use super::{Marks, hold, root};

const MARKS: Marks = Marks {
    begin: "<!-- From here on made from counts and the estimator; see tests/it/docs/estimates.rs. -->",
    end: "<!-- Made from counts and the estimator up to here. -->",
};

/// Tokenizers that are in use, which an estimate is not to be below.
const TODAY: [&str; 4] = ["o200k", "llama3", "deepseek_v3", "qwen3"];
/// Those of models that are on their way out.
const OLD: [&str; 2] = ["cl100k", "claude2"];

/// No text that a model writes for people: the estimate is below the truth.
const BELOW: &str = "base64";

/// Letters in an event of a stream.
const LETTERS: usize = 5;

/// Tokens of a message beside its text, in a request.
const MESSAGE: u64 = 7;

#[derive(Deserialize)]
struct Cut {
    percent: u64,
    bytes: usize,
    tokens: BTreeMap<String, u64>,
}

/// Every text with its name and its cuts.
fn texts() -> Vec<(String, String, Vec<Cut>)> {
    let folder = root().join("tests/estimate");
    let counts = std::fs::read(folder.join("counts.json")).expect("the counts");
    let counts: BTreeMap<String, Vec<Cut>> = serde_json::from_slice(&counts).expect("counts");
    let read = |(name, cuts): (String, Vec<Cut>)| {
        let path = folder.join(format!("texts/{name}.txt"));
        let text = std::fs::read_to_string(path).expect("its text");
        assert_eq!(cuts.last().map(|cut| cut.bytes), Some(text.len()), "{name}");
        (name, text, cuts)
    };
    counts.into_iter().map(read).collect()
}

/// An event for every few letters, in each dialect, up to where it is cut.
fn streams(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let stream = |event: &dyn Fn(&str) -> Value| {
        let pieces = letters.chunks(LETTERS).map(String::from_iter);
        let events = pieces.map(|piece| format!("data: {}\n\n", event(&piece)));
        events.collect::<String>()
    };
    vec![
        stream(&|piece| {
            let choice = json!({"index": 0, "delta": {"content": piece}, "finish_reason": null});
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})
        }),
        stream(&|piece| {
            let delta = json!({"type": "text_delta", "text": piece});
            json!({"type": "content_block_delta", "index": 0, "delta": delta})
        }),
        stream(
            &|piece| json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": piece, "obfuscation": "x0"}),
        ),
    ]
}

/// What the estimator says of a stream of `text`, in whatever dialect.
fn estimated(text: &str) -> u64 {
    let of = |stream: String| {
        let mut meter = Meter::new(Form::Events, Coding::Identity).estimating();
        meter.feed(stream.as_bytes());
        meter.report().generated
    };
    let mut all: Vec<u64> = streams(text).into_iter().map(of).collect();
    all.dedup();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]
}

/// The least and the most of the true counts.
fn true_counts(cut: &Cut, tokenizers: &[&str]) -> (u64, u64) {
    let counts = tokenizers.iter().map(|name| cut.tokens[*name]);
    let (least, most) = (counts.clone().min(), counts.max());
    (least.expect("a count"), most.expect("a count"))
}

fn error(estimate: u64, (least, most): (u64, u64)) -> String {
    let percent = |count: u64| {
        let (estimate, count) = (estimate.cast_signed(), count.cast_signed());
        ((estimate - count) * 100).div_euclid(count)
    };
    let (low, high) = (percent(most), percent(least));
    if low == high {
        format!("{low:+} %")
    } else {
        format!("{low:+} … {high:+} %")
    }
}

fn request(text: &str) -> u64 {
    let messages = json!([{"role": "user", "content": text}]);
    let body = json!({"model": "gpt-4o", "messages": messages, "stream": true}).to_string();
    estimate::input(body.as_bytes(), 0, 0)
}

#[test]
fn the_table_of_errors_is_what_the_estimator_does() {
    let mut made = String::from(
        "| text | bytes | tokens | output cut at 1 % | at 50 % | at 99 % | input | output at 99 %, older tokenizers |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (name, text, cuts) in texts() {
        let at = |percent: u64| {
            let cut = cuts.iter().find(|cut| cut.percent == percent);
            let cut = cut.expect("a cut");
            (cut, estimated(&text[..cut.bytes]))
        };
        let cell = |percent| {
            let (cut, estimate) = at(percent);
            error(estimate, true_counts(cut, &TODAY))
        };
        let (least, most) = true_counts(at(100).0, &TODAY);
        let input = error(request(&text), (least + MESSAGE, most + MESSAGE));
        let (cut, estimate) = at(99);
        let old = error(estimate, true_counts(cut, &OLD));
        // Writing to a string cannot fail.
        let _ = writeln!(
            made,
            "| {name} | {} | {least} … {most} | {} | {} | {} | {input} | {old} |",
            text.len(),
            cell(1),
            cell(50),
            cell(99),
        );
    }
    hold(&root().join("docs/credit.md"), &MARKS, made.trim_end());
}

#[test]
fn a_stream_that_is_cut_is_not_cheaper_than_what_it_has_brought() {
    for (name, text, cuts) in texts() {
        for cut in &cuts {
            let estimate = estimated(&text[..cut.bytes]);
            let (_, most) = true_counts(cut, &TODAY);
            let percent = cut.percent;
            assert!(
                estimate >= most || name == BELOW,
                "{name} at {percent} %: {estimate} < {most}"
            );
            assert!(estimate > 0);
        }
        // One event before its end it costs as much as all of it.
        let end = text
            .char_indices()
            .rev()
            .nth(LETTERS - 1)
            .expect("an event")
            .0;
        let (_, whole) = true_counts(cuts.last().expect("the whole"), &TODAY);
        assert!(estimated(&text[..end]) >= whole || name == BELOW, "{name}");
        assert!(request(&text) >= whole || name == BELOW, "{name}");
    }
}
