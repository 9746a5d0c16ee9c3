"""What skops wrote is loaded whole; what is hostile is refused in a line, and does not run."""

import io
import json
import pickle
import re
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import foreign
from pipeline.files import BadInput
from pipeline.models.reading import NotReadable, chances, files, load_skops, read_estimator
from pipeline.models.reading.skops_files import SCHEMA, TRUSTED

X = np.nan_to_num(foreign.X.astype(np.float64))


@pytest.mark.parametrize("name", foreign.ALL)
def test_what_is_read_of_a_file_is_what_is_read_of_the_model(name, tmp_path):
    model = foreign.fitted(name, True)
    skops.io.dump(model, tmp_path / "model.skops")
    again = load_skops(tmp_path / "model.skops")
    probes = foreign.probes()
    np.testing.assert_array_equal(
        chances(read_estimator(again, foreign.NAMES, probes), probes),
        chances(read_estimator(model, foreign.NAMES, probes), probes),
    )


def test_what_is_not_readable_may_still_be_asked(tmp_path):
    model = make_pipeline(PCA(2), RandomForestClassifier(3)).fit(X, foreign.Y)
    skops.io.dump(model, tmp_path / "model.skops")
    again = load_skops(tmp_path / "model.skops")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    with pytest.raises(NotReadable, match=r"^PCA: "):
        read_estimator(again, foreign.NAMES, foreign.X)


def test_no_function_and_nothing_of_other_packages_is_on_the_list():
    assert not {"FunctionNode", "MethodNode", "PartialNode", "CachedNode"} & set(TRUSTED)
    assert not {"OperatorFuncNode", "ConstructorFromReduceNode", "BytesNode"} & set(TRUSTED)
    for names in TRUSTED.values():
        assert all(re.match(r"(sklearn|numpy|builtins)\.", name) for name in names)


# ---- hostile files ----


def parts_of(model):
    """The entries of what skops writes, the schema as JSON."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return {**parts, SCHEMA: json.loads(parts[SCHEMA])}


def packed(parts, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, json.dumps(content) if isinstance(content, dict) else content)
    return stream.getvalue()


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


class Runs:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self):
        return (open, ("ran", "w"))


def pickled(protocol):
    return pickle.dumps(Runs(), protocol)


def compressed():
    stream = io.BytesIO()
    joblib.dump({"a": np.ones(9)}, stream, compress=3)
    return stream.getvalue()


def of_torch():
    stream = io.BytesIO()
    torch.save({"a": torch.ones(3)}, stream)
    return stream.getvalue()


def tree_in(parts):
    """The state of the first tree, and its nodes."""
    waiting = [parts[SCHEMA]]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if one.get("__loader__") == "TreeNode":
                return one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    raise AssertionError


def bent_nodes(name, values):
    """A single tree whose nodes say something else, in an array of the right shape."""

    def bent():
        parts = parts_of(foreign.fitted("tree"))
        file = tree_in(parts)["content"]["content"]["nodes"]["file"]
        nodes = np.load(io.BytesIO(parts[file]))
        nodes[name][0] = values(nodes)
        return packed({**parts, file: saved(nodes)})

    return bent


def bent_histograms(name, value):
    def bent():
        parts = parts_of(foreign.fitted("histograms"))
        for file, content in parts.items():
            if file != SCHEMA:
                nodes = np.load(io.BytesIO(content))
                if nodes.dtype.names and name in nodes.dtype.names:
                    nodes[name][0] = value
                    return packed({**parts, file: saved(nodes)})
        raise AssertionError

    return bent


def changed(change, name="tree"):
    """The parts of a model after a change."""

    def bent():
        parts = parts_of(foreign.fitted(name))
        return packed(change(parts) or parts)

    return bent


def more_nodes_than_there_are(parts):
    tree_in(parts)["content"]["content"]["node_count"]["content"] = "1000000"


def many_outputs_by_identity(parts):
    """The number that is shown is right; its identity is that of another, loaded before."""
    other = parts[SCHEMA]["content"]["content"]["max_depth"]
    other.update(content="3", __id__=1)
    tree_in(parts)["__reduce__"]["args"]["content"][2]["__id__"] = 1


def many_outputs(parts):
    tree_in(parts)["__reduce__"]["args"]["content"][2]["content"] = "1000000"


def called(loader, module, name):
    def change(parts):
        parts[SCHEMA]["content"]["content"]["random_state"] = {
            "__class__": name,
            "__module__": module,
            "__loader__": loader,
            "content": None,
        }

    return changed(change)


def header_of_more(parts):
    """An array that says that it is 8 TB large."""
    name = next(name for name in parts if name != SCHEMA)
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(stream, header)
    parts[name] = stream.getvalue()


def objects(parts):
    name = next(name for name in parts if name != SCHEMA)
    parts[name] = saved(np.array([Runs()], dtype=object))


def nested(parts):
    return {SCHEMA: "[" * 10**6}


def other_columns(parts):
    """A forest that says it takes a million columns, whose trees still take five."""
    parts[SCHEMA]["content"]["content"]["n_features_in_"]["content"] = "1000000"


def of_other_types(model):
    return lambda: skops.io.dumps(model.fit(X, foreign.Y))


def bomb():
    return packed({**parts_of(foreign.fitted("tree")), "zeros.npy": b"0" * 2**21}, 8)


HOSTILE = {
    "pickle": (lambda: pickled(4), "a pickle runs what stands in it, .*skops.io.dump"),
    "old pickle": (lambda: pickled(0), "a pickle runs what stands in it"),
    "pickle of protocol 1": (lambda: pickle.dumps({"a": 1}, 1), "a pickle runs"),
    "joblib": (compressed, "compressed, as joblib writes pickles"),
    "torch": (of_torch, "written by torch.save"),
    "nothing": (lambda: b"", "is empty"),
    "text": (lambda: b"hello", "no archive of skops: no zip"),
    "truncated": (lambda: skops.io.dumps(foreign.fitted("tree"))[:-40], "cannot be unpacked"),
    "flipped": (
        lambda: skops.io.dumps(foreign.fitted("tree")).replace(b"gini", b"tiny", 1),
        "cannot be unpacked",
    ),
    "bomb": (bomb, "unpacks to [0-9]+ MiB, more than"),
    "path": (changed(lambda parts: {**parts, "../../evil.npy": b""}), "holds '../../evil.npy'"),
    "absolute path": (changed(lambda parts: {**parts, "/etc/passwd": b""}), "holds '/etc/passwd'"),
    "no schema": (lambda: packed({"a.npy": saved(np.ones(2))}), "no schema.json"),
    "schema is a list": (lambda: packed({SCHEMA: "[1, 2]"}), "no whole model of skops"),
    "nested": (changed(nested), "no whole model of skops"),
    "system": (called("FunctionNode", "os", "system"), r"holds os\.system \(FunctionNode\)"),
    "eval": (called("TypeNode", "builtins", "eval"), r"holds builtins\.eval"),
    "a function of skops's own list": (
        called("FunctionNode", "scipy.special", "expit"),
        r"holds scipy\.special\.expit",
    ),
    "object": (called("ObjectNode", "subprocess", "Popen"), r"holds subprocess\.Popen"),
    "neighbours": (of_other_types(KNeighborsClassifier()), "which is not on the list"),
    "support vectors": (of_other_types(SVC()), r"holds sklearn\.svm\._classes\.SVC"),
    "another loss": (
        of_other_types(GradientBoostingClassifier(loss="exponential", n_estimators=2)),
        "ExponentialLoss",
    ),
    "child out of range": (bent_nodes("left_child", lambda nodes: 10**9), "has the child 10000"),
    "child below zero": (bent_nodes("left_child", lambda nodes: -7), "has the child -7"),
    "cycle": (bent_nodes("right_child", lambda nodes: 0), "two nodes lead to one"),
    "feature out of range": (bent_nodes("feature", lambda nodes: 77), "about feature 77 of 5"),
    "threshold": (bent_nodes("threshold", lambda nodes: np.nan), "a threshold is NaN"),
    "histogram child": (bent_histograms("left", 10**6), "has the child 1000000"),
    "histogram feature": (bent_histograms("feature_idx", 99), "about feature 99 of 5"),
    "histogram category": (bent_histograms("is_categorical", 1), "by categories without"),
    "node count": (changed(more_nodes_than_there_are), "a tree of other counts than its arrays"),
    "identity": (changed(many_outputs_by_identity), None),
    "outputs": (changed(many_outputs), "a tree of other counts than its arrays"),
    "columns": (changed(other_columns, "forest"), "tree 0: takes other columns than the others"),
    "header": (changed(header_of_more), r"says \(1000000000000,\) and holds 0 bytes"),
    "objects": (changed(objects), "holds Python objects, which are never unpickled"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_nothing_of_it_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "bomb":
        monkeypatch.setattr(files, "MOST_BYTES", 2**20)
    make, line = HOSTILE[name]
    path = tmp_path / "model.skops"
    path.write_bytes(make())
    if line is None:  # what is shown is what is loaded: another identity changes nothing
        assert load_skops(path).tree_.n_outputs == 1
    else:
        with pytest.raises(BadInput, match=rf"^{re.escape(str(path))}: [^\n]*{line}[^\n]*$"):
            load_skops(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        load_skops(tmp_path / "none.skops")
    with pytest.raises(BadInput, match="cannot be read"):
        load_skops(tmp_path)
