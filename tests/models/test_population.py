"""Populations of one kind stand one after another, whichever kind it is."""

import pytest
import torch

import handwritten
import kinds
import tiny
from pipeline.defenses.trained import train
from pipeline.files import NotApplicable
from pipeline.models.population import joined, trained_of


@pytest.mark.parametrize("images", [False, True])
def test_joined_parts_are_the_whole(images, dataset):
    if images:
        scans = kinds.scans(20, seed=0)
        cfg = handwritten.configured(train={"epochs": 1, "batch_size": 8})
        plan = kinds.official_split(scans, train=12, seeds=3)
        whole, x = trained_of(train("baseline", scans, plan, cfg)), scans.x
    else:
        whole, x = tiny.untrained(tiny.plan(dataset), dataset), dataset.x
    whole = whole.decide_at(torch.arange(whole.size).double())
    again = joined([whole.select(torch.tensor([0])), whole.select(torch.arange(1, whole.size))])
    assert again.labels == whole.labels
    assert torch.equal(again.cut, whole.cut)
    every = x.expand(whole.size, *x.shape)
    assert torch.equal(again(every), whole(every))
    assert again.digest == whole.digest


def test_who_was_not_trained_here_is_refused(dataset):
    plan = tiny.plan(dataset)
    with pytest.raises(NotApplicable, match="scores alone"):
        trained_of(kinds.ScoresOnly(tiny.untrained(plan, dataset)))
