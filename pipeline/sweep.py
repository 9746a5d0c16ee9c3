"""Runs that are done once: a recipe end to end, kept under the digest of everything that decides its result."""

import hashlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from tqdm import tqdm

from pipeline.config import Config, canonical
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.tabular import read_raw
from pipeline.defenses import train
from pipeline.files import folder, repository_root, sha256, write_json
from pipeline.models.population import Population
from pipeline.report.write import HOW_TO_COMPARE, read_comparison, write_evaluation
from pipeline.risks.evasion.measure.examination import audit
from pipeline.risks.evasion.tables import evaluate_audits
from pipeline.risks.membership.measure.shadows import FOLDER as LEAKAGE
from pipeline.risks.membership.measure.shadows import leakage
from pipeline.risks.poisoning.measure.certificate import certificate_table
from pipeline.tracking.runs import log_evaluation
from pipeline.tracking.store import open_store

POPULATION = "population"


def run_recipes(cfg: Config, overrides: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Runs every defence that `cfg` holds; a finished one is not run again. Returns a line of figures for each."""
    import torch

    torch.set_num_threads(cfg.threads)
    open_store(cfg)
    dataset, _ = read_raw(cfg.data, repository_root())
    apart = [override for override in overrides if not override.startswith("defense=")]
    return [_run_once(cfg, name, dataset, apart) for name in cfg.defenses]


def _run_once(cfg: Config, name: str, dataset: Dataset, overrides: Sequence[str]) -> dict[str, Any]:
    alone = only(cfg, name)
    key = run_key(alone, dataset)
    place = repository_root() / "sweeps" / key[:16]
    done = place.exists()
    if not done:
        plan = Plan.cross_validation(dataset.y, folds=cfg.plan.folds, seeds=cfg.plan.seeds, seed=cfg.seed)
        population = train(name, dataset, plan, alone)
        findings = audit(population, dataset, plan, alone, name=name).findings
        leak = leakage(name, dataset, alone)
        beside = {"certificate": certificate_table({name: population}, dataset, plan, alone.audit, alone.seed)}
        with folder(place) as unfinished:
            write_evaluation(evaluate_audits({name: findings}, alone), {name: leak}, dataset, alone, unfinished, beside)
            (unfinished / POPULATION).mkdir()
            leak.save(unfinished / LEAKAGE / name)
            population.save(unfinished / POPULATION)
            write_json(unfinished / "params.json", alone.model_dump())
    table = read_comparison(place)
    population = Population.load(place / POPULATION)
    log_evaluation(alone, name, table, population, schema=dataset.schema, folder=place, run_key=key, overrides=overrides)
    return {"defense": name, "key": key[:16], "done_before": done, **_figures(table, cfg.audit.headline)}


def only(cfg: Config, name: str) -> Config:
    """The configuration without the sections of the other defences, so that they do not enter the run's key."""
    values = {field: getattr(cfg, field) for field in Config.model_fields}
    return Config.model_construct(None, **values, **{name: cfg.defenses[name]})


def run_key(cfg: Config, dataset: Dataset) -> str:
    """The digest of the resolved configuration, the code and the records."""
    digest = hashlib.sha256(canonical(cfg))
    package = Path(__file__).parent
    digest.update(sha256(*sorted(package.rglob("*.py"))).encode())
    digest.update(dataset.x.numpy().tobytes() + dataset.y.numpy().tobytes())
    return digest.hexdigest()


def _figures(table: pd.DataFrame, headline: str) -> dict[str, Any]:
    lines = table[table["threat"] == headline]
    shown = lines.iloc[(lines["eps"] - 0.3).abs().argmin()]
    first = lines.iloc[0]
    return {
        "clean_accuracy": f"{first['clean_accuracy']:.3f}",
        "auroc": f"{first['auroc']:.3f}",
        f"robust_accuracy_at_{shown['eps']:g}": f"{shown['robust_accuracy']:.3f} "
        f"({shown['robust_low']:.3f} to {shown['robust_high']:.3f})",
        "sensitivity": f"{first['sensitivity']:.3f}",
        "flags": first["flags"],
    }


class Summary(Callback):
    """Hydra callback: a progress bar over the jobs of a sweep, and one table at its end."""

    def __init__(self) -> None:
        """Starts with no job seen."""
        self.lines: list[dict[str, Any]] = []
        self.bar: tqdm[Any] | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Counts the jobs: the product of the choices of each override."""
        overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        jobs = math.prod(len(list(o.sweep_string_iterator())) for o in overrides if o.is_sweep_override())
        self.bar = tqdm(total=jobs, desc="sweep", unit="run", file=sys.stderr)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Keeps the figures of a finished job."""
        if job_return.status.name == "COMPLETED":
            overrides = " ".join(config.hydra.overrides.task)
            self.lines += [{"overrides": overrides, **line} for line in job_return.return_value]
        if self.bar is not None:
            self.bar.update()
        else:
            self._print()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints the table."""
        if self.bar is not None:
            self.bar.close()
        self._print()

    def _print(self) -> None:
        if self.lines:
            print(pd.DataFrame(self.lines).to_string(index=False))
            print(f"\n{HOW_TO_COMPARE}")
