"""Two fake providers on one port, told apart by the path, and their own book of what they were sent and have served."""

import asyncio
import dataclasses
import json
import time

import wire

# What a request is made of: its number is told by its bound of the output, the rest by its text (see `load`).
BOUND_ABOVE = 200
EVENTS = 4


@dataclasses.dataclass
class Served:
    """What was done for one request. Times are monotonic seconds; `None`: it did not come to that."""

    arrived: float
    input: int
    output: int
    # Whether the answer tells the two.
    told: bool
    failed: bool = False
    times: int = 1
    whole: float | None = None


def usage(number):
    """What the provider says that a request has used."""
    return 50 + number % 97, 1 + number % 89


PROVIDERS = ["one", "two"]


class Provider:
    """Serves chat completions on a port of its own until its block ends. `at(step)` is told of every step. `book` goes
    by the number of a request and who was sent it."""

    def __init__(self, at):
        self.book = {}
        self.port = None
        self._at = at
        self._server = None
        self._serving = set()

    async def __aenter__(self):
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._serving):
            task.cancel()

    def serve(self, connection, target, body):
        asked = json.loads(body)
        number = asked["max_tokens"] - BOUND_ABOVE
        who = target.split("/")[1]
        kind, pause = asked["messages"][0]["content"].split()[:2]
        if kind == "over":
            kind = "fails" if who == "one" else "plain"
        read, written = usage(number)
        if (number, who) in self.book:
            self.book[number, who].times += 1
        else:
            told = kind != "untold"
            self.book[number, who] = Served(time.monotonic(), read, written, told, failed=kind == "fails")
        served = self.book[number, who]
        task = asyncio.ensure_future(self._answer(connection, number, served, kind, float(pause)))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return task

    async def _answer(self, connection, number, served, kind, pause):
        self._at("dispatched")
        if pause and kind == "plain":
            asyncio.get_running_loop().call_later(pause / 4, self._at, "waiting")
            await asyncio.sleep(pause)
        try:
            await self._send(connection, number, served, kind, pause)
        except ConnectionError:
            return
        served.whole = time.monotonic()
        self._at("last byte")

    async def _send(self, connection, number, served, kind, pause):
        if kind == "fails":
            connection.send(whole(500, number, {"error": {"message": "on purpose", "type": "server_error"}}))
        elif kind == "plain":
            connection.send(whole(200, number, completion(number, served)))
        else:
            await self._stream(connection, number, served, pause)

    async def _stream(self, connection, number, served, pause):
        kind = {"content_type": "text/event-stream", "transfer_encoding": "chunked"}
        connection.send(wire.head("HTTP/1.1 200 OK", x_request_id=f"theirs-{number}", **kind))
        self._at("header")
        for at in range(EVENTS):
            if pause:
                await asyncio.sleep(pause / EVENTS)
            connection.send(wire.chunk(event(number, {"choices": [delta(f"word {at} ")]})))
            self._at("mid-stream")
        end = [event(number, {"choices": [{**delta(""), "finish_reason": "stop"}]})]
        if served.told:
            end.append(event(number, {"choices": [], "usage": told(served)}))
        end.append(b"data: [DONE]\n\n")
        connection.send(wire.chunk(b"".join(end)) + wire.LAST_CHUNK)


class _Connection(asyncio.Protocol):
    """One from the gateway. What was to be sent on one that is gone is not served."""

    def __init__(self, provider):
        self._provider = provider
        self._message = wire.Message()
        self._task = None

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._message.feed(data)
        if self._message.whole:
            message, self._message = self._message, wire.Message()
            target = message.head[0].split()[1]
            self._task = self._provider.serve(self, target, message.body)

    def connection_lost(self, _):
        if self._task:
            self._task.cancel()

    def send(self, data):
        if self._transport.is_closing():
            raise ConnectionError("the gateway is gone")
        self._transport.write(data)


def whole(status, number, answer):
    body = json.dumps(answer).encode()
    kind = {"content_type": "application/json", "content_length": len(body)}
    return wire.head(f"HTTP/1.1 {status} Said", x_request_id=f"theirs-{number}", **kind) + body


def told(served):
    total = served.input + served.output
    return {"prompt_tokens": served.input, "completion_tokens": served.output, "total_tokens": total}


def completion(number, served):
    choice = {"index": 0, "message": {"role": "assistant", "content": "words"}, "finish_reason": "stop"}
    return {"id": f"chatcmpl-{number}", "object": "chat.completion", "choices": [choice], "usage": told(served)}


def delta(text):
    return {"index": 0, "delta": {"content": text}, "finish_reason": None}


def event(number, more):
    data = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", **more}
    return b"data: %b\n\n" % json.dumps(data).encode()
