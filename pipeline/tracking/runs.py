"""MLflow's view of the results. No stage reads it; the files under `artifacts/` are the record.

Whoever may look at the store sees no patient's record in it, and not where this project lies on
this machine.

One parent run per evaluated defense holds the few figures that a team compares, two curves, files,
the cohort's name and digest, a note, and the release model. Nested runs, one per setting of an
attacker, hold figures at that setting. `tracking.nested` and `tracking.files` leave out what is too
much for sweeps of many jobs: then a job is one run.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.data.signing import NOT_REVIEWED
from pipeline.presentation import SCHEMA_VERSION
from pipeline.presentation.pictures import COLOURS
from pipeline.presentation.sector_words import Words, in_words
from pipeline.risks import RISKS
from pipeline.risks.risk import Figure, Judgement
from pipeline.tracking.artifacts import logged_files
from pipeline.tracking.datasets import dataset_input
from pipeline.tracking.evaluated import Evaluated, run_key
from pipeline.tracking.keys import safe_key
from pipeline.tracking.notes import NOTE, experiment_note, run_note
from pipeline.tracking.params import apart, parameters, point_parameters
from pipeline.tracking.registry import mark_as_audited, model_name, register
from pipeline.tracking.release import log_release, source_tags
from pipeline.tracking.store import (
    JOB,
    PARENT_TAG,
    end_unfinished,
    find_finished,
    one_writer,
    open_store,
    readable_errors,
)
from pipeline.tracking.views import TAG, view

__all__ = [
    "PARENT_TAG",
    "Evaluated",
    "log_evaluation",
    "log_evaluations",
    "run_key",
    "run_name",
    "tags_of",
]


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
    data = evaluated.context.cfg.data
    note = experiment_note(data.title, evaluated, spoken=data.spoken)
    _tell(open_store(evaluated.context.cfg), {NOTE: note})


def log_evaluation(evaluated: Evaluated, name: str) -> None:
    """Logs one defense: a parent run, nested runs, the files of the report, the release model.

    Nothing is logged when a finished run has the same `run_key`. A run is finished with its last
    word, so that what a killed process left is never taken for it; where nobody else can be at it,
    because the store has one writer or the job was claimed, that is marked as killed.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    cfg, results, population = evaluated.context.cfg, evaluated.results, evaluated.populations[name]
    key, experiment = run_key(evaluated, name), open_store(cfg)
    import mlflow

    title = run_name(name, evaluated.judged(name), evaluated.overrides)
    tags = tags_of(evaluated, name)
    figures = [one for risk in RISKS for one in risk.figures(results[risk.name], name, cfg)]
    points = [
        one
        for risk in RISKS
        for one in (risk.points(results[risk.name], name, cfg) if cfg.tracking.nested else ())
    ]
    shown = view(cfg, curves_among(figures), _held_by_all(evaluated), below=bool(evaluated.parent))
    _tell(experiment, {TAG: shown})
    run = mlflow.start_run  # one that fails is closed as failed, and is logged anew next time
    above = {**source_tags(), **({PARENT_TAG: evaluated.parent} if evaluated.parent else {})}
    above |= {"run_key": key, **({JOB: evaluated.job} if evaluated.job else {})}
    with readable_errors(), one_writer() as alone:
        if find_finished(experiment, key):
            return
        if alone or evaluated.job:
            end_unfinished(experiment, key)
        with run(experiment_id=experiment, run_name=title, tags=above) as parent:
            run_id, client = parent.info.run_id, mlflow.MlflowClient()
            whole = {**tags, NOTE: run_note(evaluated, name)}
            _log(run_id, figures, parameters(cfg, name, population, evaluated.overrides), whole)
            client.log_inputs(run_id, [dataset_input(evaluated.context.dataset, cfg.data)])
            if cfg.tracking.files:
                _log_files(evaluated, name, run_id)
            for point in points:
                setting = ", ".join(f"{what} {value}" for what, value in point.params.items())
                known = point_parameters(cfg, name, population, point, evaluated.overrides)
                of_parent = {**source_tags(), PARENT_TAG: run_id}
                child = client.create_run(
                    experiment, tags=of_parent, run_name=f"{title}, {setting}"
                ).info.run_id
                _log(child, point.figures, known, tags)
                client.set_terminated(child)


def _log_files(evaluated: Evaluated, name: str, run_id: str) -> None:
    """Files of the run that is active, and its release model."""
    import mlflow

    cfg, population = evaluated.context.cfg, evaluated.populations[name]
    with logged_files(evaluated, name) as files:
        for file, place in files:
            mlflow.log_artifact(str(file), place)
    schema, named = evaluated.context.dataset.schema, model_name(cfg.data.name, name)
    theirs = cfg.plan.frozen  # whose model it is, they keep it
    if theirs:
        mark_as_audited(evaluated, name, run_id)
    elif model := log_release(population, schema, named):
        register(evaluated, name, run_id, model)


def run_name(name: str, judged: Judgement, overrides: Sequence[str] = ()) -> str:
    """The defense, what sets this run of it apart, and its flags: `dp_train (epsilon=8)`.

    Short, because lists of runs show few letters.
    """
    told = ", ".join(f"{key}={value}" for key, value in apart(name, overrides).items())
    flags = f" [{', '.join(judged.flags)}]" if judged.flags else ""
    return f"{name} ({told}){flags}" if told else f"{name}{flags}"


def tags_of(evaluated: Evaluated, name: str) -> dict[str, str]:
    """What a run is found by, and what is concluded of it; digests are in a file of the run."""
    cfg, population = evaluated.context.cfg, evaluated.populations[name]
    tags = {
        "defense": name,
        "schema_version": str(SCHEMA_VERSION),
        "flags": " ".join(evaluated.judged(name).flags) or "none",
        "threat_model": NOT_REVIEWED if cfg.data.unreviewed else "",
        "noise": str(population.facts.get("noise", "")),
        "mlflow.runColor": _colour(list(evaluated.examined), name),
        **_told(evaluated.conclusions.of_defense(name), cfg.data.spoken),
    }
    return {key: value for key, value in tags.items() if value}


def _told(said: Mapping[str, str], words: Words) -> dict[str, str]:
    return {key: in_words(text, words) for key, text in said.items()}


def curves_among(figures: Iterable[Figure]) -> list[str]:
    """The names that stand at several steps, in their order."""
    steps: dict[str, set[int]] = {}
    for name, _, step in figures:
        steps.setdefault(safe_key(name), set()).add(step)
    return [name for name, of_name in steps.items() if len(of_name) > 1]


def _held_by_all(evaluated: Evaluated) -> set[str]:
    """The metrics that the run of each defense of this evaluation has."""
    cfg, results = evaluated.context.cfg, evaluated.results
    of_risks = [risk.metrics(results[risk.name], cfg) for risk in RISKS]
    held = (
        {
            safe_key(name)
            for of_risk in of_risks
            for name, value in of_risk.get(defense, {}).items()
            if not pd.isna(value)
        }
        for defense in evaluated.populations
    )
    return set.intersection(*held)


def _colour(defenses: Sequence[str], name: str) -> str:
    """That of the report's pictures; none for a run of one, to be compared with its like."""
    return COLOURS[defenses.index(name) % len(COLOURS)] if len(defenses) > 1 else ""


def _tell(experiment: str, tags: Mapping[str, str]) -> None:
    """Sets those tags of an experiment that are not yet so."""
    from mlflow import MlflowClient

    client = MlflowClient()
    with readable_errors(), one_writer():
        known = client.get_experiment(experiment).tags
        for key, value in tags.items():
            if known.get(key) != value:
                client.set_experiment_tag(experiment, key, value)


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
