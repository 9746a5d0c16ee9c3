"""What scikit-learn fitted, family by family: trees, linear models, networks of ReLU."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading.agreement import AGREES
from pipeline.models.reading.asking import Cells
from pipeline.models.reading.nodes import check_size, checked_tree
from pipeline.models.reading.refusal import NotReadable
from pipeline.models.reading.sets import holding
from pipeline.models.trees import Link, Tree
from pipeline.statistics import Array

# Just below 0, for a library that calls ill at log-odds of exactly 0; float32 still sees it.
FROM_ZERO_ON = -(2.0**-100)


class Grown(NamedTuple):
    """An ensemble as its library grew it.

    Attributes:
        trees: which ask about the columns that the library was given.
        base: what a sum begins with.
        link: what the sum is.
        cut: log-odds above which the library calls the second of its labels.
        cast: what a value is turned into before it is compared.
        tolerance: by how much the library's probabilities may differ from ours.
        categories: of each column the categories of pandas that it was trained on, in the order of
            their codes; empty = it takes numbers, or no column has any.
    """

    trees: list[Tree]
    base: float
    link: Link
    cut: float = 0.0
    cast: type[Any] = np.float32
    tolerance: float = AGREES
    categories: Sequence[Cells] = ()


Layers = list[tuple[Array, Array]]  # weight (inputs, outputs) and bias (outputs,), first to last


def grown(model: Any) -> Grown | None:
    """The trees of a fitted model of two classes; None where it has none that are known.

    Nothing is followed before it was checked: scikit-learn's C code trusts what a node says.

    Raises:
        NotReadable: it is of a known class, and does what is not read.
        BadInput: it is damaged.
    """
    read = _trees().get(type(model))
    if read is None:
        return None
    _check_classes(model)
    found = read(model)
    check_size(found.trees, type(model).__name__)
    return found


def layers(model: Any) -> Layers | None:
    """The layers in float64 of a fitted linear model or network; None where it is neither.

    The last one has two outputs: 0, and the log-odds of the second label.

    Raises:
        NotReadable: it is of a known class, and does what is not read.
        BadInput: it is damaged.
    """
    read = _networks().get(type(model))
    if read is None:
        return None
    _check_classes(model)
    found = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in read(model)]
    for number, (weight, bias) in enumerate(found):
        before = found[number - 1][0].shape[1] if number else weight.shape[0]
        if weight.ndim != 2 or weight.shape != (before, len(bias)) or bias.ndim != 1:
            raise BadInput(f"{type(model).__name__}: layers do not fit each other; damaged")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise BadInput(f"{type(model).__name__}: a weight is not a finite number; damaged")
    weight, bias = found[-1]
    if weight.shape[1] != 1:
        raise NotReadable(f"{type(model).__name__}: {weight.shape[1]} outputs, not one")
    return [*found[:-1], (np.hstack([0 * weight, weight]), np.append(0.0, bias))]


def _check_classes(model: Any) -> None:
    classes = np.asarray(model.classes_)
    if classes.ndim != 1 or len(classes) != 2:
        raise NotReadable(
            f"{type(model).__name__}: answers about {len(classes)} classes or outputs, not about 2 "
            "classes"
        )


@cache
def _trees() -> dict[type, Callable[[Any], Grown]]:
    """Who reads which ensemble."""
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

    return {
        RandomForestClassifier: _forest,
        ExtraTreesClassifier: _forest,
        DecisionTreeClassifier: lambda model: _mean([model], model),
        ExtraTreeClassifier: lambda model: _mean([model], model),
        GradientBoostingClassifier: _boosted,
        HistGradientBoostingClassifier: _histograms,
    }


@cache
def _networks() -> dict[type, Callable[[Any], Layers]]:
    """Who reads which network."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    return {
        LogisticRegression: lambda model: [(np.asarray(model.coef_).T, model.intercept_)],
        MLPClassifier: _perceptron,
    }


# ---- one family after another ----


def _forest(model: Any) -> Grown:
    return _mean(list(model.estimators_), model)


def _mean(parts: list[Any], model: Any) -> Grown:
    trees = [
        _grown_tree(one, 1, 2, model, f"{type(model).__name__}: tree {number}")
        for number, one in enumerate(parts)
    ]
    return Grown(trees, 0.0, "probability")


def _boosted(model: Any) -> Grown:
    """`GradientBoostingClassifier`: log-odds of regression trees, each times the rate."""
    if model.loss != "log_loss":
        raise NotReadable(f"GradientBoostingClassifier: the loss {model.loss!r} is not read")
    parts = np.asarray(model.estimators_)
    if parts.ndim != 2 or parts.shape[1] != 1:
        raise NotReadable("GradientBoostingClassifier: more than one tree a round")
    trees = []
    for number, one in enumerate(parts[:, 0]):
        tree = _grown_tree(one, 0, 1, model, f"GradientBoostingClassifier: tree {number}")
        trees.append(tree._replace(value=tree.value * float(model.learning_rate)))
    return Grown(trees, _first_guess(model), "log_odds", FROM_ZERO_ON)


def _first_guess(model: Any) -> float:
    """What boosting begins with: the prior log-odds, or nothing."""
    from sklearn.dummy import DummyClassifier

    first = model.init_
    if isinstance(first, str) and first == "zero":
        return 0.0
    if type(first) is not DummyClassifier or first.strategy != "prior":
        raise NotReadable(
            f"GradientBoostingClassifier: begins with {type(first).__name__}, which is not read"
        )
    eps = np.finfo(np.float64).eps
    chance = float(np.clip(first.class_prior_[1], eps, 1 - eps))
    return float(np.log(chance / (1 - chance)))


def _histograms(model: Any) -> Grown:
    """`HistGradientBoostingClassifier`; it compares in float64."""
    if model.loss != "log_loss":
        raise NotReadable(f"HistGradientBoostingClassifier: the loss {model.loss!r} is not read")
    width, trees = int(model.n_features_in_), []
    categories = _of_categories(model, width)
    for number, round_of in enumerate(model._predictors):
        where = f"HistGradientBoostingClassifier: tree {number}"
        if len(round_of) != 1:
            raise NotReadable(f"{where}: more than one tree a round")
        trees.append(_histogram_tree(round_of[0], width, categories, where))
    base = float(np.asarray(model._baseline_prediction).reshape(-1)[0])
    return Grown(trees, base, "log_odds", cast=np.float64)


def _of_categories(model: Any, width: int) -> list[int]:
    """The columns of categories, as its own encoder has them behind it.

    A category that was not met in training is missing there.
    """
    if getattr(model, "is_categorical_", None) is None:
        return []
    remapped = np.asarray(model._is_categorical_remapped, dtype=bool)
    if remapped.shape != (width,):
        raise BadInput("HistGradientBoostingClassifier: is_categorical_: damaged")
    return [int(place) for place in np.flatnonzero(remapped)]


def _bits(words: Array) -> Array:
    """Which of 256 categories eight numbers of 32 bits hold."""
    return np.flatnonzero((np.asarray(words, dtype=np.int64)[:, None] >> np.arange(32)) & 1)


def _histogram_tree(predictor: Any, width: int, categories: list[int], where: str) -> Tree:
    nodes = predictor.nodes
    if nodes.ndim != 1 or nodes.dtype.names is None:
        raise BadInput(f"{where}: no array of nodes; damaged")
    leaf, missing = nodes["is_leaf"].astype(bool), nodes["missing_go_to_left"]
    sides = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf).tolist():
        place, sets = int(nodes["feature_idx"][node]), predictor.raw_left_cat_bitsets
        number = int(nodes["bitset_idx"][node])
        if place not in categories or not 0 <= number < len(sets) or sets.shape[1:] != (8,):
            raise BadInput(f"{where}: a node that splits by categories without any; damaged")
        gone, left = bool(missing[node]), _bits(sets[number])
        sides[node] = holding(left, left=True, missing=gone, where=where)
    return checked_tree(
        nodes["feature_idx"].astype(np.int64),
        np.where(nodes["is_categorical"], 0.0, nodes["num_threshold"]),
        nodes["left"].astype(np.int64),
        nodes["right"].astype(np.int64),
        missing,
        nodes["value"],
        leaf,
        features=width,
        where=where,
        sides=sides,
    )


def _grown_tree(one: Any, output: int, outputs: int, model: Any, where: str) -> Tree:
    """A tree of `sklearn.tree`, which compares a record in float32 with a threshold in float64.

    Args:
        one: the estimator.
        output: which of the values of a leaf it says.
        outputs: how many there are.
        model: what it is part of, and whose columns it is given.
        where: for the message.
    """
    from sklearn.tree._tree import Tree as Nodes

    nodes = one.tree_
    if type(nodes) is not Nodes or not 0 < nodes.node_count <= nodes.capacity:
        raise BadInput(f"{where}: no tree of scikit-learn; damaged")
    width = int(model.n_features_in_)
    if not width == int(one.n_features_in_) == nodes.n_features:
        raise BadInput(f"{where}: takes other columns than the others; damaged")
    value = np.asarray(nodes.value)
    if value.shape[1:] != (1, outputs):
        raise BadInput(f"{where}: leaves say {value.shape[1:]} numbers, not (1, {outputs})")
    left = nodes.children_left
    return checked_tree(
        nodes.feature,
        nodes.threshold,
        left,
        nodes.children_right,
        np.asarray(nodes.missing_go_to_left),
        value[:, 0, output],
        left == -1,  # as the C code knows a leaf: any other child below 0 it would follow
        features=width,
        where=where,
    )


def _perceptron(model: Any) -> Layers:
    if model.activation != "relu":
        raise NotReadable(f"MLPClassifier: activation {model.activation!r} is not read, only relu")
    if model.out_activation_ != "logistic":
        raise NotReadable(f"MLPClassifier: output {model.out_activation_!r} is not read")
    return list(zip(model.coefs_, model.intercepts_, strict=True))
