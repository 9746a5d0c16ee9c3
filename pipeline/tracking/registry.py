"""Release models in MLflow's model registry: one version for each set of weights.

The alias `candidate` is on the release of a defense that was audited last and has nothing against
it. It says no more: not that the model is better than another one, nor that anybody approved it.
"""

import re
from typing import TYPE_CHECKING

from pipeline.presentation.sector_words import in_words
from pipeline.tracking.evaluated import Evaluated
from pipeline.tracking.notes import USE, model_note, warnings_of
from pipeline.tracking.store import made_once

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS, MEANING = "candidate", "the last one audited that has no flag"
WEIGHTS, AUDIT = "population_sha256", "audit_run"


def model_name(data: str, defense: str) -> str:
    """`<data>-<defense>`, as the registry takes it."""
    return re.sub(r"[^\w-]", "_", f"{data}-{defense}", flags=re.ASCII)


def register(evaluated: Evaluated, defense: str, run: str, model: str) -> None:
    """Registers a logged model, unless a version has the same weights; then that one is described.

    Args:
        evaluated: what it was audited by.
        defense: the recipe.
        run: id of the run of this audit.
        model: id of the logged model.
    """
    from mlflow import MlflowClient

    client, cfg = MlflowClient(), evaluated.context.cfg
    name, weights = model_name(cfg.data.name, defense), evaluated.populations[defense].digest
    said = f"Release models of `{defense}` on {cfg.data.title}. {USE} `{ALIAS}`: {MEANING}."
    _named(client, name, in_words(said, cfg.data.spoken))
    known = [
        one.version
        for one in client.search_model_versions(f"name = '{name}'")
        if one.tags.get(WEIGHTS) == weights
    ]
    flags = " ".join(evaluated.judged(defense).flags) or "none"
    if known:
        version = known[0]
    else:
        version = client.create_model_version(
            name, f"models:/{model}", run, tags={WEIGHTS: weights}, model_id=model
        ).version
    client.update_model_version(name, version, model_note(evaluated, defense))
    client.set_model_version_tag(name, version, "flags", flags)
    client.set_model_version_tag(name, version, AUDIT, run)
    _alias(client, name, version, clean=not warnings_of(evaluated, defense))


def _named(client: "MlflowClient", name: str, description: str) -> None:
    known = client.search_registered_models(f"name = '{name}'")
    if known or name != made_once(
        lambda: client.create_registered_model(name, description=description).name, lambda: ""
    ):
        client.update_registered_model(name, description)


def _alias(client: "MlflowClient", name: str, version: str, *, clean: bool) -> None:
    """Sets the alias on a version without anything against it, and takes it from one with."""
    (model,) = client.search_registered_models(f"name = '{name}'")
    held = {alias: str(place) for alias, place in model.aliases.items()}.get(ALIAS)
    if clean and held != str(version):
        client.set_registered_model_alias(name, ALIAS, version)
    elif not clean and held == str(version):
        client.delete_registered_model_alias(name, ALIAS)
