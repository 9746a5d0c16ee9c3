"""Figures of what is decided are counted as the page counts them, and none is decided twice."""

import pytest
import torch

from benchmarks.decided_trees import KINDS, decided_trees_table, figures, fitted, timed
from pipeline.verify.nearest import Nearest
from tiny import CLINICAL, records

INFINITY = float("inf")


def test_a_record_is_decided_where_it_is_proved_or_broken():
    below, breaks = [0.0, 0.2, 0.2, 0.4, INFINITY], [0.0, 0.3, INFINITY, 0.4, INFINITY]
    found = Nearest(
        torch.tensor(below, dtype=torch.float64),
        torch.tensor(breaks, dtype=torch.float64),
        torch.zeros(5, 1),
        torch.tensor([0, 9, 100, 1, 0]),
    )
    said = figures(found, [0.0, 0.2, 0.3, 0.5])
    assert said["robust"] == {"0": 0.8, "0.2": 0.4, "0.3": 0.4, "0.5": 0.2}
    assert said["broken"] == {"0": 0.2, "0.2": 0.2, "0.3": 0.4, "0.5": 0.6}
    assert said["decided"] == {"0": 1.0, "0.2": 0.6, "0.3": 0.8, "0.5": 0.8}
    assert (said["inexact"], said["undecided"]) == (2, 1)
    assert (said["boxes_a_record"], said["most_boxes"]) == (22.0, 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_fitted_read_and_decided(kind):
    pytest.importorskip(kind if kind in ("xgboost", "lightgbm") else "sklearn")
    dataset = records(60, seed=1)
    model = fitted(KINDS[kind][0](), dataset, torch.arange(60) < 40)
    assert model.architecture.trees == 100
    assert ("full" in kind) == (KINDS[kind][1] < 1)
    job = (model, dataset.x[40:], dataset.y[40:], CLINICAL, 0.5, 1000)
    seconds, found = timed([job])
    assert len(seconds) == 2
    entry = {"kind": kind, "leaves_a_model": 1, "records": 20, **figures(found, [0.0, 0.5])}
    assert entry["decided"]["0"] == 1
    assert kind in decided_trees_table([entry | {"s_1": 0, "s_2": 0}])
