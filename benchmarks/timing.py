"""Timing on a machine that others use too: contenders take turns.

So a slow minute hits all of them alike.
"""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Timing:
    """What one contender did.

    Attributes:
        seconds: of each repeat.
        results: what each repeat returned.
    """

    seconds: list[float]
    results: list[Any]

    @property
    def median(self) -> float:
        """The middle repeat, which one slow moment does not move."""
        return median(self.seconds)


def interleaved(contenders: Mapping[str, Callable[[int], Any]], repeats: int) -> dict[str, Timing]:
    """Runs every contender once per round, `repeats` rounds, after one round that is not counted.

    Args:
        contenders: each called with the number of the round.
        repeats: counted rounds.
    """
    names = list(contenders)
    timings = {name: Timing([], []) for name in names}
    for name in names:
        contenders[name](0)
    for repeat in range(repeats):
        # Nobody always runs in the cache that the same neighbour left behind.
        start = repeat % len(names)
        for name in names[start:] + names[:start]:
            gc.collect()
            begin = time.perf_counter()
            result = contenders[name](repeat)
            timings[name].seconds.append(time.perf_counter() - begin)
            timings[name].results.append(result)
    return timings
