"""Names at the ends of lines stand apart, curves lose no point that is seen, colours stay."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from pipeline.config import BASELINE
from pipeline.presentation.pictures import axes_of, save_picture, styles_of
from pipeline.risks.drawing import PANEL, apart, at_ends, name_axes, panels, styles_for, thinned
from pipeline.risks.risk import Context

pytestmark = pytest.mark.heavy


def least_cost(places, heights):
    """Brute force: the least sum of squares on a grid, in the order of the places."""
    grid = np.linspace(-1, 2, 601)
    order = np.argsort(places, kind="stable")
    best = {None: 0.0}
    previous = None
    for index in order:
        found = {}
        for place in grid:
            gap = 0 if previous is None else (heights[previous] + heights[index]) / 2
            costs = [c for at, c in best.items() if at is None or place - at >= gap - 1e-9]
            if costs:
                found[place] = min(costs) + (place - places[index]) ** 2
        best, previous = found, index
    return min(best.values())


@pytest.mark.parametrize("seed", range(4))
def test_names_are_apart_in_their_order_and_moved_as_little_as_may_be(seed):
    draw = np.random.default_rng(seed)
    places, heights = draw.uniform(0, 1, 4), draw.uniform(0.1, 0.4, 4)
    moved = apart(places, heights)
    order = np.argsort(places)
    gaps = (heights[order][1:] + heights[order][:-1]) / 2
    assert (np.diff(moved[order]) >= gaps - 1e-9).all()
    cost = ((moved - places) ** 2).sum()
    assert cost <= least_cost(places, heights) + 1e-9
    assert cost == pytest.approx(least_cost(places, heights), abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_labels_do_not_overlap_and_keep_their_order(seed):
    rng = np.random.default_rng(seed)
    wanted, sizes = rng.random(8), rng.uniform(0.05, 0.2, 8)
    places = apart(wanted, sizes)
    order = np.argsort(wanted, kind="stable")
    for below, above in pairwise(order):
        gap = places[above] - places[below]
        assert gap >= (sizes[above] + sizes[below]) / 2 - 1e-9


def test_labels_with_room_stay_where_they_are_and_equal_ones_part_evenly():
    assert apart(np.array([0.1, 0.9]), np.full(2, 0.2)) == pytest.approx([0.1, 0.9])
    assert apart(np.array([0.5, 0.5]), np.full(2, 0.2)) == pytest.approx([0.4, 0.6])


def test_names_that_are_apart_stay_where_they_are():
    places = np.array([0.1, 0.9, 0.5])
    assert apart(places, np.full(3, 0.2)) == pytest.approx(places)
    assert len(apart(np.array([]), np.array([]))) == 0


def test_a_name_is_led_to_its_end_and_its_flags_stand_below_it():
    _, (axis,) = axes_of(1, 1, (4, 3))
    axis.plot([0, 1], [0, 2])
    at_ends(axis, {"a": (1, 2), "b [harms a group, masked gradients]": (1, 1)}, ["k", "r"])
    first, second = axis.texts
    assert (first.get_text(), first.xy, first.get_color()) == ("a", (1, 2), "k")
    assert second.get_text().splitlines()[0] == "b"
    assert " ".join(second.get_text().splitlines()) == "b [harms a group, masked gradients]"
    assert first.get_fontsize() >= 9


def test_an_end_that_no_log_scale_has_is_led_to_the_edge(tmp_path):
    """Whoever finds nobody ends at 0, far below any picture."""
    figure, (axis,) = axes_of(1, 1, (4, 3))
    axis.set(xscale="log", yscale="log", xlim=(0.01, 0.1), ylim=(0.01, 1))
    at_ends(axis, {"nobody": (0.1, 0.0), "beyond": (5.0, 0.5)}, ["k", "r"])
    assert [name.xy for name in axis.texts] == [(0.1, 0.01), (0.1, 0.5)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_picture(figure, tmp_path / "ends.svg", "ends", "two names")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_all_panels_show_is_no_longer_than_they_are(count):
    rows, columns, size = panels(count)
    figure, _ = axes_of(rows, columns, size)
    said = ("others taken for members (false positive rate)", "sensitivity at the operating point")
    name_axes(figure, *said, count)
    figure.canvas.draw()
    below, beside = (one.get_window_extent() for one in (figure._supxlabel, figure._supylabel))
    assert below.width < 72 * size[0]
    assert beside.height < 72 * PANEL[1] * rows
    shown = (figure.get_supxlabel(), figure.get_supylabel())
    assert tuple(" ".join(one.splitlines()) for one in shown) == said


def test_a_defense_has_one_style_in_the_pictures_of_every_risk(dataset, cfg):
    context = Context(dataset, cfg)
    whole = styles_for([BASELINE, *cfg.examine], context)
    some = styles_for(list(cfg.examine)[-1:], context)
    assert some[list(cfg.examine)[-1]] == whole[list(cfg.examine)[-1]]
    assert whole == styles_of([BASELINE, *cfg.examine])
    assert "unknown" in styles_for(["unknown"], context)


def test_only_points_that_nobody_sees_are_left_out():
    x = np.linspace(0, 1, 200)
    assert thinned(x, 3 * x).tolist() == [True, *[False] * 198, True]
    y = np.sin(9 * x)
    kept = thinned(x, y)
    assert 10 < kept.sum() < 100
    fine = np.linspace(0, 1, 20_000)
    drawn = np.stack([400 * fine, 300 * np.interp(fine, x[kept], y[kept]) / np.ptp(y)])
    whole = np.stack([400 * x, 300 * y / np.ptp(y)])
    off = np.hypot(*(whole[:, :, None] - drawn[:, None])).min(1)
    assert off.max() <= 0.51  # pixels
    bent = np.where(x > 0.5, x, 0.5)
    bent[100] = 2  # one point that stands out is kept
    assert thinned(x, bent)[100]


def test_panels_fill_rows():
    assert panels(1)[:2] == (1, 1)
    assert panels(5)[:2] == (3, 2)
