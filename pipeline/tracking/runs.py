"""MLflow's view of the results. No stage reads it back; the files under `artifacts/` are the record.

Whoever may look at the store sees no patient's record in it, and not where this project lies on this machine.

One parent run per evaluated defence holds its parameters, headline figures, curves (metrics whose step is the radius
in thousandths), artifacts and the release model. One nested run per radius holds the same figures as plain metrics, for
the compare page.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from modulefinder import ModuleFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config import Config, canonical
from pipeline.data.schema import Schema, save_schema
from pipeline.files import repository_root, write_json
from pipeline.models.population import Population
from pipeline.presentation.pictures import COLOURS
from pipeline.risks.evasion.clinic import without_patients
from pipeline.risks.evasion.tables import Evaluation
from pipeline.tracking.metrics import Figure, at_radius, figures_of, flags_of
from pipeline.tracking.store import find_finished, one_writer, open_store, readable_errors

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.models import Model

# Tables that hold measurements of single patients: they stay in `artifacts/`.
OF_PATIENTS = ("patients.parquet", "exposure.parquet", "exposed.csv", "fragile.csv")
KINDS = (".html", ".csv", ".png", ".json", ".parquet")
PACKAGE = Path(__file__).parents[1]
PARENT_TAG = "mlflow.parentRunId"
BATCH = 1000  # metrics that MLflow takes at once


def log_evaluations(
    evaluation: Evaluation, populations: Mapping[str, Population], schema: Schema, cfg: Config, folder: Path
) -> None:
    """Logs every defence of an evaluation; one that is there already, unchanged, is not logged again."""
    from tqdm import tqdm

    for name in tqdm(populations, desc="logging to MLflow", unit="defence", disable=None, leave=False):
        table = evaluation.comparison[evaluation.comparison["defense"] == name]
        digest = hashlib.sha256(canonical(cfg))
        digest.update(populations[name].digest.encode() + _results(folder, name))
        log_evaluation(cfg, name, table, populations[name], schema=schema, folder=folder, run_key=digest.hexdigest())


def _results(folder: Path, name: str) -> bytes:
    """The rows of a defence in every table."""
    tables = [pd.read_csv(file) for file in sorted(folder.glob("*.csv"))]
    own = (table[table["defense"] == name] if "defense" in table else table for table in tables)
    return b"".join(table.to_csv(index=False).encode() for table in own)


def log_evaluation(
    cfg: Config,
    name: str,
    table: pd.DataFrame,
    population: Population,
    *,
    schema: Schema,
    folder: Path,
    run_key: str,
    overrides: Sequence[str] = (),
) -> None:
    """Logs one defence: a parent run, a nested run per radius, the files of `folder`, and the release model.

    Args:
        cfg: the configuration; its sections become parameters.
        name: of the defence.
        table: its rows of the comparison.
        population: the trained models, the release model among them.
        schema: of the records that the release model takes.
        folder: where `write_evaluation` wrote.
        run_key: of this run; nothing is logged when a finished run has it.
        overrides: `key=value` of whatever sets this run apart from others of its defence; they stand in its name.

    Raises:
        BadInput: the store cannot be reached or written.
    """
    experiment = open_store(cfg)
    if find_finished(experiment, run_key):
        return
    import mlflow

    client = mlflow.MlflowClient()
    title = run_name(name, str(table["flags"].iloc[0]), overrides)
    tags = _tags(cfg, name, table, population, run_key)
    run = mlflow.start_run  # a context manager: a run that fails is closed as failed, and is logged anew next time
    with readable_errors(), one_writer(), run(experiment_id=experiment, run_name=title, tags=_source()) as parent:
        client.log_batch(parent.info.run_id, params=_params(cfg, name, population), tags=tags)
        metrics = _metrics(figures_of(table, folder, name, cfg))
        for start in range(0, len(metrics), BATCH):
            client.log_batch(parent.info.run_id, metrics=metrics[start : start + BATCH])
        _log_files(folder, name)
        _log_release(population.release(), schema)
        own = [tag for tag in tags if tag.key != "run_key"]  # the parent's key stands for the whole
        headline = table[table["threat"] == cfg.audit.headline]
        comparable = table[table["eps_unit"] == headline["eps_unit"].iloc[0]]
        for eps in headline["eps"]:
            nested = f"{title}, eps {eps:g}"
            child = client.create_run(experiment, tags={PARENT_TAG: parent.info.run_id}, run_name=nested).info.run_id
            lines = comparable[comparable["eps"] == eps]
            client.log_batch(
                child, _metrics(at_radius(lines, cfg.audit.headline)), _radius_params(cfg, name, eps, overrides), own
            )
            client.set_terminated(child)


def run_name(name: str, flags: str, overrides: Sequence[str] = ()) -> str:
    """The defence, what sets this run of it apart, and its flags: `dp_train (epsilon=8)`, as lists of runs show few letters."""
    apart = f" ({', '.join(one.removeprefix(f'{name}.') for one in overrides)})" if overrides else ""
    return name + apart + (f" [{flags.replace(' ', ', ')}]" if flags else "")


def _params(cfg: Config, name: str, population: Population) -> "list[Param]":
    """The flattened configuration, without the features (an artifact) and without the other defences."""
    from mlflow.entities import Param

    sections = {field: getattr(cfg, field) for field in ("seed", "plan", "model", "train", "threat", "attack", "audit")}
    values = {"defense": name, "data": cfg.data.name, **_flat(json.loads(json.dumps(sections, default=lambda s: s.model_dump())))}
    values |= _flat({name: cfg.defenses[name]}) | _flat(population.facts)
    return [Param(key, str(value)) for key, value in values.items()]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix.rstrip("."): values}
    return {key: value for name, inner in values.items() for key, value in _flat(inner, f"{prefix}{name}.").items()}


def _tags(cfg: Config, name: str, table: pd.DataFrame, population: Population, run_key: str) -> "list[RunTag]":
    from mlflow.entities import RunTag

    values = {
        "defense": name,
        "data": cfg.data.name,
        "model": cfg.model.name,
        "flags": str(table["flags"].iloc[0]) or "none",
        "git_commit": _git_commit(),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "params_sha256": hashlib.sha256(canonical(cfg)).hexdigest(),
        "population_sha256": population.digest,
        "run_key": run_key,
        "mlflow.runColor": _colour(cfg, name),
        **{f"flag.{flag}": why for flag, why in flags_of(table).items()},
    }
    return [RunTag(key, value) for key, value in values.items() if value]


def _colour(cfg: Config, name: str) -> str:
    """That of the report's pictures; none for a run of one defence, which is compared with others of the same defence."""
    return COLOURS[list(cfg.defenses).index(name) % len(COLOURS)] if len(cfg.defenses) > 1 else ""


def _source() -> dict[str, str]:
    """What MLflow would say of the script that runs: its name, but not its place, nor the address of a remote of git.

    That address can be a folder of this machine, and it can hold a password.
    """
    return {"mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.git.repoURL": ""}


def _metrics(figures: Iterable[Figure]) -> "list[Metric]":
    from mlflow.entities import Metric

    return [Metric(name, float(value), timestamp=0, step=step) for name, value, step in figures if not pd.isna(value)]


def _git_commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository_root(), capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _radius_params(cfg: Config, name: str, eps: float, overrides: Sequence[str]) -> "list[Param]":
    """Few, because MLflow's compare page offers the first that differ: the defence and the radius must be among them."""
    from mlflow.entities import Param

    values = {"seed": cfg.seed, "model": cfg.model.name} | dict(one.split("=", 1) for one in overrides)
    values |= {"defense": name, "eps": f"{eps:g}"}
    return [Param(key, str(value)) for key, value in values.items()]


def _log_files(folder: Path, name: str) -> None:
    import mlflow

    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        own = place.parts[0] not in ("rows", "verdicts", "population", "leakage") or name in (place.stem, place.parent.name)
        if not file.is_file() or not own or file.suffix not in KINDS or file.name in OF_PATIENTS:
            continue
        if file.suffix == ".html":
            mlflow.log_text(without_patients(file.read_text(encoding="utf-8")), place.as_posix())
        else:
            mlflow.log_artifact(str(file), None if place.parent == Path(".") else str(place.parent))


def _log_release(release: Population, schema: Schema) -> None:
    """Logs the release model: code, weights and schema as plain files, with a signature and an input example of the schema."""
    from mlflow.models import Model

    from pipeline.serving.release import input_example, signature

    with TemporaryDirectory() as scratch:
        place, code = Path(scratch) / "release", Path(scratch) / PACKAGE.name
        place.mkdir()
        release.save(place)
        save_schema(schema, place)
        write_json(place / "facts.json", release.facts)
        _copy_code(PACKAGE / "serving" / "release.py", code)
        Model.log(
            None,  # the former name of `name`
            name="model",
            flavor=SimpleNamespace(save_model=_save_model),
            tags=_source(),
            python_model=str(PACKAGE / "serving" / "release.py"),
            artifacts={"release": str(place)},
            code_paths=[str(code)],
            signature=signature(schema),
            input_example=input_example(schema),
            pip_requirements=_requirements(),
        )


def _copy_code(script: Path, place: Path) -> None:
    """Copies the modules of the package that a script imports, and nothing else that may lie beside them."""
    finder = ModuleFinder([str(PACKAGE.parent)])
    finder.run_script(str(script))
    for module in finder.modules.values():
        file = Path(getattr(module, "__file__", None) or "/")  # built-in ones have none
        if file.is_relative_to(PACKAGE):
            target = place / file.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _save_model(path: str, mlflow_model: "Model", **kwargs: Any) -> None:
    """Saves a model as `mlflow.pyfunc` does, and takes out of its description where everything lay on this machine.

    MLflow finds all of it by paths within the model.
    """
    import mlflow

    mlflow.pyfunc.save_model(path=path, mlflow_model=mlflow_model, **kwargs)
    mlflow_model.artifact_path = None
    described = mlflow_model.flavors["python_function"]
    described["model_code_path"] = Path(described["model_code_path"]).name
    for artifact in described["artifacts"].values():
        artifact["uri"] = artifact["path"]
    mlflow_model.save(str(Path(path) / "MLmodel"))


def _requirements() -> list[str]:
    """What the served model needs, at the versions that made it."""
    from importlib.metadata import version

    needed = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "torch", "tqdm")
    return [f"{package}=={version(package).split('+')[0]}" for package in needed]
