"""What is recorded is what is done; the rest needs a GPU."""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from pipeline.models import replay
from pipeline.models.replay import FIRST, LANES, Replayed, lanes

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@dataclass(frozen=True)
class Numbers:
    x: Tensor
    y: Tensor


class Recorder:
    """A graph that does, when it is replayed, what was told while it was recorded."""

    def __init__(self):
        self.inside, self.replayed, self.works = False, 0, []

    def replay(self):
        self.replayed += 1
        for work in self.works:
            work()


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that are made, on the processor."""
    made = []

    @contextmanager
    def recording(graph):
        graph.inside = True
        yield
        graph.inside = False

    def graph():
        made.append(Recorder())
        return made[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(replay, "apart", nullcontext)
    return made


@pytest.fixture
def taken(graphs):
    """A step that notes what it was given, and that list."""
    noted = []

    def step(batch):
        def work():
            noted.append((batch.x.tolist(), batch.y.tolist()))

        if graphs and graphs[0].inside:
            graphs[0].works.append(work)
        else:
            work()

    return Replayed(step), noted


def batches(count):
    return [Numbers(torch.full((2,), n), torch.full((1,), -n)) for n in range(count)]


def test_each_batch_is_taken_once_and_in_order(taken, graphs):
    take, noted = taken
    for batch in batches(FIRST + 4):
        take(batch)
    assert noted == [([n, n], [-n]) for n in range(FIRST + 4)]
    assert [one.replayed for one in graphs] == [4]


def test_a_batch_of_another_shape_is_refused(taken):
    take, _ = taken
    for batch in batches(FIRST + 1):
        take(batch)
    with pytest.raises(RuntimeError):
        take(Numbers(torch.zeros(3), torch.zeros(1)))


def test_a_short_training_is_not_recorded(taken, graphs):
    take, noted = taken
    for batch in batches(FIRST):
        take(batch)
    assert len(noted) == FIRST
    assert not graphs


def test_on_the_processor_members_lie_where_they_are():
    with lanes(torch.zeros(2)) as lane, lane(3):
        assert torch.ones(1) == 1


@gpu
def test_what_is_recorded_equals_what_is_done_one_by_one():
    drawn = torch.Generator().manual_seed(0)
    given = [
        Numbers(torch.randn(40, 8, generator=drawn).cuda(), torch.zeros(1).cuda()) for _ in range(9)
    ]

    def run(wrap):
        weight = torch.ones(40, 8, device="cuda")

        def step(batch):
            with lanes(batch.x) as lane:
                rows = []
                for number, row in enumerate(batch.x):
                    with lane(number):
                        rows.append(torch.tanh(row * weight[number]))
            weight.add_(torch.stack(rows), alpha=0.1)

        take = wrap(step)
        for batch in given:
            take(batch)
        return weight.cpu()

    assert torch.equal(run(Replayed), run(lambda step: step))
    assert LANES < 40
