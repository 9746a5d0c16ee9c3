"""Poison through the parts of a vote, against retraining everything for each record."""

import numpy as np
import pytest
import torch

from pipeline.attacks.poisoning.goals import found_slope, ranking_slope
from pipeline.attacks.poisoning.votes import through_parts
from pipeline.models.logistic import logistic_regression

INPUTS = torch.cat(
    [
        torch.randn(48, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64),
        torch.ones(48, 1, dtype=torch.float64),
    ],
    1,
)
ILL = (INPUTS[:, 0] + 0.5 * INPUTS[:, 1] > 0.2).long()
PART, TRAIN = torch.arange(48) % 6, torch.arange(48) % 5 != 0


def chosen(slope, counts, *, either_way, rounds=1):
    return through_parts(
        slope,
        INPUTS,
        ILL,
        TRAIN,
        PART,
        counts,
        clip=1.0,
        ridge=0.3,
        cut=0.05,
        either_way=either_way,
        rounds=rounds,
    )


def mean_vote(labels):
    votes = []
    for one in range(6):
        own = (one == PART) & TRAIN
        beta = logistic_regression(INPUTS[own].numpy(), labels[own].double().numpy(), 0.3)
        votes.append(np.clip(INPUTS[TRAIN].numpy() @ beta, -1, 1))
    return torch.from_numpy(np.mean(votes, 0))


@pytest.mark.parametrize("slope", [found_slope, ranking_slope])
@pytest.mark.parametrize("either_way", [False, True])
def test_one_record_is_the_one_that_retraining_everything_finds(slope, either_way):
    before = mean_vote(ILL)
    weight = slope(before, ILL[TRAIN], 0.05)
    lost = {}
    for record in TRAIN.nonzero()[:, 0].tolist():
        if ILL[record] == 1 or either_way:
            labels = torch.where(torch.arange(48) == record, 1 - ILL, ILL)
            lost[record] = float(weight @ (before - mean_vote(labels)))
    (turned,) = chosen(slope, [1], either_way=either_way)
    assert turned.nonzero()[:, 0].tolist() == [max(lost, key=lost.get)]


def test_doses_are_nested_counted_and_of_those_who_may_be_turned():
    small, large = chosen(found_slope, [3, 9], either_way=False, rounds=4)
    assert (int(small.sum()), int(large.sum())) == (3, 9)
    assert (large | ~small).all()
    assert (TRAIN & (ILL == 1))[large].all()
    again = chosen(found_slope, [9, 3], either_way=False, rounds=4)
    assert torch.equal(again, torch.stack([large, small]))


def test_more_than_there_are_is_all_of_them():
    (everybody,) = chosen(found_slope, [99], either_way=False, rounds=3)
    assert torch.equal(everybody, TRAIN & (ILL == 1))


def test_retraining_in_rounds_leaves_fewer_found_than_chance():
    (turned,) = chosen(found_slope, [3], either_way=False, rounds=3)
    left = float(
        (mean_vote(torch.where(turned, 1 - ILL, ILL))[ILL[TRAIN] == 1] > 0.05).double().mean()
    )
    ill = (TRAIN & (ILL == 1)).nonzero()[:, 0]
    generator, by_chance = torch.Generator().manual_seed(0), []
    for _ in range(20):
        labels = ILL.clone()
        labels[ill[torch.randperm(len(ill), generator=generator)[:3]]] = 0
        by_chance.append(float((mean_vote(labels)[ILL[TRAIN] == 1] > 0.05).double().mean()))
    assert left <= min(by_chance)
    assert left < sum(by_chance) / 20 - 0.1
