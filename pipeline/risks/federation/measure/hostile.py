"""What malicious hospitals do to the models of a federation, under every rule of aggregation.

Patients are scored by models that did not train on them, as everywhere. The line from which on a
model calls a patient ill is chosen as the recipe chooses it, on training records as they are: that
a hospital lies about its scores, too, is not tried. Under differential privacy it is a constant.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.updates import HOSTILE
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.decision import at_public_cut, decided
from pipeline.defenses.federated import aggregate as rules
from pipeline.defenses.federated.loop import federate
from pipeline.defenses.federated.recipe import federation_of
from pipeline.defenses.federated.sites import hospitals_of
from pipeline.models.answers import margin
from pipeline.models.designs import of_records
from pipeline.models.mlp import initialise
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Population
from pipeline.risks.federation.measure.federations import (
    NONE,
    Trigger,
    adversary_of,
    first_repetitions,
    malicious_in,
    options_of,
    repeated,
    sites_taught,
)
from pipeline.risks.federation.measure.private import private_local, settings_of, steps_of
from pipeline.risks.federation.measure.settings import PRIVATE_RECIPE, RECIPE, FederationSettings


@dataclass(frozen=True)
class Harmed:
    """What is reported of one federation under one rule.

    A attacks, S repetitions, N patients. Every figure is a function of it.

    Attributes:
        recipe: how hospitals train: `federated` or `federated_private`.
        hospitals: their names.
        aggregate: the rule.
        malicious: how many of them are so in each model.
        attacks: `none`, then those that were tried.
        patients: (N,) int64, who are scored; `y` (N,) int64, their classes.
        y: likewise.
        margins: by attack (S, N) float32, the margin of the true class out of fold, in logits,
            counted from the model's own cut; 0 where the model answers nothing that is a number.
        cuts: by attack (S, N) float32, the log-odds of that cut.
        triggered: by attack that writes a trigger, and of the control, (S, N) float32, the margin
            with the trigger in the record; NaN = the record cannot hold it.
        learned: (K, S) float64, how many records a model learned from at each hospital, means.
    """

    recipe: str
    hospitals: tuple[str, ...]
    aggregate: str
    malicious: int
    attacks: tuple[str, ...]
    patients: Tensor
    y: Tensor
    margins: dict[str, Tensor]
    cuts: dict[str, Tensor]
    triggered: dict[str, Tensor]
    learned: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Harmed":
        """Reads what `save` wrote, bit for bit.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        what, advice = "what hostile hospitals did", "run `dvc repro federation`"
        return read_artifact(path, cls, what=what, advice=advice)


@dataclass(frozen=True)
class Asked:
    """Which federation is attacked.

    Attributes:
        sites: number of hospitals; None = those that the data set names.
        aggregate: the server's rule.
        malicious: how many hospitals are so.
        private: whether hospitals train under differential privacy.
        repetitions: of the cross-validation.
    """

    sites: int | None
    aggregate: str
    malicious: int
    private: bool
    repetitions: int


def why_too_few(cfg: Config, hospitals: int, asked: Asked) -> str:
    """Why so many hospitals are too few for the rule; empty = they are enough."""
    if hospitals <= asked.malicious:
        return f"{asked.malicious} of {hospitals} hospitals leave no honest one"
    stands = cfg.section(FederationSettings).stands(asked.malicious)
    return rules.why_too_few(asked.aggregate, stands, hospitals)


def harm(dataset: Dataset, plan: Plan, cfg: Config, asked: Asked) -> Harmed:
    """Trains the federation with nobody malicious and with each attack, and scores all patients.

    Args:
        dataset: the records.
        plan: who trains on whom.
        cfg: the configuration.
        asked: which federation.
    """
    wanted = cfg.section(FederationSettings)
    plan, trigger = first_repetitions(plan, asked.repetitions), Trigger.of(dataset, cfg)
    hospitals = hospitals_of(dataset, asked.sites, wanted.by)
    count = len(hospitals.names)
    malicious = malicious_in(plan.size, count, asked.malicious)
    attacks = tuple(wanted.attacks)
    variants = repeated(plan, 1 + len(attacks))
    options = options_of(cfg, asked.sites, asked.aggregate, asked.malicious)
    federation = federation_of(dataset, plan, cfg, **options)  # type: ignore[arg-type]
    architecture = federation.training.architecture
    local, rounds = federation.local, wanted.rounds
    if asked.private:
        none = torch.zeros_like(malicious)
        quiet = torch.cat([none, malicious.repeat(1, len(attacks))], 1)
        private = settings_of(cfg)
        local = private_local(architecture, steps_of(private), lambda number: quiet[number])
        rounds = private.rounds
    parameters = federate(
        sites_taught(dataset, plan, hospitals, malicious, attacks, trigger),
        initialise(of_records(architecture), variants.seeds),
        rounds,
        local,
        federation.aggregate,
        adversary=adversary_of(attacks, malicious, federation.aggregate),
        name=f"{asked.aggregate} of {count}",
    )
    population = federation.population(parameters, dataset, variants)
    if asked.private:
        models = at_public_cut(population, cfg.decision, settings_of(cfg).cut)
    else:
        models = decided(population, dataset, variants, cfg.decision)
    names, grid = (NONE, *attacks), OutOfFold(plan, [0.0])
    marked, able = trigger.written(dataset.x)
    stamped = [name for name in names if name == NONE or HOSTILE[name].taught == "triggered"]
    margins = _by_variant(names, models, dataset.x, dataset.y, plan)
    triggered = _by_variant(names, models, marked, dataset.y, plan)
    cuts = models.cut.view(len(names), plan.size)
    learned = torch.stack([plan.train[:, hospitals.of == one].sum(1) for one in range(count)])
    return Harmed(
        PRIVATE_RECIPE if asked.private else RECIPE,
        hospitals.names,
        asked.aggregate,
        asked.malicious,
        names,
        grid.patients,
        dataset.y[grid.patients],
        margins,
        {name: grid.of_models(cut).float() for name, cut in zip(names, cuts, strict=True)},
        {
            name: triggered[name].masked_fill(~able[grid.patients], torch.nan)
            for name in (stamped if len(stamped) > 1 else [])
        },
        learned.double().mean(1),
    )


@torch.no_grad()
def _by_variant(
    names: tuple[str, ...], models: Population, x: Tensor, y: Tensor, plan: Plan
) -> dict[str, Tensor]:
    """By variant (S, N) float32: margins of patients x, by the models that hold them out."""
    index, valid = plan.held_out_index()
    rows = index.repeat(len(names), 1)
    found = margin(models.double()(x[rows].double()), y[rows]).view(len(names), *index.shape)
    known = torch.where(found.isfinite(), found, 0.0)
    dense = OutOfFold(plan, [0.0] * len(names)).scatter(known, index, valid).float()
    return dict(zip(names, dense, strict=True))
