"""Models of scikit-learn as skops writes them: an archive of a schema and of arrays.

What is loaded is exactly what was checked here: the archive is unpacked in memory, every type held
against a list of ours, whatever skops itself trusts, every array against its own header, and what
is left is written anew for skops. Trees are checked before anybody asks them: scikit-learn's C code
trusts them.
"""

import io
import json
import re
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading import files, scikit
from pipeline.models.reading.columns import unfolded
from pipeline.models.reading.refusal import NotReadable

SCHEMA = "schema.json"
NAME = re.compile(r"[\w-]{1,100}\.npy")
MOST_ENTRIES = 2**18
_NUMBERS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
_SCALARS = frozenset({*(f"numpy.{name}" for name in (*_NUMBERS, "bool", "str_"))})
_TREE, _PREDICTOR = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
# Estimators and steps that are read, or whose answers come from NumPy alone; and their parts.
_OBJECTS = frozenset(
    f"sklearn.{name}"
    for name in (
        "_loss.link.Interval",
        "_loss.link.LogitLink",
        "_loss.loss.HalfBinomialLoss",
        "compose._column_transformer.ColumnTransformer",
        "decomposition._pca.PCA",
        "dummy.DummyClassifier",
        "ensemble._forest.ExtraTreesClassifier",
        "ensemble._forest.RandomForestClassifier",
        "ensemble._gb.GradientBoostingClassifier",
        "ensemble._hist_gradient_boosting.binning._BinMapper",
        "ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "impute._base.SimpleImputer",
        "linear_model._logistic.LogisticRegression",
        "neural_network._multilayer_perceptron.MLPClassifier",
        "neural_network._stochastic_optimizers.AdamOptimizer",
        "neural_network._stochastic_optimizers.SGDOptimizer",
        "pipeline.Pipeline",
        "preprocessing._data.MaxAbsScaler",
        "preprocessing._data.MinMaxScaler",
        "preprocessing._data.PowerTransformer",
        "preprocessing._data.QuantileTransformer",
        "preprocessing._data.RobustScaler",
        "preprocessing._data.StandardScaler",
        "preprocessing._encoders.OneHotEncoder",
        "preprocessing._encoders.OrdinalEncoder",
        "preprocessing._function_transformer.FunctionTransformer",
        "preprocessing._label.LabelBinarizer",
        "preprocessing._label.LabelEncoder",
        "tree._classes.DecisionTreeClassifier",
        "tree._classes.DecisionTreeRegressor",
        "tree._classes.ExtraTreeClassifier",
    )
)
# Who may load what: by the name of skops's loader. No function is among them.
TRUSTED: dict[str, frozenset[str]] = {
    "DictNode": frozenset({"builtins.dict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SetNode": frozenset({"builtins.set"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "JsonNode": frozenset({"builtins.str"}),
    "TypeNode": _SCALARS | {f"builtins.{name}" for name in ("int", "float", "str", "bool")},
    "DTypeNode": frozenset({"numpy.dtype"}),
    "NdArrayNode": _SCALARS | {"numpy.ndarray"},
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "LossNode": frozenset({"sklearn._loss._loss.CyHalfBinomialLoss"}),
    "TreeNode": frozenset({_TREE}),
    "ObjectNode": _OBJECTS,
}
ASKED_FOR = ["numpy.dtype", _TREE, _PREDICTOR]  # which skops does not trust by itself
ASKED_FOR += [name for name in sorted(_OBJECTS) if "_stochastic_optimizers" in name]


def load_skops(path: Path, content: bytes | None = None) -> Any:
    """The fitted estimator that `skops.io.dump` wrote; nothing is unpickled, no function loaded.

    Args:
        path: of the file.
        content: of it, before it is written; None = it is read.

    Raises:
        BadInput: there is no such file, it is a pickle, no whole archive of skops, larger than
            `files.MOST_BYTES` when unpacked, holds a type that is not in `TRUSTED`, arrays that
            are not what they say, or trees that are none or that are not read here.
    """
    parts = _unpacked(path, files.content_of(path) if content is None else content)
    try:
        schema = json.loads(parts[SCHEMA])
        _check(path, schema, _shapes(path, parts))
        return _checked(path, _loaded(parts, schema))
    except BadInput:
        raise
    except Exception as error:  # whatever skops meets in what is not its own
        line = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path}: no whole model of skops ({type(error).__name__}: {line})"
        ) from error


def _unpacked(path: Path, content: bytes) -> dict[str, bytes]:
    """The entries of the archive by name."""
    if not content.startswith(files.ZIP):
        raise BadInput(f"{path}: no archive of skops: no zip")
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if any(name.rpartition("/")[2] == files.TORCH for name in names):
                raise BadInput(f"{path}: written by torch.save: {files.CONVERT}")
            for name in names:
                if name != SCHEMA and not NAME.fullmatch(name):
                    raise BadInput(f"{path}: holds {name[:80]!r}, which skops does not write")
            if len(set(names)) < len(names) or len(names) > MOST_ENTRIES:
                raise BadInput(f"{path}: two entries of one name, or too many; damaged")
            if SCHEMA not in names:
                raise BadInput(f"{path}: no archive of skops: no {SCHEMA}")
            size = sum(entry.file_size for entry in entries)
            if size > files.MOST_BYTES:
                raise BadInput(
                    f"{path}: unpacks to {size >> 20} MiB, more than the "
                    f"{files.MOST_BYTES >> 20} that are read"
                )
            return {entry.filename: archive.read(entry) for entry in entries}
    except BadInput:
        raise
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        what = "damaged" if isinstance(error, BadZipFile) else type(error).__name__
        line = " ".join(str(error).split())[:200]
        raise BadInput(f"{path}: the archive cannot be unpacked ({what}: {line})") from error


def _shapes(path: Path, parts: dict[str, bytes]) -> dict[str, tuple[int, ...]]:
    """The shape of each array, by the name of its entry; as many bytes are there as it needs."""
    shapes = {}
    for name, content in parts.items():
        if name == SCHEMA:
            continue
        stream = io.BytesIO(content)
        try:
            version = np.lib.format.read_magic(stream)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read(stream)
        except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise BadInput(f"{path}: {name} is no array of NumPy; damaged") from error
        if dtype.hasobject:
            raise BadInput(f"{path}: {name} holds Python objects, which are never unpickled")
        needs = dtype.itemsize
        for count in shape:
            needs *= count
        if min(shape, default=0) < 0 or needs != len(content) - stream.tell():
            raise BadInput(
                f"{path}: {name} says {shape} and holds {len(content) - stream.tell()} bytes; "
                "damaged"
            )
        shapes[name] = shape
    return shapes


def _check(path: Path, schema: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Every type of the schema is on our list; identities, by which one stands in for another, go.

    Without them each object is loaded for itself: what stands at a place is what is loaded there.
    """
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        if not isinstance(one, dict):
            continue
        one.pop("__id__", None)
        if "__loader__" in one:
            loader, kind = one["__loader__"], f"{one.get('__module__')}.{one.get('__class__')}"
            allowed = TRUSTED.get(loader) if isinstance(loader, str) else None
            if allowed is None or kind not in allowed:
                raise BadInput(
                    f"{path}: holds {kind[:120]} ({str(loader)[:40]}), which is not on the list of "
                    "types that are loaded; give it as code of your own instead"
                )
            if loader == "NdArrayNode" and one.get("type") == "numpy":
                _shape_of(path, one, shapes)
            if loader == "TreeNode":
                _check_tree(path, one, shapes)
        waiting += one.values()


def _shape_of(path: Path, node: Any, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    if node["type"] != "numpy" or node["file"] not in shapes:
        raise BadInput(f"{path}: the array {str(node.get('file'))[:80]!r} is missing; damaged")
    return shapes[node["file"]]


def _check_tree(path: Path, node: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """What the constructor of scikit-learn's `Tree` trusts: its counts are those of its arrays."""
    _, classes, outputs = node["__reduce__"]["args"]["content"]
    parts = node["content"]["content"]
    nodes = _shape_of(path, parts["nodes"], shapes)
    count = json.loads(parts["node_count"]["content"])
    if (
        _shape_of(path, classes, shapes) != (1,)
        or json.loads(outputs["content"]) != 1
        or nodes != (count,)
    ):
        raise BadInput(f"{path}: a tree of other counts than its arrays; damaged")


def _loaded(parts: dict[str, bytes], schema: Any) -> Any:
    """What skops makes of the parts that were checked."""
    import skops.io

    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, json.dumps(schema) if name == SCHEMA else content)
    return skops.io.loads(stream.getvalue(), trusted=ASKED_FOR)


def _checked(path: Path, estimator: Any) -> Any:
    """The estimator, after its trees were: nobody asks it before."""
    steps, model = unfolded(estimator)
    if not hasattr(model, "predict_proba"):
        raise BadInput(f"{path}: {type(model).__name__}: says no probabilities")
    if getattr(model, "is_categorical_", None) is not None:  # whose encoder would need a function
        raise BadInput(
            f"{path}: {type(model).__name__}: splits by categories of its own; give it as code of "
            "your own instead"
        )
    try:
        scikit.grown(model)
    except NotReadable as error:
        raise BadInput(f"{path}: {error}") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    for step in steps:
        if not hasattr(step, "transform"):
            raise BadInput(f"{path}: {type(step).__name__}: a step that transforms nothing")
    return estimator
