"""Runs that are done once: a recipe end to end, kept under the digest of all that decides it."""

import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
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
from pipeline.defenses.trained import train_reported
from pipeline.files import folder, read_json, repository_root, sha256, write_json
from pipeline.models.population import load_population
from pipeline.presentation.numbers import with_interval
from pipeline.report import DEFENSES as JUDGED
from pipeline.report import HEADLINE, METRICS, how_to_compare
from pipeline.report.write import write_evaluation
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from pipeline.stages._examining import Examinee, examine
from pipeline.tracking.runs import Evaluated, log_evaluation
from pipeline.tracking.store import open_store

POPULATION, MEASURED, EVALUATION = "population", "measured", "evaluation"
DRAWN_BY = "drawn_by.txt"
# What decides a measurement: everything below the tables, the pages and MLflow.
MEASURING = (
    "*.py",
    "config",
    "statistics",
    "data",
    "models",
    "attacks",
    "verify",
    "defenses",
    "risks/*/measure",
    "stages/_examining.py",
)
NOT_MEASURING = ("params.py", "sweep.py", "__main__.py")
SHOWN = ("clean_accuracy", "auroc", "sensitivity")


def run_recipes(cfg: Config, overrides: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Runs every defense that `cfg` holds; a finished one is not run again.

    Returns:
        a line of figures for each.
    """
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
        plan = Plan.of(dataset, cfg.plan, cfg.seed)
        population = train_reported(name, dataset, plan, alone)
        with folder(place, keep=True) as unfinished:
            (unfinished / MEASURED / name).mkdir(parents=True)
            examine(Examinee(name, population, dataset, plan, alone), unfinished / MEASURED / name)
            (unfinished / POPULATION).mkdir()
            population.save(unfinished / POPULATION)
            write_json(unfinished / "params.json", alone.model_dump())
    context, examined = Context(dataset, alone), {name: place / MEASURED / name}
    results = draw_up_all(Sources(examined), context)
    evaluation = place / EVALUATION
    if not evaluation.exists() or (evaluation / DRAWN_BY).read_text(encoding="utf-8") != drawn_by():
        with folder(evaluation) as out:
            write_evaluation(results, context, out)
            (out / DRAWN_BY).write_text(drawn_by(), encoding="utf-8")
    populations = {name: load_population(place / POPULATION)}
    log_evaluation(Evaluated(results, context, evaluation, examined, populations, overrides), name)
    return {"defense": name, "key": key[:16], "done_before": done, **_figures(evaluation, name)}


def only(cfg: Config, name: str) -> Config:
    """The configuration without what belongs to other defenses, which is no part of the key."""
    values = {field: getattr(cfg, field) for field in Config.model_fields} | dict(cfg.sections)
    return Config.model_construct(
        None, **{**values, "examine": [name], "extra": []}, **{name: cfg.defenses[name]}
    )


def run_key(cfg: Config, dataset: Dataset) -> str:
    """The digest of the resolved configuration, of the code that measures, and of the records."""
    digest = hashlib.sha256(canonical(cfg))
    digest.update(sha256(*measuring_code()).encode())
    digest.update(dataset.x.numpy().tobytes() + dataset.y.numpy().tobytes())
    return digest.hexdigest()


def measuring_code() -> list[Path]:
    """The files that decide a measurement; not those that draw up, show or log it."""
    package = Path(__file__).parent
    found = {
        file for pattern in MEASURING for place in package.glob(pattern) for file in _python(place)
    }
    return sorted(
        file for file in found if file.relative_to(package).as_posix() not in NOT_MEASURING
    )


def _python(place: Path) -> Iterator[Path]:
    return place.rglob("*.py") if place.is_dir() else iter([place])


def drawn_by() -> str:
    """The digest of all code and the page's frame: what other code drew is drawn up again."""
    package = Path(__file__).parent
    return sha256(*sorted([*package.rglob("*.py"), *package.rglob("*.jinja")]))


def _figures(evaluation: Path, name: str) -> dict[str, Any]:
    """A line of the common table: clean figures, what each risk says first, and the flags."""
    metrics = read_json(evaluation / METRICS).get(name, {})
    headline = pd.read_csv(evaluation / HEADLINE)
    flags = pd.read_csv(evaluation / JUDGED, keep_default_na=False).set_index("defense")["flags"]
    return {
        **{key: f"{metrics[key]:.3f}" for key in SHOWN if key in metrics},
        **dict(
            zip(headline["figure"], with_interval(headline, "value", "low", "high"), strict=True)
        ),
        "flags": flags.get(name, ""),
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
        jobs = math.prod(
            len(list(o.sweep_string_iterator())) for o in overrides if o.is_sweep_override()
        )
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
            print(pd.DataFrame(self.lines).to_string(index=False, na_rep="-"))
            print(f"\n{how_to_compare()}")
