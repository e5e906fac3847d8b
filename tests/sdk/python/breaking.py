"""A fake of OpenAI, Anthropic and Gemini whose streams break off: the place is exact, which no other fake offers.

The model says where: `m-between` after whole events, `m-within` in the middle of one, `m-unended` where the stream ends in
good order but without its last event. `m-long` breaks off nowhere, and is long. It speaks chat, completions, responses,
messages and Gemini's streams, and streams only.

    python breaking.py      prints its address and serves
"""

import http.server
import json
import re

WORDS = ["One", " two", " three"]
GEMINI = re.compile(r"/v1beta/models/([^/]+):streamGenerateContent\?alt=sse$")


def words(model):
    return WORDS * 200 if model == "m-long" else WORDS


def sse(data, name=None):
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {json.dumps(data)}\n\n"


def chat(model):
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}

    yield from (sse(chunk({"role": "assistant", "content": word})) for word in words(model))
    yield sse(chunk({}, "stop"))
    yield "data: [DONE]\n\n"


def completions(model):
    for word in words(model):
        choice = {"index": 0, "text": word, "finish_reason": None, "logprobs": None}
        yield sse({"id": "c-1", "object": "text_completion", "created": 1, "model": model, "choices": [choice]})
    yield "data: [DONE]\n\n"


def responses(model):
    shell = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": model, "output": [], "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "status": "in_progress", "error": None, "incomplete_details": None,
        "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0,
    }

    def event(kind, number, **more):
        return sse({"type": kind, "sequence_number": number, **more}, kind)

    yield event("response.created", 0, response=shell)
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    yield event("response.output_item.added", 1, output_index=0, item=item)
    part = {"type": "output_text", "text": "", "annotations": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield event("response.content_part.added", 2, part=part, **at)
    for number, word in enumerate(words(model), 3):
        yield event("response.output_text.delta", number, delta=word, logprobs=[], **at)
    yield event("response.completed", 9, response=shell | {"status": "completed"})


def messages(model):
    usage = {"input_tokens": 3, "output_tokens": 1}
    start = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": usage,
    }
    yield sse({"type": "message_start", "message": start}, "message_start")
    block = {"type": "text", "text": ""}
    yield sse({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start")
    for word in words(model):
        delta = {"type": "text_delta", "text": word}
        yield sse({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")
    yield sse({"type": "message_stop"}, "message_stop")


def gemini(model):
    for word in words(model):
        content = {"role": "model", "parts": [{"text": word}]}
        yield sse({"candidates": [{"content": content, "index": 0}], "modelVersion": model})
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 3, "totalTokenCount": 6}
    yield sse({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": usage, "modelVersion": model})


APIS = {"/chat/completions": chat, "/completions": completions, "/responses": responses, "/messages": messages}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        in_path = GEMINI.match(self.path)
        model = in_path[1] if in_path else body["model"]
        events = list((gemini if in_path else APIS[self.path.removeprefix("/v1")])(model))
        if model != "m-long":
            events.pop()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events:
            self.chunk(event)
        match model:
            case "m-unended" | "m-long":
                self.wfile.write(b"0\r\n\r\n")
                return
            case "m-within":
                self.chunk(events[-1][: events[-1].index("data: ") + 12])
        # No last chunk: the connection just ends.
        self.close_connection = True

    def chunk(self, text):
        self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"running on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
