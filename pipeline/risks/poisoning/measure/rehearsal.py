"""Poison made for one recipe, by somebody who knows it and the training records, not the seeds.

He trains the recipe himself, as often as he likes, with seeds of his own; turns diagnoses in
several ways; and enters what leaves his own models worst off, judged on the records that they train
on. Held-out patients play no part, for each model that is harmed: what its attacker chooses depends
on its own training records alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pipeline.attacks.poisoning.adaptive import PARTS, Way, scores_of, ways_of
from pipeline.attacks.poisoning.goals import GOALS, Slope, figures, slopes
from pipeline.attacks.poisoning.poison import Poison
from pipeline.attacks.poisoning.votes import through_parts
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.partition import deal
from pipeline.models.population import Population, networks_of
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE
from pipeline.risks.poisoning.measure.settings import Dose
from pipeline.risks.poisoning.measure.training_sets import (
    TrainingSets,
    doses_in,
    draw_training_sets,
    first_patients,
    unpoisoned,
)
from pipeline.seeds import Stream, of
from pipeline.statistics.patients import numbered

SEEDS = 3  # of his models without poison, whose orders are averaged
ROUNDS_OF_PARTS = 20  # where retraining costs next to nothing
Learn = Callable[[TrainingSets], Population]


class Rehearsal:
    """An attacker, one for each of M models, with models of his own."""

    def __init__(self, dataset: Dataset, plan: Plan, doses: list[Dose], learn: Learn) -> None:
        """Trains the recipe without poison.

        Args:
            dataset: N records; only a model's training records are used against it.
            plan: who trains the M models that are to be harmed.
            doses: E of them.
            learn: trains the recipe on sets.
        """
        self.dataset, self.learn = dataset, learn
        seeded = [_with_seeds(plan, place) for place in range(SEEDS)]
        self.plan = seeded[0]
        self.whose = torch.from_numpy(numbered(dataset.patient.numpy()))
        self.counts = doses_in(plan, doses, self.whose)
        # one population: many small ones take longer
        learned = learn(TrainingSets.join([unpoisoned(dataset, one) for one in seeded]))
        rows = torch.arange(learned.size).view(SEEDS, -1)
        self.own = [learned.select(members) for members in rows]
        healthy = plan.train & (dataset.y == 0)
        called = scores_of(self.own[0], dataset.x) > self.own[0].cut[:, None]
        self.alarms = (called & healthy).sum(1) / healthy.sum(1).double()

    def ways(self, options: Mapping[str, Any]) -> Tensor:
        """(W, E, M, N) bool: the diagnoses that he thinks of turning.

        Args:
            options: of the recipe.
        """
        if CERTIFICATE in self.own[0].facts:
            return torch.stack([self._through_parts(*part, options) for part in PARTS])
        return torch.stack(
            [
                first_patients(self._order(way), self.counts, self.whose)
                for way in ways_of(self.own[0])
            ]
        )

    def best(self, ways: Tensor, goals: Sequence[str]) -> dict[str, Tensor]:
        """For each goal (E, M, N) bool: of the ways (W, E, M, N) the one that hurts most.

        Judged by his own models, trained on what he would enter.
        """
        tried = ways.flatten(0, 1)
        poisoned = self.learn(turned(tried, self.dataset, self.plan))
        known = (
            scores_of(poisoned, self.dataset.x),
            self.dataset.y,
            self.plan.train.repeat(len(tried), 1),
            poisoned.cut,
            self.alarms.repeat(len(tried)),
        )
        best = {}
        for goal in goals:
            left = figures(GOALS[goal], *known).view(ways.shape[:3])
            first = left.argmin(0)[None, ..., None].expand(1, *ways.shape[1:])
            best[goal] = ways.gather(0, first)[0]
        return best

    def _order(self, way: Way) -> Tensor:
        """(M, N), the mean over models without poison that differ by their seeds; -inf = never."""
        x, y, train = self.dataset.x, self.dataset.y, self.plan.train
        orders = [
            way.order(one, x, y, train, slopes(way.slope, scores_of(one, x), y, train, one.cut))
            for one in self.own
        ]
        may = train & ((y == 1) | way.either_way)
        return torch.stack(orders).mean(0).masked_fill(~may, -torch.inf)

    def _through_parts(self, slope: Slope, either_way: bool, options: Mapping[str, Any]) -> Tensor:
        own, dataset = networks_of(self.own[0].double()), self.dataset
        inputs = own.standardise(dataset.x.expand(own.size, *dataset.x.shape).double())
        inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
        part = torch.from_numpy(deal(dataset.x, dataset.y, options["parts"], dataset.patient)[0])
        found = [
            through_parts(
                slope,
                inputs[row],
                dataset.y,
                self.plan.train[row],
                part,
                self.counts[:, row].tolist(),
                clip=options["clip"],
                ridge=options["ridge"],
                cut=float(own.cut[row]) / options["certainty"],
                either_way=either_way,
                rounds=ROUNDS_OF_PARTS,
            )
            for row in range(own.size)
        ]
        return self._whole(torch.stack(found, 1), either_way)

    def _whole(self, chosen: Tensor, either_way: bool) -> Tensor:
        """(E, M, N): of the patients of whom a record is `chosen`, all that may be turned."""
        may = self.plan.train & ((self.dataset.y == 1) | either_way)
        touched = torch.zeros(*chosen.shape[:-1], int(self.whose.max()) + 1, dtype=torch.uint8)
        touched = touched.scatter_reduce(-1, self.whose.expand(chosen.shape), chosen.byte(), "amax")
        return touched[..., self.whose].bool() & may


def _with_seeds(plan: Plan, place: int) -> Plan:
    """The plan with seeds of the attacker's own."""
    seeds = [of(Stream.REHEARSAL, seed, place) for seed in plan.seeds.tolist()]
    return replace(plan, seeds=torch.tensor(seeds))


def turned(chosen: Tensor, dataset: Dataset, plan: Plan) -> TrainingSets:
    """Training sets in which the diagnoses `chosen` (E, M, N) are turned, dose by dose."""
    sets = []
    for one in chosen:
        priority = one.double().masked_fill(~one, -torch.inf)
        poison = Poison.of_everyone(dataset.x, 1 - dataset.y, priority)
        sets.append(draw_training_sets(poison, dataset, plan, [max(1, int(one.sum(1).max()))]))
    return TrainingSets.join(sets)


def craft_adaptive(
    attacks: Sequence[str],
    dataset: Dataset,
    plan: Plan,
    doses: list[Dose],
    learn: Learn,
    options: Mapping[str, Any],
) -> dict[str, TrainingSets]:
    """Every dose of attacks of `GOALS`, made for the recipe that `learn` trains, with `options`."""
    if not attacks or not doses:
        return {}
    attacker = Rehearsal(dataset, plan, doses, learn)
    best = attacker.best(attacker.ways(options), attacks)
    return {attack: turned(chosen, dataset, plan) for attack, chosen in best.items()}
