"""Faults of DP-SGD that are planted on purpose: what refuses them, and what the audit can show.

    python -m benchmarks.dp_power            # all of it, into dp_power.json; an hour on one core
    python -m benchmarks.dp_power linear     # one kind of model; entries of others stay

On the default configuration and cohort. For each fault a training of the whole cross-validation
that measures itself, and an audit of the mechanism, both on seeds of their own; 20 of each for the
linear model, 5 for the MLP. `none` is the honest mechanism, which nothing may refuse. Faults of the
draw at sample rate 0.1. Bounds of honest audits are of the default size, those against faults of
the frontier's (a quarter).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.faults import FAULTS, SAMPLING, Fault, planted
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.tabular import read_raw
from pipeline.defenses import SET_BY_PROGRAM
from pipeline.defenses.budget import PrivacyBudget, calibrate
from pipeline.defenses.privacy import NoisySteps, dp_train, fit_private
from pipeline.defenses.undefended import architecture_for
from pipeline.files import FailedCheck, read_json, repository_root, write_json
from pipeline.params import configured
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.membership.measure.white_box import AuditSize, white_box_audit
from pipeline.validation import check_options

RESULT = Path(__file__).parent / "dp_power.json"
AUDITS = {"linear": 20, "mlp": 5}
EPSILONS = (1.0, 3.0, 8.0)
SAMPLED = {"sample_rate": 0.1, "expected_batch": 60.0}


def mechanism(cfg: Config, **changes: float) -> tuple[NoisySteps, float, float]:
    """How `dp_train` trains as configured, but for `changes`; its epsilon and delta."""
    options = {
        **check_options(dp_train, cfg.defenses["dp_train"], "dp_train", given=SET_BY_PROGRAM),
        **changes,
    }
    budget = PrivacyBudget(
        options["epsilon"], options["delta"], options["sample_rate"], options["steps"]
    )
    claim = calibrate(budget)
    how = NoisySteps(
        claim["noise_multiplier"],
        options["sample_rate"],
        options["steps"],
        options["expected_batch"],
        options["max_grad_norm"],
        options["learning_rate"],
    )
    return how, claim["epsilon"], options["delta"]


def measure_fault(name: str, fault: Fault, model: str, **changes: float) -> dict[str, Any]:
    """How many trainings and audits refuse a fault, and which checks say so."""
    cfg, dataset = problem(model)
    how, epsilon, delta = mechanism(cfg, **changes)
    architecture, wanted = architecture_for(dataset, cfg), cfg.section(FrontierSettings)
    size = AuditSize(wanted.canaries, wanted.audited_weights)
    checks: dict[str, int] = {}
    by_run, by_audit, missed, shown = 0, 0, 0, []
    for seed in range(AUDITS[model]):
        plan = Plan.cross_validation(dataset.y, **dict(cfg.plan), seed=seed)
        with planted(fault):
            try:
                fit_private(dataset, plan, architecture, how)
                refused = False
            except FailedCheck as why:
                refused = True
                said = str(why).partition("claimed: ")[2].partition(" (a true")[0]
                for one in said.split("; "):
                    check = one.partition(", claimed")[0].rpartition(" ")[0]
                    checks[check] = checks.get(check, 0) + 1
            audit = white_box_audit(
                dataset.schema, architecture, how, size, seed=seed, delta=delta, confidence=0.95
            )
        proved = audit["surely"] > epsilon
        by_run, by_audit = by_run + refused, by_audit + proved
        missed += not (refused or proved)
        shown.append(audit["epsilon_lower_bound"])
    return {
        "model": model,
        "fault": name,
        "sample_rate": how.sample_rate,
        "claimed": round(epsilon, 3),
        "audits": AUDITS[model],
        "refused_by_self_measurement": by_run,
        "refused_by_audit": by_audit,
        "passed": missed,
        "median_bound": round(float(np.median(shown)), 3),
        "checks": dict(sorted(checks.items(), key=lambda one: -one[1])),
    }


def measure_claim(model: str, epsilon: float) -> dict[str, Any]:
    """What audits of the default size show of the honest mechanism."""
    cfg, dataset = problem(model)
    how, claimed, delta = mechanism(cfg, epsilon=epsilon)
    wanted = cfg.section(MembershipSettings)
    size = AuditSize(wanted.canaries, wanted.audited_weights)
    found = [
        white_box_audit(
            dataset.schema,
            architecture_for(dataset, cfg),
            how,
            size,
            seed=seed,
            delta=delta,
            confidence=0.95,
        )
        for seed in range(AUDITS[model])
    ]
    entry: dict[str, Any] = {"model": model, "claimed": round(claimed, 3), "audits": len(found)}
    for kind in ("guessing", "gaussian", "counts"):
        values = np.array([one["bounds"][kind] for one in found])
        entry[kind] = {
            "median": round(float(np.median(values)), 3),
            "least": round(float(values.min()), 3),
            "largest": round(float(values.max()), 3),
            "above_claim": int((values > claimed).sum()),
        }
    entry["ceiling"] = round(found[0]["ceiling"], 2)
    entry["counts_ceiling"] = round(found[0]["bounds"]["counts_ceiling"], 2)
    return entry


def problem(model: str) -> tuple[Config, Dataset]:
    """The default configuration with one kind of model, and its cohort."""
    cfg = configured([f"model={model}"])
    return cfg, read_raw(cfg.data, repository_root())[0]


def main(models: list[str]) -> None:
    """Measures and keeps each entry as soon as it is there."""
    torch.set_num_threads(1)
    none = {"none": dict}
    for model in models or list(AUDITS):
        for epsilon in EPSILONS:
            keep("bounds", measure_claim(model, epsilon), ("model", "claimed"))
        for name, fault in (none | FAULTS).items():
            keep("faults", measure_fault(name, fault, model), ("model", "fault", "sample_rate"))
        for name, fault in (none | SAMPLING).items():
            entry = measure_fault(name, fault, model, **SAMPLED)
            keep("faults", entry, ("model", "fault", "sample_rate"))


def keep(kind: str, entry: dict[str, Any], key: tuple[str, ...]) -> None:
    """Writes an entry in the place of an earlier one of the same key."""
    found = read_json(RESULT) if RESULT.exists() else {"bounds": [], "faults": []}
    same = [entry[one] for one in key]
    others = [one for one in found[kind] if [one[name] for name in key] != same]
    found[kind] = sorted([*others, entry], key=lambda one: one["model"])
    write_json(RESULT, found)
    print(entry, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
