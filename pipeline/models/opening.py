"""Models that a team has already: opened where they are kept, without unpickling anything.

A source is the path of a `.skops`, of XGBoost's JSON or LightGBM's text, the folder of a population
of ours, an import path of the team's own code (`my_package.model:load`), or an address that answers
questions.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.data.schema import Schema
from pipeline.files import BadInput, repository_root
from pipeline.models.endpoint import Endpoint
from pipeline.models.foreign import Foreign
from pipeline.models.networks import Networks
from pipeline.models.questions import Ask
from pipeline.models.reading import (
    AGREES_ROUNDED,
    Levels,
    NotReadable,
    categories_of,
    held_against,
    load_skops,
    made_up,
    read_estimator,
    read_lightgbm,
    read_xgboost,
    typed,
    with_categories,
)
from pipeline.models.signatures import refuse_other_order
from pipeline.models.torch_module import Module
from pipeline.models.trees import Trees
from pipeline.statistics import Array
from pipeline.validation import nearest

LARGEST = float(np.finfo(np.float32).max)
HELD: dict[str, Any] = {}  # models that a notebook holds, by the source that names them
MEMBER = "member-{:03d}.skops"


@dataclass(frozen=True)
class Predicts:
    """A fitted estimator of scikit-learn's kind, asked by `predict_proba`."""

    estimator: Any
    schema: Schema
    source: str = ""

    def __call__(self, frame: pd.DataFrame) -> Any:
        """(B,) probabilities of disease."""
        said = self.estimator.predict_proba(self._columns(frame))
        classes = getattr(self.estimator, "classes_", None)
        if classes is None or np.ndim(said) != 2 or len(classes) != 2:
            return said
        ill = self.schema.classes[1]
        return np.asarray(said)[:, list(classes).index(ill) if ill in classes else 1]

    @cached_property
    def _coded(self) -> dict[str, list[Any]]:
        """Of columns that were categories of pandas in training, the cells that there are."""
        try:
            told = categories_of(self.estimator)
        except NotReadable:
            return {}
        names = getattr(self.estimator, "feature_names_in_", ())
        return cells_of(dict(zip(names, told, strict=False)), self.schema)

    def _columns(self, frame: pd.DataFrame) -> Any:
        names = getattr(self.estimator, "feature_names_in_", None)
        if names is None:  # fitted on an array; but of somebody's own class nobody knows
            return frame.to_numpy() if hasattr(self.estimator, "n_features_in_") else frame
        for name in names:
            if name not in frame.columns:
                raise BadInput(
                    f"model: reads column {str(name)!r}, which the schema lacks; "
                    f"{nearest(str(name), frame.columns)}"
                )
        return with_categories(frame[list(names)], self._coded)

    def save(self, folder: Path, number: int) -> str:
        """Keeps it beside the population, or says where it came from.

        Raises:
            BadInput: it could not be opened again; nothing is written then.
        """
        if self.source:
            return self.source
        from skops.io import dumps

        name = MEMBER.format(number)
        try:
            content = dumps(self.estimator)
        except Exception as error:
            raise BadInput(
                f"model: {type(self.estimator).__name__}: cannot be kept without pickle "
                f"({str(error)[:120]})"
            ) from error
        load_skops(folder / name, content)
        (folder / name).write_bytes(content)
        return name


@dataclass(frozen=True)
class Calls:
    """A team's own function from a data frame to probabilities of disease."""

    function: Callable[[pd.DataFrame], Any]
    source: str = ""

    def __call__(self, frame: pd.DataFrame) -> Any:
        """(B,) probabilities of disease."""
        return self.function(frame)

    def save(self, folder: Path, number: int) -> str | None:
        """Where it came from."""
        return self.source or None


@dataclass(frozen=True)
class Differentiable:
    """A module of torch's, asked for probabilities."""

    module: Module
    source: str = ""

    @torch.no_grad()
    def __call__(self, frame: pd.DataFrame) -> Any:
        """(B,) probabilities of disease."""
        x = torch.from_numpy(frame.to_numpy(dtype=np.float32, copy=True))
        logits = self.module(x[None])[0].double()
        return (logits[:, 1] - logits[:, 0]).sigmoid().numpy()

    def save(self, folder: Path, number: int) -> str | None:
        """Where it came from."""
        return self.source or None


@dataclass(frozen=True)
class Boosted:
    """A file of XGBoost's or LightGBM's, asked by its own library."""

    path: Path
    schema: Schema

    def __call__(self, frame: pd.DataFrame) -> Any:
        """(B,) probabilities of disease."""
        booster, names, cells = self._opened
        records = frame[names] if set(names) <= set(frame.columns) else frame
        given = with_categories(records, cells) if cells else records.to_numpy()
        if is_xgboost(self.path):
            from xgboost import DMatrix

            kinds = {} if cells else {"feature_types": booster.feature_types}
            table = DMatrix(given, feature_names=names or None, enable_categorical=True, **kinds)
            return booster.predict(table)
        return booster.predict(given)

    @cached_property
    def _opened(self) -> tuple[Any, list[str], dict[str, list[Any]]]:
        """The booster, its names, and of columns that were categories of pandas the cells."""
        booster: Any
        if is_xgboost(self.path):
            from xgboost import Booster

            booster = Booster(model_file=str(self.path))
            names = list(booster.feature_names or ())
        else:
            from lightgbm import Booster as Other

            booster = Other(model_file=str(self.path))
            names = booster.feature_name()
        told = categories_of(booster)
        return booster, names, cells_of(dict(zip(names, told, strict=False)), self.schema)

    def save(self, folder: Path, number: int) -> str:
        """Where it lies."""
        return str(self.path)


def is_native(source: str) -> bool:
    """Whether a source is a file of XGBoost's or LightGBM's."""
    return source.endswith((".json", ".txt", ".lgb"))


def is_xgboost(path: Path) -> bool:
    """Whether such a file is XGBoost's."""
    return path.suffix == ".json"


def read_native(path: Path, schema: Schema) -> Trees:
    """What such a file holds, read without its library.

    Raises:
        BadInput, NotReadable: as its reader.
    """
    if is_xgboost(path):
        return read_xgboost(path, schema.names, levels_of(schema))
    return of_typed(read_lightgbm(path, schema.names, levels_of(schema)))


def cells_of(told: Mapping[str, Sequence[Any]], schema: Schema) -> dict[str, list[Any]]:
    """Of columns that a library knows as categories the cells that there are, by their names."""
    known = dict(zip(schema.names, schema.features, strict=True))
    return {
        name: list(known[name].levels or categories)
        for name, categories in told.items()
        if categories and name in known
    }


def levels_of(schema: Schema) -> Levels:
    """Of columns whose values are places of levels, the file's cells."""
    return {
        place: list(feature.levels)
        for place, feature in enumerate(schema.features)
        if feature.levels
    }


def of_typed(read: Trees) -> Trees:
    """An ensemble whose library compares numbers as they were typed, for records in float32.

    A value goes left where the number that was typed does: thresholds are the largest float32 of
    which that is so. LightGBM's lie so close above a typed number that its float32 may be beyond.
    """
    cut = read.parameters["threshold"].numpy()
    near = np.clip(cut, -LARGEST, LARGEST).astype(np.float32)
    around = [np.nextafter(near, np.float32(np.inf)), near]
    moved = np.nextafter(near, np.float32(-np.inf))
    for one in around[::-1]:
        moved = np.where(typed(one) <= cut, one, moved)
    threshold = torch.from_numpy(moved.astype(np.float64))
    return replace(read, parameters={**read.parameters, "threshold": threshold})


def imported(path: str, key: str) -> Any:
    """What an import path names, `package.module:attribute`, of the project or of an installation.

    Raises:
        BadInput: it names nothing; the line begins with `key`.
    """
    if path in HELD:
        return HELD[path]
    module, _, name = path.partition(":")
    if not module or not name:
        raise BadInput(f"{key}: {path!r}: expected package.module:attribute")
    root = str(repository_root())
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        theirs = "; MLflow's begin with models:/ or runs:/" * (module in ("models", "runs"))
        raise BadInput(f"{key}: {path!r}: cannot be imported ({error}){theirs}") from error
    except Exception as error:  # of code that is not ours, whatever it is
        said = str(error).strip().split("\n", 1)[0]
        kind = type(error).__name__
        raise BadInput(f"{key}: {path!r}: cannot be imported ({kind}: {said})") from error
    if not hasattr(found, name):
        raise BadInput(f"{key}: {path!r}: {module} has no {name!r}; {nearest(name, dir(found))}")
    return getattr(found, name)


def asked_by(model: Any, schema: Schema, source: str = "") -> Ask:
    """How a model in memory is asked: by its `predict_proba`, or called.

    Raises:
        BadInput: it can be asked in neither way, or is not fitted.
    """
    if hasattr(model, "predict_proba"):
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(model)
        except NotFittedError:
            raise BadInput(
                f"model: {type(model).__name__} is not fitted; give it as a recipe: "
                "model=estimator model.factory=..."
            ) from None
        except (
            AttributeError,
            TypeError,
        ):  # no estimator of scikit-learn's, but asked in the same way
            pass
        return Predicts(model, schema, source)
    if isinstance(model, torch.nn.Module):
        return Differentiable(Module(model.eval()), source)
    if callable(model):
        return Calls(model, source)
    raise BadInput(
        f"model: {type(model).__name__}: cannot be asked for probabilities; expected an object "
        "with predict_proba, a module of torch's, or a function of a data frame"
    )


def opened(source: str, schema: Schema, folder: Path | None = None) -> Ask:
    """The model behind a source, as it is asked.

    Args:
        source: see above; of a member of a population that was kept, its file's name.
        schema: of the records.
        folder: where such files lie.

    Raises:
        BadInput: there is none, or it is not safe to open.
    """
    if source.startswith(("http://", "https://")):
        return Endpoint(source)
    if folder is not None and (folder / source).is_file():
        return Predicts(load_skops(folder / source), schema)
    if is_native(source):
        return Boosted(Path(source), schema)
    if source.endswith(".skops"):
        estimator = load_skops(Path(source))
        refuse_other_order(estimator, Path(source), schema)
        return Predicts(estimator, schema, source)
    if ":" in source and not Path(source).exists():
        found = imported(source, "model")
        return asked_by(_made(found, source), schema, source)
    raise BadInput(
        f"model: {source!r}: no such model; expected a .skops, XGBoost's .json, LightGBM's .txt, a "
        "folder of medsecure's, package.module:attribute, or http://..."
    )


def needed(function: Callable[..., Any]) -> int:
    """How many arguments a function cannot be called without; of one that does not say so none."""
    try:
        known = inspect.signature(function).parameters.values()
    except ValueError:
        return 0
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.default is one.empty and one.kind in by_place for one in known)


def _made(found: Any, source: str) -> Any:
    """What an import path names: a model, or what a function of no arguments returns."""
    is_model = hasattr(found, "predict_proba") or isinstance(found, torch.nn.Module)
    if source in HELD or not callable(found) or (is_model and not isinstance(found, type)):
        return found
    asks = needed(found)
    if asks == 1 and not isinstance(found, type):
        return found
    if asks:
        raise BadInput(
            f"model: {source}: asks for {asks} arguments; expected one, a data frame of records, "
            "or none: then it returns the model"
        )
    try:
        return found()
    except Exception as error:  # of code that is not ours, whatever it is
        said = str(error).strip().split("\n", 1)[0]
        raise BadInput(f"model: {source}: fails to open: {type(error).__name__}: {said}") from error


def read_of(model: Foreign, x: Array, seed: int) -> Trees | Networks:
    """The structure of a model of one member, held against what it says itself.

    Args:
        model: what is asked.
        x: (N, D) float32, the records that it is asked about.
        seed: of further records, of nobody.

    Raises:
        NotReadable: it is of a kind that cannot be looked into.
        BadInput, FailedCheck: as `read_estimator`.
    """
    (ask,) = model.asked
    if model.gaps == "code":
        raise NotReadable("it is told missing values by a code, which a proof does not know")
    if not isinstance(ask, Predicts):
        raise NotReadable("it is asked through its own code alone")
    schema = model.schema
    unordered = set(schema.hot[:, 0].tolist())
    read = read_estimator(ask.estimator, schema.names, x, levels_of(schema), unordered)
    kind = str(read.facts["read_of"])
    everything = np.concatenate([x, made_up(model.schema, seed)])
    close = AGREES_ROUNDED if kind.startswith("XGB") else None
    held_against(read, model.chances, everything, what=model.origin, tolerance=close)
    return replace(read, labels=model.labels)
