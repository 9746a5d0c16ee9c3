"""What is read of a file says what XGBoost says; a hostile file is refused in a line."""

import json
import re
from functools import cache

import numpy as np
import pytest
import torch
from xgboost import DMatrix, XGBClassifier, train

import foreign
from pipeline.files import BadInput, FailedCheck
from pipeline.models.reading import chances, files, held_against, on_thresholds, read_xgboost
from pipeline.models.reading import xgboost_files as module


@cache
def fitted():
    model = XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, random_state=0)
    return model.fit(foreign.table(foreign.X), foreign.Y)


def learner():
    """A fresh copy of what the file of a model holds."""
    return json.loads(bytes(fitted().get_booster().save_raw("json")))


def read(tmp_path, content, inputs=foreign.NAMES):
    path = tmp_path / "model.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_xgboost(path, inputs)


def said(records):
    return fitted().predict_proba(foreign.table(records))[:, 1].astype(np.float64)


def test_it_says_what_the_library_says_also_on_thresholds(tmp_path):
    fitted().save_model(tmp_path / "saved.json")
    found = read_xgboost(tmp_path / "saved.json", foreign.NAMES)
    for records in (foreign.probes(), on_thresholds(found, foreign.probes())):
        held_against(found, said, records, what="model", tolerance=1e-5)
        np.testing.assert_allclose(chances(found, records), said(records), rtol=0, atol=1e-6)
    assert found.facts == {"read_of": "XGBoost", "classes": ["0", "1"]}


def test_a_reader_that_takes_at_most_for_less_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module.np, "nextafter", lambda value, _: value)
    found = read(tmp_path, learner())
    monkeypatch.undo()
    held_against(found, said, foreign.X + np.float32(0.013), what="model", tolerance=1e-5)
    with pytest.raises(FailedCheck, match="answers otherwise"):
        held_against(
            found, said, on_thresholds(found, foreign.probes()), what="model", tolerance=1e-5
        )


def test_columns_are_found_by_name_or_by_position(tmp_path):
    straight, order = read(tmp_path, learner()), [4, 3, 2, 1, 0]
    turned = read(tmp_path, learner(), [foreign.NAMES[place] for place in order])
    x = foreign.probes()
    np.testing.assert_array_equal(chances(turned, x[:, order]), chances(straight, x))
    nameless = learner()
    nameless["learner"]["feature_names"] = []
    np.testing.assert_array_equal(
        chances(read(tmp_path, nameless, "abcde"), x), chances(straight, x)
    )
    with pytest.raises(BadInput, match="takes 5 columns without names, and the records have 4"):
        read(tmp_path, nameless, "abcd")
    with pytest.raises(BadInput, match=r"model\.json: column 'bmi': [^\n]*$"):
        read(tmp_path, learner(), [name for name in foreign.NAMES if name != "bmi"])


@pytest.mark.parametrize("written", ["5.2E-1", "[5.2E-1]"])
def test_the_base_score_has_two_spellings(written, tmp_path):
    content = learner()
    content["learner"]["learner_model_param"]["base_score"] = written
    base = float(read(tmp_path, content).parameters["base"][0])
    assert base == pytest.approx(np.log(0.52 / 0.48), abs=1e-6)


def test_a_booster_that_stopped_early_must_be_saved_without_its_last_rounds(tmp_path):
    records = [DMatrix(foreign.X[half], foreign.Y[half]) for half in (slice(120), slice(120, 200))]
    booster = train(
        {"objective": "binary:logistic", "eta": 2.0, "nthread": 1},
        records[0],
        20,
        evals=[(records[1], "late")],
        early_stopping_rounds=2,
        verbose_eval=False,
    )
    with pytest.raises(BadInput, match=r"stopped early, .*: save booster\[:[0-9]+\]"):
        read(tmp_path, bytes(booster.save_raw("json")))
    best = booster[: booster.best_iteration + 1]
    best.set_attr(best_iteration=None)
    found = read(tmp_path, bytes(best.save_raw("json")))
    x = foreign.probes()
    np.testing.assert_allclose(chances(found, x), best.predict(DMatrix(x)), rtol=0, atol=1e-5)


# ---- hostile files ----


def tree(**changes):
    """The first tree otherwise: a value at the first place, or all of the values."""

    def change(content):
        one = content["learner"]["gradient_booster"]["model"]["trees"][0]
        for name, value in changes.items():
            one[name] = value if isinstance(value, list) else [value, *one[name][1:]]

    return change


def model_param(**changes):
    return lambda content: content["learner"]["learner_model_param"].update(changes)


def objective(name):
    return lambda content: content["learner"]["objective"].update(name=name)


def booster(content):
    content["learner"]["gradient_booster"]["name"] = "dart"


def outputs(content):
    content["learner"]["gradient_booster"]["model"]["tree_info"][1] = 1


def no_trees(content):
    model = content["learner"]["gradient_booster"]["model"]
    model.update(trees=[], tree_info=[])


def names(content):
    content["learner"]["feature_names"] = ["a", "a", "b", "c", "d"]


def model_of(content):
    return content["learner"]["gradient_booster"]["model"]


def by_category(**changes):
    """The first node splits by categories 0 and 2, but for what is changed."""

    def change(content):
        one = model_of(content)["trees"][0]
        one["split_type"][0] = 1
        one.update(
            categories_nodes=[0], categories_segments=[0], categories_sizes=[2], categories=[0, 2]
        )
        one.update(changes)

    return change


def cats(first):
    nothing = {"offsets": [], "values": []}
    return lambda content: model_of(content).update(cats={"enc": [first, *[nothing] * 4]})


HOSTILE = {
    "child out of range": (tree(left_children=999), "tree 0: a node has the child 999 of"),
    "child far below": (tree(left_children=-7), "a node has the child -7 of"),
    "huge child": (tree(right_children=1e300), "a node has the child"),
    "one child": (tree(right_children=-1), "a node has one child alone"),
    "cycle": (tree(left_children=0), "two nodes lead to one"),
    "feature out of range": (tree(split_indices=5), "asks about feature 5 of 5"),
    "threshold": (tree(split_conditions=float("nan")), "a threshold is NaN"),
    "strings": (tree(split_conditions="x"), "split_conditions: no list of numbers"),
    "fractions": (tree(left_children=1.5), "left_children: not all are whole numbers"),
    "lists": (tree(default_left=[[1], [0]]), "default_left: no list of numbers"),
    "unequal": (tree(split_indices=[0, 1]), "feature: 2 entries where there are"),
    "no nodes": (
        tree(
            **{
                name: []
                for name in (
                    "left_children",
                    "right_children",
                    "split_indices",
                    "split_conditions",
                    "default_left",
                    "split_type",
                )
            }
        ),
        "tree 0: has no nodes",
    ),
    "category": (tree(split_type=1), "categories_nodes: not the nodes"),
    "kind": (tree(split_type=2), "split_type: not 0 or 1"),
    "kinds": (tree(split_type=[0]), "split_type: not 0 or 1"),
    "node of categories": (by_category(categories_nodes=[3]), "categories_nodes: not the nodes"),
    "node twice": (by_category(categories_nodes=[0, 0]), "categories_nodes: not the nodes"),
    "sizes": (by_category(categories_sizes=[]), "categories_nodes: not the nodes"),
    "segment": (by_category(categories_segments=[1]), "categories_segments: outside of 2"),
    "negative segment": (by_category(categories_segments=[-1]), "categories_segments: outside"),
    "negative size": (by_category(categories_sizes=[-1]), "categories_segments: outside"),
    "huge size": (by_category(categories_sizes=[1e300]), "categories_segments: outside"),
    "category below 0": (by_category(categories=[-1, 2]), "categories: not from 0"),
    "huge category": (by_category(categories=[2**24, 2]), "categories: not from 0"),
    "half a category": (by_category(categories=[0.5, 2]), "categories: not all are whole"),
    "scattered": (
        by_category(categories=list(range(0, 9000, 2)), categories_sizes=[4500]),
        "a set of 4500 categories, more than are read",
    ),
    "offsets": (cats({"offsets": [0, 9], "values": [97]}), "offsets: outside of 1 bytes"),
    "offsets descend": (cats({"offsets": [1, 0], "values": [97]}), "offsets: outside of 1 bytes"),
    "lists of categories": (cats({"values": [[1]]}), "categories: no list of numbers and texts"),
    "no categories": (cats({"values": 7}), "categories: no list of numbers and texts"),
    "bytes": (cats({"offsets": [0, 1], "values": [255]}), "no model of XGBoost"),
    "cats": (lambda content: model_of(content).update(cats={"enc": [{}]}), "categories of 1 col"),
    "classes": (model_param(num_class="3"), "more than two classes"),
    "outcomes": (model_param(num_target="2"), "more than two classes or one outcome"),
    "outputs": (outputs, "trees of more than one output"),
    "base": (model_param(base_score="[2E0]"), "base_score: 2.0 is no probability"),
    "bases": (model_param(base_score="[1E-1,2E-1]"), "no model of XGBoost"),
    "objective": (objective("multi:softprob"), "objective 'multi:softprob' is not read"),
    "objective of another kind": (objective(7), "objective '7' is not read"),
    "dart": (booster, "booster 'dart' is not read"),
    "no trees": (no_trees, "has no trees"),
    "two names": (names, "has two of this name"),
    "features": (model_param(num_feature="3"), "feature [34] of 3|names 5 columns"),
}
BYTES = {
    "binary": (b"{L\x00\x00\x00", "no JSON of XGBoost; write it by save_model"),
    "old binary": (b"binf\x00\x00", "no JSON of XGBoost"),
    "pickle": (b"\x80\x04\x95abc", "a pickle runs what stands in it"),
    "truncated": (None, "no model of XGBoost"),
    "another JSON": (b'{"a": 1}', "no model of XGBoost"),
    "nested": (b'{"learner":' + b"[" * 10**5, "no model of XGBoost"),
    "nothing": (b"", "is empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(name, tmp_path):
    change, line = HOSTILE[name]
    content = learner()
    change(content)
    with pytest.raises(BadInput, match=rf"^{re.escape(str(tmp_path))}[^\n]*({line})[^\n]*$"):
        read(tmp_path, content)


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_file_of_xgboost_is_refused_in_one_line(name, tmp_path):
    content, line = BYTES[name]
    content = json.dumps(learner()).encode()[:-99] if content is None else content
    with pytest.raises(BadInput, match=rf"^{re.escape(str(tmp_path))}[^\n]*{line}[^\n]*$"):
        read(tmp_path, content)


def test_a_file_too_large_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_TEXT", 1000)
    with pytest.raises(BadInput, match="larger than"):
        read(tmp_path, learner())
    monkeypatch.setattr(module, "MOST_NODES", 5)
    monkeypatch.setattr(files, "MOST_TEXT", 2**20)
    with pytest.raises(BadInput, match="more than 5 nodes"):
        read(tmp_path, learner())


def test_what_was_read_is_a_population_like_others(tmp_path):
    found = read(tmp_path, learner())
    found.save(tmp_path)
    again = type(found).load(tmp_path)
    x = torch.from_numpy(foreign.X)[None]
    assert torch.equal(again(x), found(x))
