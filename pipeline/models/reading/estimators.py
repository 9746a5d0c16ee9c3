"""From a fitted estimator to a population that can be proved."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from pipeline.files import BadInput
from pipeline.models.mlp import Architecture
from pipeline.models.networks import Networks
from pipeline.models.one_hot import HOT
from pipeline.models.reading import libraries, scikit
from pipeline.models.reading.agreement import AGREES_ROUNDED, held_against, on_thresholds
from pipeline.models.reading.asking import ELSEWHERE, NO_LEVELS, Asked, Levels
from pipeline.models.reading.assembly import READ, population
from pipeline.models.reading.columns import Columns, through, transformed, unfolded
from pipeline.models.reading.refusal import NotReadable
from pipeline.models.reading.thresholds import in_units, tabulated
from pipeline.models.trees import Trees
from pipeline.statistics import Array

# What Python says where an attribute of a model is missing, or is not what it should be.
DAMAGES = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def read_estimator(
    estimator: Any,
    inputs: Sequence[str],
    probes: Array,
    levels: Levels = NO_LEVELS,
    categories: Collection[int] = (),
) -> Trees | Networks:
    """A fitted estimator as a population of one member, held against itself.

    Read are scikit-learn's forests, extremely random trees, single trees, gradient boosting,
    boosting on histograms, logistic regression and perceptrons of ReLU, `XGBClassifier` and
    `LGBMClassifier`, of two classes, also at the end of pipelines whose steps act on each column
    alone and monotonely (imputers, scalers, `ColumnTransformer` of such); on a column of levels in
    whatever way (`OneHotEncoder`, `OrdinalEncoder`). Trees may split by category. Class 1 is the
    second of its labels, `classes_[1]`. It is asked in float64, as a table read from a file is
    (`Asked`).

    Args:
        estimator: fitted; nothing of it is called before what it holds was checked.
        inputs: names of the D columns of a record; the estimator's own are found by name where it
            knows names, else by position.
        probes: (R, D) float32 records in clinical units, NaN = missing, on which the reading must
            agree with the estimator; trees also on their thresholds.
        levels: of columns of a record whose values are places of levels, the file's cells.
        categories: of these columns those whose levels are in no order; of the others layers must
            be a line, because they are moved as numbers are.

    Returns:
        Thresholds are those of raw values, exactly; networks carry the imputer and the scaler as
        their own first layers, in float32. `cut` is where the estimator itself calls ill, `facts`
        name its class and its two labels, the second of which is class 1.

    Raises:
        NotReadable: by the name of the class that is not known here, or of what it does.
        BadInput: it is damaged or was not fitted, looks at a column that records lack, or takes no
            missing value where probes have one.
        FailedCheck: what was read answers otherwise than the estimator.
    """
    kind = type(estimator).__name__
    try:
        told = libraries.categories_of(unfolded(estimator)[1])
        asked = Asked.of(estimator, inputs, levels, told)
        read, tolerance = _read(asked, len(inputs), categories)
    except DAMAGES as error:
        line = " ".join(str(error).split())
        raise BadInput(f"{kind}: no whole fitted model ({line})") from error
    _check(asked, read, probes.astype(np.float32), tolerance)
    return read


def _read(
    asked: Asked, features: int, categories: Collection[int]
) -> tuple[Trees | Networks, float]:
    """What is read, and by how much its probabilities may differ."""
    steps, model = unfolded(asked.estimator)
    found, layers = scikit.grown(model) or libraries.grown(model), scikit.layers(model)
    if found is None and layers is None:
        raise NotReadable(
            f"{type(model).__name__}: neither trees, a linear model nor a network of ReLU that is "
            "known here"
        )
    columns = Columns.of(len(asked.place))
    for step in steps:
        columns = through(step, columns)
    width = int(model.n_features_in_)
    own = getattr(model, "_preprocessor", None) if found else None
    if own is not None:  # of boosting on histograms: its columns of categories come first
        first = np.asarray(model.is_categorical_, dtype=bool)
        order = np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)])
        coded = columns.categories().where(order).coded & first[order]
        columns, steps = columns.where(order)._replace(coded=coded), [*steps, own]
    if any(told := found.categories if found else ()):
        columns = columns._replace(coded=columns.coded | [bool(one) for one in told])
        steps = [*steps, libraries.Codes(told)]
    if len(columns.source) != width:
        raise BadInput(
            f"{type(model).__name__}: takes {width} columns, and the steps before it make "
            f"{len(columns.source)}"
        )
    source = asked.place[columns.source]
    if (source == ELSEWHERE).any():
        raise BadInput("the model looks at a column that the records lack")
    for place in source[columns.coded].tolist():
        if place not in asked.levels:
            raise NotReadable(
                f"column {place}: becomes categories, and the schema names no levels of it"
            )

    def transform(x: Array) -> Array:
        return transformed(steps, asked.given(x))

    held = tabulated(transform, source, features, asked.levels)
    kind, classes = type(model).__name__, [str(one) for one in model.classes_]
    if layers is not None:
        exact = networks(layers, columns._replace(source=source), features, held, categories)
        read = replace(rounded(exact), facts={"read_of": kind, "classes": classes})
        return read, AGREES_ROUNDED
    assert found is not None
    # without: the record's own value is compared, not what is typed
    if steps or held or found.cast is np.float64:
        as_cast = {column: one.astype(found.cast).astype(float) for column, one in held.items()}
        trees = in_units(found.trees, transform, source, features, found.cast, as_cast)
        found, source = found._replace(trees=trees), np.arange(features)
    return population(kind, found, source, features, classes), found.tolerance


def networks(
    layers: scikit.Layers,
    columns: Columns,
    features: int,
    held: Mapping[int, Array] = MappingProxyType({}),
    categories: Collection[int] = (),
) -> Networks:
    """One network in float64 behind the imputer and the scaler of its own.

    A column of categories becomes one input a level, whatever the steps make of it.

    Args:
        layers: weights and biases behind the steps.
        columns: what the steps make of the record's columns.
        features: D.
        held: of columns that come of one of levels, what each has become: see `tabulated`.
        categories: of the record's columns of levels those whose levels are in no order.

    Raises:
        NotReadable: a column is used twice, or is no line of the record's.
    """
    lines = np.array([column not in held for column in range(len(columns.source))], dtype=bool)
    source, (weight, bias) = columns.source[lines], layers[0]
    if len(np.unique(source)) < len(source):
        raise NotReadable("ColumnTransformer: a column is used twice before layers, not read")
    slope, shift, fill = (part[lines] for part in (columns.slope, columns.shift, columns.fill))
    if not (np.isfinite(slope) & (slope != 0) & np.isfinite(shift)).all():
        raise NotReadable("a step before layers clips, or has a scale of 0 or infinity: not read")
    center, scale = -shift / slope, 1 / slope
    parts = {
        "impute": np.zeros(features),  # and scale inf: a column that is not looked at counts for 0
        "center": np.zeros(features),
        "scale": np.full(features, np.inf),
    }
    # Where nothing stands in for a missing value, the model refuses it; here it counts for 0.
    parts["impute"][source] = np.where(np.isnan(fill), center, fill)
    parts["center"][source], parts["scale"][source] = center, scale
    first = np.zeros((features, weight.shape[1]))
    first[source] = weight[lines]
    hot: list[tuple[int, int]] = []
    for place in sorted({int(columns.source[column]) for column in held}):
        mine = [column for column in held if columns.source[column] == place]
        values = np.stack([held[column] for column in mine], 1) @ weight[mine]  # (K + 1, outputs)
        gone = np.nan_to_num(values[-1])  # of a model that refuses it
        if place in categories:  # what a missing one adds is of the bias, each level the difference
            hot += [(place, level) for level in range(len(values) - 1)]
            bias, first = bias + gone, np.concatenate([first, values[:-1] - gone])
            continue
        steep, parts["impute"][place] = _line(values, place)
        bias, first[place], parts["scale"][place] = bias + values[0], steep, 1.0
    for name, usual in (("impute", 0.0), ("center", 0.0), ("scale", 1.0)):
        parts[name] = np.append(parts[name], np.full(len(hot), usual))
    weights = {}
    for number, (one, added) in enumerate([(first, bias), *layers[1:]]):
        weights[f"weight{number}"] = torch.from_numpy(one)[None]
        weights[f"bias{number}"] = torch.from_numpy(added)[None, None]
    hidden = tuple(one.shape[1] for one, _ in layers[:-1])
    shape = Architecture("mlp" if hidden else "linear", len(first), 2, hidden)
    constants = {name: torch.from_numpy(values)[None] for name, values in parts.items()}
    if hot:
        constants[HOT] = torch.tensor(hot, dtype=torch.float64)[None]
    return Networks(shape, constants, weights, (READ,))


def _line(values: Array, place: int) -> tuple[Array, float]:
    """What levels (K + 1, outputs) add from one to the next, and the place of a missing one.

    Raises:
        NotReadable: it is no line, or a missing one is nowhere on it.
    """
    steep, count = values[1] - values[0], len(values) - 1
    near = 1e-9 * (1 + np.abs(np.nan_to_num(values)).max())
    if (np.abs(values[:-1] - values[0] - np.arange(count)[:, None] * steep) > near).any():
        raise NotReadable(f"column {place}: its levels rise, and are no line before layers")
    most = int(np.abs(steep).argmax())
    at = (values[-1] - values[0])[most] / steep[most] if steep[most] else 0.0
    if np.isnan(at):
        return steep, 0.0  # the model refuses it
    if (np.abs(values[-1] - values[0] - at * steep) > near).any():
        raise NotReadable(f"column {place}: a missing level is one more, no number before layers")
    return steep, float(at)


def rounded(exact: Networks) -> Networks:
    """The network in float32; its first layer makes up for what rounds in the scaler."""
    constants = {name: values.float() for name, values in exact.preprocessing.items()}
    center, scale = (exact.preprocessing[name][0] for name in ("center", "scale"))
    near_center, near_scale = (constants[name][0].double() for name in ("center", "scale"))
    used = scale.isfinite()
    weight, bias = exact.parameters["weight0"][0], exact.parameters["bias0"][0]
    stretch = torch.where(used, near_scale / scale, 1.0)
    moved = torch.where(used, (near_center - center) / scale, 0.0)
    first = {"weight0": (weight * stretch[:, None])[None], "bias0": (bias + moved @ weight)[None]}
    parameters = {name: values.float() for name, values in {**exact.parameters, **first}.items()}
    return Networks(exact.architecture, constants, parameters, exact.labels, exact.facts)


def _check(asked: Asked, read: Trees | Networks, probes: Array, tolerance: float) -> None:
    """Asks the estimator itself."""
    kind = type(unfolded(asked.estimator)[1]).__name__
    records = probes
    if isinstance(read, Trees):
        records = np.concatenate([probes, on_thresholds(read, probes)])
    gaps = int(np.isnan(probes).any(1).sum())
    try:
        held_against(read, asked, records, what=kind, tolerance=tolerance)
    except DAMAGES as error:
        line = " ".join(str(error).split())
        if gaps and "NaN" in line:
            raise BadInput(
                f"{kind}: takes no missing value, and {gaps} records have one; put an imputer "
                "before it"
            ) from error
        raise BadInput(f"{kind}: cannot be asked about the records ({line})") from error
