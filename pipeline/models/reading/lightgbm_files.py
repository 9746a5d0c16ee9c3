"""Models of LightGBM from the text that `save_model` writes, read without LightGBM.

Like ours, it compares float64 with `<=` and adds up float64.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading import files
from pipeline.models.reading.asking import NO_LEVELS, Cells, Levels
from pipeline.models.reading.assembly import assembled, told
from pipeline.models.reading.nodes import check_size, checked_tree
from pipeline.models.reading.scikit import Grown
from pipeline.models.reading.sets import Sides, holding
from pipeline.models.trees import Tree, Trees
from pipeline.statistics import Array

KIND = "LightGBM"
Section = dict[str, str]
# Bits of `decision_type`, and what its third and fourth say of missing values.
CATEGORY, DEFAULT_LEFT = 1, 2
AS_ZERO, ZERO_TOO, AS_MISSING = 0, 1, 2
WORD = 32  # bits of each number of `cat_threshold`
END = "end of trees"
PANDAS = "pandas_categorical:"


def read_lightgbm(path: Path, inputs: Sequence[str], levels: Levels = NO_LEVELS) -> Trees:
    """What `save_model` of a booster wrote (also `LGBMClassifier.booster_`), of `binary`.

    Args:
        path: a `.txt` file.
        inputs: names of the D columns of a record; those of the file are found among them, with
            an underscore where there was a space, or by position where LightGBM made names up.
        levels: of columns of a record whose values are places of levels, the file's cells.

    Raises:
        BadInput: in a line, with the path: no such file, no model of two classes of trees, another
            objective, forests, linear leaves, zeros that count as missing, damaged nodes, a column
            that records lack.
    """
    content = files.content_of(path)
    if len(content) > files.MOST_TEXT:
        raise BadInput(f"{path}: larger than {files.MOST_TEXT >> 20} MiB, which is not read")
    if not content.startswith(b"tree"):
        raise BadInput(f"{path}: no text of LightGBM; write it by booster.save_model('model.txt')")
    try:
        found, names, width = ensemble_of(content.decode("utf-8"), str(path))
    except BadInput:
        raise
    except (ValueError, KeyError, OverflowError) as error:
        line = " ".join(str(error).split())[:200]
        raise BadInput(f"{path}: no model of LightGBM ({type(error).__name__}: {line})") from error
    known = [name.replace(" ", "_") for name in inputs]
    return assembled(path, KIND, found, names, width, known, levels)


def ensemble_of(text: str, where: str) -> tuple[Grown, list[str], int]:
    """The trees of a text, the names of its columns (none if made up), and how many there are.

    Raises:
        BadInput: as `read_lightgbm`.
        ValueError, KeyError, OverflowError: it is not built as such a text.
    """
    head, *sections = _sections(text, where)
    kind, *details = head["objective"].split()
    if kind != "binary":
        raise BadInput(f"{where}: objective {kind[:60]!r} is not read, only binary")
    if int(head["num_class"]) != 1 or int(head["num_tree_per_iteration"]) != 1:
        raise BadInput(f"{where}: answers about more than two classes")
    if "average_output" in head:
        raise BadInput(f"{where}: boosting by forests (rf) is not read")
    if len(sections) != len(head["tree_sizes"].split()):
        raise BadInput(
            f"{where}: {len(sections)} trees where {len(head['tree_sizes'].split())} were written; "
            "damaged"
        )
    width = int(head["max_feature_idx"]) + 1
    slope = next(
        (float(one.removeprefix("sigmoid:")) for one in details if one.startswith("sigmoid:")), 1.0
    )
    if not 0 < slope < np.inf:
        raise BadInput(f"{where}: sigmoid: {slope} is no slope above 0")
    trees = [
        _tree(one, width, slope, f"{where}: tree {number}") for number, one in enumerate(sections)
    ]
    check_size(trees, where)
    names = head["feature_names"].split()
    if names == [f"Column_{place}" for place in range(width)]:
        names = []
    known = _categories(text, head.get("feature_infos", "").split(), where)
    return Grown(trees, 0.0, "log_odds", cast=np.float64, categories=known), names, width


def _categories(text: str, infos: list[str], where: str) -> list[Cells]:
    """Of each column the categories of pandas that it was trained on, in the order of codes.

    Which columns these are is not written; those that are looked up among categories are.
    """
    said = text[text.rfind(f"\n{PANDAS}") :].strip()
    every = json.loads(said.removeprefix(PANDAS)) if said.startswith(PANDAS) else None
    if not every:
        return []
    looked_up = [not info.startswith("[") and info != "none" for info in infos]
    if not isinstance(every, list) or sum(looked_up) != len(every):
        raise BadInput(
            f"{where}: pandas_categorical: {len(every)} columns, and {sum(looked_up)} are looked "
            "up among categories: not told apart"
        )
    waiting = iter(every)
    return [told(next(waiting), where) if one else () for one in looked_up]


def _sections(text: str, where: str) -> list[Section]:
    """The head, and what stands of each tree."""
    sections: list[Section] = [{}]
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if name == END:
            return sections
        if name == "Tree":
            sections.append({})
        elif name in sections[-1]:
            raise BadInput(f"{where}: {name[:60]!r} stands twice; damaged")
        elif name:
            sections[-1][name] = value if equals else ""
    raise BadInput(f"{where}: ends before its trees do; damaged")


def _tree(said: Section, width: int, slope: float, where: str) -> Tree:
    """A tree: nodes that ask first, leaves behind them; the file counts leaves by -1, -2, ..."""
    leaves = _numbers(said, "leaf_value")
    count = int(said["num_leaves"])
    if len(leaves) != count or count < 1:
        raise BadInput(f"{where}: {len(leaves)} leaves where {count} were written; damaged")
    if int(said.get("is_linear", 0)):
        raise BadInput(f"{where}: linear leaves are not read")
    asks = count - 1
    threshold = _numbers(said, "threshold")
    feature, decision, left, right = (
        _whole(said, name)
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    for name, part in (
        ("split_feature", feature),
        ("threshold", threshold),
        ("decision_type", decision),
        ("left_child", left),
        ("right_child", right),
    ):
        if len(part) != asks:
            raise BadInput(f"{where}: {name}: {len(part)} entries where {asks} nodes ask; damaged")
    behind = np.zeros(count)
    return checked_tree(
        np.concatenate([feature, behind.astype(np.int64)]),
        np.concatenate([threshold, behind]),
        np.concatenate([_child(left, asks), behind.astype(np.int64)]),
        np.concatenate([_child(right, asks), behind.astype(np.int64)]),
        np.concatenate([_missing_left(decision, threshold, where), behind.astype(bool)]),
        np.concatenate([np.zeros(asks), leaves * slope]),
        np.arange(asks + count) >= asks,
        features=width,
        where=where,
        sides=_sets(said, decision, threshold, where),
    )


def _sets(said: Section, decision: Array, threshold: Array, where: str) -> dict[int, Sides]:
    """Where nodes send values that look them up among categories: those found go left.

    The whole part of a value is looked up, so that -0.5 is category 0; a missing one goes right.
    """
    nodes = np.flatnonzero(decision & CATEGORY)
    count = int(said.get("num_cat", 0))
    if not count:
        if len(nodes):
            raise BadInput(f"{where}: splits by category, and num_cat = 0; damaged")
        return {}
    ends, words = _whole(said, "cat_boundaries"), _whole(said, "cat_threshold")
    whole = len(ends) == count + 1 and ends[0] == 0 and ends[-1] == len(words)
    if not whole or (np.diff(ends) < 0).any():
        raise BadInput(f"{where}: cat_boundaries: do not part cat_threshold in {count}; damaged")
    if (words < 0).any() or (words >= 2**WORD).any():
        raise BadInput(f"{where}: cat_threshold: no words of {WORD} bits; damaged")
    found = {}
    for node in nodes.tolist():
        at = threshold[node]
        if not (0 <= at < count and at == np.floor(at)):
            raise BadInput(f"{where}: threshold: {at:g} is no set of {count}; damaged")
        mine = words[ends[int(at)] : ends[int(at) + 1]]
        bits = (mine[:, None] >> np.arange(WORD)) & 1
        found[node] = holding(
            np.flatnonzero(bits), left=True, missing=False, where=where, lowest=-1.0
        )
    return found


def _child(said: Array, asks: int) -> Array:
    """The place of a child; that of no node is left for the check to find."""
    bounded = np.clip(said, -(2**31), 2**31)
    beyond = np.where(bounded >= asks, 2**40, bounded)  # a node that asks and is not there
    return np.where(bounded < 0, asks + ~bounded, beyond)


def _missing_left(decision: Array, threshold: Array, where: str) -> Array:
    """(K,) bool, where a missing value goes, by the bits of each node.

    Where no missing value was met in training it counts as 0. Where zeros count as missing, a zero
    goes where a missing value does, which is the same where the threshold sends it there, too.
    """
    default, zero = (decision & DEFAULT_LEFT) > 0, threshold >= 0
    missing, number = (decision >> 2) & 3, (decision & CATEGORY) == 0
    if (number & (missing == ZERO_TOO) & (default != zero)).any():
        raise BadInput(f"{where}: zero_as_missing: zeros that count as missing are not read")
    if (missing > AS_MISSING).any() or (decision < 0).any() or (decision > 15).any():
        raise BadInput(f"{where}: decision_type: not known; damaged")
    return np.where(missing == AS_ZERO, zero, default)


def _numbers(said: Section, name: str) -> Array:
    return np.array(said.get(name, "").split(), dtype=np.float64)


def _whole(said: Section, name: str) -> Array:
    return np.array([int(one) for one in said.get(name, "").split()], dtype=np.int64)
