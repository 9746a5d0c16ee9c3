"""The server's sums do not depend on who answers first, and it waits for everybody."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.defenses.federated.aggregate import Exchange, aggregated
from pipeline.defenses.federated.flare.wire import NUMBERS, WEIGHTS, called

server = pytest.importorskip("pipeline.defenses.federated.flare.server", reason="needs NVFlare")


def results(generator, absent=None):
    found = []
    for number in range(4):
        update = torch.randn(2, 30, generator=generator) * 10.0**number
        records = torch.tensor([float(number + 1), 0.0 if number == absent else 2.0])
        params = {WEIGHTS: update.numpy(), NUMBERS: records.numpy()}
        found.append(SimpleNamespace(meta={"client_name": called(number)}, params=params))
    return found


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed_mean"])
def test_the_order_of_arrival_changes_no_bit(rule):
    sent = results(torch.Generator().manual_seed(0))
    ends = []
    for order in permutations(sent):
        ours = server.InOrder(rule, 1, 4)
        ours.reset_stats()
        for one in order:
            ours.accept_model(one)
        ends.append(ours.aggregate_model().params[WEIGHTS])
    assert all(np.array_equal(one, ends[0]) for one in ends)
    updates, records = (
        torch.stack([torch.from_numpy(one.params[name]) for one in sent])
        for name in (WEIGHTS, NUMBERS)
    )
    truth = aggregated(rule, 1)(Exchange(0, updates[0], updates, records))
    assert np.array_equal(ends[0], truth.numpy())


def test_a_round_without_a_hospital_is_no_round():
    ours = server.InOrder("mean", 0, 4)
    for one in results(torch.Generator().manual_seed(0))[:3]:
        ours.accept_model(one)
    with pytest.raises(RuntimeError, match="3 of 4 hospitals answered"):
        ours.aggregate_model()


def test_names_sort_as_numbers_do():
    assert sorted(map(called, (10, 9, 0, 1000))) == [called(one) for one in (0, 9, 10, 1000)]
