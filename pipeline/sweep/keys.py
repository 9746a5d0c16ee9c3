"""What decides a run, as digests: the configuration, the records, and the code that measures."""

import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pipeline.config import BASELINE, Config
from pipeline.data.schema import Dataset
from pipeline.defenses.keeping import version_of
from pipeline.files import sha256
from pipeline.models.own_code import code_version
from pipeline.risks import RISKS

PACKAGE = Path(__file__).parents[1]
# Sections of what a run of one recipe measures where it is asked to, and of what it never does.
STAGED = tuple(risk.name for risk in RISKS if risk.staged == "each")
ELSEWHERE = tuple(risk.name for risk in RISKS if risk.staged == "whole")
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
    *(f"stages/{name}.py" for name in STAGED),
)
NOT_MEASURING = ("params.py", "__main__.py")
# What makes a model, beside its defense: all else is whom it is asked about, and what.
MAKING = ("model", "train")


def only(cfg: Config, name: str) -> Config:
    """The configuration without what belongs to other defenses, which is no part of the key."""
    values = {field: getattr(cfg, field) for field in Config.model_fields} | dict(cfg.sections)
    return Config.model_construct(
        None, **{**values, "examine": [name], "extra": []}, **{name: cfg.defenses[name]}
    )


def undefended(cfg: Config) -> Config:
    """The same configuration, of no defense: what a run of this one is compared with."""
    return only(beside_none(cfg), BASELINE)


def beside_none(cfg: Config) -> Config:
    """The same configuration, with the recipe without a defense among its own."""
    values = {field: getattr(cfg, field) for field in Config.model_fields} | dict(cfg.sections)
    return Config.model_construct(None, **{**values, **cfg.defenses, BASELINE: {}})


def settings_key(cfg: Config) -> str:
    """The digest of all that a run of one recipe is decided by, but for the code and the records.

    Who differ only in what they do not use have the same.
    """
    asked = {"risks", *STAGED} if cfg.risks == "all" else set()
    return _digest(cfg, {"risks", *STAGED, *ELSEWHERE} - asked)


def question_key(cfg: Config) -> str:
    """The digest of whom a run asks what: who have the same differ in what makes their models.

    Their answers are paired by patient: same records, plan, seed, attackers, rule of the cut.
    """
    asked = {"risks", *STAGED} if cfg.risks == "all" else set()
    return _digest(undefended(cfg), {*MAKING, "risks", *STAGED, *ELSEWHERE} - asked)


def run_key(cfg: Config, dataset: Dataset) -> str:
    """The digest of the resolved configuration, of the code that measures, and of the records.

    Of a team's own recipe its code as well (`code_version`).
    It is the same whether or not `risks` asks for more: that is kept under a key of its own.
    """
    digest = hashlib.sha256(_digest(cfg, {"risks", *STAGED, *ELSEWHERE}).encode())
    digest.update(sha256(*measuring_code()).encode())
    digest.update(dataset.x.numpy().tobytes() + dataset.y.numpy().tobytes())
    if cfg.plan.frozen:  # whoever keeps or serves it may have put another in its place
        source, gaps = cfg.model.own["source"], cfg.model.own["gaps"]
        digest.update(version_of(source, dataset, gaps).encode())
    if factory := cfg.model.own.get("factory"):  # whoever wrote it may have edited it
        digest.update(code_version(str(factory)).encode())
    return digest.hexdigest()


def staged_key(cfg: Config) -> str:
    """The digest of what is measured beside, where it is asked for; else empty."""
    known = set(cfg.model_dump())
    return _digest(cfg, known - set(STAGED)) if cfg.risks == "all" else ""


def _digest(cfg: Config, without: Collection[str]) -> str:
    values = _as_floats(cfg.model_dump(exclude=set(without)))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _as_floats(values: Any) -> Any:
    """The same with every number as a float: `epsilon=1` and `epsilon=1.0` decide the same."""
    if isinstance(values, dict):
        return {key: _as_floats(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_as_floats(value) for value in values]
    number = isinstance(values, int) and not isinstance(values, bool)
    return float(values) if number else values


def measuring_code() -> list[Path]:
    """The files that decide a measurement; not those that draw up, show or log it."""
    package = PACKAGE
    found = {
        file for pattern in MEASURING for place in package.glob(pattern) for file in _python(place)
    }
    return sorted(
        file for file in found if file.relative_to(package).as_posix() not in NOT_MEASURING
    )


def _python(place: Path) -> Iterator[Path]:
    return place.rglob("*.py") if place.is_dir() else iter([place])
