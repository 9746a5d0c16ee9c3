"""The matrix of the first screen: every headline figure of every defense, and what it says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.config import BASELINE
from pipeline.presentation.pictures import display_name
from pipeline.risks.conclusions import KEY, NOT_COMPARED, Question
from pipeline.risks.risk import Judgement

GOOD = {"low": "lower is better", "high": "higher is better", "zero": "0 is best"}
MARKS = {"better": "▲ better", "worse": "▼ worse"}
DOUBTED = "better, but flagged"


@dataclass(frozen=True)
class Cell:
    """One figure of one defense.

    Attributes:
        value: the figure; empty: it was not measured.
        interval: its bounds.
        word: what the paired interval decides; empty: nothing, or there is nothing to compare.
        tone: `better`, `worse`, or empty, as which it is coloured.
        flagged: whether something speaks against it.
    """

    value: str = ""
    interval: str = ""
    word: str = ""
    tone: str = ""
    flagged: bool = False


@dataclass(frozen=True)
class Row:
    """One figure of all defenses.

    Attributes:
        risk: whose it is.
        figure: the figure.
        good: which end of it is good.
        among: whom it is a share or mean of.
        threat: who attacks.
        cells: as the columns.
        decides: whether it is weighed, or the first of its risk: the others are folded.
    """

    risk: str
    figure: str
    good: str
    among: str
    threat: str
    cells: Sequence[Cell]
    decides: bool = True


@dataclass(frozen=True)
class Matrix:
    """Rows of figures, columns of defenses: the undefended models first.

    Attributes:
        columns: the name of a defense, and its flags in words; empty: none.
        rows: in the order of the risks.
    """

    columns: Sequence[tuple[str, str]]
    rows: Sequence[Row]


def matrix_of(
    asked: Sequence[Question], headlines: pd.DataFrame, judged: Mapping[str, Judgement]
) -> Matrix:
    """The matrix.

    Args:
        asked: every headline figure.
        headlines: their `headline_table`.
        judged: by defense, in the order of the columns.
    """
    known = dict.fromkeys([*judged, *headlines["defense"]])
    names = sorted(known, key=lambda name: name != BASELINE)
    flags = {name: list(judged[name].flags) if name in judged else [] for name in names}
    lines = {(*(line[key] for key in KEY), line["defense"]): line for line in _lines(headlines)}
    rows: list[Row] = []
    for one in asked:
        decides = one.figure.weighed or one.risk not in {row.risk for row in rows}
        found = [lines.get((*one.key.values(), name)) for name in names]
        cells = [_cell(line, bool(flags[n])) for line, n in zip(found, names, strict=True)]
        said = one.figure
        whose = (said.among, said.threat)
        rows.append(Row(one.risk, said.figure, GOOD[said.good], *whose, cells, decides))
    return Matrix([(name, _in_words(flags[name])) for name in names], rows)


def _lines(headlines: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(key): cell for key, cell in one.items()} for one in headlines.to_dict("records")]


def _in_words(flags: Sequence[str]) -> str:
    return display_name("", " ".join(flags)).strip(" []")


def _cell(line: Mapping[str, object] | None, flagged: bool) -> Cell:
    if line is None or math.isnan(float(str(line["value"]))):
        return Cell(flagged=flagged)
    value, low, high = (f"{float(str(line[name])):.3f}" for name in ("value", "low", "high"))
    interval = "" if "nan" in (low, high) else f"{low} to {high}"
    verdict = str(line["verdict"])
    if verdict == "better" and flagged:
        return Cell(value, interval, DOUBTED, "", flagged)
    if verdict == NOT_COMPARED:
        return Cell(value, interval, NOT_COMPARED, "", flagged)
    tone = verdict if verdict in MARKS else ""
    return Cell(value, interval, MARKS.get(verdict, ""), tone, flagged)
