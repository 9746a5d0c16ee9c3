"""How a server makes one set of weights of those that hospitals send: pure functions.

All but the mean count hospitals and not records: whoever lies about how many records he has gains
nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.files import BadInput
from pipeline.validation import check_names


class Exchange(NamedTuple):
    """What a server knows of one round.

    Attributes:
        number: of the round, from 0.
        parameters: (M, P) float32, the global weights that it sent out.
        updates: (K, M, P) float32, what it got back: weights, as each hospital would set them.
        records: (K, M) float32, of how many records; 0 = this hospital trains nothing for this
            member.
    """

    number: int
    parameters: Tensor
    updates: Tensor
    records: Tensor


Aggregate = Callable[[Exchange], Tensor]


class Aggregator(NamedTuple):
    """A rule.

    Attributes:
        run: maps updates (K, M, P) float64 of which none is missing, records (K, M) and how many
            may be malicious to (M, P).
        least: of so many that may be malicious, how few hospitals it can be of.
    """

    run: Callable[[Tensor, Tensor, int], Tensor]
    least: Callable[[int], int]


def mean_of_records(updates: Tensor, records: Tensor, tolerated: int) -> Tensor:
    """The mean, each hospital with as many votes as records (FedAvg).

    Args:
        updates: (K, M, P).
        records: (K, M).
        tolerated: not read; one hospital moves it as far as it likes.
    """
    share = records / records.sum(0)
    return (updates * share[..., None]).sum(0)


def median_of_hospitals(updates: Tensor, records: Tensor, tolerated: int) -> Tensor:
    """The median of each weight (Yin et al. 2018, arXiv:1803.01498); the middle of an even count.

    Args:
        updates: (K, M, P).
        records: not read.
        tolerated: not read; it stands a minority.
    """
    ordered, half = updates.sort(0).values, (len(updates) - 1) // 2
    return ordered[half : len(updates) - half].mean(0)


def trimmed(updates: Tensor, records: Tensor, tolerated: int) -> Tensor:
    """The mean of each weight without the largest and the smallest (Yin et al. 2018).

    Args:
        updates: (K, M, P).
        records: not read.
        tolerated: how many are left out at either end.
    """
    return updates.sort(0).values[tolerated : len(updates) - tolerated].mean(0)


def krum_scores(updates: Tensor, tolerated: int) -> Tensor:
    """(K, M): the sum of squared distances to the K - tolerated - 2 nearest others."""
    count = len(updates)
    squares = updates.new_full((count, count, updates.shape[1]), torch.inf)
    for one in range(count):
        for other in range(one):
            apart = (updates[one] - updates[other]).square().sum(-1)
            squares[one, other] = squares[other, one] = apart
    return squares.sort(1).values[:, : count - tolerated - 2].sum(1)


def krum(updates: Tensor, records: Tensor, tolerated: int) -> Tensor:
    """The one update that is nearest to its neighbours (Blanchard et al. 2017, arXiv:1703.02757).

    Args:
        updates: (K, M, P); each member's is chosen by itself.
        records: not read.
        tolerated: f; K must be at least 2 f + 3.
    """
    return _nearest(updates, tolerated, 1)


def multi_krum(updates: Tensor, records: Tensor, tolerated: int) -> Tensor:
    """The mean of the K - f updates with the least scores of Krum; arguments as `krum`."""
    return _nearest(updates, tolerated, len(updates) - tolerated)


def _nearest(updates: Tensor, tolerated: int, kept: int) -> Tensor:
    best = krum_scores(updates, tolerated).sort(dim=0, stable=True).indices[:kept]
    # summed in the hospitals' own order, whichever of them is the best
    chosen = torch.zeros(updates.shape[:2], dtype=torch.bool).scatter_(0, best, True)
    return (updates * chosen[..., None]).sum(0) / kept


AGGREGATES: dict[str, Aggregator] = {
    "mean": Aggregator(mean_of_records, lambda tolerated: 1),
    "median": Aggregator(median_of_hospitals, lambda tolerated: 2 * tolerated + 1),
    "trimmed_mean": Aggregator(trimmed, lambda tolerated: 2 * tolerated + 1),
    "krum": Aggregator(krum, lambda tolerated: 2 * tolerated + 3),
    "multi_krum": Aggregator(multi_krum, lambda tolerated: 2 * tolerated + 3),
}


def why_too_few(name: str, tolerated: int, hospitals: int) -> str:
    """Why so many hospitals are too few for a rule; empty = they are enough."""
    least = AGGREGATES[name].least(tolerated)
    if hospitals >= least:
        return ""
    return f"{name} takes {least} hospitals to stand {tolerated} malicious, not {hospitals}"


def check_enough(name: str, tolerated: int, hospitals: int, section: str = "federated") -> None:
    """Refuses a rule that so few hospitals are not enough for, as configured in a section.

    Raises:
        BadInput: names how many it takes.
    """
    if why := why_too_few(name, tolerated, hospitals):
        raise BadInput(
            f"{section}.aggregate: {why}; lower {section}.tolerated, or take another of "
            f"{', '.join(AGGREGATES)}"
        )


def aggregated(name: str, tolerated: int) -> Aggregate:
    """The rule of this name, for `loop.federate`.

    A hospital without a record for a member has no say in it. Sums are taken in float64.

    Args:
        name: a key of `AGGREGATES`.
        tolerated: how many hospitals may be malicious.

    Raises:
        BadInput: there is no such rule; when it runs: too few hospitals send something.
    """
    check_names([name], AGGREGATES, "federated.aggregate", "rule of aggregation")
    rule = AGGREGATES[name].run

    def aggregate(exchange: Exchange) -> Tensor:
        updates, records = exchange.updates.double(), exchange.records.double()
        present = records > 0
        if present.all():
            check_enough(name, tolerated, len(updates))
            return rule(updates, records, tolerated).to(exchange.updates.dtype)
        result = exchange.parameters.clone()
        for member, those in enumerate(present.T):
            if those.any():
                check_enough(name, tolerated, int(those.sum()))
                own = slice(member, member + 1)
                result[own] = rule(updates[those, own], records[those, own], tolerated)
        return result

    return aggregate
