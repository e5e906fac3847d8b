"""Mixed traffic through the official clients, their own retries off, at three providers that fail at random: does what
reaches the application fail as often as the fault rates of all candidates together say, and no oftener? Is no request
delivered twice? Does the gateway's memory stay flat?

    TOLLGATE_BIN=target/release/tollgate python soak.py [--seconds 60] [--at-once 16] [--seed 1]

Each provider is an `llmock` of its own, which answers 5 % of requests with 429, 5 % with 503 and 2 % with 500, and drops
the connection in the middle of 2 % of its streams. It cannot refuse connections, stay silent at random or break off before
its header; that is done in tests/it. Ends with 1 when a figure is not what it must be.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import math
import pathlib
import random
import sys
import tempfile
import time

import anthropic
import httpx
import openai

import stack
from clients import anthropic_client, openai_client

PROVIDERS = 3
ERRORS = {429: 0.05, 503: 0.05, 500: 0.02}
BROKEN = 0.02

# A wait of one second for a 429 when nothing else is left, twice (docs/failover.md): llmock asks for it.
WAITS = 2

# Seconds of traffic between two looks at the journals, which keep 10,000 requests each.
ROUND = 10
JOURNAL = 10_000

# What the gateway may grow by after it has warmed up, in MiB: noise of the allocator.
GROWTH = 16

# Beyond this many standard deviations it is no chance.
SIGMAS = 4

CONFIG = """
[[listen]]
address = "127.0.0.1:0"

[admin]
address = "127.0.0.1:0"

[store]
path = "data/tollgate.db"

[catalog]
paths = ["catalog"]
"""


def catalog(fakes):
    """The files: three providers for each make, and a virtual model for each order in which a request begins."""
    price = {"price": {"input": "0.1", "output": "0.2"}}
    models = {"m": {"kind": "chat", **price}, "v": {"kind": "embedding", "price": {"input": "0.1"}}}
    virtual = {}
    for first in range(PROVIDERS):
        order = [(first + turn) % PROVIDERS for turn in range(PROVIDERS)]
        virtual[f"chat-{first}"] = [f"chats-{at}:m" for at in order]
        virtual[f"vectors-{first}"] = [f"chats-{at}:v" for at in order]
        virtual[f"claude-{first}"] = [f"messages-{at}:m" for at in order]
    yield "virtual", {"virtual_models": virtual}
    for at, fake in enumerate(fakes):
        responses = {"responses": {"path": "/responses"}}
        chats = {"preset": "openai-compatible", "base_url": f"{fake}/v1", "surfaces": responses, "models": models}
        yield f"chats-{at}", {"provider": f"chats-{at}", **chats}
        preset = {"preset": "anthropic-compatible", "base_url": f"{fake}/anthropic"}
        yield f"messages-{at}", {"provider": f"messages-{at}", **preset, "models": {"m": models["m"]}}


class Running:
    """The gateway and its three providers."""

    def __init__(self, gateway, process, fakes):
        self.gateway, self.process = gateway, process
        self.fakes = [httpx.Client(base_url=fake, timeout=60) for fake in fakes]

    def memory(self):
        """What the gateway has in memory, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def deliveries(self):
        """What has arrived since the last call, by request, in order; nothing may be under way."""
        arrived = collections.defaultdict(list)
        for fake in self.fakes:
            records = fake.get("/_llmock/requests").raise_for_status().json()["requests"]
            fake.delete("/_llmock/requests").raise_for_status()
            assert len(records) < JOURNAL, "a journal is full: shorter rounds are needed"
            for record in records:
                arrived[record["fingerprint"]].append((record["started_at"], record["status"]))
        return [[status for _, status in sorted(course)] for course in arrived.values()]


@contextlib.contextmanager
def fake():
    """A provider that fails as often as the head of this file says, and does not log every request."""
    port = stack.closed_port()
    rates = [f"--error-rate={status}={rate}" for status, rate in ERRORS.items()]
    args = ["serve", "--host=127.0.0.1", f"--port={port}", "--log-level=warning", "--response-style=echo"]
    args = [*args, *rates, f"--stream-fault=disconnect={BROKEN}"]
    with stack.child([sys.executable, "-m", "llmock.cli", *args], env=stack.environment()):
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + stack.START_TIMEOUT
        while True:
            try:
                httpx.get(f"{url}/health").raise_for_status()
                break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield url


@contextlib.contextmanager
def start():
    binary = stack.gateway_binary()
    with contextlib.ExitStack() as running:
        home = pathlib.Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-soak-")))
        fakes = [running.enter_context(fake()) for _ in range(PROVIDERS)]
        (home / "catalog").mkdir()
        for name, file in catalog(fakes):
            (home / "catalog" / f"{name}.json").write_text(json.dumps(file))
        config = home / "tollgate.toml"
        config.write_text(CONFIG)
        key = stack.access_key(stack.run(binary, "keys", "--config", config, "create", "--name", "soak"))
        stack.run(binary, "accounts", "--config", config, "set", "default", "--postpaid")
        server = running.enter_context(stack.child([binary, "serve", "--config", config], env=stack.environment()))
        gateway = stack.Gateway(stack.public_url(server), key, binary, config)
        yield Running(gateway, server.process, fakes)


# What an application does: each takes the clients, the number of the provider that comes first, a text of its own, and
# the mode. All is read to its end.


def asked(text):
    return [{"role": "user", "content": text}]


async def chat(clients, first, text, extra):
    answer = await clients.openai.chat.completions.create(model=f"chat-{first}", messages=asked(text), **extra)
    assert answer.choices[0].message.content


async def chat_stream(clients, first, text, extra):
    said = {"model": f"chat-{first}", "messages": asked(text), "stream": True}
    async with await clients.openai.chat.completions.create(**said, **extra) as stream:
        finish = [chunk.choices[0].finish_reason async for chunk in stream if chunk.choices]
    assert finish[-1], "no finish reason"


async def responses(clients, first, text, extra):
    answer = await clients.openai.responses.create(model=f"chat-{first}", input=text, **extra)
    assert answer.output_text


async def responses_stream(clients, first, text, extra):
    said = {"model": f"chat-{first}", "input": text, "stream": True}
    async with await clients.openai.responses.create(**said, **extra) as stream:
        kinds = [event.type async for event in stream]
    assert kinds[-1] == "response.completed", kinds[-1]


async def vectors(clients, first, text, extra):
    answer = await clients.openai.embeddings.create(model=f"vectors-{first}", input=text, **extra)
    assert answer.data[0].embedding


async def message(clients, first, text, extra):
    said = {"model": f"claude-{first}", "max_tokens": 64, "messages": asked(text)}
    answer = await clients.anthropic.messages.create(**said, **extra)
    assert answer.content[0].text


async def message_stream(clients, first, text, extra):
    said = {"model": f"claude-{first}", "max_tokens": 64, "messages": asked(text), "stream": True}
    async with await clients.anthropic.messages.create(**said, **extra) as stream:
        kinds = [event.type async for event in stream]
    assert kinds[-1] == "message_stop", kinds[-1]


STREAMED = {chat_stream, responses_stream, message_stream}
KINDS = [chat, chat_stream, responses, responses_stream, vectors, message, message_stream]


def predicted(kind):
    """How often a request of this kind must fail, by the fault rates of all its candidates."""
    error = sum(ERRORS.values())
    # At the last candidate a 429 is waited for and asked again.
    at_last = error
    for _ in range(WAITS):
        at_last = error - ERRORS[429] + ERRORS[429] * at_last
    fails = error ** (PROVIDERS - 1) * at_last
    return fails + (1 - fails) * BROKEN if kind in STREAMED else fails


Clients = collections.namedtuple("Clients", "openai anthropic")


class Tally:
    def __init__(self):
        self.asked = collections.Counter()
        self.failed = collections.Counter()
        self.why = collections.Counter()


async def work(clients, until, chance, numbers, tally):
    while time.monotonic() < until:
        kind, first = chance.choice(KINDS), chance.randrange(PROVIDERS)
        # A few of them are larger than 64 KiB.
        words = 20_000 if chance.random() < 0.01 else chance.randrange(12, 60)
        text = f"request {next(numbers)}: " + "word " * words
        extra = {"extra_headers": {"Tollgate-Failover": chance.choice(["on", "safe"])}}
        tally.asked[kind] += 1
        try:
            await kind(clients, first, text, extra)
        except (openai.APIError, anthropic.APIError) as error:
            tally.failed[kind] += 1
            tally.why[f"{type(error).__name__} {getattr(error, 'status_code', '')}".strip()] += 1


async def traffic(running, options, tally, numbers):
    """Rounds of traffic, and between them, when all is quiet, a look at what was delivered. Returns the courses of
    requests that went wrong there, the number of deliveries, and the memory after each round."""
    chance = random.Random(options.seed)
    twice, count, memory = [], 0, []
    end = time.monotonic() + options.seconds
    clients = Clients(
        openai_client(running.gateway, make=openai.AsyncOpenAI),
        anthropic_client(running.gateway, make=anthropic.AsyncAnthropic),
    )
    async with clients.openai, clients.anthropic:
        while (now := time.monotonic()) < end:
            until = min(now + ROUND, end)
            workers = [work(clients, until, chance, numbers, tally) for _ in range(options.at_once)]
            await asyncio.gather(*workers)
            courses = running.deliveries()
            count += sum(map(len, courses))
            twice += [course for course in courses if any(status not in ERRORS for status in course[:-1])]
            memory.append(running.memory())
    return twice, count, memory


def flat(memory):
    """Whether the second half of the run has no more than the first had when it was warm."""
    warm = memory[len(memory) // 4 : len(memory) // 2 + 1]
    late = memory[len(memory) // 2 :]
    return max(late) <= max(warm) + GROWTH


def report(tally, twice, count, memory):
    """Prints the figures; whether all of them are as they must be."""
    print(f"{'':18}{'requests':>10}{'failed':>8}{'share':>9}{'predicted':>11}")
    well = True
    rows = [(kind.__name__, [kind]) for kind in KINDS] + [("all", KINDS)]
    for name, kinds in rows:
        asked, failed = (sum(counter[kind] for kind in kinds) for counter in (tally.asked, tally.failed))
        expected = sum(tally.asked[kind] * predicted(kind) for kind in kinds)
        spread = math.sqrt(sum(tally.asked[kind] * predicted(kind) * (1 - predicted(kind)) for kind in kinds))
        # A count of next to nothing is not spread like a bell.
        within = abs(failed - expected) <= SIGMAS * spread + 3
        well &= within
        print(
            f"{name:18}{asked:10}{failed:8}{failed / max(asked, 1):9.3%}{expected / max(asked, 1):11.3%}"
            f"{'' if within else '   not by chance'}"
        )
    print("raised:", ", ".join(f"{why}: {times}" for why, times in tally.why.most_common()) or "nothing")
    asked = sum(tally.asked.values())
    print(f"{count} deliveries of {asked} requests; delivered again although a provider had served it: {len(twice)}")
    print(f"the gateway's memory after each round, in MiB: {' '.join(f'{mib:.1f}' for mib in memory)}")
    if not flat(memory):
        print("its memory grows")
    return well and not twice and flat(memory)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--at-once", type=int, default=16)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    tally = Tally()
    with start() as running:
        numbers = iter(range(sys.maxsize))
        outcome = asyncio.run(traffic(running, options, tally, numbers))
    sys.exit(0 if report(tally, *outcome) else 1)


if __name__ == "__main__":
    main()
