"""The official Anthropic client, through the gateway, to an Anthropic-format provider, named in each way there is."""

import anthropic
import pytest

from clients import TIMEOUT, anthropic_client

MODEL = "claude-haiku-4-5"

# How a request comes to `anthropic` and `claude-haiku-4-5`. `dead` refuses connections.
WAYS = {
    "prefix": {"model": f"anthropic:{MODEL}"},
    "catalog": {"model": MODEL},
    "virtual": {"model": "house-claude"},
    "models": {"model": "dead:any", "extra_body": {"models": [f"anthropic:{MODEL}"]}},
}

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}


@pytest.fixture(params=WAYS)
def way(request, llmock):
    return WAYS[request.param]


def said(text):
    """What the fake answers to `text`."""
    return f"Hello! You said: {text}"


def asking(text, **more):
    return {"max_tokens": 512, "messages": [{"role": "user", "content": text}], **more}


def delivered(llmock):
    """The one request that `anthropic` got, and that nobody else did."""
    arrived = llmock.only_request()
    assert arrived["provider"] == "anthropic"
    assert arrived["path"] == "/anthropic/v1/messages"
    assert arrived["status"] == 200
    assert arrived["body"]["model"] == MODEL
    assert "models" not in arrived["body"]
    return arrived


def test_message(way, llmock, anthropic_served):
    answer = anthropic_served.messages.create(**asking("plain", system="Be brief."), **way)
    assert [block.text for block in answer.content] == [said("plain")]
    assert answer.stop_reason == "end_turn"
    assert answer.model == MODEL
    assert answer.usage.output_tokens > 0
    assert delivered(llmock)["body"] == asking("plain", system="Be brief.", model=MODEL)


def test_message_says_who_answered(way, llmock, anthropic_served):
    raw = anthropic_served.messages.with_raw_response.create(**asking("who"), **way)
    assert raw.headers["tollgate-model"] == f"anthropic:{MODEL}"
    assert raw.headers["tollgate-credential"] == "gateway"
    assert raw.headers["tollgate-request-id"]
    assert raw.parse().content[0].text == said("who")
    assert raw.headers["tollgate-attempts"].count(f"anthropic:{MODEL}") == 1


def test_message_streamed(way, llmock, anthropic_served):
    with anthropic_served.messages.create(**asking("one two three"), stream=True, **way) as stream:
        events = list(stream)
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(deltas) == said("one two three")
    assert len(deltas) > 3
    assert delivered(llmock)["body"] == asking("one two three", stream=True, model=MODEL)


def test_message_streamed_by_the_helper(way, llmock, anthropic_served):
    with anthropic_served.messages.stream(**asking("helped along"), **way) as stream:
        assert "".join(stream.text_stream) == said("helped along")
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0
    delivered(llmock)


def test_tools(way, llmock, anthropic_served):
    asked = asking("What is the weather in Paris?", tools=[WEATHER])
    first = anthropic_served.messages.create(**asked, **way)
    [call] = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert call.name == "get_weather"
    assert set(call.input) == {"city", "days"}
    assert delivered(llmock)["body"]["tools"] == [WEATHER]

    # The next turn carries what the model said and the tool's result, as an agent's loop does.
    llmock.reset()
    asked["messages"] += [
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    second = anthropic_served.messages.create(model=MODEL, **asked)
    assert second.stop_reason == "end_turn"
    assert delivered(llmock)["body"]["messages"] == asked["messages"]


def test_tools_streamed(way, llmock, anthropic_served):
    with anthropic_served.messages.stream(**asking("What is the weather in Rome?", tools=[WEATHER]), **way) as stream:
        parts = [event.delta.partial_json for event in stream if event.type == "content_block_delta"]
        final = stream.get_final_message()
    [call] = final.content
    assert (call.type, call.name, set(call.input)) == ("tool_use", "get_weather", {"city", "days"})
    assert len(parts) > 1
    delivered(llmock)


def test_a_key_as_a_bearer_token(llmock, served):
    token = {"auth_token": served.gateway.key, "api_key": None}
    with anthropic.Anthropic(base_url=served.gateway.url, timeout=TIMEOUT, max_retries=0, **token) as client:
        answer = client.messages.create(model=MODEL, **asking("bearer"))
    assert answer.content[0].text == said("bearer")
    delivered(llmock)


@pytest.mark.anyio
async def test_async_message(way, llmock, async_anthropic):
    answer = await async_anthropic.messages.create(**asking("later"), **way)
    assert answer.content[0].text == said("later")
    delivered(llmock)


@pytest.mark.anyio
async def test_async_message_streamed(way, llmock, async_anthropic):
    async with async_anthropic.messages.stream(**asking("later in bits"), **way) as stream:
        assert "".join([text async for text in stream.text_stream]) == said("later in bits")
    delivered(llmock)


def test_the_models_of_the_catalog_are_listed(anthropic_served):
    models = {model.id: model for model in anthropic_served.models.list(limit=1000)}
    assert {MODEL, "house-claude"} <= set(models)
    assert models[MODEL].type == "model"
    assert models[MODEL].display_name


@pytest.mark.parametrize("name", [MODEL, "house-claude"])
def test_a_model_is_retrieved(name, anthropic_served):
    assert anthropic_served.models.retrieve(name).id == name


def test_a_model_that_is_not_there_is_not_found(anthropic_served):
    with pytest.raises(anthropic.NotFoundError) as caught:
        anthropic_served.models.retrieve("claude-haiku-4-55")
    assert caught.value.body["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/anthropic", "/anthropic/v1"])
def test_every_base_url_that_people_write_works(path, served, llmock):
    with anthropic_client(served.gateway, path=path) as client:
        answer = client.messages.create(model=MODEL, **asking("by any road"))
    assert answer.content[0].text == said("by any road")
    delivered(llmock)
