"""Made-up forged scans, what a detector says of them, and answers to them."""

from collections.abc import Mapping

import torch

import scans
from pipeline.attacks.forgery import draw_boxes
from pipeline.risks.forgery.measure.answers import Answers
from pipeline.risks.forgery.measure.forged import DISGUISES, UNTOUCHED, ForgedScans

N = 200
FORGERIES = ("copy_move", "splice", "poisson", "inpainting", "opacity")
EASY = 8.0  # by how much a forged scan scores higher, in standard deviations


def dataset():
    return scans.dataset(N, seed=4)


def found(
    moved: Mapping[tuple[str, str], float] | None = None, *, seed: int = 1, **changes
) -> ForgedScans:
    """Scores of standard normal noise; those of (forgery, disguise) are moved."""
    drawn = torch.Generator().manual_seed(seed)
    names = (UNTOUCHED, *FORGERIES)
    score = torch.randn(len(names), len(DISGUISES), N, generator=drawn, dtype=torch.float64)
    for (forgery, disguise), by in (moved or {}).items():
        score[names.index(forgery), DISGUISES.index(disguise)] += by
    boxes = draw_boxes(N, 8, 8, 3, drawn)
    values = {
        "rows": torch.arange(N),
        "corner": boxes.corner,
        "source": boxes.source,
        "donor": torch.arange(N) ^ 1,
        "side": 3,
        "amplitude": 0.2,
        "forgeries": names,
        "learned": FORGERIES[:3],
        "disguises": DISGUISES,
        "score": score,
        "provenance": {"state": "not checked"},
    }
    return ForgedScans(**{**values, **changes})


def answers(missed: int = 0, alarmed: int = 0) -> Answers:
    """All are answered rightly, but that a splice turns so many of the ill, and of the healthy."""
    margin = torch.ones(1 + len(FORGERIES), 2, N, dtype=torch.float64)
    y = dataset().y
    for label, count in ((1, missed), (0, alarmed)):
        turned = (y == label).nonzero()[:count, 0]
        margin[2][:, turned] = -1
    return Answers(margin)
