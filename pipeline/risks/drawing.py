"""What the pictures of several risks share: a line for each defense, its name at the end."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import BASELINE
from pipeline.presentation.pictures import GUIDE, Style, styles_of
from pipeline.risks.risk import Context

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
FLAGS_WIDTH = 18  # letters of a line of flags
TEXT = 10  # points; a picture that stands open is as wide as a phone
SMALL_TEXT = 9
LETTER = 6  # points that a letter of it takes, about
OPEN = (5.6, 3.6)  # inches of a picture that stands open
PANEL = (2.5, 2.1)  # of one panel of a small multiple
COLUMNS = 2  # panels in a row


def styles_for(names: Iterable[str], context: Context) -> dict[str, Style]:
    """The style of each defense, the same in the pictures of every risk.

    By their order in the configuration; who is not in it comes last.
    """
    return styles_of([BASELINE, *context.cfg.examine, *names])


def at_ends(axis: "Axes", ends: Mapping[str, tuple[float, float]], colours: Sequence[str]) -> None:
    """Names of lines beside their right ends, apart from each other, each led to its end.

    Args:
        axis: with its limits and scales.
        ends: name -> (x, y) of the end, in data units; one beyond the axis, as 0 is on a log scale,
            is led to its edge.
        colours: of each.
    """
    axis.autoscale_view()
    (left, right), (low, high) = (sorted(lim) for lim in (axis.get_xlim(), axis.get_ylim()))
    ends = {
        name: (min(max(x, left), right), min(max(y, low), high)) for name, (x, y) in ends.items()
    }
    to_axes = axis.transData + axis.transAxes.inverted()
    places = np.array([to_axes.transform(end)[1] for end in ends.values()])
    names = [_broken(name) for name in ends]
    height = OPEN[1] * 72 * 0.75  # points of the axis of an open picture, about
    heights = np.array([1.25 * TEXT * (1 + name.count("\n")) / height for name in names])
    for name, end, place, colour in zip(
        names, ends.values(), apart(places, heights), colours, strict=True
    ):
        axis.annotate(
            name,
            xy=end,
            xytext=(1.06, place),
            textcoords="axes fraction",
            va="center",
            fontsize=TEXT,
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


def _broken(name: str) -> str:
    """The flags of a defense below its name, so that a picture is not all names."""
    first, bracket, flags = name.partition(" [")
    return "\n".join([first, *wrap(f"[{flags}", FLAGS_WIDTH)]) if bracket else name


def apart(places: Floats, heights: Floats) -> Floats:
    """Places moved so that nothing overlaps, in their order and as little as may be.

    Args:
        places: (n,), where the middles would stand.
        heights: (n,), above 0, of what stands there.
    """
    order = np.argsort(places, kind="stable")
    tall = heights[order]
    below = np.concatenate([[0.0], np.cumsum((tall[1:] + tall[:-1]) / 2)])[: len(places)]
    blocks: list[tuple[float, int]] = []  # isotonic regression: the sum and size of each block
    for value in places[order] - below:
        total, size = float(value), 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / size:
            more, others = blocks.pop()
            total, size = total + more, size + others
        blocks.append((total, size))
    result = np.empty(len(places))
    result[order] = below + np.repeat([t / n for t, n in blocks], [n for _, n in blocks])
    return result


def guide(axis: "Axes", x: Sequence[float], y: Sequence[float], label: str) -> None:
    """A dashed grey line of what is no result, with its name above its middle."""
    axis.plot(x, y, linestyle=(0, (5, 3)), color=GUIDE, linewidth=1, label=label)


def band(axis: "Axes", x: Any, low: Any, high: Any, colour: str) -> None:
    """An interval along a line."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    axis.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)


def thinned(x: Any, y: Any, width: float = 400, height: float = 300) -> NDArray[np.bool_]:
    """Which points of a curve are needed: the others lie within half a pixel of their line.

    Args:
        x: (n,), as drawn: logarithms where the axis has them.
        y: (n,), likewise.
        width: pixels that the range of x fills.
        height: likewise of y.

    Returns:
        (n,) bool; the ends are always needed (Ramer 1972, Douglas and Peucker 1973).
    """
    points = np.stack([np.asarray(x, float), np.asarray(y, float)], 1)
    span = np.ptp(points, axis=0)
    points = points / np.where(span > 0, span, 1) * (width, height)
    kept = np.zeros(len(points), dtype=bool)
    kept[[0, -1]] = True
    stack = [(0, len(points) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        ahead = points[last] - points[first]
        inner = points[first + 1 : last] - points[first]
        length = float(np.hypot(*ahead))
        crossed = np.abs(ahead[0] * inner[:, 1] - ahead[1] * inner[:, 0])
        off = crossed / length if length else np.hypot(*inner.T)
        at = int(off.argmax())
        if off[at] > 0.5:
            kept[first + 1 + at] = True
            stack += [(first, first + 1 + at), (first + 1 + at, last)]
    return kept


def panels(count: int) -> tuple[int, int, tuple[float, float]]:
    """Rows, columns and inches of so many small panels."""
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    return rows, columns, (PANEL[0] * columns + 0.6, PANEL[1] * rows + 0.9)


def outer_only(axis: "Axes", at: int, count: int) -> None:
    """Numbers at the left and the lower edge alone, of panels with the same axes."""
    columns = min(count, COLUMNS)
    axis.tick_params(
        labelleft=at % columns == 0, labelbottom=at + columns >= count, labelsize=SMALL_TEXT
    )


def name_axes(figure: Any, x: str, y: str, count: int) -> None:
    """What all of `count` panels show, below them and at their left, in lines that fit there."""
    rows, columns, _ = panels(count)
    below, beside = (int(72 * inches / LETTER) for inches in (PANEL[0] * columns, PANEL[1] * rows))
    figure.supxlabel(fill(x, below), fontsize=SMALL_TEXT)
    figure.supylabel(fill(y, beside), fontsize=SMALL_TEXT)


def name_panels(figure: Any, styles: Mapping[str, Style], markers: bool = True) -> None:
    """One legend for all panels, above them."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label=_broken(name), **(style.line if markers else _plain(style)))
        for name, style in styles.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(len(handles), COLUMNS),
        frameon=False,
        fontsize=SMALL_TEXT,
        handlelength=2.6,
    )


def _plain(style: Style) -> dict[str, Any]:
    return {"color": style.colour, "linestyle": style.dash}
