"""Which public numbers for DP-SGD? Asked of made-up patients, never of the cohort.

So the answer costs no privacy.

    python -m benchmarks.private_numbers

First steps and learning rate, for `dp_train`; then, with these, the radius that `dp_adv_train`
trains against.

Patients are drawn around the schema's public centres, with public spreads; the diagnosis follows a
random logistic rule with one interaction; a tenth of the values is missing. Each line is the mean
over three such cohorts, out of fold.
"""

import pandas as pd
import torch

from pipeline.attacks.evasion.gradient import pgd
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.answers import clean_metrics, margin
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.models.population import Population
from pipeline.params import configured

EPSILONS, STEPS, LEARNING_RATES = (0.5, 1.0, 3.0, 8.0), (20, 40, 80), (0.005, 0.01, 0.02, 0.05)
COHORTS, RECORDS = 3, 768
RADII, ATTACKED = (0.1, 0.15, 0.2, 0.3), 0.3


def made_up(schema: Schema, seed: int) -> Dataset:
    """Records that owe nothing to any patient."""
    generator = torch.Generator().manual_seed(seed)
    center, scale, lower, upper = (
        schema.column(name).float() for name in ("center", "scale", "lower", "upper")
    )
    z = torch.randn(RECORDS, len(center), generator=generator)
    weight = torch.randn(len(center), generator=generator)
    score = z @ (1.6 * weight / weight.norm()) - 0.7 + 0.15 * z[:, 0] * z[:, 1]
    y = (torch.rand(RECORDS, generator=generator) < torch.sigmoid(score)).long()
    x = (center + scale * z).clamp(lower, upper)
    x[torch.rand(x.shape, generator=generator) < 0.1] = torch.nan
    return Dataset(x, y, schema)


def figures_of(name: str, options: dict, cohorts: list[Dataset], cfg: Config) -> pd.Series:
    """Means over the cohorts, out of fold: what the training stages report, and `robust`.

    `robust` is the accuracy under attack at `ATTACKED`.
    """
    one = cfg.model_copy(update={name: {**cfg.defenses[name], **options}})
    figures = []
    for data in cohorts:
        plan = Plan.cross_validation(data.y, folds=5, seeds=1, seed=cfg.seed, release=False)
        population = train(name, data, plan, one)
        margins, y = margins_out_of_fold(population, data, plan)
        figures.append(
            {
                **clean_metrics(margins.numpy(), y.numpy()),
                "robust": withstands(population, data, plan, cfg),
            }
        )
    return pd.DataFrame(figures).mean()


def withstands(population: Population, data: Dataset, plan: Plan, cfg: Config) -> float:
    """Robust accuracy under the headline threat, by PGD on the margin."""
    threat, (index, valid) = (
        Threat.of(data.schema, cfg.threat[cfg.audit.headline]),
        plan.held_out_index(),
    )
    x, y = data.x[index], data.y[index]
    x_adv = pgd(
        population,
        x,
        y,
        threat,
        eps=ATTACKED,
        steps=20,
        step_size=0.1,
        generator=torch.Generator().manual_seed(0),
    )
    return float((margin(population(x_adv), y) > 0)[valid].float().mean())


def main() -> None:
    cfg = configured(["defense=[baseline,dp_train,dp_adv_train]"])
    torch.set_num_threads(cfg.threads)
    cohorts = [made_up(Schema.of(cfg.data), seed) for seed in range(COHORTS)]
    lines = []
    for steps in STEPS:
        for learning_rate in LEARNING_RATES:
            line = {"steps": steps, "learning rate": learning_rate}
            for epsilon in EPSILONS:
                options = {"epsilon": epsilon, "steps": steps, "learning_rate": learning_rate}
                mean = figures_of("dp_train", options, cohorts, cfg)
                line[f"epsilon {epsilon:g}: accuracy / AUROC"] = (
                    f"{mean['accuracy']:.3f} / {mean['auroc']:.3f}"
                )
            lines.append(line)
    print(pd.DataFrame(lines).to_string(index=False))
    rows = {"dp_train": figures_of("dp_train", {}, cohorts, cfg)}
    rows |= {
        f"dp_adv_train, eps {eps:g}": figures_of("dp_adv_train", {"eps": eps}, cohorts, cfg)
        for eps in RADII
    }
    shown = ["accuracy", "auroc", "sensitivity", "robust"]
    print(pd.DataFrame(rows).T[shown].to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
