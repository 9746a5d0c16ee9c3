"""What the strongest attack on every rule of aggregation leaves."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.numbers import interval_text
from pipeline.presentation.pictures import GUIDE, axes_of, save_picture, styles_of
from pipeline.risks.drawing import OPEN, SMALL_TEXT
from pipeline.risks.federation.rules import ENDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "federation.svg"
TITLE = "The strongest attack on every rule"
NOBODY = "no attack"
PANELS = {  # figure -> its control, and what it is called
    "accuracy": ("clean_accuracy", "right answers"),
    "missed_diagnosis_rate": ("clean_missed", "missed, of the ill"),
    "attack_success_rate": ("control", "hidden by trigger"),
}
APART = 0.2  # between marks of one rule


def draw(table: pd.DataFrame, folder: Path) -> Picture:
    """A panel for each figure, a line for each rule, a mark for each federation.

    Args:
        table: rows of `federation_rules` of one number of hospitals, with a column `name` of what
            each federation is called.
        folder: where the picture is written.
    """
    names, rules = list(dict.fromkeys(table["name"])), list(dict.fromkeys(table["aggregate"]))
    styles = styles_of([NOBODY, *names])
    figure, axes = axes_of(1, len(PANELS), OPEN)
    said = []
    for axis, (figure_name, (control, title)) in zip(axes, PANELS.items(), strict=True):
        for place, name in enumerate(names):
            own, style = table[table["name"] == name], styles[name]
            for line in own.to_dict("records"):
                value, low, high = (line[f"{figure_name}{end}"] for end in ENDS)
                if value != value:
                    continue
                at = rules.index(line["aggregate"]) + APART * (place - (len(names) - 1) / 2)
                axis.plot([line[control]], [at], "|", color=GUIDE, markersize=9)
                axis.plot([low, high], [at, at], color=style.colour, linewidth=1.6)
                axis.plot([value], [at], style.marker, color=style.colour, markersize=5)
                bounds = interval_text(value, low, high)
                said.append(f"{title}, {line['aggregate']}, {name}: {bounds}")
        axis.set_title(title, fontsize=SMALL_TEXT)
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.set(xlim=(0, 1), ylim=(len(rules) - 0.5, -0.5))
        axis.set_yticks(range(len(rules)), [])
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticklabels([rule.replace("_", "\n") for rule in rules], fontsize=SMALL_TEXT)
    _legend(axes[1], names, styles)
    shows = f"Of every rule the attack that is worst, with intervals; {'; '.join(said)}."
    return save_picture(figure, folder / PICTURE, TITLE, shows)


def _legend(axis: "Axes", names: list[str], styles: dict) -> None:  # type: ignore[type-arg]
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=GUIDE, marker="|", linestyle="", markersize=9)]
    marks += [Line2D([], [], color=styles[n].colour, marker=styles[n].marker) for n in names]
    axis.figure.legend(
        marks,
        [NOBODY, *names],
        loc="outside lower center",
        ncols=2,
        fontsize=SMALL_TEXT,
        frameon=False,
    )
