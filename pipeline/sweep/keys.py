"""What decides a run, as digests: the configuration, the records, and the code that measures."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Config, canonical
from pipeline.data.schema import Dataset
from pipeline.files import sha256

PACKAGE = Path(__file__).parents[1]
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
NOT_MEASURING = ("params.py", "__main__.py")


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
    package = PACKAGE
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
    package = PACKAGE
    return sha256(*sorted([*package.rglob("*.py"), *package.rglob("*.jinja")]))
