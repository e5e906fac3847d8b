"""A provider that answers one chat request after another, whole or as a stream that it holds back, or that lasts for so many
seconds as it is asked for."""

import http.server
import json
import socket
import threading

PORT = 9000
FIRST = b"data: 1\n\n"
LAST = b"data: [DONE]\n\n"


class Upstream(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self):
        super().__init__(("127.0.0.1", PORT), Handler)
        self.authorization = None
        self.release = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.authorization = self.headers["Authorization"]
        asked = json.loads(body)
        if seconds := asked.get("seconds"):
            self.last(seconds)
        elif asked.get("stream"):
            self.answer("text/event-stream", "Transfer-Encoding", "chunked")
            self.chunk(FIRST)
            self.server.release.wait(60)
            self.chunk(LAST)
            self.chunk(b"")
        else:
            self.answer("application/json", "Content-Length", "2")
            self.wfile.write(b"{}")

    def last(self, seconds):
        """An event a second, and an end that comes earlier when everything is released."""
        self.answer("text/event-stream", "Transfer-Encoding", "chunked")
        for number in range(seconds):
            self.chunk(b"data: %d\n\n" % number)
            if self.server.release.wait(1):
                break
        self.chunk(LAST)
        self.chunk(b"")

    def answer(self, content_type, framing, value):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header(framing, value)
        self.end_headers()

    def chunk(self, content):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        self.wfile.flush()

    def log_message(self, *_):
        pass
