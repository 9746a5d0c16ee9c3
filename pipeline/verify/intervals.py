"""Where a formula and its slopes can lie over boxes: interval arithmetic, rounded outward.

Each operation widens its result by one unit in the last place or more, so that what float64 makes
of the same formula at any point of a box lies inside as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

POWER_ROUNDING = 2.0**-48  # relative; libraries do not promise the last places of a power


@dataclass(frozen=True)
class Interval:
    """Everything between `low` and `high`, both (B,) float64; infinite = no limit."""

    low: Tensor
    high: Tensor

    @classmethod
    def outward(cls, low: Tensor, high: Tensor) -> "Interval":
        """An interval that rounding has not made too small; all numbers where it is undefined."""
        low, high = low.nan_to_num(-torch.inf, torch.inf), high.nan_to_num(torch.inf, torch.inf)
        inf = torch.full_like(low, torch.inf)
        return cls(torch.nextafter(low, -inf), torch.nextafter(high, inf))

    def __add__(self, other: "Interval | float") -> "Interval":
        other = _interval(other, self)
        return Interval.outward(self.low + other.low, self.high + other.high)

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def __mul__(self, other: "Interval | float") -> "Interval":
        other = _interval(other, self)
        ends = [one * two for one in (self.low, self.high) for two in (other.low, other.high)]
        products = torch.stack(ends)
        undefined = products.isnan().any(0)  # nothing times without limit
        low, high = products.nan_to_num().amin(0), products.nan_to_num().amax(0)
        return Interval.outward(
            torch.where(undefined, -torch.inf, low), torch.where(undefined, torch.inf, high)
        )

    def inverse(self) -> "Interval":
        """Of 1 / x; all numbers where 0 is among them."""
        free = (self.low > 0) | (self.high < 0)
        low, high = (
            torch.where(free, 1 / self.high, -torch.inf),
            torch.where(free, 1 / self.low, torch.inf),
        )
        return Interval.outward(low, high)

    def power(self, exponent: float) -> "Interval":
        """Of x ** exponent; all numbers where that has no value, or none without limit."""
        if exponent == 0:
            return Interval(torch.ones_like(self.low), torch.ones_like(self.high))
        if exponent < 0:
            return self.power(-exponent).inverse()
        ends = torch.stack([self.low**exponent, self.high**exponent])
        low, high = ends.amin(0), ends.amax(0)
        if exponent % 2 == 0:
            low = torch.where((self.low <= 0) & (self.high >= 0), 0.0, low)
        elif exponent % 1:  # of what lies below 0 there is none
            low, high = (torch.where(self.low < 0, torch.nan, end) for end in (low, high))
        spare = POWER_ROUNDING * torch.maximum(low.abs(), high.abs())
        return Interval.outward(low - spare, high + spare)


def _interval(value: "Interval | float", like: Interval) -> Interval:
    if isinstance(value, Interval):
        return value
    point = torch.full_like(like.low, value)
    return Interval(point, point)


@dataclass(frozen=True)
class Enclosure:
    """Where the value of a formula lies, and its slope in each variable by name."""

    value: Interval
    slopes: Mapping[str, Interval]

    @classmethod
    def of(cls, name: str, low: Tensor, high: Tensor) -> "Enclosure":
        """A variable between `low` and `high`."""
        one = torch.ones_like(low)
        return cls(Interval(low, high), {name: Interval(one, one)})

    def __add__(self, other: "Enclosure | float") -> "Enclosure":
        if not isinstance(other, Enclosure):
            return Enclosure(self.value + other, self.slopes)
        slopes = dict(self.slopes)
        for name, slope in other.slopes.items():
            slopes[name] = slopes[name] + slope if name in slopes else slope
        return Enclosure(self.value + other.value, slopes)

    def __neg__(self) -> "Enclosure":
        return Enclosure(-self.value, {name: -slope for name, slope in self.slopes.items()})

    def __mul__(self, other: "Enclosure | float") -> "Enclosure":
        if not isinstance(other, Enclosure):
            return Enclosure(self.value * other, self._steeper(other))
        left = Enclosure(self.value, self._steeper(other.value))
        right = Enclosure(other.value, other._steeper(self.value))
        return Enclosure(self.value * other.value, (left + right).slopes)

    def inverse(self) -> "Enclosure":
        """Of 1 / x."""
        value = self.value.inverse()
        return Enclosure(value, self._steeper(-value.power(2)))

    def __pow__(self, exponent: float) -> "Enclosure":
        if exponent == 1:
            return self
        slope = self.value.power(exponent - 1) * exponent
        return Enclosure(self.value.power(exponent), self._steeper(slope))

    def __sub__(self, other: "Enclosure | float") -> "Enclosure":
        return self + (-other)

    def __rsub__(self, other: float) -> "Enclosure":
        return -self + other

    def __truediv__(self, other: "Enclosure | float") -> "Enclosure":
        return self * (other.inverse() if isinstance(other, Enclosure) else 1 / other)

    def __rtruediv__(self, other: float) -> "Enclosure":
        return self.inverse() * other

    __radd__, __rmul__ = __add__, __mul__

    def _steeper(self, factor: "Interval | float") -> dict[str, Interval]:
        return {name: slope * factor for name, slope in self.slopes.items()}
