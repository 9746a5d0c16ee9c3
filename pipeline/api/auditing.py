"""`medsecure audit`: a model that is deployed already, as the overrides of a run."""

import argparse
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="SOURCE",
        help="a .skops, XGBoost's .json, LightGBM's .txt, a folder of medsecure's, "
        "package.module:attribute, http://..., models:/... or runs:/... of MLflow",
    )
    add("--data", metavar="NAME", help="of the schema in conf/data/; the project's, if not given")
    add("--records", metavar="FILE", help="a later file of the same cohort")
    add("--trained-on", metavar="FILE", help="a CSV of the records that it was trained on")
    add("--threshold", type=float, metavar="P", help="from which on it calls ill (default: 0.5)")


def asked_for(given: argparse.Namespace) -> list[str]:
    """The overrides of `python -m pipeline` that audit a model as it is.

    Raises:
        BadInput: a model of MLflow's store is not there, or kept in a way that could run code.
    """
    source, named = given.model, None
    if source.startswith(("models:/", "runs:/")):
        from pipeline.tracking.kept import brought, resolved

        named = resolved(source)
        source = brought(named)
    said = {
        "model.source": _whole(source) if Path(source).exists() else source,
        "model.named": named,
        "data": given.data,
        "data.file": _whole(given.records),
        "plan.trained_on": _whole(given.trained_on),
        "decision.value": given.threshold,
    }
    chosen = [f"{key}={_quoted(value)}" for key, value in said.items() if value is not None]
    return ["defense=baseline", "experiment=deployed", *chosen]


def _whole(path: str | None) -> str | None:
    """A path as it is from wherever the run starts."""
    return path and os.path.abspath(path)


def _quoted(value: str | float) -> str:
    """As Hydra reads it, whatever signs it holds."""
    if isinstance(value, float):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
