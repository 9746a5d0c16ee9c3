"""Values that do not lie on the grid that a schema states, and the grid that would hold them."""

import numpy as np

from pipeline.statistics import Array

TOLERANCE = 1e-6  # of a step, for decimals as they were typed
ROUNDING = 1e-9  # of a value, in float64
# of a step: float32 clinical values lie this close to the grid they were written on
TICK_TOLERANCE = 1e-4
PARTS = (2, 4, 5, 10, 20, 25, 50, 100, 1000, 10_000, 100_000, 1_000_000)


def off_grid(values: Array, step: float) -> Array:
    """Which values lie between the steps.

    Args:
        values: (N,) float64 in clinical units, as typed; NaN = missing.
        step: of the grid, above 0; its multiples are the grid.

    Returns:
        (N,) bool, False where a value is missing.
    """
    ticks = values / step
    allowed = TOLERANCE + ROUNDING * np.abs(np.nan_to_num(ticks))
    return np.asarray(np.abs(ticks - np.round(ticks)) > allowed)


def finer_step(values: Array, step: float) -> float | None:
    """The coarsest grid of a whole number of parts of `step` that holds every value.

    Args:
        values: (N,) in clinical units, NaN = missing.
        step: the grid that was stated, above 0; it comes back where it fits already.

    Returns:
        a step that divides it; None where no grid of at most a millionth part does.
    """
    for parts in (1, *PARTS):
        finer = float(f"{step / parts:.12g}")
        if not off_grid(values, finer).any():
            return finer
    return None
