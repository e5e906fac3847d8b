"""The official OpenAI client, through the gateway, to an OpenAI-format provider, named in each way there is."""

import json

import openai
import pytest

from clients import openai_client

MODEL = "gpt-4o-mini"
GROQ = "groq:openai/gpt-oss-20b"

# How a request comes to `openai` and `gpt-4o-mini`, and what has to fail before it does.
WAYS = {
    "prefix": {"model": f"openai:{MODEL}"},
    "catalog": {"model": MODEL},
    "virtual": {"model": "house-chat"},
    "models": {"model": GROQ, "extra_body": {"models": [f"openai:{MODEL}"]}},
}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture(params=WAYS)
def way(request, llmock):
    if request.param == "models":
        llmock.fail(503, provider="groq")
    return WAYS[request.param]


def said(text):
    """What the fake answers to `text`."""
    return f"Hello! You said: {text}"


def user(text):
    return [{"role": "user", "content": text}]


def delivered(llmock):
    """The one request that `openai` got: nothing was sent to it twice, and no client retried."""
    [arrived] = [request for request in llmock.requests() if request["provider"] == "openai"]
    assert arrived["status"] == 200
    assert arrived["sdk_retry_count"] == 0
    assert arrived["body"]["model"] == MODEL
    assert "models" not in arrived["body"]
    return arrived


def joined(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_chat(way, llmock, openai_served):
    answer = openai_served.chat.completions.create(messages=user("plain"), temperature=0.25, **way)
    assert answer.choices[0].message.content == said("plain")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert delivered(llmock)["body"] == {"model": MODEL, "messages": user("plain"), "temperature": 0.25}


def test_chat_says_who_answered(way, llmock, openai_served):
    raw = openai_served.chat.completions.with_raw_response.create(messages=user("who"), **way)
    assert raw.headers["tollgate-model"] == f"openai:{MODEL}"
    assert raw.headers["tollgate-credential"] == "gateway"
    assert raw.headers["tollgate-request-id"]
    assert raw.parse().choices[0].message.content == said("who")
    assert raw.headers["tollgate-attempts"].count(f"openai:{MODEL}") == 1


def test_chat_streamed(way, llmock, openai_served):
    stream = openai_served.chat.completions.create(messages=user("one two three"), stream=True, **way)
    with stream:
        chunks = list(stream)
    assert joined(chunks) == said("one two three")
    assert len(chunks) > 5
    assert chunks[-1].choices[0].finish_reason == "stop"
    # The gateway asks for the usage, and takes out the event that tells it: the client did not ask.
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    asked = {"model": MODEL, "messages": user("one two three"), "stream": True}
    assert delivered(llmock)["body"] == {**asked, "stream_options": {"include_usage": True}}


def test_chat_streamed_with_usage(way, llmock, openai_served):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with openai_served.chat.completions.create(messages=user("counted"), **options, **way) as stream:
        chunks = list(stream)
    assert joined(chunks) == said("counted")
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert delivered(llmock)["body"]["stream_options"] == {"include_usage": True}


def test_chat_streamed_by_the_helper(way, llmock, openai_served):
    with openai_served.chat.completions.stream(messages=user("helped along"), **way) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == said("helped along")
    delivered(llmock)


def test_chat_tools(way, llmock, openai_served):
    messages = user("What is the weather in Paris?")
    first = openai_served.chat.completions.create(messages=messages, tools=[WEATHER], **way)
    [call] = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city", "days"}
    assert delivered(llmock)["body"]["tools"] == [WEATHER]

    # The next turn carries what the model said and the tool's result, as an agent's loop does.
    llmock.reset()
    turn = [first.choices[0].message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    second = openai_served.chat.completions.create(messages=messages + turn, tools=[WEATHER], model=f"openai:{MODEL}")
    assert second.choices[0].finish_reason == "stop"
    assert "rain" in second.choices[0].message.content
    assert delivered(llmock)["body"]["messages"] == messages + turn


def test_chat_tools_streamed(way, llmock, openai_served):
    asked = {"messages": user("What is the weather in Rome?"), "tools": [WEATHER], "stream": True}
    name, arguments = "", ""
    with openai_served.chat.completions.create(**asked, **way) as stream:
        for chunk in stream:
            for part in chunk.choices[0].delta.tool_calls or []:
                name += part.function.name or ""
                arguments += part.function.arguments or ""
    assert name == "get_weather"
    assert set(json.loads(arguments)) == {"city", "days"}
    delivered(llmock)


def test_chat_with_text_that_is_not_ascii(way, llmock, openai_served):
    text = 'καλημέρα 🌦️ "model": "x" \\ \u2028 \x7f'
    openai_served.chat.completions.create(messages=user(text), **way)
    assert delivered(llmock)["body"]["messages"] == user(text)


def test_a_long_conversation(way, llmock, openai_served):
    messages = [turn for n in range(1000) for turn in user(f"turn {n} " + "word " * 60)]
    answer = openai_served.chat.completions.create(messages=messages, **way)
    assert answer.choices[0].message.content.startswith("Hello!")
    # Past what the fake's journal keeps of a body; that it understood every word shows in its count.
    assert answer.usage.prompt_tokens == sum(len(turn["content"]) // 4 for turn in messages)


def test_responses(way, llmock, openai_served):
    if way is WAYS["models"]:
        # The Groq of this fake speaks chat alone; without its own failure it answers 404, which is an answer.
        way = {"model": "dead:any", "extra_body": {"models": [f"openai:{MODEL}"]}}
    answer = openai_served.responses.create(input="respond", **way)
    assert answer.output_text == said("respond")
    assert answer.status == "completed"
    assert answer.usage.total_tokens > 0
    assert delivered(llmock)["path"] == "/v1/responses"


def test_responses_streamed(llmock, openai_served):
    with openai_served.responses.create(model=MODEL, input="respond in bits", stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == said("respond in bits")
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == said("respond in bits")
    delivered(llmock)


def test_responses_tools_streamed(llmock, openai_served):
    tool = {"type": "function", **WEATHER["function"], "strict": False}
    with openai_served.responses.stream(model=MODEL, input="What is the weather in Oslo?", tools=[tool]) as stream:
        for _ in stream:
            pass
        [call] = stream.get_final_response().output
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert set(json.loads(call.arguments)) == {"city", "days"}
    delivered(llmock)


@pytest.mark.parametrize("model", ["openai:text-embedding-3-small", "text-embedding-3-small", "house-vectors"])
@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
def test_embeddings(model, encoding, llmock, openai_served):
    answer = openai_served.embeddings.create(model=model, input=["one", "two"], **encoding)
    assert [len(entry.embedding) for entry in answer.data] == [1536, 1536]
    assert [entry.index for entry in answer.data] == [0, 1]
    arrived = llmock.only_request()
    assert arrived["path"] == "/v1/embeddings"
    assert arrived["body"]["model"] == "text-embedding-3-small"
    assert arrived["body"]["input"] == ["one", "two"]


@pytest.mark.anyio
async def test_async_chat(way, llmock, async_openai):
    answer = await async_openai.chat.completions.create(messages=user("later"), **way)
    assert answer.choices[0].message.content == said("later")
    delivered(llmock)


@pytest.mark.anyio
async def test_async_chat_streamed(way, llmock, async_openai):
    stream = await async_openai.chat.completions.create(messages=user("later in bits"), stream=True, **way)
    async with stream:
        chunks = [chunk async for chunk in stream]
    assert joined(chunks) == said("later in bits")
    delivered(llmock)


@pytest.mark.anyio
async def test_async_responses_streamed(llmock, async_openai):
    stream = await async_openai.responses.create(model=MODEL, input="later", stream=True)
    async with stream:
        events = [event async for event in stream]
    assert events[-1].response.output_text == said("later")
    delivered(llmock)


def test_the_models_of_the_catalog_are_listed(openai_served):
    models = {model.id: model for model in openai_served.models.list()}
    assert {MODEL, "claude-haiku-4-5", "house-chat"} <= set(models)
    assert models[MODEL].object == "model"
    assert models[MODEL].created >= 0  # 0: the catalog does not know
    assert models[MODEL].owned_by


@pytest.mark.parametrize("name", [MODEL, "house-chat"])
def test_a_model_is_retrieved(name, openai_served):
    assert openai_served.models.retrieve(name).id == name


def test_a_model_that_is_not_there_is_not_found(openai_served):
    with pytest.raises(openai.NotFoundError) as caught:
        openai_served.models.retrieve("gpt-4o-minimal")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/v1", "/openai", "/openai/v1"])
def test_every_base_url_that_people_write_works(path, served, llmock):
    with openai_client(served.gateway, path=path) as client:
        answer = client.chat.completions.create(model=MODEL, messages=user("by any road"))
    assert answer.choices[0].message.content == said("by any road")
    delivered(llmock)
