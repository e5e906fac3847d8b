"""What an application sees when a stream breaks off after it began: an error that its client raises, never a good end.

After whole events it is an error of the API's own kind with the gateway's code in it. In the middle of an event the
client has half of one in its hands, and may stumble over that before it reads on: it raises all the same.
"""

import anthropic
import openai
import pytest

ASKED = [{"role": "user", "content": "anyone?"}]
WORDS = "One two three"


def chat(client, model):
    with client.chat.completions.create(model=model, messages=ASKED, stream=True) as stream:
        for chunk in stream:
            yield chunk.choices[0].delta.content or ""


def completions(client, model):
    with client.completions.create(model=model, prompt="anyone?", stream=True) as stream:
        for chunk in stream:
            yield chunk.choices[0].text


def responses(client, model):
    with client.responses.create(model=model, input="anyone?", stream=True) as stream:
        for event in stream:
            yield event.delta if event.type == "response.output_text.delta" else ""


def responses_helper(client, model):
    with client.responses.stream(model=model, input="anyone?") as stream:
        for event in stream:
            yield event.delta if event.type == "response.output_text.delta" else ""
        stream.get_final_response()


def chat_helper(client, model):
    with client.chat.completions.stream(model=model, messages=ASKED) as stream:
        for event in stream:
            yield event.delta if event.type == "content.delta" else ""
        stream.get_final_completion()


def messages(client, model):
    with client.messages.create(model=model, max_tokens=64, messages=ASKED, stream=True) as stream:
        for event in stream:
            yield event.delta.text if event.type == "content_block_delta" else ""


def messages_helper(client, model):
    with client.messages.stream(model=model, max_tokens=64, messages=ASKED) as stream:
        yield from stream.text_stream
        stream.get_final_message()


OPENAI = [chat, chat_helper, completions, responses, responses_helper]
ANTHROPIC = [messages, messages_helper]


def read(asked, client, model, raised):
    """The text until something is raised, and that."""
    pieces = []
    with pytest.raises(raised) as caught:
        for piece in asked(client, model):
            pieces.append(piece)
    return "".join(pieces), caught.value


@pytest.mark.parametrize("asked", OPENAI, ids=lambda asked: asked.__name__)
def test_openai_raises_its_error_after_whole_events(asked, openai_served):
    text, error = read(asked, openai_served, "breaking:m-between", openai.APIError)
    assert text == WORDS
    assert error.code == "all_candidates_failed"
    assert "broke off" in error.message


@pytest.mark.parametrize("asked", ANTHROPIC, ids=lambda asked: asked.__name__)
def test_anthropic_raises_its_error_after_whole_events(asked, anthropic_served):
    text, error = read(asked, anthropic_served, "breaking:m-between", anthropic.APIStatusError)
    assert text == WORDS
    assert error.body["error"]["code"] == "all_candidates_failed"
    assert "broke off" in error.message


@pytest.mark.parametrize("asked", OPENAI, ids=lambda asked: asked.__name__)
def test_openai_raises_in_the_middle_of_an_event(asked, openai_served):
    text, _ = read(asked, openai_served, "breaking:m-within", (openai.APIError, ValueError))
    assert text == WORDS


@pytest.mark.parametrize("asked", ANTHROPIC, ids=lambda asked: asked.__name__)
def test_anthropic_raises_in_the_middle_of_an_event(asked, anthropic_served):
    text, _ = read(asked, anthropic_served, "breaking:m-within", (anthropic.APIError, ValueError))
    assert text == WORDS


def test_what_a_provider_leaves_out_is_not_made_an_error(openai_served):
    # Its framing is in order; that nothing follows is for the client to judge.
    assert "".join(chat(openai_served, "breaking:m-unended")) == WORDS
