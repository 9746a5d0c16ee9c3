"""Relations: what is proved is what trying every record that keeps them finds."""

from functools import cache

import pytest

import related
from every_record import Tried, check_least, check_verifier

LARGEST = {"linf": 0.8, "l2": 1.0, "l0": 2.0}
HIDDEN = [(), (8, 6)]
pytestmark = pytest.mark.heavy


def records(norm):
    # under l0 there are tens of thousands of others of each record
    return related.records(14 if norm == "l0" else 24, seed=4).x


@cache
def others(norm):
    """Of each record all that could be presented, and the changes: whatever the model."""
    reach = 9.0 if norm == "l0" else LARGEST[norm]
    return [related.everything(record, reach) for record in records(norm)]


@cache
def asked(norm, hidden):
    models, each = related.models(1, hidden=hidden), iter(others(norm))
    limits = related.threat(norm=norm, eps=[0, 1, 2] if norm == "l0" else None)
    return Tried.of(models, records(norm), limits, lambda _: next(each))


@pytest.mark.slow
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("norm", LARGEST)
def test_the_verifier_equals_trying_every_record(norm, hidden):
    check_verifier(asked(norm, hidden), largest=LARGEST[norm], budget=20000, least=3)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("eps", [0.3, 0.7])
def test_the_least_margin_is_that_of_every_record(eps, hidden):
    assert check_least(asked("linf", hidden), eps, budget=4000).any()
