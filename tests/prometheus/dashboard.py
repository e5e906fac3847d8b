#!/usr/bin/env python3
"""The dashboard and the alerts before a real Prometheus: a gateway under load, with providers of which some fail, each in
its own way, is scraped by Debian's Prometheus. Then

* every query of conf/grafana/tollgate.json, and of its variables, is asked, and has to give a number;
* every rule of conf/prometheus/alerts.yaml has to be evaluated without an error, those whose case was provoked have to
  be pending or firing, and what they say must not be a template that failed.

    TOLLGATE_BIN=target/debug/tollgate tests/prometheus/dashboard.py

Needs Python 3.11, openssl, and prometheus in PATH. Everything is on the loopback and in a temporary folder; all
processes end with it. Ends with 1 when something is not as it must be.
"""

import http.client
import json
import pathlib
import random
import re
import sys
import tempfile
import threading
import time

from processes import Gateway, Prometheus, free_port
from provider import FAILURES, Provider

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "conf" / "grafana" / "tollgate.json"
ALERTS = ROOT / "conf" / "prometheus" / "alerts.yaml"

# Seconds of load, and how long what was counted last may take to be seen.
LOAD, SEEN_LIMIT = 15, 20
CLIENTS = 6
REQUEST_LIMIT = 20

# What Grafana puts in for its own variables: what it would for a minute that is shown, and for "All".
INTERVALS = {"$__rate_interval": "30s", "$__range": "60s"}
ALL = ".*"

GOOD = ["good", "spare", "untold", "dear"]
GONE = "gone"
# Asked for by the clients; those with a colon at one provider, the others are virtual.
MODELS = ["good:m", "good:m", "spare:m", "untold:m", "dear:m", "either", "either", "dead"]
MODELS += [f"{provider}:m" for provider in FAILURES]

PROVOKED = {
    "TollgateErrorBudgetBurnsFast",
    "TollgateErrorBudgetBurns",
    "TollgateErrorBudgetLeaks",
    "TollgateEndpointEjected",
    "TollgateProviderDown",
    "TollgateModelDown",
    "TollgateNobodyAnswers",
    "TollgateProviderFails",
    "TollgateCredentialsFail",
    "TollgateKeysRateLimited",
    "TollgateEstimatesUp",
    "TollgatePriceDrift",
    "TollgateReloadFails",
    "TollgateTelemetryLost",
    "TollgateCertificateExpires",
    "TollgateCertificateExpiresSoon",
}
ACTIVE = {"pending", "firing"}


def files(port):
    """The catalog: one provider for each thing that a provider can do, and two virtual models."""
    providers = {}
    for rank, name in enumerate([*GOOD, *FAILURES, GONE], 2000):
        there = free_port() if name == GONE else port
        providers[name] = {
            "provider": name,
            "preset": "openai-compatible",
            "rank": rank,
            "base_url": f"http://127.0.0.1:{there}/{name}/v1",
            "as_of": "2026-11-23",
            "discover": name == "good",
            "surfaces": {"chat": {"path": "/chat/completions", "include_usage": True}},
            "models": {"m": {"kind": "chat", "price": {"input": "1", "output": "2"}, "context": 100_000}},
        }
    virtual = {"either": ["failing:m", "limited:m", "good:m"], "dead": [f"{GONE}:m"]}
    return {**providers, "virtual": {"virtual_models": virtual}}


class Load:
    """Clients that ask on and on, well and badly, until told to stop."""

    def __init__(self, port, key):
        self._port, self._key = port, key
        self._stop = threading.Event()
        self.statuses = {}
        self._threads = [threading.Thread(target=self._client, args=(seed,)) for seed in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(REQUEST_LIMIT)

    def _client(self, seed):
        chance = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_LIMIT)
        while not self._stop.is_set():
            try:
                status = self._ask(connection, chance)
            except (OSError, http.client.HTTPException):
                # A stream that breaks off, or a connection that the gateway has closed.
                connection.close()
                status = None
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self._stop.wait(0.02)
        connection.close()

    def _ask(self, connection, chance):
        body = {"model": chance.choice(MODELS), "max_tokens": 50, "messages": [{"role": "user", "content": "Hello!"}]}
        if chance.random() < 0.3:
            body["stream"] = True
        key = self._key if chance.random() < 0.95 else "tg-unknown"
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def expanded(query):
    for name, value in INTERVALS.items():
        query = query.replace(name, value)
    query = re.sub(r"\$(job|instance|provider)\b", ALL, query)
    if "$" in query:
        raise RuntimeError(f"a variable that Grafana does not have: {query}")
    return query


def faults_of_dashboard(prometheus):
    """Every query that gives no number. A series may be there only with the next scrape, or the next transaction."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] not in ("row", "text")]
    queries = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    faults = []
    for title, query in queries:
        deadline = time.monotonic() + SEEN_LIMIT
        while not (numbers := prometheus.values(expanded(query))) and time.monotonic() < deadline:
            time.sleep(0.5)
        if not numbers:
            faults.append(f"panel {title}: no data: {query}")
    variables = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    for variable in variables:
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()
        if not prometheus.ask(f"label/{label}/values", **{"match[]": expanded(metric)}):
            faults.append(f"variable {variable['name']}: no value: {variable['definition']}")
    print(f"{len(queries)} queries of {len(panels)} panels, {len(variables)} variables")
    return faults


def rules(prometheus):
    groups = prometheus.ask("rules")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def active(prometheus):
    return {rule["name"] for rule in rules(prometheus) if rule.get("state") in ACTIVE}


def faults_of_alerts(prometheus):
    deadline = time.monotonic() + SEEN_LIMIT
    while not PROVOKED <= active(prometheus) and time.monotonic() < deadline:
        time.sleep(0.5)
    faults = [f"alert {name}: not active, and was provoked" for name in sorted(PROVOKED - active(prometheus))]
    all_rules = rules(prometheus)
    for rule in all_rules:
        if rule["health"] != "ok":
            faults.append(f"rule {rule['name']}: {rule['health']} {rule.get('lastError')}")
        for alert in rule.get("alerts", []):
            for text in alert["annotations"].values():
                if "error expanding" in text or "<no value>" in text:
                    faults.append(f"alert {rule['name']}: {text}")
    print(f"{len(all_rules)} rules, {len(active(prometheus))} active")
    if len(all_rules) < len(PROVOKED):
        faults.append("the rules were not loaded")
    return faults


def prepare(gateway):
    """An account with credit and a stored key; its access key."""
    gateway.command("accounts", "create", "acme")
    gateway.command("credit", "grant", "acme", "100")
    stored = ["--account", "acme", "--provider", "spare", "--name", "own"]
    gateway.command("provider-keys", "add", *stored, said="sk-own-key-of-the-account")
    said = gateway.command("keys", "create", "--account", "acme", "--name", "load")
    return re.search(r"\btg-\w+", said)[0]


def mistake(gateway, prometheus):
    """A file that is wrong, and is seen to be."""
    gateway.write("wrong", {"virtual_models": {"loop": ["loop"]}})
    deadline = time.monotonic() + SEEN_LIMIT
    while prometheus.values("tollgate_last_reload_successful") != [0]:
        if time.monotonic() > deadline:
            raise RuntimeError("a mistake in the catalog was not seen:\n" + "\n".join(gateway.said[-20:]))
        time.sleep(0.2)


def run(home, ending):
    for part in ("gateway", "prometheus"):
        (home / part).mkdir()
    provider = Provider()
    ending.append(provider)
    gateway = Gateway(home / "gateway", files(provider.port), [*GOOD, *FAILURES, GONE])
    key = prepare(gateway)
    gateway.start()
    ending.append(gateway)
    prometheus = Prometheus(home / "prometheus", gateway.admin, ALERTS)
    ending.append(prometheus)
    load = Load(gateway.public, key)
    ending.append(load)
    time.sleep(LOAD)
    mistake(gateway, prometheus)
    faults = faults_of_dashboard(prometheus) + faults_of_alerts(prometheus)
    print("answers by status:", dict(sorted(load.statuses.items(), key=str)))
    return faults


def main():
    ending = []
    with tempfile.TemporaryDirectory(prefix="tollgate-prometheus-") as home:
        try:
            faults = run(pathlib.Path(home), ending)
        finally:
            for part in reversed(ending):
                part.end()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
