"""Records what passes, on two sides of the gateway: a TCP proxy in front of it that sees bytes and knows nothing of HTTP, and
the requests and answers in what it has seen."""

import contextlib
import dataclasses
import hashlib
import socket
import threading


@dataclasses.dataclass(frozen=True)
class Message:
    """A request or an answer: its first line, its headers as they were written, and its body without chunks."""

    start: str
    headers: list
    body: bytes

    @property
    def path(self):
        return self.start.split(" ")[1]

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def digest(self):
        return hashlib.sha256(self.body).hexdigest()


def messages(raw):
    """The messages in the bytes of one direction of a connection."""
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        fields = {name.lower(): value for name, value in headers}
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body, raw = dechunked(raw)
        else:
            length = int(fields.get("content-length", 0))
            body, raw = raw[:length], raw[length:]
            assert len(body) == length, "cut off"
        yield Message(start, headers, body)


def dechunked(raw):
    body = b""
    while True:
        if b"\r\n" not in raw:
            # A client that has read the last event does not wait for the last chunk, which is empty.
            return body, b""
        size, _, raw = raw.partition(b"\r\n")
        size = int(size, 16)
        piece, raw = raw[:size], raw[size + 2 :]
        assert len(piece) == size, "cut off"
        body += piece
        if size == 0:
            return body, raw


class Proxy:
    """Passes bytes between its clients and `target`, and keeps a copy."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = []
        self.copying = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            asked, answered = bytearray(), bytearray()
            self.connections.append((asked, answered))
            for args in ((client, server, asked), (server, client, answered)):
                thread = threading.Thread(target=copy, args=args, daemon=True)
                self.copying.append(thread)
                thread.start()

    def seen(self):
        """The requests and the answers; the clients have ended."""
        for thread in self.copying:
            thread.join(30)
            assert not thread.is_alive(), "a connection is still open"
        asked = [message for sent, _ in self.connections for message in messages(bytes(sent))]
        answered = [message for _, got in self.connections for message in messages(bytes(got))]
        return asked, answered


def copy(source, target, kept):
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            kept += piece
            target.sendall(piece)
    # The other direction is told, and ends as well.
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(url):
    host, port = url.removeprefix("http://").split(":")
    running = Proxy((host, int(port)))
    try:
        yield running
    finally:
        # Closing alone does not wake whoever accepts.
        with contextlib.suppress(OSError):
            running.listener.shutdown(socket.SHUT_RDWR)
        running.listener.close()
