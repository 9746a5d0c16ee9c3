"""Endless shuffles of every member's rows, from each member's own seed; on a GPU many at once.

A shuffle itself takes microseconds. What is done for one member at a time beside it would take
longer, and thousands of members would wait for that.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from pipeline.kernels import CPU
from pipeline.seeds import Stream, generator

MANY = 4096  # shuffles from which a GPU is faster: it takes each step of all of them at once
AT_ONCE = 2**25  # places in them, on a GPU


class Shuffles:
    """Of each member, an endless shuffle of 0 to its count, every pass anew; all of them at once.

    Attributes:
        device: where what is taken lies; it is the same on each.
        at_once: passes that are best taken at a time.
    """

    def __init__(self, counts: Tensor, seeds: Tensor, epochs: int = 1, device: str = CPU) -> None:
        """Begins each member's shuffle.

        Args:
            counts: how many each member has (M,), all above 0.
            seeds: of each member (M,).
            epochs: about so many passes will be taken.
            device: where the shuffles are made if they are many, else on the processor.
        """
        together = min(epochs, max(1, AT_ONCE // int(counts.max()) // len(counts)))
        many = together * len(counts) >= MANY
        self.device = device if many else CPU
        self.at_once = 1 if self.device == CPU else together  # one, for memory's sake
        self.counts = counts
        self.drawn = [generator(Stream.BATCHES, seed) for seed in seeds.tolist()]
        # (M, L) of which each member has its first so many
        self.left = counts.new_zeros(len(counts), 0, device=self.device)
        self.have = torch.zeros_like(counts)

    def take(self, count: int) -> Tensor:
        """The next so many of each member, (M, count)."""
        passes = -(-(count - self.have).clamp(min=0) // self.counts)
        fresh = self._one_by_one(passes) if self.device == CPU else self._together(passes)
        new = passes * self.counts
        ends, begin = self.have + new, self.left.numel() + new.cumsum(0) - new
        place = torch.arange(max(count, int(ends.max())), device=self.device)
        before = torch.arange(len(ends))[:, None] * self.left.shape[1]
        have, before, after = (
            one.to(self.device)
            for one in (self.have[:, None], before, (begin - self.have)[:, None])
        )
        at = torch.where(place < have, before + place, after + place)
        pool = torch.cat([self.left.flatten(), fresh])
        found = pool[at.clamp(max=len(pool) - 1)]  # beyond a member's end something else's, unread
        self.left, self.have = found[:, count:], ends - count
        return found[:, :count]

    def _one_by_one(self, passes: Tensor) -> Tensor:
        """So many shuffles of each member, one after another, (sum,)."""
        each = zip(self.drawn, self.counts.tolist(), passes.tolist(), strict=True)
        drawn = [
            torch.randperm(size, generator=own) for own, size, times in each for _ in range(times)
        ]
        return torch.cat(drawn) if drawn else self.counts.new_zeros(0)

    def _together(self, passes: Tensor) -> Tensor:
        """The same, and what is drawn is the same; but the swaps of all shuffles go side by side.

        torch.randperm swaps place i with place i + (the next 32 bits) % (n - i), for i from 0 to
        n - 2. `random_` of all 64-bit numbers takes two of those, the upper half first.
        """
        needed = passes * (self.counts - 1)
        halves = (needed + 1) // 2
        bits = torch.empty(int(halves.sum()), dtype=torch.int64)
        each = list(
            zip(self.drawn, bits.split(halves.tolist()), (needed % 2).tolist(), strict=True)
        )
        workers = torch.get_num_threads()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(_draw, (each[first::workers] for first in range(workers))))
        return swapped(
            bits.to(self.device),
            *(one.to(self.device) for one in (2 * halves, self.counts, passes)),
        )


def _draw(each: Sequence[tuple[torch.Generator, Tensor, int]]) -> None:
    """Fills each place by its own generator; where it says so, with an odd number of 32 bits."""
    for own, into, odd in each:
        into[: len(into) - odd].random_(-(2**63), None, generator=own)
        if odd:  # the last draw decides between two places, and one too many is not drawn
            into[-1:].random_(2, generator=own).bitwise_left_shift_(32)


def swapped(bits: Tensor, reserved: Tensor, counts: Tensor, passes: Tensor) -> Tensor:
    """Shuffles of 0 to each member's count, one after another, of the bits that were drawn.

    Args:
        bits: int64, of all members one after another; in each the upper 32 bits come first.
        reserved: (M,), how many times 32 bits are each member's; some may be unused.
        counts: (M,), of each member.
        passes: (M,), shuffles of each member.
    """
    words = bits.view(torch.int32).view(-1, 2).flip(1).flatten()
    words = torch.cat([words, words.new_zeros(1)])  # read where there is nothing to swap
    size = counts.repeat_interleave(passes)  # of each shuffle, (P,)
    first = (reserved.cumsum(0) - reserved).repeat_interleave(passes)
    earlier = torch.arange(len(size), device=bits.device)
    earlier -= (passes.cumsum(0) - passes).repeat_interleave(passes)
    start = first + earlier * (size - 1)
    most = int(counts.max())
    place = torch.arange(most, device=bits.device)[:, None]
    order = place.expand(-1, len(size)).clone()
    at = (start + place[:-1]).clamp(max=len(words) - 1)
    # beyond a shuffle's end a place is swapped with itself
    at = (words[at].long() & 0xFFFFFFFF) % (size - place[:-1]).clamp(min=1) + place[:-1]
    for here in range(most - 1):
        there, mine = at[here : here + 1], order[here : here + 1].clone()
        order[here : here + 1] = order.gather(0, there)
        order.scatter_(0, there, mine)
    return order.T[size[:, None] > place.T]
