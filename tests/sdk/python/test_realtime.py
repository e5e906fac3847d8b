"""OpenAI's clients for the Realtime API, through the gateway, to a fake of it."""

import json
import time

import openai
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from clients import TIMEOUT, openai_client

SAID = "every word of it arrives"


@pytest.fixture
def client(served):
    with openai_client(served.gateway) as client:
        yield client


def message(text):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def words(connection):
    """What is said until the response is done, and what that used."""
    heard = []
    for event in connection:
        if event.type == "response.output_text.delta":
            heard.append(event.delta)
        if event.type == "response.done":
            return heard, event.response.usage


def usage_row(client, request):
    """What the gateway tells of a request, once that is written down."""
    deadline = time.monotonic() + TIMEOUT
    url = str(client.base_url).removesuffix("v1/") + f"tollgate/v1/requests/{request}"
    while True:
        answer = client._client.get(url, headers=client.auth_headers)
        if answer.status_code == 200:
            return answer.json()["attempts"][0]
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)


@pytest.mark.parametrize("model", ["talking:talker-1", "talking/talker-1", "talker-1", "house-talker"])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_conversation(model, compression, client):
    options = {"compression": compression}
    with client.realtime.connect(model=model, websocket_connection_options=options) as connection:
        opened = connection._connection.response.headers
        assert ("permessage-deflate" in opened.get("sec-websocket-extensions", "")) == bool(compression)
        request = opened["tollgate-request-id"]
        arrived = json.loads(connection.recv().session.instructions)
        for _ in range(2):
            connection.conversation.item.create(item=message(SAID))
            connection.response.create()
            heard, usage = words(connection)
            assert heard == SAID.split()
            assert (usage.input_tokens, usage.output_tokens) == (10, 20)
    assert arrived["path"] == "/v1/realtime?model=talker-1"
    assert arrived["authorization"] is None
    assert not [name for name in arrived["headers"] if name.startswith("tollgate-")]
    row = usage_row(client, request)
    assert (row["status"], row["credential"], row["estimated"]) == (101, "none", None)
    assert (row["tokens"]["input"], row["tokens"]["output"]) == (20, 40)


def test_a_key_of_the_clients_own_goes_on(served):
    with openai_client(served.gateway, key="sk-of-the-client") as client:
        headers = {"Tollgate-Key": served.gateway.key}
        with client.realtime.connect(model="talking:talker-1", extra_headers=headers) as connection:
            arrived = json.loads(connection.recv().session.instructions)
    assert arrived["authorization"] == "Bearer sk-of-the-client"


@pytest.mark.anyio
async def test_the_asynchronous_client(served):
    async with openai_client(served.gateway, make=openai.AsyncOpenAI) as client:
        async with client.realtime.connect(model="talking:talker-1") as connection:
            await connection.recv()
            await connection.conversation.item.create(item=message(SAID))
            await connection.response.create()
            heard = []
            async for event in connection:
                if event.type == "response.output_text.delta":
                    heard.append(event.delta)
                if event.type == "response.done":
                    break
            assert heard == SAID.split()


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        # Charged by the second, which no answer tells.
        ("openai:gpt-realtime-whisper", 403, "model_not_priced"),
        ("talking:nothing/like it?", None, None),
        ("groq:whatever", 400, "surface_not_supported"),
        ("nobody-has-this", 404, "model_not_found"),
    ],
)
def test_refusals_come_before_it_is_opened(model, status, code, client):
    if status is None:
        # Passed on as it is, however odd.
        with client.realtime.connect(model=model) as connection:
            arrived = json.loads(connection.recv().session.instructions)
        assert arrived["path"] == "/v1/realtime?model=nothing/like%20it%3F"
        return
    with pytest.raises(InvalidStatus) as raised:
        client.realtime.connect(model=model).enter()
    answer = raised.value.response
    assert answer.status_code == status
    assert json.loads(answer.body)["error"]["code"] == code
    assert answer.headers["tollgate-request-id"]


def test_responses_over_websocket_are_sent_back_to_http(client):
    with pytest.raises(InvalidStatus) as raised:
        client.responses.connect().enter()
    answer = raised.value.response
    assert answer.status_code == 426
    assert json.loads(answer.body)["error"]["code"] == "websocket_not_supported"


def rows(client, request, count):
    """What the gateway tells of a request, once so many responses of it have ended."""
    deadline = time.monotonic() + TIMEOUT
    url = str(client.base_url).removesuffix("v1/") + f"tollgate/v1/requests/{request}"
    while True:
        answer = client._client.get(url, headers=client.auth_headers)
        found = answer.json()["attempts"] if answer.status_code == 200 else []
        if len(found) == count and all(row["state"] != "held" for row in found):
            return found
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)


# By the prices of `speaking:speaker-1`: six tokens that were read, four from a cache, twenty that were written.
COST = "0.000048"


def test_on_the_gateways_key_each_response_is_charged(client):
    with client.realtime.connect(model="speaking:speaker-1") as connection:
        opened = connection._connection.response.headers
        arrived = json.loads(connection.recv().session.instructions)
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        for _ in range(2):
            connection.conversation.item.create(item=message(SAID))
            connection.response.create()
            assert words(connection)[0] == SAID.split()
    assert arrived["authorization"] == "Bearer speaking-of-the-operator"
    assert "sec-websocket-extensions" not in [name.lower() for name in arrived["headers"]]
    first, second, rest = rows(client, opened["tollgate-request-id"], 3)
    for row in (first, second):
        assert (row["credential"], row["estimated"], row["cost"]["total"]) == ("gateway", None, COST)
    assert rest["state"] == "void"


def until_granted(client):
    """Waits until the running gateway has seen what the account was granted."""
    deadline = time.monotonic() + TIMEOUT
    url = str(client.base_url).removesuffix("v1/") + "tollgate/v1/credit"
    while True:
        answer = client._client.get(url, headers=client.auth_headers)
        if answer.status_code == 200 and float(answer.json()["balance"]) > 0:
            return
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)


def test_without_credit_for_the_next_response_it_is_ended(served):
    gateway = served.gateway
    gateway.command("accounts", "create", "talker")
    # What is held for one response.
    gateway.command("credit", "grant", "talker", "0.0035")
    key = gateway.create_key("--name", "talker", "--account", "talker")
    with openai_client(gateway, key=key) as client:
        until_granted(client)
    with openai_client(gateway, key=key) as client, client.realtime.connect(model="speaking:speaker-1") as connection:
        connection.recv()
        connection.conversation.item.create(item=message(SAID))
        connection.response.create()
        assert words(connection)[0] == SAID.split()
        event = connection.recv()
        assert (event.type, event.error.type, event.error.code) == ("error", "insufficient_quota", "insufficient_credit")
        with pytest.raises(ConnectionClosedError) as closed:
            connection.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "insufficient_credit")
    with openai_client(gateway, key=key) as client, pytest.raises(InvalidStatus) as refused:
        client.realtime.connect(model="speaking:speaker-1").enter()
    assert refused.value.response.status_code == 402


def test_what_no_response_tells_the_cost_of_ends_it(client):
    with client.realtime.connect(model="speaking:speaker-1") as connection:
        connection.recv()
        audio = {"input": {"transcription": {"model": "whisper-1"}}}
        connection.session.update(session={"type": "realtime", "audio": audio})
        event = connection.recv()
        assert (event.type, event.error.code) == ("error", "not_on_gateway_credential")
        with pytest.raises(ConnectionClosedError):
            connection.recv()
