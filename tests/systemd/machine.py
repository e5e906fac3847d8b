"""The booted container, from outside: commands in it, its unit, and the files that are bound into it."""

import json
import os
import pathlib
import subprocess
import time

LEADER = os.environ["TOLLGATE_LEADER"]
FILES = pathlib.Path(os.environ["TOLLGATE_FILES"])
UNIT = "tollgate.service"

# Seconds. The longest that anything awaited here may take; what passes takes a fraction of it.
PATIENCE = 60

ENTER = ["nsenter", f"--target={LEADER}", *"--mount --uts --ipc --net --pid --root --wd".split(), "--"]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}


def run(*command, check=True):
    """Runs a command in the container. Returns what it wrote, both streams together, without the last line break."""
    done = subprocess.run(
        [*ENTER, *command], env=ENVIRONMENT, stdin=subprocess.DEVNULL, timeout=PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{journal()}")
    return done.stdout.rstrip("\n")


def fails(*command):
    """Whether a command in the container ends with another code than 0."""
    ended = subprocess.run(
        [*ENTER, *command], env=ENVIRONMENT, stdin=subprocess.DEVNULL, timeout=PATIENCE, capture_output=True
    )
    return ended.returncode != 0


def until(what, condition):
    """The first true value of `condition`, asked again and again."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {PATIENCE} s for {what}\n{journal()}")


def systemctl(*arguments):
    return run("systemctl", *arguments)


def shown(name):
    """A property of the unit."""
    return run("systemctl", "show", UNIT, f"--property={name}", "--value")


def journal():
    """What the unit has written since it was started last, and all before."""
    done = subprocess.run(
        [*ENTER, "journalctl", "--unit", UNIT, "--output=cat", "--no-pager"],
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, timeout=PATIENCE, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def process_status():
    """`/proc/PID/status` of the unit's main process, as a dictionary."""
    text = run("cat", f"/proc/{shown('MainPID')}/status")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def write(path, text, mode=0o644):
    """Writes a file below what is bound into the container, by a rename."""
    target = FILES / path
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.write_text(text)
    unfinished.chmod(mode)
    unfinished.rename(target)


def write_catalog(name, content):
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    write(f"etc/catalog/{name}.json", text)
