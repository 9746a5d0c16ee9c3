"""What models say of sites and days that they did not learn from, and of folds as their control."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.config import Config
from pipeline.data.nested import folds_within
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train_reported
from pipeline.models.answers import log_odds, margin
from pipeline.models.population import Population
from pipeline.parallel import workers
from pipeline.risks.transport.measure.places import Places, beside
from pipeline.risks.transport.measure.settings import TransportSettings
from pipeline.verify import why_no_proof
from pipeline.verify.out_of_fold import ProofSearch, proofs_out_of_fold


@dataclass(frozen=True)
class Answers:
    """What the models of one recipe say: of the cross-validation, then of Q places with figures.

    S repetitions x N records; NaN, and False, where a record is not asked about.

    Attributes:
        place: (Q,) int64, which of `Places`.
        margin: (1 + Q, S, N) float64, of the true class, counted from where the model decides.
        score: (1 + Q, S, N) float64, log-odds of class 1.
        proved: (1 + Q, N) bool, right on every record within the radius, by the models of the
            first repetition.
        tried: (1 + Q, N) bool, of whom a proof was looked for.
        exact: whether every one of them was decided.
        threat: name of the threat model of the proofs, and their `radius`.
    """

    place: Tensor
    margin: Tensor
    score: Tensor
    proved: Tensor
    tried: Tensor
    exact: bool
    threat: str
    radius: float

    def save(self, path: Path) -> None:
        """Writes one file of tensors."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Answers":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro transport`"
        return read_artifact(path, cls, what="answers elsewhere and later", advice=advice)


def ask_elsewhere(name: str, dataset: Dataset, plan: Plan, places: Places, cfg: Config) -> Answers:
    """Trains a recipe on folds and beside places, in the same way, and asks about the others.

    Cuts and recalibrations are chosen on folds of the training rows, as in the cross-validation:
    of a site nothing is known beforehand.

    Args:
        name: of the recipe.
        dataset: the records.
        plan: the cross-validation, of which the first `repetitions` are trained.
        places: at least one of them has figures.
        cfg: sections `transport`, `audit`, `threat`, and what the recipe asks for.

    Raises:
        BadInput, FailedCheck: as the recipe.
    """
    wanted = cfg.section(TransportSettings)
    folds = plan.select((plan.repetition >= 0) & (plan.repetition < wanted.repetitions))
    repetitions = int(folds.repetition.max()) + 1
    rows = beside(places, dataset, repetitions, cfg.seed)
    if folds.tune is None:
        inner = folds_within(rows, folds) if _have_inner(folds) else None
        elsewhere = train_reported(name, dataset, rows, cfg, inner)
    else:
        rows = rows.with_tune(dataset.y, cfg.plan.tune, dataset.together)
        elsewhere = train_reported(name, dataset, rows, cfg)
    every = [
        _Asked(folds, train_reported(name, dataset, folds, cfg), torch.zeros_like(folds.seeds)),
        _Asked(rows, elsewhere, 1 + torch.arange(rows.size) // repetitions),
    ]
    (margins, scores), proofs = _said(every, dataset), _prove(every, dataset, cfg)
    return Answers(
        place=places.estimable(dataset).nonzero()[:, 0],
        margin=margins,
        score=scores,
        proved=proofs.proved,
        tried=proofs.tried,
        exact=bool((proofs.proved | proofs.broken)[proofs.tried].all()),
        threat=cfg.audit.headline,
        radius=cfg.headline_radius,
    )


def _have_inner(folds: Plan) -> bool:
    """Whether models of the cross-validation have inner folds: with two, nobody is left over."""
    return int((folds.repetition == 0).sum()) > 2


class _Asked(NamedTuple):
    """Models that are asked about whom they hold out, and `place` (M,), the row of answers."""

    plan: Plan
    population: Population
    place: Tensor

    def first(self) -> list[tuple[int, Plan, Population]]:
        """Each place's models of the first repetition."""
        found = []
        for place in self.place.unique().tolist():
            rows = ((self.place == place) & (self.plan.repetition == 0)).nonzero()[:, 0]
            found.append((place, self.plan.select(rows), self.population.select(rows)))
        return found


@torch.no_grad()
def _said(every: list[_Asked], dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Margins and scores, each (1 + Q, S, N)."""
    places = 1 + max(int(one.place.max()) for one in every)
    repetitions = 1 + max(int(one.plan.repetition.max()) for one in every)
    shape = (places, repetitions, len(dataset.y))
    margins, scores = (torch.full(shape, torch.nan, dtype=torch.float64) for _ in range(2))
    for plan, population, place in every:
        index, valid = rectangle(plan.held_out)
        x = dataset.x[index].double()
        where = tuple(one[:, None].expand(index.shape)[valid] for one in (place, plan.repetition))
        margins[(*where, index[valid])] = margin(population.double()(x), dataset.y[index])[valid]
        scores[(*where, index[valid])] = log_odds(population, x)[valid]
    return margins, scores


class _Proofs(NamedTuple):
    """(1 + Q, N) bool: right within the radius, wrong there, and whether anybody looked."""

    proved: Tensor
    broken: Tensor
    tried: Tensor


def _prove(every: list[_Asked], dataset: Dataset, cfg: Config) -> _Proofs:
    """What the first repetition's models can be proved to hold, of those whom the audit samples."""
    schema, radius = dataset.schema, cfg.headline_radius
    search = ProofSearch(
        Threat.of(schema, cfg.threat[cfg.audit.headline]),
        [radius],
        exact_to=None,
        budget=cfg.section(TransportSettings).boxes,
        alone=None,
        pruned=False,
    )
    places = 1 + max(int(one.place.max()) for one in every)
    found = torch.zeros(3, places, len(dataset.y), dtype=torch.bool)
    with workers() as pool:
        waiting = []
        for place, plan, population in (job for one in every for job in one.first()):
            some = plan.sampled(dataset.y, cfg.audit.sample, cfg.seed)
            asked = some.scored()
            if asked.any() and not why_no_proof(population):
                job = (pool, population.select(asked), dataset, some.select(asked), search)
                waiting.append((place, proofs_out_of_fold(*job)))
        for place, wait in waiting:
            proofs = wait()
            known = (proofs.robust_at([radius]), proofs.broken_at([radius]))
            found[0, place, proofs.patients], found[1, place, proofs.patients] = (
                one[0, 0] for one in known
            )
            found[2, place, proofs.patients] = True
    return _Proofs(*found)
