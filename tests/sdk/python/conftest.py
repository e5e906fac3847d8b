"""Fixtures: the running stack, clients of both makes, and a hand on what the fakes do and saw."""

import time

import anthropic
import httpx
import openai
import pytest

import stack
from clients import TIMEOUT, anthropic_client, openai_client


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def served():
    """A gateway with an operator's config, and the fakes behind it."""
    with stack.serve() as running:
        yield running


@pytest.fixture(scope="session")
def dev():
    """`tollgate dev`, with its echo."""
    with stack.dev() as running:
        yield running


class Llmock:
    """The journal and the faults of the first fake."""

    def __init__(self, url):
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT)

    def reset(self):
        self.http.post("/_llmock/reset").raise_for_status()

    def fail(self, status, *, provider, model="*", times=1, **more):
        """The next requests of this kind are answered with an error, in that provider's shape."""
        match = {"provider": provider, "model": model}
        self.script({"type": "fail", "status": status, "times": times, "match": match, **more})

    def script(self, *behaviors):
        self.http.post("/_llmock/scenario", json={"behaviors": behaviors}).raise_for_status()

    def requests(self):
        """What arrived, oldest first."""
        return self.http.get("/_llmock/requests").raise_for_status().json()["requests"]

    def finished_request(self):
        """The one request, once it has ended."""
        deadline = time.monotonic() + TIMEOUT
        while not self.requests():
            assert time.monotonic() < deadline, "it has not ended"
        return self.only_request()

    def only_request(self):
        arrived = self.requests()
        assert len(arrived) == 1, arrived
        return arrived[0]


class Fakellm:
    """The count of what the second fake answered; it only grows."""

    def __init__(self, url):
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT)

    def answered(self, rule):
        return self.http.get("/_fakellm/stats").raise_for_status().json()["by_rule"].get(rule, 0)


@pytest.fixture
def llmock(served):
    fake = Llmock(served.llmock)
    fake.reset()
    yield fake
    fake.http.close()


@pytest.fixture
def fakellm(served):
    fake = Fakellm(served.fakellm)
    yield fake
    fake.http.close()


@pytest.fixture
def openai_served(served):
    with openai_client(served.gateway) as client:
        yield client


@pytest.fixture
def anthropic_served(served):
    with anthropic_client(served.gateway) as client:
        yield client


@pytest.fixture
def openai_dev(dev):
    with openai_client(dev.gateway) as client:
        yield client


@pytest.fixture
def anthropic_dev(dev):
    with anthropic_client(dev.gateway) as client:
        yield client


@pytest.fixture
async def async_openai(served, anyio_backend):
    async with openai_client(served.gateway, make=openai.AsyncOpenAI) as client:
        yield client


@pytest.fixture
async def async_anthropic(served, anyio_backend):
    async with anthropic_client(served.gateway, make=anthropic.AsyncAnthropic) as client:
        yield client
