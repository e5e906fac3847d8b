"""What stands, in the PATH of the pages' commands, for programs that a test cannot run as a reader would."""

import shutil
import stat

# What is not run, and why. What they are asked is in docs and nowhere run by this test.
NOT_RUN = {
    "apt": "changes the machine; tests/systemd/package.py installs the package",
    "systemctl": "there is no unit here; tests/systemd starts, reloads and stops it",
    "systemd-sysusers": "makes a user on the machine; tests/systemd does in a container",
    "systemd-tmpfiles": "makes folders of that user; tests/systemd/package.py looks at them",
    "systemd-analyze": "there is no unit here; tests/systemd asks it",
    "chown": "there is no user tollgate here",
    "journalctl": "there is no journal of the unit here; tests/systemd reads it",
    "claude": "an agent of another's making; tests/sdk/agents runs it",
    "codex": "an agent of another's making; tests/sdk/agents runs it",
    "tests/run": "runs this test",
    "conf/debian/sbom": "asks cargo about the source; tests/sdk/python/test_sbom.py does it",
    "conf/debian/program": "builds the release",
    "tests/reproducible": "builds the release twice",
    "conf/debian/build": "packs what is built; tests/systemd/package.py does it",
}

# What runs another command as somebody else, elsewhere, or once it is built: here that command is run as it stands.
WRAPPERS = ("runuser", "systemd-run", "cargo")

TOLLGATE = """#!/bin/sh
# The gateway's program. The configuration is that of the test where a command names none.
program='@PROGRAM@'
own=
case "$1" in schema | completions | man | dev) own=yes ;; esac
for word; do
    [ "$word" != --config ] || own=yes
done
[ "$own" ] || set -- "$@" --config '@FOLDER@/etc/tollgate/tollgate.toml'

# What serves until it is told to end is told so once it listens.
case "$1" in
dev) set -- "$@" --listen 127.0.0.1:0 --admin 127.0.0.1:0 ;;
serve) ;;
*)
    code=0
    "$program" "$@" || code=$?
    # 3 is an answer: something differs, or would be refused (docs/cli.md).
    case "$1 $2" in explain* | status* | check* | reconcile* | 'catalog diff') [ $code != 3 ] || code=0 ;; esac
    exit $code
    ;;
esac
said=$(mktemp -p "$HOME")
"$program" "$@" >"$said" 2>&1 &
served=$!
until grep -q 'listening on' "$said"; do
    kill -0 $served 2>/dev/null || break
    sleep 0.05
done
kill -TERM $served 2>/dev/null
wait $served || { code=$?; cat "$said" >&2; exit $code; }
"""

# The words of the gateway in another's command, if there are any.
WRAPPER = """#!/bin/sh
build=
while [ $# -gt 0 ]; do
    case "$1" in
    -u) shift ;;
    tollgate) exec "$@" ;;
    run) build=yes ;;
    --) [ -z "$build" ] || { shift; exec tollgate "$@"; } ;;
    esac
    shift
done
"""

CURL = """#!/bin/sh
exec '@CURL@' --silent --show-error --fail-with-body --max-time 60 "$@"
"""


def write(folder, program):
    """Writes all of them below `folder`."""
    values = {"@PROGRAM@": str(program), "@FOLDER@": str(folder), "@CURL@": shutil.which("curl")}
    scripts = {"bin/tollgate": TOLLGATE, "bin/curl": CURL}
    scripts |= {f"bin/{name}": WRAPPER for name in WRAPPERS}
    scripts |= {name if "/" in name else f"bin/{name}": "#!/bin/sh\n" for name in NOT_RUN}
    for name, script in scripts.items():
        for what, by in values.items():
            script = script.replace(what, by)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
