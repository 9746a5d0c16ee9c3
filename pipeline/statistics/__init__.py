"""Rates, intervals, tests and privacy accounting: pure functions of arrays."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
