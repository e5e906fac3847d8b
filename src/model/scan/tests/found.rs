//! What is found in well-formed bodies.

use super::*;

#[test]
fn every_member_is_found_with_its_spans_and_kind() {
    let cases = [
        (Member::Model, r#""model""#, r#""gpt-4o""#, Kind::String),
        (Member::Models, r#""models""#, r#"["a","b"]"#, Kind::Array),
        (Member::Stream, r#""stream""#, "true", Kind::True),
        (
            Member::StreamOptions,
            r#""stream_options""#,
            r#"{"include_usage":false}"#,
            Kind::Object,
        ),
        (Member::MaxTokens, r#""max_tokens""#, "null", Kind::Null),
        (
            Member::MaxCompletionTokens,
            r#""max_completion_tokens""#,
            "false",
            Kind::False,
        ),
        (
            Member::MaxOutputTokens,
            r#""max_output_tokens""#,
            "-1.5e+3",
            Kind::Number,
        ),
        (
            Member::PromptCacheKey,
            r#""prompt_cache_key""#,
            r#""a\nb""#,
            Kind::EscapedString,
        ),
        (Member::SessionId, r#""session_id""#, r#""""#, Kind::String),
        (Member::N, r#""n""#, r#"2"#, Kind::Number),
        (Member::BestOf, r#""best_of""#, r#"null"#, Kind::Null),
        (
            Member::ServiceTier,
            r#""service_tier""#,
            r#""flex""#,
            Kind::String,
        ),
        (Member::Speed, r#""speed""#, r#""fast""#, Kind::String),
        (
            Member::InferenceGeo,
            r#""inference_geo""#,
            r#""us""#,
            Kind::String,
        ),
        (
            Member::Tools,
            r#""tools""#,
            r#"[{"type": "function"}]"#,
            Kind::Array,
        ),
        (
            Member::Modalities,
            r#""modalities""#,
            r#"["text"]"#,
            Kind::Array,
        ),
        (
            Member::Audio,
            r#""audio""#,
            r#"{"voice":"x"}"#,
            Kind::Object,
        ),
        (
            Member::Prediction,
            r#""prediction""#,
            r#"{"content":[]}"#,
            Kind::Object,
        ),
        (
            Member::WebSearchOptions,
            r#""web_search_options""#,
            r#"{}"#,
            Kind::Object,
        ),
        (
            Member::SearchParameters,
            r#""search_parameters""#,
            r#"{"mode":"on"}"#,
            Kind::Object,
        ),
        (Member::Plugins, r#""plugins""#, r#"[1]"#, Kind::Array),
        (
            Member::Provider,
            r#""provider""#,
            r#"{"only":[]}"#,
            Kind::Object,
        ),
        (Member::Preset, r#""preset""#, r#""a""#, Kind::String),
        (Member::Background, r#""background""#, r#"true"#, Kind::True),
        (Member::Deferred, r#""deferred""#, r#"false"#, Kind::False),
        (
            Member::PreviousResponseId,
            r#""previous_response_id""#,
            r#""resp_1""#,
            Kind::String,
        ),
        (
            Member::Conversation,
            r#""conversation""#,
            r#""conv_1""#,
            Kind::String,
        ),
        (Member::Prompt, r#""prompt""#, r#"[1,2]"#, Kind::Array),
        (
            Member::Fallbacks,
            r#""fallbacks""#,
            r#""default""#,
            Kind::String,
        ),
        (Member::McpServers, r#""mcp_servers""#, r#"[]"#, Kind::Array),
        (Member::Container, r#""container""#, r#"null"#, Kind::Null),
        (
            Member::ContextManagement,
            r#""context_management""#,
            r#"{"edits":[]}"#,
            Kind::Object,
        ),
        (
            Member::PromptCacheOptions,
            r#""prompt_cache_options""#,
            r#"{"ttl":"30m"}"#,
            Kind::Object,
        ),
    ];
    assert_eq!(cases.map(|(member, ..)| member), Member::ALL);
    let listed = cases
        .map(|(_, key, value, _)| format!("{key} :\t{value}"))
        .join(" ,\r\n");
    let body = format!("{{{listed}}}");
    let members = members(&body);
    for (member, key, value, kind) in cases {
        assert_eq!(raw(&body, &members, member), value);
        let found = members.get(member).unwrap().first();
        assert_eq!(found.kind(), kind, "{member:?}");
        assert_eq!(&body[found.member()], format!("{key} :\t{value}"));
        assert!(!found.key_escaped() && !members.is_escaped(member));
        assert!(!members.is_repeated(member) && !members.has_look_alike(member));
    }
}

#[test]
fn only_the_top_level_counts() {
    let body = r#"{"messages":[
            {"role":"user","content":"say \"model\":\"x\", or {\"model\": 1}","model":"no"}],
        "functions":[{"function":{"parameters":{
            "properties":{"model":{"type":"string"},"models":[{"stream":true}]}}}}],
        "metadata":{"model":"no","a":{"model":"no"}},
        "model":"yes",
        "\"model\"":"no","x":"\",\"model\":\"no"}"#;
    let members = members(body);
    assert_eq!(raw(body, &members, Member::Model), r#""yes""#);
    for member in &Member::ALL[1..] {
        assert_eq!(members.get(*member), None, "{member:?}");
    }
}

#[test]
fn long_keys_inside_a_member_do_not_disturb_it() {
    let long = "k".repeat(300);
    for inner in [long.as_str(), r"\u006dodel", r"a\tb", "models"] {
        let body = format!(r#"{{"stream_options":{{"{inner}":{{"{inner}":[1]}}}},"model":"m"}}"#);
        let members = members(&body);
        assert_eq!(
            raw(&body, &members, Member::StreamOptions),
            format!(r#"{{"{inner}":{{"{inner}":[1]}}}}"#)
        );
        assert_eq!(raw(&body, &members, Member::Model), r#""m""#);
        assert_eq!(
            members.get(Member::Model).unwrap().first().member().len(),
            r#""model":"m""#.len()
        );
        assert!(!members.is_escaped(Member::StreamOptions) && !members.is_escaped(Member::Model));
    }
}

#[test]
fn white_space_and_order_do_not_matter() {
    for blank in [
        "",
        " ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\n\n  \t",
        "\n                        ",
    ] {
        for (first, last) in [
            ("\"model\"_:_\"m\"", "\"a\"_:_1"),
            ("\"a\"_:_[_{_}_,_0_]", "\"model\"_:_\"m\""),
        ] {
            let body = format!("_{{_{first}_,_{last}_}}_").replace('_', blank);
            assert_eq!(
                raw(&body, &members(&body), Member::Model),
                r#""m""#,
                "{body:?}"
            );
        }
    }
}

#[test]
fn strings_of_every_length_are_passed_over() {
    for len in 0..400 {
        for end in ["", r"\n", r"\u00e9", "é", r"\\", r#"\""#] {
            let body = format!(r#"{{"a":"{}{end}","model":"m"}}"#, "x".repeat(len));
            let (verdict, members) = in_one(body.as_bytes());
            assert_eq!(verdict, Ok(()), "{body}");
            assert_eq!(raw(&body, &members, Member::Model), r#""m""#);
        }
    }
}

#[test]
fn very_long_strings_are_passed_over() {
    for len in [4_095, 4_096, 4_097, 8_192, 70_000] {
        for lead in [0, 1, 63] {
            let body = format!(
                r#"{{"{}":"{}\n{}","model":"m"}}"#,
                "k".repeat(lead),
                "x".repeat(len),
                "y".repeat(len)
            );
            for piece in [1000, 4096, usize::MAX] {
                let mut scanner = Scanner::new();
                for piece in body.as_bytes().chunks(piece) {
                    scanner.feed(piece).unwrap();
                }
                assert_eq!(scanner.finish(), Ok(()));
                assert_eq!(raw(&body, scanner.members(), Member::Model), r#""m""#);
            }
        }
    }
}

#[test]
fn keys_written_with_escapes_are_recognised_and_flagged() {
    for key in [
        r"mod\u0065l",
        r"\u006dodel",
        r"mode\u006C",
        r"\u006d\u006f\u0064\u0065\u006c",
    ] {
        let body = format!(r#"{{"{key}":"m"}}"#);
        let members = members(&body);
        assert_eq!(raw(&body, &members, Member::Model), r#""m""#, "{key}");
        assert!(
            members.is_escaped(Member::Model)
                && members.get(Member::Model).unwrap().first().key_escaped()
        );
        assert!(!members.is_repeated(Member::Model) && !members.is_escaped(Member::Models));
    }
    for key in [
        r"mod\ud83e\udd80el",
        r"model\ud800",
        r"\udc00model",
        r"mod\u00e9l",
        r"mod\\u0065l",
        r"mod\tel",
        r"model\u0000",
        "mod\u{e9}l",
        r"model\n",
        r"\/model",
        r"mod\ue065l",
        "mödel",
        "model ",
        "xmodel",
        "mod",
    ] {
        assert_eq!(
            members(&format!(r#"{{"{key}":"m"}}"#)).get(Member::Model),
            None,
            "{key}"
        );
    }
}

#[test]
fn repeated_members_are_flagged_and_the_first_and_the_last_known() {
    let body = r#"{"model":"a","stream":true,"mod\u0065l":1,"models":[],"model":"c"}"#;
    let members = members(body);
    let found = members.get(Member::Model).unwrap();
    assert_eq!(
        (&body[found.first().value()], &body[found.last().value()]),
        (r#""a""#, r#""c""#)
    );
    assert!(members.is_repeated(Member::Model));
    assert!(members.is_escaped(Member::Model), "one of the three is");
    assert!(!members.is_repeated(Member::Models) && !members.is_repeated(Member::Stream));
}

#[test]
fn look_alikes_are_flagged_and_not_found() {
    for key in ["Model", "MODEL", "mODEL", r"\u004dodel", r"M\u006fdel"] {
        let members = members(&format!(r#"{{"{key}":"m"}}"#));
        assert_eq!(members.get(Member::Model), None, "{key}");
        assert!(members.has_look_alike(Member::Model), "{key}");
        assert!(!members.has_look_alike(Member::Models), "{key}");
    }
    for key in ["model\u{17F}", r"model\u017f", "MODEL\u{17F}", "Models"] {
        assert!(
            members(&format!(r#"{{"{key}":"m"}}"#)).has_look_alike(Member::Models),
            "{key}"
        );
    }
    assert!(members("{\"max_to\u{212A}en\u{17F}\":1}").has_look_alike(Member::MaxTokens));
    assert!(members(r#"{"max_to\u212aens":1}"#).has_look_alike(Member::MaxTokens));
}

#[test]
fn a_byte_order_mark_is_passed_over_and_counted() {
    let body = "\u{FEFF} {\"model\":\"m\"}";
    assert_eq!(raw(body, &members(body), Member::Model), r#""m""#);
}

#[test]
fn surrogates_numbers_and_bytes_that_others_trip_over_are_accepted() {
    for value in [
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud83e\udd80""#,
        r#""\uD800\n""#,
        "1e400",
        "-1E+400",
        "0e0",
        "-0.0",
        "\"\u{7f}\"",
        "\"\u{2028}\"",
    ] {
        let body = format!(r#"{{"a":{value},"session_id":{value},"b":[{value}]}}"#);
        assert_eq!(raw(&body, &members(&body), Member::SessionId), value);
    }
    let digits = "7".repeat(1000);
    for number in [
        digits.clone(),
        format!("-{digits}.{digits}"),
        format!("{digits}.{digits}e-{digits}"),
    ] {
        let body = format!(r#"{{"max_tokens":{number}}}"#);
        assert_eq!(raw(&body, &members(&body), Member::MaxTokens), number);
    }
    assert_eq!(
        scan(b"{\"a\xff\xc0\xaf\":\"\xed\xa0\x80\",\"b\":[\"\xf8\"]}").0,
        Ok(())
    );
}

#[test]
fn a_member_is_known_as_soon_as_its_value_is_complete() {
    let mut scanner = Scanner::new();
    assert_eq!(scanner.feed(br#"{"model":"m"#), Ok(Progress::More));
    assert_eq!(scanner.members().get(Member::Model), None);
    assert_eq!(scanner.feed(br#"","max_tokens":12"#), Ok(Progress::More));
    assert_eq!(
        scanner
            .members()
            .get(Member::Model)
            .unwrap()
            .first()
            .value(),
        9..12
    );
    assert_eq!(
        scanner.members().get(Member::MaxTokens),
        None,
        "a digit may follow"
    );
    assert_eq!(scanner.feed(b"3 "), Ok(Progress::More));
    assert_eq!(
        scanner
            .members()
            .get(Member::MaxTokens)
            .unwrap()
            .first()
            .value(),
        26..29
    );
    assert_eq!(scanner.feed(b"}"), Ok(Progress::Ended));
    assert_eq!(scanner.feed(b"\r\n\t "), Ok(Progress::Ended));
    assert_eq!(scanner.feed(b""), Ok(Progress::Ended));
    assert_eq!(scanner.finish(), Ok(()));
}

#[test]
fn containers_nest_to_the_limit() {
    for nesting in [60, 128, 1000, DEPTH_MAX - 1] {
        for (open, close) in [
            ("[", "]"),
            ("{\"model\":", "}"),
            ("[{\"a\" : ", "}]"),
            ("[[{\"\":", "}]]"),
        ] {
            let levels = open.matches(['[', '{']).count();
            let (open, close) = (
                open.repeat(nesting / levels),
                close.repeat(nesting / levels),
            );
            let body = format!("{{\"a\":{open}0{close},\"model\":\"m\"}}");
            let (verdict, members) = in_one(body.as_bytes());
            assert_eq!(verdict, Ok(()), "{nesting} of {open}");
            assert_eq!(raw(&body, &members, Member::Model), r#""m""#);
        }
    }
}

#[test]
fn a_scanner_is_small() {
    // Two places for each member, and little else: it is made and moved a few times a request.
    let members = Member::ALL.len() * size_of::<Found>();
    let size = size_of::<Scanner>();
    assert!(size < members + 256 && size < 1536, "{size} bytes");
}

#[test]
fn every_name_is_found_by_its_length() {
    for member in Member::ALL {
        assert_eq!(Member::named(member.name().as_bytes()), Some(member));
        let longer = format!("{}_", member.name());
        assert_eq!(Member::named(longer.as_bytes()), None);
        assert_eq!(Member::ALL[member as usize], member);
    }
    assert_eq!(Member::named(b""), None);
    assert_eq!(Member::named(&[b'm'; 1000]), None);
}
