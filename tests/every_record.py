"""What is proved of records, against trying every record that could be presented instead."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import mixed
from pipeline.data.threat import Threat
from pipeline.models.answers import margin
from pipeline.models.networks import Networks
from pipeline.models.trees import Trees
from pipeline.verify import member_of, verify
from pipeline.verify.cells import Ensemble
from pipeline.verify.least import least_margins
from pipeline.verify.nearest import RESOLUTION
from pipeline.verify.network import Network
from pipeline.verify.prune import pruned
from pipeline.verify.quick import quickly_proved
from pipeline.verify.trees import fewer_changes

Everything = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Tried:
    """One model, records (P, D), whom it calls what (P,), a threat; and of each record all others.

    `made` holds of each record the distances (K,) and leads (K,) of all that could be presented.
    """

    models: Networks | Trees
    x: Tensor
    y: Tensor
    limits: Threat
    made: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(
        cls, models: Networks | Trees, x: Tensor, limits: Threat, everything: Everything
    ) -> "Tried":
        """Tries what `everything` makes of a record: values (K, D) and changes (K, D)."""
        y, made = models.double()(x[None].double())[0].argmax(-1), []
        for row, record in enumerate(x):
            tried, changes = everything(record)
            lead = margin(models.double()(tried[None].double()), y[row].expand(1, len(tried)))[0]
            made.append((mixed.distance(changes, limits.norm), lead))
        return cls(models, x, y, limits, made)

    @property
    def network(self) -> Network | Ensemble:
        return member_of(self.models, 0)

    @property
    def tolerance(self) -> float:
        """Of a distance: the shortest way through trees is known to a last interval."""
        halved = isinstance(self.models, Trees) and self.limits.norm == "l2"
        return 2 * RESOLUTION if halved else 1e-6

    def nearest(self, row: int) -> float:
        """How far the nearest record is that changes the answer to one; inf = none does."""
        distance, lead = self.made[row]
        broken = distance[lead <= 0]
        return float(broken.min()) if len(broken) else torch.inf

    def least(self, row: int, eps: float) -> float:
        """The least lead within a radius."""
        distance, lead = self.made[row]
        return float(lead[distance <= eps + 1e-9].min())


def check_verifier(case: Tried, *, largest: float, budget: int, least: int) -> None:
    """Nearest records are those of brute force, inside the threat, and stay so when pruned.

    More than `least` records are broken, and not all.
    """
    network, x, y, limits = case.network, case.x, case.y, case.limits
    found = verify(network, x, y, limits, largest=largest, budget=budget)
    for row in range(len(x)):
        nearest = case.nearest(row)
        wanted = nearest if nearest <= largest + 1e-9 else torch.inf
        assert found.breaks_at[row] == pytest.approx(wanted, abs=case.tolerance), row
        assert found.robust_below[row] == pytest.approx(wanted, abs=case.tolerance), row
    broken = found.breaks_at.isfinite()
    assert least < int(broken.sum()) < len(x)
    torch.testing.assert_close(
        limits.distance(found.record[broken], x[broken]), found.breaks_at[broken]
    )
    radius = found.breaks_at[broken, None] + 1e-6
    if isinstance(network, Ensemble):
        fewer = fewer_changes(network, x, y, found).record
    else:
        fewer = pruned(network, x, (y, 1 - y), limits, found, budget=500).record
    for record in (found.record, fewer):
        assert limits.violations(record[broken], x[broken], radius) == 0
        own = margin(case.models.double()(record[None].double()), y[None])[0]
        assert torch.equal(own <= 0, broken)


def check_least(case: Tried, eps: float, *, budget: int) -> Tensor:
    """Least leads are those of brute force. Returns whom the quick bound proves, (P,)."""
    bound = least_margins(case.network, case.x, case.y, case.limits, eps, budget=budget)
    quick = quickly_proved(case.models, case.x[None], case.y[None], case.limits, eps)[0]
    for row in range(len(case.x)):
        least = case.least(row, eps)
        assert least - 1e-3 <= float(bound[row]) <= least + 1e-9, row
        assert not (quick[row] and least <= 0), row
    return quick
