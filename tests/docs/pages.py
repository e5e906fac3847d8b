"""The pages: README.md and everything below docs/; their blocks of commands, their code spans, headings and links."""

import dataclasses
import functools
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What blocks of commands are marked as. In a `console` block, and in any other, only some lines are commands.
SHELL = ("sh", "bash", "shell")
PROMPT = "$ "
OURS = "tollgate "

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """Commands, with the line of the page on which they begin."""

    page: str
    line: int
    text: str


@functools.cache
def names():
    """Every page by its path from the root."""
    found = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "benches").glob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


@functools.cache
def text(name):
    return (ROOT / name).read_text()


def text_of(path):
    """A file that is no page."""
    return (ROOT / path).read_text()


def commands_of(language, written):
    """The commands in a block of that language."""
    if language in SHELL:
        return written
    prefix = PROMPT if language == "console" else OURS
    lines = [line for line in written.splitlines() if line.startswith(prefix)]
    return "".join(f"{line.removeprefix(PROMPT)}\n" for line in lines)


def fenced(name, language):
    """The blocks of that language, as they stand."""
    return [fence["text"] for fence in FENCE.finditer(text(name)) if fence["language"] == language]


def blocks(name):
    """The blocks of commands of a page, in order."""
    found = []
    for fence in FENCE.finditer(text(name)):
        language = (fence["language"].split() or [""])[0]
        if commands := commands_of(language, fence["text"]):
            line = text(name).count("\n", 0, fence.start()) + 2
            found.append(Block(name, line, commands))
    return found


def prose(name):
    """The page without its blocks."""
    return FENCE.sub("", text(name))


def spans(name):
    """What stands between back quotes in the prose, line breaks being spaces."""
    return [" ".join(span.split()) for span in SPAN.findall(prose(name))]


def links(name):
    """Where its links lead: a path or an anchor, none to another machine."""
    return [target for target in LINK.findall(SPAN.sub("", prose(name))) if "://" not in target]


@functools.cache
def anchors(name):
    """The anchors of its headings, as GitHub makes them, and those that are written."""
    made = []
    for heading in HEADING.findall(prose(name)):
        heading = LINK.sub("", heading.replace("[", "").replace("`", ""))
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        before = made.count(slug)
        made.append(slug if before == 0 else f"{slug}-{before}")
    return {*made, *re.findall(r'<a id="([^"]+)">', prose(name))}
