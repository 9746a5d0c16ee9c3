"""What the pictures of evasion have in common: labels at line ends, whom they are of, text."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.files import write_text
from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import save_picture
from pipeline.risks.drawing import apart
from pipeline.risks.evasion.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 5.0  # inches, so that 9 points are still read on a telephone
SMALL_TEXT = 9
LABEL = 17  # letters of a line of a label
LINE = 1.25 * SMALL_TEXT / 72  # inches
APART = 2.0  # points between the marks of two defenses at one place


def finish(
    figure: "Figure", view: View, path: Path, title: str, shows: str, caption: str = ""
) -> Picture:
    """Saves a picture, which says of whom it is, where that is not everybody.

    Args:
        figure: drawn by `axes_of`.
        view: whose it is.
        path: ends with `.svg`.
        title: what it shows.
        shows: what is to be seen, in words.
        caption: how it is read; stands behind the title.
    """
    if view.sample:
        figure.suptitle(f"of {view.sample}", fontsize=SMALL_TEXT)
        shows = f"{shows} Of {view.sample}."
    picture = save_picture(figure, path, title, shows)
    write_text(path, shorter(path.read_text(encoding="utf-8")))
    return replace(picture, caption=f"{title}. {caption}".rstrip()) if caption else picture


def shorter(svg: str) -> str:
    """An SVG whose paths have two decimals of a point, and steps that say only what changes."""
    return re.sub(r'\bd="([^"]*)"', lambda path: f'd="{_shorter(path[1])}"', svg)


def _shorter(path: str) -> str:
    said: list[str] = []
    x = y = ""
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        own = [f"{float(one):.2f}".rstrip("0").rstrip(".") for one in numbers.split()]
        if command == "L" and own == [x, y]:
            continue
        if command == "L" and x == own[0]:
            said.append(f"V{own[1]}")
        elif command == "L" and y == own[1]:
            said.append(f"H{own[0]}")
        else:
            said.append(command + " ".join(own))
        x, y = own[-2:] if len(own) > 1 else ("", "")
    return "".join(said)


def wrapped(name: str, letters: int = LABEL) -> str:
    """A name, its flags on further lines where they need them."""
    return "\n".join(wrap(name, letters, break_long_words=False))


def at_mark(axis: Any, x: float, y: float, text: str, **how: Any) -> None:
    """A word beside a vertical mark, a little to its right.

    Args:
        axis: with the mark.
        x: of the mark, in data units.
        y: 0 to 1, from the lower to the upper edge.
        text: of one or more lines.
        how: as of `Axes.annotate`.
    """
    axis.annotate(
        text,
        (x, y),
        xycoords=axis.get_xaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=SMALL_TEXT,
        **how,
    )


def end_labels(
    axis: Any, view: View, ends: Mapping[str, tuple[float, float]], height: float
) -> None:
    """Names, each behind its mark, beside what they name, instead of a legend.

    Args:
        axis: with its limits set.
        view: knows names and styles.
        ends: defense -> where its line ends, or its point lies.
        height: of the axis, in inches, about.
    """
    low, high = axis.get_ylim()
    unit = (high - low) / height
    texts = {name: wrapped(view.shown[name]) for name in ends}
    sizes = [(text.count("\n") + 1.3) * LINE * unit for text in texts.values()]
    places = apart(np.array([y for _, y in ends.values()]), np.array(sizes))
    for (name, text), place in zip(texts.items(), places, strict=True):
        style, at = view.styles[name], (place - low) / (high - low)
        axis.annotate(
            "",
            xy=ends[name],
            xytext=(1.05, at),
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": style.colour, "linewidth": 0.7},
            annotation_clip=False,
        )
        axis.plot(
            [1.06],
            [at],
            style.marker,
            color=style.colour,
            markersize=5,
            transform=axis.transAxes,
            clip_on=False,
            label=f"_{name} key",
        )
        axis.text(1.09, at, text, fontsize=SMALL_TEXT, va="center", transform=axis.transAxes)


def beside(axis: Any, place: int, count: int) -> Any:
    """The transform that sets marks of several defenses beside each other, not on each other."""
    from matplotlib.transforms import ScaledTranslation

    shift = (place - (count - 1) / 2) * APART / 72
    scale = axis.get_figure().dpi_scale_trans
    return axis.transData + ScaledTranslation(shift, 0, scale)


def told(line: pd.Series, name: str, low: str = "", high: str = "") -> str:
    """`0.554 (0.484 to 0.625)` of a line of a table."""
    low, high = low or f"{name}_low", high or f"{name}_high"
    return f"{line[name]:.3f} ({line[low]:.3f} to {line[high]:.3f})"
