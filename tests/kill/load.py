"""The load: more than 200 clients, each with one request under way at nearly all times, and what they have seen of the
answers."""

import asyncio
import dataclasses
import json
import time

import provider
import wire

CLIENTS = 220
# Bytes of every body: with them, what is held for a request says which it is (see `compare`).
BODY = 400
# What a client waits with after it was refused.
REFUSED_PAUSE = 0.1
# The longest that a provider takes for a part of the requests, so that most are under way when the gateway is killed.
SLOW = 3.0

# Of a hundred requests so many are: answered as a whole, streamed, streamed without a usage, answered with an error by
# both providers, or by the first only, left by the client in the middle of a stream.
KINDS = {"plain": 36, "stream": 38, "untold": 6, "fails": 4, "over": 8, "left": 8}
# Of those that can be slow so many are.
SLOW_SHARE = 0.7


@dataclasses.dataclass
class Sent:
    """A request, and what its client has seen. Times are monotonic seconds; `None`: it has not come to that."""

    number: int
    life: int
    account: str
    kind: str
    began: float
    # Of the answer's head.
    status: int | None = None
    request: str | None = None
    whole: float | None = None
    body: bytes = b""


class Load:
    """All requests of all lives of the gateway. `keys` are pairs of an account and an access key of it; `at(step)` is
    told of every step that clients see."""

    def __init__(self, keys, chance, at):
        self.sent = {}
        self.under_way = 0
        self._keys, self._chance, self._at = keys, chance, at
        self._life = 0
        self._full = None

    def begin(self, life):
        self._life = life

    async def run(self, port, full):
        """Sends on and on, until the gateway is gone. `full` is set when every client has a request under way."""
        self._full = full
        self._first = CLIENTS
        await asyncio.gather(*(self._client(port) for _ in range(CLIENTS)))

    async def _client(self, port):
        connection = None
        began = False
        try:
            while True:
                if connection is None:
                    _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
                sent, head, body = self._request()
                if not began:
                    began = True
                    self._first -= 1
                    if self._first == 0:
                        self._full.set()
                self.under_way += 1
                try:
                    await self._exchange(connection, sent, head, body)
                finally:
                    self.under_way -= 1
                if connection.is_closed():
                    connection = None
                if sent.status in (402, 429, 503):
                    await asyncio.sleep(REFUSED_PAUSE)
        except ConnectionError:
            pass
        finally:
            if connection is not None:
                connection.close()

    async def _exchange(self, connection, sent, head, body):
        half = len(body) // 2
        connection.begin(sent, self._at)
        connection.write(head + body[:half])
        self._at("uploading")
        # Most go out at once; some bodies take their time.
        if sent.number % 10 == 0:
            await asyncio.sleep(0.005)
        connection.write(body[half:])
        delay = self._chance.uniform(0, 0.004)
        asyncio.get_running_loop().call_later(delay, self._at, "held")
        await connection.ended
        if sent.whole is not None:
            self._at("ended")
            asyncio.get_running_loop().call_later(self._chance.uniform(0, 0.06), self._at, "settled")

    def _request(self):
        number = len(self.sent)
        account, key = self._chance.choice(self._keys)
        kind = self._chance.choices(list(KINDS), KINDS.values())[0]
        slow = kind not in ("fails", "over") and self._chance.random() < SLOW_SHARE
        pause = self._chance.uniform(0.05, SLOW) if slow else 0
        sent = Sent(number, self._life, account, kind, time.monotonic())
        self.sent[number] = sent
        body = {
            "model": "m",
            "max_tokens": provider.BOUND_ABOVE + number,
            "messages": [{"role": "user", "content": f"{'stream' if kind == 'left' else kind} {pause:.3f} "}],
        }
        if kind in ("stream", "untold", "left"):
            body["stream"] = True
        text = json.dumps(body).encode()
        text += b" " * (BODY - len(text))
        head = wire.head(
            "POST /v1/chat/completions HTTP/1.1",
            host="gateway",
            authorization=f"Bearer {key}",
            content_type="application/json",
            content_length=len(text),
        )
        return sent, head, text


class _Connection(asyncio.Protocol):
    """A client's connection. `ended` is done when its answer is whole, or the client has left."""

    def connection_made(self, transport):
        self._transport = transport
        self._lost = False
        self._sent = None
        self.ended = asyncio.get_running_loop().create_future()

    def begin(self, sent, at):
        self._sent, self._at, self._message = sent, at, wire.Message()
        self.ended = asyncio.get_running_loop().create_future()
        if self._lost:
            self.ended.set_exception(ConnectionResetError())

    def write(self, data):
        if not self._transport.is_closing():
            self._transport.write(data)

    def data_received(self, data):
        message, sent = self._message, self._sent
        message.feed(data)
        if message.head and sent.status is None:
            first, fields = message.head
            sent.status = int(first.split()[1])
            sent.request = fields.get("tollgate-request-id")
            self._at("header seen")
        if message.whole:
            sent.whole = time.monotonic()
            sent.body = bytes(message.body[-400:])
            if message.head[1].get("connection") == "close":
                self.close()
            self._end()
        elif sent.kind == "left" and message.body:
            self.close()
            self._end()

    def _end(self):
        if not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, _):
        self._lost = True
        if not self.ended.done():
            self.ended.set_exception(ConnectionResetError())
            # Nobody may be waiting.
            self.ended.exception()

    def is_closed(self):
        return self._lost or self._transport.is_closing()

    def close(self):
        self._transport.close()
