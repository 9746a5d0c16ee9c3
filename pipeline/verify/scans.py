"""What is proved about images: how far no change turns an answer, and how low a margin can go."""

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.threat import Threat
from pipeline.statistics import Array
from pipeline.verify.bounds import Relaxation
from pipeline.verify.convolution import TOGETHER, Convolutions, lead, margin_bound
from pipeline.verify.nearest import SAME_RADIUS
from pipeline.verify.neurons import by_intervals, relaxations, tightened
from pipeline.verify.splits import Question, branched, climbed

if TYPE_CHECKING:
    from pipeline.verify.out_of_fold import ProofSearch

Waiting = tuple[Tensor, Question]  # which images, and their boxes
CLOSE, CLIMBABLE = 3.0, 1.0  # logits below 0 that tighter lines, and then slopes, may still win
JUST_BEYOND = 2 * SAME_RADIUS  # of a radius, so that it is told apart
KEPT = 2**30  # bytes that a process keeps of what it frees


@dataclass(frozen=True)
class Quick:
    """What CROWN makes of some boxes.

    Attributes:
        least: (B,) float64, what the margin is at least.
        rows: which of the boxes tighter lines may still decide.
        asked: these boxes, with their lines.
        lines: of all boxes.
    """

    least: Tensor
    rows: Tensor
    asked: Question
    lines: list[Relaxation]


@torch.no_grad()
def least_margins(
    network: Convolutions,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    eps: float,
    budget: int,
    decide: Tensor | None = None,
) -> Tensor:
    """A lower bound of the margin over every image within reach, with rounding taken off.

    The better one of intervals and CROWN. Where that leaves open whether it is above 0, lines
    inside the network are tightened, slopes climbed, and the box is branched.

    Args:
        network: of two classes.
        x: (B, C, H, W) float32 images in grey levels.
        y: (B,) class indices.
        threat: what may be changed, by whomever its goal does not spare.
        eps: radius in units of scale.
        budget: parts into which one box may be divided; 0 = no more than CROWN.
        decide: (B,) bool, where it matters whether the bound is above 0; None = everywhere.

    Returns:
        (B,) float64, in logits.
    """
    decide = torch.ones(len(x), dtype=torch.bool) if decide is None else decide
    least, waiting = torch.zeros(len(x), dtype=torch.float64), list[Waiting]()
    for rows in torch.arange(len(x)).split(TOGETHER):
        quick = _quickly(network, threat.box(x[rows], eps), y[rows])
        least[rows] = quick.least
        waiting.append((rows[quick.rows], quick.asked))
    if budget:
        _decide(network, least, waiting, decide, budget)
    return least


def _quickly(
    network: Convolutions,
    box: tuple[Tensor, Tensor],
    y: Tensor,
    within: Sequence[Relaxation] | None = None,
) -> Quick:
    """Bounds of some boxes (low, high); `within` as for `relaxations`."""
    region = network.region(*box)
    lines = relaxations(network, region, within)
    bound = margin_bound(network, region, y, lines)
    weight, offset = lead(network, y)
    flat_low, flat_high = (end.clamp_min(0).flatten(1) for end in (lines[-1].low, lines[-1].high))
    by_intervals = (weight * torch.where(weight > 0, flat_low, flat_high)).sum(1) + offset
    least = torch.maximum(bound.least, by_intervals) - region.rounding
    worst = torch.where(bound.slope > 0, *box)
    left = (least <= 0) & (least > -CLOSE) & (network.margin(worst, y) > 0)
    rows = left.nonzero()[:, 0]
    return Quick(least, rows, Question(region, y, lines).where(rows), lines)


def _decide(
    network: Convolutions, least: Tensor, waiting: Sequence[Waiting], decide: Tensor, budget: int
) -> None:
    """Raises the bounds `least` (B,) of what waits, where it matters whether they are above 0.

    Boxes that are left of many are bounded together: of few at once most time goes by between them.
    """
    matter = [(rows[decide[rows]], asked.where(decide[rows])) for rows, asked in waiting]
    known = [(rows, asked) for rows, asked in matter if len(rows)]
    if not known:
        return
    rows, asked = torch.cat([one for one, _ in known]), Question.join([one for _, one in known])
    parts = []
    for some in torch.arange(len(rows)).split(TOGETHER):
        of = asked.where(some)
        better = replace(of, lines=tightened(network, of.region, of.lines))
        again = margin_bound(network, better.region, better.y, better.lines).least
        again = again - better.region.rounding
        least[rows[some]] = torch.maximum(least[rows[some]], again)
        hopeful = ((again <= 0) & (again > -CLIMBABLE)).nonzero()[:, 0]
        parts.append((rows[some][hopeful], better.where(hopeful)))
    rows, asked = torch.cat([one for one, _ in parts]), Question.join([one for _, one in parts])
    if len(rows):
        free = torch.zeros(len(rows), asked.neurons, dtype=torch.int8)
        found = branched(network, asked, climbed(network, asked, free), budget)
        least[rows] = torch.maximum(least[rows], found)


def _at_a_glance(network: Convolutions, x: Tensor, y: Tensor, threat: Threat, eps: float) -> Tensor:
    """What intervals make of the least margin (B,) of images."""
    low, high = threat.box(x, eps)
    parts: list[Tensor] = []
    for rows in torch.arange(len(x)).split(TOGETHER):
        region = network.region(low[rows], high[rows])
        ends = by_intervals(network, region)[-1]
        at = torch.arange(len(rows))
        parts.append(ends[0][at, y[rows]] - ends[1][at, 1 - y[rows]])
    return torch.cat(parts)


@torch.no_grad()
def columns_of_scans(
    network: Convolutions, x: Tensor, y: Tensor, search: "ProofSearch"
) -> dict[str, Array]:
    """The columns of `Proofs` for the images of one model.

    Bounds are computed from the second largest radius down, each within what the larger box leaves,
    and at the largest of whom they say something at the one before. Then, in rising order, what is
    left open is decided, of whom every smaller radius is proved. Of what lies between two radii
    nothing is known but that recorded images differ by whole steps. The least margins come with the
    proofs of what people will read (`search.pruned`): of everybody there, but by intervals alone of
    whoever is far below 0 at a smaller radius.
    """
    keep_memory()
    threat = search.threat
    margin, exact = network.margin(x, y), network.region(x.double(), x.double()).rounding
    right, moves = margin > exact, threat.attackable(y)
    radii = [eps for eps in search.radii if 0 < eps <= search.largest]
    asked = moves & (right | search.pruned)
    found = {eps: torch.full_like(margin, -torch.inf) for eps in search.radii}
    waiting: dict[float, list[Waiting]] = {eps: [] for eps in radii}

    def look(rows: Tensor, downwards: Sequence[float]) -> None:
        lines = None
        for eps in downwards:
            quick = _quickly(network, threat.box(x[rows], eps), y[rows], lines)
            found[eps][rows], lines = quick.least, quick.lines
            waiting[eps].append((rows[quick.rows], quick.asked))

    first = radii[:-1] or radii
    for rows in asked.nonzero()[:, 0].split(TOGETHER):
        look(rows, first[::-1])
    if len(radii) > 1:
        far = found[radii[-2]] <= -CLOSE
        for rows in (asked & ~far).nonzero()[:, 0].split(TOGETHER):
            look(rows, radii[-1:])
    proved, reach = right.clone(), torch.zeros_like(margin)
    bounds = []
    for eps in search.radii:
        least = found[eps]
        if eps <= search.largest:
            if eps > 0:
                if search.budget:
                    _decide(network, least, waiting.pop(eps), proved, search.budget)
                rest = moves & least.isneginf()
                if search.pruned:
                    least[rest] = _at_a_glance(network, x[rest], y[rest], threat, eps)
            still = torch.ones_like(moves) if eps == 0 else ~moves
            least[still] = (margin - exact)[still]
            proved = proved & (least > 0)
            reach = torch.where(proved, eps, reach)
        bounds.append(least)
    beyond = next_distance(threat, x, reach)
    beyond = torch.where(reach >= search.largest, search.silence, beyond)
    nothing = torch.zeros(len(x), 0, dtype=torch.float64)
    columns = {
        "margin": margin,
        "robust_below": torch.where(right, beyond, 0.0),
        "breaks_at": torch.where(margin > 0, torch.inf, 0.0).double(),
        "counterexample": x,
        "counter_margin": margin,
        "alone": nothing,
        "alone_value": nothing,
    }
    if search.pruned:
        # no image within a smaller radius leaves less than one within a larger
        rising = torch.stack(bounds).flip(0).cummax(0).values.flip(0)
        columns["least"] = _rounded_down(rising).T.contiguous()
    return {name: values.numpy() for name, values in columns.items()}


def next_distance(threat: Threat, x: Tensor, reach: Tensor) -> Tensor:
    """(B,) below which there is no image (B, C, H, W) that is further away than `reach` (B,)."""
    just = reach + JUST_BEYOND
    ticks = (threat.step / threat.scale)[threat.mutable].unique()
    if threat.norm != "linf" or not len(ticks) or not bool((ticks > 0).all()):
        return just
    steps = x / torch.where(threat.step > 0, threat.step, 1.0)
    recorded = ((steps - steps.round()).abs() < TICK_TOLERANCE).flatten(1).all(1)
    after = ((reach[:, None] / ticks + TICK_TOLERANCE).floor() + 1) * ticks
    return torch.where(recorded, after.amin(1), just)


def _rounded_down(exact: Tensor) -> Tensor:
    rounded = exact.float()
    down = torch.nextafter(rounded, torch.full_like(rounded, -torch.inf))
    return torch.where(rounded.double() > exact, down, rounded)


def keep_memory() -> None:
    """This process keeps what it frees: fetching pages anew costs more here than the arithmetic.

    Of the C library of GNU alone; elsewhere nothing happens. No figure depends on it.
    """
    trim, threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(threshold, KEPT)
        library.mallopt(trim, KEPT)
