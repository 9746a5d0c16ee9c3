"""On a GPU: a step of training recorded once and launched as a whole, members side by side in it.

A small network's step is a hundred kernels of microseconds, and launching them one by one takes
most of the time. A CUDA graph launches all of them at once.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
FIRST = (
    3  # steps that are taken one kernel after another, as libraries choose their kernels in them
)
LANES = 16  # streams on which members of a recorded step lie


class Replayed:
    """A step on a GPU that does the same to every batch of one shape.

    Whatever it computes must be decided by tensors that stay where they are: a number that Python
    changes between two steps is recorded as it first was.
    """

    def __init__(self, step: Callable[[T], None]) -> None:
        """Takes the step, a function of a data class of tensors."""
        self.step: Callable[[Any], None] = step
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.held: Any = None

    def __call__(self, batch: T) -> None:
        """Takes the step with this batch."""
        self.taken += 1
        if self.taken <= FIRST:
            with apart():
                self.step(batch)
            return
        if self.graph is None:
            self.graph, self.held = torch.cuda.CUDAGraph(), _copied(batch)
            with torch.cuda.graph(self.graph):  # records, and does nothing yet
                self.step(self.held)
        for name, there in _tensors(self.held):
            there.copy_(getattr(batch, name))
        self.graph.replay()


@contextmanager
def apart() -> Iterator[None]:
    """On a stream of its own, in turn with the one of before, as recording asks of first steps."""
    here, own = torch.cuda.current_stream(), torch.cuda.Stream()
    own.wait_stream(here)
    with torch.cuda.stream(own):
        yield
    here.wait_stream(own)


def _tensors(batch: Any) -> Iterator[tuple[str, Tensor]]:
    assert is_dataclass(batch)
    for one in fields(batch):
        yield one.name, getattr(batch, one.name)


def _copied(batch: T) -> T:
    return type(batch)(**{name: value.clone() for name, value in _tensors(batch)})


@contextmanager
def lanes(x: Tensor) -> Iterator[Callable[[int], AbstractContextManager[Any]]]:
    """Where members of a step on x lie: in turn on a few streams while it is recorded, else here.

    What was done before is done when they begin, and they are done at the end of the context.
    """
    if not (x.is_cuda and torch.cuda.is_current_stream_capturing()):
        yield lambda _: nullcontext()
        return
    here, beside = torch.cuda.current_stream(), _streams()
    for one in beside:
        one.wait_stream(here)
    yield lambda number: torch.cuda.stream(beside[number % LANES])
    for one in beside:
        here.wait_stream(one)


@cache
def _streams() -> tuple[torch.cuda.Stream, ...]:
    return tuple(torch.cuda.Stream() for _ in range(LANES))
