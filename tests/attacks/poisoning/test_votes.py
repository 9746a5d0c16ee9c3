"""Poison through the parts of a vote, against retraining everything for each record."""

import numpy as np
import pytest
import torch

from pipeline.attacks.poisoning.goals import found_slope, ranking_slope
from pipeline.attacks.poisoning.votes import through_parts
from pipeline.models.logistic import logistic_regression

INPUTS = torch.cat(
    [
        3 * torch.randn(48, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64),
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


def all_votes(labels):
    """Of each part, on those who train."""
    votes = []
    for one in range(6):
        own = (one == PART) & TRAIN
        beta = logistic_regression(INPUTS[own].numpy(), labels[own].double().numpy(), 0.3)
        votes.append(np.clip(INPUTS[TRAIN].numpy() @ beta, -1, 1))
    return torch.from_numpy(np.array(votes))


def mean_vote(labels):
    return all_votes(labels).mean(0)


def unseen_vote(labels):
    """The mean vote of the parts that a record does not train."""
    votes, part = all_votes(labels), PART[TRAIN]
    others = [[one for one in range(6) if one != own] for own in part.tolist()]
    return torch.stack([votes[rest, row].mean() for row, rest in enumerate(others)])


def turned_one_by_one(slope, count, *, either_way):
    """Retraining everything for each diagnosis that might be turned next."""
    labels, found = ILL.clone(), []
    for _ in range(count):
        before = unseen_vote(labels)
        weight, lost = slope(before, ILL[TRAIN], 0.05), {}
        for record in TRAIN.nonzero()[:, 0].tolist():
            if record not in found and (ILL[record] == 1 or either_way):
                other = torch.where(torch.arange(48) == record, 1 - labels, labels)
                lost[record] = float(weight @ (before - unseen_vote(other)))
        found.append(max(lost, key=lost.get))
        labels[found[-1]] = 1 - labels[found[-1]]
    return sorted(found)


@pytest.mark.parametrize("slope", [found_slope, ranking_slope])
@pytest.mark.parametrize("either_way", [False, True])
def test_records_are_those_that_retraining_everything_finds(slope, either_way):
    one, five = chosen(slope, [1, 5], either_way=either_way, rounds=5)
    for turned, count in ((one, 1), (five, 5)):
        expected = turned_one_by_one(slope, count, either_way=either_way)
        assert turned.nonzero()[:, 0].tolist() == expected


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
