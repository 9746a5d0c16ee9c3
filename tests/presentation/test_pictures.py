"""A flag stands beside the name; a picture is the same bytes each time, small, and tells itself."""

import re
from itertools import combinations

import numpy as np
import pytest

from pipeline.presentation.pictures import (
    COLOURS,
    STYLES,
    accessible,
    axes_of,
    display_name,
    save_picture,
    styles_of,
)
from report.reader import check

# Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency" (2009), severity 1.0; rows give red, green, blue of linear sRGB.
SEEN_BY = {
    "all": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
LEAST = 15  # CIE76; about 2.3 is just seen side by side
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.mark.parametrize(
    ("flags", "label"),
    [
        ("", "distill"),
        ("masked_gradients", "distill [masked gradients]"),
        ("degenerate suspected_leak", "distill [degenerate, suspected leak]"),
        ("catastrophic_overfitting", "distill [catastrophic overfitting]"),
    ],
)
def test_display_name(flags, label):
    assert display_name("distill", flags) == label


# ---- colours and marks ----


def linear(colour):
    """Linear sRGB of `#rrggbb`."""
    value = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear sRGB, D65."""
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one, other, eyes):
    seen = [lab(np.array(SEEN_BY[eyes]) @ linear(colour)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_the_distance_of_colours_is_that_of_cie76():
    assert distance("#000000", "#ffffff", "all") == pytest.approx(100, abs=0.01)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


def test_two_colours_that_were_one_for_deuteranopes_would_be_refused():
    assert distance("#3465a4", "#8e44ad", "all") > 2 * LEAST
    assert distance("#3465a4", "#8e44ad", "deuteranopes") < 5


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_everybody_tells_the_colours_apart(eyes):
    least = min((distance(*pair, eyes), pair) for pair in combinations(COLOURS, 2))
    assert least[0] >= LEAST, least


def test_no_two_of_many_defenses_are_drawn_alike():
    names = [f"defense {number}" for number in range(3 * len(STYLES))]
    drawn = list(styles_of(names).values())
    assert len({(one.colour, one.marker) for one in drawn}) == len(names)
    assert len({(one.colour, repr(one.dash)) for one in drawn}) == len(names)
    first = drawn[: len(STYLES)]
    for what in ("colour", "marker", "dash"):
        assert len({repr(getattr(one, what)) for one in first}) == len(STYLES)


def test_a_style_depends_on_the_place_not_on_who_else_is_there():
    few, many = styles_of(["baseline", "a"]), styles_of(["baseline", "a", "b", "baseline"])
    assert few == {name: many[name] for name in few}
    assert len(many) == 3


# ---- files ----


def drawn(path, height=1.0, shows="it rises < 2"):
    figure, axes = axes_of(1, 2, (4, 2))
    across = np.linspace(0, 1, 400)
    axes[0].plot(across, height * across, marker="o", markevery=50)
    axes[0].fill_between(across, 0, height * across**2, alpha=0.2)
    axes[1].set_title("a & b")
    return save_picture(figure, path, "A rise & more", shows)


def test_the_same_picture_is_the_same_bytes_and_another_is_not(tmp_path):
    (tmp_path / "again").mkdir()
    places = [tmp_path / "a.svg", tmp_path / "again" / "a.svg"]
    same, again = (drawn(place).path.read_bytes() for place in places)
    other = drawn(tmp_path / "a.svg", 2.0).path.read_bytes()
    assert same == again != other
    assert b"matplotlib" not in same.lower()
    assert b"date" not in same.lower()


def page_of(*svgs):
    return f'<!doctype html><html lang="en"><style></style><h1>a</h1>{"".join(svgs)}</html>'


def test_a_picture_says_what_it_is_and_can_stand_beside_others(tmp_path):
    pictures = [drawn(tmp_path / f"{name}.svg") for name in ("a", "b")]
    page = check(page_of(*(one.path.read_text() for one in pictures)))
    for found, name in zip(page.pictures, ("a", "b"), strict=True):
        assert (found["title"], found["desc"]) == ("A rise & more", "it rises < 2")
        assert found["aria-labelledby"] == f"{name}-title {name}-desc"
    assert "a & b" in page.text  # text stays text
    assert (pictures[0].caption, pictures[0].shows) == ("A rise & more", "it rises < 2")


def test_a_picture_has_no_rule_for_the_page_and_no_name_that_none_uses(tmp_path):
    text = drawn(tmp_path / "a.svg").path.read_text()
    assert "<style" not in text
    assert "<metadata" not in text
    assert "stroke-linejoin:round" in text.split(">")[0]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert set(re.findall(r' id="([^"]+)"', text)) == used | {"a-title", "a-desc"}


def test_coordinates_are_rounded_and_words_are_not():
    svg = '<svg viewBox="0 0 1 1"><path d="M 1.23456 -0.00012 L 7 8.5"/><text>1.23456</text></svg>'
    text = accessible(svg, "a", "t", "0.123456")
    assert 'd="M 1.23 -0 L 7 8.5"' in text
    assert "<text>1.23456</text>" in text
    assert ">0.123456</desc>" in text


def test_a_line_of_many_points_is_a_small_file(tmp_path):
    figure, (axis,) = axes_of(1, 1, (4, 3))
    across = np.linspace(0, 1, 5000)
    axis.plot(across, across**2)
    assert save_picture(figure, tmp_path / "a.svg", "a", "b").path.stat().st_size < 15_000


def test_axes_come_row_by_row_at_the_size_that_was_asked_for():
    figure, axes = axes_of(2, 3, (6, 4))
    assert len(axes) == 6
    assert axes[3].get_subplotspec().rowspan.start == 1
    assert tuple(figure.get_size_inches()) == (6, 4)
    assert not axes[0].spines["top"].get_visible()
