"""The pages for users: every command in them is run, in order, against a gateway; every link leads somewhere; what has to
be complete is. What is new in a page is picked up by itself.

    TOLLGATE_BIN=target/debug/tollgate python3 tests/docs/run.py [PAGE...]

With TOLLGATE_REWRITE=1 what is made in docs/configure.md is written anew.
"""

import concurrent.futures
import functools
import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

import configure
import pages
import shims
from provider import Provider
from stage import Stage, examples

PROGRAM = pathlib.Path(os.environ.get("TOLLGATE_BIN", pages.ROOT / "target/debug/tollgate")).resolve()

# What a page takes to be there already, as commands of ours.
BEFORE = {
    "docs/byok.md": ["accounts create acme"],
    "docs/limits.md": ["accounts create acme"],
    "docs/cli.md": ["credit grant default 1", "credit grant default 1"],
}

# The pages of these folders are run against one gateway, each in a shell of its own.
TOGETHER = ("docs/providers/",)

WORKERS = 2


def group(name):
    """What the pages have in common that are run against one gateway: its folder or itself, and whether it tells readers to
    have models without a price served."""
    shared = next((folder for folder in TOGETHER if name.startswith(folder)), name)
    return shared, "allow" if '`unpriced = "allow"`' in pages.text(name) else "refuse"


def groups():
    """The pages with commands, those together that share a gateway."""
    found = {}
    for name in sys.argv[1:] or pages.names():
        if pages.blocks(name):
            found.setdefault(group(name), []).append(name)
    return found


def fake():
    """A provider that lists the models which the pages of custom providers ask for."""
    lists, bare = {}, set()
    for name, file in examples(""):
        written = "".join(block.text for block in pages.blocks(name))
        for model in re.findall(r'"model": "([^"]+)"', written):
            prefixed = model.startswith(f"{file['provider']}:")
            lists.setdefault(file["provider"], set()).add(model.split(":", 1)[1] if prefixed else model)
            if file.get("discover") and not prefixed:
                bare.add(model)
    return Provider(lists, bare)


def run(shared, names, provider):
    """What failed in each of the pages; nothing where all went well."""
    failed = {}
    with Stage(PROGRAM, provider, unpriced=shared[1]) as stage:
        for name in names:
            for words in BEFORE.get(name, []):
                stage.prepare("tollgate.toml", words)
            failed[name] = stage.run(pages.blocks(name))
    return failed


class Commands(unittest.TestCase):
    """A test a page; see `with_a_test_a_page`."""

    @classmethod
    def setUpClass(cls):
        provider = fake()
        cls.addClassCleanup(provider.server_close)
        cls.addClassCleanup(provider.shutdown)
        cls.pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        cls.addClassCleanup(cls.pool.shutdown)
        runs = {shared: cls.pool.submit(run, shared, names, provider) for shared, names in groups().items()}
        cls.runs = {name: runs[shared] for shared, names in groups().items() for name in names}

    def page(self, name):
        if failed := self.runs[name].result()[name]:
            self.fail(failed)


def with_a_test_a_page():
    for names in groups().values():
        for name in names:
            word = re.sub(r"\W+", "_", name.removesuffix(".md"))
            setattr(Commands, f"test_{word}", lambda self, name=name: self.page(name))


class Words(unittest.TestCase):
    """What stands in the prose as a command of ours: it has that subcommand, and these flags."""

    @staticmethod
    @functools.cache
    def help(*words):
        done = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def subcommands(self, *words):
        listed = self.help(*words).partition("\nCommands:\n")[2].partition("\n\n")[0]
        return set(re.findall(r"(?m)^  ([a-z][\w-]*)", listed))

    def hold(self, name, span):
        path, rest = [], span.split()[1:]
        while rest and rest[0] in self.subcommands(*path):
            path.append(rest.pop(0))
        if not path and rest and not rest[0].startswith("-"):
            self.fail(f"{name}: `{span}`: there is no such command")
        known = set(re.findall(r"--[a-z][\w-]*", self.help(*path)))
        for flag in re.findall(r"(?<!\S)--[a-z][\w-]*", " ".join(rest)):
            self.assertIn(flag, known, f"{name}: `{span}`")

    def test_commands_in_the_prose_are_there_with_their_flags(self):
        found = [(name, span) for name in pages.names() for span in pages.spans(name) if span.startswith("tollgate ")]
        self.assertGreater(len(found), 50)
        for name, span in found:
            with self.subTest(page=name, span=span):
                self.hold(name, span)


class Links(unittest.TestCase):
    def test_they_lead_to_files_and_headings_that_are_there(self):
        count = 0
        for name in pages.names():
            for link in pages.links(name):
                path, _, anchor = link.partition("#")
                target = (pages.ROOT / name).parent / path if path else pages.ROOT / name
                with self.subTest(page=name, link=link):
                    self.assertTrue(target.exists())
                    if anchor:
                        target = str(target.resolve().relative_to(pages.ROOT))
                        self.assertIn(anchor, pages.anchors(target))
                count += 1
        self.assertGreater(count, 300)

    def test_the_readme_leads_to_every_page(self):
        """To each of docs/, that is; the providers have an index of their own."""
        linked = {link.partition("#")[0] for link in pages.links("README.md")}
        mine = {name for name in pages.names() if re.fullmatch(r"docs/[^/]+", name)}
        self.assertEqual(mine - linked, set())


class Complete(unittest.TestCase):
    def test_troubleshooting_has_every_code_and_no_other(self):
        table = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \| \d{3} \|", pages.text("docs/errors.md"))
        codes = {code for cell in table for code in re.findall(r"\w+", cell)}
        self.assertGreater(len(codes), 20)
        told = re.findall(r"(?m)^### `(\w+)`$", pages.text("docs/troubleshooting.md"))
        self.assertEqual(sorted(told), sorted(codes))

    def test_configure_says_what_the_documented_file_says(self):
        made = configure.page()
        if os.environ.get("TOLLGATE_REWRITE"):
            (pages.ROOT / "docs/configure.md").write_text(made)
        else:
            self.assertEqual(pages.text("docs/configure.md"), made, "TOLLGATE_REWRITE=1 writes it anew")
        options = re.findall(r"(?m)^#(\w+) = ", pages.text_of("conf/tollgate.toml"))
        self.assertGreater(len(options), 40)
        for option in options:
            self.assertIn(f"**`{option}`**", made)


class Stand(unittest.TestCase):
    def test_what_is_not_run_is_asked_for_somewhere(self):
        written = "".join(f" {block.text}" for name in pages.names() for block in pages.blocks(name))
        for program in (*shims.NOT_RUN, *shims.WRAPPERS):
            self.assertTrue(re.search(rf"(?m)(^|[ |]){re.escape(program)}\b", written), f"{program} is in no page")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with_a_test_a_page()
    unittest.main(argv=sys.argv[:1], verbosity=2)
