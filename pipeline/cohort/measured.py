"""Columns of numbers: range, step, scale, and the numbers that are none."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.cohort.dictionary import Entry
from pipeline.cohort.proposed import Column, with_missing
from pipeline.cohort.words import pair
from pipeline.config import same_cell
from pipeline.config.cohort import NUMBERS, Kind, Origin
from pipeline.data.numerals import number_text
from pipeline.presentation.numbers import few

FEW = 6  # different whole numbers that may well be codes or steps of a scale

DECIMALS = 6  # that a person writes; more are a machine's, and no grid

# Codes for "not measured" that questionnaires and registries use, beside numbers made of nines.
BELOW_ZERO = frozenset({-1, -2, -3, -7, -8, -9, -77, -88, -98, -99, -777, -888, -999, -9999})

ABOVE_ALL = frozenset(
    {
        9,
        88,
        98,
        99,
        777,
        888,
        988,
        998,
        999,
        7777,
        8888,
        9998,
        9999,
        99999,
        999999,
        9.9,
        99.9,
        999.9,
    }
)


def numbers_of(
    column: Column,
    counts: Counter[str],
    numeric: Mapping[str, str],
    others: list[str],
    entry: Entry,
) -> Column:
    """A column of numbers; the cells that are none are proposed as codes for "not measured"."""
    column = replace(column, missing=tuple(sorted(others)))
    column = with_missing(column, counts, entry.missing)
    amounts: Counter[float] = Counter()
    spelled: dict[float, list[str]] = {}
    for cell, text in numeric.items():
        amounts[float(text)] += counts[cell]
        spelled.setdefault(float(text), []).append(cell)
    codes = _codes(amounts, entry)
    if codes:
        column = _with_codes(column, amounts, codes, spelled)
        amounts = Counter({value: n for value, n in amounts.items() if value not in codes})
    values = np.array(sorted(amounts))
    column = replace(column, measured=sum(amounts.values()))
    if not len(values):
        return replace(column, ignored="no value")
    if len(values) == 1:
        return replace(column, ignored="one value only")
    whole = bool((values == np.round(values)).all())
    kept = {cell: text for cell, text in numeric.items() if float(text) in amounts}
    plain = not any("," in cell for cell in kept)  # a level is compared as it is written
    if entry.kind is None and whole and plain and len(values) <= FEW:
        return _few_numbers(column, values)
    texts = list(kept.values())
    return _measured(column, values, amounts, texts, whole, entry)


def _few_numbers(column: Column, values: NDArray[np.float64]) -> Column:
    """Few different whole numbers: codes, steps of a scale, or a count; the levels are a grid."""
    cells = [same_cell(float(value)) for value in values]
    kind: Kind = "binary" if len(cells) == 2 else "ordinal"
    known = pair(cells) is not None
    asked = column.asked if known else (*column.asked, ("codes", f"{len(cells)} different numbers"))
    source = column.source | {"kind": "data" if known else "guess", "levels": "data"}
    return replace(
        column, kind=kind, levels={cell: cell for cell in cells}, asked=asked, source=source
    )


def _measured(
    column: Column,
    values: NDArray[np.float64],
    amounts: Counter[float],
    texts: list[str],
    whole: bool,
    entry: Entry,
) -> Column:
    step = step_of(texts)
    kind: Kind = "integer" if whole else "real"
    source: dict[str, Origin] = column.source | {"kind": "data", "step": "data"}
    asked = list(column.asked)
    if entry.kind == "integer" and not whole:
        asked.append(("contradiction", "the dictionary says integer, the file has decimals"))
    elif entry.kind in NUMBERS:
        kind, source["kind"] = entry.kind, "dictionary"
    if entry.step is not None and _on_grid(texts, entry.step):
        step, source["step"] = entry.step, "dictionary"
    elif entry.step is not None:
        finer = "no step" if step is None else f"{step:g}"
        asked.append(
            ("contradiction", f"the dictionary's step is {entry.step:g}, the file needs {finer}")
        )
    if kind == "integer" and step is None:
        step = 1.0
    if step is None:
        asked.append(("step", f"numbers of more than {DECIMALS} decimals: no grid is proposed"))
    lower, upper = widened(values, amounts, step)
    if column.unit == "%" and values[0] >= 0 and values[-1] <= 100:
        lower, upper = max(lower, 0.0), min(upper, 100.0)
    source |= {"lower": "data", "upper": "data"}
    for name, limit, beyond in (
        ("lower", entry.lower, (values < (entry.lower or 0.0))),
        ("upper", entry.upper, (values > (entry.upper or 0.0))),
    ):
        if limit is None:
            continue
        outside = sum(amounts[value] for value in values[beyond])
        if outside:  # limits of a form are soft
            side = "below" if name == "lower" else "above"
            asked.append(("outside", f"{few(outside)} values {side} the dictionary's {limit:g}"))
        else:
            lower, upper = (limit, upper) if name == "lower" else (lower, limit)
            source[name] = "dictionary"
    repeated = np.repeat(values, [amounts[value] for value in values])
    scale = entry.scale or _spread(repeated, step)
    center = entry.center if entry.center is not None else _rounded(np.median(repeated), scale)
    source |= {
        "scale": "dictionary" if entry.scale else "data",
        "center": "data" if entry.center is None else "dictionary",
    }
    for end, side in (_far(values), "above"), (_far(-values[::-1]), "below"):
        if end:
            asked.append(("far", f"a value lies farther {side} all others than these lie apart"))
    if not column.unit:
        asked.append(("unit", ""))
    return replace(
        column,
        kind=kind,
        lower=lower,
        upper=upper,
        step=step,
        center=min(max(center, lower), upper),
        scale=scale,
        source=source,
        asked=tuple(asked),
    )


def _far(values: NDArray[np.float64]) -> bool:
    """Whether the last of the values, rising, is farther off than the others lie apart."""
    return len(values) > 3 and values[-1] - values[-2] > values[-2] - values[0]


def step_of(texts: list[str]) -> float | None:
    """The coarsest grid through 0 on which every number lies, as it was typed.

    The greatest common divisor in units of the last decimal, of the numbers themselves and not of
    their differences: the grid of a schema starts from 0.

    Args:
        texts: numbers as `number_text` gives them.

    Returns:
        None where there is none that a person would write: more than `DECIMALS` decimals, or
        nothing but zeros.
    """
    numbers = [Decimal(text).normalize() for text in set(texts)]
    exponents = [number.as_tuple().exponent for number in numbers]
    decimals = max((-e for e in exponents if isinstance(e, int)), default=0)
    if decimals > DECIMALS:
        return None
    last = max(decimals, 0)
    whole = reduce(math.gcd, (int(abs(number).scaleb(last)) for number in numbers), 0)
    return float(Decimal(whole).scaleb(-last)) if whole else None


def _on_grid(texts: list[str], step: float) -> bool:
    grid = Decimal(str(step))
    return all(Decimal(text) % grid == 0 for text in texts)


def widened(
    values: NDArray[np.float64], amounts: Mapping[float, int], step: float | None
) -> tuple[float, float]:
    """A plausible range with room around what was recorded, at round numbers on the grid.

    From the 0.1 to the 99.9 percentile and a tenth of their distance on either side, in any case
    around everything recorded; never below 0 where nothing recorded is.

    Args:
        values: (n,) different values, rising, at least two.
        amounts: how often each occurs.
        step: of the grid; None = none.
    """
    share = np.cumsum([amounts[value] for value in values])
    low = float(values[np.searchsorted(share, 0.001 * share[-1])])
    high = float(values[min(np.searchsorted(share, 0.999 * share[-1]), len(values) - 1)])
    room = 0.1 * (high - low)
    low, high = min(low - room, float(values[0])), max(high + room, float(values[-1]))
    low = max(low, 0.0) if values[0] >= 0 else low
    nice = Decimal(1).scaleb(math.floor(math.log10((high - low) / 20)))
    nice *= next(f for f in (1, 2, 5, 10) if f * float(nice) >= (high - low) / 20 or f == 10)
    units = [nice] if step is None else [nice, Decimal(str(step))]
    for unit in units:
        low = min(_multiple(low, unit, "ROUND_FLOOR"), low)
        high = max(_multiple(high, unit, "ROUND_CEILING"), high)
    return low, high


def _multiple(value: float, unit: Decimal, rounding: str) -> float:
    return float((Decimal(repr(value)) / unit).to_integral_value(rounding) * unit)


def _spread(values: NDArray[np.float64], step: float | None) -> float:
    """A robust standard deviation, rounded to one digit, to two behind a 1; at least a step."""
    middle = np.median(values)
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    if spread == 0:
        lower, upper = np.percentile(values, [25, 75])
        spread = float(upper - lower) / 1.349 or float(values.std())
    exponent = math.floor(math.log10(spread))
    digits = 1 if spread / 10**exponent < 2 else 0
    return max(float(f"{spread:.{digits}e}"), step or 0.0)


def _rounded(value: float, scale: float) -> float:
    """A value rounded to the leading digit of `scale`."""
    return round(float(value), -math.floor(math.log10(scale))) + 0.0  # no minus zero


def _codes(amounts: Counter[float], entry: Entry) -> dict[float, str]:
    """Numbers that stand for "not measured", and the topic under which they are asked about."""
    found: dict[float, str] = {}
    values = sorted(amounts)

    def outside(value: float) -> bool:
        low = -math.inf if entry.lower is None else entry.lower
        high = math.inf if entry.upper is None else entry.upper
        return not low <= value <= high

    for code in entry.missing:
        text = number_text(code)
        if text is not None and float(text) in amounts:
            found[float(text)] = ""
    rest = [value for value in values if value not in found]
    natural = [value for value in rest if value not in BELOW_ZERO]
    if len(natural) > 1 and natural[0] >= 0:
        found |= {value: "codes for missing" for value in rest if value in BELOW_ZERO}
    while len(natural) > 2 and natural[-1] in ABOVE_ALL:
        *others, last = natural
        bulk = [value for value in others if value not in ABOVE_ALL] or others
        # Nothing lies between it and the rest, over more than the width of the rest.
        if last - bulk[-1] <= bulk[-1] - bulk[0] and not outside(last):
            break
        found[last] = "codes for missing"
        natural = others
    known = Counter({value: amounts[value] for value in natural})
    if len(natural) > 2 and natural[0] == 0 and (outside(0.0) or _impossible_zero(known)):
        found[0.0] = "zeros"
    return found


def _impossible_zero(amounts: Counter[float]) -> bool:
    """Whether 0 stands apart: far from the rest by its own distances, and by its middle."""
    low = sorted(amounts)[1:22]
    steps = sorted(after - before for before, after in pairwise(low))
    middle = float(np.median([value for value in amounts.elements() if value]))
    return len(low) > 2 and low[0] >= max(5 * steps[len(steps) // 2], 0.1 * middle)


def _with_codes(
    column: Column,
    amounts: Counter[float],
    codes: Mapping[float, str],
    spelled: Mapping[float, list[str]],
) -> Column:
    asked = list(column.asked)
    for code, topic in codes.items():
        if topic == "zeros":
            asked.append((topic, f"{few(amounts[code])} zeros, far from all other values"))
        elif topic:
            # A number of nines is a code of its owner's, and no patient's value.
            asked.append((topic, f"{same_cell(code)} in {few(amounts[code])} records"))
    guessed = any(codes.values()) or column.source.get("missing") == "guess"
    origin: Origin = "guess" if guessed else "dictionary"
    cells = dict.fromkeys(same_cell(cell) for code in sorted(codes) for cell in spelled[code])
    missing = (*column.missing, *cells)
    return replace(
        column, missing=missing, asked=tuple(asked), source=column.source | {"missing": origin}
    )
