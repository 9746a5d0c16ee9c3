"""Handwritten digits for tests: the pictures of `data=digits`, configured in seconds."""

from typing import Any

import tiny
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset

FOLDS = 2  # of one repetition, without a release model


def configured(*overrides: str, **changes: dict[str, Any]) -> Config:
    """`experiment=digits` with a cut at even odds, and keys of sections changed."""
    from pipeline import params  # and with it every risk

    cfg = params.configured(["experiment=digits", *overrides], tiny.ROOT / "conf")
    changes = {"decision": {"rule": "threshold", "value": 0.5}, **changes}
    sections = {name: getattr(cfg, name).model_copy(update=keys) for name, keys in changes.items()}
    return cfg.model_copy(update=sections)


def pictures(cfg: Config) -> Dataset:
    """All of them."""
    from pipeline.data.raw import read_raw

    return read_raw(cfg.data, tiny.ROOT)[0]


def halves(dataset: Dataset) -> Plan:
    """Two models, each trained on one half and scored on the other."""
    return Plan.cross_validation(dataset.y, folds=FOLDS, seeds=1, seed=0, release=False)
