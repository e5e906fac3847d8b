"""A provider that answers whatever the pages ask, in the dialect of the path."""

import http.server
import json
import pathlib
import threading

LISTS = pathlib.Path(__file__).resolve().parents[1] / "data" / "lists"

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello!"}}],
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hello!"}], "usage": {"input_tokens": 12, "output_tokens": 3},
}  # fmt: skip
# 2026-11-01, a day on which nothing was spent.
COSTS = {
    "object": "page", "has_more": False, "next_page": None,
    "data": [{"object": "bucket", "start_time": 1793491200, "end_time": 1793577600, "results": []}],
}  # fmt: skip


def answer(path, models):
    """What is answered at a path, its query included."""
    path = path.split("?")[0]
    if path == "/api/v1/models":
        return json.loads((LISTS / "openrouter.json").read_text())
    if path.endswith("/models"):
        listed = models.get(path.split("/")[1], [])
        return {"object": "list", "data": [{"id": model, "object": "model"} for model in sorted(listed)]}
    if path.endswith("/organization/costs"):
        return COSTS
    return MESSAGE if path.endswith("/messages") else CHAT


class Provider(http.server.ThreadingHTTPServer):
    """Listens on a port of this machine from its making on. `models` are those that it lists, by the path's first part, and
    `bare` those of them that no file has and that are asked for without a prefix."""

    daemon_threads = True

    def __init__(self, models, bare):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = models
        self.bare = bare
        self.origin = "http://{}:{}".format(*self.server_address)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(answer(self.path, self.server.models)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.do_GET()

    def log_message(self, *_):
        pass
