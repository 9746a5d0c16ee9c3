"""A flag stands beside the name; the same picture is the same bytes, whatever drew it."""

import pytest

from pipeline.presentation.pictures import axes_of, display_name, save_figure


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


def drawn(path, height):
    figure, axes = axes_of(1, 2, (4, 2))
    axes[0].plot([0, 1], [0, height])
    return save_figure(figure, path)


def test_the_same_picture_is_the_same_bytes_and_another_is_not(tmp_path):
    same, again, other = (
        drawn(tmp_path / f"{name}.png", height).read_bytes()
        for name, height in (("a", 1), ("b", 1), ("c", 2))
    )
    assert same == again != other
    assert same.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"matplotlib" not in same.lower()


def test_axes_come_row_by_row_at_the_size_that_was_asked_for():
    figure, axes = axes_of(2, 3, (6, 4))
    assert len(axes) == 6
    assert axes[3].get_subplotspec().rowspan.start == 1
    assert tuple(figure.get_size_inches()) == (6, 4)
    assert not axes[0].spines["top"].get_visible()
