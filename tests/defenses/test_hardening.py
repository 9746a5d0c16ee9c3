"""What is added turned the answer, lies near, and is of who trains alone; what is grown stands."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

import brute
import groves
import tiny
from brute import COARSE
from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.defenses import hardening, refuse_unfit, why_unfit
from pipeline.defenses.growing import GROWN
from pipeline.files import FOR_TREES_ALONE, BadInput
from pipeline.params import configured
from pipeline.verify import verify
from pipeline.verify.cells import Ensemble

NUMBERS = {
    "forest": {"kind": "forest", "trees": 7, "depth": 4, "leaf": 2},
    "extra_trees": {"kind": "extra_trees", "trees": 7, "depth": 4, "leaf": 2},
    "boosting": {"rounds": 6, "leaves": 5, "rate": 0.5, "leaf": 5, "rising": []},
}
HARDENED = {"eps": 0.5, "threat": "clinical", "rounds": 2, "weight": 0.5, "boxes": 500}
every_kind = pytest.mark.parametrize("name", NUMBERS)


def cfg(name):
    more = [f"model.{key}={value}" for key, value in NUMBERS[name].items() if key != "rising"]
    return configured(["experiment=smoke", f"model={name}", "examine=[]", *more])


def grown(name, x, y):
    return GROWN[name](tiny.SCHEMA, **NUMBERS[name])(x, y, 0)


@every_kind
def test_counterexamples_are_all_that_trying_every_record_finds(name):
    x = brute.on_grid(60, COARSE, seed=3, missing=0.1)
    y = (x[:, 0].nan_to_num(120.0) > 120).long()
    y[::9] = 1 - y[::9]
    library = grown(name, x.numpy(), y.numpy())
    forged, whose = hardening.counterexamples(library, x.numpy(), y.numpy(), COARSE, 0.5, 10_000)
    read = hardening.grown(library)
    models = groves.Trees.of(
        "one", [read.trees], ("one",), features=5, link=read.link, base=[read.base]
    )
    truth = brute.truth(models, x, y, COARSE, 0.5).linf
    assert whose.tolist() == torch.nonzero((truth > 0) & truth.isfinite())[:, 0].tolist()
    assert len(whose) > 5
    assert (library.predict(forged) != y[whose].numpy()).all()
    moved = brute.change(torch.from_numpy(forged), x[whose], COARSE).amax(1)
    torch.testing.assert_close(moved, truth[whose], rtol=0, atol=1e-6)


@every_kind
@pytest.mark.slow
def test_each_round_adds_what_turned_the_one_before(name, monkeypatch):
    dataset = tiny.records(60, seed=1)
    plan = tiny.plan(dataset, folds=3, seeds=1).select(torch.tensor([0]))
    calls, make = [], GROWN[name]

    def watched(schema, **numbers):
        plain = make(schema, **numbers)

        def grow(x, y, seed, weight=None):
            calls.append((x, y, weight, plain(x, y, seed, weight)))
            return calls[-1][3]

        return grow

    monkeypatch.setitem(hardening.GROWN, name, watched)
    hardening.hardened(dataset, plan, cfg(name), **HARDENED)
    own, truth = dataset.x[plan.train[0]].numpy(), dataset.y[plan.train[0]].numpy()
    assert len(calls) == 3
    for before, after in pairwise(calls):
        np.testing.assert_array_equal(after[0][: len(before[0])], before[0])
        np.testing.assert_array_equal(after[1][: len(before[1])], before[1])
        added, classes = after[0][len(before[0]) :], after[1][len(before[1]) :]
        assert len(added) > 0
        assert (before[3].predict(added) != classes).all()
        assert after[2].tolist() == [1.0] * len(own) + [0.5] * (len(after[0]) - len(own))
        attacker = Threat.of(dataset.schema, cfg(name).threat["clinical"])
        for record, label in zip(added, classes, strict=True):
            near = attacker.distance(torch.from_numpy(record)[None], torch.from_numpy(own))
            assert (near <= 0.5 + 1e-6)[torch.from_numpy(truth == label)].any()
    np.testing.assert_array_equal(calls[0][0], own)


@every_kind
def test_a_member_depends_on_its_own_training_records_alone(name):
    dataset = tiny.records(60, seed=1)
    plan = tiny.plan(dataset, folds=3, seeds=1).select(torch.tensor([0]))
    x, y = dataset.x.clone(), dataset.y.clone()
    x[~plan.train[0]], y[~plan.train[0]] = 50.0, 1 - y[~plan.train[0]]
    models, others = (
        hardening.hardened(one, plan, cfg(name), **HARDENED)
        for one in (dataset, replace(dataset, x=x, y=y))
    )
    assert tiny.same_bits(models(dataset.x[None]), others(dataset.x[None]))


def test_fewer_training_records_can_be_turned_afterwards():
    dataset = tiny.records(200, seed=0)
    plan = tiny.plan(dataset, folds=2, seeds=1).select(torch.tensor([0]))
    attacker = Threat.of(dataset.schema, cfg("boosting").threat["clinical"])

    def stand(models):
        x, y = dataset.x[plan.train[0]], dataset.y[plan.train[0]]
        found = verify(Ensemble.of(models, 0), x, y, attacker, largest=0.5, budget=5000)
        return int(found.breaks_at.isinf().sum())

    plain = groves.RECIPES["boosting"](dataset, plan, None)
    often = {**HARDENED, "weight": 1.0, "rounds": 5}
    assert stand(hardening.hardened(dataset, plan, cfg("boosting"), **often)) > stand(plain) + 9


def test_what_names_no_trees_or_more_classes_is_refused_in_a_line():
    dataset = tiny.records(40, seed=0)
    network = configured(["experiment=smoke"])
    with pytest.raises(BadInput, match=r"^hardened: for trees alone[^\n]*$"):
        hardening.hardened(dataset, tiny.plan(dataset), network, **HARDENED)
    with pytest.raises(BadInput, match=r"^defense: hardened: for trees alone[^\n]*$"):
        refuse_unfit(["hardened"], network, "defense: ")
    refuse_unfit(["hardened"], cfg("boosting"), "defense: ")
    assert why_unfit("hardened", images=False, network=False) == FOR_TREES_ALONE
    schema = Schema(dataset.schema.names, dataset.schema.features, "outcome", ("a", "b", "c"))
    with pytest.raises(BadInput, match=r"^hardened: [^\n]*3 classes$"):
        hardening.hardened(
            replace(dataset, schema=schema), tiny.plan(dataset), cfg("forest"), **HARDENED
        )


def test_under_relations_it_says_that_nobody_was_attacked(monkeypatch):
    dataset = tiny.records(40, seed=0)
    plan = tiny.plan(dataset, folds=2, seeds=1)
    of = Threat.of
    monkeypatch.setattr(
        hardening.Threat, "of", lambda *args: replace(of(*args), relations=object())
    )
    models = hardening.hardened(dataset, plan, cfg("boosting"), **HARDENED)
    assert models.facts["attacked"].startswith("nobody: under clinical")
    plain = groves.RECIPES["boosting"](dataset, plan, None)
    assert tiny.same_bits(models(dataset.x.expand(2, -1, -1)), plain(dataset.x.expand(2, -1, -1)))
