"""The admin API is held to its own OpenAPI document: Schemathesis asks a running gateway for everything that the document
allows, and for what it does not, one operation at a time and in chains of them. What it checks: no 5xx, statuses, media
types and bodies as documented, mistakes refused, good requests accepted, no answer without the token, and what was made
can be found."""

import json
import pathlib
import secrets
import subprocess
import sys
import tempfile

import httpx
import pytest

import stack

TOKEN = "admin-token-of-the-tests"
HERE = pathlib.Path(__file__).resolve().parent

CONFIG = """
[[listen]]
address = "127.0.0.1:0"

[admin]
address = "127.0.0.1:0"
token = "env:ADMIN_TOKEN"

[store]
path = "tollgate.db"

[catalog]
watch = false

[byok]
master_key = "env:MASTER_KEY"
"""

# Where the tool looks for what it cannot make itself, and what it is to take for granted. 422 is for requests that are
# well formed and make no sense: an expiry that is over, a limit of a prepaid account, a report that is none.
SETTINGS = """
seed = 7
continue-on-failure = true
headers = {{ Authorization = "Bearer {token}" }}
generation.max-examples = 15
generation.deterministic = true
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[parameters]
"path.request" = "{request}"
"""


@pytest.fixture(scope="module")
def admin():
    """The URL of an admin listener with a token, and a folder with its configuration."""
    with tempfile.TemporaryDirectory(prefix="tollgate-admin-") as home:
        home = pathlib.Path(home)
        (home / "tollgate.toml").write_text(CONFIG)
        environment = stack.environment(ADMIN_TOKEN=TOKEN, MASTER_KEY=secrets.token_hex(32))
        args = [stack.gateway_binary(), "serve", "--config", home / "tollgate.toml"]
        with stack.child(args, env=environment) as server:
            yield "http://" + server.wait_for(r"listening on (127\.0\.0\.1:\d+) \(admin\)")[1], home


@pytest.fixture
def api(admin):
    with httpx.Client(base_url=admin[0], headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def schemathesis(url, home, *args):
    settings = home / "schemathesis.toml"
    settings.write_text(SETTINGS.format(token=TOKEN, request="req_none"))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", settings, "run", url, "--no-color", *args]
    return subprocess.run(
        list(map(str, command)), cwd=home, env=stack.environment(), capture_output=True, text=True, check=False
    )


def test_the_document_that_is_served_is_the_one_that_is_checked_in(api):
    served = api.get("/api/v1/openapi.json")
    assert served.status_code == 200
    assert served.text == (HERE.parents[2] / "docs" / "openapi.json").read_text()


def test_without_the_token_nothing_is_answered(admin):
    document = json.loads((HERE.parents[2] / "docs" / "openapi.json").read_text())
    asked = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation.get("security") == []:
                continue
            answer = httpx.request(method, admin[0] + path)
            assert answer.status_code == 401, f"{method} {path}"
            asked += 1
    assert asked > 20


@pytest.mark.timeout(240)
def test_the_api_does_as_its_document_says(admin, api):
    url, home = admin
    account = api.post("/api/v1/accounts", json={"name": "acme", "billing": "postpaid"}).json()
    for amount in ("5", "0.25"):
        grants = f"/api/v1/accounts/{account['id']}/grants"
        assert api.post(grants, json={"amount": amount}).status_code == 201
    done = schemathesis(f"{url}/api/v1/openapi.json", home, "--max-time", "60")
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert api.get("/healthz").status_code == 200
    checked = api.get("/api/v1/check").json()
    assert checked["ok"], checked["faults"]
