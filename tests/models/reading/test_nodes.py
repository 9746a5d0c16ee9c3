"""Nodes are checked before they are followed; what is a tree stays as it is."""

import numpy as np
import pytest

from pipeline.files import BadInput
from pipeline.models.reading import nodes
from pipeline.models.reading.nodes import check_size, checked_tree

# 0 asks, 1 is a leaf, 2 asks, 3 and 4 are leaves
WHOLE = {
    "feature": np.array([1, -2, 0, -2, -2]),
    "threshold": np.array([0.5, -2.0, np.inf, -2.0, -2.0]),
    "left": np.array([1, -1, 3, -1, -1]),
    "right": np.array([2, -1, 4, -1, -1]),
    "missing_left": np.array([1, 0, 0, 0, 0]),
    "value": np.array([np.nan, 1.0, 7.0, 2.0, 3.0]),
    "leaf": np.array([0, 1, 0, 1, 1]),
}


def read(**changes):
    parts = {**WHOLE, **{name: np.array(part) for name, part in changes.items()}}
    return checked_tree(**parts, features=2, where="file: tree 0")


def test_a_whole_tree_is_read_as_it_stands():
    tree = read()
    assert tree.feature.tolist() == [1, 0, 0, 0, 0]
    assert tree.left.tolist() == [1, 1, 3, 3, 4]
    assert tree.right.tolist() == [2, 1, 4, 3, 4]
    assert tree.value.tolist() == [0.0, 1.0, 0.0, 2.0, 3.0]
    assert tree.threshold.tolist() == [0.5, 0.0, np.inf, 0.0, 0.0]


def test_children_come_after_their_parents_and_what_nobody_reaches_goes():
    turned = read(
        feature=[1, 0, 0, 0, 0, 0],
        threshold=[0.5, 1.5, 0.0, 0.0, 0.0, 0.0],
        left=[5, 2, 0, 0, 0, 1],
        right=[3, 4, 0, 0, 0, 1],
        missing_left=[1, 0, 0, 0, 0, 0],
        value=[0.0, 0.0, 2.0, 3.0, 4.0, 9.0],
        leaf=[0, 0, 1, 1, 1, 1],
    )
    assert turned.left.tolist() == [1, 1, 2]
    assert turned.right.tolist() == [2, 1, 2]
    assert turned.value.tolist() == [0.0, 9.0, 3.0]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"left": [1, -1, 9, -1, -1]}, "has the child 9 of 5 nodes"),
        ({"right": [2, -1, -7, -1, -1]}, "has the child -7 of 5 nodes"),
        ({"left": [1, -1, 0, -1, -1]}, "two nodes lead to one"),
        ({"right": [2, -1, 3, -1, -1]}, "two nodes lead to one"),
        ({"left": [0, -1, 3, -1, -1]}, "two nodes lead to one"),
        ({"feature": [2, 0, 0, 0, 0]}, "asks about feature 2 of 2"),
        ({"feature": [-1, 0, 0, 0, 0]}, "asks about feature -1 of 2"),
        ({"threshold": [np.nan, 0, 0, 0, 0]}, "a threshold is NaN"),
        ({"value": [0.0, np.inf, 0.0, 0.0, 0.0]}, "the value of a leaf is not a finite number"),
        ({"value": [0.0, 1.0]}, "value: 2 entries where there are 5 nodes"),
        ({"leaf": []}, "has no nodes"),
    ],
)
def test_what_is_no_tree_is_refused_in_a_line(changes, line):
    with pytest.raises(BadInput, match=f"^file: tree 0: [^\n]*{line}[^\n]*$"):
        read(**changes)


def test_a_path_too_deep_and_trees_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(nodes, "DEEPEST", 1)
    with pytest.raises(BadInput, match="deeper than 1 questions"):
        read()
    monkeypatch.undo()
    monkeypatch.setattr(nodes, "MOST_NODES", 9)
    with pytest.raises(BadInput, match="more than 9 nodes"):
        check_size([read(), read()], "file")
    with pytest.raises(BadInput, match="has no trees"):
        check_size([], "file")
