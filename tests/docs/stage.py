"""What the commands of a page are run against: a gateway with fakes for providers, and a folder with the files that the
pages name. Programs that cannot be run are stood in for; see `shims`."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import pages
import shims

# Seconds. Several times what it takes on a busy machine; past it something hangs.
PATIENCE = 120

ACCESS_KEY = re.compile(r"\btg-[A-Za-z0-9]{20,}\S*")
LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+) \((\w+)\)")
FOREIGN = re.compile(r"https://[a-z0-9.-]+")

CONFIG = """
[[listen]]
address = "{public}"

[admin]
address = "{admin}"
token = "file:credentials/admin-token"

[store]
path = "{store}"

[catalog]
paths = ["catalog"]

[credit]
unpriced = "{unpriced}"

[byok]
master_key = "file:credentials/the-master-key"

[log]
access = "../../access.log"
"""

# What of the machine the commands may read and write: it is in the stage's folder.
ROOTS = ("/etc/", "/usr/bin/", "/usr/local/", "/usr/share/", "/var/")

TOKEN = "the-operators-token"
CHAT = {"model": "openai:gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}


def catalog_files():
    """The providers of the shipped catalog that have an address of their own."""
    files = [json.loads(path.read_text()) for path in sorted((pages.ROOT / "catalog").glob("*.json"))]
    return [file for file in files if "provider" in file]


def examples(origin):
    """The providers that the pages in docs/providers add, with their pages: at the fake, by paths of their own, in place of
    where they say."""
    for name in pages.names():
        if name.startswith("docs/providers/"):
            for written in pages.fenced(name, "json"):
                file = json.loads(written)
                file.pop("endpoints", None)
                if "preset" in file:
                    file["base_url"] = f"{origin}/{file['provider']}/v1"
                yield name, file


def with_keys():
    """The custom providers that the pages give keys."""
    written = "".join(text for name in pages.names() for text in pages.fenced(name, "toml"))
    return set(re.findall(r"^\[providers\.([\w-]+)\]\nkeys", written, re.MULTILINE))


def placed(commands, places):
    """Commands with what stands for something replaced by it: words by themselves, and parts of any word."""
    for what, by in places:
        if what.isupper():
            commands = re.sub(rf"(?<![\w$\"']){what}(?![\w\"'=])", by, commands)
        else:
            commands = commands.replace(what, by)
    return commands


class Stage:
    """A running gateway and its folder. `unpriced` is what it does with models that have no price."""

    def __init__(self, program, provider, unpriced):
        self.program = program
        self.provider = provider
        self.origin = provider.origin
        self.unpriced = unpriced
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tollgate-docs-"))
        self.etc = self.folder / "etc/tollgate"
        self.gateway = None
        self.environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "DOCS_KEY": "sk-of-the-operator",
        }

    def __enter__(self):
        try:
            self.lay_out()
            self.start()
            self.use()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.gateway and self.gateway.poll() is None:
            self.gateway.kill()
            self.gateway.wait()
        end = time.monotonic() + PATIENCE
        while (left := self.successors()) and time.monotonic() < end:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)
        shutil.rmtree(self.folder)

    def successors(self):
        """Those that have taken over from the gateway, as `tollgate upgrade` has them do: they are no children of ours."""
        mine = str(self.etc / "serve.toml").encode()

        def words(folder):
            with contextlib.suppress(OSError):
                return (folder / "cmdline").read_bytes().split(b"\0")
            return []

        return [int(it.name) for it in pathlib.Path("/proc").glob("[0-9]*") if mine in words(it)]

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def lay_out(self):
        """Everything but what names the gateway's own ports."""
        providers = ""
        for file in catalog_files():
            path = "" if file["provider"] == "anthropic" else "/v1"
            providers += f'\n[providers.{file["provider"]}]\nkeys = ["env:DOCS_KEY"]\nbase_url = "{self.origin}{path}"\n'
        store = self.folder / "var/lib/tollgate/tollgate.db"
        self.config = CONFIG.replace("{unpriced}", self.unpriced).replace("{store}", str(store)) + providers
        echo = {"provider": "echo", "preset": "openai-compatible", "base_url": f"{self.origin}/v1"}
        added = [*(file for _, file in examples(self.origin)), echo]
        for position, file in enumerate(added):
            self.write(f"etc/tollgate/catalog/{position:03}.json", file)
        for name in sorted({file["provider"] for file in added} & with_keys()):
            self.config += f'\n[providers.{name}]\nkeys = ["env:DOCS_KEY"]\n'
        self.write("etc/tollgate/credentials/admin-token", TOKEN)
        self.write("etc/tollgate/credentials/the-master-key", os.urandom(32).hex())
        self.write("etc/tollgate/serve.toml", self.config.format(public="127.0.0.1:0", admin="127.0.0.1:0"))
        self.files()
        shims.write(self.folder, self.program)

    def files(self):
        """What the pages take to be in the folder of whoever reads them."""
        lists = pages.ROOT / "tests/data/lists"
        for name, source in (("model_prices_and_context_window.json", "litellm.json"), ("api.json", "models-dev.json")):
            shutil.copy(lists / source, self.folder / name)
        for name in ("key.txt", "new-key.txt"):
            self.write(name, f"sk-of-the-account-{name}")
        self.write("request.json", CHAT)
        self.write("usages.jsonl", json.dumps({"model": "gpt-4o", "input": 1200, "output": 300}))
        day = "day,model,provider,input,cached,output,cost\n2026-11-01,gpt-4o,openai,0,0,0,0\n"
        for name in ("completions_usage.csv", "claude_api_tokens.csv", "claude_api_cost.csv", "groq.csv"):
            self.write(name, day)
        for name in ("before", "after", "my-catalog"):
            self.write(f"{name}/house.json", {"provider": "openai", "models": {"our-tune": {"kind": "chat"}}})
        self.folder.joinpath("target/release").mkdir(parents=True)
        self.folder.joinpath("target/release/tollgate").symlink_to(self.program)
        shutil.copytree(pages.ROOT / "systemd", self.folder / "systemd")
        # The documented configuration, at free ports.
        documented = (pages.ROOT / "conf/tollgate.toml").read_text()
        documented = documented.replace("#[[listen]]", "[[listen]]")
        documented = re.sub(r'^#address = "127\.0\.0\.1:\d+"$', 'address = "127.0.0.1:0"', documented, flags=re.MULTILINE)
        self.write("conf/tollgate.toml", documented)

    def start(self):
        self.prepare("serve.toml", "keys create --name docs --account default")
        made = self.prepare("serve.toml", "keys create --name docs-2")
        self.key = ACCESS_KEY.search(made)[0]
        self.prepare("serve.toml", "accounts set default --postpaid")
        log = self.folder / "gateway.log"
        with log.open("w") as file:
            self.gateway = subprocess.Popen(
                [self.program, "serve", "--config", self.etc / "serve.toml"],
                env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        found = {}
        end = time.monotonic() + PATIENCE
        while len(found) < 2:
            if self.gateway.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the gateway did not start:\n{log.read_text()}")
            time.sleep(0.02)
            found = {kind: address for address, kind in LISTENING.findall(log.read_text())}
        self.public, self.admin = found["public"], found["admin"]
        self.write("etc/tollgate/tollgate.toml", self.config.format(public=self.public, admin=self.admin))

    def use(self):
        """A request, so that there is something to ask about, and further catalogs, so that there are some to go back to.
        What providers list themselves has to be there first."""
        end = time.monotonic() + PATIENCE
        while not self.provider.bare <= self.listed():
            if time.monotonic() > end:
                raise AssertionError(f"not listed: {self.provider.bare - self.listed()}")
            time.sleep(0.05)
        body = json.dumps(CHAT).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.public}/v1/chat/completions", body, headers)
        with contextlib.closing(urllib.request.urlopen(request, timeout=PATIENCE)) as answered:
            self.request = answered.headers["Tollgate-Request-Id"]
        self.version = self.catalog()
        self.write("etc/tollgate/catalog/more.json", {"virtual_models": {"docs": ["openai:gpt-4o-mini"]}})
        self.prepare("tollgate.toml", "reload")
        self.write("etc/tollgate/catalog/more.json", {"virtual_models": {"pages": ["openai:gpt-4o-mini"]}})
        self.prepare("tollgate.toml", "reload")

    def listed(self):
        request = urllib.request.Request(f"http://{self.public}/v1/models", headers={"Authorization": f"Bearer {self.key}"})
        with contextlib.closing(urllib.request.urlopen(request, timeout=PATIENCE)) as answered:
            return {model["id"] for model in json.load(answered)["data"]}

    def catalog(self):
        request = urllib.request.Request(f"http://{self.admin}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
        with contextlib.closing(urllib.request.urlopen(request, timeout=PATIENCE)) as answered:
            return json.load(answered)["catalog"]

    def prepare(self, config, words):
        done = subprocess.run(
            [self.program, *words.split(), "--config", self.etc / config],
            env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode != 0:
            raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run(self, blocks):
        """Runs blocks in one shell, in order. Returns how the first command failed, or nothing."""
        script = "set -Eeuo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n"
        for block in blocks:
            script += f"echo '{block.page}:{block.line}' >&2\n{placed(block.text, self.places())}"
        variables = {
            "KEY": self.key, "TOLLGATE_KEY": self.key, "TOKEN": TOKEN, "ID": self.request, "DAY": "1793491200",
            "ADMIN_KEY": "Authorization: Bearer sk-admin", "OPENAI_API_KEY": "sk-of-the-account",
        }  # fmt: skip
        process = subprocess.Popen(
            ["bash", "-c", script], env=self.environment | variables, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            out, told = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, told = process.communicate()
            told += f"\nnot done within {PATIENCE} s"
        return "" if process.returncode == 0 else f"{told[-2000:]}\n--- and on standard output:\n{out[-1000:]}"

    def places(self):
        return [
            ("127.0.0.1:8080", self.public),
            ("127.0.0.1:8081", self.admin),
            *((f" {root}", f" {self.folder}{root}") for root in ROOTS),
            *((f"={root}", f"={self.folder}{root}") for root in ROOTS),
            *((f":{root}", f":{self.folder}{root}") for root in ROOTS),
            *((f"{quote}{root}", f"{quote}{self.folder}{root}") for quote in "\"'" for root in ROOTS),
            ("tg-the-access-key", self.key),
            ("tg-…", self.key),
            *((host, self.origin) for host in sorted(self.hosts())),
            ("ID", self.key.removeprefix("tg-")[:12]),
            ("VERSION", self.version),
        ]

    @staticmethod
    def hosts():
        """Other machines that commands name."""
        return {host for name in pages.names() for block in pages.blocks(name) for host in FOREIGN.findall(block.text)}
