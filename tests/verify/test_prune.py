"""A pruned record holds no change that could be taken back: as trying every record says."""

from dataclasses import replace
from functools import cache

import pytest
import torch

import brute
import tiny
from brute import COARSE, GRIDDED
from pipeline.data.threat import Threat
from pipeline.verify import prune
from pipeline.verify.nearest import nearest_record
from pipeline.verify.network import Network
from pipeline.verify.prune import pruned
from pipeline.verify.sparse import fewest
from tiny import CLINICAL, same_bits

pytestmark = pytest.mark.heavy

MUTABLE, LARGEST, BUDGET = (0, 1, 2), 1.0, 100_000
CASES = {"two_layers": ((8, 6), 9), "one_layer": ((8,), 6), "linear": ((), 3)}
# coarse enough to try everything, fine enough that values have steps to give back
GRID = replace(COARSE, step=torch.tensor([5.0, 1.0, 0.25, 0.001, 1.0], dtype=torch.float64))
every_case = pytest.mark.parametrize("case", CASES)


def search(case, threat, *, off_grid=False, budget=BUDGET):
    """The model, the records and what the search finds nearest, before and after pruning."""
    hidden, seed = CASES[case]
    models = tiny.population(1, hidden=hidden, seed=seed, boost=2.0)
    x = brute.on_grid(30, threat, seed=seed, missing=0.1)
    x = brute.off_grid(x, seed=seed) if off_grid else x
    y = brute.answers(models, x)
    network, classes = Network.of(models, 0), (y, 1 - y)
    if threat.norm == "l0":
        nobody = torch.zeros_like(y, dtype=torch.bool)
        found = fewest(network, x, classes, threat, budget, most=3, spared=nobody)
    else:
        found = nearest_record(network, brute.problem(models, x, y, threat, LARGEST), budget=budget)
    return models, x, y, found, pruned(network, x, classes, threat, found, budget=budget)


@cache
def exact(case, off_grid=False):
    return search(case, GRID, off_grid=off_grid)


def changes(record, other):
    return ((record != other) & ~other.isnan()).nonzero()[:, 0].tolist()


def rows_of(found):
    return (found.breaks_at.isfinite() & (found.breaks_at > 0)).nonzero()[:, 0].tolist()


def breaks(models, record, y):
    return float(brute.margin(models, record[None], int(y))) <= 0


@every_case
@pytest.mark.parametrize("off_grid", [False, True], ids=["on_grid", "off_grid"])
def test_it_is_as_near_and_changes_the_answer_by_values_that_may_be_presented(case, off_grid):
    models, x, y, before, after = exact(case, off_grid)
    assert torch.equal(after.breaks_at, before.breaks_at)
    assert torch.equal(after.robust_below, before.robust_below)
    for row in rows_of(after):
        record, radius = after.record[row], float(after.breaks_at[row])
        assert breaks(models, record, y[row])
        assert float(brute.change(record[None], x[row], GRID).amax()) == pytest.approx(radius)
        for feature in range(5):
            reach = brute.choices(x[row], feature, GRID, radius)
            assert (reach == record[feature]).any() or x[row, feature].isnan()
    untouched = [row for row in range(len(x)) if row not in rows_of(after)]
    assert same_bits(after.record[untouched], before.record[untouched])


@every_case
@pytest.mark.parametrize("off_grid", [False, True], ids=["on_grid", "off_grid"])
def test_no_record_within_the_distance_changes_fewer_values(case, off_grid):
    models, x, y, _, after = exact(case, off_grid)
    for row in rows_of(after):
        within = brute.everything(x[row], GRID, float(after.breaks_at[row]))
        broken = within[brute.margin(models, within, int(y[row])) <= 0]
        least = ((broken != x[row]) & ~x[row].isnan()).sum(1).min()
        assert len(changes(after.record[row], x[row])) == least


@every_case
def test_no_value_can_be_put_back_or_moved_a_step_towards_the_patients(case):
    models, x, y, _, after = exact(case)
    for row in rows_of(after):
        record = after.record[row]
        for feature in changes(record, x[row]):
            step = float(GRID.step[feature])
            ticks = round(float(record[feature]) / step)
            towards = ticks + (1 if x[row, feature] > record[feature] else -1)
            for value in (x[row, feature], torch.tensor(towards * step).float()):
                nearer = record.clone()
                nearer[feature] = value
                assert not breaks(models, nearer, y[row])


def test_superfluous_changes_were_there_and_are_gone():
    """Or the tests above would test nothing; and without every choice some would stay."""
    fewer = greedy = 0
    for case in CASES:
        _, x, _, before, after = exact(case)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prune, "SUBSETS", 0)
            _, _, _, _, taken_back = search(case, GRID)
        for row in rows_of(after):
            sizes = [len(changes(one.record[row], x[row])) for one in (before, taken_back, after)]
            assert sizes == sorted(sizes, reverse=True)
            fewer += sizes[0] > sizes[2]
            greedy += sizes[0] > sizes[1]
    assert fewer >= greedy > 5


@pytest.mark.parametrize("norm", ["l2", "l0"])
def test_under_other_norms_no_value_can_be_put_back_and_none_is_farther(norm):
    threat: Threat = replace(GRID, norm=norm)
    models, x, y, before, after = search("two_layers", threat)
    assert (after.breaks_at <= before.breaks_at).all()
    assert (after.breaks_at >= after.robust_below).all()
    assert len(rows_of(after)) > 5
    for row in rows_of(after):
        assert breaks(models, after.record[row], y[row])
        for feature in changes(after.record[row], x[row]):
            nearer = after.record[row].clone()
            nearer[feature] = x[row, feature]
            assert not breaks(models, nearer, y[row])
    assert threat.violations(after.record, x, after.breaks_at.nan_to_num(posinf=0)[:, None]) == 0


def test_a_value_without_a_grid_is_put_back_or_left():
    models, x, y, before, after = search("two_layers", CLINICAL)
    ratio = 2
    assert set(MUTABLE) == set(CLINICAL.mutable.nonzero()[:, 0].tolist())
    for row in rows_of(after):
        assert breaks(models, after.record[row], y[row])
        value = after.record[row, ratio]
        moved = value != before.record[row, ratio]
        assert value.isnan() or not moved or value == x[row, ratio]


def test_a_spent_budget_leaves_records_that_still_change_the_answer():
    models, _, y, before, after = search("two_layers", GRIDDED, budget=1)
    assert (after.breaks_at <= before.breaks_at).all()
    assert (after.robust_below <= after.breaks_at).all()
    assert all(breaks(models, after.record[row], y[row]) for row in rows_of(after))


def test_where_nothing_breaks_nothing_is_done():
    models, x, y, before, _ = search("linear", GRID)
    none = replace(before, breaks_at=torch.full_like(before.breaks_at, torch.inf))
    network = Network.of(models, 0)
    assert pruned(network, x, (y, 1 - y), GRID, none, budget=1) is none
