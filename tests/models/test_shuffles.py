"""Shuffles made together are those of torch, number for number."""

import pytest
import torch

from pipeline.models import shuffles
from pipeline.models.shuffles import Shuffles
from pipeline.seeds import Stream, generator

COUNTS = [[5, 8, 1, 3], [1, 1], [7], [40, 39, 2, 41]]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def pair(counts, monkeypatch, device):
    """The same shuffles on the processor and on a device."""
    monkeypatch.setattr(shuffles, "MANY", 0)
    counts, seeds = torch.tensor(counts), torch.arange(len(counts)) + 2**40
    one, many = Shuffles(counts, seeds), Shuffles(counts, seeds, 3, device)
    assert (one.device, many.device) == ("cpu", device)
    return one, many


def test_each_is_an_endless_row_of_torchs_shuffles():
    counts, seeds = torch.tensor([4, 7]), torch.tensor([3, 5])
    taken = Shuffles(counts, seeds)
    found = torch.cat([taken.take(count) for count in (5, 1, 22)], 1)
    for size, seed, row in zip(counts.tolist(), seeds.tolist(), found, strict=True):
        own = generator(Stream.BATCHES, seed)
        expected = torch.cat([torch.randperm(size, generator=own) for _ in range(7)])
        assert torch.equal(row, expected[:28])


@pytest.mark.parametrize("counts", COUNTS)
def test_together_they_are_the_same_whatever_is_taken_at_a_time(counts, monkeypatch):
    """Odd numbers of draws too, after which the next shuffle begins in the middle of 64 bits."""
    one, many = pair(counts, monkeypatch, "cpu")
    monkeypatch.setattr(many, "_one_by_one", many._together)
    for count in (3, 4, 1, 20, 90, 6):
        assert torch.equal(one.take(count), many.take(count))


@gpu
@pytest.mark.parametrize("counts", COUNTS)
def test_on_a_gpu_they_are_the_same(counts, monkeypatch):
    one, many = pair(counts, monkeypatch, "cuda")
    for count in (3, 4, 1, 20, 90, 6):
        assert torch.equal(one.take(count), many.take(count).cpu())


def test_few_are_made_on_the_processor_and_many_no_more_at_a_time_than_fit(monkeypatch):
    monkeypatch.setattr(shuffles, "MANY", 12)
    monkeypatch.setattr(shuffles, "AT_ONCE", 100)
    counts, seeds = torch.full((4,), 5), torch.arange(4)
    found = [Shuffles(counts, seeds, epochs, "meta") for epochs in (2, 3, 9)]
    assert [(one.device, one.at_once) for one in found] == [("cpu", 1), ("meta", 3), ("meta", 5)]
    assert Shuffles(counts, seeds, 9).device == "cpu"
