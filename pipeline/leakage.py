"""What a recipe leaks about the patients it learned from. `attack` and `evaluate` call it, for every defence alike.

The same recipe is trained anew on random halves of the cohort: distillation with a teacher on the same half, DP-SGD with its own
noise. Where a recipe claims differential privacy, it is also trained with canaries, and the claim is put to the test.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline import accounting
from pipeline.attacks.membership import MEMBERSHIP, blind, recorded_log_odds, signals
from pipeline.config import Config
from pipeline.data import Dataset
from pipeline.defenses import train
from pipeline.epsilon_bounds import lower_bound
from pipeline.files import FailedCheck, read_json, read_tensors, write_json, write_tensors
from pipeline.plan import Plan
from pipeline.population import Population
from pipeline.reconstruction import Reconstruction, reconstruction

BLIND = "blind"  # a classifier that sees the records and no model: there is nothing to be found
FOLDER, SCORES, CLAIM = "leakage", "membership.safetensors", "claim.json"
COINS, CANARY_COINS = 104_729, 1_299_709  # added to the seed, so that no plan shares coins with another
EXTREME = 2.5  # of a canary's values, in units of scale from the centre: rare, and what clipping is for
AGREEMENT = 0.02  # by how much our accountant may exceed the claimed epsilon: Opacus rounds, and so do we


@dataclass(frozen=True)
class Leakage:
    """What is reported of one recipe; every figure is a function of it.

    Attributes:
        scores: for each membership attack and `BLIND` (T, N) float32, of target t for record n; HIGHER = MORE LIKELY A MEMBER.
        member: (T, N) bool, who trained each target.
        log_odds: (T, N) float32, of the recorded class: what a target answers; above 0 it is right.
        claim: empty where nothing is claimed; else `epsilon, delta`, the accounts that an accountant of our own makes of what was
            logged (`accounts`), and the `audit` of `pipeline.epsilon_bounds.lower_bound`.
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


def audited_claim(name: str, dataset: Dataset, cfg: Config, guarantee: dict[str, Any]) -> dict[str, Any]:
    """The claim beside what our own accountant makes of the logged numbers, and beside the epsilon that an audit proves.

    Raises:
        FailedCheck: either contradicts the claim.
    """
    claim = recomputed_claim(name, guarantee)
    audit = canary_audit(name, dataset, cfg, claim["delta"])
    refute(name, claim["epsilon"], audit, cfg.audit.confidence)
    return {**claim, "audit": audit}


def recomputed_claim(name: str, guarantee: dict[str, Any]) -> dict[str, Any]:
    """The claim, `epsilon` and `delta`, and the `accounts` that our own accountant makes of what was logged.

    Raises:
        FailedCheck: the logged numbers spend more than is claimed.
    """
    epsilon, delta = float(guarantee["epsilon"]), float(guarantee["delta"])
    accounts = accounting.recompute(guarantee["sample_rate"], guarantee["noise_multiplier"], guarantee["steps"], delta)
    spends = accounts["pld"]
    if spends is None or spends > epsilon * (1 + AGREEMENT):
        spent = f"sample_rate, noise_multiplier and steps spend {spends}"
        raise FailedCheck(f"{name}: claims epsilon {epsilon:.3f}, but {spent}")
    return {"epsilon": epsilon, "delta": delta, "accounts": accounts}


def refute(name: str, epsilon: float, audit: dict[str, Any], confidence: float) -> None:
    """Compares a claim with an audit.

    Raises:
        FailedCheck: the audit proves a larger epsilon.
    """
    if audit["epsilon_lower_bound"] > epsilon:
        raise FailedCheck(
            f"{name}: claims epsilon {epsilon:.3f}, but {audit['correct']} of {audit['guesses']} guesses about canaries are "
            f"right, which takes at least {audit['epsilon_lower_bound']:.3f} ({confidence:.0%} confidence)"
        )


def canary_audit(name: str, dataset: Dataset, cfg: Config, delta: float) -> dict[str, Any]:
    """A lower bound on epsilon, from runs of the recipe `name`: `canary_runs`, then `audit_canaries`."""
    together, plan = canary_runs(dataset, cfg.privacy.canaries, cfg.privacy.runs, cfg.seed)
    population = train(name, together, plan, cfg)
    return audit_canaries(population, together, plan, cfg.privacy.canaries, delta, cfg.audit.confidence)


def canary_runs(dataset: Dataset, canaries: int, runs: int, seed: int) -> tuple[Dataset, Plan]:
    """The records with crafted canaries after them, and who trains: everybody in every run, each canary by a fair coin."""
    x, y = crafted_canaries(dataset, canaries, seed + CANARY_COINS)
    together = Dataset(torch.cat([dataset.x, x]), torch.cat([dataset.y, y]), dataset.schema)
    plan = Plan.random_halves(len(together.y), models=runs, seed=seed + CANARY_COINS, always=len(dataset.y))
    return together, plan


def audit_canaries(
    population: Population, together: Dataset, plan: Plan, canaries: int, delta: float, confidence: float
) -> dict[str, Any]:
    """A lower bound on epsilon by an auditor who sees log-odds.

    Half of the runs teach the auditor which canary shows, and from which score on; the other half are audited.

    Args:
        population: the models of `canary_runs`' plan.
        together: patients and, last, the canaries.
        plan: who trained on whom.
        canaries: how many.
        delta: of the claim.
        confidence: of the bound.

    Returns:
        as `pipeline.epsilon_bounds.lower_bound`.
    """
    x, y = together.x[-canaries:], together.y[-canaries:]
    seen = recorded_log_odds(population, x, y)
    half = plan.size // 2
    coins = plan.train[:, -canaries:].numpy()
    scores = (seen - seen[:half].mean(0)).numpy()  # a canary that every model finds hard says nothing by being hard
    return lower_bound(scores[:half], coins[:half], scores[half:], coins[half:], delta, confidence)


def crafted_canaries(dataset: Dataset, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Records (K, D) that no patient resembles, half called ill: each value `EXTREME` scales from the centre, in its range."""
    generator = torch.Generator().manual_seed(seed)
    center, scale, lower, upper = map(dataset.schema.column, ("center", "scale", "lower", "upper"))
    signs = torch.randint(2, (count, len(center)), generator=generator) * 2 - 1
    return (center + EXTREME * scale * signs).clamp(lower, upper).float(), torch.arange(count) % 2
