"""How few forged measurements are enough: as trying every value of every subset of them says."""

from dataclasses import replace
from functools import cache
from itertools import combinations

import pytest
import torch

import brute
import tiny
from brute import COARSE, GRIDDED, INFINITY
from pipeline.verify.network import Network
from pipeline.verify.sparse import fewest, one_at_a_time
from tiny import same_bits

pytestmark = pytest.mark.heavy

ANYWHERE = 1000.0  # a radius that no range is as wide as
FINE, ROUGH = replace(GRIDDED, norm="l0"), replace(COARSE, norm="l0")
MUTABLE = (0, 1, 2)
CASES = {
    "two_layers": ((8, 6), 9),
    "one_layer": ((8,), 8),
    "three_layers": ((6, 5, 4), 9),
    "linear": ((), 4),
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def asked(case, threat):
    """A model, records with missing values, and what the model says of most of them."""
    hidden, seed = CASES[case]
    models = tiny.population(1, hidden=hidden, seed=seed, boost=2.0)
    x = brute.on_grid(16, threat, seed=seed, missing=0.15)
    y = brute.answers(models, x)
    y[::6] = 1 - y[::6]
    return models, x, y


@cache
def rough(case):
    """Records on a coarse grid, and the fewest measurements that break each, at most three."""
    models, x, y = asked(case, ROUGH)
    least = []
    for record, label in zip(x, y.tolist(), strict=True):
        sizes = [
            len(subset)
            for size in range(4)
            for subset in combinations(MUTABLE, size)
            if (
                brute.margin(
                    models, brute.everything(record, COARSE, ANYWHERE, list(subset)), label
                )
                <= 0
            ).any()
        ]
        least.append(float(min(sizes, default=INFINITY)))
    return models, x, y, torch.tensor(least, dtype=torch.float64)


def search(case, *, most=3, budget=100_000, spared=None):
    models, x, y, _ = rough(case)
    spared = torch.zeros_like(y, dtype=torch.bool) if spared is None else spared
    return fewest(Network.of(models, 0), x, (y, 1 - y), ROUGH, budget, most=most, spared=spared)


@every_case
def test_one_at_a_time_is_the_least_change_of_each_measurement_alone(case):
    models, x, y = asked(case, FINE)
    proved, distance, value = one_at_a_time(Network.of(models, 0), x, (y, 1 - y), FINE, 100_000)
    found = 0
    for row in range(len(x)):
        for feature in range(x.shape[1]):
            if x[row, feature].isnan() or feature not in MUTABLE:
                assert proved[row, feature].isnan()
                assert distance[row, feature].isnan()
                assert value[row, feature].isnan()
                continue
            tried = brute.everything(x[row], GRIDDED, ANYWHERE, [feature])
            broken = tried[brute.margin(models, tried, int(y[row])) <= 0]
            moved = brute.change(broken, x[row], GRIDDED).amax(1)
            assert proved[row, feature] == distance[row, feature]
            if not len(broken):
                assert distance[row, feature] == INFINITY
                assert value[row, feature].isnan()
                continue
            found += moved.min() > 0
            assert abs(float(distance[row, feature] - moved.min())) < 1e-9
            assert (
                float(value[row, feature])
                in broken[moved <= moved.min() + 1e-9][:, feature].double().tolist()
            )
    assert found > 5


@every_case
def test_what_is_proved_of_one_at_a_time_is_true_on_any_budget(case):
    models, x, y = asked(case, FINE)
    network = Network.of(models, 0)
    exact = one_at_a_time(network, x, (y, 1 - y), FINE, 100_000)[1].nan_to_num(0.0, posinf=1e9)
    proved, distance, _ = (
        out.nan_to_num(0.0, posinf=1e9) for out in one_at_a_time(network, x, (y, 1 - y), FINE, 1)
    )
    assert (proved <= exact + 1e-9).all()
    assert (distance >= exact - 1e-9).all()


@every_case
def test_fewest_is_the_size_of_the_smallest_subset_that_breaks(case):
    least = rough(case)[3]
    for most in (0, 1, 2, 3):
        answer = search(case, most=most)
        assert torch.equal(answer.breaks_at, torch.where(least <= most, least, INFINITY))
        assert torch.equal(answer.robust_below, answer.breaks_at)


def test_the_cases_hold_records_of_every_size():
    sizes = torch.cat([rough(case)[3] for case in CASES])
    assert {0.0, 1.0, 2.0, INFINITY} <= set(sizes.tolist())


@every_case
def test_the_forged_record_breaks_the_answer_with_as_many_plausible_values(case):
    models, x, y, _ = rough(case)
    answer = search(case)
    for row in range(len(x)):
        record, size = answer.record[row], float(answer.breaks_at[row])
        if size == INFINITY:
            assert same_bits(record, x[row])
            continue
        assert float(brute.margin(models, record[None], int(y[row]))) <= 0
        changed = ((record != x[row]) & ~x[row].isnan()).nonzero()[:, 0].tolist()
        assert len(changed) == size
        assert set(changed) <= set(MUTABLE)
        for feature in changed:
            assert (record[feature] == brute.choices(x[row], feature, COARSE, ANYWHERE)).any()
    assert same_bits(answer.record[x.isnan()], x[x.isnan()])


@every_case
@pytest.mark.parametrize("budget", [1, 2, 3])
def test_what_a_smaller_number_left_open_stays_open(case, budget):
    least, answer = rough(case)[3], search(case, budget=budget)
    assert (answer.robust_below <= least).all()
    assert (answer.breaks_at >= least).all()


def test_small_budgets_do_leave_records_open():
    answers = [search(case, budget=1) for case in CASES]
    assert any((answer.robust_below < answer.breaks_at).any() for answer in answers)


def test_what_is_open_at_one_measurement_is_not_proved_at_two(monkeypatch):
    """A search that never decides anything proves nothing beyond the patient's own record."""
    from pipeline.verify import sparse

    def undecided(network, problem, *, budget, any_will_do):
        zero = torch.zeros(len(problem), dtype=torch.float64)
        return sparse.Nearest(zero, zero + torch.inf, problem.record, zero.long())

    monkeypatch.setattr(sparse, "nearest_record", undecided)
    answer = search("two_layers", most=3)
    _, x, _, least = rough("two_layers")
    right = (least > 0) & (COARSE.mutable & ~x.isnan()).any(1)
    assert (answer.robust_below[right] <= 1).all()
    assert answer.breaks_at[right].isinf().all()


@every_case
def test_spared_records_are_not_forged(case):
    _, x, _, least = rough(case)
    answer = search(case, spared=torch.ones(len(x), dtype=torch.bool))
    assert torch.equal(answer.breaks_at, torch.where(least == 0, 0.0, INFINITY).double())
    assert same_bits(answer.record, x)


def test_a_missing_value_cannot_be_forged():
    models, x, _, _ = rough("two_layers")
    blank = torch.where(COARSE.mutable, torch.nan, x)
    y = brute.answers(models, blank)
    answer = fewest(
        Network.of(models, 0),
        blank,
        (y, 1 - y),
        ROUGH,
        100,
        most=3,
        spared=torch.zeros(len(x), dtype=torch.bool),
    )
    assert answer.robust_below.isinf().all()
    assert same_bits(answer.record, blank)
