"""How many poisoned records a certified defence bears: the share of patients whose right answer provably stays right."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.config import AuditConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.partition import certified_records
from pipeline.models.out_of_fold import Grid
from pipeline.models.population import Population
from pipeline.standards import RISKS
from pipeline.statistics import intervals

CERTIFICATE = "certificate"  # in the facts of a population whose recipe has one


def certificate_table(
    populations: Mapping[str, Population], dataset: Dataset, plan: Plan, cfg: AuditConfig, seed: int
) -> pd.DataFrame:
    """One row per certified defence and number of training records inserted, removed or relabelled, from none on.

    Returns:
        `records`, and as many whose values are changed count double: `changed`; `certified_accuracy` and
        `certified_sensitivity`, out of fold, with `_low` and `_high`: bootstrap over patients, seeds averaged. At 0 records they
        are accuracy and sensitivity. In the last row nobody is certified. Without a certified defence there is no row.
    """
    frames = []
    for name, population in populations.items():
        if CERTIFICATE in population.facts:
            frames.append(_certified(population, dataset, plan, cfg, seed).assign(defense=name))
    if not frames:
        return pd.DataFrame(columns=["defense", "records"])
    return pd.concat(frames, ignore_index=True).assign(**RISKS["availability_poisoning"].columns())


def _certified(population: Population, dataset: Dataset, plan: Plan, cfg: AuditConfig, seed: int) -> pd.DataFrame:
    scored = plan.scored()
    population, plan = population.select(scored), plan.select(scored)
    grid, (index, valid) = Grid(plan, [0.0]), plan.held_out_index()
    certified = certified_records(population, dataset.x[index], dataset.y[index])
    bears = grid.scatter(certified[None], index, valid)[0].numpy()  # repetitions x patients
    records = np.arange(max(int(bears.max()), 0) + 2)
    shares = (bears >= records[:, None, None]).mean(1)  # records x patients
    ill = dataset.y[grid.patients].numpy() == 1
    weights = intervals.bootstrap_weights(shares.shape[1], cfg.resamples, seed)
    lines = []
    for count, share in zip(records, shares, strict=True):
        line: dict[str, float] = {"records": int(count), "changed": int(count) // 2}
        for figure, among in (("certified_accuracy", np.ones_like(ill)), ("certified_sensitivity", ill)):
            value = float(share[among].mean())
            samples = intervals.bootstrap_mean(share, weights, where=among)
            line[figure] = value
            line[f"{figure}_low"], line[f"{figure}_high"] = intervals.interval(value, samples, cfg.confidence)
        lines.append(line)
    return pd.DataFrame(lines)
