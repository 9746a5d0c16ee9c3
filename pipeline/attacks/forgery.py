"""Scans that are forged by hand, inside a box: copied, spliced, blended, painted over, brightened.

No model is asked and no gradient taken: what anybody does with a picture editor. Images are
(N, C, H, W) grey levels; a forgery is one again, of whole levels within the range, and equal to the
original outside its box.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

TRIES = 32  # places that are drawn for a copy, of which the first that does not overlap is taken
LEAST_SIDE = 2


class Boxes(NamedTuple):
    """Where N images are forged.

    Attributes:
        corner: (N, 2) int64, row and column of the upper left pixel of the box.
        source: (N, 2) int64, the same of the part of the image that a copy is taken from.
        side: of the box, in pixels.
    """

    corner: Tensor
    source: Tensor
    side: int

    def select(self, rows: Tensor) -> "Boxes":
        """Those of some of the images."""
        return Boxes(self.corner[rows], self.source[rows], self.side)


class Range(NamedTuple):
    """The grey levels that an image may hold."""

    lower: float
    upper: float

    def whole(self, x: Tensor) -> Tensor:
        """Whole grey levels within the range."""
        return x.round().clamp(self.lower, self.upper)


class Order(NamedTuple):
    """What a forger works on.

    Attributes:
        x: (N, C, H, W) the images that are forged.
        donor: (N, C, H, W) for each the image of somebody else, of the other class.
        boxes: where.
        levels: the range of grey levels.
        amplitude: of an opacity, as a share of the range.
    """

    x: Tensor
    donor: Tensor
    boxes: Boxes
    levels: Range
    amplitude: float


def side_of(share: float, height: int, width: int) -> int:
    """The side of a box, in pixels, that is a share of an image's shorter side."""
    return max(LEAST_SIDE, round(share * min(height, width)))


def draw_boxes(count: int, height: int, width: int, side: int, drawn: torch.Generator) -> Boxes:
    """Boxes that leave an eighth of the image free on every side, and at least a pixel.

    Copies are taken from elsewhere in the image; they do not overlap the box where that is
    possible.

    Raises:
        ValueError: an image is too small for such a box.
    """
    size = torch.tensor([height, width])
    free = (size // 8).clamp(min=1)
    room = size - 2 * free - side
    if (room < 0).any():
        raise ValueError(f"a box of {side} pixels does not fit into {height} x {width}")
    corner = free + _below(room + 1, (count, 2), drawn)
    tried = _below(size - side + 1, (TRIES, count, 2), drawn)
    apart = (tried - corner).abs().amax(-1)  # (TRIES, N)
    first = (apart >= side).int() * 2 * max(height, width) + apart * (apart < side)
    place = first.argmax(0)
    return Boxes(corner, tried[place, torch.arange(count)], side)


def _below(limits: Tensor, shape: tuple[int, ...], drawn: torch.Generator) -> Tensor:
    """Whole numbers from 0 to below the limits, evenly."""
    shares = torch.rand(shape, generator=drawn, dtype=torch.float64)
    return (shares * limits).long().minimum(limits - 1)


def draw_donors(
    rows: Tensor, pool: Tensor, y: Tensor, together: Tensor, drawn: torch.Generator
) -> Tensor:
    """For each forged image the row of another one: of the other class, and of somebody else.

    Args:
        rows: (B,) int64, of the images that are forged.
        pool: (P,) int64, rows to choose from.
        y: (N,) classes of all.
        together: (N,) int64, images of one number are not each other's donors, where there are
            others.
        drawn: of the choice.

    Raises:
        ValueError: the pool has no image of a class that is asked for.
    """
    donor = torch.empty_like(rows)
    for label in y[rows].unique().tolist():
        others, own = pool[y[pool] != label], (y[rows] == label).nonzero()[:, 0]
        if not len(others):
            raise ValueError(f"nobody to take from for class {label}")
        for _ in range(TRIES):
            donor[own] = others[_below(torch.tensor(len(others)), (len(own),), drawn)]
            own = own[together[donor[own]] == together[rows[own]]]
            if not len(own):
                break
    return donor


# ---- what is put into the box ----


def _copied(order: Order) -> Tensor:
    """What lies elsewhere in the same image."""
    return cut_out(order.x, order.boxes.source, order.boxes.side)


def _spliced(order: Order) -> Tensor:
    """What lies there in somebody else's image."""
    return cut_out(order.donor, order.boxes.corner, order.boxes.side)


def _blended(order: Order) -> Tensor:
    """The same, but that it takes over the changes of grey levels, not the levels.

    Poisson image editing (Perez et al. 2003, doi:10.1145/882262.882269): inside, the Laplacian of
    the donor; on the ring around the box, the image itself.
    """
    wide = _with_ring(order.donor, order.boxes)
    return solve_poisson(laplacian(wide), _with_ring(order.x, order.boxes))


def _painted_over(order: Order) -> Tensor:
    """The smoothest surface that meets the ring around the box: a finding is gone."""
    ring = _with_ring(order.x, order.boxes)
    side = order.boxes.side
    return solve_poisson(ring.new_zeros(*ring.shape[:-2], side, side), ring)


def _brightened(order: Order) -> Tensor:
    """A smooth bright blob on what is there: an opacity that nobody has."""
    side = order.boxes.side
    along = torch.sin(math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side).square()
    levels = order.levels
    blob = order.amplitude * (levels.upper - levels.lower) * along[:, None] * along
    return cut_out(order.x, order.boxes.corner, side).double() + blob


class Forgery(NamedTuple):
    """A way to forge a scan.

    Attributes:
        patch: what is put into the boxes of an order, (N, C, S, S).
        says: what was done, in a few words.
    """

    patch: Callable[[Order], Tensor]
    says: str


FORGERIES: Mapping[str, Forgery] = {
    "copy_move": Forgery(_copied, "copied within the scan"),
    "splice": Forgery(_spliced, "spliced from another scan"),
    "poisson": Forgery(_blended, "spliced without a seam"),
    "inpainting": Forgery(_painted_over, "painted over"),
    "opacity": Forgery(_brightened, "a bright spot added"),
}


def forge(name: str, order: Order) -> Tensor:
    """(N, C, H, W) like `order.x`: forged images of whole grey levels.

    Args:
        name: a key of `FORGERIES`.
        order: what is forged, and where.
    """
    patch = order.levels.whole(FORGERIES[name].patch(order)).to(order.x.dtype)
    forged = order.x.clone()
    n, rows, columns = _places(order.boxes.corner, order.boxes.side, 0)
    forged[n, :, rows, columns] = patch.permute(0, 2, 3, 1)
    return forged


# ---- how a forger hides it ----


def blurred(x: Tensor, levels: Range) -> Tensor:
    """Each pixel the mean of the 3 x 3 around it, edges repeated; whole grey levels."""
    return levels.whole(avg_pool2d(pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1))


def noisy(x: Tensor, most: int, levels: Range, drawn: torch.Generator) -> Tensor:
    """Each pixel moved by up to so many whole grey levels, evenly, within the range."""
    return levels.whole(x + torch.randint(-most, most + 1, x.shape, generator=drawn))


# ---- boxes and equations ----


def cut_out(x: Tensor, corner: Tensor, side: int, ring: int = 0) -> Tensor:
    """(N, C, side + 2 ring, ...) of images (N, C, H, W), from corners (N, 2) on."""
    n, rows, columns = _places(corner, side, ring)
    return x[n, :, rows, columns].permute(0, 3, 1, 2)


def _places(corner: Tensor, side: int, ring: int) -> tuple[Tensor, Tensor, Tensor]:
    along = torch.arange(-ring, side + ring)
    rows, columns = corner[:, 0, None] + along, corner[:, 1, None] + along
    return torch.arange(len(corner))[:, None, None], rows[:, :, None], columns[:, None, :]


def _with_ring(x: Tensor, boxes: Boxes) -> Tensor:
    return cut_out(x, boxes.corner, boxes.side, ring=1).double()


def laplacian(wide: Tensor) -> Tensor:
    """(..., S, S) sums of the four neighbours less four times the pixel, of (..., S + 2, S + 2)."""
    inside = wide[..., 1:-1, 1:-1]
    return _of_neighbours(wide) - 4 * inside


def _of_neighbours(wide: Tensor) -> Tensor:
    return wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1] + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]


def solve_poisson(wanted: Tensor, ring: Tensor) -> Tensor:
    """The surface with this Laplacian that meets the ring; solved exactly, by sines.

    Args:
        wanted: (..., S, S) float64, the discrete Laplacian inside.
        ring: (..., S + 2, S + 2) float64; what is inside of it counts for nothing.

    Returns:
        (..., S, S).
    """
    side = wanted.shape[-1]
    edge = ring.clone()
    edge[..., 1:-1, 1:-1] = 0
    number = torch.arange(1, side + 1, dtype=torch.float64)
    turns = math.pi / (side + 1)
    sines = math.sqrt(2 / (side + 1)) * torch.sin(turns * number[:, None] * number)
    root = 2 * torch.cos(turns * number) - 2
    found = sines @ (wanted - _of_neighbours(edge)) @ sines / (root[:, None] + root)
    return sines @ found @ sines
