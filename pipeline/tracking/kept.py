"""Models of MLflow's store: which file of one is opened, and that none is unpickled."""

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.files import BadInput, folder, repository_root
from pipeline.tracking.store import quiet, readable_errors, tracking_uri

ADDRESSES = ("models:/", "runs:/")
PLACE = Path("sweeps") / "models"
DESCRIBED, POPULATION = "MLmodel", "population.json"
NEWEST = "latest"
_MOVES = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/latest)")


def resolved(address: str) -> str:
    """The address of the very version that an alias, or `latest`, is on now; others as they are.

    An alias moves: what was audited is a version.

    Raises:
        BadInput: there is no such model, or no such alias of it.
    """
    moving = _MOVES.fullmatch(address)
    if moving is None:
        return address
    quiet()
    with readable_errors():
        import mlflow

        mlflow.set_tracking_uri(tracking_uri())
        client, (name, alias) = mlflow.MlflowClient(), moving.groups()
        try:
            if alias:
                version = client.get_model_version_by_alias(name, alias).version
            else:
                known = client.search_model_versions(f"name = '{name}'")
                version = max((int(one.version) for one in known), default=NEWEST)
        except mlflow.exceptions.MlflowException as error:
            raise BadInput(f"--model {address}: {str(error).splitlines()[0]}") from error
    return f"models:/{name}/{version}"


def brought(address: str) -> str:
    """Downloads a model and returns the source of what is opened of it.

    Args:
        address: `models:/name@alias`, `models:/name/3`, `runs:/<run>/<path>`.

    Raises:
        BadInput: there is no such model, or it is kept in a way that could run code when opened.
    """
    quiet()
    with readable_errors():
        import mlflow

        mlflow.set_tracking_uri(tracking_uri())
        named = "".join(one if one.isalnum() else "-" for one in address)
        place = repository_root() / PLACE / named
        with folder(place) as fresh:  # what an alias named before is gone
            try:
                found = mlflow.artifacts.download_artifacts(
                    artifact_uri=address, dst_path=str(fresh)
                )
            except mlflow.exceptions.MlflowException as error:
                raise BadInput(f"--model {address}: {str(error).splitlines()[0]}") from error
            inside = Path(found).resolve().relative_to(fresh.resolve())
    return opened_of(place / inside, address)


def opened_of(place: Path, address: str) -> str:
    """The source of a downloaded model: what its description says, by kinds that are safe.

    Raises:
        BadInput: it is of another kind.
    """
    kept = sorted(place.rglob(POPULATION))
    if kept:
        return str(kept[0].parent)
    try:
        described = yaml.safe_load((place / DESCRIBED).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadInput(f"--model {address}: has no readable {DESCRIBED} ({error})") from error
    flavors: dict[str, Any] = described.get("flavors", {})
    for flavor, key in (("xgboost", "data"), ("lightgbm", "data"), ("sklearn", "pickled_model")):
        file = (place / str(flavors.get(flavor, {}).get(key, "-"))).resolve()
        if not file.is_relative_to(place.resolve()) or not file.is_file():
            continue
        if file.suffix in (".json", ".txt", ".lgb", ".skops"):
            return str(file)
        raise BadInput(
            f"--model {address}: is kept as {file.name}, which could run code when opened; log it "
            "with serialization_format='skops', skops_trusted_types=['numpy.dtype'] (scikit-learn) "
            "or model_format='json' (XGBoost)"
        )
    raise BadInput(
        f"--model {address}: of kind {', '.join(flavors) or 'none'}; known: medsecure's own, "
        "scikit-learn by skops, XGBoost by JSON, LightGBM; or give an import path, or serve it "
        "(`mlflow models serve`) and give the address"
    )
