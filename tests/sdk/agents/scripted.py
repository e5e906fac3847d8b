"""A fake of Anthropic's Messages and OpenAI's Responses with one script: read a file, write one, say that it is done. Which
step comes next it takes from the results of tools in the request, as a model would. It keeps all that it got and sent."""

import contextlib
import http.server
import json
import threading

from recorder import Message

DONE = "The words are copied."
WRITTEN = "written by the agent\n"


def events(*all_events):
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in all_events).encode()


def messages(asked, read, written):
    """An answer of Anthropic's."""
    if not asked.get("tools"):
        # What agents ask on the side: a title, a summary.
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "A title"}
    else:
        contents = [turn["content"] for turn in asked["messages"] if isinstance(turn["content"], list)]
        results = sum(part["type"] == "tool_result" for content in contents for part in content)
        tool = [
            ("Read", {"file_path": str(read)}),
            ("Write", {"file_path": str(written), "content": WRITTEN}),
        ][results:][:1]
        if tool:
            [(name, arguments)] = tool
            block = {"type": "tool_use", "id": f"toolu_{results}", "name": name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        else:
            block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": DONE}
    shell = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    stop = "tool_use" if block["type"] == "tool_use" else "end_turn"
    return events(
        {"type": "message_start", "message": shell},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    )


def responses(asked, read, written):
    """An answer of OpenAI's."""
    results = sum(item["type"].endswith("_output") for item in asked["input"])
    commands = [f"cat '{read}'", f"printf '{WRITTEN}' > '{written}'".replace("\n", "\\n")][results:][:1]
    if commands:
        arguments = json.dumps({"cmd": commands[0]})
        item = {"type": "function_call", "id": f"fc_{results}", "call_id": f"call_{results}", "name": "exec_command"}
        item |= {"arguments": arguments, "status": "completed"}
    else:
        content = [{"type": "output_text", "text": DONE, "annotations": []}]
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    shell = {"id": "resp_1", "object": "response", "created_at": 1, "model": asked["model"], "output": []}
    usage = {
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15,
    }
    return events(
        {"type": "response.created", "response": shell | {"status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": shell | {"status": "completed", "output": [item], "usage": usage}},
    )


SCRIPTS = {"/v1/messages": messages, "/v1/responses": responses}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, read, written):
        self.files = (read, written)
        # Requests, and the bodies of the answers.
        self.asked, self.answered = [], []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        request = Message(self.requestline, self.headers.items(), body)
        answer = SCRIPTS[self.path.partition("?")[0]](json.loads(body), *self.server.files)
        self.server.asked.append(request)
        self.server.answered.append(answer)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        # Not one event a chunk: where it is cut is nothing to rely on.
        for start in range(0, len(answer), 100):
            piece = answer[start : start + 100]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(read, written):
    server = Server(read, written)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
