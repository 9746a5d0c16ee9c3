"""Forged scans: where they change, what they hold, and the equations that blended ones solve."""

import pytest
import torch
from torch.nn.functional import conv2d

from pipeline.attacks.forgery import (
    FORGERIES,
    Boxes,
    Order,
    Range,
    blurred,
    cut_out,
    draw_boxes,
    draw_donors,
    forge,
    laplacian,
    noisy,
    side_of,
    solve_poisson,
)

LEVELS = Range(0.0, 200.0)
SIDE, HEIGHT, WIDTH, COUNT = 7, 24, 30, 40


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def order():
    generator = drawn()
    x, donor = (
        torch.randint(0, 201, (COUNT, 2, HEIGHT, WIDTH), generator=generator).float()
        for _ in range(2)
    )
    boxes = draw_boxes(COUNT, HEIGHT, WIDTH, SIDE, generator)
    return Order(x, donor, boxes, LEVELS, 0.3)


def inside(boxes):
    """(N, 1, H, W) bool: the boxes, by comparing coordinates."""
    rows, columns = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)[None]
    top, left = (boxes.corner[:, axis].view(-1, 1, 1) for axis in (0, 1))
    within = (rows >= top) & (rows < top + boxes.side)
    return (within & (columns >= left) & (columns < left + boxes.side))[:, None]


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_changes_nothing_outside_its_box(order, name):
    before = order.x.clone()
    forged = forge(name, order)
    box = inside(order.boxes)
    changed = (forged != order.x).any(1, keepdim=True)
    assert not (changed & ~box).any()
    assert (changed & box).flatten(1).any(1).all()
    assert torch.equal(order.x, before)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_a_scan_of_whole_grey_levels_again(order, name):
    forged = forge(name, order)
    assert forged.dtype == order.x.dtype
    assert torch.equal(forged, forged.round())
    assert forged.min() >= LEVELS.lower
    assert forged.max() <= LEVELS.upper


def test_a_copy_is_what_lies_at_its_source(order):
    forged = forge("copy_move", order)
    for n in range(COUNT):
        (top, left), (row, column) = order.boxes.corner[n].tolist(), order.boxes.source[n].tolist()
        own = forged[n, :, top : top + SIDE, left : left + SIDE]
        assert torch.equal(own, order.x[n, :, row : row + SIDE, column : column + SIDE])
        assert max(abs(top - row), abs(left - column)) >= SIDE  # they do not overlap


def test_a_splice_is_what_lies_there_in_the_donor(order):
    box = inside(order.boxes).expand_as(order.x)
    assert torch.equal(forge("splice", order)[box], order.donor[box])


def test_blending_has_the_donors_laplacian_inside_and_the_scan_around_it(order):
    """By a convolution, which knows nothing of sines; before rounding to whole levels."""
    patch = FORGERIES["poisson"].patch(order)
    whole = order.x.double()
    box = inside(order.boxes).expand_as(whole)
    whole[box] = patch.flatten()
    stencil = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).double()[None, None]
    found, wanted = (
        conv2d(one.double().flatten(0, 1)[:, None], stencil, padding=1).view_as(whole)
        for one in (whole, order.donor)
    )
    torch.testing.assert_close(found[box], wanted[box], rtol=0, atol=1e-9)


def test_painting_over_is_harmonic_and_never_beyond_the_ring(order):
    patch = FORGERIES["inpainting"].patch(order)
    ring = cut_out(order.x, order.boxes.corner, SIDE, ring=1).double()
    edge = ring.clone()
    edge[..., 1:-1, 1:-1] = torch.nan
    for at in range(COUNT):
        known = edge[at][~edge[at].isnan()]
        assert known.min() <= patch[at].min()
        assert patch[at].max() <= known.max()
    filled = ring.clone()
    filled[..., 1:-1, 1:-1] = patch
    assert laplacian(filled).abs().max() < 1e-9


def test_a_blend_of_a_scan_with_itself_is_the_scan(order):
    own = order._replace(donor=order.x)
    assert torch.equal(forge("poisson", own), order.x)


def test_a_plane_is_found_exactly_and_a_parabola_by_its_laplacian():
    """Closed forms: u = 2 i - 3 j + 1 is harmonic; the Laplacian of i^2 + j^2 is 4."""
    along = torch.arange(-1, 8, dtype=torch.float64)
    plane = 2 * along[:, None] - 3 * along + 1
    zero = torch.zeros(7, 7, dtype=torch.float64)
    torch.testing.assert_close(solve_poisson(zero, plane), plane[1:-1, 1:-1])
    bowl = along[:, None] ** 2 + along**2
    torch.testing.assert_close(solve_poisson(zero + 4, bowl), bowl[1:-1, 1:-1])


def test_an_opacity_only_brightens_most_in_the_middle(order):
    dark = order._replace(x=torch.zeros_like(order.x))
    patch = cut_out(forge("opacity", dark), order.boxes.corner, SIDE)
    assert (patch >= 0).all()
    assert (patch.flatten(2).argmax(2) == SIDE * SIDE // 2).all()
    assert patch.max() == round(0.3 * 200)


# ---- how it is hidden ----


def test_a_blur_is_the_mean_of_nine_and_keeps_an_even_scan():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 90
    found = blurred(x, LEVELS)[0, 0]
    wanted = torch.zeros(5, 5)
    wanted[1:4, 1:4] = 10
    assert torch.equal(found, wanted)
    even = torch.full((2, 3, 4, 6), 17.0)
    assert torch.equal(blurred(even, LEVELS), even)


def test_noise_moves_by_at_most_so_many_whole_levels_within_the_range(order):
    found = noisy(order.x, 2, LEVELS, drawn())
    moved = found - order.x
    assert set(moved.unique().tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert LEVELS.lower <= found.min()
    assert found.max() <= LEVELS.upper


# ---- where, and from whom ----


@pytest.mark.parametrize(("height", "width", "side"), [(8, 8, 3), (28, 28, 8), (224, 224, 65)])
def test_boxes_leave_a_ring_free_and_copies_come_from_elsewhere(height, width, side):
    boxes = draw_boxes(500, height, width, side, drawn())
    size = torch.tensor([height, width])
    assert (boxes.corner >= 1).all()
    assert (boxes.corner + side + 1 <= size).all()
    assert (boxes.source >= 0).all()
    assert (boxes.source + side <= size).all()
    assert ((boxes.source - boxes.corner).abs().amax(1) >= side).all()
    assert len(boxes.corner.unique(dim=0)) > 10
    again = draw_boxes(500, height, width, side, drawn())
    assert torch.equal(again.corner, boxes.corner)
    assert torch.equal(again.source, boxes.source)


def test_a_box_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a box of 8 pixels does not fit into 8 x 8"):
        draw_boxes(3, 8, 8, 8, drawn())


def test_the_side_of_a_box_is_a_share_of_the_shorter_side():
    assert [side_of(0.29, *size) for size in ((28, 28), (224, 300), (4, 4))] == [8, 65, 2]


def test_a_donor_is_of_the_other_class_and_of_somebody_else():
    y = torch.arange(40) % 2
    patient = torch.arange(40) // 4  # everybody has scans of both classes
    rows, pool = torch.arange(0, 40, 3), torch.arange(8, 40)
    donor = draw_donors(rows, pool, y, patient, drawn())
    assert (y[donor] != y[rows]).all()
    assert (patient[donor] != patient[rows]).all()
    assert (donor >= 8).all()
    with pytest.raises(ValueError, match="nobody to take from for class 0"):
        draw_donors(torch.tensor([0]), torch.tensor([2, 4]), y, patient, drawn())


def test_scans_of_224_pixels_are_forged():
    x = torch.randint(0, 201, (6, 1, 224, 224), generator=drawn()).float()
    boxes = draw_boxes(6, 224, 224, 65, drawn())
    order = Order(x, x.flip(0), boxes, LEVELS, 0.2)
    for name in FORGERIES:
        forged = forge(name, order)
        assert forged.shape == x.shape
        assert (forged != x).flatten(1).sum(1).max() <= 65 * 65
    some = boxes.select(torch.tensor([4, 1]))
    assert isinstance(some, Boxes)
    assert torch.equal(some.corner, boxes.corner[[4, 1]])
