"""conf/tollgate.toml as a page: its comments and options, in their order. That the file has every key, at its default, is
held to the types by src/config/tests.rs."""

import re

import pages

BEGIN = "<!-- From here on made from conf/tollgate.toml; see tests/docs. -->"
END = "<!-- Made from conf/tollgate.toml up to here. -->"

SECTION = re.compile(r"^#?\[+(\w+)\]+$")
OPTION = re.compile(r"^#(\w+) = (.*)$")
EXAMPLE = re.compile(r"^#(?: {5}(.*)|)$")
NAME = re.compile(r"(?m)^(\w+) = ")
MEMBER = re.compile(r"(?m)^(?=`)")


class Page:
    """What has been written, and what is still said of the option to come."""

    def __init__(self):
        self.lines = []
        self.said = []
        self.example = []
        self.options = []

    def put(self, *lines):
        self.lines += [*lines, ""]

    def end(self):
        """Writes what has been read of a paragraph."""
        text = paragraph(self.said)
        if self.options:
            names = ", ".join(f"**`{name}`** = `{value}`" for name, value in self.options)
            self.put(f"{names}  \n{text}" if text else names)
        elif self.example and text:
            # Without a default: the example has its name.
            names = ", ".join(f"**`{name}`**" for name in NAME.findall("\n".join(self.example)))
            self.put(f"{names}  \n{text}")
        elif text:
            self.put(text)
        if self.example:
            self.put("```toml", "\n".join(self.example).strip("\n"), "```")
        self.said, self.example, self.options = [], [], []


def paragraph(said):
    """Comments as text; where lines begin with a member, a list of these."""
    text = "\n".join(line.strip() for line in said)
    head, *members = MEMBER.split(text)
    if len(members) < 3:
        return text
    return head + "\n" + "\n".join(f"- {member.rstrip()}" for member in members).replace("\n", "\n  ").replace("\n  - ", "\n- ")


def made():
    """The made part of the page."""
    page = Page()
    known = False
    for block in pages.text_of("conf/tollgate.toml").split("\n\n"):
        for line in block.strip("\n").splitlines():
            if section := SECTION.match(line):
                known = True
                said, page.said = page.said, []
                page.put(f"## `{line.lstrip('#')}`")
                page.said = said
            elif option := OPTION.match(line):
                page.options.append(option.groups())
            elif (example := EXAMPLE.match(line)) and (page.example or example[1]):
                page.example.append((example[1] or ""))
            else:
                if known and (page.options or page.example):
                    page.end()
                page.said.append(line.removeprefix("#").removeprefix(" "))
        # What stands before the first section is about the file.
        if known:
            providers(page, block)
            page.end()
        page.said, page.example, page.options = [], [], []
    return "\n".join(page.lines).rstrip()


def providers(page, block):
    """The last section has no line of its own: its id is the operator's."""
    if "one [providers.ID] section for each" in block:
        page.put("## `[providers.ID]`")
        page.put(paragraph(page.said))
        page.said = []


def page():
    """The whole page as it should be."""
    before, rest = pages.text("docs/configure.md").split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{made()}\n\n{END}{rest.split(END, 1)[1]}"
