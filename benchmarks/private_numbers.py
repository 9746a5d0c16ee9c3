"""Which public numbers for DP-SGD? Asked of made-up patients, never of the cohort, so that the answer costs no privacy.

    python -m benchmarks.private_numbers

Patients are drawn around the schema's public centres, with public spreads; the diagnosis follows a random logistic rule with one
interaction; a tenth of the values is missing. Each line is the mean over three such cohorts, out of fold.
"""

import pandas as pd
import torch

from pipeline.data import Dataset, Schema
from pipeline.defenses import train
from pipeline.grid import out_of_fold
from pipeline.outcome import clean_metrics
from pipeline.params import load
from pipeline.plan import Plan

EPSILONS, STEPS, LEARNING_RATES, COHORTS, RECORDS = (0.5, 1.0, 3.0, 8.0), (20, 40, 80), (0.005, 0.01, 0.02, 0.05), 3, 768


def made_up(schema: Schema, seed: int) -> Dataset:
    """Records that owe nothing to any patient."""
    generator = torch.Generator().manual_seed(seed)
    center, scale, lower, upper = (schema.column(name).float() for name in ("center", "scale", "lower", "upper"))
    z = torch.randn(RECORDS, len(center), generator=generator)
    weight = torch.randn(len(center), generator=generator)
    score = z @ (1.6 * weight / weight.norm()) - 0.7 + 0.15 * z[:, 0] * z[:, 1]
    y = (torch.rand(RECORDS, generator=generator) < torch.sigmoid(score)).long()
    x = (center + scale * z).clamp(lower, upper)
    x[torch.rand(x.shape, generator=generator) < 0.1] = torch.nan
    return Dataset(x, y, schema)


def main() -> None:
    cfg = load()
    torch.set_num_threads(cfg.threads)
    cohorts = [made_up(Schema.of(cfg.data), seed) for seed in range(COHORTS)]
    lines = []
    for steps in STEPS:
        for learning_rate in LEARNING_RATES:
            line = {"steps": steps, "learning rate": learning_rate}
            for epsilon in EPSILONS:
                options = {"epsilon": epsilon, "steps": steps, "learning_rate": learning_rate}
                one = cfg.model_copy(update={"dp_train": {**cfg.defenses["dp_train"], **options}})
                figures = []
                for data in cohorts:
                    plan = Plan.cross_validation(data.y, folds=5, seeds=1, seed=cfg.seed, release=False)
                    margins, y = out_of_fold(train("dp_train", data, plan, one), data, plan)
                    figures.append(clean_metrics(margins.numpy(), y.numpy()))
                mean = pd.DataFrame(figures).mean()
                line[f"epsilon {epsilon:g}: accuracy / AUROC"] = f"{mean['accuracy']:.3f} / {mean['auroc']:.3f}"
            lines.append(line)
    print(pd.DataFrame(lines).to_string(index=False))


if __name__ == "__main__":
    main()
