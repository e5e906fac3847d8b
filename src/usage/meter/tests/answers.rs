use super::*;

#[test]
fn openai_chat() {
    let answer = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,
        "model":"gpt-5-2026-08-07","choices":[{"index":0,"message":{"role":"assistant","content":"Say \"usage\":{\"prompt_tokens\":9} 🦀",
        "refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],
        "usage":{"prompt_tokens":1019,"completion_tokens":310,"total_tokens":1329,
        "prompt_tokens_details":{"cached_tokens":512,"audio_tokens":19,"cache_write_tokens":256},
        "completion_tokens_details":{"reasoning_tokens":128,"audio_tokens":7,"accepted_prediction_tokens":0,
        "rejected_prediction_tokens":0}},"service_tier":"priority"}"#;
    let usage = Usage {
        input: 1019,
        cached: 512,
        cache_write: 256,
        audio_input: 19,
        output: 310,
        reasoning: 128,
        audio_output: 7,
        tier: Tier::Priority,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
}

#[test]
fn openai_chat_streamed() {
    let stream = r#"data: {"id":"1","object":"chat.completion.chunk","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}

data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hello \"usage\":{\"prompt_tokens\":1}"}}],"usage":null}

data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"1","object":"chat.completion.chunk","service_tier":"flex","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}

data: [DONE]

"#;
    let usage = Usage {
        input: 9,
        output: 12,
        tier: Tier::Flex,
        ..Usage::default()
    };
    assert_eq!(events(stream), ended(usage));
}

#[test]
fn a_stream_without_usage_has_none() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n";
    let report = events(stream);
    assert_eq!(report.flaw, Some(Flaw::Missing));
    assert!(report.ended);
}

#[test]
fn openai_completions_and_embeddings() {
    let answer = r#"{"id":"cmpl-1","object":"text_completion","choices":[{"text":"x"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#;
    let usage = Usage {
        input: 5,
        output: 7,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.0023064255,-0.009327292,-1e-3]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let usage = Usage {
        input: 8,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
}

#[test]
fn openai_responses() {
    let usage = Usage {
        input: 328,
        cached: 64,
        cache_write: 32,
        output: 52,
        reasoning: 20,
        tier: Tier::Standard,
        ..Usage::default()
    };
    let object = r#"{"input_tokens":328,"input_tokens_details":{"cached_tokens":64,"cache_write_tokens":32},"output_tokens":52,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":380}"#;
    let answer = format!(
        r#"{{"id":"resp_1","object":"response","status":"completed","output":[{{"type":"message","content":[{{"text":"hi"}}]}}],"service_tier":"default","usage":{object},"user":null}}"#
    );
    assert_eq!(json(&answer), sound(usage));
    for end in [
        "response.completed",
        "response.incomplete",
        "response.failed",
    ] {
        let stream = format!(
            "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"id\":\"1\",\"usage\":null}}}}\n\n\
             event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}}\n\n\
             event: {end}\ndata: {{\"type\":\"{end}\",\"response\":{{\"id\":\"1\",\"output\":[{{\"a\":[1,{{}}]}}],\"usage\":{object}}}}}\n\n"
        );
        let untold = Usage {
            tier: Tier::Unsaid,
            ..usage
        };
        assert_eq!(events(&stream), ended(untold), "{end}");
    }
}

#[test]
fn anthropic_counts_what_was_cached_beside_the_input() {
    let answer = r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"Hi"}],"model":"claude-sonnet-4-5","stop_reason":"end_turn",
        "usage":{"input_tokens":2095,"cache_creation_input_tokens":300,"cache_read_input_tokens":1000,"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},"output_tokens":503,"server_tool_use":{"web_search_requests":2},"service_tier":"standard"}}"#;
    let usage = Usage {
        input: 3395,
        cached: 1000,
        cache_write: 200,
        cache_write_1h: 100,
        output: 503,
        searches: 2,
        tier: Tier::Standard,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
}

#[test]
fn anthropic_says_how_fast_and_where_and_how_much_was_thought() {
    let answer = |more: &str| {
        json(&format!(
            r#"{{"usage":{{"input_tokens":5,"output_tokens":9,"output_tokens_details":{{"thinking_tokens":4}},
                "service_tier":"standard",{more}}}}}"#
        ))
    };
    let usage = Usage {
        input: 5,
        output: 9,
        reasoning: 4,
        tier: Tier::Standard,
        ..Usage::default()
    };
    let usual = answer(r#""speed":"standard","inference_geo":"global""#);
    assert_eq!(usual, sound(usage));
    let both = answer(r#""speed":"fast","inference_geo":"us""#);
    let fast = Usage {
        tier: Tier::Fast,
        us: true,
        ..usage
    };
    assert_eq!(both, sound(fast));
}

#[test]
fn anthropic_streams_count_up_and_the_last_count_holds() {
    let stream = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","content":[],"usage":{"input_tokens":472,"cache_creation_input_tokens":0,"cache_read_input_tokens":100,"output_tokens":2,"service_tier":"batch"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"usage\":{\"output_tokens\":1}"}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":40}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":472,"cache_read_input_tokens":100,"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

"#;
    let usage = Usage {
        input: 572,
        cached: 100,
        output: 89,
        tier: Tier::Batch,
        ..Usage::default()
    };
    assert_eq!(events(stream), ended(usage));
}

#[test]
fn an_anthropic_stream_that_breaks_off_has_what_it_said_so_far() {
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n";
    let usage = Usage {
        input: 10,
        output: 1,
        ..Usage::default()
    };
    assert_eq!(events(stream), sound(usage));
}

#[test]
fn anthropic_token_counts_are_no_usage() {
    assert_eq!(json(r#"{"input_tokens":2095}"#).flaw, Some(Flaw::Missing));
}

#[test]
fn groq_says_it_twice_and_its_hardware_statistics_are_no_usage() {
    let stream = r#"data: {"id":"1","choices":[{"delta":{"content":"x"}}],"x_groq":{"id":"req_1"}}

data: {"id":"1","choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.01,"prompt_tokens":18,"prompt_time":0.001,"completion_tokens":30,"completion_time":0.1,"total_tokens":48,"total_time":0.11}}}

data: {"id":"1","choices":[],"usage":{"prompt_tokens":18,"completion_tokens":30,"total_tokens":48}}

data: [DONE]

"#;
    let usage = Usage {
        input: 18,
        output: 30,
        ..Usage::default()
    };
    assert_eq!(events(stream), ended(usage));
    let plain = r#"{"id":"1","choices":[],"usage":{"prompt_tokens":18,"completion_tokens":30,"total_tokens":48,"prompt_tokens_details":{"cached_tokens":8}},"service_tier":"on_demand","x_groq":{"id":"req_1","usage":{"dram_cached_tokens":0,"sram_cached_tokens":0}}}"#;
    let usage = Usage {
        cached: 8,
        tier: Tier::Standard,
        ..usage
    };
    assert_eq!(json(plain), sound(usage));
}

#[test]
fn deepseek_keeps_the_connection_open_with_comments_and_empty_lines() {
    let object = r#""usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36,"completion_tokens_details":{"reasoning_tokens":30}}"#;
    let usage = Usage {
        input: 100,
        cached: 64,
        output: 50,
        reasoning: 30,
        ..Usage::default()
    };
    let plain = format!("\n\n\n{{\"choices\":[],{object}}}");
    assert_eq!(json(&plain), sound(usage));
    let stream = format!(
        ": keep-alive\n\n: keep-alive\n\ndata: {{\"choices\":[{{\"finish_reason\":\"stop\"}}],{object}}}\n\ndata: [DONE]\n\n"
    );
    assert_eq!(events(&stream), ended(usage));
}

#[test]
fn thoughts_that_the_output_leaves_out_are_seen_by_the_total() {
    // xAI: completion 50, thoughts 200 beside it.
    let answer = r#"{"usage":{"prompt_tokens":30,"completion_tokens":50,"total_tokens":280,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":200},"num_sources_used":3}}"#;
    let usage = Usage {
        input: 30,
        cached: 4,
        output: 250,
        reasoning: 200,
        searches: 3,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
    // Google's OpenAI surface has been seen without any word of the thoughts but in the total.
    let answer = r#"{"usage":{"prompt_tokens":30,"completion_tokens":50,"total_tokens":280}}"#;
    assert_eq!(json(answer).usage.output, 250);
}

#[test]
fn inception_and_moonshot_have_flat_names() {
    let answer = r#"{"usage":{"prompt_tokens":30,"completion_tokens":50,"total_tokens":80,"reasoning_tokens":20,"cached_input_tokens":10}}"#;
    let usage = Usage {
        input: 30,
        cached: 10,
        output: 50,
        reasoning: 20,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
    let answer = r#"{"usage":{"prompt_tokens":30,"completion_tokens":50,"total_tokens":80,"cached_tokens":10}}"#;
    assert_eq!(json(answer).usage.cached, 10);
}

#[test]
fn openrouter_and_perplexity() {
    let answer = r#"{"usage":{"prompt_tokens":194,"completion_tokens":2,"total_tokens":196,"cost":0.95,"is_byok":false,"cost_details":{"upstream_inference_cost":19},"prompt_tokens_details":{"cached_tokens":10,"cache_write_tokens":100,"audio_tokens":0,"video_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#;
    let usage = Usage {
        input: 194,
        cached: 10,
        cache_write: 100,
        output: 2,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
    let answer = r#"{"usage":{"input_tokens":10,"output_tokens":20,"total_tokens":30,"input_tokens_details":{"cache_read_input_tokens":4}}}"#;
    assert_eq!(json(answer).usage.cached, 4);
}

#[test]
fn gemini_counts_thoughts_and_tools_beside() {
    let object = r#"{"promptTokenCount":100,"toolUsePromptTokenCount":20,"cachedContentTokenCount":40,"candidatesTokenCount":60,"thoughtsTokenCount":80,"totalTokenCount":260,"promptTokensDetails":[{"modality":"TEXT","tokenCount":70},{"modality":"IMAGE","tokenCount":30}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":9}]}"#;
    let usage = Usage {
        input: 120,
        cached: 40,
        image_input: 30,
        output: 140,
        reasoning: 80,
        audio_output: 9,
        ..Usage::default()
    };
    let answer =
        format!(r#"{{"candidates":[],"usageMetadata":{object},"modelVersion":"gemini-3"}}"#);
    assert_eq!(json(&answer), sound(usage));
    let first =
        r#"{"candidates":[],"usageMetadata":{"promptTokenCount":100,"totalTokenCount":100}}"#;
    assert_eq!(json(&format!("[{first},\n{answer}]")), sound(usage));
    assert_eq!(
        events(&format!("data: {first}\n\ndata: {answer}\n\n")),
        sound(usage)
    );
}

#[test]
fn images_and_speech() {
    let answer = r#"{"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":50,"output_tokens":4160,"total_tokens":4210,"input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens_details":{"image_tokens":4160}}}"#;
    let usage = Usage {
        input: 50,
        image_input: 40,
        output: 4160,
        image_output: 4160,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
    let answer = r#"{"text":"hi","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":45,"total_tokens":59}}"#;
    let usage = Usage {
        input: 14,
        audio_input: 14,
        output: 45,
        ..Usage::default()
    };
    assert_eq!(json(answer), sound(usage));
}

#[test]
fn compressed_answers_are_read_at_every_cut() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"xxxxxxxxxxxxxxxxxxxxxxxx\"}}]}\n\ndata: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}\n\ndata: [DONE]\n\n";
    let plain = report(Form::Events, Coding::Identity, &[stream.as_bytes()]);
    assert_eq!(
        (plain.usage.input, plain.flaw, plain.ended),
        (9, None, true)
    );
    for (coding, packed) in hostile::packed(stream.as_bytes()) {
        for cut in 0..=packed.len() {
            let (one, two) = packed.split_at(cut);
            assert_eq!(
                report(Form::Events, coding, &[one, two]),
                plain,
                "{coding:?} cut at {cut}"
            );
        }
    }
}
