"""What a run of DP-SGD may spend, and the noise that takes: closed form, or Opacus' accountants."""

import warnings
from dataclasses import astuple, dataclass
from typing import Any

from torch import Tensor

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.files import BadInput

# above this epsilon Opacus' PRV accountant takes minutes and overflows (meta-pytorch/opacus#604)
PRV_LIMIT = 50.0


@dataclass(frozen=True)
class PrivacyBudget:
    """What may be spent in so many steps.

    Attributes:
        epsilon: target, met from below.
        delta: must be below 1 / records.
        sample_rate: of the Poisson draw.
        steps: noisy steps.
    """

    epsilon: float
    delta: float
    sample_rate: float
    steps: int


def guarantee_for(plan: Plan, budget: PrivacyBudget, name: str) -> dict[str, Any]:
    """What `calibrate` says, for a plan whose largest training set the delta must suit.

    Raises:
        BadInput: delta is too large for the cohort, or `calibrate` refuses; the line begins with
            `name`.
    """
    refuse_delta(plan, budget.delta, name)
    return calibrate(budget, name)


def refuse_delta(plan: Plan, delta: float, name: str) -> None:
    """Refuses a delta that the largest training set of a plan makes worthless.

    Raises:
        BadInput: it is at least 1 / records; the line begins with `name`.
    """
    records = int(plan.train.sum(1).max())
    if delta * records >= 1:
        raise BadInput(
            f"{name}.delta: {delta:g} is not below 1 / records = {1 / records:.2g}; such a claim "
            "allows a leak"
        )


def refuse_deltas(plan: Plan, cfg: Config) -> None:
    """Refuses the delta of any configured defense that does not fit, before anything is trained.

    The frontier trains with that of `dp_train`, on no larger training sets.

    Raises:
        BadInput: as `refuse_delta`.
    """
    for name, options in cfg.defenses.items():
        if "delta" in options:
            refuse_delta(plan, options["delta"], name)


def composed(plan: Plan, guarantee: dict[str, Any], patient: Tensor) -> dict[str, Any]:
    """What all models of a plan spend together, those of one patient, and one replaced record.

    `patient` (N,) says whose each record is; a patient counts with as many as one model trains on.
    """
    from pipeline.statistics.accounting import composition

    numbers = (guarantee[key] for key in ("sample_rate", "noise_multiplier", "steps", "delta"))
    own = plan.train.sum(0).max()
    records = max(int(patient[row].unique(return_counts=True)[1].max()) for row in plan.train)
    return dict(composition(*numbers, plan.size, int(own), records))


def calibrate(budget: PrivacyBudget, name: str = "dp_train") -> dict[str, Any]:
    """The least noise that spends at most the budget, by Opacus' accountants.

    With `sample_rate` 1 every step is the Gaussian mechanism, and the claim is exact: the closed
    form of Balle and Wang (2018, arXiv:1805.06530) for all steps together. Otherwise RDP is an
    upper bound and PRV is tight, so PRV may only be lower. At delta = 1e-4 and a sample rate of
    0.1, RDP lies 6 to 15 % above PRV for 100 to 2000 steps, more for fewer. The claim is the larger
    of the two.

    Returns:
        the claim: epsilon (RDP, or exact), epsilon_prv (None above `PRV_LIMIT` or where epsilon is
        exact), delta, noise_multiplier, sample_rate, steps, and what it covers.

    Raises:
        BadInput: PRV exceeds RDP, which means that one of them is wrong; or no noise reaches the
            target.
    """
    epsilon, delta, sample_rate, steps = astuple(budget)
    covers = {
        "epsilon_target": epsilon,
        "delta": delta,
        "sample_rate": sample_rate,
        "steps": steps,
        "neighbouring": "add or remove one record",
        "preprocessing": "public constants",
        "not_covered": "choice of hyper-parameters, reported metrics; "
        "readers who know the noise's seed",
    }
    if sample_rate == 1:
        from pipeline.statistics.accounting import gaussian_epsilon, gaussian_mu

        # from below, whatever the last digit
        sigma = steps**0.5 / gaussian_mu(epsilon, delta) * (1 + 1e-9)
        exact = gaussian_epsilon(steps**0.5 / sigma, delta)
        return {
            "epsilon": exact,
            "epsilon_prv": None,
            "accountant": "gaussian, exact",
            "noise_multiplier": sigma,
            **covers,
        }
    from opacus.accountants.utils import get_noise_multiplier

    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # the search tries noises at which no order of RDP is good
            sigma = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant="rdp",
                epsilon_tolerance=0.001,
            )
    except ValueError as error:
        raise BadInput(
            f"{name}.epsilon: {epsilon:g} cannot be reached ({error}); raise it or lower "
            f"{name}.steps"
        ) from error
    rdp = spent("rdp", sigma, delta, sample_rate, steps)
    prv = spent("prv", sigma, delta, sample_rate, steps) if rdp <= PRV_LIMIT else None
    if prv is not None and not prv <= 1.005 * rdp:
        raise BadInput(
            f"{name}: the accountants contradict each other: RDP says epsilon {rdp:.3f}, PRV says "
            f"{prv:.3f}"
        )
    return {
        "epsilon": rdp,
        "epsilon_prv": prv,
        "accountant": "rdp",
        "noise_multiplier": sigma,
        **covers,
    }


def spent(
    accountant: str, noise_multiplier: float, delta: float, sample_rate: float, steps: int
) -> float:
    """The epsilon that `steps` steps spend, by one of Opacus' accountants."""
    from opacus.accountants import create_accountant

    account = create_accountant(accountant)
    account.history = [(noise_multiplier, sample_rate, steps)]
    return float(account.get_epsilon(delta=delta))
