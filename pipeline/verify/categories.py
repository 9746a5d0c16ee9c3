"""From what is proved of the numbers of every variant of a record to what holds of the record."""

import torch
from torch import Tensor

from pipeline.data.recodes import Variants
from pipeline.data.threat import Threat
from pipeline.verify.nearest import Nearest

SAME = 1e-9  # of a radius: float64 may add up a distance to a little more


def of_variants(
    x: Tensor, made: Variants, each: Nearest, threat: Threat, largest: float
) -> Nearest:
    """What holds of P records, by what holds of all their variants.

    Args:
        x: (P, D) the records.
        made: their V variants.
        each: the nearest record to each variant whose numbers alone were moved.
        threat: how the cost of a variant and the distance of its numbers add up.
        largest: radius up to which was looked.
    """
    row, limit = made.row, largest * (1 + SAME)

    def within(distance: Tensor) -> Tensor:
        together = threat.together(distance, made.cost)
        return torch.where(together <= limit, together, torch.inf)

    def least(values: Tensor) -> Tensor:
        return made.unlisted.new_full((len(x),), torch.inf).scatter_reduce_(0, row, values, "amin")

    breaks = within(each.breaks_at)
    nearest = least(breaks)
    proved = torch.minimum(least(within(each.robust_below)), made.unlisted)
    mine = ((breaks == nearest[row]) & breaks.isfinite()).nonzero()[:, 0]
    first = torch.full((len(x),), len(row)).scatter_reduce_(0, row[mine], mine, "amin")
    found = (first < len(row)).nonzero()[:, 0]
    record = x.clone()
    record[found] = each.record[first[found]]
    boxes = torch.zeros(len(x), dtype=torch.int64).scatter_add_(0, row, each.boxes)
    return Nearest(torch.minimum(proved, nearest), nearest, record, boxes)
