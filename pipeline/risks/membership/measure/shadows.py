"""What a recipe leaks about the patients it learned from. `attack` and `evaluate` call it, for every defence alike.

The same recipe is trained anew on random halves of the cohort: distillation with a teacher on the same half, DP-SGD with its own
noise. Where a recipe claims differential privacy, it is also trained with canaries, and the claim is put to the test.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.attacks.membership import MEMBERSHIP, blind, signals
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import train
from pipeline.files import read_json, read_tensors, write_json, write_tensors
from pipeline.risks.inversion.measure.guesses import Reconstruction, reconstruction
from pipeline.risks.membership.measure.claims import COINS, audited_claim

BLIND = "blind"  # a classifier that sees the records and no model: there is nothing to be found
FOLDER, SCORES, CLAIM = "leakage", "membership.safetensors", "claim.json"


@dataclass(frozen=True)
class Leakage:
    """What is reported of one recipe; every figure is a function of it.

    Attributes:
        scores: for each membership attack and `BLIND` (T, N) float32, of target t for record n; HIGHER = MORE LIKELY A MEMBER.
        member: (T, N) bool, who trained each target.
        log_odds: (T, N) float32, of the recorded class: what a target answers; above 0 it is right.
        claim: empty where nothing is claimed; else `epsilon, delta`, the accounts that an accountant of our own makes of what was
            logged (`accounts`), and the `audit` of `pipeline.statistics.epsilon_bounds.lower_bound`.
        told: what the first targets tell about a measurement of a patient.
    """

    scores: dict[str, Tensor]
    member: Tensor
    log_odds: Tensor
    claim: dict[str, Any]
    told: Reconstruction

    def save(self, folder: Path) -> None:
        """Writes `membership.safetensors`, `reconstruction.safetensors` and `claim.json` into a new folder."""
        folder.mkdir(parents=True)
        tensors = {**self.scores, "member": self.member, "log_odds": self.log_odds}
        write_tensors(folder / SCORES, tensors, {"order": ",".join(self.scores)})
        write_json(folder / CLAIM, self.claim)
        self.told.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "Leakage":
        """Reads what `save` wrote.

        Raises:
            BadInput: a file is missing or damaged.
        """
        tensors, metadata = read_tensors(folder / SCORES, advice="run `dvc repro attack`")
        scores = {name: tensors[name] for name in metadata["order"].split(",")}
        return cls(scores, tensors["member"], tensors["log_odds"], read_json(folder / CLAIM), Reconstruction.load(folder))


def leakage(name: str, dataset: Dataset, cfg: Config) -> Leakage:
    """Trains the recipe `name` on random halves, attacks each model with all the others as its shadows, and audits a claim.

    The first of them also answer what can be guessed of a patient's measurements.

    Raises:
        FailedCheck: the recipe claims less than an audit proves that it spends, or than its own numbers add up to.
    """
    plan = Plan.random_halves(len(dataset.y), models=cfg.privacy.targets, seed=cfg.seed + COINS)
    population = train(name, dataset, plan, cfg)
    scale = dataset.schema.column("scale")
    seen = signals(
        population, dataset.x, dataset.y, copies=cfg.privacy.copies, spread=cfg.privacy.spread, scale=scale,
        generator=torch.Generator().manual_seed(cfg.seed),
    )  # fmt: skip
    scores = {attack: MEMBERSHIP[attack](seen, plan.train).float() for attack in cfg.privacy.membership}
    scores[BLIND] = blind(dataset.x, dataset.y, plan.train).float()
    guarantee = population.facts.get("guarantee")
    claim = {} if guarantee is None else audited_claim(name, dataset, cfg, guarantee)
    told = reconstruction(population, plan.train, dataset, cfg)
    return Leakage(scores, plan.train, seen.log_odds.float(), claim, told)
