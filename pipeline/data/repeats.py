"""Records that may be of one person: nearly equal ones, and equal ones of both diagnoses."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.data.schema import Dataset

Numbers = NDArray[np.uint64]


@dataclass(frozen=True)
class Repeats:
    """What a person should look at who says that each record is of somebody else.

    Attributes:
        near_equal: records that differ from a record of another patient in one value alone, a
            missing one counted as a value.
        contradictory: records that equal a record of another patient in all measurements, and not
            in the diagnosis.
    """

    near_equal: int
    contradictory: int

    @classmethod
    def of(cls, dataset: Dataset) -> "Repeats":
        """Looks at all records (N, D), in O(N D log N)."""
        if dataset.schema.image:
            return cls(0, 0)
        cells = cell_numbers(dataset.x.numpy())
        patient = dataset.patient.numpy()
        near = np.zeros(len(cells), dtype=bool)
        whole = cells.sum(1, dtype=np.uint64)
        for own in cells.T:  # sums without a column are equal where all other cells are
            near |= _differing(whole - own, own, patient)
        return cls(int(near.sum()), int(_differing(whole, dataset.y.numpy(), patient).sum()))

    @property
    def remarks(self) -> list[str]:
        """One line for each kind of thing that was found."""
        said = []
        if self.near_equal:
            said.append(
                f"{self.near_equal} records differ from another one in one value only; if they are "
                "of one patient, name the column of patients as data.group: otherwise models are "
                "tested on whom they learned from, and intervals are too narrow"
            )
        if self.contradictory:
            said.append(
                f"{self.contradictory} records equal another one in every value, but not in the "
                "diagnosis; if they are of one patient, name the column of patients as data.group"
            )
        return said


def cell_numbers(x: NDArray[np.float32 | np.float64]) -> Numbers:
    """(N, D): a 64-bit hash of each different value of each column.

    Sums of them are equal for equal rows, and for others by a chance of about 2^-64.
    """
    columns = []
    for column, values in enumerate(x.T):
        codes = pd.factorize(values, use_na_sentinel=False)[0].astype(np.uint64)
        columns.append(pd.util.hash_array(codes + np.uint64(column << 40)))
    return np.stack(columns, 1)


def _differing(
    key: Numbers, value: NDArray[np.uint64 | np.int64], patient: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(N,): who shares a key with a record of another patient that has another value."""
    shared = pd.Series(key).duplicated(keep=False).to_numpy()  # few share one
    found = np.zeros(len(key), dtype=bool)
    frame = pd.DataFrame({"key": key[shared], "value": value[shared], "patient": patient[shared]})
    of_key, of_patient, of_value, of_both = (
        frame.groupby(names)["key"].transform("size").to_numpy()
        for names in (["key"], ["key", "patient"], ["key", "value"], ["key", "value", "patient"])
    )
    found[shared] = of_key - of_patient - of_value + of_both > 0
    return found
