"""Faults of DP-SGD that are planted on purpose: what refuses them, and what the audit can show.

    python -m benchmarks.dp_power            # all of it, into dp_power.json; an hour of one core
    python -m benchmarks.dp_power linear     # one kind of model; entries of others stay

On the default configuration and cohort. For each fault a training of the whole cross-validation
that measures itself, and an audit of the mechanism, both on seeds of their own; 20 of each for the
linear model, 5 for the MLP. `none` is the honest mechanism, which nothing may refuse. Faults of the
draw at sample rate 0.1. Bounds of honest audits are of the default size, those against faults of
the frontier's (a quarter).
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults import FAULTS, SAMPLING, planted
from benchmarks.jobs import as_done
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
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
HONEST = "none"  # no fault is planted
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


def try_fault(name: str, model: str, seed: int, changes: dict[str, float]) -> dict[str, Any]:
    """One training and one audit with a fault: which checks refuse it, and the audit's bounds."""
    cfg, dataset = problem(model)
    how, epsilon, delta = mechanism(cfg, **changes)
    architecture, wanted = architecture_for(dataset, cfg), cfg.section(FrontierSettings)
    size = AuditSize(wanted.canaries, wanted.audited_weights)
    plan = Plan.of(dataset, cfg.plan, seed)
    faults = SAMPLING if changes else FAULTS
    checks = []
    with planted(faults.get(name, dict)):
        try:
            fit_private(dataset, plan, architecture, how)
            refused = False
        except FailedCheck as why:
            refused = True
            said = str(why).partition("claimed: ")[2].partition(" (a true")[0]
            checks = [one.partition(", claimed")[0].rpartition(" ")[0] for one in said.split("; ")]
        audit = white_box_audit(
            dataset.schema, architecture, how, size, seed=seed, delta=delta, confidence=0.95
        )
    return {
        "sample_rate": how.sample_rate,
        "claimed": round(epsilon, 3),
        "by_run": refused,
        "by_audit": audit["surely"] > epsilon,
        "bound": audit["epsilon_lower_bound"],
        "checks": checks,
    }


def fault_entry(name: str, model: str, tries: list[dict[str, Any]]) -> dict[str, Any]:
    """How many trainings and audits refuse a fault, and which checks say so."""
    checks = Counter(check for one in tries for check in one["checks"])
    return {
        "model": model,
        "fault": name,
        "sample_rate": tries[0]["sample_rate"],
        "claimed": tries[0]["claimed"],
        "audits": len(tries),
        "refused_by_self_measurement": sum(one["by_run"] for one in tries),
        "refused_by_audit": sum(one["by_audit"] for one in tries),
        "passed": sum(not (one["by_run"] or one["by_audit"]) for one in tries),
        "median_bound": round(float(np.median([one["bound"] for one in tries])), 3),
        "checks": dict(checks.most_common()),
    }


def try_claim(model: str, epsilon: float, seed: int) -> dict[str, Any]:
    """One audit of the default size of the honest mechanism."""
    cfg, dataset = problem(model)
    how, claimed, delta = mechanism(cfg, epsilon=epsilon)
    wanted = cfg.section(MembershipSettings)
    size = AuditSize(wanted.canaries, wanted.audited_weights)
    architecture = architecture_for(dataset, cfg)
    return {"claimed": claimed} | white_box_audit(
        dataset.schema, architecture, how, size, seed=seed, delta=delta, confidence=0.95
    )


def claim_entry(model: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """What audits of the default size show of the honest mechanism."""
    claimed = found[0]["claimed"]
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
    """Measures in as many processes as torch has threads; keeps an entry when all tries are in."""
    jobs = []
    for model in models or list(AUDITS):
        lines: list[tuple[str, str | float, dict[str, float]]] = [
            *(("bounds", epsilon, {}) for epsilon in EPSILONS),
            *(("faults", name, {}) for name in (HONEST, *FAULTS)),
            *(("faults", name, SAMPLED) for name in (HONEST, *SAMPLING)),
        ]
        jobs += [(*line, model, seed) for line in lines for seed in range(AUDITS[model])]
    tries: dict[tuple[str, str | float, bool, str], list[dict[str, Any]]] = {}
    for (kind, what, changes, model, _), found in as_done(try_line, jobs):
        same = tries.setdefault((kind, what, bool(changes), model), [])
        same.append(found)
        if len(same) == AUDITS[model]:
            if kind == "bounds":
                keep(kind, claim_entry(model, same), ("model", "claimed"))
            else:
                keep(kind, fault_entry(str(what), model, same), ("model", "fault", "sample_rate"))


def try_line(
    kind: str, what: Any, changes: dict[str, float], model: str, seed: int
) -> dict[str, Any]:
    """One try of one line of a table."""
    if kind == "bounds":
        return try_claim(model, what, seed)
    return try_fault(what, model, seed, changes)


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
