"""Upgrades and reloads of a busy service under a real systemd: not one request fails, no stream is cut, and systemd knows at
each moment which process is the main one. Run by tests/systemd/run, after checks.py.

TOLLGATE_UPGRADES says how many upgrades and reloads there are (5); 50 is the whole form, in which streams last for ten minutes
or as long as the run."""

import os
import re
import signal
import time
import unittest

import machine
from checks import CONFIG, DROP_IN, HOUSE, PUBLIC, SECRET, ask, counted, listens
from load import Load
from machine import UNIT, run, shown, systemctl, until, write, write_catalog
from upstream import Upstream

UPGRADES = int(os.environ.get("TOLLGATE_UPGRADES", "5"))
CONNECTIONS = 64
STREAMS = 50
STREAM_SECONDS = 600
SHORT_STREAM_SECONDS = 3

# The most that an upgrade may take here, in seconds: a guard.
UPGRADE_MAX = 60

PROGRAM = "/etc/tollgate/bin/tollgate"
CONFIGURED = ("--config", "/etc/tollgate/tollgate.toml")
COMMAND = ("/usr/bin/tollgate", "upgrade", *CONFIGURED)
OPERATOR = ("runuser", "-u", "tollgate", "--", PROGRAM)

# The program is where a package would put another one in its place.
OTHER_PLACE = f"""
[Service]
ExecStart=
ExecStart={PROGRAM} serve --config /etc/tollgate/tollgate.toml
TimeoutStopSec=700
"""


def replace(link, target):
    """Puts another link, or a script, in the place of one, at once."""
    unfinished = link.with_name(".unfinished")
    if target.startswith("#!"):
        unfinished.write_text(target)
        unfinished.chmod(0o755)
    else:
        unfinished.symlink_to(target)
    unfinished.rename(link)


class Upgrades(unittest.TestCase):
    key = None

    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.link = machine.FILES / "etc/bin/tollgate"
        cls.link.parent.mkdir(mode=0o755, exist_ok=True)
        cls.link.parent.chmod(0o755)
        replace(cls.link, "/usr/bin/tollgate")
        write("etc/tollgate.toml", '[server]\ndrain = "11m"\nupgrade = "5s"\n' + CONFIG)
        write_catalog("house", HOUSE)
        write("etc/credentials/house", SECRET, mode=0o600)
        write("unit.d/credentials.conf", DROP_IN)
        write("unit.d/place.conf", OTHER_PLACE)
        # That of checks.py is shorter than what 114 clients leave to two processors.
        (machine.FILES / "unit.d/watchdog.conf").unlink(missing_ok=True)
        until("the system's start", lambda: run("systemctl", "is-system-running", check=False) == "running")
        run("systemd-sysusers")
        systemctl("daemon-reload")
        systemctl("start", UNIT)

    @classmethod
    def tearDownClass(cls):
        cls.upstream.release.set()
        cls.upstream.shutdown()
        cls.upstream.server_close()

    def setUp(self):
        self.main = shown("MainPID")

    def assert_well(self, main):
        """What an operator would look at, right now."""
        found = dict(line.split("=", 1) for line in run("systemctl", "show", UNIT, *PROPERTIES).splitlines())
        self.assertEqual(found["MainPID"], str(main))
        self.assertEqual(found["ActiveState"], "active")
        self.assertEqual(found["Result"], "success")
        self.assertEqual(found["NRestarts"], "0")
        self.assertRegex(run("systemctl", "status", "--no-pager", UNIT), rf"Main PID: {main} \(tollgate\)")
        self.assertTrue(listens(PUBLIC))

    def upgrade(self):
        """By the command, and returns the process that has taken over."""
        said = run(*COMMAND)
        process = re.search(r"^Upgraded: process (\d+) serves", said)[1]
        until("the new main process", lambda: shown("MainPID") == process)
        return process

    def refused(self):
        """What is said of an upgrade that fails."""
        done = run(*COMMAND, check=False)
        self.assertNotIn("Upgraded", done)
        self.assert_well(self.main)
        return done

    def test_1_the_service_has_a_key(self):
        Upgrades.key = access_key()
        until("the access key", lambda: self.status("house:small") == 200)

    def test_2_requests_and_streams_go_on_through_upgrades_and_reloads(self):
        load = Load(PUBLIC, self.key, "house:small")
        self.addCleanup(load.stop.set)
        load.start(CONNECTIONS, STREAMS, STREAM_SECONDS, SHORT_STREAM_SECONDS)
        began, took, mains = time.monotonic(), [], [self.main]
        for number in range(UPGRADES):
            asked = time.monotonic()
            mains.append(self.upgrade())
            took.append(time.monotonic() - asked)
            self.assert_well(mains[-1])
            self.reload(f"fresh-{number}")
            self.assert_well(mains[-1])
            self.assertEqual(load.failures, [])
        lasted = time.monotonic() - began
        until("requests of the last process", lambda: counted("tollgate_in_flight") > 0)
        leaving = set(processes()) - {mains[-1]}
        self.upstream.release.set()
        load.end()
        self.assertEqual(load.failures, [])
        self.assertEqual(len(set(mains)), UPGRADES + 1)
        self.assertGreater(load.answered, UPGRADES * CONNECTIONS)
        self.assertGreaterEqual(load.streamed, STREAMS)
        self.assertIn(mains[0], leaving, "the first has had streams to the end")
        until("the end of those before", lambda: processes() == [mains[-1]])
        print(
            f"\n{UPGRADES} upgrades and {UPGRADES} reloads in {lasted:.0f} s: {load.answered} requests and "
            f"{load.streamed} streams, {len(load.failures)} failed; an upgrade took {max(took):.2f} s at the most; "
            f"{len(leaving)} processes were leaving at the end"
        )
        self.assertLess(max(took), UPGRADE_MAX)
        self.assert_well(mains[-1])
        # All is paid for, once; it fails where the books do not agree with the rows, or a hold is left.
        print(run(*OPERATOR, "credit", "check", *CONFIGURED))
        self.assertEqual(counted("tollgate_holds_open"), 0)

    def reload(self, name):
        write_catalog("more", {"virtual_models": {name: ["house:small"]}})
        systemctl("reload", UNIT)
        until("the reload", lambda: self.status(name) == 200)

    def status(self, model):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        return ask(PUBLIC, "POST", "/v1/chat/completions", {"model": model, "messages": []}, headers)[0]

    def test_3_a_program_that_cannot_take_over_leaves_the_one_before(self):
        replace(self.link, "#!/bin/sh\necho crashed at the start >&2; kill -SEGV $$\n")
        self.assertIn("ended before it was ready", self.refused())
        self.assertIn("crashed at the start", machine.journal())
        replace(self.link, "#!/bin/sh\nexec sleep 1000\n")
        self.assertIn("not ready within 5s", self.refused())
        self.link.unlink()
        self.assertIn("No such file", self.refused())
        replace(self.link, "/usr/bin/tollgate")
        good = (machine.FILES / "etc/tollgate.toml").read_text()
        write("etc/tollgate.toml", "nonsense = 1\n" + good)
        # The command reads its configuration as well.
        run("systemctl", "kill", "--signal=USR2", "--kill-whom=main", UNIT)
        until("the failure", lambda: counted(r'tollgate_upgrades_total\{outcome="failed"\}') == 4)
        write("etc/tollgate.toml", good)
        self.assertIn("nonsense", machine.journal())
        self.assert_well(self.main)
        self.assertEqual(processes(), [self.main])
        self.assertEqual(self.status("house:small"), 200)

    def test_4_systemd_supervises_the_one_that_took_over(self):
        self.upgrade()
        killed = self.upgrade()
        systemctl("kill", "--signal=KILL", "--kill-whom=main", UNIT)
        until("another process", lambda: shown("MainPID") not in ("0", killed) and shown("ActiveState") == "active")
        self.assertEqual(shown("NRestarts"), "1")
        self.assertEqual(self.status("house:small"), 200)
        # The watchdog hears the one that took over, for longer than it waits.
        write("unit.d/watchdog.conf", "[Service]\nWatchdogSec=2\n")
        systemctl("daemon-reload")
        systemctl("restart", UNIT)
        main = self.upgrade()
        time.sleep(4)
        self.assertEqual((shown("MainPID"), shown("ActiveState")), (main, "active"))
        self.assertNotIn("reception only permitted", run("journalctl", "--no-pager", "--unit", UNIT))
        systemctl("kill", "--signal=STOP", "--kill-whom=main", UNIT)
        until("another process", lambda: shown("MainPID") not in ("0", main) and shown("ActiveState") == "active")

    def test_5_a_stop_ends_all_of_them(self):
        self.upgrade()
        systemctl("stop", UNIT)
        self.assertEqual((shown("ActiveState"), shown("Result")), ("inactive", "success"))
        self.assertFalse(listens(PUBLIC))
        self.assertEqual(processes(), [])
        run(*OPERATOR, "credit", "check", *CONFIGURED)


PROPERTIES = [f"--property={name}" for name in ("MainPID", "ActiveState", "Result", "NRestarts")]

def access_key():
    """An access key, whose account has credit."""
    made = run(*OPERATOR, "keys", "create", *CONFIGURED, "--name", "upgrades")
    run(*OPERATOR, "credit", "grant", *CONFIGURED, "default", "1000")
    return re.search(r"^tg-\S+$", made, re.MULTILINE)[0]


def processes():
    """The processes of the service, as text, by their ids."""
    return run("pgrep", "--uid", "tollgate", check=False).split()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    unittest.main(verbosity=2, failfast=True)
