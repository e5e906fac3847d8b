"""A provider takes a request and is gone without a word: its link is cut. The gateway finds that by the keep-alive of TCP
within the interval and six seconds, long before the request's own times, and says 502."""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

NEAR, FAR, PORT = "10.99.7.1", "10.99.7.2", 9000
# Seconds of silence before a probe, between probes, and until nothing heard means dead.
SILENCE, INTERVAL, DEAD = 3, 1, 4
CUT_AFTER = 1
# The bound of the promise, and the least that it can take.
LATEST, EARLIEST = SILENCE + 6, SILENCE

# Takes connections and says nothing.
PROVIDER = f"""
import socket, time
print("ready", flush=True)
while True:
    try:
        server = socket.create_server(("{FAR}", {PORT}))
        break
    except OSError:
        time.sleep(0.02)
taken = []
while True:
    taken.append(server.accept())
"""

CONFIG = f"""
[[listen]]
address = "127.0.0.1:8080"

[admin]
address = "127.0.0.1:8081"

[store]
path = "store.db"

[catalog]
paths = ["catalog"]

[upstream]
keepalive_time = "{SILENCE}s"
keepalive_interval = "{INTERVAL}s"
user_timeout = "{DEAD}s"
"""

CATALOG = {
    "provider": "far",
    "preset": "openai-compatible",
    "base_url": f"http://{FAR}:{PORT}/v1",
    "key_optional": True,
    "models": {"m": {"kind": "chat"}},
}


def run(*words):
    subprocess.run(words, check=True)


def beyond(process, *words):
    """Runs a program in the provider's network."""
    run("nsenter", f"--net=/proc/{process.pid}/ns/net", *words)


def connect_networks(provider):
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(provider.pid))
    run("ip", "address", "add", f"{NEAR}/24", "dev", "near")
    run("ip", "link", "set", "near", "up")
    beyond(provider, "ip", "address", "add", f"{FAR}/24", "dev", "far")
    beyond(provider, "ip", "link", "set", "far", "up")


def ask(key):
    """Sends a request once the gateway listens: its status and the seconds that it took."""
    body = json.dumps({"model": "m", "messages": []})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    until = time.monotonic() + 10
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
        began = time.monotonic()
        try:
            connection.request("POST", "/v1/chat/completions", body, headers)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until, "the gateway does not listen"
            time.sleep(0.02)
    response = connection.getresponse()
    response.read()
    return response.status, time.monotonic() - began


def main():
    program = pathlib.Path(os.environ["TOLLGATE_BIN"]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "catalog").mkdir()
        (folder / "catalog/far.json").write_text(json.dumps(CATALOG))
        config = folder / "tollgate.toml"
        config.write_text(CONFIG)
        provider = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", PROVIDER], stdout=subprocess.PIPE
        )
        gateway = None
        try:
            provider.stdout.readline()
            connect_networks(provider)
            made = [program, "keys", "create", "--config", config, "--name", "k", "--account", "a"]
            made = subprocess.run(made, check=True, capture_output=True, text=True).stdout
            key = next(line for line in made.splitlines() if line.startswith("tg-"))
            gateway = subprocess.Popen([program, "serve", "--config", config], stderr=subprocess.DEVNULL)
            cut = threading.Timer(CUT_AFTER, beyond, (provider, "ip", "link", "set", "far", "down"))
            cut.start()
            status, took = ask(key)
            cut.join()
        finally:
            for process in (gateway, provider):
                if process is not None:
                    process.kill()
                    process.wait()
    print(f"the provider's link was cut after {CUT_AFTER} s; {status} after {took:.1f} s")
    assert status == 502, status
    assert EARLIEST <= took <= LATEST, took


main()
