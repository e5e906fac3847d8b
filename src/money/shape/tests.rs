use super::*;
use crate::model::scan::Scanner;

fn read(surface: Surface, body: &str) -> Result<Asked, Refused> {
    let mut scanner = Scanner::new();
    scanner.feed(body.as_bytes()).unwrap();
    scanner.finish().unwrap();
    Asked::read(surface, scanner.members(), body.as_bytes())
}

fn chat(members: &str) -> Result<Asked, Refused> {
    let comma = if members.is_empty() { "" } else { "," };
    read(
        Surface::Chat,
        &format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{comma}{members}}}"#
        ),
    )
}

fn asked(members: &str) -> Asked {
    chat(members).unwrap_or_else(|refused| panic!("{members}: {refused}"))
}

#[test]
fn a_plain_request_asks_for_nothing_special() {
    let plain = asked("");
    let expected = Asked {
        surface: Surface::Chat,
        bytes: 57,
        max_tokens: None,
        max_completion_tokens: None,
        max_output_tokens: None,
        choices: 1,
        prompts: 1,
        tier: AskedTier::Usual,
        us: false,
        beyond_text: false,
        predicted: false,
        tools: false,
        half_day: false,
        betas: Betas::default(),
        marks: Marks::default(),
        estimate: plain.estimate,
    };
    assert_eq!(plain, expected);
    assert!((1..=57).contains(&plain.estimate));
}

#[test]
fn only_a_whole_number_is_a_bound() {
    for (written, cap) in [
        ("16", Some(16)),
        ("0", None),
        ("-1", None),
        ("1e3", None),
        ("16.0", None),
        ("null", None),
        ("\"16\"", None),
        ("99999999999999999999", None),
    ] {
        let caps = asked(&format!(
            "\"max_tokens\":{written},\"max_completion_tokens\":{written},\"max_output_tokens\":{written}"
        ));
        let all = [
            caps.max_tokens,
            caps.max_completion_tokens,
            caps.max_output_tokens,
        ];
        assert_eq!(all, [cap; 3], "{written}");
    }
}

#[test]
fn choices_multiply() {
    assert_eq!(asked("\"n\":3").choices, 3);
    assert_eq!(asked("\"n\":3,\"best_of\":5").choices, 5);
    assert_eq!(asked("\"n\":null").choices, 1);
    for wrong in ["0", "-1", "1.5", "\"2\"", "1025", "[2]", "true"] {
        let refused = chat(&format!("\"n\":{wrong}")).unwrap_err();
        assert_eq!((refused.member, refused.why), ("n", Why::NotANumber));
        assert!(refused.is_malformed());
    }
    // Who does not have them does not multiply.
    let messages = read(Surface::Messages, r#"{"n":"x","prompt":["a","b"]}"#).unwrap();
    assert_eq!((messages.choices, messages.prompts), (1, 1));
}

#[test]
fn a_list_of_prompts_has_an_answer_each() {
    for (prompt, count) in [
        (r#""a""#, 1),
        (r#"["a","b","c"]"#, 3),
        ("[1,2,3]", 1),
        ("[[1,2],[3]]", 2),
        ("[]", 1),
        ("null", 1),
    ] {
        let body = format!("{{\"prompt\":{prompt}}}");
        assert_eq!(
            read(Surface::Completions, &body).unwrap().prompts,
            count,
            "{prompt}"
        );
    }
}

#[test]
fn tiers_are_read_by_their_names() {
    use AskedTier::{Named, Unknown, Usual};
    for (members, tier) in [
        (r#""service_tier":"auto""#, Usual),
        (r#""service_tier":"default""#, Usual),
        (r#""service_tier":"standard_only""#, Usual),
        (r#""service_tier":null"#, Usual),
        (r#""service_tier":"flex""#, Named(Tier::Flex)),
        (r#""service_tier":"priority""#, Named(Tier::Priority)),
        (r#""service_tier":"fast""#, Named(Tier::Fast)),
        (r#""service_tier":"ultrafast""#, Named(Tier::Ultrafast)),
        (r#""service_tier":"scale""#, Unknown),
        (r#""service_tier":"Priority""#, Unknown),
        (r#""service_tier":"pr\u0069ority""#, Unknown),
        (r#""speed":"standard""#, Usual),
        (r#""speed":"fast","service_tier":"auto""#, Named(Tier::Fast)),
        (r#""speed":"faster""#, Unknown),
    ] {
        assert_eq!(asked(members).tier, tier, "{members}");
    }
    for wrong in [
        r#""service_tier":1"#,
        r#""speed":[]"#,
        r#""inference_geo":{}"#,
    ] {
        assert_eq!(chat(wrong).unwrap_err().why, Why::NotAText, "{wrong}");
    }
    assert!(asked(r#""inference_geo":"us""#).us);
    assert!(asked(r#""inference_geo":"u\u0073""#).us);
    assert!(!asked(r#""inference_geo":"global""#).us && !asked(r#""inference_geo":null"#).us);
}

#[test]
fn tools_that_the_client_runs_are_served() {
    for tools in [
        r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#,
        r#"[{"name":"f","input_schema":{"type":"object"}},{"type":"custom","name":"g"}]"#,
        r#"[{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"e"}]"#,
        r#"[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]}]"#,
        r#"[{"type":null,"name":"f"}]"#,
        r#"[{"type":"tool_search","execution":"client","description":"d","parameters":{"execution":"server"}}]"#,
    ] {
        assert!(asked(&format!("\"tools\":{tools}")).tools, "{tools}");
    }
    assert!(!asked("\"tools\":[]").tools && !asked("\"tools\":null").tools);
}

#[test]
fn tools_that_come_within_a_conversation_are_held_to_the_same() {
    let within = |item: &str| {
        let body = format!(
            r#"{{"model":"m","input":[{{"type":"message","role":"user","content":"a"}},{item}]}}"#
        );
        read(Surface::Responses, &body).map(|_| ())
    };
    for tools in [
        r#""tools":[{"type":"function","name":"f"},{"type":"namespace","name":"n","tools":[{"type":"custom","name":"g"}]}]"#,
        r#""tools":[]"#,
    ] {
        for kind in ["additional_tools", "tool_search_output"] {
            let item = format!(r#"{{"type":"{kind}","role":"developer",{tools}}}"#);
            assert_eq!(within(&item), Ok(()), "{item}");
        }
    }
    for tools in [
        r#""tools":[{"type":"function","name":"f"},{"type":"web_search"}]"#,
        r#""Tools":[{"type":"code_interpreter","container":{"type":"auto"}}]"#,
        r#""tools":[{"type":"namespace","name":"n","tools":[{"type":"mcp","server_url":"https://a"}]}]"#,
        r#""tools":[],"tools":[{"type":"web_search"}]"#,
        r#""t\u006fols":[{"type":"web_search"}]"#,
    ] {
        for kind in [
            "additional_tools",
            "tool_search_output",
            "additional\\u005ftools",
        ] {
            let item = format!(r#"{{"type":"{kind}","role":"developer",{tools}}}"#);
            let refused = within(&item).expect_err(&item);
            assert_eq!(
                (refused.member, refused.why),
                ("tools", Why::HostedTools),
                "{item}"
            );
        }
    }
    // What may stand before the object hides nothing, and a namespace holds no other.
    let hosted = r#"{"type":"additional_tools","tools":[{"type":"web_search"}]}"#;
    for before in [" ", "\n\t", "\u{feff}"] {
        let body = format!(r#"{before}{{"model":"m","input":[{hosted}]}}"#);
        let refused = read(Surface::Responses, &body).expect_err(before);
        assert_eq!(refused.why, Why::HostedTools);
    }
    let nested = r#"{"type":"namespace","tools":[{"type":"namespace","tools":[]}]}"#;
    assert!(
        within(&format!(
            r#"{{"type":"additional_tools","tools":[{nested}]}}"#
        ))
        .is_err()
    );
    // A text may say these words.
    assert_eq!(
        within(r#"{"type":"message","role":"user","content":"additional_tools"}"#),
        Ok(())
    );
}

#[test]
fn what_the_provider_keeps_is_not_referred_to_on_a_key_that_accounts_share() {
    let body = r#"{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}"#;
    let refused = read(Surface::Responses, body).expect_err("another account's, perhaps");
    assert_eq!((refused.member, refused.why), ("item_reference", Why::Kept));
    let body = r#"{"model":"m","input":[{"type":"message","role":"user","content":"item_reference of mine"}]}"#;
    assert!(read(Surface::Responses, body).is_ok());
}

#[test]
fn tools_that_the_provider_runs_are_not() {
    for tools in [
        r#"[{"type":"web_search"}]"#,
        r#"[{"type":"function","function":{}},{"type":"web_search_20250305","name":"web_search"}]"#,
        r#"[{"type":"code_execution_20250825","name":"c"}]"#,
        r#"[{"type":"bash_code_execution","name":"c"}]"#,
        r#"[{"type":"code_interpreter","container":{"type":"auto"}}]"#,
        r#"[{"type":"file_search","vector_store_ids":["a"]}]"#,
        r#"[{"type":"mcp","server_url":"https://a"}]"#,
        r#"[{"type":"image_generation"}]"#,
        r#"[{"type":"openrouter:web_search"}]"#,
        r#"[{"type":"advisor_20260301","name":"a","model":"b"}]"#,
        r#"[{"type":"namespace","name":"n","tools":[{"type":"web_search"}]}]"#,
        r#"[{"type":"function","type":"web_search"}]"#,
        r#"[{"type":"web_search","type":"function"}]"#,
        r#"[{"Type":"web_search"}]"#,
        r#"[{"t\u0079pe":"web_search"}]"#,
        r#"[{"type":"fun\u0063tion"}]"#,
        r#"[{"type":["function"]}]"#,
        r#"[{"type":"tool_search"}]"#,
        r#"[{"type":"tool_search","execution":"server"}]"#,
        r#"[{"type":"tool_search","execution":null}]"#,
        r#"[{"type":"tool_search","execution":"client","Execution":"server"}]"#,
    ] {
        let refused = chat(&format!("\"tools\":{tools}")).unwrap_err();
        assert_eq!(
            (refused.member, refused.why),
            ("tools", Why::HostedTools),
            "{tools}"
        );
        assert!(!refused.is_malformed());
    }
    let added = r#"{"messages":[{"role":"user","content":[{"type":"tool_addition","tool":{"type":"web_search_20250305"}}]}]}"#;
    assert_eq!(
        read(Surface::Messages, added).unwrap_err().why,
        Why::HostedTools
    );
}

#[test]
fn what_cannot_be_bounded_is_refused_by_its_name() {
    for (member, value, why) in [
        ("search_parameters", r#"{"mode":"on"}"#, Why::Unbounded),
        ("plugins", r#"[{"id":"web"}]"#, Why::Unbounded),
        ("provider", r#"{"only":["x"]}"#, Why::Unbounded),
        ("preset", r#""mine""#, Why::Unbounded),
        ("fallbacks", r#"[{"model":"x"}]"#, Why::Unbounded),
        ("web_search_options", "{}", Why::Unbounded),
        (
            "context_management",
            r#"{"edits":[{"type":"compact_20260112"}]}"#,
            Why::Unbounded,
        ),
        (
            "context_management",
            r#"[{"type":"comp\u0061ction"}]"#,
            Why::Unbounded,
        ),
        ("mcp_servers", r#"[{"url":"https://a"}]"#, Why::HostedTools),
        ("container", r#""c_1""#, Why::HostedTools),
        ("background", "true", Why::Later),
        ("deferred", "true", Why::Later),
        ("previous_response_id", r#""resp_1""#, Why::Kept),
        ("conversation", r#"{"id":"conv_1"}"#, Why::Kept),
        ("prompt", r#"{"id":"pmpt_1"}"#, Why::Kept),
    ] {
        let body = format!("{{\"model\":\"m\",\"{member}\":{value}}}");
        let refused = read(Surface::Responses, &body).unwrap_err();
        assert_eq!((refused.member, refused.why), (member, why), "{body}");
        let words = refused.to_string();
        assert!(words.contains(&format!("`{member}`")), "{words}");
    }
    for nothing in [
        r#""background":false,"plugins":[],"mcp_servers":[],"container":null,"conversation":null"#,
        r#""previous_response_id":null,"web_search_options":null,"fallbacks":null,"provider":{}"#,
        r#""context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"store":true"#,
    ] {
        assert!(chat(nothing).is_ok(), "{nothing}");
    }
    // In a completion it is the text.
    assert!(read(Surface::Completions, r#"{"prompt":"once"}"#).is_ok());
}

#[test]
fn what_is_asked_for_besides_text_is_seen() {
    for members in [
        r#""modalities":["text","audio"]"#,
        r#""modalities":["image"]"#,
        r#""audio":{"voice":"alloy","format":"wav"}"#,
    ] {
        assert!(asked(members).beyond_text, "{members}");
    }
    for members in [
        r#""modalities":["text"]"#,
        r#""modalities":null,"audio":null"#,
    ] {
        assert!(!asked(members).beyond_text, "{members}");
    }
    assert!(asked(r#""prediction":{"type":"content","content":"a"}"#).predicted);
    assert!(asked(r#""prompt_cache_options":{"ttl":"12h"}"#).half_day);
    assert!(!asked(r#""prompt_cache_options":{"ttl":"30m"}"#).half_day);
}

#[test]
fn what_an_answer_does_not_say_follows_from_the_request() {
    let mut price = Price::default();
    let used = Usage {
        input: 10,
        cache_write: 4,
        output: 1,
        ..Usage::default()
    };
    assert_eq!(asked("").complete(&price, used), used);
    let complete = |members: &str| asked(members).complete(&Price::default(), used);
    assert_eq!(
        complete(r#""service_tier":"priority""#).tier,
        Tier::Priority
    );
    assert_eq!(complete(r#""service_tier":"flex""#).tier, Tier::Unsaid);
    assert!(complete(r#""inference_geo":"us""#).us);
    let half_day = complete(r#""prompt_cache_options":{"ttl":"12h"}"#);
    assert_eq!((half_day.cache_write, half_day.cache_write_12h), (0, 4));
    // What it says counts.
    let said = Usage {
        tier: Tier::Standard,
        ..used
    };
    let priority = asked(r#""service_tier":"priority""#);
    assert_eq!(priority.complete(&price, said).tier, Tier::Standard);

    let sound = read(
        Surface::Chat,
        r#"{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":"AA=="}}]}]}"#,
    )
    .unwrap();
    assert_eq!(sound.complete(&price, used).audio_input, 0);
    let dearer = crate::money::cost::tests::price(
        r#""price": {"input": "1", "audio_input": "3", "output": "1"}"#,
    );
    price.clone_from(&dearer);
    assert_eq!(sound.complete(&price, used).audio_input, 10);
    let told = Usage {
        audio_input: 7,
        ..used
    };
    assert_eq!(sound.complete(&price, told).audio_input, 7);
    assert_eq!(asked("").complete(&price, used).audio_input, 0);
}
