"""Figures by address: `<risk>/<figure of the page>`, or `<table>/<column>` of a table beside it.

A name that nobody knows is a mistake and refused; a known one that was not measured is absent.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import BASELINE
from pipeline.config.gates import Gate
from pipeline.files import BadInput
from pipeline.gate.audits import Audit, Row
from pipeline.gate.judging import Interval
from pipeline.presentation.sector_words import in_words
from pipeline.validation import nearest

AT_EPS = re.compile(r", eps (\d+(?:\.\d+)?(?:e-?\d+)?)")
SIX_DIGITS = 2e-6  # of the larger figure: by so much a difference misses one rounded by itself


class Absent(Exception):
    """A figure that the audit knows and does not have: a clause that says so."""


@dataclass(frozen=True)
class Found:
    """A figure of an audit.

    Attributes:
        risk: the first part of its address.
        title: what it is, in the words of the page.
        interval: the value and its bounds; NaN where there are none.
        good: which end of it is good; empty: the table does not say.
        under: its threat in words, or what else was chosen.
        line: the entry in `audit.json`; empty: it is from a table.
    """

    risk: str
    title: str
    interval: Interval
    good: str
    under: str
    line: Mapping[str, Any]


def short(figure: str) -> str:
    """The name of a figure in an address: without eps and brackets, words joined by `_`."""
    plain = re.sub(r"\([^)]*\)", "", AT_EPS.sub("", figure)).lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def said_of(audit: Audit, line: Mapping[str, Any]) -> str:
    """A figure as the page calls it, in the words of the cohort's sector."""
    return in_words(line["figure"], audit.words)


def names_of(audit: Audit, line: Mapping[str, Any]) -> set[str]:
    """Whatever an address may call a figure: as `audit.json` has it, or as the page."""
    both = {line["figure"], said_of(audit, line)}
    return both | {short(one) for one in both}


def known(audit: Audit) -> list[str]:
    """Every address there is."""
    of_page = {f"{one['risk']}/{short(said_of(audit, one))}" for one in audit.content["figures"]}
    of_tables = {
        f"{table}/{column}"
        for table in audit.tables
        for column in audit.columns(table)
        if not column.endswith(("_low", "_high"))
    }
    return sorted(of_page | of_tables)


def find(audit: Audit, gate: Gate, defense: str) -> Found:
    """The figure at an address, of one defense.

    Raises:
        BadInput: no figure, defense, threat, column or value is called so, or several rows fit.
        Absent: it was not measured.
    """
    if defense not in audit.defenses:
        raise BadInput(
            f"{defense!r} is no defense of the audit; {nearest(defense, audit.defenses)}"
        )
    if gate.threat is not None and gate.threat not in audit.threats:
        raise BadInput(f"{gate.threat!r} is no threat; {nearest(gate.threat, audit.threats)}")
    risk, name = str(gate.figure).split("/")
    told = [
        one
        for one in audit.content["figures"]
        if one["risk"] == risk and name in names_of(audit, one)
    ]
    if told:
        return _of_page(told, gate, defense)
    if risk in audit.tables and name in audit.columns(risk):
        return _of_table(audit, risk, name, gate, defense)
    raise BadInput(f"{gate.figure!r} is no figure; {nearest(str(gate.figure), known(audit))}")


def _of_page(told: Sequence[Mapping[str, Any]], gate: Gate, defense: str) -> Found:
    if gate.where:
        raise BadInput(f"where: {gate.figure} is a figure of the page and has no columns")
    lines = told
    if gate.eps is not None:
        lines = [one for one in told if gate.eps == eps_of(one["figure"])]
        if not lines:
            at = sorted({str(eps_of(one["figure"])) for one in told} - {"None"})
            raise Absent(f"not measured at eps {gate.eps:g}, but {', '.join(at) or 'without eps'}")
    if gate.threat is not None:
        lines = [one for one in lines if one["threat"].split(";")[0] == gate.threat]
        if not lines:
            raise Absent(f"not measured under {gate.threat}")
    lines = [one for one in lines if one["defense"] == defense]
    if not lines:
        raise Absent(f"not measured of {defense}")
    if len(lines) > 1:
        raise BadInput(f"{gate.figure}: at several eps: name one")
    (line,) = lines
    value, low, high = (_number(line[key]) for key in ("value", "low", "high"))
    if math.isnan(value):
        raise Absent("without a value")
    interval = Interval(value, low, high)
    return Found(line["risk"], line["figure"], interval, line["good"], line["threat"], line)


def eps_of(figure: str) -> float | None:
    """The radius that the name of a figure says; None: none."""
    at = AT_EPS.search(figure)
    return float(at[1]) if at else None


def _of_table(audit: Audit, table: str, column: str, gate: Gate, defense: str) -> Found:
    columns, rows = audit.columns(table), list(audit.rows(table))
    asked: dict[str, Any] = {"defense": defense, "threat": gate.threat, "eps": gate.eps}
    asked = {key: one for key, one in asked.items() if one is not None} | gate.where
    for key, wanted in asked.items():
        if key not in columns:
            if key == "defense":
                raise BadInput(f"{table} has no column 'defense': its figures are of no one model")
            raise BadInput(f"{table} has no column {key!r}; {nearest(key, columns)}")
        kept = [row for row in rows if _same(row[key], wanted)]
        if not kept:
            values = list(dict.fromkeys(row[key] for row in rows))
            if key in gate.where and isinstance(wanted, str):
                raise BadInput(f"{table}.{key}: {wanted!r} is not in it; {nearest(wanted, values)}")
            raise Absent(f"no row of {table} with {key} {wanted}; there are {', '.join(values)}")
        rows = kept
    if len(rows) > 1:
        differ = [key for key in columns if _chooses(key, rows)]
        raise BadInput(
            f"{gate.figure}: {len(rows)} rows fit; they differ in {', '.join(differ[:5])}:"
            " choose by threat, eps or where"
        )
    (row,) = rows
    value = _number(row[column])
    if math.isnan(value):
        raise Absent("without a value")
    low, high = (_number(row[key]) if key else math.nan for key in _bounds(column, columns))
    under = ", ".join(f"{key} {one}" for key, one in asked.items() if key != "defense")
    return Found(table, f"{table}.{column}", Interval(value, low, high), "", under, {})


def _chooses(key: str, rows: Sequence[Row]) -> bool:
    """Whether a column says which rows these are, and is no figure of them."""
    values = {row[key] for row in rows}
    figure = all(not value or not math.isnan(_number(value)) for value in values)
    return len(values) > 1 and (key in ("eps", "dose", "budget") or not figure)


def _bounds(column: str, columns: Sequence[str]) -> tuple[str, str]:
    """The columns of its bounds: `<column>_low`, or `robust_low` of `robust_accuracy`; or none."""
    for stem in (column, column.rpartition("_")[0]):
        if stem and {f"{stem}_low", f"{stem}_high"} <= set(columns):
            return f"{stem}_low", f"{stem}_high"
    return "", ""


def _same(cell: str, wanted: str | float) -> bool:
    return cell == wanted if isinstance(wanted, str) else _number(cell) == float(wanted)


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def paired_se(audit: Audit, found: Found, other: Found, defense: str, against: str) -> float | None:
    """The standard error of the paired difference of two defenses; None: it is not known.

    A line of `*_pairs.csv`, or the verdict against the undefended models in `audit.json`, counts
    where its difference is that of the two figures; of several the largest error.
    """
    a, b = found.interval.value, other.interval.value
    wanted = abs(a) - abs(b) if found.good == "zero" else a - b
    ends = [
        *_of_pairs(audit, found, defense, against),
        *((value, se) for value, se in [_to_none(found.line)] if against == BASELINE),
        *((-value, se) for value, se in [_to_none(other.line)] if defense == BASELINE),
    ]
    slack = SIX_DIGITS * max(1.0, abs(a), abs(b))
    return max((se for value, se in ends if abs(value - wanted) <= slack), default=None)


def _of_pairs(
    audit: Audit, found: Found, defense: str, against: str
) -> Iterator[tuple[float, float]]:
    """Differences of two defenses with their errors, of the tables of pairs that may hold it."""
    signs = {(defense, against): 1, (against, defense): -1}
    for table in audit.tables:
        if not table.endswith("_pairs") or (found.line and table != f"{found.risk}_pairs"):
            continue
        for line in audit.rows(table):
            sign = signs.get((line["defense"], line["other"]))
            if sign and (found.line or line["figure"] == found.title.partition(".")[2]):
                yield sign * _number(line["difference"]), _number(line["se"])


def _to_none(line: Mapping[str, Any]) -> tuple[float, float]:
    """The difference to the undefended models, which `audit.json` holds, with its error."""
    return _number(line.get("difference")), _number(line.get("se"))
