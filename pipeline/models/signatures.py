"""In which order a model that was fitted on an array wants its columns, where MLflow was told."""

import json
from pathlib import Path
from typing import Any

import yaml

from pipeline.data.schema import Schema
from pipeline.files import BadInput

DESCRIBED = "MLmodel"


def refuse_other_order(estimator: Any, path: Path, schema: Schema) -> None:
    """Refuses a model without names whose signature, beside its file, has another order.

    Such a model is given the columns in the order of the schema, and would answer about others.

    Args:
        estimator: fitted; one that knows its columns' names takes them by these.
        path: of its file; `MLmodel` lies beside it where it is one of MLflow's.
        schema: of the records.

    Raises:
        BadInput: the orders differ.
    """
    if getattr(estimator, "feature_names_in_", None) is not None:
        return
    told = _columns(path.parent / DESCRIBED)
    if told and told != list(schema.names):
        place = next(
            (
                at
                for at, pair in enumerate(zip(told, schema.names, strict=False))
                if len({*pair}) > 1
            ),
            min(len(told), len(schema.names)),
        )
        first = told[place] if place < len(told) else "none"
        ours = schema.names[place] if place < len(schema.names) else "none"
        raise BadInput(
            "model: was fitted on an array, whose columns are by its signature in another order "
            f"than the schema's (column {place + 1}: {first!r}, of the schema {ours!r}); fit it on "
            "a data frame, then it takes them by name"
        )


def _columns(described: Path) -> list[str]:
    """The names of a signature; empty where there is none, or it has none."""
    try:
        signature = yaml.safe_load(described.read_text(encoding="utf-8")).get("signature") or {}
        return [str(one["name"]) for one in json.loads(signature.get("inputs") or "[]")]
    except (OSError, yaml.YAMLError, ValueError, AttributeError, KeyError, TypeError):
        return []
