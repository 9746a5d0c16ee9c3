"""What is read of a text says what LightGBM says; a hostile text is refused in a line."""

import re
from functools import cache

import lightgbm
import numpy as np
import pytest

import foreign
from pipeline.files import BadInput, FailedCheck
from pipeline.models.reading import chances, held_against, on_thresholds, read_lightgbm

QUIET = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}


@cache
def booster(whole=False, named=True, below=0.0, **more):
    """Trained on records, with or without missing values, all of them so much lower."""
    x = foreign.X.astype(np.float64) - below
    x = np.nan_to_num(x, nan=-below) if whole else x
    table = foreign.table(x) if named else x
    made = lightgbm.Dataset(table, foreign.Y.astype(float), params={"verbose": -1})
    return lightgbm.train({**QUIET, "num_leaves": 6, **more}, made, 8)


def read(tmp_path, text, inputs=foreign.NAMES):
    path = tmp_path / "model.txt"
    path.write_text(text, encoding="utf-8")
    return read_lightgbm(path, inputs)


def said(model):
    return lambda records: model.predict(records.astype(np.float64))


CASES = {
    "missing": {},
    "none missing": {"whole": True},
    "none missing, below zero": {"whole": True, "below": 120.0},
    "nameless": {"named": False},
    "another slope": {"sigmoid": 1.7},
    "missing is not used": {"use_missing": False},
}


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_the_library_says_also_on_thresholds(name, tmp_path):
    model = booster(**CASES[name])
    found = read(tmp_path, model.model_to_string())
    lower = foreign.probes() - np.float32(CASES[name].get("below", 0.0))
    for records in (lower, on_thresholds(found, lower)):
        held_against(found, said(model), records, what="model")
        np.testing.assert_allclose(chances(found, records), said(model)(records), rtol=0, atol=1e-9)


def test_columns_are_found_by_name_with_underscores_for_spaces(tmp_path):
    text = booster().model_to_string()
    spaced = text.replace("glucose", "blood_glucose")
    order = [4, 3, 2, 1, 0]
    inputs = [{"glucose": "blood glucose"}.get(name, name) for name in foreign.NAMES]
    turned = read(tmp_path, spaced, [inputs[place] for place in order])
    x = foreign.probes()
    np.testing.assert_array_equal(chances(turned, x[:, order]), chances(read(tmp_path, text), x))
    with pytest.raises(BadInput, match=r"model\.txt: column 'glucose': [^\n]*$"):
        read(tmp_path, text, ["age", "bmi", "ratio", "pedigree", "sugar"])
    with pytest.raises(BadInput, match="takes 5 columns without names, and the records have 4"):
        read(tmp_path, booster(named=False).model_to_string(), "abcd")


def test_a_tree_that_asks_nothing_is_read(tmp_path):
    model = booster(min_data_in_leaf=150)
    assert "num_leaves=1\n" in model.model_to_string()
    held_against(
        read(tmp_path, model.model_to_string()), said(model), foreign.probes(), what="model"
    )


def test_a_wrong_way_for_missing_values_is_found_out(tmp_path):
    model = booster()
    wrong = re.sub(
        r"decision_type=(.*)",
        lambda found: "decision_type=" + " ".join(str(int(one) ^ 2) for one in found[1].split()),
        model.model_to_string(),
    )
    with pytest.raises(FailedCheck, match="answers otherwise"):
        held_against(read(tmp_path, wrong), said(model), foreign.probes(), what="model")


# ---- hostile files ----


def line(name, change, place=0):
    """One line of the first tree otherwise: its entries as a list of words."""

    def changed(text):
        head, _, rest = text.partition("Tree=0")
        found = re.search(rf"^{name}=(.*)$", rest, re.MULTILINE)
        words = found[1].split()
        if callable(change):
            words = change(words)
        else:
            words[place] = change
        return f"{head}Tree=0{rest[: found.start()]}{name}={' '.join(words)}{rest[found.end() :]}"

    return changed


def swapped(before, after):
    return lambda text: text.replace(before, after, 1)


def by_category(count=1, threshold="0", cat_boundaries="0 1", cat_threshold="5"):
    """The first node splits by categories 0 and 2, but for what is changed."""

    def change(text):
        text = line("threshold", threshold)(line("decision_type", "1")(text))
        head, _, rest = text.partition("num_cat=0")
        sets = f"\ncat_boundaries={cat_boundaries}\ncat_threshold={cat_threshold}"
        return f"{head}num_cat={count}{sets}{rest}"

    return change


HOSTILE = {
    "child out of range": (line("left_child", "99"), "has the child"),
    "a leaf by another number": (line("left_child", "6"), "has the child"),
    "leaf out of range": (line("right_child", "-99"), "has the child"),
    "cycle": (line("left_child", "0"), "two nodes lead to one"),
    "feature out of range": (line("split_feature", "5"), "asks about feature 5 of 5"),
    "negative feature": (line("split_feature", "-1"), "asks about feature -1 of 5"),
    "threshold": (line("threshold", "nan"), "a threshold is NaN"),
    "words": (line("threshold", "x"), "no model of LightGBM"),
    "fraction": (line("left_child", "1.5"), "no model of LightGBM"),
    "huge": (line("left_child", "9" * 30), "no model of LightGBM"),
    "unequal": (line("threshold", lambda words: words[1:]), "threshold: 4 entries where 5 nodes"),
    "leaves": (line("leaf_value", lambda words: words[1:]), "5 leaves where 6 were written"),
    "leaf is not finite": (line("leaf_value", "inf"), "the value of a leaf is not a finite"),
    "category": (line("decision_type", "1"), "splits by category, and num_cat = 0"),
    "boundaries": (by_category(cat_boundaries="0 2"), "cat_boundaries: do not part"),
    "boundaries descend": (by_category(2, cat_boundaries="0 2 1"), "cat_boundaries: do not part"),
    "boundaries begin": (by_category(cat_boundaries="1 1"), "cat_boundaries: do not part"),
    "boundaries lack": (by_category(cat_boundaries="0"), "cat_boundaries: do not part"),
    "negative boundary": (by_category(2, cat_boundaries="0 -1 1"), "cat_boundaries: do not part"),
    "word": (by_category(cat_threshold="4294967296"), "cat_threshold: no words of 32 bits"),
    "negative word": (by_category(cat_threshold="-1"), "cat_threshold: no words of 32 bits"),
    "words of text": (by_category(cat_threshold="x"), "no model of LightGBM"),
    "set": (by_category(threshold="1"), "threshold: 1 is no set of 1"),
    "half a set": (by_category(threshold="0.5"), "threshold: 0.5 is no set of 1"),
    "no set": (by_category(threshold="nan"), "threshold: nan is no set of 1"),
    "sets": (by_category("x"), "no model of LightGBM"),
    "pandas": (lambda text: f'{text}\npandas_categorical:[["a", "b"]]\n', "not told apart"),
    "no JSON": (lambda text: f"{text}\npandas_categorical:[[\n", "no model of LightGBM"),
    "zeros": (line("decision_type", lambda words: ["4", "6", *words[2:]]), "zero_as_missing"),
    "decision": (line("decision_type", "12"), "decision_type: not known"),
    "objective": (swapped("objective=binary sigmoid:1", "objective=multiclass"), "'multiclass'"),
    "slope": (swapped("sigmoid:1", "sigmoid:-1"), "sigmoid: -1.0 is no slope"),
    "classes": (swapped("num_class=1", "num_class=3"), "more than two classes"),
    "forest": (swapped("max_feature_idx", "average_output\nmax_feature_idx"), "forests"),
    "linear": (swapped("is_linear=0", "is_linear=1"), "linear leaves are not read"),
    "a tree less": (swapped("Tree=1\n", ""), "stands twice; damaged"),
    "sizes": (swapped("tree_sizes=", "tree_sizes=7 "), "8 trees where 9 were written"),
    "truncated": (lambda text: text[: len(text) // 4], "ends before its trees do"),
    "nothing": (lambda text: "", "is empty"),
    "another text": (lambda text: "hello", "no text of LightGBM"),
    "names": (swapped("feature_names=glucose ", "feature_names="), "names 4 columns where"),
    "head": (swapped("objective=", "subject="), "no model of LightGBM"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(name, tmp_path):
    change, message = HOSTILE[name]
    text = change(booster().model_to_string())
    with pytest.raises(BadInput, match=rf"^{re.escape(str(tmp_path))}[^\n]*{message}[^\n]*$"):
        read(tmp_path, text)
