"""Logistic regression by Newton's method, to the last bit a function of its records."""

import numpy as np

from pipeline.statistics import Array
from pipeline.statistics.operating_point import logistic

STEPS = 12  # of Newton's method; always all of them, so that nobody waits for another


def logistic_regression(inputs: Array, y: Array, ridge: float | Array) -> Array:
    """Coefficients by Newton's method from 0, where they stay without a record.

    Args:
        inputs: (n, D + 1), standardised, the last column 1.
        y: (n,) 0 or 1.
        ridge: penalty on half the squared coefficients: one for all, the intercept's too, for there
            may be records of one class alone; or (D + 1,).

    Returns:
        (D + 1,) float64, a function of the arguments alone, whatever else is computed beside.
    """
    beta = np.zeros(inputs.shape[1])
    penalty = np.broadcast_to(ridge, beta.shape)
    for _ in range(STEPS):
        chance = logistic(inputs @ beta)
        slope = inputs.T @ (y - chance) - penalty * beta
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        beta = beta + np.linalg.solve(curvature + np.diag(penalty), slope)
    return beta
