"""Which cells of the target mean ill."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.cohort.dictionary import Entry
from pipeline.cohort.measured import FEW
from pipeline.cohort.proposed import EMPTY
from pipeline.cohort.words import pair
from pipeline.config import same_cell
from pipeline.files import BadInput
from pipeline.presentation.numbers import SMALL
from pipeline.validation import nearest

# Cells that answer a question, but do not name a class.
NO_NAMES = frozenset(("yes", "no", "y", "n", "true", "false", "t", "f", "b", "m", "+", "-")) | {
    str(number) for number in range(-9, 10)
}


@dataclass(frozen=True)
class Outcome:
    """How the cells of a target are read.

    Attributes:
        classes: (healthy, ill).
        outcomes: cell -> class.
        ill: (N,) bool; False where a cell is empty.
        guessed: nobody said which cells mean ill.
    """

    classes: tuple[str, str]
    outcomes: dict[str, str]
    ill: NDArray[np.bool_]
    guessed: bool


def outcome_of(
    cells: NDArray[np.object_], target: str, positive: Sequence[str], entry: Entry, name: str
) -> Outcome:
    """Which cells mean ill: those that were named, else the second of a well-known pair.

    Args:
        cells: (N,) of the target, stripped.
        target: its column.
        positive: cells or labels that mean ill; empty = not said.
        entry: what a dictionary says of the target.
        name: of the file, for messages.

    Raises:
        BadInput: nobody can say which cells mean ill, or the column is no outcome.
    """
    where = f"{name}: column {target!r}"
    counts = Counter(
        same_cell(cell) for cell in cells.tolist() if cell and cell.lower() not in EMPTY
    )
    found = sorted(counts, key=lambda cell: (cell not in entry.levels, cell))
    if len(found) < 2:
        raise BadInput(f"{where}: {_said(found, counts, entry)}; an outcome has two kinds of cells")
    if len(found) > 20:
        raise BadInput(
            f"{where}: {len(found)} different cells; an outcome has two kinds of them, or a few of "
            "which --positive names those that mean ill"
        )
    labels = [_label(cell, entry) for cell in found]
    known = pair(found) or pair(labels)
    there = [found[(found if one in found else labels).index(one)] for one in known or ()]
    if positive:
        ill = _ill(positive, found, entry, f"--positive: column {target!r}")
        if len(ill) == len(found):
            raise BadInput(f"--positive: every cell of column {target!r} would mean ill")
    else:
        if known is None:
            raise BadInput(
                f"{where}: {_said(found, counts, entry)}; say which mean ill by --positive"
                f"{', several by commas between them' if len(found) > 2 else ''}"
            )
        ill = {there[1]}
    healthy = [cell for cell in found if cell not in ill]
    names = (f"no {target}", target)
    if ill == {*there[:1]}:  # the target says what is well: repaid, and not default
        names = (target, f"no {target}")
    classes = (
        _class(healthy, entry, names[0]),
        _class([cell for cell in found if cell in ill], entry, names[1]),
    )
    if classes[0].lower() == classes[1].lower():
        classes = names
    outcomes = {cell: classes[cell in ill] for cell in [*healthy, *sorted(ill)]}
    is_ill = np.array([same_cell(cell) in ill for cell in cells.tolist()])
    return Outcome(classes, outcomes, is_ill, not positive)


def _ill(positive: Sequence[str], found: list[str], entry: Entry, where: str) -> set[str]:
    """The cells that the words of the command line mean: themselves, or those of these labels.

    A word that is no cell may be several, with commas between them.
    """
    known = {_label(cell, entry).lower(): cell for cell in found}
    known |= {cell.lower(): cell for cell in found}
    ill = set()
    for word in positive:
        whole = same_cell(word).lower()
        for part in [whole] if whole in known else word.split(","):
            cell = known.get(same_cell(part).lower())
            if cell is None:
                raise BadInput(
                    f"{where}: {part.strip()!r} is none of its cells; {nearest(part, found)}"
                )
            ill.add(cell)
    return ill


def _label(cell: str, entry: Entry) -> str:
    labels = {same_cell(code): label for code, label in entry.levels.items()}
    return labels.get(cell, cell)


def _class(cells: list[str], entry: Entry, otherwise: str) -> str:
    """The name of a class: that of its one cell where this is a word, else the given one."""
    label = _label(cells[0], entry)
    if len(cells) > 1 or label.lower() in NO_NAMES:
        return otherwise
    return label


def _said(found: list[str], counts: Counter[str], entry: Entry) -> str:
    """The cells for a message; of many, how many there are. Rare ones are not named."""
    if not found:
        return "no cell holds anything"
    shown = [cell for cell in found if counts[cell] >= SMALL or cell in entry.levels]
    named = ", ".join(
        repr(cell) if _label(cell, entry) == cell else f"{cell!r} ({_label(cell, entry)})"
        for cell in shown[:FEW]
    )
    rest = len(found) - len(shown[:FEW])
    if not named:
        named, rest = ", ".join(map(repr, found[:FEW])), max(len(found) - FEW, 0)
    return f"holds {named}{f' and {rest} others' if rest else ''}"
