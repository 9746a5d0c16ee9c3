"""Randomised smoothing: how far no change turns the vote of all noisy copies of an image.

Cohen et al. 2019, arXiv:1902.02918, of two classes. Whatever the network, its vote under Gaussian
noise changes slowly: if a class has at least the share p of all votes at an image, it has the
majority at every image nearer than sigma * Phi^-1(p) in Euclidean distance. The share is not known
but counted, so each radius holds with a probability of at least 1 - alpha.

What is certified is the vote of all copies there could be: neither the network on an unchanged
image, nor the vote of a few copies. Noise is drawn in float32, as if it were exact.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Verdict = Callable[[Tensor], Tensor]  # images (n, *event) to (n,) bool: called ill
AT_ONCE = 2048  # noisy copies that exist at once


@dataclass(frozen=True)
class Ballot:
    """What noisy copies of images say, (B,) each.

    Attributes:
        selected: int64, the class that leads among a few copies.
        hits: int64, how many of other copies say so too.
    """

    selected: Tensor
    hits: Tensor


def voted(
    verdict: Verdict,
    x: Tensor,
    *,
    sigma: float,
    selection: int,
    estimation: int,
    generator: torch.Generator,
) -> Ballot:
    """Counts the votes of noisy copies, each image's with noise of its own.

    The class is selected on other copies than its share is estimated on: the larger of two counts
    would be too large on average.

    Args:
        verdict: of the network under the noise.
        x: (B, *event).
        sigma: standard deviation of the noise, in the unit of x.
        selection: copies of each image that select the class.
        estimation: copies of each that estimate its share.
        generator: of the noise.
    """
    first = _called_ill(verdict, x, sigma, selection, generator)
    selected = (2 * first > selection).long()
    ill = _called_ill(verdict, x, sigma, estimation, generator)
    return Ballot(selected, torch.where(selected == 1, ill, estimation - ill))


@torch.no_grad()
def _called_ill(
    verdict: Verdict, x: Tensor, sigma: float, copies: int, generator: torch.Generator
) -> Tensor:
    counts = torch.zeros(len(x), dtype=torch.int64)
    together = max(1, AT_ONCE // copies)
    for rows in torch.arange(len(x)).split(together):
        for some in [AT_ONCE] * (copies // AT_ONCE) + [copies % AT_ONCE]:
            if some:
                noise = torch.randn(len(rows), some, *x.shape[1:], generator=generator)
                noisy = x[rows][:, None] + sigma * noise
                counts[rows] += verdict(noisy.flatten(0, 1)).view(len(rows), some).sum(1)
    return counts


def least_share(hits: Tensor, draws: int, alpha: float) -> Tensor:
    """(B,) float64: what the share of all votes is at least, with probability 1 - alpha.

    One-sided and exact (Clopper and Pearson 1934).

    Args:
        hits: (B,) votes, of `draws` each.
        draws: at least 1.
        alpha: of each image by itself; divided by B, all B shares hold together (Bonferroni).
    """
    from scipy.stats import beta  # here: it takes a second to import

    counted = hits.numpy()
    low = beta.ppf(alpha, counted.clip(1), draws - counted + 1)
    return torch.from_numpy(low * (counted > 0))


def radius(hits: Tensor, draws: int, sigma: float, alpha: float) -> Tensor:
    """(B,) float64: nearer than this nothing turns the vote of all copies.

    Euclidean distance in the unit of sigma; negative = abstained, no majority is shown.

    Args:
        hits: as for `least_share`, of the selected class.
        draws: likewise.
        sigma: standard deviation of the noise.
        alpha: as for `least_share`.
    """
    share = least_share(hits, draws, alpha)
    shown = torch.special.ndtri(share.clamp(0.5, 1.0))
    return torch.where(share > 0.5, sigma * shown, -1.0)


def reach(draws: int, sigma: float, alpha: float) -> float:
    """The largest radius that so many copies can show: that of a unanimous vote."""
    return float(radius(torch.tensor([draws]), draws, sigma, alpha))


def within_ball(distance: float, values: int) -> float:
    """By how much every value may change within a Euclidean distance: a cube inside a ball."""
    return distance / math.sqrt(values)
