"""The gateway's own refusals as the official clients raise them: the class, the code, the words and the request's id."""

import time

import anthropic
import openai
import pytest

from clients import anthropic_client, openai_client

OPENAI = "openai:gpt-4o-mini"
CLAUDE = "anthropic:claude-haiku-4-5"
ASKED = [{"role": "user", "content": "let me in"}]

# Bytes. The operator's config takes bodies up to 1 MiB.
TOO_LARGE = 1024 * 1024 + 1


def chat(client, model=OPENAI, **more):
    return client.chat.completions.create(**{"model": model, "messages": ASKED} | more)


def message(client, model=CLAUDE, **more):
    return client.messages.create(**{"model": model, "messages": ASKED, "max_tokens": 8} | more)


def refused_by_openai(error, code):
    """The parts of an error in OpenAI's shape."""
    assert error.code == code
    assert error.type
    assert error.response.headers["tollgate-request-id"]
    return error.body["message"]


def refused_by_anthropic(error, code):
    """The parts of an error in Anthropic's shape."""
    assert error.body["type"] == "error"
    assert error.body["error"]["type"]
    assert error.body["error"]["code"] == code
    assert error.body["request_id"] == error.response.headers["tollgate-request-id"]
    return error.body["error"]["message"]


def mistyped(key):
    """`key` with one character in its middle exchanged."""
    middle = len(key) // 2
    return key[:middle] + ("b" if key[middle] == "a" else "a") + key[middle + 1 :]


@pytest.fixture
def calls(served, llmock):
    """Both surfaces, as (call, what it raises by status, reader of the error, model)."""
    with openai_client(served.gateway) as one, anthropic_client(served.gateway) as other:
        yield {
            "chat": (lambda **more: chat(one, **more), openai, refused_by_openai),
            "messages": (lambda **more: message(other, **more), anthropic, refused_by_anthropic),
        }
    assert llmock.requests() == [], "nothing that is refused reaches a provider"


# What is asked, the class that is raised, its status and code, and a word that the message has.
REFUSALS = {
    "unknown model": ({"model": "no-such-model"}, "NotFoundError", 404, "model_not_found", "no-such-model"),
    "unknown model, many": (
        {"model": "no-such-model", "extra_body": {"models": ["nor-this-one"]}},
        "NotFoundError",
        404,
        "model_not_found",
        "no-such-model",
    ),
    "model is empty": ({"model": ""}, "BadRequestError", 400, "invalid_request", "model"),
    "model is a number": ({"model": 4}, "BadRequestError", 400, "invalid_request", "model"),
    "model is null": ({"model": None}, "BadRequestError", 400, "invalid_request", "model"),
    "models is no list": ({"extra_body": {"models": "openai:gpt-4o"}}, "BadRequestError", 400, "invalid_request", "models"),
    "no such surface": ({"model": "fails-alone:m-alone"}, None, 400, "surface_not_supported", None),
    "provider without a key": ({"model": "deepseek:deepseek-chat"}, None, 503, "no_credential", "deepseek"),
    "body too large": (
        {"messages": [{"role": "user", "content": "x" * TOO_LARGE}]},
        None,
        413,
        "body_too_large",
        None,
    ),
    "provider cannot be reached": ({"model": "dead:any"}, "InternalServerError", 502, "all_candidates_failed", "dead"),
}


@pytest.mark.parametrize("surface", ["chat", "messages"])
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal(case, surface, calls):
    asked, raised, status, code, word = REFUSALS[case]
    if case == "no such surface":
        # A provider that speaks the other one only, for each.
        asked = {"model": "fails-messages-alone:m-alone"} if surface == "chat" else asked
    call, library, read = calls[surface]
    with pytest.raises(library.APIStatusError) as caught:
        call(**asked)
    assert caught.value.status_code == status
    assert raised is None or isinstance(caught.value, getattr(library, raised))
    said = read(caught.value, code)
    assert word is None or word in said


def test_a_message_too_large_has_a_class_of_its_own(calls):
    call, library, _ = calls["messages"]
    with pytest.raises(library.RequestTooLargeError):
        call(messages=[{"role": "user", "content": "x" * TOO_LARGE}])


def test_near_names_are_named(openai_served):
    with pytest.raises(openai.NotFoundError) as caught:
        chat(openai_served, model="gpt-4o-mimi")
    assert "gpt-4o-mini" in refused_by_openai(caught.value, "model_not_found")


@pytest.mark.parametrize("key", ["tg-", "sk-proj-of-a-provider", "mistyped", "twice"])
def test_a_key_that_is_none(key, served, llmock):
    wrong = {"mistyped": mistyped(served.gateway.key), "twice": served.gateway.key * 2}.get(key, key)
    with openai_client(served.gateway, key=wrong) as client, pytest.raises(openai.AuthenticationError) as caught:
        chat(client)
    assert wrong not in refused_by_openai(caught.value, "invalid_access_key")
    with anthropic_client(served.gateway, key=wrong) as client, pytest.raises(anthropic.AuthenticationError) as caught:
        message(client)
    assert wrong not in refused_by_anthropic(caught.value, "invalid_access_key")
    assert llmock.requests() == []


def test_what_a_retry_cannot_mend_is_not_retried(served, llmock):
    """Two retries of a client that is told not to would take it a second and a half at least."""
    for make, call in ((openai_client, chat), (anthropic_client, message)):
        with make(served.gateway, max_retries=2) as client:
            started = time.monotonic()
            with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
                call(client, model="dead:any")
            assert time.monotonic() - started < 1
            assert caught.value.response.headers["x-should-retry"] == "false"
            assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_a_path_that_is_not_served(openai_served):
    with pytest.raises(openai.NotFoundError) as caught:
        openai_served.get("/no/such/path", cast_to=object)
    refused_by_openai(caught.value, "unknown_path")


def test_a_key_that_may_not_use_a_model(served, llmock):
    key = served.gateway.create_key("--name", "narrow", "--deny-model", "gpt-4o-mini")
    with openai_client(served.gateway, key=key) as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            chat(client)
        assert "gpt-4o-mini" in refused_by_openai(caught.value, "model_not_allowed")
        assert chat(client, model="openai:gpt-4o").choices
    assert llmock.only_request()["body"]["model"] == "gpt-4o"


def test_a_revoked_key_stops_working_within_a_second_or_so(served):
    key = served.gateway.create_key("--name", "short-lived")
    with openai_client(served.gateway, key=key) as client:
        assert chat(client).choices
        served.gateway.command("keys", "revoke", key)
        revoked = time.monotonic()
        with pytest.raises(openai.AuthenticationError) as caught:
            while time.monotonic() < revoked + 5:
                chat(client)
                time.sleep(0.05)
        assert time.monotonic() - revoked < 2
        refused_by_openai(caught.value, "invalid_access_key")
