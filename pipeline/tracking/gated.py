"""What a gate said, on the version of the model that it is about: tags always, an alias on a pass.

The tag says what the last gate found. The alias names the newest version that was ever passed: it
moves to a later version only, and only when that is passed; it is never taken away here, because
something may be served by it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.files import BadInput
from pipeline.tracking.registry import AUDIT, WEIGHTS, model_name
from pipeline.tracking.store import one_writer, quiet, readable_errors, store_to_look_at

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

STATE = "medsecure.gate"


def mark_version(
    data: str,
    defense: str,
    weights: str,
    tags: Mapping[str, str],
    alias: str | None,
    dry_run: bool = False,
) -> list[str]:
    """Tags the registered versions with the audited weights, and the runs of their audits.

    The release of the recipe, or else whatever is registered of somebody's model that was audited
    as `models:/...`: of each name the newest version with these weights.

    Args:
        data: the name of the cohort.
        defense: the recipe.
        weights: the digest that the audit names.
        tags: `STATE` (passed, failed or unclear) among them.
        alias: that moves there on a pass; None = none does.
        dry_run: says what would be done, and does nothing.

    Returns:
        what was done, in lines.

    Raises:
        BadInput: no version has these weights, or the store cannot be reached.
    """
    if not weights:
        raise BadInput(f"audit.json names no digest of {defense}: audit it with this version")
    quiet()
    uri, name = store_to_look_at(), model_name(data, defense)
    with readable_errors(), one_writer():
        import mlflow

        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient()
        lines = []
        for version in _audited(client, name, weights):
            lines.append(f"{version.name} version {version.version}: {STATE} {tags[STATE]}")
            moves, said = _forwards(client, version, tags[STATE], alias)
            lines += [said] if said else []
            if dry_run:
                continue
            for key, value in tags.items():
                client.set_model_version_tag(version.name, version.version, key, value)
                if run := version.tags.get(AUDIT):
                    client.set_tag(run, key, value)
            if moves and alias:
                client.set_registered_model_alias(version.name, alias, version.version)
    return [f"would: {line}" for line in lines] if dry_run else lines


def _audited(client: "MlflowClient", name: str, weights: str) -> list["ModelVersion"]:
    """The versions with the weights: of the recipe's name, or else the newest of each.

    Raises:
        BadInput: there is none.
    """
    own = client.search_model_versions(f"name = '{name}'")
    same = [one for one in own if one.tags.get(WEIGHTS) == weights][:1]
    found = same or client.search_model_versions(f"tag.{WEIGHTS} = '{weights}'")
    newest = {one.name: one for one in sorted(found, key=lambda one: int(one.version))}
    if newest:
        return [newest[one] for one in sorted(newest)]
    known = ", ".join(str(one.version) for one in own) or "none"
    raise BadInput(
        f"MLflow: no version of {name} has the audited weights {weights[:12]} (versions: {known}), "
        "and no other model's; somebody's model is marked where it was audited as models:/..."
    )


def _forwards(
    client: "MlflowClient", version: "ModelVersion", state: str, alias: str | None
) -> tuple[bool, str]:
    """Whether the alias moves to a version, and what is said of it."""
    if alias is None:
        return False, ""
    (model,) = client.search_registered_models(f"name = '{version.name}'")
    held = {key: int(place) for key, place in model.aliases.items()}.get(alias)
    number = int(version.version)
    if state != "passed":
        stays = f"stays on version {held}" if held else "is on no version"
        also = ", which is not passed any more" if held == number else ""
        return False, f"alias {alias} {stays}{also}"
    if held == number:
        return False, f"alias {alias} is on version {number} already"
    if held is not None and held > number:
        return False, f"alias {alias} stays on version {held}, which is newer"
    return True, f"alias {alias} moves to version {number}" + (f" from {held}" if held else "")
