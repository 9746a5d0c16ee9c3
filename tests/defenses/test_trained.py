"""Models trained in blocks: each block as if it were all, whoever works."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.defenses.trained import train
from pipeline.files import FailedCheck


def by_blocks(cfg, members):
    return cfg.model_copy(update={"train": cfg.train.model_copy(update={"members": members})})


@pytest.fixture
def plan(dataset):
    return tiny.plan(dataset, seeds=1)


def test_a_block_of_all_is_what_is_trained_without_blocks(cfg, dataset, plan):
    wanted = train("baseline", dataset, plan, cfg)
    for members in (plan.size, plan.size + 7):
        assert train("baseline", dataset, plan, by_blocks(cfg, members)).digest == wanted.digest


def test_a_block_is_trained_as_if_it_were_all(cfg, dataset, plan):
    found = train("baseline", dataset, plan, by_blocks(cfg, 2))
    assert found.labels == plan.labels
    for rows in torch.arange(plan.size).split(2):
        alone = train("baseline", dataset, plan.select(rows), cfg)
        assert found.select(rows).digest == alone.digest


def test_two_processes_train_the_same_bits(two_threads, cfg, dataset, plan):
    two = train("baseline", dataset, plan, by_blocks(cfg, 2))
    torch.set_num_threads(1)
    assert two.digest == train("baseline", dataset, plan, by_blocks(cfg, 2)).digest


def test_blocks_that_claim_different_things_are_not_joined(monkeypatch, cfg, dataset, plan):
    def claims(dataset, plan, cfg, name="claims"):
        models = replace(tiny.population(plan.size), labels=plan.labels)
        models.facts["guarantee"] = {"epsilon": float(plan.seeds[0])}
        return models

    monkeypatch.setitem(train.__globals__["DEFENSES"], "baseline", claims)
    with pytest.raises(FailedCheck, match=r"train\.members: 2 say different"):
        train("baseline", dataset, plan, by_blocks(cfg, 2))
