"""What seems to hold between columns of numbers; only a person can say whether it must."""

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from pipeline.cohort.proposed import Column
from pipeline.cohort.yaml_text import key, scalar
from pipeline.config import Formula, named

Values = NDArray[np.float64]

HOLDS = 0.995  # share of the records in which a relation holds that is asked about
RECORDS = 50  # with all values measured; fewer show nothing
BY_CHANCE = 0.95  # a relation that unrelated columns would keep as often is none
MOST = 5  # questions of a kind
LOOKED_AT = 200  # records by which sums are sought, before all are looked at
ROUNDING = 1e-6  # of a sum, and of 1: decimals of a file in float64


def never_above(columns: Sequence[Column], values: Values) -> list[str]:
    """Pairs of which one is never above the other, the least expected ones first.

    Args:
        columns: of numbers; of two with different units nothing is asked.
        values: (N, D), NaN = missing.

    Returns:
        for each, what was seen, and after a line end the line of the schema.
    """
    found = []
    in_order = [np.sort(one[~np.isnan(one)]) for one in values.T]
    for low, high in permutations(range(len(columns)), 2):
        units = {columns[place].unit for place in (low, high)} - {""}
        if len(units) > 1:
            continue
        both = ~np.isnan(values[:, low]) & ~np.isnan(values[:, high])
        share = (values[both, low] <= values[both, high]).mean() if both.sum() >= RECORDS else 0.0
        differ = (values[both, low] != values[both, high]).any()
        if share < HOLDS or not differ:
            continue
        below = np.searchsorted(in_order[low], in_order[high], side="right")
        chance = float(below.mean() / len(in_order[low]))
        if chance < BY_CHANCE:
            found.append((chance, low, high, float(share)))
    said = []
    for _, low, high, share in sorted(found)[:MOST]:
        one, other = columns[low].name, columns[high].name
        seen = f"{one} is at most {other} in {_share(share)} of the records that have both"
        relation = scalar(f"{named(one)} <= {named(other)}")
        said.append(f"{seen}\nrelations: [{relation}]")
    return said


def sums(columns: Sequence[Column], values: Values) -> list[str]:
    """Columns that are the sum of two others; arguments and result as those of `never_above`."""
    found = []
    for one, other, total in _seeming_sums(values):
        three = values[:, [one, other, total]]
        three = three[~np.isnan(three).any(1)]
        if len(three) < RECORDS or (three[:, :2] != 0).mean(0).min() < 1 - BY_CHANCE:
            continue
        share = float(_equal(three[:, 0] + three[:, 1], three[:, 2]).mean())
        if share >= HOLDS:
            found.append((-share, total, one, other))
    said = []
    for share, total, *parts in sorted(found)[:MOST]:
        name, first, second = (columns[place].name for place in (total, *parts))
        seen = f"{name} is {first} + {second} in {_share(-share)} of the records that have all"
        formula = f"{named(first)} + {named(second)}"
        said.append(f"{seen}\nderived: {{{key(name)}: {scalar(formula)}}}")
    return said


def _seeming_sums(values: Values) -> Iterator[tuple[int, int, int]]:
    """(one, other, total) that add up in some records, spread over all."""
    some = values[:: max(1, len(values) // LOOKED_AT)]
    for one, other in combinations(range(values.shape[1]), 2):
        together = (some[:, one] + some[:, other])[:, None]
        known = ~np.isnan(together) & ~np.isnan(some)
        adds = (_equal(together, some) & known).sum(0)
        for total in np.nonzero((adds > 0) & (adds >= 0.9 * known.sum(0)))[0].tolist():
            if total not in (one, other):
                yield one, other, total


def _equal(one: Values, other: Values) -> NDArray[np.bool_]:
    return np.asarray(np.abs(one - other) <= ROUNDING * (1 + np.abs(other)))


def _share(share: float) -> str:
    return "all" if share == 1 else f"at least {HOLDS:.1%}"  # not how few break it


def derived_line(name: str, formula: str, known: Sequence[str]) -> str:
    """The line of the schema that says how a field is computed; empty = it needs more.

    Args:
        name: of the field.
        formula: in the notation of REDCap and of the schema: fields in brackets, `^` for powers.
        known: the features of the schema, of which the formula may speak.
    """
    try:
        read = Formula.of(formula.strip())
    except ValueError:
        return ""
    if not set(read.names) <= set(known) - {name}:
        return ""
    return f"derived: {{{key(name)}: {scalar(read.text)}}}"
