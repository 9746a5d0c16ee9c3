"""Pages: the same contents as HTML files that need nothing beside them.

The full page has a part that runs (sorting, opening folds); without it nothing is missing. No page
may load anything: its policy forbids it, whatever a chapter holds.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, assert_never

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.presentation.chapter import (
    Fold,
    Heading,
    Items,
    NotApplicable,
    Note,
    Part,
    Picture,
    Reader,
    Table,
)
from pipeline.presentation.flagged import with_flags
from pipeline.presentation.frames import cells
from pipeline.presentation.glossary import GLOSSARY
from pipeline.presentation.policies import source_of
from pipeline.report.audited import LETTERS, USE
from pipeline.report.contents import Contents, labels_of
from pipeline.report.sheet import Sheet, shorter
from pipeline.risks import RISKS

OPEN_COLUMNS = 8  # of the matrix; with more defenses it scrolls in a box of its own
OPEN_ROWS = 10  # a longer table is folded, unless its chapter has done so
BESIDE = 150  # letters of a row of a table that stands beside a picture
# Of the page of one reader, in letters of its small type; measured in Chromium, on A4.
ROOM = 7900  # of the whole page
LINE, TITLE, PICTURE = 25, 60, 800  # of a line that ends early, a title or a row, a picture
INTERVAL = re.compile(r"\(\S+ to \S+\)")
HEADINGS: Mapping[Reader, str] = {
    "clinician": "Facts for clinicians",
    "privacy": "Facts for data protection",
}


def render(contents: Contents, *, patients: bool) -> str:
    """The HTML of the full page; whatever text it is given is escaped.

    Args:
        contents: what is written.
        patients: whether tables and pictures of single patients are shown; False = for wherever
            others may look.

    Raises:
        UndefinedError: a chapter has a part of a kind that the page does not know.
    """
    shell = _shell(contents, patients)
    script = shell.get_template("page.js.jinja").render()
    shell.globals |= {"script": Markup(script), "script_digest": source_of(script)}
    matrix = shell.get_template("matrix.html.jinja").render()
    labels = labels_of(contents.judged)
    explained = dict(GLOSSARY)
    for risk in RISKS:
        explained |= risk.glossary
    words = {term: with_flags(plain, labels) for term, plain in explained.items()}
    return _written(
        shell,
        "page",
        findings=[found for _, found in contents.findings],
        matrix=Markup(matrix),
        glossary=words,
        untested=first_and_more(contents.untested),
    )


def render_cut(contents: Contents, reader: Reader) -> str:
    """The HTML of the one page of a reader; it is made to be handed on: no single patient.

    Raises:
        UndefinedError: as of `render`.
    """
    whole = Sheet(
        [one.whole for one in contents.findings_for(reader)],
        contents.brief(reader),
        contents.untested_for(reader),
    )
    used = _letters(*(why for fact in contents.facts for why in fact), *contents.warnings)
    used += _letters(*labels_of(contents.judged).values())
    shell = _shell(contents, patients=False)
    for sheet in shorter(whole):
        if used + _room_of(sheet) <= ROOM:
            break
    return _written(shell, "cut", heading=HEADINGS[reader], sheet=sheet)


def _room_of(sheet: Sheet) -> int:
    """About how many letters of a page a sheet takes; what is no text, in letters."""
    briefs = [_letters(title) + TITLE + sum(map(_of_part, parts)) for title, parts in sheet.briefs]
    return _letters(*sheet.findings, *sheet.untested, sheet.pointer) + sum(briefs)


def _letters(*texts: str) -> int:
    return sum(len(text) + LINE for text in texts if text)


def _of_part(part: Part) -> int:
    match part:
        case Note() | Heading():
            return _letters(part.text)
        case Items():
            return _letters(*(f"{name} {said}" for name, said in part.entries))
        case Table(table, _, caption):
            rows = [[str(name) for name in table], *cells(table)]
            return _letters(caption) + sum(TITLE + sum(map(len, row)) for row in rows)
        case Picture():
            return PICTURE + _letters(part.caption)
        case NotApplicable():
            return _letters(part.what, part.why)
        case Fold():
            return _letters(part.title) + sum(map(_of_part, part.parts))
        case _:
            assert_never(part)


class Untested(NamedTuple):
    """What was not tested: what stands open, and by risk the rest."""

    first: Sequence[tuple[str, str]]
    more: Mapping[str, Sequence[str]]


def first_and_more(untested: Sequence[tuple[str, str]]) -> Untested:
    """Of each risk the first sentence, which is the gravest; what is true of all, whole."""
    first: list[tuple[str, str]] = []
    more: dict[str, list[str]] = {}
    seen: set[str] = set()
    for risk, said in untested:
        if risk in seen:
            more.setdefault(risk, []).append(said)
            continue
        first.append((risk, said))
        seen |= {risk} - {""}
    return Untested(first, more)


def _shell(contents: Contents, patients: bool) -> Environment:
    shell = Environment(
        loader=PackageLoader("pipeline.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,  # an unknown kind of part is an error, too
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shell.filters |= {
        "cells": cells,
        "kind": _kind,
        "kept_whole": _kept_whole,
        "in_blocks": _in_blocks,
        "much_text": _much_text,
        "drawn_at_all": partial(_drawn_at_all, patients=patients),
    }
    labels = labels_of(contents.judged)
    shell.globals |= {
        "one": contents,
        "patients": patients,
        "use": USE,
        "letters": LETTERS,
        "open_rows": OPEN_ROWS,
        "open_columns": OPEN_COLUMNS,
        "script": "",
        "inline": _inliner(),
        "flagged": [
            (label, "; ".join(contents.judged[name].flags.values()))
            for name, label in labels.items()
        ],
    }
    return shell


def _written(shell: Environment, name: str, **values: Any) -> str:
    return shell.get_template(f"{name}.html.jinja").render(values).lstrip() + "\n"


def _kind(part: Part) -> str:
    return type(part).__name__


def _kept_whole(cell: str) -> Markup:
    """A cell whose intervals are not broken into lines."""
    return Markup(INTERVAL.sub(r"<span>\g<0></span>", str(escape(cell))))


def _in_blocks(parts: Sequence[Part]) -> list[tuple[bool, list[Part]]]:
    """Parts in their order, those that are folded together, so that a page sets them in a row."""
    return [(folded, list(own)) for folded, own in groupby(parts, lambda p: isinstance(p, Fold))]


def _much_text(part: Table) -> bool:
    """Whether a table needs the whole width of a page: its lines would break beside a picture."""
    return max((sum(map(len, row)) for row in cells(part.table)), default=0) > BESIDE


def _drawn_at_all(parts: Sequence[Part], *, patients: bool) -> bool:
    """Whether a picture stands open, beside which the rest of a chapter is set."""
    return any(isinstance(part, Picture) and (patients or not part.patients) for part in parts)


def _inliner() -> Callable[[Picture], Markup]:
    """Pictures as part of one page; `pictures.save_picture` has escaped what is written in them.

    One that stands there a second time gets other names for its parts.
    """
    drawn: dict[str, int] = {}

    def inline(picture: Picture) -> Markup:
        svg, name = picture.path.read_text(encoding="utf-8"), picture.path.stem
        drawn[name] = drawn.get(name, 0) + 1
        if drawn[name] > 1:
            svg = re.sub(rf'(id="|#| ?by="|\b){re.escape(name)}-', rf"\1{name}-{drawn[name]}-", svg)
        return Markup(svg)

    return inline
