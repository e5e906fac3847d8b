"""A fake of what the other fakes do not speak: Azure's dated paths, and Gemini's counts and vectors. Answers have the shapes
of the references; what is not there is answered as the real ones do.

    python shapes.py      prints its address and serves
"""

import http.server
import json
import re
import urllib.parse

AZURE_KEY = "azure-of-the-operator"
AZURE = re.compile(r"/openai/deployments/([^/]+)/(chat/completions|completions|embeddings)$")
GEMINI = re.compile(r"/v1beta/models/([^/]+):(countTokens|embedContent|batchEmbedContents)$")
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def chat(asked, version, deployment):
    said = f"{deployment} at {version}: {asked['messages'][-1]['content']}"
    base = {"id": "c-1", "created": 1, "model": "underlying-model"}
    if not asked.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return {**base, "object": "chat.completion", "choices": [choice], "usage": USAGE}

    def chunk(choices, **more):
        return {**base, "object": "chat.completion.chunk", "choices": choices, **more}

    def delta(part, finish=None):
        return [{"index": 0, "delta": part, "finish_reason": finish}]

    # The first event of Azure's has no choices.
    events = [chunk([], prompt_filter_results=[]), *(chunk(delta({"content": word})) for word in said.split(" "))]
    events.append(chunk(delta({}, "stop")))
    if (asked.get("stream_options") or {}).get("include_usage"):
        events.append(chunk([], usage=USAGE))
    return events


def embeddings(asked, *_):
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = [{"object": "embedding", "index": at, "embedding": [0.5, 0.25]} for at, _ in enumerate(inputs)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "data": data, "model": "underlying-model", "usage": usage}


def completions(asked, version, deployment):
    choice = {"index": 0, "text": f"{deployment}: {asked['prompt']}", "finish_reason": "stop", "logprobs": None}
    return {"id": "c-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}


def gemini(asked, model, method):
    """The answer, or the model that is asked for inside where it is another."""
    for one in asked.get("requests", [asked]):
        if one.get("model", f"models/{model}") != f"models/{model}":
            return 400, {"error": {"code": 400, "message": one["model"], "status": "INVALID_ARGUMENT"}}
    if method == "countTokens":
        return 200, {"totalTokens": 7, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]}
    vector = {"values": [0.5, 0.25, 0.125]}
    if method == "embedContent":
        return 200, {"embedding": vector, "usageMetadata": {"promptTokenCount": 7}}
    return 200, {"embeddings": [vector for _ in asked["requests"]], "usageMetadata": {"promptTokenCount": 7}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        if found := GEMINI.match(path):
            return self.answer(*gemini(asked, *found.groups()))
        found = AZURE.match(path)
        version = urllib.parse.parse_qs(url.query).get("api-version", [])
        if not found or len(version) != 1:
            return self.answer(404, {"error": {"code": "404", "message": "Resource not found"}})
        if self.headers["api-key"] != AZURE_KEY:
            return self.answer(401, {"error": {"code": "401", "message": "Access denied"}})
        deployment, operation = found.groups()
        if not deployment.startswith("dep-"):
            return self.answer(404, {"error": {"code": "DeploymentNotFound", "message": deployment}})
        make = {"chat/completions": chat, "completions": completions, "embeddings": embeddings}[operation]
        return self.answer(200, make(asked, version[0], deployment))

    def answer(self, status, said):
        stream = isinstance(said, list)
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in said) + "data: [DONE]\n\n" if stream else json.dumps(said)
        self.send_response(status)
        self.send_header("content-type", "text/event-stream" if stream else "application/json")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"running on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
