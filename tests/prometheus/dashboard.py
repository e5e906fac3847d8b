#!/usr/bin/env python3
"""The dashboard and the alerts before a real Prometheus: a gateway under load, with providers of which some fail, each in
its own way, is scraped by Debian's Prometheus. Then

* every query of conf/grafana/tollgate.json, and of its variables, is asked, and has to give a number;
* every panel of it is drawn, and those of docs/dashboard have to be the ones that it has;
* every rule of conf/prometheus/alerts.yaml has to be evaluated without an error, those whose case was provoked have to
  be pending or firing, and what they say must not be a template that failed.

    TOLLGATE_BIN=target/debug/tollgate tests/prometheus/dashboard.py
    TOLLGATE_BIN=target/debug/tollgate tests/prometheus/dashboard.py --draw     # draws docs/dashboard anew: three minutes

Needs Python 3.11, openssl, and prometheus in PATH. Everything is on the loopback and in a temporary folder; all
processes end with it. Ends with 1 when something is not as it must be.
"""

import argparse
import http.client
import json
import math
import pathlib
import random
import re
import sys
import tempfile
import threading
import time

import drawing
from processes import Gateway, Prometheus, free_port
from provider import FAILURES, Provider

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "conf" / "grafana" / "tollgate.json"
PICTURES = ROOT / "docs" / "dashboard"
ALERTS = ROOT / "conf" / "prometheus" / "alerts.yaml"

# Seconds of load, and how long what was counted last may take to be seen.
LOAD, SEEN_LIMIT = 15, 20
CLIENTS = 6
REQUEST_LIMIT = 20

# Seconds of load for pictures to show, in waves, and points of a curve.
DRAWN, WAVE, POINTS = 180, 70, 90
# Bytes that the pictures may have in all.
PICTURES_MAX = 400_000

# What Grafana puts in for its own variables: what it would for a minute that is shown, and for "All".
INTERVALS = {"$__rate_interval": "30s", "$__range": "60s"}
# The same for pictures.
DRAWN_INTERVALS = {"$__rate_interval": "12s", "$__range": f"{DRAWN}s"}
ALL = ".*"

GOOD = ["good", "spare", "untold", "dear"]
GONE = "gone"
# Those that pictures are of: as chosen at the head of the dashboard.
ASKED = [*GOOD, *FAILURES, GONE]
# Asked for by the clients; those with a colon at one provider, the others are virtual.
MODELS = ["good:m", "good:m", "spare:m", "untold:m", "dear:m", "either", "either", "dead"]
MODELS += [f"{provider}:m" for provider in FAILURES]

# For pictures: mostly what a good day has.
DRAWN_MODELS = ["good:m"] * 24 + ["spare:m"] * 14 + ["either"] * 16 + ["untold:m", "dear:m", "dead"]
DRAWN_MODELS += [f"{provider}:m" for provider in FAILURES]

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
    for rank, name in enumerate(ASKED, 2000):
        there = free_port() if name == GONE else port
        providers[name] = {
            "provider": name,
            "preset": "openai-compatible",
            "rank": rank,
            "base_url": f"http://127.0.0.1:{there}/{name}/v1",
            "as_of": "2026-11-23",
            "discover": name == "good",
            "surfaces": {
                "chat": {"path": "/chat/completions", "include_usage": True},
                "embeddings": {"path": "/embeddings"},
            },
            "models": {
                "m": {"kind": "chat", "price": {"input": "1", "output": "2"}, "context": 100_000},
                "e": {"kind": "embedding", "price": {"input": "0.1"}, "context": 100_000},
            },
        }
    virtual = {"either": ["failing:m", "limited:m", "good:m"], "dead": [f"{GONE}:m"]}
    return {**providers, "virtual": {"virtual_models": virtual}}


class Load:
    """Clients that ask on and on, well and badly, until told to stop."""

    def __init__(self, port, keys, drawn):
        self._port, self._keys, self._drawn = port, keys, drawn
        self._began = time.monotonic()
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
            self._stop.wait(self._pause(chance))
        connection.close()

    def _pause(self, chance):
        """For pictures more and less comes in waves, and no two seconds are the same."""
        if not self._drawn:
            return 0.02
        wave = math.sin((time.monotonic() - self._began) / WAVE * 2 * math.pi)
        return (0.16 - 0.1 * wave) * chance.uniform(0.4, 1.6)

    def _ask(self, connection, chance):
        """Mostly a chat, and one in ten in some other way."""
        way = chance.random()
        path, headers = "/v1/chat/completions", {"Content-Type": "application/json"}
        key = self._keys["poor" if way < 0.02 else "narrow" if way < 0.04 else "load"]
        headers["Authorization"] = f"Bearer {key if way > 0.01 else 'tg-unknown'}"
        if 0.04 < way < 0.08:
            # The client's own key for the provider.
            headers |= {"Authorization": "Bearer sk-of-the-client", "Tollgate-Key": key}
        body = {"model": chance.choice(DRAWN_MODELS if self._drawn else MODELS), "max_tokens": 50}
        body["messages"] = [{"role": "user", "content": "Hello!"}]
        if 0.08 < way < 0.14:
            path, body = "/v1/embeddings", {"model": "good:e", "input": "Hello!"}
        elif chance.random() < 0.3:
            body["stream"] = True
        if 0.14 < way < 0.16:
            connection.request("GET", "/v1/models", headers=headers)
        else:
            connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def expanded(query, intervals=INTERVALS, providers=ALL):
    for name, value in intervals.items():
        query = query.replace(name, value)
    query = re.sub(r"\$provider\b", providers, query)
    query = re.sub(r"\$(job|instance)\b", ALL, query)
    if "$" in query:
        raise RuntimeError(f"a variable that Grafana does not have: {query}")
    return query


class Numbers:
    """What Prometheus has for queries, at the end and over the seconds before it."""

    def __init__(self, prometheus, length, intervals):
        self._prometheus, self._intervals = prometheus, intervals
        self.length, self.step = length, length / POINTS
        self._end = time.time()

    def share(self, moment):
        return min(1, max(0, 1 - (self._end - moment) / self.length))

    def _ask(self, way, query, **fields):
        asked = self._prometheus.ask(way, query=expanded(query, self._intervals, "|".join(ASKED)), **fields)
        series = asked["result"]
        return sorted(series, key=lambda one: sorted(one["metric"].items()))

    def now(self, query):
        found = [(one["metric"], float(one["value"][1])) for one in self._ask("query", query, time=self._end)]
        return [(labels, number) for labels, number in found if math.isfinite(number)]

    def over_time(self, query):
        """A point for each step, where there is a number."""
        found = []
        asked = self._ask("query_range", query, start=self._end - self.length, end=self._end, step=self.step)
        for one in asked:
            points = [(moment, float(number)) for moment, number in one["values"]]
            points = [(moment, number) for moment, number in points if math.isfinite(number)]
            if points:
                found.append((one["metric"], points))
        return found


def faults_of_pictures(numbers, to_docs):
    """Every panel is drawn, and those that the pages show are those that there are."""
    dashboard = json.loads(DASHBOARD.read_text())
    pictures, missing = drawing.draw(dashboard, numbers)
    faults = [f"a picture lacks data of panel {fault}" for fault in missing]
    if to_docs:
        PICTURES.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        kept = PICTURES / name
        if to_docs:
            kept.write_text(picture)
    for row, panels in drawing.rows(dashboard):
        kept = PICTURES / drawing.file_name(row)
        wanted = {panel["title"] for panel in [row, *panels]}
        shown = drawing.titles(pictures[kept.name])
        if not wanted <= shown:
            faults.append(f"{kept.name} would not show {sorted(wanted - shown)}")
        if wanted != (drawing.titles(kept.read_text()) & wanted if kept.exists() else set()):
            faults.append(f"{kept.relative_to(ROOT)} is not of this dashboard: draw it anew with --draw")
    spare = {file.name for file in PICTURES.glob("*")} - set(pictures)
    faults += [f"docs/dashboard/{name} is of no row" for name in sorted(spare)]
    size = sum(len(picture.encode()) for picture in pictures.values())
    print(f"{len(pictures)} pictures, {size} bytes")
    if size > PICTURES_MAX:
        faults.append(f"the pictures have {size} bytes")
    return faults


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
    """An account with credit and a stored key, and one without; access keys, one of them for one model only."""
    gateway.command("accounts", "create", "acme")
    gateway.command("accounts", "create", "poor")
    gateway.command("credit", "grant", "acme", "100")
    stored = ["--account", "acme", "--provider", "spare", "--name", "own"]
    gateway.command("provider-keys", "add", *stored, said="sk-own-key-of-the-account")
    keys = {"load": ["acme"], "narrow": ["acme", "--allow-model", "good:e"], "poor": ["poor"]}
    made = {}
    for name, (account, *more) in keys.items():
        said = gateway.command("keys", "create", "--account", account, "--name", name, *more)
        made[name] = re.search(r"\btg-\w+", said)[0]
    return made


def mistake(gateway, prometheus):
    """A file that is wrong, and is seen to be."""
    gateway.write("wrong", {"virtual_models": {"loop": ["loop"]}})
    deadline = time.monotonic() + SEEN_LIMIT
    while prometheus.values("tollgate_last_reload_successful") != [0]:
        if time.monotonic() > deadline:
            raise RuntimeError("a mistake in the catalog was not seen:\n" + "\n".join(gateway.said[-20:]))
        time.sleep(0.2)


def days_work(gateway, prometheus):
    """What pictures are of: a change that is taken up, and a mistake that is mended."""
    began = time.monotonic()
    time.sleep(DRAWN / 3)
    gateway.write("more", {"virtual_models": {"another": ["spare:m", "good:m"]}})
    time.sleep(DRAWN / 6)
    mistake(gateway, prometheus)
    time.sleep(DRAWN / 9)
    gateway.remove("wrong")
    time.sleep(began + DRAWN - time.monotonic())


def run(home, ending, to_docs):
    for part in ("gateway", "prometheus"):
        (home / part).mkdir()
    provider = Provider(to_docs)
    ending.append(provider)
    gateway = Gateway(home / "gateway", files(provider.port), ASKED)
    keys = prepare(gateway)
    gateway.start()
    ending.append(gateway)
    prometheus = Prometheus(home / "prometheus", gateway.admin, ALERTS)
    ending.append(prometheus)
    load = Load(gateway.public, keys, to_docs)
    ending.append(load)
    if to_docs:
        days_work(gateway, prometheus)
    else:
        time.sleep(LOAD)
    numbers = Numbers(prometheus, *((DRAWN, DRAWN_INTERVALS) if to_docs else (LOAD, INTERVALS)))
    pictures = faults_of_pictures(numbers, to_docs)
    if to_docs:
        return pictures
    mistake(gateway, prometheus)
    faults = pictures + faults_of_dashboard(prometheus) + faults_of_alerts(prometheus)
    print("answers by status:", dict(sorted(load.statuses.items(), key=str)))
    return faults


def main():
    arguments = argparse.ArgumentParser(description="The dashboard and the alerts before a real Prometheus.")
    arguments.add_argument("--draw", action="store_true", help="draw the pictures of docs/dashboard anew, and no more")
    to_docs = arguments.parse_args().draw
    ending = []
    with tempfile.TemporaryDirectory(prefix="tollgate-prometheus-") as home:
        try:
            faults = run(pathlib.Path(home), ending, to_docs)
        finally:
            for part in reversed(ending):
                part.end()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
