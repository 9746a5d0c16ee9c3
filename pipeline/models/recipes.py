"""Models that are kept as their recipe: who opens them fits them again, from the same records.

What a team's own code fits may hold patients (neighbours, support vectors), or be of a type that is
not opened safely. Of such a model the file says who made it, of which rows, with which seed, and
what it said of records of nobody; it holds no record.
"""

import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import pandas as pd
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.files import BadInput
from pipeline.models.questions import Ask

ENDING = ".recipe.safetensors"
MEMBER = "member-{:03d}" + ENDING

_numbers = count()
_live: "WeakValueDictionary[tuple[int, int], Refittable]" = WeakValueDictionary()


@dataclass(frozen=True)
class Recipe:
    """How a model is fitted again, and told from another.

    Attributes:
        made_by: the name of the recipe and its options, as `model` has them.
        seed: of the model.
        rows: (R,) int64, the records of the data set that it is fitted on.
        records: the digest of the data set.
        said: (P,) float64, the probabilities that it gave records of nobody.
    """

    made_by: dict[str, Any]
    seed: int
    rows: Tensor
    records: str
    said: Tensor

    @classmethod
    def load(cls, path: Path) -> "Recipe":
        """Reads what `Refittable.save` wrote.

        Raises:
            BadInput: the file is missing or damaged.
        """
        return read_artifact(path, cls, what="a recipe", advice="train again")


class Refittable:
    """A model that was fitted here, beside its recipe; to processes of this one it goes by number.

    What a team's own code returns need not go through pickle: a forked process has it already.
    """

    def __init__(self, ask: Ask, recipe: Recipe | None) -> None:
        """Takes the model, and how it is fitted again; None = in this process alone."""
        self.ask, self.recipe = ask, recipe
        self._token = (os.getpid(), next(_numbers))
        _live[self._token] = self

    def __reduce__(self) -> Any:
        """A number, by which a process that was forked since finds it."""
        return _found, (self._token,)

    def __call__(self, frame: pd.DataFrame) -> Any:
        """(B,) probabilities of disease."""
        return self.ask(frame)

    def save(self, folder: Path, number: int) -> str | None:
        """Keeps the model where it can be opened safely, else the recipe."""
        try:
            name = self.ask.save(folder, number)
        except BadInput:
            if self.recipe is None:
                raise
            name = None
        if name is None and self.recipe is not None:
            name = MEMBER.format(number)
            write_artifact(folder / name, self.recipe)
        return name


def _found(token: tuple[int, int]) -> Refittable:
    if token not in _live:
        raise BadInput("model: was fitted in another process, and is not copied between processes")
    return _live[token]
