"""Copies that are trees: each learns the chances it was told, of its own records alone."""

import pytest
import torch

import tiny
from pipeline.risks.theft.measure.grown import grow_copies

BUDGETS = (40, 90)
SEEDS = torch.tensor([3, 3])


@pytest.fixture(scope="module")
def asked():
    """Two attackers, three victims, 90 records of each: a step in the first feature."""
    x = torch.stack([tiny.records(90, seed=place).x for place in range(6)]).view(2, 3, 90, -1)
    return x, torch.where(x[..., 0] > 110, 0.9, 0.2).double()


@pytest.fixture(scope="module")
def copies(asked):
    return grow_copies(*asked, BUDGETS, SEEDS)


def said(copies, x):
    with torch.no_grad():
        logits = copies(x.double().expand(copies.size, *x.shape))
    return torch.sigmoid(logits[..., 1] - logits[..., 0])


def test_a_copy_says_the_chance_that_it_was_told(copies, asked):
    x, answers = asked
    assert copies.size == 2 * 3 * 2
    for block in range(6):
        own, told = x.flatten(0, 1)[block], answers.flatten(0, 1)[block]
        whole = said(copies, own)[2 * block + 1]
        assert (whole - told).abs().mean() < 0.05


def test_a_copy_sees_the_first_records_of_its_own_attacker_and_victim(copies, asked):
    x, answers = asked
    turned = answers.clone()
    turned[:, :, 40:] = 1 - turned[:, :, 40:]  # beyond the smaller budget
    turned[1, 2] = 1 - turned[1, 2]
    others = grow_copies(x, turned, BUDGETS, SEEDS)
    records = tiny.records(50, seed=9).x
    same = (said(copies, records) == said(others, records)).all(1)
    assert same.tolist() == [True, False] * 5 + [False, False]
