"""What every attack did to every patient, a row each, in an order that everybody relies on."""

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from pipeline.files import BadInput
from pipeline.models.out_of_fold import OutOfFold

ROWS = "rows.parquet"


def rows_of(
    folds: OutOfFold, named: dict[str, str], margins: Tensor, changed: Tensor, y: Tensor
) -> pd.DataFrame:
    """Rows of one attack in the order radius, repetition, patient.

    Args:
        folds: E radii, S repetitions, and the N patients that are scored.
        named: columns of one value.
        margins: (E, S, N) of the true class.
        changed: (E, S, N), how many values of the record differ.
        y: class indices of all patients, scored or not.
    """
    radii, repetitions, patients = margins.shape
    nothing = np.zeros(margins.numel(), np.int8)
    model = folds.model_of[:, folds.patients].expand(radii, -1, -1).flatten().numpy()
    return pd.DataFrame(
        {
            **{
                column: pd.Categorical.from_codes(nothing, pd.Index([value]))
                for column, value in named.items()
            },
            "eps": np.repeat(folds.eps, repetitions * patients),
            "repetition": np.tile(
                np.repeat(np.arange(repetitions, dtype=np.int16), patients), radii
            ),
            "patient": np.tile(folds.patients.numpy().astype(np.int32), radii * repetitions),
            "model": pd.Categorical.from_codes(model, pd.Index(folds.plan.labels)),
            "y": np.tile(y[folds.patients].numpy().astype(np.int8), radii * repetitions),
            "margin": margins.float().flatten().numpy(),
            "broken": (margins <= 0).flatten().numpy(),
            "changed": changed.flatten().numpy().astype(np.int16),
        }
    )


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows, with every column of few values as a category, in the order of first appearance."""
    for column in [
        name for name, kind in frames[0].dtypes.items() if isinstance(kind, pd.CategoricalDtype)
    ]:
        values = list(
            dict.fromkeys(value for frame in frames for value in frame[column].cat.categories)
        )
        for frame in frames:
            frame[column] = frame[column].cat.set_categories(values)
    return pd.concat(frames, ignore_index=True)


def load_rows(folder: Path) -> pd.DataFrame:
    """Reads `rows.parquet`.

    Raises:
        BadInput: the file is missing or damaged.
    """
    try:
        rows = pd.read_parquet(folder / ROWS)
        if not isinstance(rows["threat"].dtype, pd.CategoricalDtype):
            raise ValueError("its threats are no categories")
        return rows
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{folder / ROWS}: cannot be read ({error}); run `dvc repro` to make it"
        ) from error
