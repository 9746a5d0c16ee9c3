"""A reading that differs is told of by how much, without a record."""

import numpy as np
import pytest
import torch

import groves
import tiny
from pipeline.files import FailedCheck
from pipeline.models.reading.agreement import chances, held_against, made_up, on_thresholds

READ = groves.drawn(seed=1)
RECORDS = tiny.records(60, seed=2).x.numpy()


def test_what_agrees_passes_and_each_difference_is_counted():
    own = chances(READ, RECORDS)
    held_against(READ, lambda x: chances(READ, x), RECORDS, what="model")
    for changed, line in (
        (np.where(np.arange(60) < 3, own + 1e-6, own), "about 3 of 60 records, by up to 1e-06"),
        (np.where(np.arange(60) < 1, 1 - own, own), "about 1 of 60 .*, 1 of them with the other"),
        (np.where(np.arange(60) < 2, np.nan, own), "about [0-9]+ of 60 records, by up to nan"),
    ):
        with pytest.raises(FailedCheck, match=f"^model: [^\n]*{line}[^\n]*$"):
            held_against(READ, lambda x, said=changed: said, RECORDS, what="model")
    with pytest.raises(FailedCheck, match=r"answers \(60, 2\) where \(60,\)"):
        held_against(READ, lambda x: np.zeros((60, 2)), RECORDS, what="model")


def test_another_label_is_told_of_however_near_unless_it_is_a_tie():
    own = chances(READ, RECORDS)
    line = READ.decide_at(torch.special.logit(torch.tensor([own[0]])))
    for shift, told in ((1e-10, True), (1e-14, False)):
        said = own.copy()
        said[0] += shift
        if told:
            with pytest.raises(FailedCheck, match="1 of them with the other label"):
                held_against(line, lambda x, said=said: said, RECORDS, what="model")
        else:
            held_against(line, lambda x, said=said: said, RECORDS, what="model")


def test_records_are_moved_onto_thresholds_or_next_to_them():
    moved, trees = on_thresholds(READ, RECORDS), READ.trees(0)
    cuts = {
        place: {
            np.float32(tree.threshold[node])
            for tree in trees
            for node in range(len(tree.value))
            if tree.left[node] != node and tree.feature[node] == place
        }
        for place in range(5)
    }
    beside = 0
    for place, values in enumerate(moved.T):
        known = values[~np.isnan(values)]
        assert np.isnan(values).tolist() == np.isnan(RECORDS[:, place]).tolist()
        for value in known:
            below = np.nextafter(value, np.float32(-np.inf))
            lower = np.nextafter(below, np.float32(-np.inf))
            assert {value, below, lower, np.nextafter(value, np.float32(np.inf))} & cuts[place]
            beside += value not in cuts[place]
    assert 0 < beside < moved.size


def test_made_up_records_lie_in_the_plausible_range_and_follow_the_seed():
    drawn = made_up(tiny.SCHEMA, 3, 50)
    low, high = (tiny.SCHEMA.column(name).numpy() for name in ("lower", "upper"))
    assert drawn.shape == (50, 5)
    assert ((drawn >= low.astype(np.float32)) & (drawn <= high.astype(np.float32))).all()
    assert (drawn == made_up(tiny.SCHEMA, 3, 50)).all()
    assert (drawn != made_up(tiny.SCHEMA, 4, 50)).any()
