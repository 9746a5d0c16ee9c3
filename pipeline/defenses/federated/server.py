"""Federated training under differential privacy of hospitals, by the server (central privacy).

The server clips what each hospital changed and adds noise to the sum. It promises that nobody but
the server learns whether a hospital took part. With a handful of hospitals the noise drowns what
they say (docs/federated.md has figures).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.budget import PrivacyBudget, calibrate, refuse_delta
from pipeline.defenses.decision import under_guarantee
from pipeline.defenses.federated.aggregate import Aggregate, Exchange
from pipeline.defenses.federated.loop import federate
from pipeline.defenses.federated.recipe import federation_of, said_of
from pipeline.defenses.noise import SECRET, SEEDED, normals
from pipeline.defenses.privacy import Rate
from pipeline.defenses.self_measurement import (
    FALSE_ALARM,
    Check,
    Mechanism,
    held_against_claim,
    of_distinct_seeds,
)
from pipeline.models.designs import Trained
from pipeline.seeds import Stream
from pipeline.statistics import p_values

NAME = "federated_noisy_server"
HOSPITAL = "add or remove one hospital"


@dataclass(frozen=True)
class ServerNoise:
    """What a server does to what it gets.

    Attributes:
        noise_multiplier: standard deviation over the clipping norm.
        clip: L2 bound of what one hospital changes in a round, over all weights of a model.
        hospitals: how many there may be, a public constant.
    """

    noise_multiplier: float
    clip: float
    hospitals: int


def noisy_server(how: ServerNoise, seeds: Tensor, secret: bool = False) -> Aggregate:
    """The mean of clipped changes and noise (McMahan et al. 2018, arXiv:1710.06963).

    Each hospital has one vote, whatever it holds. A hospital added or removed moves the sum by
    `clip` at most.

    Args:
        how: the mechanism.
        seeds: (M,) of the members' noise.
        secret: the noise comes from the operating system instead.
    """
    sources = normals(seeds, Stream.SERVER_NOISE, secret)

    def aggregate(exchange: Exchange) -> Tensor:
        changes = (exchange.updates - exchange.parameters).double()
        norms = changes.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        total = (changes * (how.clip / norms).clamp(max=1)).sum(0)
        drawn = torch.stack([source(total.shape[1]) for source in sources])
        noise = drawn.double() * how.noise_multiplier * how.clip
        moved: Tensor = exchange.parameters + (total + noise) / how.hospitals
        return moved.to(exchange.parameters.dtype)

    return aggregate


def server_guarantee(
    epsilon: float, delta: float, rounds: int, clip: float, name: str = NAME
) -> dict[str, Any]:
    """The claim of `noisy_server` over so many rounds: of hospitals, exact.

    Returns:
        as `calibrate`; `noise_multiplier` is the noise that it takes.
    """
    claim = calibrate(PrivacyBudget(epsilon, delta, 1.0, rounds), name)
    return {
        **claim,
        "neighbouring": HOSPITAL,
        "max_grad_norm": clip,
        "engine": "server",
        "rounds": rounds,
        "against": "other hospitals, and whoever gets the model; not the server",
    }


class ServerWatch:
    """Sees what a server gets and gives, and holds the noise in between against the claim.

    What the mechanism clips is clipped here once more. Models of one seed get the same noise, so
    one of each seed counts.
    """

    def __init__(self, how: ServerNoise, seeds: Tensor) -> None:
        """Takes what is claimed of each round, and the members' seeds (M,)."""
        self.how = how
        self.rows = of_distinct_seeds(seeds, torch.ones_like(seeds, dtype=torch.bool))
        self.energy, self.numbers, self.rounds = 0.0, 0, 0
        self.total = torch.zeros(0)

    def over(self, aggregate: Aggregate) -> Aggregate:
        """The same server, watched."""

        def watched(exchange: Exchange) -> Tensor:
            moved = aggregate(exchange)
            self._see(exchange, moved)
            return moved

        return watched

    def _see(self, exchange: Exchange, moved: Tensor) -> None:
        how, rows = self.how, self.rows
        before = exchange.parameters[rows].double()
        signal = torch.zeros_like(before)
        for update in exchange.updates:
            change = update[rows].double() - before
            length = change.square().sum(1, keepdim=True).sqrt()
            signal += change / (length / how.clip).clamp(min=1)
        shift = (moved[rows].double() - before) * how.hospitals
        z = (shift - signal) / (how.noise_multiplier * how.clip)
        self.energy += float(z.square().sum())
        self.numbers += z.numel()
        self.rounds += 1
        self.total = self.total + z if len(self.total) else z

    def measured(self, name: str) -> dict[str, Any]:
        """As `SelfMeasurement.measured`.

        Raises:
            FailedCheck: the noise is not what is claimed; the line begins with `name`.
        """
        count, degrees = self.numbers, self.total.numel()
        over_rounds = float(self.total.square().sum()) / self.rounds
        over_models = float(self.total.sum(0).square().sum()) / self.rounds / len(self.rows)
        checks = {
            "noise": _spread(self.energy, count),
            "sum over rounds": _spread(over_rounds, degrees),
            "sum over models": _spread(over_models, self.total.shape[1]),
        }
        how = self.how
        claim = Mechanism(how.noise_multiplier, how.clip, how.hospitals, 1.0)
        return held_against_claim(name, [(claim, checks)], FALSE_ALARM)


def _spread(squares: float, degrees: int) -> Check:
    return Check((squares / degrees) ** 0.5, 1.0, p_values.chi_square(squares, degrees))


def train_under_noise(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    sites: Count | None,
    by: str | None,
    rounds: Count,
    local_epochs: Count,
    epsilon: Positive,
    delta: Rate,
    clip: Positive,
    cut: float,
    secret: bool = False,
) -> Trained:
    """Federated training of which nobody but the server learns whether a hospital took part.

    Hospitals train as in `federated`, and the server is `noisy_server`. The claim covers all rounds
    under adding or removing one hospital with all that it holds. The server sees every update.

    Args:
        dataset: the records.
        plan: who trains.
        cfg: the model, and the numbers of `train` but for its epochs.
        sites: how many hospitals the cohort is cut into; None = those that the data set names.
        by: the feature that tells made-up hospitals apart.
        rounds: of local training and aggregation.
        local_epochs: passes over a hospital's records in each round.
        epsilon: target, of all rounds, met from below; of hospitals.
        delta: must be below 1 / records.
        clip: bound, L2, of what one hospital changes in a round, over all weights of a model.
        cut: log-odds from which on a patient is called ill; as in `dp_train`.
        secret: the noise comes from the operating system; no option of a configuration.

    Returns:
        the population; its facts as those of `federated_private`.

    Raises:
        BadInput: as `federated_private`.
        FailedCheck: the training measured that its mechanism is not what is claimed.
    """
    from pipeline.statistics.accounting import composition

    refuse_delta(plan, delta, NAME)
    guarantee = server_guarantee(epsilon, delta, rounds, clip)
    federation = federation_of(
        dataset,
        plan,
        cfg,
        sites=sites,
        by=by,
        rounds=rounds,
        local_epochs=local_epochs,
        aggregate="mean",
        tolerated=0,
        section=NAME,
    )
    noise, hospitals = guarantee["noise_multiplier"], len(federation.sites)
    guarantee |= {
        "denominator": hospitals,
        # every hospital takes part in every model
        "composition": composition(1.0, noise, rounds, delta, plan.size, plan.size),
    }
    how = ServerNoise(noise, clip, hospitals)
    watch = ServerWatch(how, plan.seeds)
    server = watch.over(noisy_server(how, plan.seeds, secret))
    parameters = federate(federation.sites, federation.start, rounds, federation.local, server)
    population = federation.population(parameters, dataset, plan)
    population.facts["federated"] = said_of(federation, "mean of clipped changes and noise", 0) | {
        "local_epochs": local_epochs,
        "server_sees": "each hospital's weights in each round, before the noise",
        "not_promised": "privacy from the server",
    }
    population.facts["guarantee"] = guarantee
    population.facts["measured"] = watch.measured(NAME)
    population.facts["noise"] = SECRET if secret else SEEDED
    return under_guarantee(population, dataset, plan, cfg.decision, otherwise=cut)
