"""The release model as an MLflow model: code, weights and schema as plain files.

Its example is made from the schema alone.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from modulefinder import ModuleFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.data.schema import Schema, save_schema
from pipeline.files import write_json
from pipeline.models.foreign import Foreign, Kept
from pipeline.models.population import ImageNetworks, Networks, Population, Trees

if TYPE_CHECKING:
    from mlflow.models import Model

PACKAGE = Path(__file__).parents[1]
SERVED = PACKAGE / "serving" / "release.py"


def source_tags() -> dict[str, str]:
    """What MLflow would say of who runs which script: its name, nothing of its place, nobody.

    The address of a remote of git can be a folder of this machine, and it can hold a password.
    """
    return {
        "mlflow.user": "medsecure",
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.git.repoURL": "",
    }


def why_not_stored(population: Population) -> str:
    """Why a release model is not handed out; empty = it is."""
    if isinstance(population, Networks | ImageNetworks):
        return ""
    if isinstance(population, Trees):
        return "the thresholds of its trees lie halfway between the values of two patients"
    if isinstance(population, Foreign) and any(
        isinstance(one, Kept) and one.recipe for one in population.asked
    ):
        return "it may hold the records that it was fitted on; its recipe fits it again"
    return "it is asked by its own code"


def log_release(population: Population, schema: Schema, name: str) -> str:
    """Logs the release model by a name, with a signature and an input example of the schema.

    Returns:
        its id; empty where nothing was logged: see `why_not_stored`.
    """
    if why_not_stored(population) or not isinstance(population, Networks | ImageNetworks):
        return ""
    release = population.release()
    from mlflow.models import Model

    from pipeline.serving.release import input_example, signature

    with TemporaryDirectory() as scratch, _no_bytecode():
        place, code = Path(scratch) / "release", Path(scratch) / PACKAGE.name
        place.mkdir()
        release.save(place)
        save_schema(schema, place)
        write_json(place / "facts.json", release.facts)
        _copy_code(SERVED, code)
        logged = Model.log(
            None,  # the former name of `name`
            name=name,
            flavor=SimpleNamespace(save_model=_save_model),
            tags=source_tags(),
            python_model=str(SERVED),
            artifacts={"release": str(place)},
            code_paths=[str(code)],
            signature=signature(schema),
            input_example=input_example(schema),
            pip_requirements=_requirements(),
        )
    return str(logged.model_id)


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """MLflow runs a model's code where it lies; compiled code left there would name the place."""
    was, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = was


class _WithinThePackage(ModuleFinder):
    """Follows imports of the package alone: beside an installed one lie all libraries."""

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        """As its base does, but that no other package is there."""
        if path is None and name != PACKAGE.name:
            raise ImportError(name)
        return super().find_module(name, path, parent)


def _copy_code(script: Path, place: Path) -> None:
    """Copies the modules of the package that a script imports, and nothing that lies beside."""
    finder = _WithinThePackage([str(PACKAGE.parent)])
    finder.run_script(str(script))
    for module in finder.modules.values():
        file = Path(getattr(module, "__file__", None) or "/")  # built-in ones have none
        if file.is_relative_to(PACKAGE):
            target = place / file.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _save_model(path: str, mlflow_model: "Model", **kwargs: Any) -> None:
    """Saves a model as `mlflow.pyfunc` does, without the places on this machine.

    MLflow finds everything by paths within the model.
    """
    import mlflow

    mlflow.pyfunc.save_model(path=path, mlflow_model=mlflow_model, **kwargs)
    mlflow_model.artifact_path = None
    described = mlflow_model.flavors["python_function"]
    described["model_code_path"] = Path(described["model_code_path"]).name
    for artifact in described["artifacts"].values():
        artifact["uri"] = artifact["path"]
    mlflow_model.save(str(Path(path) / "MLmodel"))


def _requirements() -> list[str]:
    """What the served model needs, at the versions that made it."""
    from importlib.metadata import version

    needed = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "torch", "tqdm")
    return [f"{package}=={version(package).split('+')[0]}" for package in needed]
