"""How somebody else's own code is asked about records, and what is taken for an answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from pipeline.data.schema import Schema
from pipeline.files import BadInput
from pipeline.models.reading import celled, typed
from pipeline.statistics import Array

Gaps = Literal["empty", "code"]  # how a missing value is told

SHOWN = 12  # columns of a message


class Ask(Protocol):
    """A model's own code."""

    def __call__(self, frame: pd.DataFrame) -> Any:
        """(B,) probabilities of disease of B records, or those of both classes (B, 2)."""

    def save(self, folder: Path, number: int) -> str | None:
        """Keeps it in a folder, as the member of this number; where it is then, None = nowhere."""


def framed(x: Array, schema: Schema, gaps: Gaps = "empty") -> pd.DataFrame:
    """Records (B, D) float32 as a team's own code reads them from its files.

    Numbers are those that were typed (27.1, not 27.100000381), levels the file's own cells. What is
    missing is NaN, as pandas reads it; or, `code`, the first of the file's own codes, where it has
    one.
    """
    values = typed(x)
    columns: dict[str, Any] = {}
    for place, (name, feature) in enumerate(zip(schema.names, schema.features, strict=True)):
        column = values[:, place]
        code = feature.missing[0] if gaps == "code" and feature.missing else None
        if feature.levels:
            gap = np.nan if code is None else code
            columns[name] = celled(column, list(feature.levels), gap)
        elif code is not None:
            columns[name] = np.where(np.isnan(column), float(code), column)
        else:
            columns[name] = column
    return pd.DataFrame(columns)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)


def chances(ask: Callable[[pd.DataFrame], Any], frame: pd.DataFrame, what: str) -> Array:
    """(B,) float64: what a model says of the disease, checked.

    Args:
        ask: the model.
        frame: B records.
        what: it is, for the message.

    Raises:
        BadInput: it fails, or answers in another shape, or with something that is no probability.
    """
    try:
        given = ask(frame)
    except BadInput:
        raise
    except Exception as error:  # of code that is not ours, whatever it is
        kind, first = type(error).__name__, str(error).strip().split("\n", 1)[0]
        hint = "; model.gaps=code tells missing values by the file's own code" * ("NaN" in first)
        if isinstance(error, LookupError):
            hint = f"; it is given the columns {_listed(list(map(str, frame.columns)))}"
        raise BadInput(f"{what}: fails when it is asked: {kind}: {first[:200]}{hint}") from error
    said = np.asarray(given)
    if said.ndim == 2 and said.shape[1] in (1, 2):
        said = said[:, -1]
    if said.shape != (len(frame),):
        shape = " x ".join(map(str, said.shape)) or "one value"
        raise BadInput(
            f"{what}: answers {len(frame)} records with {shape}; expected one probability of "
            "disease a record, or those of both classes"
        )
    if not np.issubdtype(said.dtype, np.number) or np.iscomplexobj(said):
        answer = said.dtype.name if np.issubdtype(said.dtype, np.number) else "no numbers"
        raise BadInput(f"{what}: answers with {answer}; expected probabilities of disease")
    said = said.astype(np.float64)
    if np.isnan(said).any():
        raise BadInput(f"{what}: answers {np.isnan(said).sum()} of {len(said)} records with NaN")
    if ((said < 0) | (said > 1)).any():
        raise BadInput(
            f"{what}: answers from {said.min():.3g} to {said.max():.3g}; expected probabilities, 0 "
            "to 1: of scores take the logistic function"
        )
    return said
