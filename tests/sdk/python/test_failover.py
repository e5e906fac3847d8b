"""What an application sees when a provider fails: another's answer, the failure as it came, or a stream that says so.

A gateway remembers who failed, so each test here has a failing provider of its own, at the first fake, which does as
it is told for the model `m-NAME`.
"""

import anthropic
import openai
import pytest

import stack

OPENAI = "openai:gpt-4o-mini"
CLAUDE = "anthropic:claude-haiku-4-5"
SPARE = "spare:spare-small"

# What the second fake answers, once it has seen the operator's key for it.
SPARE_SAYS = "The spare provider answers."

ASKED = [{"role": "user", "content": "anyone?"}]
AND_SPARE = {"extra_body": {"models": [SPARE]}}


def chat(client, **more):
    return client.chat.completions.create(messages=ASKED, **more)


def message(client, **more):
    return client.messages.create(max_tokens=64, messages=ASKED, **more)


@pytest.mark.parametrize("status", stack.FAILING_STATUS)
def test_the_next_provider_answers_a_chat(status, llmock, fakellm, openai_served):
    before = fakellm.answered("chat")
    llmock.fail(status, provider="openai", model=f"m-{status}")
    raw = openai_served.chat.completions.with_raw_response.create(
        model=f"fails-{status}:m-{status}", messages=ASKED, **AND_SPARE
    )
    assert raw.parse().choices[0].message.content == SPARE_SAYS
    assert llmock.only_request()["status"] == status
    assert fakellm.answered("chat") == before + 1
    first, second = raw.headers["tollgate-attempts"].split(",")
    assert f"fails-{status}:m-{status}" in first and str(status) in first
    assert SPARE in second
    assert raw.headers["tollgate-model"] == SPARE


@pytest.mark.parametrize("status", stack.FAILING_STATUS)
def test_the_next_provider_answers_a_message(status, llmock, fakellm, anthropic_served):
    before = fakellm.answered("messages")
    llmock.fail(status, provider="anthropic", model=f"m-{status}")
    answer = message(anthropic_served, model=f"fails-messages-{status}:m-{status}", **AND_SPARE)
    assert answer.content[0].text == SPARE_SAYS
    assert llmock.only_request()["status"] == status
    assert fakellm.answered("messages") == before + 1


def test_the_next_provider_of_a_virtual_model_streams_a_chat(llmock, openai_served):
    llmock.fail(500, provider="openai", model="m-stream")
    with chat(openai_served, model="house-with-spare", stream=True) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == SPARE_SAYS
    llmock.only_request()


def test_the_next_provider_streams_a_message(llmock, anthropic_served):
    llmock.fail(529, provider="anthropic", model="m-stream")
    asked = {"max_tokens": 64, "messages": ASKED, "model": "fails-messages-stream:m-stream", **AND_SPARE}
    with anthropic_served.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == SPARE_SAYS
    llmock.only_request()


def test_a_providers_own_no_is_the_answer_as_it_came(llmock, openai_served):
    llmock.fail(400, provider="openai", message="that is too long", code="context_length_exceeded")
    with pytest.raises(openai.BadRequestError) as caught:
        chat(openai_served, model=OPENAI, **AND_SPARE)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.body["message"] == "that is too long"
    llmock.only_request()


def test_a_providers_own_no_to_a_message_is_the_answer_as_it_came(llmock, anthropic_served):
    llmock.fail(413, provider="anthropic", message="that is too long")
    with pytest.raises(anthropic.RequestTooLargeError) as caught:
        message(anthropic_served, model=CLAUDE, **AND_SPARE)
    assert caught.value.body["error"]["message"] == "that is too long"
    llmock.only_request()


def test_the_last_failure_is_passed_on_when_all_have_failed(llmock, openai_served):
    llmock.fail(502, provider="openai", model="m-first", message="not here")
    llmock.fail(503, provider="openai", model="m-second", message="no room")
    with pytest.raises(openai.InternalServerError) as caught:
        chat(openai_served, model="fails-first:m-first", extra_body={"models": ["fails-second:m-second"]})
    assert caught.value.status_code == 503
    assert caught.value.body["message"] == "no room"
    assert [arrived["body"]["model"] for arrived in llmock.requests()] == ["m-first", "m-second"]


def test_no_failover_for_a_request_that_does_not_want_it(llmock, openai_served):
    llmock.fail(500, provider="openai", model="m-alone")
    with pytest.raises(openai.InternalServerError):
        chat(openai_served, model="fails-alone:m-alone", extra_headers={"Tollgate-Failover": "off"}, **AND_SPARE)
    llmock.only_request()


def test_a_chat_stream_that_the_provider_drops_does_not_look_complete(llmock, openai_served):
    llmock.script({"type": "stream_fault", "kind": "disconnect", "after_chunks": 3})
    pieces = []
    with pytest.raises(openai.APIError), chat(openai_served, model=OPENAI, stream=True) as stream:
        for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "")
    assert "".join(pieces).startswith("Hello!")
    llmock.only_request()


def test_a_message_stream_that_the_provider_drops_does_not_look_complete(llmock, anthropic_served):
    llmock.script({"type": "stream_fault", "kind": "disconnect", "after_chunks": 5})
    kinds = []
    with pytest.raises(anthropic.APIError), message(anthropic_served, model=CLAUDE, stream=True) as stream:
        for event in stream:
            kinds.append(event.type)
    assert kinds[0] == "message_start"
    assert "message_stop" not in kinds
    llmock.only_request()


def test_a_stream_that_the_client_leaves_ends_upstream(llmock, openai_served):
    llmock.script({"type": "stream_fault", "kind": "stall", "after_chunks": 3, "stall_seconds": 25})
    with chat(openai_served, model=OPENAI, stream=True) as stream:
        next(iter(stream))
    # The fake would have ended the stream in good order after its stall.
    assert not llmock.finished_request()["completed"]
