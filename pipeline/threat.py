"""What an attacker may do to a record, as data: five tensors, one entry per feature."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.config import FeatureConfig, Norm, ThreatConfig

TICK_TOLERANCE = 1e-4  # of a step: float32 clinical values lie this close to the grid they were written on


@dataclass(frozen=True)
class Threat:
    """An L-infinity threat model in clinical units.

    Attributes:
        mutable: (D,) bool, what the attacker may change at all.
        lower: (D,) float64, the least plausible value; -inf = no limit.
        upper: (D,) float64, the largest plausible value; inf = no limit.
        step: (D,) float64, the resolution at which the clinic records the feature; 0 = any value.
        scale: (D,) float64, the change that `eps = 1` allows.
    """

    mutable: Tensor
    lower: Tensor
    upper: Tensor
    step: Tensor
    scale: Tensor
    norm: Norm = "linf"

    @classmethod
    def of(cls, features: tuple[FeatureConfig, ...], cfg: ThreatConfig) -> "Threat":
        """The threat that `cfg` describes on a schema's features."""

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64)

        bounded, grid = cfg.plausible_range, cfg.recorded_grid
        return cls(
            mutable=torch.tensor([f.mutable or not cfg.mutable_only for f in features]),
            lower=column([f.lower if bounded else -torch.inf for f in features]),
            upper=column([f.upper if bounded else torch.inf for f in features]),
            step=column([(f.step or 0.0) if grid else 0.0 for f in features]),
            scale=column([f.scale for f in features]),
        )

    @property
    def recorded(self) -> bool:
        """Whether any feature is held to the clinic's grid."""
        return bool((self.step > 0).any())

    def box(self, x: Tensor, eps: float | Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest record the attacker can reach, both on the clinic's grid.

        Args:
            x: records (..., B, D) in clinical units; NaN = missing.
            eps: radius in units of `scale`; a float, or a tensor that broadcasts over (..., B, D).

        Returns:
            lower and upper corner, float64, of the shape that x and eps broadcast to. Immutable values
            are points. Missing values stay NaN.
        """
        x = x.double()
        low, high = self._ball(x, eps)
        if not self.recorded:
            return low, high
        step = torch.where(self.step > 0, self.step, 1.0)
        low_on_grid = torch.ceil(low / step - TICK_TOLERANCE) * step
        high_on_grid = torch.floor(high / step + TICK_TOLERANCE) * step
        # A value that itself lies off the grid, with no grid point in reach, cannot be changed.
        free = (low < high) & (low_on_grid <= high_on_grid)
        gridded = self.step > 0
        low = torch.where(gridded, torch.where(free, low_on_grid, x), low)
        high = torch.where(gridded, torch.where(free, high_on_grid, x), high)
        return low, high

    def _ball(self, x: Tensor, eps: float | Tensor) -> tuple[Tensor, Tensor]:
        """Both corners of what is in reach, whatever the grid, of the type of x."""
        reach = torch.where(self.mutable, self.scale, 0.0).to(x.dtype) * eps
        low = torch.maximum(x - reach, torch.minimum(self.lower.to(x.dtype), x))
        high = torch.minimum(x + reach, torch.maximum(self.upper.to(x.dtype), x))
        return low, high

    def project(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
        """The nearest record to `x_adv` that the attacker may present instead of `x`.

        Args:
            x_adv: proposed records, of the shape that x and eps broadcast to.
            x: true records (..., B, D).
            eps: as for `box`.

        Returns:
            records like `x_adv`; a value that the attacker leaves alone equals that of x bit for bit.
        """
        if not self.recorded:  # without a grid to hit, the precision of the record itself is enough
            low, high = self._ball(x, eps)
            return torch.where(x.isnan(), x, torch.clamp(x_adv, low, high))
        low, high = self.box(x, eps)
        inside = torch.clamp(x_adv.double(), low, high)
        step = torch.where(self.step > 0, self.step, 1.0)
        inside = torch.where((self.step > 0) & (low < high), torch.round(inside / step) * step, inside)
        # The nearest grid point of a recorded value is that value: take its own bits, not a rounding of them.
        unchanged = (inside - x.double()).abs() <= TICK_TOLERANCE * self.step
        # A value recorded off the grid may stay as it is, although no other value there may be presented.
        unchanged |= (x_adv.double() - x.double()).abs() <= (x_adv.double() - inside).abs()
        return torch.where(unchanged | x.isnan(), x.double(), inside).to(x.dtype)

    def violations(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> int:
        """How many values of `x_adv` break this threat model; recomputed from the definition, not from `box`."""
        x, x_adv = x.double(), x_adv.double()
        x, x_adv = torch.broadcast_tensors(x, x_adv)
        missing = x.isnan()
        slack = 1e-5 * self.scale + 1e-6 * x.nan_to_num().abs()  # float32 rounding of the record itself
        change = (x_adv - x).abs()
        outside_ball = change > self.scale * eps + slack
        forbidden = ~self.mutable & (change != 0)
        outside_range = (change != 0) & ((x_adv < self.lower - slack) | (x_adv > self.upper + slack))
        step = torch.where(self.step > 0, self.step, 1.0)
        off_grid = (self.step > 0) & (change != 0)
        off_grid &= (x_adv - torch.round(x_adv / step) * step).abs() > 10 * TICK_TOLERANCE * step + 1e-7 * x_adv.abs()
        broken = (outside_ball | forbidden | outside_range | off_grid) & ~missing
        return int((broken | (missing != x_adv.isnan())).sum())
