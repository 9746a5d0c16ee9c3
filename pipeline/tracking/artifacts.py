"""Files of a run: the report, its tables, the settings, where it comes from."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.config import configuration_sha256
from pipeline.data.signing import NOT_REVIEWED
from pipeline.files import git, write_json, write_text
from pipeline.presentation import SCHEMA_VERSION
from pipeline.risks import RISKS
from pipeline.tracking.datasets import data_digest
from pipeline.tracking.evaluated import Evaluated
from pipeline.tracking.params import settings

PAGE = "report"  # shows single patients
SHARED = "report_shared.html"  # does not
SETTINGS, PROVENANCE = "config.yaml", "provenance.json"
KINDS = (".html", ".csv", ".svg", ".json")


@contextmanager
def logged_files(evaluated: Evaluated, name: str) -> Iterator[list[tuple[Path, str | None]]]:
    """All files of a run of one defense, and the folder of each (None: none)."""
    import yaml

    with TemporaryDirectory() as scratch:
        written = [Path(scratch) / SETTINGS, Path(scratch) / PROVENANCE]
        told = settings(evaluated.context.cfg.model_dump(mode="json"))
        write_text(written[0], yaml.safe_dump(told, sort_keys=False, allow_unicode=True))
        write_json(written[1], provenance(evaluated, name))
        yield [*files_of(evaluated, name), *((file, None) for file in written)]


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


def provenance(evaluated: Evaluated, name: str) -> dict[str, str]:
    """Where the figures of a defense come from: code, data, settings, weights."""
    from importlib.metadata import version

    cfg = evaluated.context.cfg
    told = {
        "git_commit": git("rev-parse", "HEAD"),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "config_sha256": configuration_sha256(cfg),
        "data": cfg.data.name,
        "data_digest": data_digest(evaluated.context.dataset),
        "population_sha256": evaluated.populations[name].digest,
        "schema_version": str(SCHEMA_VERSION),
        "threat_model": NOT_REVIEWED if cfg.data.unreviewed else "reviewed",
        "torch": version("torch"),
        "mlflow": version("mlflow"),
    }
    return {key: value for key, value in told.items() if value}
