"""MLflow's view of the results. No stage reads it back; the files under `artifacts/` are the record.

Whoever may look at the store sees no patient's record in it, and not where this project lies on
this machine.

One parent run per evaluated defence holds its parameters, headline figures, curves (metrics with
steps), artifacts and the release model. Nested runs, one per setting of an attacker, hold the same
figures as plain metrics, for the compare page.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config import Config, canonical
from pipeline.files import repository_root
from pipeline.models.population import Population
from pipeline.presentation.pictures import COLOURS
from pipeline.risks import RISKS
from pipeline.risks.results import Results, judgements
from pipeline.risks.risk import Context, Figure, Judgement, Point
from pipeline.tracking.release import log_release, source_tags
from pipeline.tracking.store import find_finished, one_writer, open_store, readable_errors

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, RunTag

PARENT_TAG = "mlflow.parentRunId"
PAGE = "report"  # shows single patients
KINDS = (".html", ".csv", ".png", ".json")
BATCH = 1000  # metrics that MLflow takes at once


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation leaves to be logged.

    Attributes:
        results: the tables of every risk.
        context: whose they are.
        folder: where the report was written.
        examined: for each defence the folder of what was measured of it.
        populations: of each defence the trained models, the release model among them.
        overrides: `key=value` of whatever sets this evaluation apart from others of its defence;
            they stand in the runs' names.
    """

    results: Results
    context: Context
    folder: Path
    examined: Mapping[str, Path]
    populations: Mapping[str, Population]
    overrides: Sequence[str] = field(default=())


def log_evaluations(evaluated: Evaluated) -> None:
    """Logs every defence of an evaluation; one that is there already, unchanged, is not logged again.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    from tqdm import tqdm

    for name in tqdm(
        evaluated.populations, desc="logging to MLflow", unit="defense", disable=None, leave=False
    ):
        log_evaluation(evaluated, name)


def run_key(evaluated: Evaluated, name: str) -> str:
    """The digest of the configuration, the weights, and what is reported of a defence."""
    digest = hashlib.sha256(canonical(evaluated.context.cfg))
    digest.update(evaluated.populations[name].digest.encode())
    for risk in RISKS:
        for table in evaluated.results[risk.name].values():
            rows = table[table["defense"] == name] if "defense" in table else table
            digest.update(rows.to_csv(index=False).encode())
    return digest.hexdigest()


def log_evaluation(evaluated: Evaluated, name: str) -> None:
    """Logs one defence: a parent run, nested runs, the files of the report, and the release model."""
    cfg, population, key = (
        evaluated.context.cfg,
        evaluated.populations[name],
        run_key(evaluated, name),
    )
    experiment = open_store(cfg)
    import mlflow

    client = mlflow.MlflowClient()
    judged = judgements(evaluated.results).get(name, Judgement())
    title = run_name(name, judged, evaluated.overrides)
    run = (
        mlflow.start_run
    )  # a context manager: a run that fails is closed as failed, and logged anew
    with readable_errors(), one_writer():
        if find_finished(
            experiment, key
        ):  # asked inside: the same run may be started twice at once
            return
        tags = _tags(cfg, name, judged, population, key)
        with run(experiment_id=experiment, run_name=title, tags=source_tags()) as parent:
            client.log_batch(parent.info.run_id, params=_params(cfg, name, population), tags=tags)
            results = [(risk, evaluated.results[risk.name]) for risk in RISKS]
            metrics = _metrics(one for risk, own in results for one in risk.figures(own, name, cfg))
            for start in range(0, len(metrics), BATCH):
                client.log_batch(parent.info.run_id, metrics=metrics[start : start + BATCH])
            for file, place in files_of(evaluated, name):
                mlflow.log_artifact(str(file), place)
            log_release(population, evaluated.context.dataset.schema)
            shared = [
                tag for tag in tags if tag.key != "run_key"
            ]  # the parent's stands for the whole
            for point in (one for risk, own in results for one in risk.points(own, name, cfg)):
                what = ", ".join(f"{setting} {value}" for setting, value in point.params.items())
                parent_of = {PARENT_TAG: parent.info.run_id}
                child = client.create_run(experiment, tags=parent_of, run_name=f"{title}, {what}")
                params = _point_params(cfg, name, point, evaluated.overrides)
                client.log_batch(child.info.run_id, _metrics(point.figures), params, shared)
                client.set_terminated(child.info.run_id)


def run_name(name: str, judged: Judgement, overrides: Sequence[str] = ()) -> str:
    """The defence, what sets this run of it apart, and its flags: `dp_train (epsilon=8)`, as lists of runs show few letters."""
    apart = (
        f" ({', '.join(one.removeprefix(f'{name}.') for one in overrides)})" if overrides else ""
    )
    return name + apart + (f" [{', '.join(judged.flags)}]" if judged.flags else "")


def files_of(evaluated: Evaluated, name: str) -> list[tuple[Path, str | None]]:
    """What is sent of an evaluation, and into which folder: the report and its tables, and the rows of this defence.

    What shows single patients stays where it is; of the page there is a copy without them.
    """
    kept = {PAGE, *(name for risk in RISKS for name in risk.private | risk.per_patient)}
    found: list[tuple[Path, str | None]] = []
    for file in sorted(evaluated.folder.rglob("*")):
        place = file.relative_to(evaluated.folder)
        if file.suffix in KINDS and place.with_suffix("").parts[0] not in kept:
            found.append((file, None if place.parent == Path() else place.parent.as_posix()))
    rows = sorted(evaluated.examined[name].rglob("*.parquet")) if name in evaluated.examined else []
    return found + [(file, f"measured/{file.parent.name}") for file in rows]


def _params(cfg: Config, name: str, population: Population) -> "list[Param]":
    """The flattened configuration, without the features (an artifact) and without the other defences."""
    from mlflow.entities import Param

    sections = {
        section: getattr(cfg, section)
        for section in ("seed", "plan", "model", "train", "threat", "attack", "audit")
    }
    values = {
        "defense": name,
        "data": cfg.data.name,
        **_flat(json.loads(json.dumps(sections, default=lambda s: s.model_dump()))),
    }
    values |= _flat({name: cfg.defenses[name]}) | _flat(population.facts)
    return [Param(key, str(value)) for key, value in values.items()]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix.rstrip("."): values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in _flat(inner, f"{prefix}{name}.").items()
    }


def _tags(
    cfg: Config, name: str, judged: Judgement, population: Population, key: str
) -> "list[RunTag]":
    from mlflow.entities import RunTag

    values = {
        "defense": name,
        "data": cfg.data.name,
        "model": cfg.model.name,
        "flags": " ".join(judged.flags) or "none",
        "git_commit": _git_commit(),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "params_sha256": hashlib.sha256(canonical(cfg)).hexdigest(),
        "population_sha256": population.digest,
        "run_key": key,
        "mlflow.runColor": _colour(cfg, name),
        **{f"flag.{flag}": why for flag, why in judged.flags.items()},
    }
    return [RunTag(key, value) for key, value in values.items() if value]


def _colour(cfg: Config, name: str) -> str:
    """That of the report's pictures; none for a run of one defence, which is compared with others of the same defence."""
    return COLOURS[list(cfg.defenses).index(name) % len(COLOURS)] if len(cfg.defenses) > 1 else ""


def _metrics(figures: Iterable[Figure]) -> "list[Metric]":
    from mlflow.entities import Metric

    return [
        Metric(name, float(value), timestamp=0, step=step)
        for name, value, step in figures
        if not pd.isna(value)
    ]


def _git_commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=repository_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def _point_params(cfg: Config, name: str, point: Point, overrides: Sequence[str]) -> "list[Param]":
    """Few, because MLflow's compare page offers the first that differ: the defence and the setting must be among them."""
    from mlflow.entities import Param

    values = {"seed": cfg.seed, "model": cfg.model.name} | dict(
        one.split("=", 1) for one in overrides
    )
    values |= {"defense": name, **point.params}
    return [Param(key, str(value)) for key, value in values.items()]
