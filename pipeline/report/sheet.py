"""The one page of a reader: what gives way, and in which order, where it would become two."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Sheet:
    """What stands on the page of one reader; parts are of whatever kind a page lays out.

    Attributes:
        findings: the worst of each risk that has something to say to the reader.
        briefs: titles of chapters, and what of each stands here.
        untested: what was not tested, the gravest of each risk first, what is true of all last.
        left_out: how many sentences on what was not tested stand in the full report alone.
        parts_left_out: how many parts of chapters do.
    """

    findings: Sequence[str]
    briefs: Sequence[tuple[str, Sequence[Any]]]
    untested: Sequence[str]
    left_out: int = 0
    parts_left_out: int = 0

    @property
    def pointer(self) -> str:
        """What is left out, counted, and where it stands; empty: nothing is."""
        said = [f"{self.left_out} more not tested"] if self.left_out else []
        parts = "part" if self.parts_left_out == 1 else "parts"
        said += [f"{self.parts_left_out} {parts} of chapters"] if self.parts_left_out else []
        if not said:
            return ""
        return f"Left out, so that this is one page: {' and '.join(said)}; the full report has all."


def shorter(sheet: Sheet) -> Iterator[Sheet]:
    """The sheet, and ever shorter ones, each by one thing.

    First goes what was not tested, the last said first, but for the first and for what is true of
    all; then parts of chapters, of the one with the most first; at last chapters.
    """
    yield sheet
    while len(sheet.untested) > 2:
        kept = [*sheet.untested[:-2], sheet.untested[-1]]
        sheet = replace(sheet, untested=kept, left_out=sheet.left_out + 1)
        yield sheet
    while sheet.briefs:
        sizes = [len(parts) for _, parts in sheet.briefs]
        at = len(sizes) - 1 - sizes[::-1].index(max(sizes))
        title, parts = sheet.briefs[at]
        fewer = [(title, parts[:-1])] if len(parts) > 1 else []
        briefs = [*sheet.briefs[:at], *fewer, *sheet.briefs[at + 1 :]]
        sheet = replace(sheet, briefs=briefs, parts_left_out=sheet.parts_left_out + 1)
        yield sheet
