use super::*;
use crate::store::{Cost, Tokens};

fn sum(day: &str, model: &str, tokens: [i64; 4], dollars: &str) -> Sum {
    let day: Date = day.parse().unwrap();
    let epoch: Date = "1970-01-01".parse().unwrap();
    Sum {
        day: Some(i64::from((day - epoch).get_days())),
        provider: Some("openai".to_owned()),
        model: Some(model.to_owned()),
        counts: Tokens {
            input: tokens[0],
            cached: tokens[1],
            cache_write: tokens[2],
            output: tokens[3],
            ..Tokens::default()
        },
        cost: Cost {
            charged: dollars.parse().unwrap(),
            fee: "99".parse().unwrap(),
            ..Cost::default()
        },
        ..Sum::default()
    }
}

fn differing(text: &str, rows: &[Sum], tolerance: Tolerance) -> Vec<String> {
    let report = read(text).expect(text);
    let outcome = compare(&report, "openai", rows, tolerance);
    let differing = outcome.pairs.iter().filter(|pair| pair.differs);
    let line = |pair: &Pair| {
        let model = pair.model.as_deref().unwrap_or("all");
        format!(
            "{} {model} {} {} {} {}",
            pair.day,
            pair.measure.as_str(),
            pair.provider,
            pair.ours,
            pair.difference
        )
    };
    let lines: Vec<String> = differing.map(line).collect();
    assert_eq!(outcome.differing, lines.len());
    lines
}

#[test]
fn what_agrees_does_not_differ_and_what_differs_is_told() {
    let rows = [
        sum("2026-01-31", "gpt-4o", [1000, 800, 0, 50], "1.25"),
        sum("2026-01-31", "gpt-4o-mini", [7, 0, 0, 1], "0.5"),
    ];
    let agreeing = "day,model,input,cached,output,cost\n\
        2026-01-31,gpt-4o-2024-08-06,600,800,20,1\n2026-01-31,gpt-4o-2024-11-20,400,0,30,0.25\n\
        2026-01-31,gpt-4o-mini,7,0,1,0.50\n";
    assert_eq!(differing(agreeing, &rows, Tolerance::default()), [""; 0]);
    let other =
        "day,model,input,output,cost\n2026-01-31,gpt-4o,1010,50,1.24\n2026-01-31,o3,5,0,0\n";
    assert_eq!(
        differing(other, &rows, Tolerance::default()),
        [
            "2026-01-31 gpt-4o input 1010 1000 -10",
            "2026-01-31 gpt-4o cost 1.24 1.25 0.01",
            "2026-01-31 gpt-4o-mini input 0 7 7",
            "2026-01-31 gpt-4o-mini output 0 1 1",
            "2026-01-31 gpt-4o-mini cost 0 0.5 0.5",
            "2026-01-31 o3 input 5 0 -5",
        ]
    );
}

#[test]
fn what_is_within_the_tolerance_agrees() {
    let rows = [sum("2026-01-31", "m", [1000, 0, 0, 0], "1.25")];
    let text = "day,model,input,cost\n2026-01-31,m,1010,1.24\n";
    let of = |ppm, dollars: &str| Tolerance {
        ppm,
        dollars: dollars.parse().unwrap(),
    };
    assert_eq!(differing(text, &rows, of(10_000, "0")), [""; 0]);
    let cost = ["2026-01-31 m cost 1.24 1.25 0.01"];
    let input = ["2026-01-31 m input 1010 1000 -10"];
    assert_eq!(differing(text, &rows, of(9_900, "0")), input);
    assert_eq!(differing(text, &rows, of(0, "0.01")), input);
    assert_eq!(differing(text, &rows, of(0, "0.009")).len(), 2);
    assert_eq!(differing(text, &rows, of(9_901, "0.009")), [""; 0]);
    assert_eq!(
        differing(text, &rows, of(7_000, "0")),
        [input, cost].concat()
    );
}

#[test]
fn a_day_as_a_whole_is_held_against_all_models() {
    let rows = [
        sum("2026-01-31", "a", [1, 0, 0, 0], "1.25"),
        sum("2026-01-31", "b", [1, 0, 0, 0], "0.5"),
        sum("2026-02-01", "b", [1, 0, 0, 0], "0.5"),
    ];
    let text = "day,cost\n2026-01-31,1.75\n2026-02-01,0.6\n";
    let expected = ["2026-02-01 all cost 0.6 0.5 -0.1"];
    assert_eq!(differing(text, &rows, Tolerance::default()), expected);
}

#[test]
fn several_files_are_one_report() {
    let mut report = read("day,model,input\n2026-01-31,m,1\n").unwrap();
    let costs = "day,model,cost\n2026-02-01,m,0.5\n2026-01-31,m,1.25\n";
    report.merge(read(costs).unwrap()).unwrap();
    report
        .merge(read("day,model,input\n2026-01-31,m,2\n").unwrap())
        .unwrap();
    let rows = [
        sum("2026-01-31", "m", [3, 0, 0, 0], "1.25"),
        sum("2026-02-01", "m", [0, 0, 0, 0], "0.5"),
    ];
    let outcome = compare(&report, "x", &rows, Tolerance::default());
    assert_eq!((outcome.compared, outcome.differing), (3, 0));
    assert_eq!([&*outcome.from, &*outcome.to], ["2026-01-31", "2026-02-01"]);
    let anthropic = read("usage_date_utc,model,cost_usd\n2026-01-31,m,1\n").unwrap();
    let openai = read("start_time,amount_value\n0,1\n").unwrap();
    report.merge(anthropic).unwrap();
    assert!(report.merge(openai).unwrap_err().contains("of anthropic"));
}
