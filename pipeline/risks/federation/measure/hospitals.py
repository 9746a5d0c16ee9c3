"""Who gains by federated training: the same patients, asked by models trained in three ways.

`central` holds all records in one place, `federated` is the recipe, `alone` is each hospital by
itself. All take as many passes over records, on public preprocessing, from the same initial
weights, so they differ by what they share alone. Each chooses its cut on the records that it learns
from. Beside them private recipes, among the same hospitals; what they claim is audited.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import DEFENSES
from pipeline.defenses.decision import DECISION, decided
from pipeline.defenses.federated.aggregate import aggregated
from pipeline.defenses.federated.local import ordinary
from pipeline.defenses.federated.loop import federate
from pipeline.defenses.federated.recipe import Federation, federation_of
from pipeline.defenses.federated.sites import Site
from pipeline.models.out_of_fold import OutOfFold, cuts_out_of_fold, margins_out_of_fold
from pipeline.models.population import Population
from pipeline.risks.federation.measure.claims import claim_of
from pipeline.risks.federation.measure.settings import FederationSettings


def file_of(sites: int | None) -> str:
    """Where the answers for so many hospitals lie."""
    return f"hospitals-{'sites' if sites is None else sites}.safetensors"


@dataclass(frozen=True)
class Trained:
    """What models of K hospitals answer out of fold: N patients, S repetitions.

    Trainings are 2 + K + R: central, federated, each hospital alone, then R private recipes.

    Attributes:
        hospitals: their names.
        aggregate: the server's rule.
        place: (N,) int64, the hospital of each patient's record.
        patients: (N,) int64, places in the data set.
        margin: (2 + K + R, S, N) float32, of the true class, counted from the model's own cut; NaN
            where a hospital cannot train alone, as it has patients of one class only.
        cut: (2 + K + R, S, N) float32, the log-odds of that cut.
        learned: (K, S) float64, from how many records a model learns at each, means over folds.
        private: the private recipes.
        claims: of each that is audited as `claims.claim_of`.
    """

    hospitals: tuple[str, ...]
    aggregate: str
    place: Tensor
    patients: Tensor
    margin: Tensor
    cut: Tensor
    learned: Tensor
    private: tuple[str, ...] = ()
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Trained":
        """Reads what `save` wrote, bit for bit.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        return read_artifact(path, cls, what="answers", advice="run `dvc repro federation`")


def three_ways(dataset: Dataset, plan: Plan, cfg: Config, sites: int | None) -> Trained:
    """Trains and asks all of them; audits what is claimed, of the number of hospitals told first.

    Args:
        dataset: the records.
        plan: who trains on whom; of its repetitions the first so many are taken.
        cfg: the configuration.
        sites: number of hospitals; None = those that the data set names.

    Raises:
        BadInput: there are no such hospitals, or too few for the rule; a delta is no privacy.
        FailedCheck: a private recipe is not what it claims.
    """
    wanted = cfg.section(FederationSettings)
    plan = plan.select((plan.repetition >= 0) & (plan.repetition < wanted.repetitions))
    plan = plan.without_tune()
    grid = OutOfFold(plan, [0.0])

    def federation(count: int | None, rounds: int, epochs: int, rule: str) -> Federation:
        return federation_of(
            dataset,
            plan,
            cfg,
            sites=count,
            by=wanted.by,
            rounds=rounds,
            local_epochs=epochs,
            aggregate=rule,
            tolerated=wanted.tolerated,
        )

    together = federation(sites, wanted.rounds, wanted.local_epochs, wanted.aggregate)
    # one hospital in one round: training as it is done in one place
    whole = federation(1, 1, wanted.rounds * wanted.local_epochs, "mean")
    joint = federate(
        together.sites, together.start, wanted.rounds, together.local, together.aggregate
    )
    asked = [
        _answers(whole, _once(whole, whole.sites), dataset, plan, cfg),
        _answers(together, joint, dataset, plan, cfg),
    ]
    for site in together.sites:
        own = replace(plan, train=plan.train & (together.hospitals.of == site.number))
        if _of_both_classes(site):
            asked.append(_answers(whole, _once(whole, [site]), dataset, own, cfg))
        else:
            asked.append(torch.full_like(asked[0], torch.nan))
    claims = {}
    for name, options in wanted.private_recipes.items():
        if options is None:
            continue
        among = {"sites": sites, "by": wanted.by} if "sites" in options else {}
        population = DEFENSES[name](dataset, plan, cfg, **{**options, **among})
        asked.append(_told_by(population, dataset, plan, cfg))
        if sites == wanted.sites:
            claims[name] = claim_of(name, population.facts, dataset, cfg)
    private = tuple(name for name, options in wanted.private_recipes.items() if options is not None)
    margin, cut = torch.stack(asked).unbind(1)
    return Trained(
        together.hospitals.names,
        wanted.aggregate,
        together.hospitals.of[grid.patients],
        grid.patients,
        margin,
        cut,
        _learned(together.sites, plan),
        private,
        claims,
    )


def _once(whole: Federation, sites: Sequence[Site]) -> dict[str, Tensor]:
    """Weights after one round of the sites, which is all the training that there is."""
    local = ordinary(whole.training)
    return federate(sites, whole.start, 1, local, aggregated("mean", 0), name="alone")


def _answers(
    federation: Federation, parameters: dict[str, Tensor], dataset: Dataset, plan: Plan, cfg: Config
) -> Tensor:
    """As `_told_by`, of models with these weights."""
    return _told_by(federation.population(parameters, dataset, plan), dataset, plan, cfg)


def _told_by(population: Population, dataset: Dataset, plan: Plan, cfg: Config) -> Tensor:
    """(2, S, N) float32: margins from the models' own cuts, and the cuts."""
    if DECISION not in population.facts:
        population = decided(population, dataset, plan, cfg.decision)
    margins, _ = margins_out_of_fold(population, dataset, plan)
    return torch.stack([margins[0], cuts_out_of_fold(population, plan)]).float()


def _of_both_classes(site: Site) -> bool:
    """Whether every model that would train here alone has patients of both classes."""
    ill = site.dataset.y == 1
    return bool(((site.train & ill).any(1) & (site.train & ~ill).any(1)).all())


def _learned(sites: Sequence[Site], plan: Plan) -> Tensor:
    """(K, S) float64."""
    counts = torch.stack([site.records for site in sites]).double()
    return torch.stack(
        [counts[:, plan.repetition == one].mean(1) for one in plan.repetition.unique().tolist()], 1
    )
