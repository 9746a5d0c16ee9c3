"""Split conformal prediction: sets of classes that hold the true one as often as promised.

The promise (Vovk et al. 2005; of each class by itself: Mondrian) is of records that come as those
did that it was calibrated on. An attacker's do not.
"""

import math

import numpy as np

from pipeline.statistics import Array


def p_values(calibrated: Array, score: Array) -> Array:
    """How usual a class would be for each record: the share of its own records that are as strange.

    Args:
        calibrated: (n,) how strange the records of the class were that were set aside; HIGHER =
            STRANGER.
        score: (...) how strange each record would be as one of that class.

    Returns:
        (...), in 1 / (n + 1) to 1.
    """
    ordered = np.sort(calibrated)
    as_strange = len(ordered) - np.searchsorted(ordered, score, side="left")
    return np.asarray((1 + as_strange) / (len(ordered) + 1))


def promised(n: int, alpha: float) -> float:
    """The chance that a class's set holds it, exactly, of n calibrated records without ties.

    At least 1 - alpha: a class is left out where its p-value is at most alpha.
    """
    return 1 - math.floor(alpha * (n + 1) + 1e-9) / (n + 1)
