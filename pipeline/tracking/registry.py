"""Release models in MLflow's model registry: one version for each set of weights.

The alias `candidate` is on the release of a defense that was audited last and has nothing against
it. It says no more: not that the model is better than another one, nor that anybody approved it.
Jobs of a sweep that differ in more than their defense share a name: none of them moves the alias,
which would follow whichever ended last, and each version's tags say whose it is.
"""

import re
import sys
from typing import TYPE_CHECKING

from pipeline.presentation.sector_words import in_words
from pipeline.tracking.evaluated import Evaluated
from pipeline.tracking.notes import USE, model_note, warnings_of
from pipeline.tracking.params import apart, kind_of
from pipeline.tracking.store import made_once

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "candidate"
MEANING = (
    "the last one audited that has no flag; jobs of a sweep that share the name do not move it"
)
WEIGHTS, AUDIT = "population_sha256", "audit_run"
_VERSION = re.compile(r"models:/([^/@]+)/(\d+)")


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
    told = {"flags": flags, AUDIT: run, **_whose(evaluated, defense)}
    for key, value in told.items():
        client.set_model_version_tag(name, version, key, value)
    _alias(
        client,
        name,
        version,
        clean=not warnings_of(evaluated, defense),
        one_of_several=bool(evaluated.parent and apart(defense, evaluated.overrides)),
    )


def mark_as_audited(evaluated: Evaluated, defense: str, run: str) -> None:
    """Tags somebody's registered version with the run of its audit, by which a gate finds it.

    Its description and its aliases are theirs. Who may not write there is told, and loses nothing.

    Args:
        evaluated: what it was audited by.
        defense: the recipe.
        run: id of the run of this audit.
    """
    named = str(evaluated.context.cfg.model.own.get("named", ""))
    registered = _VERSION.fullmatch(named)
    if registered is None:
        return
    from mlflow import MlflowClient, MlflowException

    tags = {
        WEIGHTS: evaluated.populations[defense].digest,
        AUDIT: run,
        "flags": " ".join(evaluated.judged(defense).flags) or "none",
    }
    try:
        for key, value in tags.items():
            MlflowClient().set_model_version_tag(*registered.groups(), key, value)
    except MlflowException as error:
        why = str(error).splitlines()[0]
        print(f"MLflow: {named}: is not marked as audited ({why})", file=sys.stderr)


def _named(client: "MlflowClient", name: str, description: str) -> None:
    known = client.search_registered_models(f"name = '{name}'")
    if known or name != made_once(
        lambda: client.create_registered_model(name, description=description).name, lambda: ""
    ):
        client.update_registered_model(name, description)


def _whose(evaluated: Evaluated, defense: str) -> dict[str, str]:
    """Which of the models of one name a version is: the kind, its seed, what set its job apart."""
    cfg = evaluated.context.cfg
    varied = ", ".join(
        f"{key}={value}" for key, value in apart(defense, evaluated.overrides).items()
    )
    kind = kind_of(cfg, defense, evaluated.populations[defense])
    return {"model": kind, "seed": str(cfg.seed), "set_apart_by": varied or "nothing"}


def _alias(
    client: "MlflowClient", name: str, version: str, *, clean: bool, one_of_several: bool
) -> None:
    """Sets the alias on a version without anything against it, and takes it from one with.

    One of several jobs of a sweep under this name does not take it from another.
    """
    (model,) = client.search_registered_models(f"name = '{name}'")
    held = {alias: str(place) for alias, place in model.aliases.items()}.get(ALIAS)
    if clean and held != str(version) and not one_of_several:
        client.set_registered_model_alias(name, ALIAS, version)
    elif not clean and held == str(version):
        client.delete_registered_model_alias(name, ALIAS)
