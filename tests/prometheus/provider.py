"""Fake providers on one port, told apart by the first segment of the path: each does one thing."""

import http.server
import json
import threading
import time

# What each answers. Where nothing else is said, with a completion that tells its usage.
FAILURES = {
    "failing": (500, {"message": "on purpose", "type": "server_error"}),
    "refused": (401, {"message": "no such key", "type": "invalid_request_error", "code": "invalid_api_key"}),
    "empty": (402, {"message": "no credit", "type": "billing"}),
    "limited": (429, {"message": "slow down", "type": "rate_limit_error"}),
}
USAGE = {
    "prompt_tokens": 60,
    "completion_tokens": 20,
    "total_tokens": 80,
    "prompt_tokens_details": {"cached_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
# Says nothing of its usage; uses more than it was allowed to.
UNTOLD, DEAR = "untold", "dear"
DEAR_USAGE = {"prompt_tokens": 60, "completion_tokens": 90_000, "total_tokens": 90_060}
# Seconds between the events of a stream, and how many there are.
PAUSE, EVENTS = 0.05, 5
# Seconds for which one that changes fails, of how many.
FAILS = 15, 60


class Provider(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, changing):
        """Where they are `changing`, the one that fails does so for a while only, again and again."""
        super().__init__(("127.0.0.1", 0), Handler)
        self._changing = changing
        self.stopping = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def fails(self, who):
        well_again = self._changing and who == "failing" and time.monotonic() % FAILS[1] > FAILS[0]
        return who in FAILURES and not well_again

    @property
    def port(self):
        return self.server_address[1]

    def end(self):
        self.stopping.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.json(200, {"object": "list", "data": [{"id": "found", "object": "model"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        who = self.path.split("/")[1]
        if self.server.fails(who):
            status, error = FAILURES[who]
            self.json(status, {"error": error})
        elif body.get("stream"):
            self.stream(body["model"])
        elif self.path.endswith("/embeddings"):
            found = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
            usage = {"prompt_tokens": 60, "total_tokens": 60}
            self.json(200, {"object": "list", "data": found, "model": body["model"], "usage": usage})
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "some words"}, "finish_reason": "stop"}
            answer = {"id": "1", "object": "chat.completion", "model": body["model"], "choices": [choice]}
            if who != UNTOLD:
                answer["usage"] = DEAR_USAGE if who == DEAR else USAGE
            self.json(200, answer)

    def stream(self, model):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        common = {"id": "1", "object": "chat.completion.chunk", "model": model}
        for _ in range(EVENTS):
            self.event({**common, "choices": [{"index": 0, "delta": {"content": "word "}}]})
            self.server.stopping.wait(PAUSE)
        self.event({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.event({**common, "choices": [], "usage": USAGE})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def event(self, event):
        self.chunk(b"data: %b\n\n" % json.dumps(event).encode())

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def json(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
