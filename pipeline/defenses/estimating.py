"""A recipe that a team brings: an unfitted estimator, or a function that fits one."""

import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.files import BadInput
from pipeline.models.first_call import acquainted
from pipeline.models.foreign import Foreign
from pipeline.models.opening import asked_by, imported, needed, read_of
from pipeline.models.population import Population, joined
from pipeline.models.questions import Gaps, framed
from pipeline.models.reading import NotReadable, with_categories
from pipeline.models.recipes import Recipe, Refittable
from pipeline.validation import check_both

WORTH_TELLING = 10.0  # seconds that fits will take, from which on it is said beforehand
Fit = Callable[[Any, Any, int], Any]  # (frame of records, (N,) 0 or 1, seed) -> a model


def estimator(
    dataset: Dataset, plan: Plan, cfg: Config, *, factory: str, gaps: Gaps = "empty"
) -> Population:
    """Whatever `factory` makes, fitted anew for each member on its own training records.

    A factory without arguments returns an unfitted estimator of scikit-learn's kind, a pipeline for
    example; each member is a clone of it, with the member's seed as every `random_state`. One of
    three, `(X, y, seed)`, fits by itself and returns what is fitted, or a function of a data frame.

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: not read, but for the seed.
        factory: `package.module:name`.
        gaps: how a missing value is told: by nothing, or by the file's own `code`.

    Returns:
        trees or networks where all that was fitted can be read; else models that are asked.

    Raises:
        BadInput: there is no such factory, what it makes cannot be fitted, or does not answer as a
            model does.
        FailedCheck: what was read of it answers otherwise than it does.
    """
    made_by = {"name": "estimator", "factory": factory}
    return _made(made_by, dataset, plan, cfg, gaps)


def _made(
    made_by: dict[str, Any], dataset: Dataset, plan: Plan, cfg: Config, gaps: Gaps = "empty"
) -> Population:
    fit, origin = fit_again(made_by, dataset.schema)
    return fitted(fit, origin, dataset, plan, cfg, gaps, made_by)


def fit_again(made_by: dict[str, Any], schema: Schema) -> tuple[Fit, str]:
    """How the models of a recipe are fitted, and what they are called.

    Args:
        made_by: its name, and its options that matter to a fit.
        schema: of the records.

    Raises:
        BadInput: what it names is not there, or cannot be fitted.
    """
    name, options = made_by["name"], {**made_by}
    del options["name"]
    if name == "estimator":
        factory = options["factory"]
        return fit_of(imported(factory, "model.factory"), factory), factory
    return _by_category(fit_by_clones(BOOSTING[name](**options), name), schema), name


def _by_category(fit: Fit, schema: Schema) -> Fit:
    """The same fit, told levels that are words as categories of pandas, all that there are.

    Such a library takes no words, and splits categories by which of them go left.
    """
    levels = {
        name: list(feature.levels)
        for name, feature in zip(schema.names, schema.features, strict=True)
        if feature.levels
    }

    def fit_to(frame: Any, y: Any, seed: int) -> Any:
        words = {name: cells for name, cells in levels.items() if frame[name].dtype.kind == "O"}
        return fit(with_categories(frame, words), y, seed)

    return fit_to


def fitted(
    fit: Fit,
    origin: str,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    gaps: Gaps = "empty",
    made_by: dict[str, Any] | None = None,
) -> Population:
    """One model a member, on its own training records: read where that is possible, else asked.

    Those that are asked are kept by their recipe where `made_by` names it.
    """
    one_each: list[Foreign] = []
    recipes: list[Recipe | None] = []
    records = dataset.digest
    models = fits(fit, origin, dataset, list(plan.train), plan.seeds.tolist(), gaps)
    for made, rows, seed, label in zip(models, plan.train, plan.seeds, plan.labels, strict=True):
        ask = asked_by(made, dataset.schema)
        said = acquainted(ask, dataset, origin, gaps)
        one_each.append(Foreign.met(ask, dataset, origin, gaps=gaps, label=label, said=said))
        own = rows.nonzero()[:, 0], records, torch.from_numpy(said)
        recipes.append(Recipe(made_by, int(seed), *own) if made_by else None)
    if read := _read(one_each, dataset, cfg):
        return read
    return joined(
        [
            replace(one, asked=(Refittable(one.asked[0], recipe),))
            for one, recipe in zip(one_each, recipes, strict=True)
        ]
    )


def fits(
    fit: Fit,
    origin: str,
    dataset: Dataset,
    rows: Sequence[Tensor],
    seeds: Sequence[int],
    gaps: Gaps = "empty",
) -> Iterator[Any]:
    """The fitted models, one after another; after the first it is said what all will cost.

    Args:
        fit: how one is fitted.
        origin: what it is, for messages.
        dataset: the records, of two classes.
        rows: for each model whom it trains on: a mask, or row numbers in order.
        seeds: of each.
        gaps: how a missing value is told.

    Raises:
        BadInput: a model would train on one class alone, or cannot be fitted.
    """
    y, frame = dataset.y.numpy(), framed(dataset.x.numpy(), dataset.schema, gaps)
    bar = tqdm(
        zip(rows, seeds, strict=True),
        total=len(seeds),
        desc="fitting",
        unit="model",
        disable=None,
        leave=False,
    )
    began = time.monotonic()
    for done, (train, seed) in enumerate(bar):
        if done == 1 and (price := (time.monotonic() - began) * len(seeds)) > WORTH_TELLING:
            bar.write(f"{origin}: {len(seeds)} fits, about {price:.0f} s", file=sys.stderr)
        own = train.numpy()
        check_both(origin, y[own].tolist())
        try:
            made = fit(frame.iloc[own].reset_index(drop=True), y[own], seed % 2**32)
        except Exception as error:  # of code that is not ours, whatever it is
            kind, first = type(error).__name__, str(error).strip().split("\n", 1)[0]
            raise BadInput(f"{origin}: cannot be fitted: {kind}: {first[:200]}") from error
        yield made


def _read(models: list[Foreign], dataset: Dataset, cfg: Config) -> Population | None:
    """All of them as they were read, each held against its own answers; None = one cannot be."""
    try:
        found = [read_of(model, dataset.x.numpy(), cfg.seed) for model in models]
    except NotReadable:
        return None
    shapes = {(type(one), getattr(one.architecture, "trees", 0)) for one in found}
    if len(shapes) > 1:  # of early stopping, or of trees that are grown until they fit
        return None
    return joined(found)


def fit_of(factory: Any, origin: str) -> Fit:
    """How a factory's models are fitted.

    Raises:
        BadInput: it is none of the two kinds.
    """
    if not callable(factory):
        raise BadInput(f"{origin}: is a {type(factory).__name__}; expected a function")
    asks = needed(factory)
    if asks == 3:
        return factory  # type: ignore[no-any-return]
    if asks:
        raise BadInput(
            f"{origin}: asks for {asks} arguments; expected none (it returns an unfitted "
            "estimator) or three: records, diagnoses, seed"
        )
    return fit_by_clones(factory(), origin)


def fit_by_clones(unfitted: Any, origin: str) -> Fit:
    """Fits a clone of an estimator for each member, every `random_state` in it set by its seed.

    Raises:
        BadInput: it has no `fit`, or gives no probabilities.
    """
    from sklearn.base import clone

    for method in ("fit", "predict_proba"):
        if not hasattr(unfitted, method):
            hint = "; wrap it in CalibratedClassifierCV" if method == "predict_proba" else ""
            raise BadInput(f"{origin}: {type(unfitted).__name__} has no {method}{hint}")

    def fit(frame: Any, y: Any, seed: int) -> Any:
        own = clone(unfitted)
        seeded = [name for name in own.get_params() if name.split("__")[-1] == "random_state"]
        if seeded:
            own.set_params(**dict.fromkeys(seeded, seed))
        return own.fit(frame, y)

    return fit


def xgboost(
    dataset: Dataset, plan: Plan, cfg: Config, *, rounds: Count, depth: Count, rate: Positive
) -> Population:
    """Boosting of XGBoost (Chen & Guestrin 2016, arXiv:1603.02754), as far as these say.

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: the seed of what it is checked on.
        rounds: trees.
        depth: of each at most.
        rate: of learning.

    Raises:
        BadInput: it is not installed; else as `estimator`.
        FailedCheck: what was read of it answers otherwise than it does.
    """
    made_by = {"name": "xgboost", "rounds": rounds, "depth": depth, "rate": rate}
    return _made(made_by, dataset, plan, cfg)


def lightgbm(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    rounds: Count,
    leaves: Count,
    rate: Positive,
    leaf: Count,
) -> Population:
    """Boosting of LightGBM (Ke et al. 2017), as far as these say.

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: the seed of what it is checked on.
        rounds: trees.
        leaves: of a tree at most.
        rate: of learning.
        leaf: training records in a leaf at least.

    Raises:
        BadInput: it is not installed; else as `estimator`.
        FailedCheck: what was read of it answers otherwise than it does.
    """
    options = {"rounds": rounds, "leaves": leaves, "rate": rate, "leaf": leaf}
    return _made({"name": "lightgbm", **options}, dataset, plan, cfg)


def _xgboost(rounds: int, depth: int, rate: float) -> Any:
    return _library("xgboost").XGBClassifier(
        n_estimators=rounds, max_depth=depth, learning_rate=rate, n_jobs=1, enable_categorical=True
    )


def _lightgbm(rounds: int, leaves: int, rate: float, leaf: int) -> Any:
    return _library("lightgbm").LGBMClassifier(
        n_estimators=rounds,
        num_leaves=leaves,
        learning_rate=rate,
        min_child_samples=leaf,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )


BOOSTING: dict[str, Callable[..., Any]] = {"xgboost": _xgboost, "lightgbm": _lightgbm}


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BadInput(
            f"model.name: {name}: is not installed; `pip install 'medsecure[{name}]'`"
        ) from None
