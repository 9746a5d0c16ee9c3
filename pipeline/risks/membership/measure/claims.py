"""What a recipe claims of differential privacy.

Recomputed from its log, and audited by somebody who sees every noisy gradient.
"""

from collections.abc import Callable
from typing import Any

from pipeline.config import Config
from pipeline.data.schema import Dataset
from pipeline.defenses.privacy import NoisySteps, noisy_fit
from pipeline.defenses.undefended import architecture_for
from pipeline.files import FailedCheck
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.membership.measure.white_box import AuditSize, white_box_audit
from pipeline.statistics import accounting

# by how much our accountant may exceed the claimed epsilon: Opacus rounds, and so do we
AGREEMENT = 0.02


def audited_claim(
    name: str, dataset: Dataset, cfg: Config, guarantee: dict[str, Any]
) -> dict[str, Any]:
    """The claim beside a second accountant's figures and the epsilon that an audit proves.

    Returns:
        as `recomputed_claim`; `composition` of all models of the configured plan;
        `audit` as `white_box_audit`, None where Opacus trains, whose steps the audit does not run,
        and of a claim about hospitals, which the risk federation audits.

    Raises:
        FailedCheck: either contradicts the claim.
    """
    claim = recomputed_claim(name, guarantee)
    numbers = (guarantee[key] for key in ("sample_rate", "noise_multiplier", "steps", "delta"))
    models, own = _models(cfg)
    whole = (models, models) if _of_hospitals(guarantee) else (models, own)
    records = 1 if _of_hospitals(guarantee) else dataset.records_of_a_patient
    together = accounting.composition(*numbers, *whole, records)
    audit = audit_claim(name, dataset, cfg, guarantee) if _is_ours(guarantee) else None
    return {**claim, "composition": together, "audit": audit}


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


def audit_claim(
    name: str,
    dataset: Dataset,
    cfg: Config,
    guarantee: dict[str, Any],
    train: Callable[..., object] = noisy_fit,
) -> dict[str, Any]:
    """The audit of the mechanism that a recipe claims, at its own numbers.

    Args:
        name: of the recipe.
        dataset: whose schema the canaries have.
        cfg: the model, and how much is audited.
        guarantee: the claim.
        train: runs the mechanism; called as `noisy_fit`.

    Raises:
        FailedCheck: it proves a larger epsilon.
    """
    numbers = cfg.section(MembershipSettings)
    how = NoisySteps(
        guarantee["noise_multiplier"],
        guarantee["sample_rate"],
        guarantee["steps"],
        guarantee["denominator"],
        guarantee["max_grad_norm"],
        learning_rate=0.0,
    )
    audit = white_box_audit(
        dataset.schema,
        architecture_for(dataset, cfg),
        how,
        AuditSize(numbers.canaries, numbers.audited_weights),
        seed=cfg.seed,
        delta=float(guarantee["delta"]),
        confidence=cfg.audit.confidence,
        train=train,
    )
    refute(name, float(guarantee["epsilon"]), audit)
    return audit


def refute(name: str, epsilon: float, audit: dict[str, Any]) -> None:
    """Compares a claim with an audit, at a confidence that a true one fails once in a million.

    Raises:
        FailedCheck: the audit proves a larger epsilon.
    """
    if audit["surely"] > epsilon * (1 + AGREEMENT):
        shown = audit["bounds"]
        raise FailedCheck(
            f"{name}: claims epsilon {epsilon:.3f}, but {shown['correct']} of {shown['guesses']} "
            "guesses about canaries in noisy gradients are right, which takes at least "
            f"{audit['surely']:.3f} (a true claim is refused once in a million audits)"
        )


def _models(cfg: Config) -> tuple[int, int]:
    """How many models are reported or released, and how many of them learn from one patient."""
    if cfg.plan.kind == "official":
        return cfg.plan.seeds, cfg.plan.seeds
    return cfg.plan.folds * cfg.plan.seeds + 1, (cfg.plan.folds - 1) * cfg.plan.seeds + 1


def _of_hospitals(guarantee: dict[str, Any]) -> bool:
    """Whether one is of a whole hospital, which takes part in every model."""
    return bool(guarantee.get("engine") == "server")


def _is_ours(guarantee: dict[str, Any]) -> bool:
    return bool(guarantee.get("engine", "population") == "population")
