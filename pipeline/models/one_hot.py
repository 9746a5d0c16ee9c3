"""Categories as inputs of a network: one column for each level, behind those of the record.

A record keeps a category as the place of its level. That number never reaches a weight: its column
is scaled by infinity, so that the first layer receives 0 there. What counts are the columns behind
the record's D: 1 where the record holds the level, 0 where it holds another, NaN where it is
missing, to be imputed as any other value.
"""

import torch
from torch import Tensor

HOT = "hot"  # among the constants of a preprocessing: (M, H, 2), feature and level of each column


def extended(x: Tensor, hot: Tensor) -> Tensor:
    """Records (..., D) with a column for each level behind: (..., D + H).

    Args:
        x: D values; categories as the place of their level, NaN = missing.
        hot: (H, 2) feature and level of each column; also of another type than int64.
    """
    if not len(hot):
        return x
    feature, level = hot.unbind(-1)
    values = x[..., feature.long()]
    held = (values == level.to(x.dtype)).to(x.dtype)
    return torch.cat([x, torch.where(values.isnan(), values, held)], -1)
