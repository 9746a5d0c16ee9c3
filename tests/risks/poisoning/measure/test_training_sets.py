"""Poisoned sets: exact counts, one version of a record, small doses in large, clean batches."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.attacks.poisoning.poison import Poison
from pipeline.config import TrainConfig
from pipeline.data.plan import Plan
from pipeline.defenses import DEFENSES, why_not_poisoned, why_unfit
from pipeline.defenses.trained import train
from pipeline.models.training import shuffled
from pipeline.params import configured
from pipeline.risks.poisoning.measure.training_sets import (
    draw_training_sets,
    poisoned_records,
    unpoisoned,
)

pytestmark = pytest.mark.heavy

DATA = tiny.records(60, seed=2)
PLAN = tiny.plan(DATA, folds=3, seeds=1)
DOSES = [1, 0.03, 0.1, 0.5, 1000]

# other numbers of recipes that are here already
SAME = {"larger_leaves", "small_boosting", "monotone"}
OF_RECORDS = [
    name
    for name in DEFENSES
    if not (why_unfit(name, images=False, network=True) or why_not_poisoned(name))
    and name not in SAME
]


@pytest.fixture
def poison():
    """Two versions that nobody could mistake; model 1 gets the second."""
    x = torch.stack([DATA.x + 1000, DATA.x + 2000])
    priority = torch.rand(3, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    priority[:, :5] = -torch.inf
    return Poison(
        x,
        (1 - DATA.y).expand(2, -1),
        priority,
        torch.arange(3),
        torch.tensor([0, 1, 0]),
        torch.full((3,), -1),
    )


@pytest.fixture(scope="module")
def every_defense():
    """Those that no run has by default included."""
    chosen = [
        "experiment=smoke",
        f"defense=[{','.join(OF_RECORDS)}]",
        "train.epochs=3",
        "distill.epochs=3",
        "dp_train.steps=10",
    ]
    few = ["boosting.leaf=2", "boosting.rounds=5", "forest.trees=9", "extra_trees.trees=9"]
    return configured([*chosen, *few, "dp_adv_train.steps=10"], tiny.ROOT / "conf")


@pytest.fixture
def sets(poison):
    return draw_training_sets(poison, DATA, PLAN, DOSES)


def test_a_dose_is_a_count_or_a_share_rounded_up():
    assert [poisoned_records(dose, 610) for dose in (1, 3, 0.0001, 0.05, 0.1, 0.101)] == [
        1,
        3,
        1,
        31,
        61,
        62,
    ]
    assert poisoned_records(0.05, 620) == 31  # 0.05 * 620 is a little more in float64


def test_counts_are_exact(sets, poison):
    for row in range(sets.plan.size):
        possible = PLAN.train[sets.model[row]] & (poison.priority[sets.model[row]] > -torch.inf)
        wanted = poisoned_records(DOSES[sets.dose[row]], 40)
        assert int(sets.poisoned[row].sum()) == min(wanted, int(possible.sum()))


def test_every_training_record_is_there_once_in_one_version(sets):
    by_record = sets.plan.train.view(-1, 60, 3)
    assert torch.equal(by_record.sum(2) == 1, PLAN.train[sets.model])
    assert by_record.sum(2).max() == 1
    assert torch.equal(sets.plan.held_out.view(-1, 60, 3)[..., 0], PLAN.held_out[sets.model])
    assert not sets.plan.held_out.view(-1, 60, 3)[..., 1:].any()
    assert not (sets.poisoned & ~sets.plan.train).any()


def test_what_is_poisoned_is_the_models_own_version_and_nothing_else_is(sets, poison):
    versions = sets.poisoned.view(-1, 60, 3)
    for row in range(sets.plan.size):
        own = int(poison.version[sets.model[row]]) + 1
        assert set(versions[row].nonzero()[:, 1].tolist()) == {own}
        rows = sets.poisoned[row]
        records = rows.nonzero()[:, 0] // 3
        assert tiny.same_bits(sets.dataset.x[rows], DATA.x[records] + 1000 * own)
        assert torch.equal(sets.dataset.y[rows], 1 - DATA.y[records])
        clean = sets.plan.train[row] & ~rows
        assert tiny.same_bits(sets.dataset.x[clean], DATA.x[clean.nonzero()[:, 0] // 3])


def test_small_doses_are_parts_of_larger_ones_and_come_first(sets, poison):
    table = sets.poisoned.view(len(DOSES), 3, -1)
    assert all((~table[at] | table[at + 1]).all() for at in range(len(DOSES) - 1))
    for row in range(3):
        first = poison.priority[row].masked_fill(~PLAN.train[row], -torch.inf).argmax()
        assert (table[0, row].nonzero()[:, 0] // 3).tolist() == [int(first)]


def test_batches_are_those_of_the_clean_plan(sets):
    draw = shuffled(TrainConfig(epochs=2, batch_size=16, learning_rate=0.1, weight_decay=0.0))
    clean = list(draw(PLAN.train, PLAN.seeds))
    poisoned = list(draw(sets.plan.train, sets.plan.seeds))
    assert len(clean) == len(poisoned)
    assert all(
        torch.equal(b[0] // 3, a[0][sets.model]) for a, b in zip(clean, poisoned, strict=True)
    )


@pytest.mark.parametrize("name", OF_RECORDS)
def test_without_poison_the_models_are_the_clean_ones_bit_for_bit(name, poison, every_defense):
    cfg = every_defense
    poison.priority[0] = -torch.inf  # model 0 is spared, at every dose
    sets = draw_training_sets(poison, DATA, PLAN, [1, 0.2])
    clean, harmed = (
        train(name, DATA, PLAN.select(sets.model), cfg),
        train(name, sets.dataset, sets.plan, cfg),
    )
    said, before = (one(DATA.x.expand(one.size, *DATA.x.shape)) for one in (harmed, clean))
    for row, model in enumerate(sets.model.tolist()):
        assert tiny.same_bits(said[row], before[row]) == (model == 0)


def test_dropped_rows_are_trained_on_no_more(sets):
    filtered = sets.without(sets.poisoned)
    assert not filtered.poisoned.any()
    assert torch.equal(filtered.plan.train, sets.plan.train & ~sets.poisoned)
    half = sets.select(sets.dose == 1)
    assert (half.plan.size, half.model.tolist()) == (3, [0, 1, 2])


def test_the_sets_of_a_plan_as_they_are_hold_no_poison():
    sets = unpoisoned(DATA, PLAN)
    assert sets.plan is PLAN
    assert sets.poisoned.shape == PLAN.train.shape
    assert not sets.poisoned.any()
    assert (sets.dose.tolist(), sets.model.tolist(), sets.target.tolist()) == (
        [0, 0, 0],
        [0, 1, 2],
        [-1, -1, -1],
    )


def test_a_dose_of_patients_takes_all_their_records(poison):
    whose = torch.arange(60) // 3  # the first two patients, but for one record, are out of reach
    grouped = replace(DATA, patient=whose, together=whose)
    plan = Plan.cross_validation(DATA.y, folds=3, seeds=1, seed=0, release=False, together=whose)
    sets = draw_training_sets(poison, grouped, plan, DOSES, whose)
    for row in range(sets.plan.size):
        model, dose = sets.model[row], DOSES[sets.dose[row]]
        train = plan.train[model]
        patients = whose[train].unique()
        taken = sets.poisoned[row].view(60, 3).any(1)
        owned = whose[taken].unique()
        may = train & (poison.priority[model] > -torch.inf)
        assert torch.equal(taken, may & torch.isin(whose, owned))
        reachable = len(whose[may].unique())
        assert len(owned) == min(poisoned_records(dose, len(patients)), reachable)
        best = torch.stack(
            [poison.priority[model][may & (whose == one)].amax() for one in whose[may].unique()]
        )
        least = min(poison.priority[model][may & (whose == one)].amax() for one in owned)
        assert (best > least).sum() == len(owned) - 1
    assert torch.equal(sets.dataset.patient, whose.repeat_interleave(3))


def test_of_one_record_each_patients_are_records(poison, sets):
    alone = draw_training_sets(poison, DATA, PLAN, DOSES, torch.arange(60))
    assert torch.equal(alone.plan.train, sets.plan.train)
    assert torch.equal(sets.dataset.patient, torch.arange(180))
