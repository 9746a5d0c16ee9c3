"""Flags beside the names of defenses, wherever a chapter names one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

import pandas as pd

from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Fold,
    Heading,
    Items,
    NotApplicable,
    Note,
    Part,
    Picture,
    Table,
)

Labels = Mapping[str, str]  # name -> the name with its flags, of those who have any


def with_flags(text: str, labels: Labels) -> str:
    """The text with its flags beside each name of a flagged defense that stands without them.

    A name within a longer word, a path, a key (`distill.temperature`) or a flag is none.
    """
    if not labels:
        return text
    names = "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
    bare = rf"(?<![\w.\-/\[])({names})(?![\w\-/]|\.\w| \[)"
    return re.sub(bare, lambda found: labels[found.group()], text)


def chapter_with_flags(chapter: Chapter, labels: Labels) -> Chapter:
    """The chapter with its flags beside each name, on the pages of all readers, too."""
    return replace(
        chapter,
        title=with_flags(chapter.title, labels),
        result=with_flags(chapter.result, labels),
        parts=parts_with_flags(chapter.parts, labels),
        brief={reader: parts_with_flags(parts, labels) for reader, parts in chapter.brief.items()},
    )


def finding_with_flags(finding: Finding, labels: Labels) -> Finding:
    """The finding, likewise."""
    return replace(
        finding, text=with_flags(finding.text, labels), more=with_flags(finding.more, labels)
    )


def parts_with_flags(parts: Sequence[Part], labels: Labels) -> list[Part]:
    """The parts, likewise; what is written within a picture is left to who draws it."""
    return [_part(part, labels) for part in parts]


def _part(part: Part, labels: Labels) -> Part:
    match part:
        case Note() | Heading():
            return replace(part, text=with_flags(part.text, labels))
        case Items():
            said = [(with_flags(a, labels), with_flags(b, labels)) for a, b in part.entries]
            return Items(said)
        case Table():
            caption = with_flags(part.caption, labels)
            return replace(part, table=_table(part.table, labels), caption=caption)
        case Picture():
            shows, caption = with_flags(part.shows, labels), with_flags(part.caption, labels)
            return replace(part, shows=shows, caption=caption)
        case NotApplicable():
            return NotApplicable(with_flags(part.what, labels), with_flags(part.why, labels))
        case Fold():
            return Fold(with_flags(part.title, labels), parts_with_flags(part.parts, labels))
        case _:
            assert_never(part)


def _table(table: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    def cell(value: object) -> object:
        return with_flags(value, labels) if isinstance(value, str) else value

    if not labels:
        return table
    named = table.set_axis([cell(name) for name in table], axis=1)
    return named.map(cell)
