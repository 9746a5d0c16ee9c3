"""How many parts, how sharp a vote? Asked of made-up patients, never of the cohort.

So the answer owes nothing to a record.

    python -m benchmarks.partition_numbers

Each line is the mean over the cohorts of `benchmarks.private_numbers`, out of fold: accuracy,
sensitivity, AUROC, Brier score, and the share of patients whose right answer no 1, 5 or 10 poisoned
records can change. `cut`: the log-odds at which out of fold 85 % of the healthy are called healthy.
"""

from itertools import product

import numpy as np
import pandas as pd
import torch

from benchmarks.private_numbers import COHORTS, made_up
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.defenses.partition import certified_records
from pipeline.defenses.trained import train
from pipeline.models.answers import clean_metrics, disease_score
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.params import load

PARTS, CLIPS, RIDGES, POISONED = (25, 35, 50, 70), (0.5, 1.0, 2.0), (0.1, 0.3, 1.0), (1, 5, 10)
CERTAINTY = (2.0, 3.0, 4.0, 6.0)


def figures(name: str, data: Dataset, cfg) -> dict[str, float]:
    plan = Plan.cross_validation(data.y, folds=5, seeds=1, seed=cfg.seed, release=False)
    population = train(name, data, plan, cfg)
    margins, y = margins_out_of_fold(population, data, plan)
    result = clean_metrics(margins.numpy(), y.numpy())
    line = {key: result[key] for key in ("accuracy", "sensitivity", "auroc", "brier")}
    if name == "partition":
        index, valid = plan.held_out_index()
        held = certified_records(population, data.x[index], data.y[index])[valid]
        line |= {
            f"certified {records}": float((held >= records).double().mean()) for records in POISONED
        }
        odds = disease_score(margins.numpy(), y.numpy(), float(population.cut[0]))
        line["cut"] = float(np.quantile(odds[..., y.numpy() == 0], 0.85))
    return line


def main() -> None:
    cfg = load()
    torch.set_num_threads(cfg.threads)
    cohorts = [made_up(Schema.of(cfg.data), seed) for seed in range(COHORTS)]
    chosen = cfg.defenses["partition"]
    tried = [
        {"parts": parts, "clip": clip, "ridge": ridge}
        for parts, clip, ridge in product(PARTS, CLIPS, RIDGES)
    ]
    tried += [{"certainty": certainty} for certainty in CERTAINTY]
    lines = [
        {
            "defense": "baseline",
            **pd.DataFrame([figures("baseline", data, cfg) for data in cohorts]).mean(),
        }
    ]
    for options in tried:
        one = cfg.model_copy(update={"partition": {**chosen, **options}})
        mean = pd.DataFrame([figures("partition", data, one) for data in cohorts]).mean()
        lines.append({"defense": "partition", **chosen, **options, **mean})
    print(pd.DataFrame(lines).round(3).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    main()
