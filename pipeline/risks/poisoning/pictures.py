"""Pictures of poisoning: a line for each defense, against the dose."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import Style, axes_of, save_picture
from pipeline.risks.drawing import (
    OPEN,
    SMALL_TEXT,
    TEXT,
    at_ends,
    band,
    name_axes,
    name_panels,
    outer_only,
    panels,
    styles_for,
)
from pipeline.risks.poisoning.harm_tables import dose_name
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN, NONE
from pipeline.risks.poisoning.pair_tables import worst_on_everybody
from pipeline.risks.poisoning.shown import SUCCESS
from pipeline.risks.risk import Context

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Poisoned training data: ill patients still found under the worst attack"
BESIDE = 0.013  # of the axis between the intervals of two defenses
FIGURES = {
    "auroc": "AUROC",
    AT_CLEAN: "sensitivity at clean false alarms",
    "sensitivity": "sensitivity at the operating point",
    SUCCESS: "success",
}


def worst_curves(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By defense, the rows of what its worst attack leaves at each dose, without poison first."""
    curves = {}
    for name, lines in table.groupby("defense", sort=False):
        at = [lines[lines["dose"] == dose] for dose in doses_of(lines)]
        worst = [worst_on_everybody(one, AT_CLEAN) for one in at]
        curves[str(name)] = pd.concat([lines[lines["attack"] == NONE], *worst])
    return curves


def doses_of(table: pd.DataFrame) -> list[float]:
    """Every dose but none, in the order of the table."""
    return list(dict.fromkeys(table.loc[table["attack"] != NONE, "dose"]))


def draw(table: pd.DataFrame, dose: float, shows: str, context: Context, folder: Path) -> Picture:
    """One panel: ill patients found under the worst attack, with intervals at the headline dose.

    Args:
        table: `poisoning`.
        dose: of the headline.
        shows: what is to be seen, in words.
        context: by whose order defenses have their colours.
        folder: where the picture is written.
    """
    crowd = table[table["goal"].isin(["availability", NONE])]
    doses, curves = doses_of(crowd), worst_curves(crowd)
    styles = styles_for(curves, context)
    figure, (axis,) = axes_of(1, 1, OPEN)
    ends, colours = {}, []
    for at, (name, curve) in enumerate(curves.items()):
        style = styles[name]
        x = _places(curve, doses)
        label = context.display(name)
        axis.plot(x, curve[AT_CLEAN], linewidth=1.4, markersize=4, label=label, **style.line)
        here = curve[curve["dose"] == dose]
        beside = doses.index(dose) + 1 + (at - (len(curves) - 1) / 2) * BESIDE * len(doses)
        axis.errorbar(
            [beside] * len(here),
            here[AT_CLEAN],
            yerr=[
                here[AT_CLEAN] - here[f"{AT_CLEAN}_low"],
                here[f"{AT_CLEAN}_high"] - here[AT_CLEAN],
            ],
            color=style.colour,
            linestyle="none",
            linewidth=1,
        )
        ends[label] = (float(x[-1]), float(curve[AT_CLEAN].iloc[-1]))
        colours.append(style.colour)
    _against_dose(axis, doses, str(table["unit"].iloc[0]), TEXT)
    axis.set_ylabel("ill patients found\n(sensitivity at clean false alarms)", fontsize=TEXT)
    axis.set_xlabel(f"poisoned {table['unit'].iloc[0]} of a training set", fontsize=TEXT)
    axis.tick_params(labelsize=SMALL_TEXT)
    at_ends(axis, ends, colours)
    return save_picture(figure, folder / "poisoning.svg", TITLE, shows)


def draw_each(
    table: pd.DataFrame, measure: str, stem: str, context: Context, folder: Path
) -> Picture:
    """A panel for each attack, a line for each defense; without poison at the left.

    Args:
        table: `poisoning`, its attacks of some goals, and the control.
        measure: the figure.
        stem: of the file.
        context: by whose order defenses have their colours.
        folder: where the picture is written.
    """
    attacks = [name for name in dict.fromkeys(table["attack"]) if name != NONE]
    names = [str(name) for name in dict.fromkeys(table["defense"])]
    doses, unit = doses_of(table), str(table["unit"].iloc[0])
    rows, columns, size = panels(len(attacks))
    figure, axes = axes_of(rows, columns, size)
    styles = styles_for(names, context)
    for at, (axis, attack) in enumerate(zip(axes, attacks, strict=False)):
        for name in names:
            lines = table[table["defense"] == name]
            _curve(axis, lines, attack, measure, doses, styles[name], context.display(name))
        _against_dose(axis, doses, unit, SMALL_TEXT)
        axis.set_title(attack, fontsize=SMALL_TEXT)
        outer_only(axis, at, len(attacks))
    for axis in axes[len(attacks) :]:
        axis.set_visible(False)
    name_axes(figure, f"poisoned {unit} of a training set", FIGURES[measure], len(attacks))
    name_panels(figure, {context.display(name): styles[name] for name in names}, markers=False)
    shows = (
        f"{FIGURES[measure]} against the dose of poison: a panel for each of {len(attacks)} "
        f"attacks, a line for each of {len(names)} defenses; the figures stand in the table of "
        "every attack"
    )
    title = f"Poisoned training data, every attack: {FIGURES[measure]}"
    return save_picture(figure, folder / f"{stem}.svg", title, shows)


def draw_certificate(
    table: pd.DataFrame, unit: str, shows: str, context: Context, folder: Path
) -> Picture:
    """Certified accuracy and sensitivity against the number of poisoned records."""
    figure, axes = axes_of(1, 2, (OPEN[0], 3.0))
    names = [str(name) for name in dict.fromkeys(table["defense"])]
    styles = styles_for(names, context)
    for axis, measure in zip(axes, ("certified_accuracy", "certified_sensitivity"), strict=True):
        for name in names:
            curve, style = table[table["defense"] == name], styles[name]
            axis.step(
                curve["records"],
                curve[measure],
                where="mid",
                color=style.colour,
                label=context.display(name),
            )
            axis.fill_between(
                curve["records"],
                curve[f"{measure}_low"],
                curve[f"{measure}_high"],
                step="mid",
                color=style.colour,
                alpha=0.12,
                linewidth=0,
            )
        axis.set_title(measure.replace("_", " "), fontsize=TEXT)
        axis.set_ylim(0, 1)
        axis.tick_params(labelsize=SMALL_TEXT)
    figure.supxlabel(f"training {unit} inserted, removed or relabelled", fontsize=TEXT)
    name_panels(figure, {context.display(name): styles[name] for name in names}, markers=False)
    title = "Certified against poisoned records"
    return save_picture(figure, folder / "certificate.svg", title, shows)


def _curve(
    axis: "Axes",
    lines: pd.DataFrame,
    attack: str,
    measure: str,
    doses: Sequence[float],
    style: Style,
    name: str,
) -> None:
    """From no poison over the doses of one attack, as measured."""
    curve = lines[lines["attack"] == attack]
    if not len(curve):
        return
    clean = lines[lines["attack"] == NONE]
    if measure == SUCCESS:
        ends = {f"{measure}{end}": curve["control"].iloc[:1] for end in ("", "_low", "_high")}
        clean = pd.DataFrame(ends).assign(dose=0)
    whole = pd.concat([clean, curve])
    x = _places(whole, doses)
    axis.plot(
        x, whole[measure], linewidth=1.3, color=style.colour, linestyle=style.dash, label=name
    )
    if measure == SUCCESS:
        band(axis, x, whole[f"{measure}_low"], whole[f"{measure}_high"], style.colour)


def _places(curve: pd.DataFrame, doses: Sequence[float]) -> np.ndarray[Any, Any]:
    """Doses evenly spaced, none at 0."""
    return np.array([0 if dose == 0 else 1 + doses.index(dose) for dose in curve["dose"]])


def _against_dose(axis: "Axes", doses: Sequence[float], unit: str, size: int) -> None:
    ending = f" {unit}"
    names = [dose_name(dose, unit).removesuffix(ending).removesuffix(ending[:-1]) for dose in doses]
    axis.set_xticks(range(len(doses) + 1), ["none", *names], fontsize=size)
    axis.set_ylim(-0.02, 1.02)
