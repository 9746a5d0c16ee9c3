"""What a column of a file looks like: its kind, its range, its step, from all of its rows.

Nothing is decided by the share of different values, which changes with the number of records.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.cohort.dictionary import Entry
from pipeline.cohort.words import is_fixed, is_sensitive, names_person, ordered, pair, unit_of
from pipeline.config import same_cell
from pipeline.config.cohort import NUMBERS, Kind, Origin
from pipeline.data.cells import DATE, LIMIT, MISSING_SIGNS, MISSING_WORDS, POINT_NUMBER, number_text

FEW = 6  # different whole numbers that may well be codes or steps of a scale
MOST = 30  # different texts that may well be levels
SCARCE = 0.05  # of the records: a column with fewer values is nearly empty
DECIMALS = 6  # that a person writes; more are a machine's, and no grid
SMALL = 10  # counts below it are not shown to others
EMPTY = ("nan", "na")  # in small letters: cells that every reader takes for a missing value
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


@dataclass(frozen=True)
class Column:
    """A proposal for one column, and what is asked about it.

    Attributes:
        name: as the file has it.
        kind: None = no feature.
        ignored: why it is no feature; "" = it is one.
        label: what a dictionary calls it.
        unit: "" = unknown.
        levels: cell of the file -> label, in order; of kinds with levels.
        missing: cells that mean "not measured".
        lower, upper, step, center, scale: in `unit`, of numbers; step None = no grid.
        mutable, private: whether a forger can change it, whether a patient would rather keep it.
        source: of each of these, where it comes from.
        measured: how many records have a value.
        asked: (topic, what was seen) of the questions that only a person can answer; no cell that
            fewer than `SMALL` records have.
    """

    name: str
    kind: Kind | None = None
    ignored: str = ""
    label: str = ""
    unit: str = ""
    levels: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    lower: float = 0.0
    upper: float = 1.0
    step: float | None = None
    center: float = 0.0
    scale: float = 1.0
    mutable: bool = False
    private: bool = False
    source: dict[str, Origin] = field(default_factory=dict)
    measured: int = 0
    asked: tuple[tuple[str, str], ...] = ()


def few(count: int) -> str:
    """A count of records as others may see it."""
    return "fewer than 10" if 0 < count < SMALL else str(count)


def column_of(
    name: str, cells: NDArray[np.object_], decimal: str = ".", entry: Entry | None = None
) -> Column:
    """What one column looks like.

    Args:
        name: of the column.
        cells: (N,) stripped texts, "" = empty.
        decimal: the decimal sign of the file.
        entry: what a dictionary says of the column; it has the first word.
    """
    entry = entry or Entry(name)
    counts = Counter(cell for cell in cells.tolist() if cell and cell.lower() not in EMPTY)
    unit = entry.unit or unit_of(entry.label) or unit_of(name)
    origin: Origin = "dictionary" if entry.unit or unit_of(entry.label) else "guess"
    start = Column(name, label=entry.label, unit=unit, source={"unit": origin} if unit else {})
    why = entry.ignored or _no_feature(name, counts, len(cells))
    if why:
        return replace(start, ignored=why, measured=sum(counts.values()))
    found = _coded(start, counts, entry) if entry.levels else _found(start, counts, decimal, entry)
    column = _judged(found, entry)
    if not column.ignored and column.measured < SCARCE * len(cells):
        return replace(column, kind=None, ignored=f"nearly empty: {few(column.measured)} values")
    return column


def _no_feature(name: str, counts: Counter[str], records: int) -> str:
    """Why a column cannot be a feature whatever it holds, or ""."""
    if not counts:
        return "no value"
    if names_person(name):
        return "its name says that it tells who a patient is"
    known = [cell for cell in counts if cell.lower() not in MISSING_WORDS]
    if known and all(DATE.fullmatch(cell) for cell in known):
        return "dates"
    if len(known) == records >= 50 and all(cell.isdigit() for cell in known):
        return "a number of its own for every record: an identifier?"
    return ""


# --- without a word of a dictionary --------------------------------------------------------------


def _found(column: Column, counts: Counter[str], decimal: str, entry: Entry) -> Column:
    texts = {cell: number_text(cell, decimal) for cell in counts}
    numeric = {cell: text for cell, text in texts.items() if text and _is_measurable(text)}
    words = {cell for cell in texts if cell not in numeric and cell.lower() in MISSING_WORDS}
    others = [cell for cell in texts if cell not in numeric and cell not in words]
    if decimal == "," and any(POINT_NUMBER.fullmatch(cell) for cell in others):
        return replace(column, ignored="decimal points in a file of decimal commas")
    different = {float(text) for text in numeric.values()}
    codes = any(re.fullmatch("0[0-9]+", cell) for cell in numeric)
    records = sum(counts[cell] for cell in numeric)
    stray = sum(counts[cell] for cell in others)
    if entry.kind in NUMBERS and different:
        return _numbers(column, counts, numeric, [*words, *others], entry)
    if codes or (others and (len(different) <= FEW or stray > records)):
        return _texts(column, counts, words)
    return _numbers(column, counts, numeric, [*words, *others], entry)


def _is_measurable(text: str) -> bool:
    """Whether a number can be one of a clinic's: neither beyond all bounds nor next to nothing."""
    return float(text) == 0 or 1e-100 < abs(float(text)) < 1e100


def _texts(column: Column, counts: Counter[str], words: set[str]) -> Column:
    """A column of texts, or of codes that look like numbers but have leading zeros."""
    shown = _merged(counts)
    # "none" is a level beside "mild", a "-" one beside a "+"; the rest stands for nothing known.
    signs = {"+"} & set(shown)
    missing = tuple(
        cell
        for cell in sorted(words)
        if cell.lower() not in ("none", "nil") and not (cell == "-" and signs)
    )
    levels = {cell: count for cell, count in shown.items() if cell not in missing}
    measured = sum(levels.values())
    column = replace(column, missing=missing, measured=measured)
    column = _with_missing(column, counts)
    if not levels:
        return replace(column, ignored="no value")
    if len(levels) == 1:
        return replace(column, ignored="one value only")
    if len(levels) > MOST or any(len(cell) > 60 for cell in levels):
        return replace(column, ignored=f"free text: {len(levels)} different cells")
    return _levelled(column, list(levels), {}, "data")


def _merged(counts: Counter[str]) -> Counter[str]:
    """Cells that a reader takes for one, under their commonest spelling."""
    spellings: dict[str, Counter[str]] = {}
    for cell, count in counts.items():
        spellings.setdefault(same_cell(cell).lower(), Counter())[cell] += count
    return Counter(
        {
            min(found, key=lambda cell: (-found[cell], cell)): sum(found.values())
            for found in spellings.values()
        }
    )


def _levelled(
    column: Column, cells: list[str], labels: Mapping[str, str], origin: Origin
) -> Column:
    """Levels in order: that of their words or numbers; else a category."""
    kind: Kind = "binary"
    said = [labels.get(cell, cell) for cell in cells]
    order = pair(said) if len(cells) == 2 else ordered(said)
    if len(cells) > 2:
        kind = "categorical" if order is None else "ordinal"
    if order is not None:
        in_order = [cells[said.index(word)] for word in order]
    elif labels and len(cells) > 2:
        in_order = cells  # a dictionary lists them in the order of its form
    else:
        in_order = sorted(cells, key=_natural)
    source = column.source | {"kind": "guess" if kind == "ordinal" else origin, "levels": origin}
    return replace(
        column, kind=kind, levels=_distinct({c: labels.get(c, c) for c in in_order}), source=source
    )


def _natural(cell: str) -> tuple[float, str]:
    text = number_text(cell)
    return (math.inf if text is None else float(text), cell)


def _distinct(levels: dict[str, str]) -> dict[str, str]:
    """Labels that differ from each other and from the cells of other levels, whatever capitals."""
    lowered = Counter(label.lower() for label in levels.values())
    cells = {same_cell(cell).lower(): cell for cell in levels}
    return {
        cell: label
        if lowered[label.lower()] == 1 and cells.get(same_cell(label).lower(), cell) == cell
        else f"{cell}: {label}"
        for cell, label in levels.items()
    }


# --- numbers -------------------------------------------------------------------------------------


def _numbers(
    column: Column,
    counts: Counter[str],
    numeric: Mapping[str, str],
    others: list[str],
    entry: Entry,
) -> Column:
    """A column of numbers; the cells that are none are proposed as codes for "not measured"."""
    column = replace(column, missing=tuple(sorted(others)))
    column = _with_missing(column, counts)
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
    origin: Origin = "guess" if any(codes.values()) else "dictionary"
    cells = dict.fromkeys(same_cell(cell) for code in sorted(codes) for cell in spelled[code])
    missing = (*column.missing, *cells)
    return replace(
        column, missing=missing, asked=tuple(asked), source=column.source | {"missing": origin}
    )


def _with_missing(column: Column, counts: Counter[str]) -> Column:
    """What is asked about cells that are no value."""
    asked, limits, texts = list(column.asked), [], []
    for cell in column.missing:
        if LIMIT.fullmatch(cell):
            limits.append(cell)
        elif cell.lower() not in MISSING_SIGNS:
            texts.append(cell)
    if limits:
        asked.append(("censored", f"{_named(limits, counts)} in {_sum(limits, counts)} records"))
    words = [cell for cell in texts if cell.lower() in MISSING_WORDS]
    if words:
        asked.append(("words for missing", f"{', '.join(words)} in {_sum(words, counts)} records"))
    strays = [cell for cell in texts if cell.lower() not in MISSING_WORDS]
    if strays:
        asked.append(("strays", f"{_named(strays, counts)} in {_sum(strays, counts)} records"))
    if not column.missing:
        return column
    return replace(column, asked=tuple(asked), source=column.source | {"missing": "guess"})


def _named(cells: list[str], counts: Counter[str]) -> str:
    """The cells that enough records have, and how many others there are."""
    shown = [cell for cell in cells if counts[cell] >= SMALL]
    others = len(cells) - len(shown)
    rare = f"{others} rare cell{'s' if others > 1 else ''}"
    return ", ".join([*shown, rare] if others else shown)


def _sum(cells: list[str], counts: Counter[str]) -> str:
    return few(sum(counts[cell] for cell in cells))


# --- with the levels of a dictionary -------------------------------------------------------------


def _coded(column: Column, counts: Counter[str], entry: Entry) -> Column:
    """Codes or labels of a dictionary; cells that it does not name are added, or are missing."""
    known = {same_cell(cell).lower(): cell for cell in entry.levels}
    labelled = {label.lower(): cell for cell, label in entry.levels.items()}
    unknown: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for cell, count in counts.items():
        key = same_cell(cell).lower()
        level = known.get(key, labelled.get(cell.lower()))
        if level is None:
            unknown[cell] += count
        else:
            used[level] += count
    codes = {same_cell(code) for code in entry.missing}
    missing = sorted(
        cell
        for cell in unknown
        if same_cell(cell) in codes or cell.lower() in MISSING_WORDS or _is_code(cell)
    )
    more = _merged(Counter({cell: n for cell, n in unknown.items() if cell not in missing}))
    missing_labels = [
        cell for cell, label in entry.levels.items() if label.lower() in MISSING_WORDS
    ]
    column = replace(column, missing=(*missing, *missing_labels))
    column = _with_missing(column, counts)
    asked = list(column.asked)
    if missing_labels:
        names = ", ".join(f"{cell} ({entry.levels[cell]})" for cell in missing_labels)
        asked.append(("words for missing", f"{names}: a level, or not measured?"))
    if more:
        named = _named(list(more), more)
        asked.append(("levels", f"{named} in {few(more.total())} records: not in the dictionary"))
    cells = [cell for cell in entry.levels if cell not in missing_labels] + list(more)
    measured = sum(n for cell, n in used.items() if cell in cells) + more.total()
    column = replace(column, asked=tuple(asked), measured=measured)
    if len(cells) < 2 or not measured:
        return replace(column, ignored="one value only" if measured else "no value")
    labels = {cell: entry.levels[cell] for cell in cells if cell in entry.levels}
    found = _levelled(column, cells, labels, "data" if more else "dictionary")
    if len(used + more) == 1:
        return replace(found, kind=None, ignored="one value only")
    if entry.kind in ("ordinal", "categorical") and len(cells) > 2:
        source = found.source | {"kind": "dictionary"}
        return replace(found, kind=entry.kind, source=source)
    return found


def _is_code(cell: str) -> bool:
    text = number_text(cell)
    return text is not None and float(text) in BELOW_ZERO | ABOVE_ALL


# --- what only a person can know ------------------------------------------------------------------


def _judged(column: Column, entry: Entry) -> Column:
    """Whether it can be forged, and whether it is private: guesses, unless a dictionary says so."""
    if column.ignored:
        return replace(column, kind=None)
    source: dict[str, Origin] = column.source | {
        "mutable": "guess" if entry.mutable is None else "dictionary",
        "private": "guess" if entry.private is None else "dictionary",
    }
    named = f"{column.name} {entry.label}"
    mutable = column.kind in NUMBERS and not is_fixed(named)
    return replace(
        column,
        mutable=mutable if entry.mutable is None else entry.mutable,
        private=is_sensitive(named) if entry.private is None else entry.private,
        source=source,
    )
