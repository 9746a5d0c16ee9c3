"""A chapter as data: what a risk has to say, not how it is laid out.

Pages of every kind render the same chapters.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd


@dataclass(frozen=True)
class Note:
    """A paragraph; `small` ones explain how figures came about."""

    text: str
    small: bool = True


@dataclass(frozen=True)
class Items:
    """A list; each entry a name that stands out, and what is said of it."""

    entries: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Heading:
    """The title of a section of a chapter."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table for people: a cell is text, or a number shown as it is; a missing one is a dash.

    `kind`: `numbers` stand to the right, `text` wraps, `patients` shows single patients, wraps, and
    is left out wherever others may look. `caption`: what it shows, of whom, in one line.
    """

    table: pd.DataFrame
    kind: Literal["numbers", "text", "patients"] = "text"
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """An SVG that lies beside the page, and what it shows in words for those who do not see it.

    `patients`: whether it shows single ones; it is left out wherever others may look, and its file
    is called as a table that its risk keeps (`Risk.private`), so that it is sent nowhere.
    """

    path: Path
    shows: str
    caption: str = ""
    patients: bool = False


@dataclass(frozen=True)
class NotApplicable:
    """What was not measured here, and why: said instead of an empty table or a zero."""

    what: str
    why: str


@dataclass(frozen=True)
class Fold:
    """What is folded away until a reader asks for it, under a title that says what it is."""

    title: str
    parts: Sequence["Part"]


Part = Note | Items | Heading | Table | Picture | NotApplicable | Fold
Reader = Literal["clinician", "privacy"]  # for whom there is a page of their own, beside the full


@dataclass(frozen=True)
class Chapter:
    """What a risk has to say about one question.

    Attributes:
        title: the question, or what is asked.
        parts: what stands open: one picture and one table of at most ten rows, as a rule; the rest
            in a `Fold`.
        result: what came out, in one sentence; empty where there is none.
        brief: what of it stands on the one page that a reader has; nothing, where not said.
        early: whether all others are read with it in mind: it stands right after the summary.
    """

    title: str
    parts: Sequence[Part]
    result: str = ""
    brief: Mapping[Reader, Sequence[Part]] = field(default_factory=dict)
    early: bool = False

    @property
    def anchor(self) -> str:
        """Its name in links: the title in small letters, digits and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "chapter"


@dataclass(frozen=True)
class Finding:
    """The worst that a risk found, in one sentence.

    Attributes:
        text: says whose answer, who attacks, how many patients of how many, and the interval.
        defense: whose it is; empty: of all.
        more: what it is compared with, and how it was measured: for who reads on.
    """

    text: str
    defense: str = ""
    more: str = ""

    @property
    def whole(self) -> str:
        """All that is said."""
        return f"{self.text} {self.more}".rstrip()


def in_order(chapters: Iterable[Chapter]) -> list[Chapter]:
    """The early ones first, otherwise as they come.

    Raises:
        ValueError: two have one anchor; links could reach only the first.
    """
    placed = sorted(chapters, key=lambda one: not one.early)
    twice = [name for name, times in Counter(one.anchor for one in placed).items() if times > 1]
    if twice:
        raise ValueError(f"chapters with one name in links: {', '.join(twice)}")
    return placed
