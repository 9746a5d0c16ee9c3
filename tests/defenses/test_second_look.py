"""The second computation of clipped gradients agrees with the first."""

import pytest
import torch

import tiny
from pipeline.defenses import second_look
from pipeline.defenses.privacy import clipped_sum
from pipeline.defenses.second_look import clipped_and_cut_off, clipped_each, flat
from pipeline.models.training import Batch

DATA = tiny.records(120, seed=0)


@pytest.mark.parametrize("shape", [(), (8, 6)])
def test_the_second_computation_of_clipped_sums_agrees_with_the_first(shape, monkeypatch):
    models = tiny.population(3, hidden=shape)
    index = torch.arange(40).expand(3, -1)
    weight = (torch.rand(3, 40, generator=torch.Generator().manual_seed(1)) < 0.8).float()
    batch = Batch(DATA.x[index], DATA.y[index], index, weight)
    numbers = (models.parameters, models.preprocessing, batch)
    everything = flat(clipped_sum(*numbers, 1e9))
    for at_once in (5000, 40, 39, 7, 1):
        monkeypatch.setattr(second_look, "AT_ONCE", at_once)
        clipped, cut = clipped_and_cut_off(*numbers, 0.5)
        torch.testing.assert_close(clipped, flat(clipped_sum(*numbers, 0.5)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(clipped + cut, everything, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hidden", [(), (12, 8)])
def test_clipped_gradients_add_up_to_the_clipped_sum(hidden):
    models = tiny.population(3, hidden=hidden)
    records = tiny.records(9, seed=3)
    each = clipped_each(models.parameters, models.preprocessing, records, 0.4)
    index = torch.arange(9).expand(3, -1)
    batch = Batch(records.x[index], records.y[index], index, torch.ones(3, 9))
    summed = flat(clipped_sum(models.parameters, models.preprocessing, batch, 0.4))
    torch.testing.assert_close(each.sum(1), summed, rtol=1e-4, atol=1e-5)
    assert (each.norm(dim=2) <= 0.4 * (1 + 1e-5)).all()
