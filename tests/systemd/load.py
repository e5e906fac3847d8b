"""Clients that never stop asking and never ask twice: each failure is kept, and none is tried again."""

import contextlib
import http.client
import json
import threading
import time

PATIENCE = 60


class Load:
    """So many connections that are always busy, and so many streams that are open until the end or to their own."""

    def __init__(self, address, key, model):
        self.address, self.model = address, model
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.stop = threading.Event()
        self.lock = threading.Lock()
        # `lasted` are streams that came to their own end.
        self.answered = self.streamed = self.lasted = 0
        self.failures = []
        self.threads = []
        self.begun = threading.Semaphore(0)

    def start(self, connections, streams, seconds, stream_seconds):
        """Half of the connections are kept for as long as the gateway keeps them, the others are for one request each.
        Streams last as long as the run; a tenth of them end and begin anew meanwhile."""
        for number in range(connections):
            self.spawn(self.ask, number % 2 == 0)
        for number in range(streams):
            self.spawn(self.streaming, seconds if number % 10 else stream_seconds)
        for _ in range(streams):
            assert self.begun.acquire(timeout=PATIENCE), self.failures

    def start_long(self, connections, streams, seconds, short_streams, short_seconds):
        """As `start`, but each of `streams` is one that lasts to its own end, beside others that end and begin anew."""
        for number in range(connections):
            self.spawn(self.ask, number % 2 == 0)
        for _ in range(streams):
            self.stream_once(seconds)
        for _ in range(short_streams):
            self.spawn(self.streaming, short_seconds)
        for _ in range(streams + short_streams):
            assert self.begun.acquire(timeout=PATIENCE), self.failures

    def stream_once(self, seconds):
        """Begins a stream that lasts so long, and none after it."""
        self.spawn(self.streaming, seconds, again=False)

    def spawn(self, job, *arguments, again=True):
        thread = threading.Thread(target=self.guarded, args=(job, again, *arguments), daemon=True)
        thread.start()
        self.threads.append(thread)

    def guarded(self, job, again, *arguments):
        try:
            job(*arguments)
            while again and not self.stop.is_set():
                job(*arguments)
        except Exception as error:  # noqa: BLE001, whatever it is: the request has failed
            self.fail(f"{job.__name__}: {error!r}")

    def fail(self, words):
        with self.lock:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {words}")

    def connection(self):
        return contextlib.closing(http.client.HTTPConnection(*self.address, timeout=PATIENCE))

    def post(self, connection, **members):
        body = json.dumps({"model": self.model, "messages": []} | members)
        connection.request("POST", "/v1/chat/completions", body, self.headers)
        return connection.getresponse()

    def ask(self, keep):
        with self.connection() as connection:
            while not self.stop.is_set():
                answer = self.post(connection)
                body = answer.read()
                if (answer.status, body) != (200, b"{}"):
                    self.fail(f"{answer.status} {body[:200]}")
                with self.lock:
                    self.answered += 1
                if not keep:
                    return

    def streaming(self, seconds):
        with self.connection() as connection:
            answer = self.post(connection, stream=True, seconds=seconds)
            self.begun.release()
            body = answer.read()
            events = body.decode().split("\n\n")
            count = len(events) - 2
            whole = [f"data: {number}" for number in range(count)] + ["data: [DONE]", ""]
            if answer.status != 200 or events != whole or count < 1:
                self.fail(f"stream: {answer.status} {body[-200:]}")
            with self.lock:
                self.streamed += 1
                self.lasted += count == seconds

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads), "a request hangs"
