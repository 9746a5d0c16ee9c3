"""Runs that are done once: a recipe end to end, kept under the digest of all that decides it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.tabular import read_raw
from pipeline.defenses.trained import train_reported
from pipeline.files import folder, read_json, repository_root, write_json
from pipeline.models.population import load_population
from pipeline.presentation.numbers import with_interval
from pipeline.report import DEFENSES as JUDGED
from pipeline.report import HEADLINE, METRICS
from pipeline.report.write import write_evaluation
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from pipeline.stages._examining import Examinee, examine
from pipeline.sweep.keys import drawn_by, only, run_key
from pipeline.tracking.runs import Evaluated, log_evaluation
from pipeline.tracking.store import open_store

POPULATION, MEASURED, EVALUATION = "population", "measured", "evaluation"
DRAWN_BY = "drawn_by.txt"
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
