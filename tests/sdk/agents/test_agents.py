"""Claude Code and Codex CLI through the gateway, with the settings of docs/agents.md: they read a file, write one and say that
they are done. What they sent is what the provider got, and what it answered is what they got, less the published edits."""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import subprocess

import pytest

import recorder
import scripted
import stack

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "agents.md"
PACKAGES = pathlib.Path(os.environ["TOLLGATE_AGENTS"])
# Seconds; they take one or two.
LIMIT = 60

CONFIG = """
[[listen]]
address = "127.0.0.1:0"

[admin]
address = "127.0.0.1:0"

[store]
path = "tollgate.db"

[providers.anthropic]
keys = ["env:SDK_ANTHROPIC_KEY"]
base_url = "{url}"

[providers.openai]
keys = ["env:SDK_OPENAI_KEY"]
base_url = "{url}/v1"
"""

# No updates, no telemetry, nothing else that would look for the internet.
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
}

OWN_KEYS = {"sk-ant-your-own", "sk-your-own"}
# What the gateway takes out, or makes anew for each of its connections (RFC 9110, section 7.6.1).
HOP_BY_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}
CREDENTIALS = {"authorization", "x-api-key", "tollgate-key"}


def blocks(section, kind):
    """The settings in a section of the page."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, (section, kind)
    return found[0]


def variables(section, kind):
    exports = re.findall(r'^export (\w+)="?(.*?)"?$', blocks(section, kind), re.MULTILINE)
    assert exports
    return dict(exports)


@dataclasses.dataclass(frozen=True)
class Agent:
    """How one is set up by its section of the page, and what it is run with."""

    section: str
    surface: str
    model: str
    args: list

    def filled(self, text, gateway, key, prefix):
        """A setting of the page, for this gateway and key."""
        text = text.replace("http://127.0.0.1:8080", gateway).replace("tg-the-access-key", key)
        return text.replace(self.model, prefix + self.model)


CLAUDE = Agent(
    "Claude Code",
    "/v1/messages",
    "claude-sonnet-4-6",
    # The tools are allowed one by one: as root it refuses to allow all.
    [PACKAGES / "@anthropic-ai/claude-code/cli-wrapper.cjs", "-p", "Copy the words.", "--output-format", "json"]
    + ["--allowedTools", "Read", "Write"],
)
CODEX = Agent(
    "Codex CLI",
    "/v1/responses",
    "gpt-5.5",
    # Its sandbox needs what a container may not have; the commands are ours, in a folder of the test.
    [PACKAGES / "@openai/codex/bin/codex.js", "exec", "--json", "--skip-git-repo-check"]
    + ["--sandbox", "danger-full-access", "Copy the words."],
)


class Setting:
    """A gateway between a recorder and the scripted provider, and a folder with a file to read."""

    def __init__(self, folder, running):
        self.work, self.home = folder / "work", folder / "home"
        self.work.mkdir()
        self.home.mkdir()
        self.read, self.written = self.work / "input.txt", self.work / "output.txt"
        self.read.write_text("the secret word is heron\n")
        self.provider = running.enter_context(scripted.serve(self.read, self.written))
        binary, config = stack.gateway_binary(), folder / "tollgate.toml"
        config.write_text(CONFIG.format(url=self.provider.url))
        self.key = stack.access_key(stack.run(binary, "keys", "--config", config, "create", "--name", "agent"))
        stack.run(binary, "accounts", "--config", config, "set", "default", "--postpaid")
        environment = stack.environment(**stack.PROVIDER_KEYS)
        self.gateway = running.enter_context(stack.child([binary, "serve", "--config", config], env=environment))
        self.front = running.enter_context(recorder.proxy(stack.public_url(self.gateway)))

    def run(self, agent, own=False, prefix="", more=""):
        """Has the agent do its task; what it said."""
        kind = " own" if own else ""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"} | QUIET
        for name, value in variables(agent.section, f"sh{kind}").items():
            environment[name] = agent.filled(value, self.front.url, self.key, prefix)
        if agent is CODEX:
            (self.home / ".codex").mkdir()
            config = agent.filled(blocks(agent.section, f"toml{kind}"), self.front.url, self.key, prefix)
            (self.home / ".codex" / "config.toml").write_text(config + more)
        done = subprocess.run(
            ["node", *map(str, agent.args)],
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n" + "\n".join(self.gateway.said[-20:])
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture
def setting(tmp_path):
    with contextlib.ExitStack() as running:
        yield Setting(tmp_path, running)


def has_done_its_task(setting, agent, said):
    assert setting.written.read_text() == scripted.WRITTEN
    last = said[-1]["result"] if agent is CLAUDE else said[-2]["item"]["text"]
    assert last == scripted.DONE
    # The file's words came back to the model.
    assert any(b"the secret word is heron" in request.body for request in setting.provider.asked)


def bodies_are_the_same(setting, agent, edit=lambda body: body):
    """Of requests and answers; by their digests, whatever connections they came on."""
    asked, answered = setting.front.seen()
    asked = [request for request in asked if request.start.startswith("POST ")]
    assert len(asked) >= 3
    assert {request.path.partition("?")[0] for request in asked} == {agent.surface}
    sent = collections.Counter((request.path, digest(edit(request.body))) for request in asked)
    assert sent == collections.Counter((request.path, request.digest) for request in setting.provider.asked)
    got = collections.Counter(answer.digest for answer in answered if answer.body.startswith(b"event: "))
    assert got == collections.Counter(digest(body) for body in setting.provider.answered)
    return asked, answered


def digest(body):
    return recorder.Message("", [], body).digest


def credentials_are_swapped(setting, own):
    """The access key went nowhere; the provider's did."""
    expected = OWN_KEYS if own else {stack.PROVIDER_KEYS["SDK_ANTHROPIC_KEY"], stack.PROVIDER_KEYS["SDK_OPENAI_KEY"]}
    for request in setting.provider.asked:
        values = [value.removeprefix("Bearer ") for name in CREDENTIALS for value in request.all(name)]
        assert len(values) == 1 and values[0] in expected
        everything = f"{request.start}{request.headers}".encode() + request.body
        assert setting.key.encode() not in everything


@pytest.mark.parametrize("agent", [CLAUDE, CODEX], ids=["claude", "codex"])
def test_a_task(agent, setting):
    has_done_its_task(setting, agent, setting.run(agent))
    _, answered = bodies_are_the_same(setting, agent)
    credentials_are_swapped(setting, own=False)
    for answer in answered:
        assert answer.all("tollgate-credential") == ["gateway"]
        assert answer.all("tollgate-edits") == []


@pytest.mark.parametrize("agent", [CLAUDE, CODEX], ids=["claude", "codex"])
def test_a_task_on_a_key_of_ones_own(agent, setting):
    has_done_its_task(setting, agent, setting.run(agent, own=True))
    asked, answered = bodies_are_the_same(setting, agent)
    credentials_are_swapped(setting, own=True)
    assert all(answer.all("tollgate-credential") == ["request"] for answer in answered)

    # Then every end-to-end header passes as it is.
    def passing(requests):
        left = HOP_BY_HOP | CREDENTIALS
        return sorted(sorted((key.lower(), value) for key, value in one.headers if key.lower() not in left) for one in requests)

    assert passing(setting.provider.asked) == passing(asked)
    if agent is CLAUDE:
        assert all(request.all("anthropic-beta") for request in setting.provider.asked)


@pytest.mark.parametrize("agent, provider", [(CLAUDE, "anthropic"), (CODEX, "openai")], ids=["claude", "codex"])
def test_a_task_with_a_prefix_in_the_model(agent, provider, setting):
    has_done_its_task(setting, agent, setting.run(agent, prefix=f"{provider}:"))
    written, plain = (f'"model":"{prefix}{agent.model}"'.encode() for prefix in (f"{provider}:", ""))

    def edit(body):
        assert body.count(written) == 1
        return body.replace(written, plain)

    _, answered = bodies_are_the_same(setting, agent, edit)
    assert all(answer.all("tollgate-edits") == ["E1"] for answer in answered)


def test_codex_that_tries_a_websocket_first(setting):
    said = setting.run(CODEX, more="supports_websockets = true\n")
    has_done_its_task(setting, CODEX, said)
    asked, _ = setting.front.seen()
    assert any(request.all("upgrade") for request in asked), "it has not tried"
