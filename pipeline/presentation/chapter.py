"""A chapter as data: what a risk has to say, not how it is laid out.

Pages of every kind render the same chapters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    is left out wherever others may look.
    """

    table: pd.DataFrame
    kind: Literal["numbers", "text", "patients"] = "text"


@dataclass(frozen=True)
class Picture:
    """A PNG that lies beside the page, and what it shows in words for those who do not see it."""

    path: Path
    shows: str


@dataclass(frozen=True)
class NotApplicable:
    """What was not measured here, and why: said instead of an empty table or a zero."""

    what: str
    why: str


Part = Note | Items | Heading | Table | Picture | NotApplicable


@dataclass(frozen=True)
class Chapter:
    """A title and what stands below it, in order."""

    title: str
    parts: Sequence[Part]
