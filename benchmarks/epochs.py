"""How many epochs? Asked of each model's own training rows, never of those it is scored on.

    python -m benchmarks.epochs                          # baseline
    python -m benchmarks.epochs distill                  # teacher and student
    python -m benchmarks.epochs baseline data=breast_cancer

Each member of the configured cross-validation splits its training rows again, 80/20, stratified. It
trains on the 80 % and is measured on the 20 %. docs/training.md holds the table and what follows
from it.
"""

import sys

import numpy as np
import pandas as pd
import torch
import yaml
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train
from pipeline.files import BadInput, repository_root
from pipeline.params import compose, parse
from pipeline.statistics.rates import auroc

EPOCHS = {
    "baseline": (5, 10, 15, 20, 30, 40, 60, 100),
    "distill": (5, 10, 20, 40, 60, 100, 150, 200),
}
INNER_SHARE = 0.2


def inner_plan(outer: Plan, y: Tensor) -> Plan:
    """A plan that knows only `outer.train`: a fifth of each member's training rows is held out."""
    inner_train, inner_held_out = torch.zeros_like(outer.train), torch.zeros_like(outer.train)
    for member in range(outer.size):
        rows = outer.train[member].nonzero()[:, 0].numpy()
        state = int(outer.seeds[member]) % 2**32
        fit, validate = train_test_split(
            rows, test_size=INNER_SHARE, stratify=y[rows].numpy(), random_state=state
        )
        inner_train[member, fit] = True
        inner_held_out[member, validate] = True
    if (inner_train & inner_held_out).any() or (inner_held_out & ~outer.train).any():
        raise AssertionError("an inner split left the member's own training rows")
    return Plan(inner_train, inner_held_out, outer.repetition, outer.seeds, outer.labels)


def with_epochs(cfg: Config, defense: str, epochs: int) -> Config:
    """`cfg` with another number of epochs, where `defense` keeps it."""
    options = dict(cfg.defenses[defense])
    if "epochs" in options:
        return cfg.model_copy(update={defense: options | {"epochs": epochs}})
    return cfg.model_copy(update={"train": cfg.train.model_copy(update={"epochs": epochs})})


@torch.no_grad()
def member_figures(defense: str, dataset: Dataset, plan: Plan, cfg: Config) -> pd.DataFrame:
    """Figures of each member on its inner validation rows; log-loss at its training temperature."""
    with torch.enable_grad():
        population = train(defense, dataset, plan, cfg)
    temperature = float(cfg.defenses[defense].get("temperature", 1.0))
    index, valid = plan.held_out_index()
    logits = population(dataset.x[index])
    lines = []
    for member in range(plan.size):
        out, y = logits[member, valid[member]], dataset.y[index[member, valid[member]]]
        lines.append(
            {
                "log-loss": float(cross_entropy(out / temperature, y)),
                "AUROC": auroc((out[:, 1] - out[:, 0]).numpy(), y.numpy()),
                "accuracy": float((out.argmax(-1) == y).double().mean()),
            }
        )
    return pd.DataFrame(lines)


def study(defense: str, cfg: Config) -> pd.DataFrame:
    """One line per number of epochs: mean (standard error) over the members.

    And the paired gap of the log-loss to the configured number.
    """
    dataset, _ = read_raw(cfg.data, repository_root())
    outer = Plan.cross_validation(dataset.y, **dict(cfg.plan), seed=cfg.seed, release=False)
    plan = inner_plan(outer, dataset.y)
    measured = {
        n: member_figures(defense, dataset, plan, with_epochs(cfg, defense, n))
        for n in EPOCHS[defense]
    }
    losses = np.stack([figures["log-loss"] for figures in measured.values()])
    fewest = np.bincount(losses.argmin(0), minlength=len(measured))
    configured = measured[cfg.defenses[defense].get("epochs", cfg.train.epochs)]["log-loss"]
    lines = []
    for (epochs, figures), wins in zip(measured.items(), fewest, strict=True):
        shown = {
            name: f"{values.mean():.4f} ({values.sem():.4f})" for name, values in figures.items()
        }
        gap = figures["log-loss"] - configured
        lines.append(
            {
                "epochs": epochs,
                **shown,
                "log-loss gap": f"{gap.mean():+.4f} ({gap.sem():.4f})",
                "best for": wins,
            }
        )
    return pd.DataFrame(lines)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    name = arguments.pop(0) if arguments and arguments[0] in EPOCHS else "baseline"
    try:
        config = parse(yaml.safe_load(compose(arguments)), "conf")
        torch.set_num_threads(config.threads)
        print(study(name, config).to_string(index=False))
    except BadInput as error:
        raise SystemExit(f"error: {error}") from None
