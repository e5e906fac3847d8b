"""As much of HTTP/1.1 as the load and the fake provider speak: heads, and bodies with a length or in chunks."""


class Message:
    """One message, read as its bytes come. `head` is its first line and its fields once they are there, `body` what of
    the body has come, and `whole` whether that is all."""

    def __init__(self):
        self._bytes = bytearray()
        self._left = 0
        self._chunked = False
        self.head = None
        self.body = bytearray()
        self.whole = False

    def feed(self, data):
        """Takes what has come. Nothing comes behind a message: nobody here sends a second one before the first is
        answered."""
        self._bytes += data
        if self.head is None and not self._read_head():
            return
        if self._chunked:
            self._read_chunks()
        else:
            self.body += self._bytes
            self._bytes.clear()
            self.whole = len(self.body) >= self._left

    def _read_head(self):
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._bytes[:end].decode("latin-1").split("\r\n")
        fields = (line.split(":", 1) for line in lines)
        self.head = first, {name.lower(): value.strip() for name, value in fields}
        del self._bytes[: end + 4]
        self._chunked = "chunked" in self.head[1].get("transfer-encoding", "")
        self._left = int(self.head[1].get("content-length", 0))
        return True

    def _read_chunks(self):
        while not self.whole:
            line = self._bytes.find(b"\r\n")
            if line < 0:
                return
            size = int(self._bytes[:line], 16)
            if len(self._bytes) < line + 2 + size + 2:
                return
            self.body += self._bytes[line + 2 : line + 2 + size]
            del self._bytes[: line + 2 + size + 2]
            self.whole = size == 0


def head(first, **fields):
    lines = (f"{name.replace('_', '-')}: {value}" for name, value in fields.items())
    return "\r\n".join([first, *lines, "\r\n"]).encode()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
