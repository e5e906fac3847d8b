"""What the SDK tests run against: fakes of providers, and a gateway in front of them.

Every process listens on a port that the kernel chose and says which; nothing here waits for a fixed time, and all of
it ends with the block or the command that started it. Pytest uses this file as a module. The Node tests run it as a
command: it prints one line of JSON, and ends when its standard input does.

    TOLLGATE_BIN=target/debug/tollgate python stack.py serve|dev|refusals
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import httpx

HERE = pathlib.Path(__file__).resolve().parent
OPERATOR = HERE.parent / "operator"

# Seconds. A debug build on a busy machine starts in about one; a fake, which is Python, in about two.
START_TIMEOUT = 60
# Seconds for a process that was asked to end; then it is killed.
STOP_TIMEOUT = 10

# What the operator's config takes from the environment. The spare fake checks that its own key arrives.
PROVIDER_KEYS = {
    "SDK_OPENAI_KEY": "sk-openai-of-the-operator",
    "SDK_ANTHROPIC_KEY": "sk-ant-of-the-operator",
    "SDK_GROQ_KEY": "gsk-of-the-operator",
    "SDK_SPARE_KEY": "spare-of-the-operator",
    "SDK_GOOGLE_KEY": "AIza-of-the-operator",
    "SDK_AZURE_KEY": "azure-of-the-operator",
    "SDK_SHAPES_KEY": "shapes-of-the-operator",
    "SDK_SPEAKING_KEY": "speaking-of-the-operator",
}

# Providers that fail on request, one for each test that needs one, because a gateway remembers who failed. Each has
# one model, `m-NAME`. `fails-NAME` speaks chat, `fails-messages-NAME` messages.
FAILING_STATUS = (408, 429, 500, 502, 503, 504, 529)
FAILING = [*map(str, FAILING_STATUS), "stream", "first", "second", "alone"]


class Child:
    """A process, what it has said so far, and its end."""

    def __init__(self, args, *, env=None, cwd=None):
        self.args = [str(arg) for arg in args]
        self.said = []
        self._news = threading.Condition()
        self._open = 2
        self.process = subprocess.Popen(
            self.args,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        for pipe in (self.process.stdout, self.process.stderr):
            threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe):
        for line in pipe:
            with self._news:
                self.said.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    def wait_for(self, pattern):
        """The first match of `pattern` in a line it says; an error with all it said when it ends or is late."""
        deadline = time.monotonic() + START_TIMEOUT
        seen = 0
        with self._news:
            while True:
                for line in self.said[seen:]:
                    if found := re.search(pattern, line):
                        return found
                seen = len(self.said)
                left = deadline - time.monotonic()
                if self._open == 0 or left <= 0:
                    raise RuntimeError(f"{self.args[0]} never said {pattern!r}; it said:\n" + "\n".join(self.said[-50:]))
                self._news.wait(left)

    def stop(self):
        """Ends it as systemd would: asks first, and kills what does not listen."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def child(args, **options):
    running = Child(args, **options)
    try:
        yield running
    finally:
        running.stop()


@dataclasses.dataclass(frozen=True)
class Gateway:
    """A running gateway: where it listens, and an access key it accepts."""

    url: str
    key: str
    binary: pathlib.Path
    config: pathlib.Path | None = None

    def create_key(self, *args):
        """A further access key, once the running gateway accepts it."""
        key = access_key(self.command("keys", "create", *args))
        deadline = time.monotonic() + START_TIMEOUT
        while httpx.get(f"{self.url}/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 401:
            if time.monotonic() > deadline:
                raise RuntimeError("the running gateway has not noticed a new access key")
            time.sleep(0.05)
        return key

    def command(self, name, *args):
        """What a subcommand says on standard output; an error with what it says on standard error if it fails."""
        assert self.config is not None, "only a served gateway has a config to name"
        return run(self.binary, name, "--config", self.config, *args)


@dataclasses.dataclass(frozen=True)
class Stack:
    """The gateway and the fakes behind it (`None` for `dev`, whose provider is its own echo)."""

    gateway: Gateway
    llmock: str | None = None
    fakellm: str | None = None


def environment(**more):
    """The environment without the caller's own provider keys and base URLs: `dev` would pick those up."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return clean | more


def run(binary, *args):
    return run_to(0, binary, *args)


def run_to(code, binary, *args):
    """What a command says on standard output; an error when it does not end with `code`."""
    done = subprocess.run(
        [str(binary), *map(str, args)],
        env=environment(**PROVIDER_KEYS),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT,
        check=False,
    )
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(map(str, args))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def access_key(text):
    """The access key in what a command printed."""
    return re.search(r"\btg-[A-Za-z0-9_-]+", text)[0]


def gateway_binary():
    """The gateway under test; TOLLGATE_BIN names it, else the debug build of this checkout is meant."""
    named = os.environ.get("TOLLGATE_BIN")
    path = pathlib.Path(named) if named else HERE.parents[2] / "target" / "debug" / "tollgate"
    return path.resolve(strict=True)


def closed_port():
    """A port of this machine on which nothing listens (it was free a moment ago, and is not handed out at once)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fill(source, target, values):
    """Copies a folder; `@NAME@` in its files becomes the value of that name."""
    for file in source.rglob("*"):
        copy = target / file.relative_to(source)
        if file.is_dir():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(re.sub(r"@([A-Z_]+)@", lambda m: str(values[m[1]]), file.read_text()))


def failing_providers(folder, fake):
    """Their catalog files."""
    makes = {"fails": ("openai-compatible", "/v1"), "fails-messages": ("anthropic-compatible", "/anthropic")}
    for name in FAILING:
        for prefix, (preset, path) in makes.items():
            models = {f"m-{name}": {"kind": "chat", "price": {"input": "0.1", "output": "0.2"}}}
            file = {"provider": f"{prefix}-{name}", "preset": preset, "base_url": fake + path, "models": models}
            (folder / f"{prefix}-{name}.json").write_text(json.dumps(file))


@contextlib.contextmanager
def llmock():
    """A fake of OpenAI, Anthropic, Groq and Gemini, each under its own path; it journals what arrives and fails on request."""
    args = [sys.executable, "-m", "llmock.cli", "serve", "--host", "127.0.0.1", "--port", "0", "--response-style", "echo"]
    with child(args, env=environment()) as server:
        yield server.wait_for(r"running on (http://127\.0\.0\.1:\d+)")[1]


@contextlib.contextmanager
def fakellm(config):
    """A second fake, of another make: chat and messages, by rules that look at the credential."""
    args = [sys.executable, "-m", "fakellm.cli", "serve", "--host", "127.0.0.1", "--port", "0", "--config", config]
    with child(args, env=environment()) as server:
        yield server.wait_for(r"running on (http://127\.0\.0\.1:\d+)")[1]


@contextlib.contextmanager
def breaking():
    """A third fake, of our own: its streams break off, at places that the model names."""
    with child([sys.executable, HERE / "breaking.py"], env=environment()) as server:
        yield server.wait_for(r"running on (http://127\.0\.0\.1:\d+)")[1]


@contextlib.contextmanager
def shapes():
    """A fourth fake, of our own: Azure's dated paths, and what of Gemini's API the first does not speak."""
    with child([sys.executable, HERE / "shapes.py"], env=environment()) as server:
        yield server.wait_for(r"running on (http://127\.0\.0\.1:\d+)")[1]


@contextlib.contextmanager
def talking():
    """A fifth fake, of our own: the Realtime API over WebSocket."""
    with child([sys.executable, HERE / "talking.py"], env=environment()) as server:
        yield server.wait_for(r"running on (http://127\.0\.0\.1:\d+)")[1]


def public_url(server):
    return "http://" + server.wait_for(r"listening on (127\.0\.0\.1:\d+) \(public\)")[1]


@contextlib.contextmanager
def serve():
    """`tollgate serve` before the fakes, as an operator would set it up: the files in tests/sdk/operator."""
    binary = gateway_binary()
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-sdk-")))
        first = stack.enter_context(llmock())
        second = stack.enter_context(fakellm(OPERATOR / "fakellm.yaml"))
        third = stack.enter_context(breaking())
        fourth = stack.enter_context(shapes())
        fifth = stack.enter_context(talking())
        dead = f"http://127.0.0.1:{closed_port()}"
        values = {"LLMOCK": first, "FAKELLM": second, "BREAKING": third, "SHAPES": fourth, "TALKING": fifth, "DEAD": dead}
        fill(OPERATOR, home, values)
        failing_providers(home / "catalog", first)
        config = home / "tollgate.toml"
        key = access_key(run(binary, "keys", "--config", config, "create", "--name", "sdk"))
        run(binary, "accounts", "--config", config, "set", "default", "--postpaid")
        server = stack.enter_context(child([binary, "serve", "--config", config], env=environment(**PROVIDER_KEYS)))
        yield Stack(Gateway(public_url(server), key, binary, config), first, second)


@contextlib.contextmanager
def dev(data=None):
    """`tollgate dev` with nothing around it; `data` is its folder, a new one if none is given."""
    binary = gateway_binary()
    with contextlib.ExitStack() as stack:
        if data is None:
            data = stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-dev-"))
        args = [binary, "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data]
        server = stack.enter_context(child(args, env=environment()))
        key = server.wait_for(r"^\s*(tg-[A-Za-z0-9_-]+)\s*$")[1]
        yield Stack(Gateway(public_url(server), key, binary))


@contextlib.contextmanager
def described(kind):
    """What runs, as a command says it."""
    if kind == "refusals":
        import refusals

        with refusals.serve() as served:
            yield refusals.as_json(served)
        return
    with {"serve": serve, "dev": dev}[kind]() as stack:
        yield {"url": stack.gateway.url, "key": stack.gateway.key, "llmock": stack.llmock, "fakellm": stack.fakellm}


def main():
    with described(sys.argv[1]) as says:
        print(json.dumps(says), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
