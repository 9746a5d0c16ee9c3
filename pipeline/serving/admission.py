"""Whether a record could stand in the clinic's file: only such a record is answered.

What is proved of an answer (`pipeline.serving.certificate`) holds between records that are both
admitted. A text in a column of numbers is refused, "120" as well, and so is a number that is none;
null means that a value was not measured.
"""

import base64
import binascii
import difflib
from collections.abc import Mapping, Sequence
from collections.abc import Set as Names
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config import FeatureConfig
from pipeline.data.checking import unmeasured
from pipeline.data.grid import off_grid
from pipeline.data.provenance import of_array
from pipeline.data.relations import Relations
from pipeline.data.schema import Schema
from pipeline.data.tabular import faults_of
from pipeline.data.values import FEW, LONG, Values, as_text, digits, shown, values_of, wrong_values

HUGE = 10**300  # a whole number beyond it is not written out
AS_SIGNED = (np.uint8, np.float64)  # of what types the arrays of a manifest may have been
Lines = list[list[str]]  # of each record, what is wrong with it


@dataclass(frozen=True)
class Admitted:
    """What was made of B records or images.

    Attributes:
        values: (B, D) float64 in clinical units, levels as their place, or (B, C, H, W) grey
            levels; NaN = missing, and everywhere where a record is refused.
        faults: of each record one line for each thing that is wrong with it, with the column, its
            value and what would be right; empty = admitted. A line may hold what a client sent: it
            is for this client alone.
    """

    values: Values
    faults: tuple[tuple[str, ...], ...]

    @property
    def good(self) -> NDArray[np.bool_]:
        """(B,) bool: which are admitted."""
        return np.array([not lines for lines in self.faults], dtype=np.bool_)


def admitted(records: Sequence[object], schema: Schema) -> Admitted:
    """Which records could stand in the clinic's file, and what is wrong with the others.

    Every column of the schema is there and no other; numbers are numbers, in their range, whole
    where they must be, on the grid on which they are recorded; levels are known; the relations of
    the data hold, and what is derived follows; something was measured. No record is judged by
    another one, and nothing that a client sends raises an error.

    Args:
        records: B mappings of column to value, as JSON gives them: a number, a level as the file
            says it or by its label, null or a code of the schema where nothing was measured.
        schema: of the records.
    """
    said: Lines = [_wrong_columns(record, schema.names) for record in records]
    whole = [row for row, lines in enumerate(said) if not lines]
    values = np.full((len(records), len(schema.names)), np.nan)
    if whole:
        cells = [[records[row][name] for row in whole] for name in schema.names]  # type: ignore[index]
        values[whole], found = _checked(cells, schema)
        for row, lines in zip(whole, found, strict=True):
            said[row] = lines
    values[[bool(lines) for lines in said]] = np.nan
    return Admitted(values, tuple(map(tuple, said)))


def _wrong_columns(record: object, names: Sequence[str]) -> list[str]:
    """What is wrong with a record before its values are looked at."""
    if not isinstance(record, Mapping):
        return [f"a record is an object of column and value, not {_kind(record)}"]
    lines = []
    absent = [name for name in names if name not in record]
    strangers = [name for name in record if name not in names]
    for name in strangers[:FEW]:
        text = name[:LONG] if isinstance(name, str) else _kind(name)
        meant = difflib.get_close_matches(text, absent, n=1, cutoff=0.5)
        hint = f"; did you mean {meant[0]!r}?" if meant else ""
        lines.append(f"column {shown(text)} is not in the schema{hint}")
    if len(strangers) > FEW:
        lines.append(f"and {len(strangers) - FEW} columns more are not in the schema")
    missing = "is missing; null says that it was not measured"
    return lines + [f"column {name!r} {missing}" for name in absent]


def _checked(cells: list[list[Any]], schema: Schema) -> tuple[Values, Lines]:
    """Values (B, D) of D columns of B cells, as recorded, and what is wrong with each record."""
    said: Lines = [[] for _ in cells[0]]
    columns = []
    for name, feature, column in zip(schema.names, schema.features, cells, strict=True):
        read, wrong = _read(column, feature)
        columns.append(read)
        for row, why in wrong.items():
            said[row].append(f"column {name!r}: {why}")
    values = np.stack(columns, 1) + 0.0  # no record holds a negative 0
    for fault in faults_of(values, schema):
        place = schema.names.index(fault.column)
        for row in fault.rows.tolist():
            (own, *_) = wrong_values(values[[row], place], fault.column, schema.features[place])
            said[row].append(f"column {fault.column!r}: {own.said}")
            values[row, place] = np.nan
    _to_the_grid(values, schema, said)
    for fault in unmeasured(values, schema):
        for row in fault.rows.tolist():
            said[row] += [] if said[row] else [fault.said]
    sound = [row for row, lines in enumerate(said) if not lines]
    if sound:
        for row, lines in zip(sound, _broken(values[sound], schema), strict=True):
            said[row] = lines
    return values, said


def _read(cells: list[Any], feature: FeatureConfig) -> tuple[Values, dict[int, str]]:
    """Cells of one column as values (B,), NaN = missing, and why some are none."""
    codes = {code for code in feature.missing if isinstance(code, str)}
    values, wrong = np.full(len(cells), np.nan), dict[int, str]()
    levels = []
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        if isinstance(cell, str):
            if feature.levels:
                levels.append(row)
            elif cell.strip() not in codes:
                wrong[row] = f"{shown(cell)} is a text; expected a number{_unit(feature)}, or null"
            continue
        value = _number(cell)
        if value is None or not np.isfinite(value):
            said = "true or false" if isinstance(cell, bool | np.bool_) else _kind(cell)
            right = "a level" if feature.levels else f"a number{_unit(feature)}"
            wrong[row] = f"{said} stands there; expected {right}, or null"
        elif feature.levels:
            levels.append(row)
        else:
            values[row] = value
    for row in levels:
        text = as_text([str(cells[row]).encode(errors="backslashreplace").decode()])
        values[[row]], faults = values_of(text, "", feature)
        if faults:
            wrong[row] = faults[0].said
    return values, wrong


def _unit(feature: FeatureConfig) -> str:
    return f" in {feature.unit}" if feature.unit else ""


def _number(cell: object) -> float | None:
    """A number of JSON or of NumPy; None = it is none."""
    if isinstance(cell, bool | np.bool_) or not isinstance(
        cell, int | float | np.integer | np.floating
    ):
        return None
    if isinstance(cell, int) and abs(cell) > HUGE:
        return np.inf
    return float(cell)


def _kind(cell: object) -> str:
    """What a value is, in words that hold nothing of a nested one."""
    value = _number(cell)
    if value is not None:
        if np.isnan(value):
            return "NaN, which is no number,"
        return "a number beyond all bounds" if np.isinf(value) else f"the number {digits(value)}"
    if isinstance(cell, str):
        return "a text"
    if isinstance(cell, Mapping):
        return "an object"
    if isinstance(cell, Sequence | np.ndarray):
        return "a list"
    return "null" if cell is None else "no number"


def _to_the_grid(values: Values, schema: Schema, said: Lines) -> None:
    """Moves values to the float64 numbers of their grid, in place; names what lies between."""
    for place, (name, feature) in enumerate(zip(schema.names, schema.features, strict=True)):
        if not feature.step or feature.levels:
            continue
        column, step = values[:, place], feature.step
        nearest = np.round(column / step) * step
        for row in np.flatnonzero(off_grid(column, step)).tolist():
            said[row].append(
                f"column {name!r}: {digits(column[row])} is not recorded so finely; expected "
                f"multiples of {digits(step)}{_unit(feature)}, such as {_written(nearest[row])}"
            )
        values[:, place] = nearest


def _written(value: float) -> str:
    """A multiple of a step without what float64 makes of it."""
    return digits(float(f"{value:.12g}"))


def _broken(values: Values, schema: Schema) -> Lines:
    """Which relations of the data records (B, D) break."""
    step = torch.tensor([one.step or 0.0 for one in schema.features], dtype=torch.float64)
    unlimited = torch.full_like(step, torch.inf)
    relations = Relations.of_schema(schema, step, (-unlimited, unlimited))
    said: Lines = [[] for _ in values]
    if relations is None:
        return said
    broken, differ = relations.exceptional(torch.from_numpy(values))
    for row, number in broken.nonzero().tolist():
        places = relations.weights[number].nonzero()[:, 0].tolist()
        given = ", ".join(f"{schema.names[at]!r} is {_written(values[row, at])}" for at in places)
        said[row].append(f"{schema.relations[number]} does not hold: column {given}")
    for row, number in differ.nonzero().tolist():
        name, text = schema.derived[number]
        value = _written(values[row, schema.names.index(name)])
        said[row].append(f"column {name!r}: {value} does not follow; expected {text}")
    return said


# ---- images ----


def admitted_images(
    images: Sequence[object], schema: Schema, *, signed: Names[str] | None = None
) -> Admitted:
    """Which images could stand among the clinic's, and what is wrong with the others.

    Args:
        images: B images: nested lists or an array of whole grey levels, (H, W) where they have one
            channel, else (C, H, W); or a text, their bytes (uint8, row by row) in base64.
        schema: of the images.
        signed: digests of scans for which a manifest vouches
            (`pipeline.data.provenance.Manifest.scans`); an image that is not among them is refused.
            None = nobody vouches.
    """
    (pixel,) = schema.features
    values = np.full((len(images), *schema.image), np.nan)
    said: Lines = []
    for row, given in enumerate(images):
        array, why = _pixels(given, schema)
        if array is not None:
            inside = (array >= pixel.lower) & (array <= pixel.upper) & (array == np.round(array))
            if not inside.all():
                why = (
                    f"{schema.names[0]}: grey level {digits(float(array[~inside][0]))}; expected "
                    f"whole numbers from {digits(pixel.lower)} to {digits(pixel.upper)}"
                )
            elif signed is not None and not _vouched(array, signed):
                why = "the scan is in no signed manifest; expected one from its source, unchanged"
            else:
                values[row] = array
        said.append([why] if why else [])
    return Admitted(values, tuple(map(tuple, said)))


def _pixels(given: object, schema: Schema) -> tuple[Values | None, str]:
    """An image (C, H, W) of numbers, or why it is none."""
    channels, *sides = schema.image
    right = f"{' x '.join(map(str, sides if channels == 1 else schema.image))} grey levels"
    if isinstance(given, str):
        try:
            stored = base64.b64decode(given.encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None, f"the text is not base64; expected the bytes of {right}"
        if len(stored) != int(np.prod(schema.image)):
            return None, f"{len(stored)} bytes; expected those of {right}, one each"
        return np.frombuffer(stored, np.uint8).reshape(schema.image).astype(np.float64), ""
    for shape in [tuple(sides), schema.image] if channels == 1 else [schema.image]:
        flat = list[float]()
        if _flattened(given, tuple(shape), flat):
            return np.array(flat).reshape(schema.image), ""
    return None, f"no image of {right}, each a finite number"


def _flattened(given: object, shape: tuple[int, ...], flat: list[float]) -> bool:
    """Whether nested lists are an array of this shape; its numbers are added to `flat`."""
    if not shape:
        value = _number(given)
        if value is None or not np.isfinite(value):
            return False
        flat.append(value)
        return True
    if isinstance(given, np.ndarray):
        given = given.tolist() if given.shape == shape else None
    if not isinstance(given, list | tuple) or len(given) != shape[0]:
        return False
    return all(_flattened(part, shape[1:], flat) for part in given)


def _vouched(image: Values, signed: Names[str]) -> bool:
    """Whether the digest of an image (C, H, W), in any layout that a source signs, is known."""
    layouts = [image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1), image]
    return any(of_array(one.astype(kind)) in signed for one in layouts for kind in AS_SIGNED)
