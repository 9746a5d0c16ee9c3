"""On whom of a cohort a model was trained elsewhere, as far as its team says."""

import numpy as np
import torch
from torch import Tensor

from pipeline.data.schema import Dataset
from pipeline.data.tabular import checked_frame
from pipeline.files import BadInput, repository_root

HELD: dict[str, Tensor] = {}  # (N,) bool that a notebook holds, by the name that a plan gives


def trained_on(dataset: Dataset, path: str | None) -> Tensor:
    """(N,) bool: the records that a file names, by their values.

    Args:
        dataset: the cohort.
        path: a CSV of records in the columns of its features, whatever else it has; None = nobody.

    Raises:
        BadInput: it cannot be read, lacks a column, or holds a record that the cohort does not.
    """
    if path is None:
        return torch.zeros(len(dataset.y), dtype=torch.bool)
    if path in HELD:
        return HELD[path]
    if dataset.schema.image:
        raise BadInput("plan.trained_on: is for records; images are told apart by their split")
    import pandas as pd

    place = repository_root() / path
    try:
        frame = pd.read_csv(place)
    except (OSError, ValueError) as error:
        raise BadInput(f"plan.trained_on: {path}: cannot be read ({error})") from error
    lacking = [name for name in dataset.schema.names if name not in frame.columns]
    if lacking:
        raise BadInput(f"plan.trained_on: {path}: lacks the columns {', '.join(lacking)}")
    wanted = checked_frame(frame, dataset.schema, path, first_line=2).astype(np.float32)
    rows = _as_bytes(wanted)
    own = _as_bytes(dataset.x.numpy())
    strangers = np.flatnonzero(~np.isin(rows, own))
    if len(strangers):
        raise BadInput(
            f"plan.trained_on: {path}: line {strangers[0] + 2}: no such record in the cohort"
            + (f", nor those of {len(strangers) - 1} other lines" if len(strangers) > 1 else "")
        )
    return torch.from_numpy(np.isin(own, rows))


def _as_bytes(x: np.ndarray) -> np.ndarray:
    """(N,) the bytes of records (N, D); a missing value is one and the same."""
    alike = np.ascontiguousarray(np.where(np.isnan(x), np.float32(np.nan), x).astype(np.float32))
    return alike.view(np.dtype((np.void, alike.dtype.itemsize * alike.shape[1])))[:, 0]
