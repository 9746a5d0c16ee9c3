"""One bound for each record: never more than the truth, and for a linear model all of it."""

import pytest
import torch

import tiny
from pipeline.models.answers import margin
from pipeline.verify import verify
from pipeline.verify.network import Network
from pipeline.verify.quick import quickly_proved

DATA = tiny.records(40, seed=5)


@pytest.mark.parametrize("eps", [0.05, 0.3])
def test_what_is_proved_is_so(eps):
    models = tiny.population(2)
    x, y = DATA.x.expand(2, -1, -1), DATA.y.expand(2, -1)
    found = quickly_proved(models, x, y, tiny.CLINICAL, eps)
    for member in range(2):
        truth = verify(
            Network.of(models, member), DATA.x, DATA.y, tiny.CLINICAL, largest=eps, budget=500
        )
        assert not (found[member] & truth.breaks_at.isfinite()).any()
    assert found.any()
    assert (margin(models(x), y)[found] > 0).all()
    assert eps < 0.3 or found.sum() < (margin(models(x), y) > 0).sum()


def test_of_a_linear_model_everything_is_decided():
    models = tiny.population(3, hidden=())
    x, y = DATA.x.expand(3, -1, -1), DATA.y.expand(3, -1)
    found = quickly_proved(models, x, y, tiny.CLINICAL, 0.2)
    low, high = tiny.CLINICAL.box(x, 0.2)
    slope = tiny.slope(models, y, tiny.CLINICAL)
    worst = torch.where(slope > 0, low, high).float()
    assert torch.equal(found, margin(models.double()(worst.double()), y) > 1e-9)


def test_processes_change_nothing():
    models, x, y = tiny.population(2), DATA.x.expand(2, -1, -1), DATA.y.expand(2, -1)
    alone = quickly_proved(models, x, y, tiny.CLINICAL, 0.1)
    torch.set_num_threads(2)
    try:
        assert torch.equal(quickly_proved(models, x, y, tiny.CLINICAL, 0.1), alone)
    finally:
        torch.set_num_threads(1)
