"""The gateway and Prometheus, as processes that end with this script."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# Seconds. Past it a start has failed; past the other a process does not want to end.
START_LIMIT, END_LIMIT = 30, 10

SCRAPE = "1s"

GATEWAY = """
[[listen]]
address = "127.0.0.1:0"

[[listen]]
address = "127.0.0.1:0"
tls = { certificate = "cert.pem", key = "key.pem" }

[admin]
address = "127.0.0.1:0"

[server]
threads = 2

[store]
path = "tollgate.db"

[catalog]
paths = ["catalog"]
discover = "1s"

[log]
access = "access.log"

[byok]
master_key = "file:master"

# Nobody is there: what is to be told is lost, and counted.
[otel]
endpoint = "http://127.0.0.1:1"
traces = true
"""

PROMETHEUS = """
global: {{scrape_interval: {scrape}, evaluation_interval: {scrape}}}
rule_files: [{alerts}]
scrape_configs:
  - job_name: tollgate
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def die_with_this_script():
    """In the child: it is killed when its parent ends, however that does."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def binary():
    """The program under test; TOLLGATE_BIN names it, else the debug build of this checkout is meant."""
    here = pathlib.Path(__file__).resolve()
    named = os.environ.get("TOLLGATE_BIN")
    path = pathlib.Path(named) if named else here.parents[2] / "target" / "debug" / "tollgate"
    return str(path.resolve(strict=True))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Process:
    """One process, and what it has said."""

    def __init__(self, words, home, environment):
        self.said = []
        self._process = subprocess.Popen(
            words,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_this_script,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self.said.append(line.rstrip())

    def wait_for(self, what, found):
        """The first value that `found` gives."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if (value := found()) is not None:
                return value
            time.sleep(0.05)
        raise RuntimeError(f"no {what}:\n" + "\n".join(self.said[-20:]))

    def end(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Gateway(Process):
    """A gateway in `home`, with these files in its catalog. `public` and `admin` are its ports."""

    def __init__(self, home, files, providers):
        self._home = home
        (home / "catalog").mkdir()
        for name, file in files.items():
            self.write(name, file)
        (home / "master").write_text("8d7f3a1e0c5b92d64f8e1a7c3b5d9f02e4c6a8b0d1f3e5c7a9b2d4f6081a3c5e")
        keys = "".join(f'\n[providers.{provider}]\nkeys = ["env:FAKE_KEY"]\n' for provider in providers)
        (home / "tollgate.toml").write_text(GATEWAY + keys)
        certificate(home)

    def start(self):
        super().__init__([binary(), "serve", "--config", "tollgate.toml"], self._home, self._environment())
        ports = self.wait_for("ports", self._ports)
        self.public, self.admin = ports["public"][0], ports["admin"][0]

    def _ports(self):
        ports = {"public": [], "admin": []}
        for line in list(self.said):
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+) \((\w+)\)", line):
                ports[found[2]].append(int(found[1]))
        return ports if ports["admin"] and len(ports["public"]) == 2 else None

    def _environment(self):
        return {"PATH": os.environ.get("PATH", ""), "FAKE_KEY": "sk-fake", "RUST_BACKTRACE": "1"}

    def write(self, name, file):
        """A file of the catalog, whole or not at all."""
        draft = self._home / f"{name}.draft"
        draft.write_text(json.dumps(file))
        draft.rename(self._home / "catalog" / f"{name}.json")

    def remove(self, name):
        (self._home / "catalog" / f"{name}.json").unlink()

    def command(self, *words, said=""):
        group, *rest = words
        done = subprocess.run(
            [binary(), group, *rest, "--config", "tollgate.toml"],
            cwd=self._home,
            env=self._environment(),
            input=said,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def certificate(home):
    """For a day, so that its expiry is something to be alarmed by."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "1", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(made, cwd=home, check=True, capture_output=True)


class Prometheus(Process):
    """A Prometheus in `home` that scrapes the admin listener at `port`, with the alerts of that file."""

    def __init__(self, home, port, alerts):
        self._port = free_port()
        (home / "prometheus.yml").write_text(PROMETHEUS.format(scrape=SCRAPE, alerts=json.dumps(str(alerts)), port=port))
        words = [shutil.which("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        words += [f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"]
        super().__init__(words, home, {"PATH": os.environ.get("PATH", "")})
        self.wait_for("Prometheus", lambda: True if self._answers() else None)

    def _answers(self):
        try:
            return self.values("up") == [1]
        except (OSError, RuntimeError):
            # Nothing listens yet, or it does and says that it is not ready.
            return False

    def ask(self, path, **fields):
        """The data of an answer of its API; an error where it has none."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(fields, doseq=True)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            # A query that is none is a 400 that says why.
            raise RuntimeError(f"{fields}: {error.read().decode()}") from error
        if told["status"] != "success":
            raise RuntimeError(f"{fields}: {told}")
        return told["data"]

    def values(self, query):
        """The numbers that a query comes to; what is no number is none."""
        result = self.ask("query", query=query)["result"]
        numbers = [float(sample["value"][1]) for sample in result]
        return [number for number in numbers if number == number]
