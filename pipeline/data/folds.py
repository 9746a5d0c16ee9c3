"""The cut of a cohort into folds: stratified, and no patient on two sides."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, bincount

from pipeline.files import BadInput


def enough_for(folds: int, y: Tensor, together: Tensor | None) -> None:
    """Refuses more folds than the rarest class has records, or groups of them."""
    for label, count in enumerate(bincount(y).tolist()):
        groups = count if together is None else len(together[y == label].unique())
        if min(count, groups) < folds:
            what = "records" if count < folds else "patients, or groups of equal records,"
            raise BadInput(
                f"plan.folds: {folds} folds need at least {folds} {what} of each class, "
                f"but class {label} has {min(count, groups)}; lower plan.folds"
            )


def stratified(
    y: Tensor, folds: int, state: int, together: Tensor | None
) -> Iterator[NDArray[np.int64]]:
    """Who is held out by each fold, as indices."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    nobody = np.zeros(len(y))
    if together is None or len(together.unique()) == len(together):
        alone = StratifiedKFold(folds, shuffle=True, random_state=state)
        yield from (test for _, test in alone.split(nobody, y.numpy()))
    else:
        grouped = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
        yield from (test for _, test in grouped.split(nobody, y.numpy(), together.numpy()))
