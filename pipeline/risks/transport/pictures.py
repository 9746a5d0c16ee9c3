"""The picture of transport: one figure at each place, beside the cross-validation."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import axes_of, save_picture
from pipeline.risks.drawing import OPEN, SMALL_TEXT, TEXT, name_panels, styles_for
from pipeline.risks.risk import Context

DRAWN = "auroc"
TITLE = "AUROC elsewhere and later, beside the cross-validation"


def draw(
    table: pd.DataFrame, places: dict[str, str], shows: str, context: Context, folder: Path
) -> Picture:
    """A row for each place, a mark with its interval for each defense.

    Args:
        table: `transport`.
        places: of its column `place` -> what people call it.
        shows: what is to be seen, in words.
        context: by whose order defenses have their colours.
        folder: where the picture is written.
    """
    lines = table[(table["figure"] == DRAWN) & table["value"].notna()]
    names = [str(name) for name in dict.fromkeys(lines["defense"])]
    rows = list(dict.fromkeys(lines["place"].map(places)))
    styles = styles_for(names, context)
    figure, (axis,) = axes_of(1, 1, (OPEN[0], 1.0 + 0.16 * len(rows) * (len(names) + 1)))
    for at, name in enumerate(names):
        own, style = lines[lines["defense"] == name], styles[name]
        shift = (at - (len(names) - 1) / 2) * 0.8 / len(names)
        axis.errorbar(
            own["value"],
            [rows.index(one) + shift for one in own["place"].map(places)],
            xerr=[own["value"] - own["value_low"], own["value_high"] - own["value"]],
            color=style.colour,
            marker=style.marker,
            markersize=4,
            linestyle="none",
            linewidth=1.2,
            label=context.display(name),
        )
    axis.set_yticks(range(len(rows)), rows, fontsize=TEXT)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel("AUROC without attack", fontsize=TEXT)
    axis.tick_params(axis="x", labelsize=SMALL_TEXT)
    name_panels(figure, {context.display(name): styles[name] for name in names})
    return save_picture(figure, folder / "transport.svg", TITLE, shows)
