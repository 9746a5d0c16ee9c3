"""Categories, binary values, levels and gaps: what is proved is what trying every record finds."""

from functools import cache

import pytest
import torch

import mixed
from pipeline.models.answers import margin
from pipeline.verify import verify
from pipeline.verify.least import least_margins
from pipeline.verify.network import Network
from pipeline.verify.prune import pruned
from pipeline.verify.quick import quickly_proved

LARGEST = {"linf": 1.0, "l2": 1.2, "l0": 2.0}
pytestmark = pytest.mark.heavy


@cache
def asked(norm, withhold, goal="any"):
    """Models, records, classes, threat; all that could be presented: values, changes, leads."""
    models, data = mixed.models(1), mixed.records(30, seed=4)
    eps = [0, 1, 2] if norm == "l0" else None
    limits = mixed.threat(norm=norm, withhold=withhold, eps=eps, goal=goal)
    x, y = data.x, models.double()(data.x[None].double())[0].argmax(-1)
    made = []
    for row, record in enumerate(x):
        tried, changes = map(torch.stack, zip(*mixed.everything(record, limits), strict=True))
        lead = margin(models.double()(tried[None].double()), y[row].expand(1, len(tried)))[0]
        made.append((tried, mixed.distance(changes, norm), lead))
    return models, x, y, limits, made


CASES = [(norm, withhold) for norm in LARGEST for withhold in (None, 0.6)]


@pytest.mark.parametrize(("norm", "withhold"), CASES)
def test_the_verifier_equals_trying_every_record(norm, withhold):
    models, x, y, limits, made = asked(norm, withhold)
    network, largest = Network.of(models, 0), LARGEST[norm]
    found = verify(network, x, y, limits, largest=largest, budget=5000)
    for row, (_, distance, lead) in enumerate(made):
        broken = distance[lead <= 0]
        nearest = float(broken.min()) if len(broken) else torch.inf
        wanted = nearest if nearest <= largest + 1e-9 else torch.inf
        assert found.breaks_at[row] == pytest.approx(wanted, abs=1e-6), row
        assert found.robust_below[row] == pytest.approx(wanted, abs=1e-6), row
    broken = found.breaks_at.isfinite()
    assert 5 < int(broken.sum()) < 30
    radius = found.breaks_at[broken, None] + 1e-6
    assert limits.violations(found.record[broken], x[broken], radius) == 0
    own = margin(models.double()(found.record[None].double()), y[None])[0]
    assert torch.equal(own <= 0, broken)
    torch.testing.assert_close(
        limits.distance(found.record[broken], x[broken]), found.breaks_at[broken]
    )
    less = pruned(network, x, (y, 1 - y), limits, found, budget=500)
    assert limits.violations(less.record[broken], x[broken], radius) == 0
    still = margin(models.double()(less.record[None].double()), y[None])[0]
    assert torch.equal(still <= 0, broken)


@pytest.mark.parametrize(("norm", "withhold"), CASES[:2])
@pytest.mark.parametrize("eps", [0.5, 0.8])
def test_the_least_margin_is_that_of_every_record(norm, withhold, eps):
    models, x, y, limits, made = asked(norm, withhold)
    network = Network.of(models, 0)
    bound = least_margins(network, x, y, limits, eps, budget=2000)
    quick = quickly_proved(models, x[None], y[None], limits, eps)[0]
    for row, (_, distance, lead) in enumerate(made):
        least = float(lead[distance <= eps + 1e-9].min())
        assert least - 1e-3 <= float(bound[row]) <= least + 1e-9, row
        assert not (quick[row] and least <= 0), row


def test_recodes_and_gaps_matter_and_cost_what_they_cost():
    """The planted fault: with the price of a recode above the radius, less is broken."""
    models, x, y, limits, _ = asked("linf", 0.6)
    network = Network.of(models, 0)

    def broken(largest):
        found = verify(network, x, y, limits, largest=largest, budget=5000)
        return int(found.breaks_at.isfinite().sum())

    kept = mixed.threat()
    without = verify(
        network,
        x,
        y,
        type(kept)(kept.mutable, kept.lower, kept.upper, kept.step, kept.scale),
        largest=1.0,
        budget=5000,
    )
    assert broken(0.49) < broken(0.5) <= broken(0.6) <= broken(1.0)
    assert int(without.breaks_at.isfinite().sum()) < broken(1.0)


def test_a_spent_budget_leaves_variants_open_and_proves_nothing_of_them():
    models, x, y, limits, made = asked("linf", 0.6)
    found = verify(Network.of(models, 0), x, y, limits, largest=1.0, budget=2)
    for row, (_, distance, lead) in enumerate(made):
        broken = distance[lead <= 0]
        nearest = float(broken.min()) if len(broken) else torch.inf
        assert float(found.robust_below[row]) <= nearest + 1e-6
        assert float(found.breaks_at[row]) >= nearest - 1e-6
    assert (found.robust_below < found.breaks_at).any()


def test_whom_the_goal_spares_is_left_alone():
    models, x, y, _, _ = asked("linf", 0.6)
    limits = mixed.threat(withhold=0.6, goal="miss")
    found = verify(Network.of(models, 0), x, y, limits, largest=1.0, budget=500, spared=y == 0)
    assert found.breaks_at[y == 0].isinf().all()
    assert found.breaks_at[y == 1].isfinite().any()
