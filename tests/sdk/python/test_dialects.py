"""Each of the gateway's own errors, as each official client raises it: the class for its status, our code and the
request's id where the client has them, and retried or not as we mean it. `refusals.py` says how each comes about."""

import pathlib
import re
import time

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

import refusals
from clients import TIMEOUT

# How often the clients ask again; two is what OpenAI's and Anthropic's do by themselves.
RETRIES = 2
MESSAGES = [{"role": "user", "content": "hi"}]
ERRORS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "errors.md"


class OpenAI:
    """`ask` by one of the client's surfaces."""

    api = "openai"
    library = openai
    # Others are `APIStatusError` itself, but for 5xx.
    classes = {
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        429: "RateLimitError",
    }
    server_class = "InternalServerError"
    retries = RETRIES

    @staticmethod
    def make(gateway, base, key, headers):
        return openai.OpenAI(
            base_url=f"{gateway.url}{base or '/v1'}", api_key=key, max_retries=RETRIES, timeout=TIMEOUT, default_headers=headers
        )

    @staticmethod
    def get(client, url):
        client.get(url, cast_to=object)

    @staticmethod
    def ask(client, model, text, body, streamed):
        messages = [{"role": "user", "content": text}]
        answer = client.chat.completions.create(model=model, messages=messages, stream=streamed, extra_body=body)
        for _ in answer if streamed else ():
            pass

    @staticmethod
    def read(error):
        """The code, the request's id and the words."""
        return error.code, error.request_id, error.body["message"]

    @staticmethod
    def read_in_stream(error):
        return error.code, error.body["request_id"], error.message


class Responses(OpenAI):
    @staticmethod
    def ask(client, model, text, body, streamed):
        answer = client.responses.create(model=model, input=text, stream=streamed, extra_body=body)
        for _ in answer if streamed else ():
            pass


class Anthropic:
    api = "anthropic"
    library = anthropic
    classes = OpenAI.classes | {
        402: "PaymentRequiredError",
        413: "RequestTooLargeError",
        431: "RequestHeaderFieldsTooLargeError",
        503: "ServiceUnavailableError",
        504: "GatewayTimeoutError",
    }
    server_class = "InternalServerError"
    retries = RETRIES

    @staticmethod
    def make(gateway, base, key, headers):
        return anthropic.Anthropic(
            base_url=f"{gateway.url}{base}", api_key=key, max_retries=RETRIES, timeout=TIMEOUT, default_headers=headers
        )

    @staticmethod
    def get(client, url):
        client.get(url, cast_to=object)

    @staticmethod
    def ask(client, model, text, body, streamed):
        messages = [{"role": "user", "content": text}]
        answer = client.messages.create(model=model, max_tokens=99, messages=messages, stream=streamed, extra_body=body)
        for _ in answer if streamed else ():
            pass

    @staticmethod
    def read(error):
        told = error.body["error"]
        assert (error.body["type"], told["code"], error.api_message) == ("error", error.error_code, told["message"])
        assert error.body["request_id"] == error.request_id
        return error.error_code, error.request_id, told["message"]

    @staticmethod
    def read_in_stream(error):
        return error.error_code, error.body["request_id"], error.api_message


class Gemini:
    api = "gemini"
    library = errors
    classes = {}
    server_class = "ServerError"
    # Unless it is told to; it looks at the status alone then.
    retries = 0

    @staticmethod
    def make(gateway, base, key, headers):
        options = types.HttpOptions(base_url=f"{gateway.url}{base}", headers=headers, timeout=TIMEOUT * 1000)
        return genai.Client(api_key=key, http_options=options)

    @staticmethod
    def ask(client, model, text, body, streamed):
        config = types.GenerateContentConfig(http_options=types.HttpOptions(extra_body=body))
        asked = client.models.generate_content_stream if streamed else client.models.generate_content
        answer = asked(model=model, contents=text, config=config)
        for _ in answer if streamed else ():
            pass

    @staticmethod
    def read(error):
        told = error.details["error"]
        assert (told["code"], told["status"], told["message"]) == (error.code, error.status, error.message)
        info, request = told["details"]
        return info["reason"], request["requestId"], error.message

    read_in_stream = read


CLIENTS = [OpenAI, Responses, Anthropic, Gemini]


def expected_class(client, status):
    """The class that a client documents for a status."""
    if client is Gemini:
        return errors.ClientError if status < 500 else errors.ServerError
    usual = client.server_class if status >= 500 else "APIStatusError"
    return getattr(client.library, client.classes.get(status, usual))


@pytest.fixture(scope="module")
def gateways():
    with refusals.serve() as served:
        yield served


def by_api(row, name, client, default):
    """A value of the row, which may be there for each API."""
    value = row.get(name, default)
    if isinstance(value, dict) and set(value) <= {"openai", "anthropic", "gemini"}:
        return value.get(client.api, default)
    return value


def provoke(client, gateway, row, streamed):
    key = gateway.keys[row.get("key", "usual")]
    made = client.make(gateway, row.get("base", ""), key, row.get("headers", {}))
    with made:
        if path := by_api(row, "get", client, None):
            client.get(made, gateway.url + path)
        else:
            model = by_api(row, "model", client, "house:any")
            client.ask(made, model, row.get("text", "hi"), by_api(row, "body", client, {}), streamed)


def raised_by(client, gateway, row, streamed=False):
    with pytest.raises((openai.OpenAIError, anthropic.AnthropicError, errors.APIError)) as caught:
        provoke(client, gateway, row, streamed)
    return caught.value


def named(row):
    return "-".join(filter(None, [row["code"], row.get("how")]))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__.lower())
@pytest.mark.parametrize("row", refusals.TABLE, ids=named)
def test_an_error(row, client, streamed, gateways):
    if client.api in row.get("without", {}):
        return
    gateway = gateways[row.get("gateway", "usual")]
    before, began = gateway.refused(row["code"]), time.monotonic()
    error = raised_by(client, gateway, row, streamed)
    took = time.monotonic() - began

    assert type(error) is expected_class(client, row["status"])
    assert (error.code if client is Gemini else error.status_code) == row["status"]
    code, request, words = client.read(error)
    headers = error.response.headers
    assert (code, request) == (row["code"], headers["tollgate-request-id"])
    assert len(words) > 10

    again = client.retries if row.get("retried") else 0
    assert gateway.refused(row["code"]) - before == 1 + again
    assert ("x-should-retry" in headers) != bool(row.get("retried"))
    if again:
        # It waited as long as it was told, which is longer than it would by itself.
        assert took >= again * float(headers["retry-after"])


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__.lower())
@pytest.mark.parametrize("row", refusals.BROKEN, ids=named)
def test_an_error_in_a_stream_that_has_begun(row, client, gateways):
    if client.api in row.get("without", {}):
        return
    gateway = gateways["usual"]
    before = gateway.asked()
    error = raised_by(client, gateway, row, streamed=True)
    if client is Gemini:
        assert type(error) is expected_class(client, row["status"])
        assert error.code == row["status"]
    else:
        # The status was 200: these clients have no class for it.
        assert type(error) is getattr(client.library, "APIStatusError" if client is Anthropic else "APIError")
    code, request, words = client.read_in_stream(error)
    assert code == row["code"]
    assert re.fullmatch(r"req_[0-9a-z]{26}", request)
    assert "incomplete" in words
    # What has begun is not asked for again.
    assert gateway.asked() - before == 1


def test_the_table_has_every_code():
    rows = [line.split("|")[1] for line in ERRORS.read_text().splitlines() if re.match(r"\| `[a-z_]+`", line)]
    documented = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}
    assert {row["code"] for row in refusals.TABLE} | set(refusals.UNPROVOKED) == documented
    assert not {row["code"] for row in refusals.TABLE} & set(refusals.UNPROVOKED)
    for row in refusals.TABLE:
        assert set(row.get("without", {})) < {"openai", "anthropic", "gemini"}
