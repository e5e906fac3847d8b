"""OpenAI's client for Azure, through the gateway: to a fake of Azure's paths, and to other providers of the same surfaces."""

import openai
import pytest

from clients import TIMEOUT

VERSION = "2025-01-01-preview"
MODEL = "gpt-4o-mini"

# How a request comes to the deployment `dep-chat`.
DEPLOYMENTS = ["dep-chat", "azure:dep-chat", "azure/dep-chat", "house-deployment"]


def azure_client(gateway, *, make=openai.AzureOpenAI, path="", **options):
    options = {"api_key": gateway.key, "max_retries": 0, "timeout": TIMEOUT} | options
    return make(azure_endpoint=gateway.url + path, api_version=VERSION, **options)


@pytest.fixture
def client(served, llmock):
    with azure_client(served.gateway) as client:
        yield client


def user(text):
    return [{"role": "user", "content": text}]


def joined(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_chat(name, client):
    raw = client.chat.completions.with_raw_response.create(model=name, messages=user("plain"))
    assert raw.headers["tollgate-model"] == "azure:dep-chat"
    assert raw.parse().choices[0].message.content == f"dep-chat at {VERSION}: plain"


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_chat_streamed(name, client):
    with client.chat.completions.create(model=name, messages=user("bits"), stream=True) as stream:
        assert joined(stream) == f"dep-chatat{VERSION}:bits"


def test_completions_and_embeddings(client):
    assert client.completions.create(model="dep-text", prompt="hi").choices[0].text == "dep-text: hi"
    answer = client.embeddings.create(model="azure:dep-vectors", input=["one", "two"], encoding_format="float")
    assert [entry.embedding for entry in answer.data] == [[0.5, 0.25]] * 2


def test_a_deployment_of_the_clients(served):
    with azure_client(served.gateway, azure_deployment="dep-chat") as client:
        answer = client.chat.completions.create(model="dep-chat", messages=user("set"))
        assert answer.choices[0].message.content.endswith(": set")
        with pytest.raises(openai.BadRequestError) as raised:
            client.chat.completions.create(model=MODEL, messages=user("two"))
        assert raised.value.code == "invalid_request"


def test_a_provider_in_the_endpoint(served):
    with azure_client(served.gateway, path="/azure") as client:
        assert client.chat.completions.create(model="dep-chat", messages=user("pinned")).usage.total_tokens == 11
        with pytest.raises(openai.NotFoundError) as raised:
            client.chat.completions.create(model="gone", messages=user("hi"))
        assert raised.value.code == "DeploymentNotFound"


@pytest.mark.parametrize("name", [MODEL, f"openai:{MODEL}", "house-chat"])
def test_chat_at_another_provider(name, client, llmock):
    answer = client.chat.completions.create(model=name, messages=user("elsewhere"))
    assert answer.choices[0].message.content == "Hello! You said: elsewhere"
    arrived = llmock.only_request()
    assert arrived["path"] == "/v1/chat/completions"
    assert arrived["body"]["model"] == MODEL


def test_responses_at_another_provider(client, llmock):
    answer = client.responses.create(model=f"openai:{MODEL}", input="respond")
    assert answer.output_text == "Hello! You said: respond"
    assert llmock.only_request()["path"] == "/v1/responses"


@pytest.mark.anyio
async def test_async(served):
    async with azure_client(served.gateway, make=openai.AsyncAzureOpenAI) as client:
        stream = await client.chat.completions.create(model="dep-chat", messages=user("later"), stream=True)
        assert joined([chunk async for chunk in stream]).endswith(":later")


def test_models_are_listed(client):
    assert {"dep-chat", MODEL} <= {model.id for model in client.models.list()}


def test_a_model_that_is_none(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=user("let me in"))
    assert caught.value.code == "model_not_found"
    assert caught.value.request_id == caught.value.response.headers["tollgate-request-id"]


def test_a_key_that_is_none(served):
    with azure_client(served.gateway, api_key="azure-of-somebody") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="dep-chat", messages=user("let me in"))
    assert caught.value.code == "invalid_access_key"
