"""The release of an audit, as files of their own, from the version that was registered."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.files import BadInput
from pipeline.tracking.kept import POPULATION
from pipeline.tracking.registry import WEIGHTS, model_name
from pipeline.tracking.store import quiet, readable_errors, store_to_look_at


def fetch_release(data: str, defense: str, digest: str, place: Path) -> str:
    """Copies the registered release of some trained models into a folder.

    Args:
        data: the name of the cohort.
        defense: the recipe.
        digest: of the trained models, as the audit names it.
        place: the folder.

    Returns:
        the version, for people.

    Raises:
        BadInput: no version has this digest, or the store cannot be reached.
    """
    quiet()
    uri, name = store_to_look_at(), model_name(data, defense)
    with readable_errors(), TemporaryDirectory() as scratch:
        import mlflow

        mlflow.set_tracking_uri(uri)
        versions = mlflow.MlflowClient().search_model_versions(f"name = '{name}'")
        chosen = [one for one in versions if one.tags.get(WEIGHTS) == digest]
        if not chosen:
            known = ", ".join(str(one.version) for one in versions) or "none"
            raise BadInput(
                f"MLflow: no version of {name} has the audited weights {digest[:12]} (versions: "
                f"{known}); `medsecure run` registers networks; of trees and other people's models"
                " give --release FOLDER, where they were trained or audited"
            )
        address = f"models:/{name}/{chosen[0].version}"
        found = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=scratch)
        kept = sorted(Path(found).rglob(POPULATION))
        if not kept:
            raise BadInput(f"MLflow: {address} holds no {POPULATION}")
        shutil.copytree(kept[0].parent, place, dirs_exist_ok=True)
    return f"{name} version {chosen[0].version}"
