"""From the trees of a file to a population, its columns found in a record's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.files import BadInput
from pipeline.models.reading.asking import ELSEWHERE, NO_LEVELS, Cells, Levels, places
from pipeline.models.reading.scikit import Grown
from pipeline.models.reading.sets import on_levels
from pipeline.models.trees import Tree, Trees
from pipeline.statistics import Array

READ = "read"  # label of the one member
REFUSES = {"XGBoost": True}  # who refuses a category that it was not trained on; others: missing


def assembled(
    path: Path,
    kind: str,
    found: Grown,
    names: Sequence[str],
    width: int,
    inputs: Sequence[str],
    levels: Levels = NO_LEVELS,
) -> Trees:
    """The population of one member that a file of `width` columns holds.

    Args:
        path: the file, for messages.
        kind: of which library.
        found: its trees, which ask about its own columns.
        names: of its columns; none where it has none, then the record's are taken by position.
        width: how many columns it has.
        inputs: names of the D columns of a record.
        levels: of columns of a record whose values are places of levels, the file's cells.

    Raises:
        BadInput: a tree asks about a column that records lack, or counts differ; or it was trained
            on other levels.
    """
    if names and len(names) != width:
        raise BadInput(f"{path}: names {len(names)} columns where there are {width}; damaged")
    if not names and width != len(inputs):
        raise BadInput(
            f"{path}: takes {width} columns without names, and the records have {len(inputs)}"
        )
    used = np.zeros(width, bool)
    for tree in found.trees:
        used[tree.feature[tree.left != np.arange(len(tree.left))]] = True
    try:
        place = places(names, inputs, used.tolist()) if names else np.arange(width)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    held = _held(path, kind, found, np.where(used, place, ELSEWHERE), inputs, levels)
    found = found._replace(trees=on_levels(found.trees, held))
    return population(kind, found, place, len(inputs), ("0", "1"))


def _held(
    path: Path, kind: str, found: Grown, place: Array, inputs: Sequence[str], levels: Levels
) -> dict[int, Array]:
    """Of columns that are levels of a record, (K + 1,) what the file has of each, and of none."""
    held = {}
    for column, at in enumerate(place.tolist()):
        known = found.categories[column] if found.categories else ()
        if at == ELSEWHERE or not (known or at in levels):
            continue
        if at not in levels:
            raise BadInput(
                f"{path}: column {inputs[at]!r}: was trained on categories, and the schema names "
                "no levels of it"
            )
        try:
            values = coded(np.array(levels[at], dtype=object), known)
        except ValueError as error:
            raise BadInput(
                f"{path}: column {inputs[at]!r}: was trained on numbers, and its levels are texts"
            ) from error
        if REFUSES.get(kind) and np.isnan(values).any():
            cell = levels[at][int(np.isnan(values).argmax())]
            raise BadInput(
                f"{path}: column {inputs[at]!r}: was not trained on level {cell!r}, which {kind} "
                "refuses"
            )
        held[column] = np.append(values, np.nan)
    return held


def told(values: Any, where: str) -> Cells:
    """The categories of a column as a file holds them.

    Raises:
        BadInput: they are no list of numbers and texts.
    """
    if not isinstance(values, list) or not all(
        isinstance(one, str | int | float) for one in values
    ):
        raise BadInput(f"{where}: categories: no list of numbers and texts; damaged")
    return tuple(values)


def coded(cells: Array, categories: Cells) -> Array:
    """The places of cells (R,) among categories, NaN = not among them; numbers without any."""
    if not categories:
        return cells.astype(np.float64)
    place = {cell: float(at) for at, cell in enumerate(categories)}
    return np.array([place.get(cell, np.nan) for cell in cells.tolist()])


def population(
    kind: str, found: Grown, place: Array, features: int, classes: Sequence[str]
) -> Trees:
    """The population of one member whose columns stand at these places (W,) of a record."""
    trees = [_placed(tree, np.where(place == ELSEWHERE, 0, place)) for tree in found.trees]
    read = Trees.of(
        kind, [trees], (READ,), features=features, link=found.link, base=[found.base]
    ).decide_at(torch.tensor([found.cut]))
    read.facts.update(read_of=kind, classes=list(classes))
    return read


def _placed(tree: Tree, place: Array) -> Tree:
    """A tree that asks about the record's columns."""
    leaf = tree.left == np.arange(len(tree.left))
    return tree._replace(feature=np.where(leaf, 0, place[np.where(leaf, 0, tree.feature)]))
