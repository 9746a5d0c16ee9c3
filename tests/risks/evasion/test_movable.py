"""Who can be changed at all within a radius, against every record that may be presented."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import brute
from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.risks.evasion.movable import can_move, empty_radii, everybody, in_words
from tiny import CLINICAL, EUCLIDEAN, feature, records, threat_config

YES_OR_NO = replace(brute.GRIDDED, step=torch.tensor([1.0, 0.1, 0.25, 0.001, 1.0]).double() * 40)


@pytest.mark.parametrize("eps", [0.0, 0.01, 0.02, 0.034, 0.1, 0.3])
@pytest.mark.parametrize("stray", [False, True])
def test_it_is_whether_any_other_record_may_be_presented(eps, stray):
    x = brute.on_grid(40, brute.GRIDDED, seed=1, missing=0.5)
    x = brute.off_grid(x, seed=1) if stray else x
    expected = [len(brute.everything(record, brute.GRIDDED, eps)) > 1 for record in x]
    assert can_move(x, brute.GRIDDED, eps).tolist() == expected


def test_below_a_step_nobody_moves_and_under_no_threat_does_what_is_immutable():
    x = brute.on_grid(30, YES_OR_NO, seed=2, missing=0.0)
    assert not can_move(x, YES_OR_NO, 0.1).any()
    frozen = replace(CLINICAL, mutable=torch.zeros(5, dtype=torch.bool))
    assert not can_move(x, frozen, 100.0).any()
    one = replace(CLINICAL, norm="l0")
    assert can_move(x, one, 1.0).all()
    assert not can_move(x, one, 0.0).any()
    assert can_move(x, EUCLIDEAN, 0.5).all()
    assert can_move(torch.full((3, 5), torch.nan), CLINICAL, 5.0).tolist() == [False] * 3


def test_blocks_change_nothing(monkeypatch):
    x = records(50, seed=3, missing=0.4).x
    whole = can_move(x, CLINICAL, 0.02)
    monkeypatch.setattr("pipeline.risks.evasion.movable.AT_ONCE", 7)
    assert torch.equal(can_move(x, CLINICAL, 0.02), whole)


def test_empty_radii_are_said_once_and_zero_is_none_of_them():
    lines = pd.DataFrame({"eps": [0.0, 0.1, 0.5, 1.0] * 2, "movable": [0.0, 0.0, 0.0, 0.25] * 2})
    assert empty_radii(lines).startswith("Within eps 0.1, 0.5 no patient's record")
    assert in_words(lines)[:4] == ["0.0%", "0.0%", "0.0%", "25.0%"]
    assert empty_radii(lines[lines["movable"] > 0]) == ""
    assert empty_radii(lines.drop(columns="movable")) == ""
    assert in_words(lines.drop(columns="movable"))[0] == "-"


def test_whether_everybody_can_be_changed_is_asked_above_radius_zero():
    lines = pd.DataFrame({"eps": [0.0, 0.1, 0.3], "movable": [0.0, 1.0, 1.0]})
    assert everybody(lines)
    assert everybody(lines.drop(columns="movable"))
    assert not everybody(lines.assign(movable=[0.0, 0.99, 1.0]))


def test_what_relations_forbid_is_no_admitted_change():
    """A value that may only fall, and another one that may only rise with it at its limit."""
    one, other = feature(0.0, 10.0, 1.0, True, 5.0, 2.0), feature(0.0, 10.0, 1.0, False, 5.0, 2.0)
    names, classes = ("one", "other"), ("healthy", "ill")
    kept = ("one <= other", "other <= one")
    schema = Schema(names, (one, other), "outcome", classes, relations=kept)
    x = torch.tensor([[5.0, 5.0], [7.0, 5.0], [5.0, torch.nan]])
    bound = Threat.of(schema, threat_config())
    assert can_move(x, bound, 1.0).tolist() == [False, True, True]
    free = Threat.of(schema, threat_config(consistent=False))
    assert can_move(x, free, 1.0).tolist() == [True, True, True]
