"""Each code of docs/errors.md, provoked for real: a gateway with little room, keys that may do little, and providers that
do not answer. The table is plain data, for the clients of both languages; stack.py prints it for Node.

A row says what differs from a request that would be served: `key` (one of `KEYS`), `model`, `headers`, members of the body
(`body`), a path behind the gateway's address (`base`), or another request altogether (`get`). Where these depend on the API
they are by its name: `openai`, `anthropic`, `gemini`. `without` says why an API's client cannot come to the code.
"""

import contextlib
import http.server
import json
import pathlib
import sqlite3
import tempfile
import threading
import time

import httpx

import stack

# More than the config below takes.
LARGE = "x" * 100_000

CONFIG = """
[[listen]]
address = "127.0.0.1:0"

[admin]
address = "127.0.0.1:0"

[store]
path = "tollgate.db"

[catalog]
paths = ["catalog"]

[limits]
body = "64KiB"
replay_request = "64KiB"

[providers.house]
keys = ["env:SDK_OPENAI_KEY"]

[providers.speaks-chat]
keys = ["env:SDK_OPENAI_KEY"]

[providers.speaks-messages]
keys = ["env:SDK_OPENAI_KEY"]
"""

PRICE = {"input": "0.1", "output": "1000"}
MODELS = {"any": {"kind": "chat", "price": PRICE, "context": 1000, "max_output": 100}, "unpriced": {"kind": "chat"}}

# What keys are made with, and what is done to them then. `busy` has a request under way all the time.
KEYS = {
    "usual": ["--account", "rich"],
    "disabled": ["--account", "rich"],
    "expired": ["--account", "rich", "--expires", "1s"],
    "poor": ["--account", "poor"],
    "no model": ["--account", "rich", "--deny-model", "any"],
    "no provider": ["--account", "rich", "--deny-provider", "house"],
    "busy": ["--account", "rich", "--in-flight", "1"],
}

TABLE = [
    {"code": "invalid_access_key", "how": "unknown", "status": 401, "key": "unknown"},
    {"code": "invalid_access_key", "how": "disabled", "status": 401, "key": "disabled"},
    {"code": "invalid_access_key", "how": "expired", "status": 401, "key": "expired"},
    {"code": "provider_not_allowed", "status": 403, "key": "no provider"},
    {"code": "model_not_allowed", "status": 403, "key": "no model"},
    {"code": "insufficient_credit", "status": 402, "key": "poor"},
    {"code": "model_not_priced", "status": 403, "model": "house:unpriced"},
    {
        "code": "not_on_gateway_credential",
        "status": 403,
        "body": {
            "openai": {"web_search_options": {}},
            "anthropic": {"container": "c-1"},
            "gemini": {"cachedContent": "cachedContents/c-1"},
        },
    },
    {"code": "model_not_found", "status": 404, "model": "no-such-model"},
    {
        "code": "unknown_request",
        "status": 404,
        "get": "/tollgate/v1/requests/01890000-0000-7000-8000-000000000000",
        "without": {
            "anthropic": "the path is Tollgate's own, and answers as OpenAI's do",
            "gemini": "the client asks for no path of ours",
        },
    },
    {"code": "unknown_path", "status": 404, "base": "/no/such"},
    {
        "code": "method_not_allowed",
        "status": 405,
        "get": {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"},
        "without": {"gemini": "the client has no way to choose a method"},
    },
    {"code": "invalid_request", "status": 400, "headers": {"Tollgate-Timeout": "soon"}},
    {
        "code": "ambiguous_model",
        "status": 400,
        "body": {"openai": {"Model": "other"}, "anthropic": {"Model": "other"}},
        "without": {"gemini": "the model is in the path, once; a body that says another is `invalid_request`"},
    },
    {
        "code": "surface_not_supported",
        "status": 400,
        "model": {"openai": "speaks-messages:any", "anthropic": "speaks-chat:any", "gemini": "speaks-chat:any"},
    },
    {"code": "headers_too_large", "status": 431, "headers": {"X-Padding": LARGE}},
    {"code": "body_too_large", "status": 413, "text": LARGE},
    {"code": "unsupported_encoding", "status": 415, "headers": {"Content-Encoding": "compress"}},
    {"code": "rate_limited", "status": 429, "key": "busy", "retried": True},
    {"code": "spend_cap_reached", "status": 429, "headers": {"Tollgate-Max-Cost": "0.000000001"}},
    {"code": "store_unavailable", "status": 503, "gateway": "unwritable", "retried": True},
    {
        "code": "no_credential",
        "status": 503,
        "model": {"openai": "openai:gpt-4o", "anthropic": "anthropic:claude-haiku-4-5", "gemini": "google:gemini-2.5-flash"},
    },
    {"code": "overloaded", "status": 503, "model": "narrow:any", "retried": True},
    {"code": "all_candidates_failed", "status": 502, "model": "dead:any"},
    {"code": "upstream_timeout", "status": 504, "model": "silent:any", "headers": {"Tollgate-Timeout": "300ms"}},
]

# What no request can bring about, and why.
UNPROVOKED = {
    "internal": "it takes a defect of the gateway",
    "websocket_not_supported": "it answers the opening of a WebSocket (test_realtime.py)",
    "upgrade_required": "it answers the opening of a WebSocket, or a plain request for one; no SDK sends either",
}

# Errors within a stream that has begun, by the model and headers that bring them about.
BROKEN = [
    {"code": "all_candidates_failed", "status": 502, "model": "breaking:m-between"},
    {
        "code": "spend_cap_reached",
        "status": 429,
        "model": "breaking:m-long",
        "headers": {"Tollgate-Max-Cost": "0.05"},
        "without": {"gemini": "such a stream is refused before it begins (docs/gemini.md)"},
    },
]


class Upstream(http.server.ThreadingHTTPServer):
    """Answers chats below `/good`, and nothing below `/silent`; `arrived` counts those."""

    daemon_threads = True

    def __init__(self):
        self.arrived = threading.Semaphore(0)
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self.path.startswith("/silent"):
            self.server.arrived.release()
            self.server.over.wait()
            self.close_connection = True
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        said = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "any", "choices": [choice], "usage": usage}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def upstream():
    server = Upstream()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


def write_catalog(folder, good, broken):
    """A file a provider; all but two speak all APIs."""
    messages = {"messages": {"path": "/messages"}}
    gemini = {
        "generate_content": {"path": "/v1beta/models/{model}:generateContent"},
        "stream_generate_content": {"path": "/v1beta/models/{model}:streamGenerateContent"},
    }
    every = {"responses": {"path": "/responses"}} | messages | gemini
    breaking = {f"m-{name}": {"kind": "chat", "price": PRICE} for name in ("between", "long")}
    providers = {
        "house": {"base_url": f"{good}/good", "surfaces": every},
        "silent": {"base_url": f"{good}/silent", "surfaces": every},
        "narrow": {"base_url": f"{good}/silent", "surfaces": every, "requests": 1},
        "dead": {"base_url": f"http://127.0.0.1:{stack.closed_port()}", "surfaces": every},
        "breaking": {"base_url": broken, "surfaces": every, "models": breaking},
        "speaks-chat": {"base_url": f"{good}/good"},
        "speaks-messages": {"base_url": f"{good}/good", "preset": "anthropic-compatible"},
    }
    folder.mkdir()
    for name, provider in providers.items():
        file = {"provider": name, "preset": "openai-compatible", "models": MODELS} | provider
        (folder / f"{name}.json").write_text(json.dumps(file))


class Served:
    """A gateway with keys of all kinds."""

    def __init__(self, running, home, good, broken):
        binary, config = stack.gateway_binary(), home / "tollgate.toml"
        config.write_text(CONFIG)
        write_catalog(home / "catalog", good, broken)

        def command(name, *args):
            return stack.run(binary, name, "--config", config, *args)

        command("accounts", "create", "rich", "--postpaid")
        command("accounts", "create", "poor")
        self.keys = {name: stack.access_key(command("keys", "create", "--name", name, *how)) for name, how in KEYS.items()}
        command("keys", "disable", self.keys["disabled"])
        middle = len(self.keys["usual"]) // 2
        self.keys["unknown"] = self.keys["usual"][:middle] + "x" * 8 + self.keys["usual"][middle + 8 :]
        args = [binary, "serve", "--config", config]
        self.server = running.enter_context(stack.child(args, env=stack.environment(**stack.PROVIDER_KEYS)))
        self.url = stack.public_url(self.server)
        self.admin = "http://" + self.server.wait_for(r"listening on (127\.0\.0\.1:\d+) \(admin\)")[1]
        self.store = home / "tollgate.db"

    def chat(self, key, model):
        body = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"Authorization": f"Bearer {self.keys[key]}"}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=None)

    def occupy(self, server, key, model):
        """A request that is under way from here on."""

        def ask():
            with contextlib.suppress(httpx.HTTPError):
                self.chat(key, model)

        threading.Thread(target=ask, daemon=True).start()
        assert server.arrived.acquire(timeout=stack.START_TIMEOUT), f"{model} was not asked"

    def wait_for(self, key, status):
        """Until a key is answered like this."""
        deadline = time.monotonic() + stack.START_TIMEOUT
        while self.chat(key, "house:any").status_code != status:
            assert time.monotonic() < deadline, f"{key} is not answered {status}"
            time.sleep(0.05)

    def refused(self, code):
        """How often a request was answered with this code."""
        return self.count(r'tollgate_rejections_total{code="%s"} ' % code)

    def asked(self):
        """How many requests to providers there were."""
        return self.count("tollgate_requests_total{")

    def count(self, begin):
        lines = httpx.get(f"{self.admin}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(begin))

    def lock(self):
        """Keeps the store locked until the end of the connection that is given."""
        other = sqlite3.connect(self.store, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        answer = self.chat("usual", "house:any")
        assert answer.json()["error"]["code"] == "store_unavailable", answer.text
        return contextlib.closing(other)


@contextlib.contextmanager
def serve():
    """The two gateways: one with room for nothing more, and one whose store another process holds."""
    with contextlib.ExitStack() as running:
        server = running.enter_context(upstream())
        broken = running.enter_context(stack.breaking())
        served = {}
        for name in ("usual", "unwritable"):
            home = pathlib.Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-refusals-")))
            served[name] = Served(running, home, server.url, broken)
        served["usual"].occupy(server, "busy", "silent:any")
        served["usual"].occupy(server, "usual", "narrow:any")
        served["usual"].wait_for("expired", 401)
        running.enter_context(served["unwritable"].lock())
        yield served


def as_json(served):
    """All that the Node tests need."""
    gateways = {name: {"url": one.url, "admin": one.admin, "keys": one.keys} for name, one in served.items()}
    return {"gateways": gateways, "table": TABLE, "broken": BROKEN}
