"""The experiment on one recipe's models."""

from dataclasses import replace
from pathlib import Path

import torch

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.models.population import Population
from pipeline.risks.guard.measure.attacked import attack_guard
from pipeline.risks.guard.measure.guarded import Guarded
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.guard.measure.taken import Taken, copied, recognised, ways
from pipeline.verify import why_no_proof

PASSED, TAKEN = "passed.safetensors", "taken.safetensors"


def guard_one(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config, place: Path
) -> str:
    """Measures a guard around one recipe's models; where nothing can be proved it returns why.

    Args:
        population: a model for each row of the plan.
        dataset: the records.
        plan: who trained on whom.
        cfg: section `guard`, the headline threat.
        place: a folder that is made.

    Returns:
        why nothing was measured; empty = it was.

    Raises:
        FailedCheck: the guard's claim does not hold.
    """
    wanted = cfg.section(GuardSettings)
    threat = Threat.of(dataset.schema, cfg.threat[cfg.audit.headline])
    if why := why_no_proof(population):
        return why
    if why := threat.no_way_back(dataset.schema.names):
        return f"nothing is proved of answers under this threat: {why}"
    place.mkdir(parents=True)
    largest = max(wanted.alarm_r, *wanted.every_r)
    scored = plan.scored() & (plan.repetition >= 0)
    models, whole = population.select(scored), plan.select(scored)
    some = whole.sampled(dataset.y, cfg.audit.sample, cfg.seed)
    everybody = Guarded(models, threat, largest, wanted.boxes)
    asked = _of(everybody, some.repetition < wanted.repetitions)
    attacked = some.select(some.repetition < wanted.repetitions)
    attack_guard(asked, dataset, attacked, wanted, cfg.seed).save(place / PASSED)
    first = whole.repetition == 0
    tests, agrees, referred = copied(
        _of(everybody, first), dataset, whole.select(first), wanted, cfg.seed
    )
    patients, member, scores = recognised(everybody, dataset, some, wanted)
    Taken(
        list(dict.fromkeys(access for access, _ in ways(wanted))),
        [0.0, *wanted.every_r],
        list(wanted.budgets),
        tests,
        agrees,
        referred,
        patients,
        member,
        scores,
    ).save(place / TAKEN)
    return ""


def _of(guard: Guarded, rows: torch.Tensor) -> Guarded:
    return replace(guard, population=guard.population.select(rows))
