"""The gateway under test: started, found ready, killed; and what its commands say."""

import asyncio
import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import sqlite3

import compare
from provider import PROVIDERS

# Seconds. Past it a start has failed.
START_LIMIT = 20

CONFIG = """
[[listen]]
address = "127.0.0.1:0"

[admin]
address = "127.0.0.1:0"

[server]
threads = 2

[limits]
requests = 1000

[store]
path = "tollgate.db"

[catalog]
paths = ["catalog"]

[log]
level = "info"
access = "off"

[health]
passive = false

[providers.one]
keys = ["env:FAKE_KEY"]

[providers.two]
keys = ["env:FAKE_KEY"]
"""


def catalog(provider, rank, port):
    """A provider with the one model, whose tokens cost what `compare` knows."""
    price = {"input": f"{compare.INPUT / 1_000:g}", "output": f"{compare.OUTPUT / 1_000:g}"}
    return {
        "provider": provider,
        "preset": "openai-compatible",
        "rank": rank,
        "base_url": f"http://127.0.0.1:{port}/{provider}/v1",
        "surfaces": {"chat": {"path": "/chat/completions", "include_usage": True}},
        "models": {"m": {"price": price, "context": 1_000_000}},
    }


def die_with_this_script():
    """In the child: it is killed when its parent ends, however that does."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Gateway:
    """A gateway in `home`, one process after the other on one store."""

    def __init__(self, binary, home, port):
        self._binary, self._home = binary, home
        self._config = home / "tollgate.toml"
        self._config.write_text(CONFIG)
        (home / "catalog").mkdir()
        for rank, name in enumerate(PROVIDERS, 2000):
            (home / "catalog" / f"{name}.json").write_text(json.dumps(catalog(name, rank, port)))
        self._process = None
        # What the last process has said.
        self.said = []

    def file(self):
        return self._home / "tollgate.db"

    def store(self):
        """The store, to be read."""
        return sqlite3.connect(f"file:{self.file()}?mode=ro", uri=True)

    def environment(self):
        return {"PATH": os.environ.get("PATH", ""), "FAKE_KEY": "sk-fake", "RUST_BACKTRACE": "1"}

    async def command(self, *words, codes=(0,)):
        """What a command says on its standard output; an error when it ends with none of `codes`."""
        group, *rest = words
        process = await asyncio.create_subprocess_exec(
            self._binary,
            *(group, "--config", self._config, *rest),
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        if process.returncode not in codes:
            raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}:\n{(out + error).decode()}")
        return out.decode()

    async def spawn(self):
        self.said = []
        self._process = await asyncio.create_subprocess_exec(
            self._binary,
            *("serve", "--config", self._config),
            cwd=self._home,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_this_script,
        )
        self._listening = asyncio.get_running_loop().create_future()
        self._reading = asyncio.ensure_future(self._read(self._process.stdout))

    async def _read(self, pipe):
        addresses = {}
        async for line in pipe:
            self.said.append(line.decode(errors="replace").rstrip())
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+) \((\w+)\)", self.said[-1]):
                addresses[found[2]] = int(found[1])
            if len(addresses) == 2 and not self._listening.done():
                self._listening.set_result(addresses)
        if not self._listening.done():
            self._listening.set_exception(RuntimeError("the gateway has ended:\n" + "\n".join(self.said)))
            # A gateway that is killed at its start is nobody's mistake.
            self._listening.exception()

    async def ready(self):
        """Its public port, once it says that it is ready and its ledger is up."""
        async with asyncio.timeout(START_LIMIT):
            addresses = await self._listening
            while True:
                answer = await ask(addresses["admin"], "/readyz")
                if b'"ready":true' in answer and b'"ledger":"up"' in answer:
                    return addresses["public"]
                await asyncio.sleep(0.01)

    def signal(self, which):
        if self._process is not None and self._process.returncode is None:
            # It may have ended a moment ago.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, which)

    def is_running(self):
        return self._process is not None and self._process.returncode is None

    def successors(self):
        """The processes that are to take over from it or have, and those that start them, by their ids."""
        config = str(self._config).encode()
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                # It has ended meanwhile. What has and is not waited for has no words.
                continue
            if config in words and b"serve" in words and int(folder.name) != self._process.pid:
                found.append(int(folder.name))
        return found

    def has_upgraded(self):
        return any("has taken over as process" in line for line in self.said)

    def kill_successors(self):
        for process in self.successors():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    async def kill_all(self):
        """Kills it and whoever has come from it, and waits for the end of all."""
        self.signal(signal.SIGKILL)
        # Who starts another is found, too, and so is the other.
        while self.successors():
            self.kill_successors()
            await asyncio.sleep(0.005)
        await self.ended()

    async def ended(self):
        """It and all that have come from it: they have its standard output."""
        await self._process.wait()
        await self._reading

    async def stop(self):
        """Ends it, if it runs."""
        if self._process is not None:
            await self.kill_all()


async def ask(port, target):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


def binary():
    """The program under test; TOLLGATE_BIN names it, else the debug build of this checkout is meant."""
    here = pathlib.Path(__file__).resolve()
    named = os.environ.get("TOLLGATE_BIN")
    path = pathlib.Path(named) if named else here.parents[2] / "target" / "debug" / "tollgate"
    return str(path.resolve(strict=True))
