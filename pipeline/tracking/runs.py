"""MLflow's view of the results. No stage reads it; the files under `artifacts/` are the record.

Whoever may look at the store sees no patient's record in it, and not where this project lies on
this machine.

One parent run per evaluated defense holds its parameters, headline figures, curves (metrics with
steps), artifacts and the release model. Nested runs, one per setting of an attacker, hold the same
figures as plain metrics, for the compare page.
"""

import hashlib
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import Config, canonical
from pipeline.data.signing import NOT_REVIEWED
from pipeline.files import repository_root
from pipeline.models.population import Population
from pipeline.presentation import SCHEMA_VERSION
from pipeline.presentation.pictures import COLOURS
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.results import Results
from pipeline.risks.risk import Context, Figure, Judgement, Point
from pipeline.tracking.keys import safe_key
from pipeline.tracking.release import log_release, source_tags
from pipeline.tracking.store import find_finished, one_writer, open_store, readable_errors

PARENT_TAG = "mlflow.parentRunId"
PAGE = "report"  # shows single patients
KINDS = (".html", ".csv", ".svg", ".json")
# What becomes parameters: neither the features nor the sections of risks and of other defenses.
SECTIONS = {"seed", "plan", "model", "train", "threat", "attack", "audit"}


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation leaves to be logged.

    Attributes:
        results: the tables of every risk.
        context: whose they are.
        folder: where the report was written.
        examined: for each defense the folder of what was measured of it, in the order of the page.
        populations: of each defense the trained models, the release model among them.
        overrides: `key=value` of whatever sets this evaluation apart from others of its defense;
            they stand in the runs' names.
    """

    results: Results
    context: Context
    folder: Path
    examined: Mapping[str, Path]
    populations: Mapping[str, Population]
    overrides: Sequence[str] = field(default=())

    @cached_property
    def conclusions(self) -> Conclusions:
        """What is concluded of all defenses together."""
        return Conclusions.of(self.results, self.context.cfg)


def log_evaluations(evaluated: Evaluated) -> None:
    """Logs every defense of an evaluation; what is there already, unchanged, is not logged again.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    from tqdm import tqdm

    for name in tqdm(
        evaluated.populations, desc="logging to MLflow", unit="defense", disable=None, leave=False
    ):
        log_evaluation(evaluated, name)


def log_evaluation(evaluated: Evaluated, name: str) -> None:
    """Logs one defense: a parent run, nested runs, the files of the report, the release model.

    Nothing is logged when a finished run has the same `run_key`.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    cfg, results, population = evaluated.context.cfg, evaluated.results, evaluated.populations[name]
    key, experiment = run_key(evaluated, name), open_store(cfg)
    import mlflow

    judged = evaluated.conclusions.judged.get(name, Judgement())
    title, tags = run_name(name, judged, evaluated.overrides), tags_of(evaluated, name, judged)
    figures = [one for risk in RISKS for one in risk.figures(results[risk.name], name, cfg)]
    points = [one for risk in RISKS for one in risk.points(results[risk.name], name, cfg)]
    run = mlflow.start_run  # one that fails is closed as failed, and is logged anew next time
    with readable_errors(), one_writer():
        if find_finished(experiment, key):
            return
        with run(experiment_id=experiment, run_name=title, tags=source_tags()) as parent:
            run_id, whole = parent.info.run_id, {**tags, "run_key": key}
            _log(run_id, figures, parameters(cfg, name, population), whole)
            for file, place in files_of(evaluated, name):
                mlflow.log_artifact(str(file), place)
            log_release(population, evaluated.context.dataset.schema)
            for point in points:
                setting = ", ".join(f"{what} {value}" for what, value in point.params.items())
                known = point_parameters(cfg, name, point, evaluated.overrides)
                client = mlflow.MlflowClient()
                child = client.create_run(
                    experiment, tags={PARENT_TAG: run_id}, run_name=f"{title}, {setting}"
                ).info.run_id
                _log(child, point.figures, known, tags)
                client.set_terminated(child)


def run_key(evaluated: Evaluated, name: str) -> str:
    """The digest of the configuration, the weights, and what is reported of a defense.

    Tables in folders (for plots, or with a row per patient) are other views of the same results.
    """
    digest = hashlib.sha256(canonical(evaluated.context.cfg) + name.encode())
    digest.update(evaluated.populations[name].digest.encode())
    for risk in RISKS:
        for table_name, table in evaluated.results[risk.name].items():
            if "/" not in table_name:
                rows = table[table["defense"] == name] if "defense" in table else table
                digest.update(rows.to_csv(index=False).encode())
    # a verdict depends on the rows of others, too
    said = evaluated.conclusions.of_defense(name)
    digest.update(repr(sorted(said.items())).encode())
    return digest.hexdigest()


def run_name(name: str, judged: Judgement, overrides: Sequence[str] = ()) -> str:
    """The defense, what sets this run of it apart, and its flags: `dp_train (epsilon=8)`.

    Short, because lists of runs show few letters.
    """
    apart = (
        f" ({', '.join(one.removeprefix(f'{name}.') for one in overrides)})" if overrides else ""
    )
    return name + apart + (f" [{', '.join(judged.flags)}]" if judged.flags else "")


def files_of(evaluated: Evaluated, name: str) -> list[tuple[Path, str | None]]:
    """What is sent, and into which folder: the report, its tables, the rows of this defense.

    What shows single patients stays where it is; of the page there is a copy without them. The
    rows of this defense, a row a record and attack, go only where `report.patients` is shown.
    """
    kept = {PAGE, *(table for risk in RISKS for table in risk.private | risk.per_patient)}
    found: list[tuple[Path, str | None]] = []
    for file in sorted(evaluated.folder.rglob("*")):
        place = file.relative_to(evaluated.folder)
        if file.suffix in KINDS and not kept.intersection(place.with_suffix("").parts):
            found.append((file, None if place.parent == Path() else place.parent.as_posix()))
    shown = evaluated.context.cfg.report.patients == "shown" and name in evaluated.examined
    rows = sorted(evaluated.examined[name].rglob("*.parquet")) if shown else []
    return found + [(file, f"measured/{file.parent.name}") for file in rows]


def parameters(cfg: Config, name: str, population: Population) -> dict[str, Any]:
    """The flattened configuration of one defense, and what its recipe says of the models."""
    return {
        "defense": name,
        "data": cfg.data.name,
        **_flat(cfg.model_dump(include=SECTIONS)),
        **_flat({name: cfg.defenses[name]}),
        **_flat(population.facts),
    }


def point_parameters(
    cfg: Config, name: str, point: Point, overrides: Sequence[str]
) -> dict[str, Any]:
    """Few, as MLflow's compare page offers the first that differ: the defense and the setting."""
    apart = {}
    for override in overrides:
        key, _, value = override.partition("=")
        apart[key.lstrip("+~")] = "removed" if key.startswith("~") else value
    return {"seed": cfg.seed, "model": cfg.model.name, **apart, "defense": name, **point.params}


def tags_of(evaluated: Evaluated, name: str, judged: Judgement) -> dict[str, str]:
    """What a run is found by, and where it comes from."""
    cfg = evaluated.context.cfg
    tags = {
        "defense": name,
        "data": cfg.data.name,
        "model": cfg.model.name,
        "schema_version": str(SCHEMA_VERSION),
        "flags": " ".join(judged.flags) or "none",
        "git_commit": _git_commit(),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "params_sha256": hashlib.sha256(canonical(cfg)).hexdigest(),
        "population_sha256": evaluated.populations[name].digest,
        "threat_model": NOT_REVIEWED if cfg.data.unreviewed else "",
        "noise": str(evaluated.populations[name].facts.get("noise", "")),
        "mlflow.runColor": _colour(list(evaluated.examined), name),
        **evaluated.conclusions.of_defense(name),
        **{f"flag.{flag}": why for flag, why in judged.flags.items()},
    }
    return {key: value for key, value in tags.items() if value}


def _colour(defenses: Sequence[str], name: str) -> str:
    """That of the report's pictures; none for a run of one, to be compared with its like."""
    return COLOURS[defenses.index(name) % len(COLOURS)] if len(defenses) > 1 else ""


def _git_commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=repository_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix.rstrip("."): values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in _flat(inner, f"{prefix}{name}.").items()
    }


def _log(
    run_id: str, figures: Iterable[Figure], params: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    """Writes metrics, parameters and tags of a run, by names that MLflow takes."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    metrics = [
        Metric(safe_key(name), float(value), timestamp=0, step=step)
        for name, value, step in figures
        if not pd.isna(value)
    ]
    described = [Param(safe_key(name), str(value)) for name, value in params.items()]
    marks = [RunTag(key, value) for key, value in tags.items()]
    MlflowClient().log_batch(run_id, metrics, described, marks)
