"""What a recipe claims of differential privacy.

Recomputed from its log, and audited with canaries.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.attacks.membership import recorded_log_odds
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train
from pipeline.files import FailedCheck
from pipeline.models.population import Population
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.seeds import Stream, generator, of
from pipeline.statistics import accounting
from pipeline.statistics.epsilon_bounds import lower_bound

# of a canary's values, in units of scale from the centre: rare, and what clipping is for
EXTREME = 2.5
# by how much our accountant may exceed the claimed epsilon: Opacus rounds, and so do we
AGREEMENT = 0.02


def audited_claim(
    name: str, dataset: Dataset, cfg: Config, guarantee: dict[str, Any]
) -> dict[str, Any]:
    """The claim beside a second accountant's figures and the epsilon that an audit proves.

    Raises:
        FailedCheck: either contradicts the claim.
    """
    claim = recomputed_claim(name, guarantee)
    audit = canary_audit(name, dataset, cfg, claim["delta"])
    refute(name, claim["epsilon"], audit, cfg.audit.confidence)
    return {**claim, "audit": audit}


def recomputed_claim(name: str, guarantee: dict[str, Any]) -> dict[str, Any]:
    """The claim, `epsilon` and `delta`, and the `accounts` of a second accountant.

    Raises:
        FailedCheck: the logged numbers spend more than is claimed.
    """
    epsilon, delta = float(guarantee["epsilon"]), float(guarantee["delta"])
    accounts = accounting.recompute(
        guarantee["sample_rate"], guarantee["noise_multiplier"], guarantee["steps"], delta
    )
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
            f"{name}: claims epsilon {epsilon:.3f}, but {audit['correct']} of {audit['guesses']} "
            "guesses about canaries are right, which takes at least "
            f"{audit['epsilon_lower_bound']:.3f} ({confidence:.0%} confidence)"
        )


def canary_audit(name: str, dataset: Dataset, cfg: Config, delta: float) -> dict[str, Any]:
    """A lower bound on epsilon, from runs of the recipe `name`.

    `canary_runs`, then `audit_canaries`.
    """
    numbers = cfg.section(MembershipSettings)
    together, plan = canary_runs(dataset, numbers.canaries, numbers.runs, cfg.seed)
    population = train(name, together, plan, cfg)
    return audit_canaries(population, together, plan, numbers.canaries, delta, cfg.audit.confidence)


def canary_runs(dataset: Dataset, canaries: int, runs: int, seed: int) -> tuple[Dataset, Plan]:
    """The records with crafted canaries after them, and who trains.

    Everybody in every run, each canary by a fair coin.
    """
    x, y = crafted_canaries(dataset, canaries, seed)
    together = Dataset(torch.cat([dataset.x, x]), torch.cat([dataset.y, y]), dataset.schema)
    coins, patients = of(Stream.CANARY_RUNS, seed), len(dataset.y)
    plan = Plan.random_halves(len(together.y), models=runs, seed=coins, always=patients)
    return together, plan


def audit_canaries(
    population: Population,
    together: Dataset,
    plan: Plan,
    canaries: int,
    delta: float,
    confidence: float,
) -> dict[str, Any]:
    """A lower bound on epsilon by an auditor who sees log-odds.

    Half of the runs teach the auditor which canary shows, and from which score on; the other half
    are audited.

    Args:
        population: the models of `canary_runs`' plan.
        together: patients and, last, the canaries.
        plan: who trained on whom.
        canaries: how many.
        delta: of the claim.
        confidence: of the bound.

    Returns:
        as `pipeline.statistics.epsilon_bounds.lower_bound`.
    """
    x, y = together.x[-canaries:], together.y[-canaries:]
    seen = recorded_log_odds(population, x, y)
    half = plan.size // 2
    coins = plan.train[:, -canaries:].numpy()
    scores = (
        seen - seen[:half].mean(0)
    ).numpy()  # a canary that every model finds hard says nothing by being hard
    return lower_bound(scores[:half], coins[:half], scores[half:], coins[half:], delta, confidence)


def crafted_canaries(dataset: Dataset, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Records (K, D) that no patient resembles, half called ill.

    Each value `EXTREME` scales from the centre, in its range.
    """
    center, scale, lower, upper = map(dataset.schema.column, ("center", "scale", "lower", "upper"))
    coins = torch.randint(2, (count, len(center)), generator=generator(Stream.CANARIES, seed))
    signs = coins * 2 - 1
    return (center + EXTREME * scale * signs).clamp(lower, upper).float(), torch.arange(count) % 2
