"""What the Debian package promises, seen under a real systemd. Run by `tests/systemd/run package`, in the order below:
it is one life of one machine, from the first installation to the purge."""

import contextlib
import filecmp
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import machine
from checks import ADMIN, ask, listens
from machine import UNIT, run, shown, systemctl, until

PUBLIC = ("127.0.0.1", 8080)
FIRST, SECOND = (f"/packages/tollgate_{version}_{{}}.deb" for version in ("1.0.0-1", "1.0.1-1"))
CONFIG = "/etc/tollgate/tollgate.toml"
STATE = "/var/lib/tollgate"

# The bit of SIGUSR2 in /proc/PID/status.
SIGUSR2 = 1 << (signal.SIGUSR2 - 1)


def dpkg(*arguments):
    """Without questions: of a configuration file that an operator has changed, the operator's is kept."""
    return run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", *arguments)


def package(path):
    return path.format(run("dpkg", "--print-architecture"))


def install(path):
    return dpkg("--install", package(path))


def status():
    return run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", "tollgate")


def exists(path):
    return not machine.fails("test", "-e", path)


def described(path):
    return run("stat", "--format=%a %U %G", path)


def enabled():
    return run("systemctl", "is-enabled", UNIT, check=False)


def of_its_user(*command):
    return run("runuser", "-u", "tollgate", "--", "tollgate", *command)


def left():
    """Files with its name anywhere, but for the packages themselves."""
    found = run("find", "/", "-xdev", "-path", "/packages", "-prune", "-o", "-name", "*tollgate*", "-print")
    return [path for path in found.splitlines() if not path.startswith(("/proc/", "/tmp/", "/var/log/", "/sys/"))]


class Asker(threading.Thread):
    """Asks again and again over new connections, and counts what did not work."""

    def __init__(self):
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.asked = self.failed = 0

    def run(self):
        while not self.done.is_set():
            self.asked += 1
            try:
                self.failed += ask(PUBLIC, "GET", "/healthz")[0] != 200
            except OSError:
                self.failed += 1
            time.sleep(0.01)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        until("the system's start", lambda: run("systemctl", "is-system-running", check=False) == "running")
        cls.lintian = None
        if shutil.which("lintian"):
            cls.lintian = subprocess.Popen(
                ["lintian", "--allow-root", "--fail-on=error,warning", next(cls.files())],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip

    @classmethod
    def tearDownClass(cls):
        if cls.lintian and cls.lintian.poll() is None:
            cls.lintian.kill()
            cls.lintian.communicate()

    @staticmethod
    def files():
        return machine.FILES.glob("packages/tollgate_1.0.0-1_*.deb")

    def serves(self):
        self.assertEqual(shown("ActiveState"), "active")
        self.assertTrue(listens(PUBLIC))
        self.assertEqual(ask(ADMIN, "GET", "/readyz")[0], 200)

    def test_01_the_same_program_and_date_give_the_same_package(self):
        made = next(self.files())
        again = machine.FILES / "again" / made.name
        self.assertTrue(filecmp.cmp(made, again, shallow=False))

    def test_02_where_its_port_is_taken_it_is_installed_and_no_unit_has_failed(self):
        with contextlib.closing(socket.create_server(PUBLIC)):
            said = install(FIRST)
        self.assertIn("journalctl -u tollgate", said)
        self.assertEqual(status(), "ii 1.0.0-1")
        self.assertEqual((shown("ActiveState"), enabled()), ("inactive", "enabled"))
        self.assertIn("127.0.0.1:8080", machine.journal())
        dpkg("--purge", "tollgate")
        self.assertEqual(left(), [])

    def test_03_in_an_image_without_a_running_systemd_nothing_is_started(self):
        def hidden(command):
            run("unshare", "--mount", "sh", "-ec", f"mount -t tmpfs tmpfs /run\n{command}")

        hidden(f"dpkg --install {package(FIRST)}")
        self.assertEqual(status(), "ii 1.0.0-1")
        systemctl("daemon-reload")
        self.assertEqual((shown("ActiveState"), enabled()), ("inactive", "enabled"))
        hidden("dpkg --purge tollgate")
        systemctl("daemon-reload")
        self.assertEqual(left(), [])

    def test_04_installed_it_serves(self):
        install(FIRST)
        self.assertEqual(status(), "ii 1.0.0-1")
        self.assertEqual(enabled(), "enabled")
        self.serves()
        self.assertNotEqual(run("id", "--user", "tollgate"), "0")
        self.assertEqual(described(STATE), "700 tollgate tollgate")
        self.assertEqual(described("/etc/tollgate/credentials"), "700 root root")
        self.assertEqual(described(CONFIG), "644 root root")
        self.assertEqual(run("dpkg", "--verify", "tollgate"), "")
        self.assertEqual(run("systemd-analyze", "verify", UNIT), "")

    def test_05_everything_is_in_it(self):
        listed = set(run("dpkg", "--listfiles", "tollgate").splitlines())
        for path in (
            "/usr/bin/tollgate",
            "/usr/share/man/man1/tollgate-credit-grant.1.gz",
            "/usr/share/doc/tollgate/README.md",
            "/usr/share/doc/tollgate/docs/providers/openai.md",
            "/usr/share/doc/tollgate/conf/prometheus/alerts.yaml",
            "/usr/share/doc/tollgate/sbom.cdx.json",
            "/usr/share/doc/tollgate/notices.gz",
        ):
            self.assertIn(path, listed)
        for path, part in (
            ("/usr/share/bash-completion/completions/tollgate", "provider-keys"),
            ("/usr/share/zsh/vendor-completions/_tollgate", "#compdef tollgate"),
            ("/usr/share/fish/vendor_completions.d/tollgate.fish", "complete -c tollgate"),
        ):
            self.assertIn(part, run("cat", path))
        # The catalog is inside: there is no file of it.
        self.assertIn("openai:gpt-4o", of_its_user("models"))
        self.assertEqual(run("find", "/etc/tollgate/catalog", "-type", "f"), "")

    def test_06_an_upgrade_keeps_what_the_operator_made(self):
        of_its_user("keys", "create", "--name", "before")
        run("sed", "-i", 's/^#access = "stdout"$/access = "off"/', CONFIG)
        run("sh", "-c", "printf s3cret > /etc/tollgate/credentials/openai")
        process, began = shown("MainPID"), shown("ActiveEnterTimestampMonotonic")
        handed_over = bool(int(machine.process_status()["SigCgt"], 16) & SIGUSR2)
        with Asker() as asker:
            install(SECOND)
        self.assertEqual(status(), "ii 1.0.1-1")
        self.serves()
        self.assertNotEqual(shown("MainPID"), process)
        self.assertGreater(asker.asked, 0)
        print(f"\n{asker.failed} of {asker.asked} connections refused, {'handed over' if handed_over else 'restarted'}")
        if handed_over:
            self.assertEqual(asker.failed, 0)
            self.assertEqual(shown("ActiveEnterTimestampMonotonic"), began, "the unit was active all the time")
        self.assertIn("before", of_its_user("keys", "list"))
        self.assertIn('access = "off"', run("cat", CONFIG))
        # Of all files, that is the only one that is not as it was shipped.
        self.assertRegex(run("dpkg", "--verify", "tollgate"), rf"\A\S+ +c {CONFIG}\Z")

    def test_07_what_is_switched_off_is_not_switched_on_by_an_upgrade(self):
        systemctl("disable", "--now", UNIT)
        install(SECOND)
        self.assertEqual((shown("ActiveState"), enabled()), ("inactive", "disabled"))
        systemctl("enable", "--now", UNIT)
        self.serves()

    def test_08_a_removal_keeps_configuration_and_state(self):
        dpkg("--remove", "tollgate")
        self.assertEqual(status(), "rc 1.0.1-1")
        self.assertFalse(listens(PUBLIC))
        self.assertTrue(machine.fails("pgrep", "--exact", "tollgate"))
        self.assertFalse(exists("/usr/bin/tollgate"))
        self.assertTrue(exists(CONFIG))
        self.assertTrue(exists(f"{STATE}/tollgate.db"))
        self.assertIn(run("systemctl", "is-system-running", check=False), ("running",))

    def test_09_installed_again_it_goes_on(self):
        install(SECOND)
        self.assertEqual(enabled(), "enabled")
        self.serves()
        self.assertIn("before", of_its_user("keys", "list"))
        self.assertIn('access = "off"', run("cat", CONFIG))

    def test_10_a_purge_takes_all_but_what_the_operator_has_put_there(self):
        dpkg("--purge", "tollgate")
        self.assertFalse(listens(PUBLIC))
        self.assertFalse(exists(STATE))
        self.assertEqual(left(), ["/etc/tollgate"])
        self.assertEqual(run("find", "/etc/tollgate", "-type", "f"), "/etc/tollgate/credentials/openai")
        self.assertRegex(run("getent", "passwd", "tollgate"), re.compile("^tollgate:"))
        self.assertEqual(run("systemctl", "is-system-running", check=False), "running")

    def test_11_lintian_finds_nothing(self):
        if not self.lintian:
            self.skipTest("there is no lintian on this machine")
        found, _ = self.lintian.communicate(timeout=machine.PATIENCE)
        self.assertEqual(self.lintian.returncode, 0, found)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    unittest.main(verbosity=2, failfast=True)
