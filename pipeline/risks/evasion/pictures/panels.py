"""A row for each defense, a panel for each question: figures with their intervals side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of
from pipeline.risks.evasion.classification import ALL, NONE, single_steps
from pipeline.risks.evasion.pictures.canvas import SMALL_TEXT, WIDTH, finish, told, wrapped
from pipeline.risks.evasion.view import View
from pipeline.risks.evasion.wording import radius

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 0.55  # inches


@dataclass(frozen=True)
class Panel:
    """One question.

    Attributes:
        title: the question.
        marks: what is shown of each defense, indexed by it: columns `value, low, high`; of
            several, the first ones are open marks.
    """

    title: str
    marks: Sequence[pd.DataFrame]


def bounded(lines: pd.DataFrame, name: str, low: str = "", high: str = "") -> pd.DataFrame:
    """Columns of lines, one for each defense, as the marks of a panel."""
    columns = [name, low or f"{name}_low", high or f"{name}_high"]
    missing = [column for column in columns if column not in lines]
    known = lines.assign(**dict.fromkeys(missing, float("nan")))
    return known.set_index("defense")[columns].set_axis(["value", "low", "high"], axis=1)


def draw(
    view: View,
    panels: Sequence[Panel],
    label: str,
    *,
    names: Sequence[str] = (),
    bars: bool = False,
    guide: float | None = None,
    across: int = 3,
) -> "Figure":
    """The picture.

    Args:
        view: knows names and styles.
        panels: from left to right.
        label: what is measured.
        names: the defenses; none = all.
        bars: whether a figure is a bar from 0, rather than a mark.
        guide: where a line is drawn.
        across: panels beside each other.
    """
    order = list(names or view.shown)
    columns = min(across, len(panels))
    rows = -(-len(panels) // columns)
    size = (WIDTH, rows * (ROW * len(order) + 0.7))
    figure, axes = axes_of(rows, columns, size)
    low, high = _limits(panels, order, bars, guide)
    for place, axis in enumerate(axes):
        if place >= len(panels):
            axis.set_axis_off()
            continue
        _panel(axis, view, panels[place], order, bars)
        axis.set(xlim=(low, high), ylim=(len(order) - 0.5, -0.5))
        axis.set_title(panels[place].title, fontsize=SMALL_TEXT)
        axis.set_xlabel(label, fontsize=SMALL_TEXT)
        names_ = [wrapped(view.shown[name]) for name in order]
        axis.set_yticks(range(len(order)), names_ if place % columns == 0 else [""] * len(order))
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.locator_params(axis="x", nbins=3)
        if guide is not None:
            axis.axvline(guide, color=GUIDE, linewidth=0.9)
    return figure


def _limits(
    panels: Sequence[Panel], order: Sequence[str], bars: bool, guide: float | None
) -> tuple[float, float]:
    every: pd.DataFrame = pd.concat(
        [marks.reindex(list(order)) for panel in panels for marks in panel.marks]
    )
    low, high = float(every.min().min()), float(every.max().max())
    low, high = (low, high) if guide is None else (min(low, guide), max(high, guide))
    margin = 0.06 * (high - low or 1.0)
    return (0.0 if bars else low - margin), high + margin


def _panel(axis: Any, view: View, panel: Panel, order: Sequence[str], bars: bool) -> None:
    count = len(panel.marks)
    for row, name in enumerate(order):
        style = view.styles[name]
        for index, marks in enumerate(panel.marks):
            if name not in marks.index or marks["value"].isna()[name]:
                continue
            value, low, high = marks.loc[name]
            y = row + (index - (count - 1) / 2) * 0.36
            if bars:
                axis.barh(y, value, height=0.6, color=style.colour, alpha=0.45, label=name)
            axis.plot([low, high], [y, y], color=style.colour, linewidth=1.2, label="_interval")
            if not bars:
                inside = style.colour if index == count - 1 else "white"
                axis.plot(
                    [value],
                    [y],
                    style.marker,
                    color=style.colour,
                    markerfacecolor=inside,
                    markersize=5.5,
                    label=name,
                )


def _told(view: View, panels: Sequence[Panel]) -> list[str]:
    """The figures of each defense, panel by panel; a dash where one was not measured."""
    return [
        f"{label} " + ", ".join(_figure(panel.marks[0]["value"].get(name)) for panel in panels)
        for name, label in view.shown.items()
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None or isnan(value) else f"{value:.3f}"


def before_and_after(view: View, folder: Path) -> Picture:
    """Accuracy of every defense before attack, under FGSM, and under the strongest attack."""
    table = view.tables["classification"].drop_duplicates(["defense", "attack", "eps"])
    asked = [(NONE, "no attack"), *((one, one) for one in single_steps(view.cfg))]
    asked.append((ALL, "strongest attack"))
    panels = []
    for attack, title in asked:
        lines = table[(table["attack"] == attack) & table["eps"].isin([0.0, view.eps])]
        if len(lines):
            at = "" if attack == NONE else f"\neps {view.eps:g}"
            panels.append(Panel(f"{title}{at}", [bounded(lines, "accuracy")]))
    said = _told(view, panels)
    titles = ", ".join(panel.title.replace("\n", ", ") for panel in panels)
    return finish(
        draw(view, panels, "accuracy"),
        view,
        folder / "before_and_after.svg",
        f"Accuracy before and under attack, {view.threat} threat",
        f"Accuracy of each defense ({titles}): {'; '.join(said)}.",
        f"Lines: {view.cfg.audit.confidence:.0%} intervals.",
    )


def counted(view: View, threat: str, folder: Path) -> Picture:
    """Right answers by the number of measurements that are forged, a panel each."""
    lines = view.comparison[view.comparison["threat"] == threat]
    limits = view.cfg.threat[threat]
    panels = [
        Panel(
            f"{radius(limits, float(str(eps)))}\nforged",
            [bounded(of_radius, "robust_accuracy", "robust_low", "robust_high")],
        )
        for eps, of_radius in lines.groupby("eps")
    ]
    said = _told(view, panels)
    titles = ", ".join(panel.title.replace("\n", " ") for panel in panels)
    return finish(
        draw(view, panels, "right answers", bars=True),
        view,
        folder / f"robustness_{threat}.svg",
        f"Right answers by the number of forged measurements, {threat} threat",
        f"Right answers of each defense ({titles}): {'; '.join(said)}.",
        f"Lines: {view.cfg.audit.confidence:.0%} intervals.",
    )


FOREST = (
    ("sensitivity\nwithout attack", "sensitivity_difference", False),
    ("sensitivity\nunder attack", "sensitivity_difference", True),
    ("specificity\nwithout attack", "specificity_difference", False),
)


def forest(view: View, folder: Path) -> Picture:
    """What each defense gains on the undefended models, paired on the same patients."""
    names = [name for name in view.shown if name != view.first]
    panels = [
        Panel(title, [bounded(view.attacked if attacked else view.clean, column).loc[names]])
        for title, column, attacked in FOREST
    ]
    said = [
        f"{panel.title.replace(chr(10), ' ')}: "
        + ", ".join(f"{view.shown[name]} {panel.marks[0]['value'][name]:+.3f}" for name in names)
        for panel in panels
    ]
    return finish(
        draw(view, panels, "difference", names=names, guide=0.0),
        view,
        folder / "differences.svg",
        "Differences to the undefended models",
        f"Each defense less no defense. {'; '.join(said)}. Under attack: {view.budget(view.eps)}.",
        f"To the right of 0 more is found. Lines: {view.cfg.audit.confidence:.0%} intervals, each "
        "for itself; verdicts are corrected for their number.",
    )


def by_group(view: View, folder: Path) -> Picture:
    """Sensitivity of every defense in each group, without attack and under it."""
    groups = view.tables["groups"]
    groups = groups[groups["by"] != view.cfg.data.target]
    panels = [
        Panel(
            f"{by} {group}", [bounded(lines, "sensitivity"), bounded(lines, "attacked_sensitivity")]
        )
        for (by, group), lines in groups.groupby(["by", "group"], sort=False)
    ]
    own = groups[groups["defense"] == view.first].to_dict("records")
    said = [
        f"{line['by']} {line['group']}: {told(pd.Series(line), 'sensitivity')} and "
        f"{told(pd.Series(line), 'attacked_sensitivity')}"
        for line in own
    ]
    return finish(
        draw(view, panels, "sensitivity"),
        view,
        folder / "groups.svg",
        "Sensitivity by group, without attack and under it",
        f"Sensitivity of {view.who} without attack and at {view.budget(view.eps)}: "
        f"{'; '.join(said)}.",
        f"Open marks: without attack; filled: at eps {view.eps:g}. Lines: "
        f"{view.cfg.audit.confidence:.0%} intervals.",
    )
