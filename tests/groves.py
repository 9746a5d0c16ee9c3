"""Small ensembles of trees, grown by scikit-learn on tiny records, or drawn."""

from functools import cache

import numpy as np
import torch
import yaml

import scans
import tiny
from pipeline.config import ThreatConfig
from pipeline.data.raw import read_raw
from pipeline.data.threat import Threat
from pipeline.defenses.growing import boosting, forest
from pipeline.models.trees import Tree, Trees
from pipeline.validation import checked_model

RECIPES = {
    "forest": lambda *of: forest(*of, kind="forest", trees=7, depth=4, leaf=2),
    "extra_trees": lambda *of: forest(*of, kind="extra_trees", trees=7, depth=4, leaf=2),
    "boosting": lambda *of: boosting(*of, rounds=6, leaves=5, rate=0.5, leaf=5, rising=[]),
}


LARGE = {
    "forest": lambda *of: forest(*of, kind="forest", trees=100, depth=6, leaf=1),
    "extra_trees": lambda *of: forest(*of, kind="extra_trees", trees=100, depth=6, leaf=1),
    "boosting": lambda *of: boosting(*of, rounds=100, leaves=31, rate=0.1, leaf=20, rising=[]),
}


@cache
def large(name):
    """An ensemble of the size that teams grow on Pima, 24 of its records, and their threat."""
    described = scans.configured("pima")
    cohort, _ = read_raw(described, tiny.ROOT)
    models = LARGE[name](cohort, tiny.plan(cohort, folds=2, seeds=1), None)
    clinical = yaml.safe_load((tiny.ROOT / "conf/threat/clinical.yaml").read_text())
    threat = Threat.of(cohort.schema, checked_model(ThreatConfig, clinical, "conf"))
    return models, cohort.x[:24], cohort.y[:24], threat


@cache
def grown(name, seed=0):
    """A population of two members, their records and plan."""
    dataset = tiny.records(120, seed=seed)
    plan = tiny.plan(dataset, folds=2, seeds=1)
    return RECIPES[name](dataset, plan, None), dataset, plan


def drawn(count=5, *, seed=0, link="log_odds"):
    """One member of random trees, whose thresholds lie on values that are recorded, too."""
    rng = np.random.default_rng(seed)
    trees = [_tree(rng, depth=3) for _ in range(count)]
    if link == "probability":
        trees = [tree._replace(value=1 / (1 + np.exp(-tree.value))) for tree in trees]
    return Trees.of("drawn", [trees], ("one",), features=5, link=link, base=[0.0])


def _tree(rng, depth):
    """A whole tree of this depth; children come after their parent."""
    nodes, inner = 2 ** (depth + 1) - 1, 2**depth - 1
    own = np.arange(nodes)
    feature = np.where(own < inner, rng.integers(0, 5, nodes), 0)
    around = tiny.SCHEMA.column("center").numpy()[feature]
    scale = tiny.SCHEMA.column("scale").numpy()[feature]
    step = np.array([10.0, 2.0, 0.5, 0.001, 1.0])[feature]
    threshold = np.round((around + scale * rng.normal(size=nodes)) / step) * step
    return Tree(
        feature=feature.astype(np.int64),
        threshold=np.where(own < inner, threshold, 0.0),
        left=np.where(own < inner, 2 * own + 1, own),
        right=np.where(own < inner, 2 * own + 2, own),
        missing_left=rng.random(nodes) < 0.5,
        value=np.where(own < inner, 0.0, rng.normal(size=nodes)),
    )


def answer(tree: Tree, record: torch.Tensor) -> float:
    """What one tree says of one record, question by question."""
    node = 0
    while tree.left[node] != node:
        value = float(record[tree.feature[node]])
        left = tree.missing_left[node] if np.isnan(value) else value <= tree.threshold[node]
        node = (tree.left if left else tree.right)[node]
    return float(tree.value[node])
