"""A clinic's words put into those of another sector, where texts leave.

Every text is written once, in a clinic's words. A data set of another sector names its own
(`data.words`), and they are put in at the end: into pages, tables, pictures, notes, lines. Names
stay: whatever is joined by `_` or `/`, stands in quotes or in a place of code, single words in
files for machines, and what the data set itself calls its columns, levels and classes.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pipeline.files import read_json, write_json, write_text

Words = Mapping[str, str]  # a clinic's word or phrase -> that of the sector

# What is said of clinics alone, and what is true of any sector.
NEUTRAL: Words = {
    "no medical device, not for clinical use": "no basis for a decision",
    "It is no medical device, and no basis": "It is no basis",
    "how clinical models break": "how models break",
    "how a clinical model can": "how a model can",
}
NAMED = ("patients", "ill", "healthy", "disease", "diagnoses", "missed diagnosis", "hospital")
VOWELS = "aeiou"
# What is quoted from somewhere: a cell of a file, a name of the program.
QUOTED = r"(?<![\w'])'[^'\n]+'(?![\w'])|\"[^\"\n]+\"|`[^`\n]+`"
# Of HTML: what is no text, and what of it people are shown or read to.
SILENT = re.compile(r"(<(script|style|code)\b.*?</\2>|<!--.*?-->|<[^>]*>)", re.S)
SPOKEN = re.compile(r'\b((?:title|alt|aria-label)=")([^"]*)')
NAMES = ("kind", "risk", "path")  # keys of chapters as data whose values are no text
KEPT = ("audit.json", "audit.schema.json", "schema.json", "metrics.json")  # machines read them


def in_words(text: str, words: Words | None) -> str:
    """A text in the words of a sector; None = as it is.

    The longest phrase counts first. A capital letter stays one, and an article in front follows.
    A phrase that is put in for itself stays as it is.
    """
    if not words:
        return text
    pattern, known = _compiled(tuple({**NEUTRAL, **words}.items()))
    return pattern.sub(partial(_instead, known), text)


def names_told(words: Words | None) -> str:
    """What names of metrics and columns, which stay a clinic's, stand for in a sector."""
    told = [
        f"`{name.replace(' ', '_')}` for {put}"
        for name, put in (words or {}).items()
        if name in NAMED and put != name
    ]
    said = "Names of metrics and columns are the same in every sector"
    return f"{said}: {', '.join(told)}." if told else ""


@lru_cache
def _compiled(pairs: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    known = {given.lower(): put for given, put in pairs}
    phrases = "|".join(
        r"\s+".join(map(re.escape, phrase.split())) for phrase in sorted(known, key=len)[::-1]
    )
    told = rf"(?<![\w./\\-])(?:(an?)(\s+))?({phrases})(?![\w=/\\]|\.\w)"
    return re.compile(f"{QUOTED}|{told}", re.I), known


def _instead(known: Mapping[str, str], found: re.Match[str]) -> str:
    article, gap, phrase = found.groups()
    if phrase is None:  # quoted
        return found[0]
    key = " ".join(phrase.lower().split())
    put = known[key]
    if put.lower() == key:
        return found[0]
    said = put[0].upper() + put[1:] if phrase[0].isupper() else put
    if article is None:
        return said
    fitting = article[0] + ("n" if put[0].lower() in VOWELS else "")
    return f"{fitting}{gap}{said}"


def in_columns(text: str, words: Words | None) -> str:
    """As `in_words`, of a text whose columns are kept apart by blanks: they stay where they are."""
    if not words:
        return text
    return "\n".join(_line(line, words) for line in text.split("\n"))


def _line(line: str, words: Words) -> str:
    parts = re.split(r"( {2,})", line)
    owed = 0  # letters by which what was written is longer than it was
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = " " * max(2, len(part) - owed)
            owed -= len(part) - len(parts[place])
        else:
            parts[place] = in_words(part, words)
            owed += len(parts[place]) - len(part)
    return "".join(parts)


def html_in_words(page: str, words: Words | None) -> str:
    """As `in_words`, of what a page shows and reads out; tags, scripts and styles stay."""
    if not words:
        return page
    parts = SILENT.split(page)
    told = []
    for place in range(0, len(parts), 3):  # text, what is no text, the name of a script or style
        told.append(in_words(parts[place], words))
        if place + 1 < len(parts):
            tag = parts[place + 1]
            spoken = SPOKEN.sub(lambda one: one[1] + in_words(one[2], words), tag)
            told.append(tag if parts[place + 2] else spoken)
    return "".join(told)


def retell(folder: Path, words: Words | None) -> None:
    """Puts what was written for people in a folder, and below it, into the words of a sector.

    Args:
        folder: pages, pictures, texts, tables as CSV, chapters as data; nothing else is touched.
        words: of the sector; None = nothing is touched.
    """
    if not words:
        return
    told: Mapping[str, Callable[[str, Words], str]] = {
        ".html": html_in_words,
        ".svg": html_in_words,
        ".md": in_words,
        ".txt": in_columns,
        ".csv": table_in_words,
    }
    for file in sorted(folder.rglob("*")):
        if file.name in KEPT or not file.is_file():
            continue
        if file.suffix in told:
            text = file.read_text(encoding="utf-8")
            write_text(file, told[file.suffix](text, words))
        elif file.suffix == ".json":
            write_json(file, data_in_words(read_json(file), words))


def table_in_words(table: str, words: Words) -> str:
    """A CSV whose cells and titles of several words are retold; single words are names."""
    rows = csv.reader(io.StringIO(table))
    retold = [[in_words(cell, words) if " " in cell else cell for cell in row] for row in rows]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(retold)
    return out.getvalue()


def data_in_words(value: Any, words: Words | None, key: str = "") -> Any:
    """As `in_words`, of every text in data such as chapters; keys and names stay."""
    match value:
        case str():
            return value if key in NAMES else in_words(value, words)
        case dict():
            return {name: data_in_words(one, words, str(name)) for name, one in value.items()}
        case list():
            return [data_in_words(one, words, key) for one in value]
        case _:
            return value
