"""What systemd/tollgate.service promises, seen under a real systemd. Run by tests/systemd/run, in the order below: it
is one life of one service."""

import contextlib
import http.client
import json
import re
import signal
import time
import unittest

import machine
from machine import PATIENCE, UNIT, run, shown, systemctl, until, write, write_catalog
from upstream import FIRST, LAST, PORT, Upstream

# The most that `systemd-analyze security` may find left open; 10 is everything. What is left is what a gateway is for:
# the network, and a port below 1024.
EXPOSURE_MAX = 1.5

# Seconds from the end of the last request to that of the process. A guard that tells a drain which waits for requests
# from one that sleeps its time (five minutes); how long it took is printed.
DRAIN_MAX = 5

PUBLIC = ("127.0.0.1", 80)
ADMIN = ("127.0.0.1", 8081)
SECRET = "sk-house-from-a-systemd-credential"

CONFIG = """
[[listen]]
address = "127.0.0.1:80"

[admin]
address = "127.0.0.1:8081"

[store]
path = "/var/lib/tollgate/tollgate.db"

[catalog]
paths = ["/etc/tollgate/catalog"]
watch = false

[providers.house]
keys = ["credential:house"]
"""

# What the comment in the unit tells operators to write.
DROP_IN = """
[Service]
LoadCredential=house:/etc/tollgate/credentials/house
"""

HOUSE = {
    "provider": "house",
    "preset": "openai-compatible",
    "base_url": f"http://127.0.0.1:{PORT}/v1",
    "models": {"small": {"kind": "chat", "price": {"input": "0.1", "output": "0.2"}}},
}


def ask(address, method, path, body=None, headers=()):
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=PATIENCE)) as connection:
        connection.request(method, path, body and json.dumps(body), dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def ready():
    status, text = ask(ADMIN, "GET", "/readyz")
    return json.loads(text) if status == 200 else None


def counted(name):
    _, text = ask(ADMIN, "GET", "/metrics")
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def listens(address):
    try:
        return ask(address, "GET", "/healthz")[0] == 200
    except ConnectionError:
        return False


class Service(unittest.TestCase):
    key = None

    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        write("etc/tollgate.toml", CONFIG)
        write_catalog("house", HOUSE)
        # Readable by root only: the service gets it from systemd, not from the file.
        write("etc/credentials/house", SECRET, mode=0o600)
        (machine.FILES / "etc/credentials").chmod(0o700)
        write("unit.d/credentials.conf", DROP_IN)
        until("the system's start", lambda: run("systemctl", "is-system-running", check=False) == "running")
        run("systemd-sysusers")
        systemctl("daemon-reload")

    @classmethod
    def tearDownClass(cls):
        cls.upstream.release.set()
        cls.upstream.shutdown()
        cls.upstream.server_close()

    def chat(self, model, **members):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        return ask(PUBLIC, "POST", "/v1/chat/completions", {"model": model, "messages": []} | members, headers)

    def test_01_systemd_finds_nothing_to_say_about_the_unit(self):
        self.assertEqual(run("systemd-analyze", "verify", UNIT), "")

    def test_02_little_is_left_open(self):
        found = run("systemd-analyze", "security", UNIT, "--no-pager")
        print("\n" + "\n".join(line for line in found.splitlines() if not line.startswith("✓")))
        exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", found)[1])
        self.assertLessEqual(exposure, EXPOSURE_MAX)

    def test_03_a_mistake_keeps_it_from_starting_and_is_in_the_journal(self):
        write("etc/tollgate.toml", CONFIG + "\n[limits]\nbody = 'many'\n")
        self.assertTrue(machine.fails("systemctl", "start", UNIT))
        self.assertRegex(machine.journal(), r"tollgate\.toml:\d+:\d+: limits\.body")
        self.assertFalse(listens(PUBLIC))
        write("etc/tollgate.toml", CONFIG)
        systemctl("stop", UNIT)

    def test_04_it_is_active_when_it_answers_and_not_before(self):
        systemctl("start", "--no-block", UNIT)
        until("the start", lambda: shown("ActiveState") == "active")
        # At once, without waiting.
        self.assertTrue(listens(PUBLIC))
        self.assertTrue(ready()["ready"])
        self.assertEqual(shown("Type"), "notify")

    def test_05_it_is_a_user_of_its_own_and_has_no_rights_but_that_to_a_low_port(self):
        status = machine.process_status()
        user = run("id", "--user", "tollgate")
        self.assertNotEqual(user, "0")
        self.assertEqual(set(status["Uid"].split()), {user})
        self.assertEqual(int(status["CapEff"], 16), 1 << 10, "CAP_NET_BIND_SERVICE")
        self.assertEqual(int(status["CapBnd"], 16), 1 << 10)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2", "a filter")

    def test_06_the_key_of_a_provider_comes_from_a_credential(self):
        operator = ("runuser", "-u", "tollgate", "--", "tollgate")
        config = ("--config", "/etc/tollgate/tollgate.toml")
        made = run(*operator, "keys", "create", *config, "--name", "test")
        Service.key = re.search(r"^tg-\S+$", made, re.MULTILINE)[0]
        until("the access key", lambda: self.chat("house:small")[0] == 402)
        run(*operator, "credit", "grant", *config, "default", "5")
        until("the credit", lambda: self.chat("house:small")[0] == 200)
        self.assertEqual(self.upstream.authorization, f"Bearer {SECRET}")
        self.assertTrue(machine.fails("runuser", "-u", "tollgate", "--", "cat", "/etc/tollgate/credentials/house"))
        self.assertNotIn(SECRET, machine.journal())

    def test_07_a_reload_brings_the_new_catalog(self):
        before, process = ready()["catalog"], shown("MainPID")
        self.assertEqual(self.chat("fresh")[0], 404)
        write_catalog("more", {"virtual_models": {"fresh": ["house:small"]}})
        systemctl("reload", UNIT)
        until("the new catalog", lambda: ready()["catalog"] != before)
        self.assertEqual(self.chat("fresh")[0], 200)
        until("the end of the reload", lambda: shown("ActiveState") == "active")
        self.assertEqual(shown("MainPID"), process)

    def test_08_a_mistake_changes_nothing(self):
        before, process = ready()["catalog"], shown("MainPID")
        write_catalog("more", '{"virtual_models":\n {"fresh": ["fresh"]}}')
        systemctl("reload", UNIT)
        until("the failure counted", lambda: counted("tollgate_reload_failures_total") == 1)
        until("the end of the reload", lambda: shown("ActiveState") == "active")
        self.assertEqual(ready()["catalog"], before)
        self.assertEqual(shown("MainPID"), process)
        self.assertEqual(self.chat("fresh")[0], 200)
        self.assertIn("more.json:2:", machine.journal())

    def test_09_it_is_started_again_when_it_crashes(self):
        write_catalog("more", {"virtual_models": {"fresh": ["house:small"]}})
        killed = shown("MainPID")
        systemctl("kill", "--signal=KILL", "--kill-who=main", UNIT)
        until("another process", lambda: shown("MainPID") not in ("0", killed) and shown("ActiveState") == "active")
        self.assertEqual(shown("NRestarts"), "1")
        self.assertTrue(ready()["ready"])
        self.assertEqual(self.chat("fresh")[0], 200)

    def test_10_one_that_hangs_is_started_again(self):
        # Shorter than the unit's, so that the test need not wait as long.
        write("unit.d/watchdog.conf", "[Service]\nWatchdogSec=5\n")
        systemctl("daemon-reload")
        systemctl("restart", UNIT)
        hung = shown("MainPID")
        systemctl("kill", "--signal=STOP", "--kill-who=main", UNIT)
        until("another process", lambda: shown("MainPID") not in ("0", hung) and shown("ActiveState") == "active")
        self.assertIn("Watchdog timeout", run("journalctl", "--no-pager", "--unit", UNIT))
        self.assertEqual(self.chat("fresh")[0], 200)

    def test_11_drained_it_serves_and_is_not_ready(self):
        run("tollgate", "drain", "--config", "/etc/tollgate/tollgate.toml")
        self.assertIsNone(ready())
        self.assertEqual(self.chat("fresh")[0], 200)
        self.assertTrue(machine.fails("tollgate", "status", "--config", "/etc/tollgate/tollgate.toml"))
        run("tollgate", "drain", "--end", "--config", "/etc/tollgate/tollgate.toml")
        self.assertTrue(ready()["ready"])
        self.assertIn("All is well.", run("tollgate", "status", "--config", "/etc/tollgate/tollgate.toml"))

    def test_12_a_stop_waits_for_the_last_request_and_not_longer(self):
        connection = http.client.HTTPConnection(*PUBLIC, timeout=PATIENCE)
        self.addCleanup(connection.close)
        body = json.dumps({"model": "house:small", "messages": [], "stream": True})
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {self.key}"})
        answer = connection.getresponse()
        self.assertEqual(answer.read(len(FIRST)), FIRST)
        systemctl("stop", "--no-block", UNIT)
        until("the stop", lambda: shown("ActiveState") == "deactivating")
        until("no new connections", lambda: not listens(PUBLIC))
        self.assertEqual(shown("ActiveState"), "deactivating")
        self.upstream.release.set()
        self.assertEqual(answer.read(), LAST)
        ended = time.monotonic()
        until("the end", lambda: shown("ActiveState") == "inactive")
        took = time.monotonic() - ended
        print(f"\nstopped {took:.2f} s after the last request's end")
        self.assertLess(took, DRAIN_MAX)
        self.assertEqual(shown("Result"), "success")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    unittest.main(verbosity=2, failfast=True)
