"""`tollgate dev`, as on the first day: no config, no provider, no network; its echo answers on every surface."""

import json

import anthropic
import openai
import pytest

import stack
from clients import openai_client

MODEL = "echo:anything"
TEXT = "say this, please"
ASKED = [{"role": "user", "content": TEXT}]

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}
MESSAGES_TOOL = {"name": "get_weather", "input_schema": PARAMETERS}

# The echo calls a tool that the text asks it to call, with the arguments that stand there.
CALL = 'call get_weather {"city": "Paris"}'
CALLING = [{"role": "user", "content": CALL}]


def test_chat(openai_dev):
    answer = openai_dev.chat.completions.create(model=MODEL, messages=ASKED)
    assert answer.choices[0].message.content == TEXT
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0


def test_chat_streamed(openai_dev):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with openai_dev.chat.completions.create(model=MODEL, messages=ASKED, **options) as stream:
        chunks = list(stream)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == TEXT
    assert chunks[-1].usage.completion_tokens > 0


def test_chat_tools(openai_dev):
    answer = openai_dev.chat.completions.create(model=MODEL, messages=CALLING, tools=[CHAT_TOOL])
    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})


def test_completions(openai_dev):
    answer = openai_dev.completions.create(model=MODEL, prompt=TEXT)
    assert answer.choices[0].text == TEXT
    assert answer.usage.total_tokens > 0


def test_completions_streamed(openai_dev):
    with openai_dev.completions.create(model=MODEL, prompt=TEXT, stream=True) as stream:
        assert "".join(choice.text for chunk in stream for choice in chunk.choices) == TEXT


def test_responses(openai_dev):
    answer = openai_dev.responses.create(model=MODEL, input=TEXT)
    assert answer.output_text == TEXT
    assert answer.usage.output_tokens > 0


def test_responses_streamed(openai_dev):
    with openai_dev.responses.stream(model=MODEL, input=TEXT) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == TEXT
    assert final.usage.output_tokens > 0


def test_responses_tools(openai_dev):
    [call] = openai_dev.responses.create(model=MODEL, input=CALL, tools=[RESPONSES_TOOL]).output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Paris"})


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
def test_embeddings(encoding, openai_dev):
    answer = openai_dev.embeddings.create(model=MODEL, input=[TEXT, "another", TEXT], **encoding)
    first, other, again = (entry.embedding for entry in answer.data)
    assert len(first) > 0
    assert first == again != other
    assert answer.usage.prompt_tokens > 0


def test_message(anthropic_dev):
    answer = anthropic_dev.messages.create(model=MODEL, max_tokens=100, messages=ASKED)
    assert answer.content[0].text == TEXT
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


def test_message_streamed(anthropic_dev):
    with anthropic_dev.messages.stream(model=MODEL, max_tokens=100, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == TEXT
        assert stream.get_final_message().usage.output_tokens > 0


def test_message_tools_streamed(anthropic_dev):
    with anthropic_dev.messages.stream(model=MODEL, max_tokens=100, messages=CALLING, tools=[MESSAGES_TOOL]) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    [call] = final.content
    assert (call.name, call.input) == ("get_weather", {"city": "Paris"})


def test_tokens_are_counted_as_a_message_is(anthropic_dev):
    counted = anthropic_dev.messages.count_tokens(model=MODEL, messages=ASKED)
    answer = anthropic_dev.messages.create(model=MODEL, max_tokens=100, messages=ASKED)
    assert counted.input_tokens == answer.usage.input_tokens > 0


def test_the_echo_fails_as_its_models_name_says(openai_dev, anthropic_dev):
    with pytest.raises(openai.InternalServerError) as caught:
        openai_dev.chat.completions.create(model="echo:status-503", messages=ASKED)
    assert caught.value.status_code == 503
    with pytest.raises(anthropic.RequestTooLargeError):
        anthropic_dev.messages.create(model="echo:status-413", max_tokens=8, messages=ASKED)


def test_models_in_both_shapes(openai_dev, anthropic_dev):
    listed = {model.id for model in openai_dev.models.list()}
    also = {model.id for model in anthropic_dev.models.list(limit=1000)}
    assert "echo" in listed
    assert "echo" in also
    assert openai_dev.models.retrieve("echo").object == "model"
    assert anthropic_dev.models.retrieve("echo").type == "model"


def test_the_key_lives_as_long_as_the_data_folder(tmp_path):
    with stack.dev(tmp_path / "data") as first:
        pass
    with stack.dev(tmp_path / "data") as second, openai_client(second.gateway, key=first.gateway.key) as client:
        assert second.gateway.key == first.gateway.key
        assert client.chat.completions.create(model=MODEL, messages=ASKED).choices[0].message.content == TEXT
    with stack.dev(tmp_path / "other") as third:
        assert third.gateway.key != first.gateway.key
