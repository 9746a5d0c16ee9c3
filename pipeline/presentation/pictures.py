"""How pictures are drawn: colours, axes, the names that people see; the same bytes each time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLOURS = ["#4c566a", "#1b7f5c", "#c4622d", "#3465a4", "#8e44ad", "#b8860b"]


def display_name(defense: str, flags: str) -> str:
    """The name of a defense as people see it: its flags always stand beside it."""
    raised = [flag.replace("_", " ") for flag in flags.split()]
    return f"{defense} [{', '.join(raised)}]" if raised else defense


def save_figure(figure: "Figure", path: Path) -> Path:
    """Writes a PNG with the same bytes for the same picture."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path


def axes_of(rows: int, columns: int, size: tuple[float, float]) -> tuple["Figure", list[Any]]:
    """A figure of `size` inches, and its plain axes row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes
