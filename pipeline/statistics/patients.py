"""From records to patients: what is known of each record, added up or averaged over those of one.

Shapes: N records of P patients. `whose` (N,) numbers the patients from 0 in the order in which they
come; where each has one record it is 0 to N - 1, and all that is asked here is what it was.
"""

import numpy as np

from pipeline.statistics import Array

LEAST = 10  # patients of whom a figure is a mean, before it is shared


def numbered(patient: Array) -> Array:
    """(N,) int64 from 0, in the order in which patients come.

    Args:
        patient: (N,) of any kind, equal for the records of one patient.
    """
    _, first, number = np.unique(patient, return_index=True, return_inverse=True)
    return np.asarray(first.argsort().argsort()[number.reshape(-1)])


def count_of(whose: Array, where: Array | None = None) -> int:
    """How many patients there are, or how many have a record `where` (N,)."""
    return len(np.unique(whose if where is None else whose[where]))


def are_alone(whose: Array) -> bool:
    """Whether each patient has one record."""
    return not len(whose) or int(whose.max()) + 1 == len(whose)


def first_records(whose: Array) -> Array:
    """(P,) int64: of each patient the first record."""
    return np.unique(whose, return_index=True)[1]


def added(values: Array, whose: Array) -> Array:
    """(..., P): the sums over each patient's records of values (..., N)."""
    if are_alone(whose):
        return values
    order = np.argsort(whose, kind="stable")
    starts = np.searchsorted(whose[order], np.arange(int(whose.max()) + 1))
    return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1))


def averaged(values: Array, whose: Array) -> Array:
    """(..., P): the means over each patient's records of what is a number among values (..., N)."""
    if are_alone(whose):
        return values
    known = ~np.isnan(values)
    total, count = added(np.where(known, values, 0), whose), added(known.astype(float), whose)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(mean.astype(values.dtype))


def effective_number(whose: Array, weight: Array | None = None) -> float:
    """How many independent records N records of P patients are worth at the least.

    That is if all records of a patient say the same: N divided by the design effect that is the
    mean size of a patient's group as a record meets it (Kish 1965, Survey Sampling, section 5.4);
    of equally many records each it is P. It is N where each patient has one record.

    Args:
        whose: (N,) int64, the patient of each record, from 0.
        weight: (N,) by how much each record counts; None = all alike.
    """
    sizes = np.bincount(whose, weight)
    squares = np.square(sizes).sum()
    return float(sizes.sum() ** 2 / squares) if squares else 0.0
