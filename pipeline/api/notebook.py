"""What a notebook does in one call: the steps of the stages, by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from pipeline import verify as verification
from pipeline.attacks.evasion import evasion_attack
from pipeline.config import Config
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.files import BadInput, repository_root
from pipeline.models.population import Population
from pipeline.params import configured
from pipeline.seeds import Stream, generator


def configure(*overrides: str, conf: Path | str | None = None) -> Config:
    """The checked configuration of a project, or of the package where there is none.

    Args:
        *overrides: in Hydra's syntax: `"data=ward"`, `"defense=[baseline]"`, `"plan.folds=3"`.
        conf: a folder of files that come before the package's; None = `conf/` of the project that
            the working directory belongs to.

    Raises:
        BadInput: an override or a file does not fit; one line with the nearest valid name.
    """
    return configured(list(overrides), None if conf is None else Path(conf))


def read_cohort(cfg: Config, root: Path | str | None = None) -> Dataset:
    """The records that a configuration names, read and checked, in clinical units.

    Args:
        cfg: of the project.
        root: the folder that the file's path starts from; None = the project's.

    Raises:
        BadInput: with file, line and column of what does not fit, and what would be right.
    """
    return read_raw(cfg.data, repository_root() if root is None else Path(root))[0]


def attack(
    population: Population,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    options: Mapping[str, Any],
    *,
    eps: float,
    seed: int = 0,
) -> Tensor:
    """What an evasion attack makes of records, for each model of a population.

    Args:
        population: M models.
        x: (B, D) records in clinical units; NaN = missing.
        y: (B,) class indices.
        threat: what the attacker may change.
        options: `method`, and what that attack can be told: an entry of `cfg.attack`.
        eps: radius in units of `threat.scale`.
        seed: of the attack's random choices.

    Returns:
        (M, B, D) records inside the threat model; where the attack fails, they may still be
        answered rightly.

    Raises:
        BadInput: the method or an option is unknown, missing or out of its range.
    """
    run_attack = evasion_attack(dict(options), "attack")
    every = x.expand(population.size, *x.shape)
    draws = generator(Stream.BY_HAND, seed)
    found = run_attack(population, every, y, threat, eps=eps, generator=draws)
    return threat.project(found, every, eps)


def verify(
    population: Population,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    largest: float,
    member: int = 0,
    budget: int = 2000,
) -> verification.Nearest:
    """The nearest record that changes each answer of one model, or the proof that there is none.

    Args:
        population: M models.
        x: (P, D) float32 records in clinical units; NaN = missing.
        y: (P,) class indices.
        threat: what may be changed.
        largest: radius up to which to look, in units of `threat.scale`.
        member: which of the M models.
        budget: branch-and-bound boxes for one record.

    Returns:
        `robust_below` and `breaks_at` (P,), less than 1e-4 apart where all is decided, and the
            `record` (P, D) that changes the answer; inf = there is none.

    Raises:
        NotApplicable: the model is of a kind that nothing can be proved of.
    """
    model = verification.member_of(population, member)
    with torch.no_grad():
        return verification.verify(model, x, y, threat, largest=largest, budget=budget)


def run(cfg: Config) -> pd.DataFrame:
    """Trains, attacks, verifies and logs every defense that `cfg` holds; what is done stays.

    Results lie in `sweeps/` of the project, and in MLflow.

    Returns:
        a line of figures for each defense.
    """
    from pipeline.sweep.once import run_recipes

    return pd.DataFrame(run_recipes(cfg))


def report_tables(folder: Path | str | None = None) -> dict[str, pd.DataFrame]:
    """The tables of an evaluation by name: `comparison`, `overview`, `membership` and so on.

    Args:
        folder: of the evaluation; None = that of the project's last `medsecure run`.

    Raises:
        BadInput: there is no evaluation.
    """
    place = repository_root() / "artifacts" / "evaluate" if folder is None else Path(folder)
    tables = {path.stem: pd.read_csv(path) for path in sorted(place.glob("*.csv"))}
    if not tables:
        raise BadInput(f"{place}: holds no tables; `medsecure run` makes them")
    return tables
