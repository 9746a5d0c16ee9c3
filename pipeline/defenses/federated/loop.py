"""The reference of federated training: rounds of local training and aggregation, byte for byte."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.defenses.federated.aggregate import Aggregate, Exchange
from pipeline.defenses.federated.sites import Site
from pipeline.models.mlp import Parameters


class Sent(NamedTuple):
    """What one hospital sends in one round.

    Attributes:
        update: (M, P) float32, the weights of every member after its local training; those of a
            member for which it has no records as it got them.
        records: (M,) float32, of how many records; 0 = none.
    """

    update: Tensor
    records: Tensor


Local = Callable[[Parameters, Site, int], Sent]


@dataclass(frozen=True)
class Adversary:
    """Hospitals that send something else than they trained.

    Attributes:
        hospitals: their numbers.
        forge: maps all that the server would have got to what it gets. It may know the updates of
            everybody (the strongest adversary there is); only what it says for `hospitals` is taken
            over, their claimed number of records included.
    """

    hospitals: tuple[int, ...]
    forge: Callable[[Exchange], Exchange]

    def replaced(self, exchange: Exchange, sites: Sequence[Site]) -> Exchange:
        """The exchange as the server gets it."""
        forged = self.forge(exchange)
        own = torch.tensor([site.number in self.hospitals for site in sites])
        return exchange._replace(
            updates=torch.where(own[:, None, None], forged.updates, exchange.updates),
            records=torch.where(own[:, None], forged.records, exchange.records),
        )


def packed(parameters: Parameters) -> Tensor:
    """Weights of every member as one array (M, P), layer after layer."""
    return torch.cat([tensor.detach().flatten(1) for tensor in parameters.values()], 1)


def unpacked(array: Tensor, like: Parameters) -> Parameters:
    """What `packed` packed: weights named and shaped as `like`; (R, P) for any R members."""
    sizes = [tensor[0].numel() for tensor in like.values()]
    return {
        name: part.reshape(len(array), *tensor.shape[1:]).clone()
        for (name, tensor), part in zip(like.items(), array.split(sizes, 1), strict=True)
    }


def federate(
    sites: Sequence[Site],
    start: Parameters,
    rounds: int,
    local: Local,
    aggregate: Aggregate,
    *,
    adversary: Adversary | None = None,
    watch: Callable[[Exchange], None] | None = None,
    name: str = "federated",
) -> Parameters:
    """The global weights after so many rounds.

    Args:
        sites: the hospitals, in any order.
        start: weights of M members.
        rounds: each hospital trains once in each.
        local: what a hospital does.
        aggregate: what the server does.
        adversary: replaces what some hospitals send.
        watch: sees each round as the server does.
        name: shown beside the progress bar.
    """
    sites = sorted(sites, key=lambda site: site.number)
    parameters = start
    for number in tqdm(range(rounds), desc=name, unit="round", disable=None, leave=False):
        sent = [local(parameters, site, number) for site in sites]
        exchange = Exchange(
            number,
            packed(parameters),
            torch.stack([one.update for one in sent]),
            torch.stack([one.records for one in sent]),
        )
        if adversary is not None:
            exchange = adversary.replaced(exchange, sites)
        if watch is not None:
            watch(exchange)
        parameters = unpacked(aggregate(exchange), start)
    return parameters
