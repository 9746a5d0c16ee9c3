"""The guides of CONTRIBUTING.md as data: which files they make and which lines they add where.

A fenced block under a numbered path is a new file. A block whose first line is a comment that names
a file and says `add to ...` is an edit: its lines go into that list, mapping or section, and import
lines go to the imports. Other blocks are commands, for people.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

STEP = re.compile(r"^\d+\. (?:`(?P<path>[\w./-]+)`)?")
FENCE = re.compile(r"^ *```\w*$")
EDIT = re.compile(r"^# (?P<path>[\w./-]+): .*add to `?(?P<place>[^`]+)`?$")
IMPORT = ("import ", "from ")
PAIRS = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True)
class NewFile:
    """A file that a guide makes."""

    path: str
    text: str

    def carry_out(self, root: Path) -> None:
        """Writes the file, which must not be there."""
        place = root / self.path
        assert not place.exists(), f"{self.path} is there already"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(self.text, encoding="utf-8")


@dataclass(frozen=True)
class Edit:
    """Lines that a guide adds to what is called `place` (`a > b`: to b within a) in a file."""

    path: str
    place: str
    text: str

    def carry_out(self, root: Path) -> None:
        """Adds the lines; import lines to the imports, above the first there is."""
        imports = [line for line in self.text.splitlines() if line.startswith(IMPORT)]
        rest = [line for line in self.text.splitlines() if not line.startswith(IMPORT)]
        file = root / self.path
        text = added(file.read_text(encoding="utf-8"), self.place, "\n".join(rest).strip())
        if imports:
            first = re.search(r"^(import|from) ", text, re.MULTILINE)
            assert first, f"{self.path}: no imports"
            text = text[: first.start()] + "\n".join(imports) + "\n" + text[first.start() :]
        file.write_text(text, encoding="utf-8")


def guide(text: str, title: str) -> list[NewFile | Edit]:
    """What the section with this title does, in its order."""
    section = re.split(r"^##+ ", text.split(f"\n{title}\n")[1], flags=re.MULTILINE)[0]
    return list(_steps(section))


def _steps(section: str) -> Iterator[NewFile | Edit]:
    path, lines = None, iter(section.splitlines())
    for line in lines:
        if step := STEP.match(line):
            path = step["path"]
        if not FENCE.match(line):
            continue
        block = []
        while not FENCE.match(one := next(lines)):
            block.append(one)
        body = dedent("\n".join(block)) + "\n"
        first, _, rest = body.partition("\n")
        if edit := EDIT.match(first):
            yield Edit(edit["path"], edit["place"], rest)
        elif path:
            yield NewFile(path, body)
            path = None


def added(text: str, place: str, lines: str) -> str:
    """The text with lines added to a list, a mapping or a section.

    In brackets they come last; in a block of YAML they come first, indented.
    """
    at = 0
    for name in place.split(" > "):
        found = re.compile(rf"^( *)(?:- )?{re.escape(name)}:?(?= |$)(?:.*= ?)?", re.M).search(
            text, at
        )
        assert found, f"no {name} of {place}"
        at = found.end()
    opening = re.compile(r"[ \n]*").match(text, at).end()
    if text[at:opening].count("\n") or text[opening] not in PAIRS:
        return f"{text[:at]}\n{indent(lines, found[1] + '  ')}{text[at:]}"
    end = _closing(text, opening)
    inside, gap = text[opening + 1 : end].rstrip(), " "
    if text[:end].endswith("\n"):
        gap, lines = "\n", indent(f"{lines.removesuffix(',')},\n", "    ")
    if not inside:
        return text[: opening + 1] + lines + text[end:]
    comma = "" if inside.endswith(",") else ","
    return f"{text[: opening + 1]}{inside}{comma}{gap}{lines}{text[end:]}"


def _closing(text: str, opening: int) -> int:
    """Where the bracket closes that opens here."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] in PAIRS) - (text[at] in PAIRS.values())
        if depth == 0:
            return at
    raise AssertionError("a bracket is never closed")
