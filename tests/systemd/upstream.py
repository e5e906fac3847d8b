"""A provider that answers one chat request after another, whole or as a stream that it holds back."""

import http.server
import threading

PORT = 9000
FIRST = b"data: 1\n\n"
LAST = b"data: [DONE]\n\n"


class Upstream(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", PORT), Handler)
        self.authorization = None
        self.release = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.authorization = self.headers["Authorization"]
        if b'"stream"' in body:
            self.answer("text/event-stream", "Transfer-Encoding", "chunked")
            self.chunk(FIRST)
            self.server.release.wait(60)
            self.chunk(LAST)
            self.chunk(b"")
        else:
            self.answer("application/json", "Content-Length", "2")
            self.wfile.write(b"{}")

    def answer(self, content_type, framing, value):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header(framing, value)
        self.end_headers()

    def chunk(self, content):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def log_message(self, *_):
        pass
