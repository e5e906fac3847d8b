"""The official Google client, through the gateway, in Gemini's own API: to a fake of it that others wrote, and to one of our
own for what that does not speak."""

import pytest
from google import genai
from google.genai import types

from clients import gemini_client

MODEL = "gemini-2.5-flash"

# How a request comes to `google` and that model.
WAYS = [MODEL, f"google:{MODEL}", f"gemini/{MODEL}", f"gemini:{MODEL}", f"models/{MODEL}", "house-gemini"]

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}


@pytest.fixture(params=["v1", "v1beta"])
def client(request, served, llmock):
    with gemini_client(served.gateway, version=request.param) as client:
        yield client


def delivered(llmock, method="generateContent"):
    """The one request that `google` got."""
    arrived = llmock.only_request()
    assert arrived["status"] == 200
    assert arrived["path"] == f"/gemini/v1beta/models/{MODEL}:{method}"
    return arrived


@pytest.mark.parametrize("name", WAYS)
def test_generate(name, client, llmock):
    config = {"temperature": 0.25, "max_output_tokens": 64, "system_instruction": "Be brief"}
    answer = client.models.generate_content(model=name, contents="plain", config=config)
    assert "plain" in answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count > 0
    headers = answer.sdk_http_response.headers
    assert headers["tollgate-model"] == f"google:{MODEL}"
    assert headers["tollgate-credential"] == "gateway"
    assert "tollgate-edits" not in headers
    body = delivered(llmock)["body"]
    assert body["contents"] == [{"parts": [{"text": "plain"}], "role": "user"}]
    assert body["generationConfig"] == {"temperature": 0.25, "maxOutputTokens": 64}


@pytest.mark.parametrize("name", WAYS)
def test_generate_streamed(name, client, llmock):
    chunks = list(client.models.generate_content_stream(model=name, contents="one two three"))
    assert "one two three" in "".join(chunk.text or "" for chunk in chunks)
    assert len(chunks) > 2
    assert chunks[-1].usage_metadata.candidates_token_count > 0
    delivered(llmock, "streamGenerateContent")


def test_tools(client, llmock):
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[WEATHER])])
    question = types.UserContent("What is the weather in Paris?")
    first = client.models.generate_content(model=f"google:{MODEL}", contents=question, config=config)
    [call] = first.function_calls
    assert call.name == "get_weather" and set(call.args) == {"city"}
    delivered(llmock)

    # The next turn carries what the model said and the function's result, as an agent's loop does.
    llmock.reset()
    result = types.Part.from_function_response(name=call.name, response={"said": "rain"})
    turns = [question, first.candidates[0].content, types.UserContent(result)]
    client.models.generate_content(model=MODEL, contents=turns, config=config)
    assert len(delivered(llmock)["body"]["contents"]) == 3


def test_a_picture(client, llmock):
    picture = types.Part.from_bytes(data=b"\x89PNG\r\n\x1a\n" * 100, mime_type="image/png")
    answer = client.models.generate_content(model=MODEL, contents=["What is this?", picture])
    assert "What is this?" in answer.text
    [part] = [part for part in delivered(llmock)["body"]["contents"][0]["parts"] if "inlineData" in part]
    # So the client spells it.
    assert part["inlineData"]["mime_type"] == "image/png"


def test_a_chat(client, llmock):
    chat = client.chats.create(model="house-gemini")
    assert "first" in chat.send_message("first").text
    llmock.reset()
    assert "second" in "".join(chunk.text or "" for chunk in chat.send_message_stream("second"))
    assert len(delivered(llmock, "streamGenerateContent")["body"]["contents"]) == 3


@pytest.mark.anyio
async def test_async(served, llmock):
    client = gemini_client(served.gateway).aio
    answer = await client.models.generate_content(model=MODEL, contents="later")
    assert "later" in answer.text
    delivered(llmock)
    llmock.reset()
    stream = await client.models.generate_content_stream(model=f"google:{MODEL}", contents="later in bits")
    assert "later in bits" in "".join([chunk.text or "" async for chunk in stream])
    delivered(llmock, "streamGenerateContent")


@pytest.mark.parametrize("path", ["", "/", "/v1", "/google", "/gemini", "/google/v1"])
def test_every_base_url_that_people_write_works(path, served, llmock):
    with gemini_client(served.gateway, path=path) as client:
        assert "by any road" in client.models.generate_content(model=MODEL, contents="by any road").text
    delivered(llmock)


@pytest.mark.parametrize("name", ["count-1", "shapes:count-1"])
def test_tokens_are_counted(name, client):
    assert client.models.count_tokens(model=name, contents="how many?").total_tokens == 7


@pytest.mark.parametrize("name", ["vector-1", "shapes:vector-1", "house-vector", "shapes/vector-1"])
@pytest.mark.parametrize("texts", ["one", ["one", "two"]])
def test_vectors(name, texts, client):
    """The client says the model again in the body, where the fake takes its own id only."""
    answer = client.models.embed_content(model=name, contents=texts)
    assert [len(vector.values) for vector in answer.embeddings] == [3] * (1 if texts == "one" else 2)


def reason(error):
    """The gateway's code, and that the request's id is where the client can read it."""
    [info, request] = error.details["error"]["details"]
    assert request["requestId"] == error.response.headers["tollgate-request-id"]
    return info["reason"]


SEARCH = {"tools": [{"google_search": {}}]}

# Model, config, the status and what it is called, and the gateway's code.
REFUSALS = {
    "unknown model": ("no-such-model", {}, 404, "NOT_FOUND", "model_not_found"),
    "not at the provider's surface": ("groq:openai/gpt-oss-20b", {}, 400, "INVALID_ARGUMENT", "surface_not_supported"),
    "a tool of the provider's": (MODEL, SEARCH, 403, "PERMISSION_DENIED", "not_on_gateway_credential"),
    "sound": (MODEL, {"response_modalities": ["AUDIO"]}, 403, "PERMISSION_DENIED", "not_on_gateway_credential"),
    "kept": (MODEL, {"cached_content": "cachedContents/x"}, 403, "PERMISSION_DENIED", "not_on_gateway_credential"),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal(case, streamed, client, llmock):
    model, config, status, name, code = REFUSALS[case]
    with pytest.raises(genai.errors.ClientError) as raised:
        if streamed:
            list(client.models.generate_content_stream(model=model, contents="let me in", config=config))
        else:
            client.models.generate_content(model=model, contents="let me in", config=config)
    assert (raised.value.code, raised.value.status) == (status, name)
    assert reason(raised.value) == code
    assert llmock.requests() == [], "nothing that is refused reaches a provider"


def test_a_key_that_is_none(served):
    with gemini_client(served.gateway, key="AIza-of-somebody") as client, pytest.raises(genai.errors.ClientError) as raised:
        client.models.generate_content(model=MODEL, contents="let me in")
    assert (raised.value.code, raised.value.status) == (401, "UNAUTHENTICATED")
    assert reason(raised.value) == "invalid_access_key"
    assert "AIza-of-somebody" not in str(raised.value)


def test_an_error_of_the_provider_comes_as_it_is(client, llmock):
    llmock.fail(429, provider="gemini", times=9)
    with pytest.raises(genai.errors.ClientError) as raised:
        client.models.generate_content(model=MODEL, contents="too many")
    assert (raised.value.code, raised.value.status) == (429, "RESOURCE_EXHAUSTED")
