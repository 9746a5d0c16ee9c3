"""Models of XGBoost from the JSON that `save_model` writes, read without XGBoost.

XGBoost compares in float32 and strictly, and adds up float32; ours is float64, so that log-odds
differ by a few 1e-6 (`agreement.AGREES_ROUNDED`).
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading import files
from pipeline.models.reading.agreement import AGREES_ROUNDED
from pipeline.models.reading.asking import NO_LEVELS, Cells, Levels
from pipeline.models.reading.assembly import assembled, told
from pipeline.models.reading.nodes import MOST_NODES, check_size, checked_tree
from pipeline.models.reading.scikit import Grown
from pipeline.models.reading.sets import Sides, holding
from pipeline.models.trees import Tree, Trees
from pipeline.statistics import Array

NO_CHILD = -1
MOST_CATEGORIES = 2**24  # which float32 can tell apart
KIND = "XGBoost"


def read_xgboost(path: Path, inputs: Sequence[str], levels: Levels = NO_LEVELS) -> Trees:
    """What `save_model` of a booster, or of `XGBClassifier`, wrote as JSON, of `binary:logistic`.

    A value that is missing goes where the file says; that another value than NaN stood for missing
    in training, the file does not say. Of an `XGBClassifier` that stopped early the trees after its
    best round are left out, as it does itself.

    Args:
        path: a `.json` file.
        inputs: names of the D columns of a record; those of the file are found among them, or by
            position where the file has none.
        levels: of columns of a record whose values are places of levels, the file's cells.

    Raises:
        BadInput: in a line, with the path: no such file, no model of two classes of trees, another
            objective or booster, damaged nodes, a column that records lack, levels that it does not
            know.
    """
    content = files.content_of(path)
    if len(content) > files.MOST_TEXT:
        raise BadInput(f"{path}: larger than {files.MOST_TEXT >> 20} MiB, which is not read")
    if not content.lstrip().startswith(b"{") or content.startswith(b"{L\x00"):
        raise BadInput(f"{path}: no JSON of XGBoost; write it by save_model('model.json')")
    try:
        learner = json.loads(content)["learner"]
        found, names, width = ensemble_of(learner, str(path))
    except BadInput:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        line = " ".join(str(error).split())[:200]
        raise BadInput(f"{path}: no model of XGBoost ({type(error).__name__}: {line})") from error
    return assembled(path, KIND, found, names, width, inputs, levels)


def ensemble_of(learner: Any, where: str) -> tuple[Grown, list[str], int]:
    """The trees of `learner` of a file, the names of its columns, and how many there are.

    Raises:
        BadInput: as `read_xgboost`.
        ValueError, KeyError, TypeError, AttributeError: it is not built as such a file.
    """
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    if objective != "binary:logistic":
        raise BadInput(
            f"{where}: objective {str(objective)[:60]!r} is not read, only binary:logistic"
        )
    if booster["name"] != "gbtree":
        raise BadInput(f"{where}: booster {str(booster['name'])[:60]!r} is not read, only gbtree")
    sizes = learner["learner_model_param"]
    if int(sizes["num_class"]) > 1 or int(sizes.get("num_target", 1)) > 1:
        raise BadInput(f"{where}: answers about more than two classes or one outcome")
    width, model = int(sizes["num_feature"]), booster["model"]
    kept = model["trees"][: _rounds(learner, model, where)]
    if any(model["tree_info"]):
        raise BadInput(f"{where}: trees of more than one output")
    trees: list[Tree] = []
    nodes = 0
    for number, one in enumerate(kept):
        trees.append(_tree(one, width, f"{where}: tree {number}"))
        nodes += len(one["left_children"])
        if nodes > MOST_NODES:
            raise BadInput(f"{where}: more than {MOST_NODES} nodes, which are not read")
    check_size(trees, where)
    names = [str(name) for name in learner.get("feature_names", [])]
    base = _base(sizes["base_score"], where)
    known = _categories(model, width, where)
    return Grown(trees, base, "log_odds", tolerance=AGREES_ROUNDED, categories=known), names, width


def _categories(model: Any, width: int, where: str) -> list[Cells]:
    """Of each column the categories of pandas that it was trained on, in the order of codes."""
    every = model.get("cats", {}).get("enc", [])
    if not every:
        return []
    if len(every) != width:
        raise BadInput(f"{where}: categories of {len(every)} columns of {width}; damaged")
    return [_cells(one, where) for one in every]


def _cells(one: Any, where: str) -> Cells:
    """Numbers, or texts that stand in one list of bytes, from each offset to the next."""
    values = one["values"]
    if "offsets" not in one:
        return told(values, where)
    ends = _whole(one, "offsets", where).tolist()
    whole = bytes(int(value) % 256 for value in values)
    if sorted(ends) != ends or (ends and (ends[0] < 0 or ends[-1] > len(whole))):
        raise BadInput(f"{where}: offsets: outside of {len(whole)} bytes; damaged")
    return tuple(whole[begin:end].decode("utf-8") for begin, end in pairwise(ends))


def _rounds(learner: Any, model: Any, where: str) -> int:
    """How many trees answer: all, or those up to the best round of what stopped early."""
    trees, attributes = len(model["trees"]), learner.get("attributes", {})
    if "best_iteration" not in attributes:
        return trees
    best = int(attributes["best_iteration"]) + 1
    ends = model.get("iteration_indptr") or list(
        range(0, trees + 1, int(model["gbtree_model_param"].get("num_parallel_tree", 1)) or 1)
    )
    if best >= len(ends) - 1:
        return trees
    if "scikit_learn" not in attributes:
        raise BadInput(
            f"{where}: stopped early, and holds the rounds after the best: save booster[:{best}]"
        )
    return int(ends[best])


def _base(said: Any, where: str) -> float:
    """The log-odds that a sum begins with, of a probability: "5E-1", or "[5E-1]" since 3.1."""
    chance = float(str(said).strip().removeprefix("[").removesuffix("]"))
    if not 0 < chance < 1:
        raise BadInput(f"{where}: base_score: {chance} is no probability between 0 and 1")
    near = np.float32(chance)
    return float(-np.log(np.float32(1) / near - np.float32(1)))


def _tree(one: Any, width: int, where: str) -> Tree:
    left, right = (_whole(one, f"{side}_children", where) for side in ("left", "right"))
    condition = _numbers(one, "split_conditions", where).astype(np.float32)
    leaf, default = left == NO_CHILD, _whole(one, "default_left", where)
    if left.shape == right.shape and ((right == NO_CHILD) != leaf).any():
        raise BadInput(f"{where}: a node has one child alone; damaged")
    return checked_tree(
        _whole(one, "split_indices", where),
        # `<` of float32 is `<=` of the next float32 below
        np.nextafter(condition, np.float32(-np.inf)).astype(np.float64),
        left,
        right,
        default,
        condition.astype(np.float64),
        leaf,
        features=width,
        where=where,
        sides=_sets(one, leaf, default, where),
    )


def _sets(one: Any, leaf: Array, default: Array, where: str) -> dict[int, Sides]:
    """Where nodes send values that look them up among categories: those found go right.

    The whole part of a value is looked up; one below 0 is in no set.
    """
    if "split_type" not in one:
        return {}
    kind = _whole(one, "split_type", where)
    if not kind.shape == leaf.shape == default.shape or not np.isin(kind, (0, 1)).all():
        raise BadInput(f"{where}: split_type: not 0 or 1 for each of {len(leaf)} nodes; damaged")
    asks = np.flatnonzero((kind == 1) & ~leaf).tolist()
    if not asks and not one.get("categories_nodes"):
        return {}
    nodes, begins, sizes, every = (
        _whole(one, f"categories{name}", where) for name in ("_nodes", "_segments", "_sizes", "")
    )
    # of a node that was pruned to a leaf they may still be there
    known = np.isin(asks, nodes).all() and len(np.unique(nodes)) == len(nodes)
    if not known or not nodes.shape == begins.shape == sizes.shape:
        raise BadInput(f"{where}: categories_nodes: not the nodes that split by them; damaged")
    ends = begins + sizes
    if (begins < 0).any() or (sizes < 0).any() or (ends > len(every)).any():
        raise BadInput(f"{where}: categories_segments: outside of {len(every)} categories; damaged")
    if (every < 0).any() or (every >= MOST_CATEGORIES).any():
        raise BadInput(f"{where}: categories: not from 0 to {MOST_CATEGORIES - 1}; damaged")
    return {
        node: holding(every[begin:end], left=False, missing=bool(default[node]), where=where)
        for node, begin, end in zip(nodes.tolist(), begins, ends, strict=True)
        if node in asks
    }


def _numbers(one: Any, name: str, where: str) -> Array:
    values = np.asarray(one[name])
    if values.ndim != 1 or (values.dtype.kind not in "biuf" and len(values)):
        raise BadInput(f"{where}: {name}: no list of numbers; damaged")
    return values.astype(np.float64)


def _whole(one: Any, name: str, where: str) -> Array:
    values = _numbers(one, name, where)
    if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise BadInput(f"{where}: {name}: not all are whole numbers; damaged")
    return np.clip(values, -(2.0**53), 2.0**53).astype(np.int64)
