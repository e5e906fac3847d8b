"""Upgrades and reloads of a busy service under a real systemd: not one request fails, no stream is cut, and systemd knows at
each moment which process is the main one. Run by tests/systemd/run, after checks.py.

TOLLGATE_UPGRADES says how many upgrades and reloads there are (5). By themselves they follow on one another, and streams end
with the last of them. TOLLGATE_UPGRADES_OVER spreads them over so many seconds, below 600: 50 streams of ten minutes then begin
before the first and go on to their own end after the last, and with every fifth upgrade one begins that ends when they do,
so that many processes are leaving at one time."""

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
OVER = int(os.environ.get("TOLLGATE_UPGRADES_OVER", "0"))
CONNECTIONS = 64
STREAMS = 50
STREAM_SECONDS = 600
SHORT_STREAM_SECONDS = 3
SHORT_STREAMS = 5
# Upgrades from one that a stream begins with to the next, where they are spread.
EVERY = 5

# Seconds that the last stream may be late on a busy machine.
STREAM_MARGIN = 60

# The most that an upgrade may take here, in seconds: a guard.
UPGRADE_MAX = 60

PROGRAM = "/etc/tollgate/bin/tollgate"
CONFIGURED = ("--config", "/etc/tollgate/tollgate.toml")
COMMAND = ("/usr/bin/tollgate", "upgrade", *CONFIGURED)
# A program that ends when it starts; and one that says that it is ready, and ends when it is told to begin.
CRASHES = "#!/bin/sh\necho crashed at the start >&2; kill -SEGV $$\n"
CRASHES_WHEN_TOLD = "#!/bin/sh\nread -r sockets; echo '\"ready\"' >&0; read -r word; kill -SEGV $$\n"
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
        began, took, mains = time.monotonic(), [], [self.main]
        if OVER:
            load.start_long(CONNECTIONS, STREAMS, STREAM_SECONDS, SHORT_STREAMS, SHORT_STREAM_SECONDS)
        else:
            load.start(CONNECTIONS, STREAMS, STREAM_SECONDS, SHORT_STREAM_SECONDS)
        long_streams = STREAMS if OVER else 0
        for number in range(UPGRADES):
            time.sleep(max(0, began + number * OVER / UPGRADES - time.monotonic()))
            asked = time.monotonic()
            mains.append(self.upgrade())
            took.append(time.monotonic() - asked)
            self.assert_well(mains[-1])
            self.reload(f"fresh-{number}")
            self.assert_well(mains[-1])
            if number == UPGRADES // 2:
                self.crashes(mains[-1])
            if OVER and number % EVERY == EVERY - 1:
                load.stream_once(int(began + STREAM_SECONDS - time.monotonic()))
                long_streams += 1
            self.assertEqual(load.failures, [])
        lasted = time.monotonic() - began
        until("requests of the last process", lambda: counted("tollgate_in_flight") > 0)
        leaving = set(processes()) - {mains[-1]}
        memory = sum(resident(process) for process in processes())
        if OVER:
            self.assertGreater(STREAM_SECONDS, lasted, "streams go on when the last upgrade is over")
            print(f"\nafter {lasted:.0f} s {len(leaving)} processes are leaving; all have {memory >> 20} MiB resident")
            # All of them: what is short comes to its end by itself as well.
            while time.monotonic() < began + STREAM_SECONDS + STREAM_MARGIN and set(processes()) != {mains[-1]}:
                self.assertEqual(load.failures, [])
                time.sleep(1)
            self.assert_well(mains[-1])
        else:
            self.upstream.release.set()
        load.end()
        self.assertEqual(load.failures, [])
        self.assertGreaterEqual(load.lasted, long_streams)
        self.assertEqual(len(set(mains)), UPGRADES + 1)
        self.assertGreater(load.answered, UPGRADES * CONNECTIONS)
        self.assertGreaterEqual(load.streamed, STREAMS)
        self.assertIn(mains[0], leaving, "the first has had streams to the end")
        self.assertGreaterEqual(len(leaving), UPGRADES // EVERY if OVER else 1)
        until("the end of those before", lambda: processes() == [mains[-1]])
        print(
            f"\n{UPGRADES} upgrades and {UPGRADES} reloads in {lasted:.0f} s: {load.answered} requests and "
            f"{load.streamed} streams, {load.lasted} of them to their own end, {long_streams} for minutes, "
            f"{len(load.failures)} failed; an upgrade took {max(took):.2f} s at the most; "
            f"{len(leaving)} processes were leaving at the end"
        )
        self.assertLess(max(took), UPGRADE_MAX)
        self.assert_well(mains[-1])
        # All is paid for, once; it fails where the books do not agree with the rows, or a hold is left.
        print(run(*OPERATOR, "credit", "check", *CONFIGURED))
        self.assertEqual(counted("tollgate_holds_open"), 0)

    def crashes(self, main):
        """A program that crashes takes nothing over, early or late."""
        self.main = main
        for program, said in [(CRASHES, "before it was ready"), (CRASHES_WHEN_TOLD, "before it served")]:
            replace(self.link, program)
            self.assertIn(f"ended {said}", self.refused())
        replace(self.link, "/usr/bin/tollgate")

    def reload(self, name):
        write_catalog("more", {"virtual_models": {name: ["house:small"]}})
        systemctl("reload", UNIT)
        until("the reload", lambda: self.status(name) == 200)

    def status(self, model):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        return ask(PUBLIC, "POST", "/v1/chat/completions", {"model": model, "messages": []}, headers)[0]

    def test_3_a_program_that_cannot_take_over_leaves_the_one_before(self):
        self.crashes(self.main)
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
        until("the failure", lambda: counted(r'tollgate_upgrades_total\{outcome="failed"\}') == 5)
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


def resident(process):
    """Bytes of memory of a process; 0 where it has ended."""
    found = re.search(r"VmRSS:\s+(\d+) kB", run("cat", f"/proc/{process}/status", check=False))
    return int(found[1]) << 10 if found else 0


def processes():
    """The processes of the service, as text, by their ids."""
    return run("pgrep", "--uid", "tollgate", check=False).split()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    unittest.main(verbosity=2, failfast=True)
