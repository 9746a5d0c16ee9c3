"""Single patients, and how many there are: what turns them, and how far they are from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.numbers import NOT_TOLD
from pipeline.presentation.pictures import COLOURS, GUIDE, axes_of
from pipeline.risks.evasion.patients import shown as value_of
from pipeline.risks.evasion.pictures.canvas import SMALL_TEXT, WIDTH, at_mark, finish
from pipeline.risks.evasion.view import View

BAND = "#e3e3e3"  # of one usual error
HATCHES = ("", "///")


def fragile(view: View, folder: Path) -> Picture | None:
    """The most fragile diagnoses: each changed value in units of its usual error, and the score.

    None where nobody is at risk.
    """
    table = view.own("changes")
    if not len(table):
        return None
    people = list(dict.fromkeys(table["patient"]))
    rows = len(table) + 0.7 * len(people)
    figure, (axis, scores) = axes_of(1, 2, (WIDTH, 0.155 * rows + 1.0))
    axis.axvspan(-1, 1, color=BAND, linewidth=0, zorder=0)
    axis.axvline(0, color=GUIDE, linewidth=0.8)
    scores.axvline(0, color=GUIDE, linewidth=1)
    y, ticks = 0.0, []
    reach = float(np.nanmax(np.abs(table["errors"]))) if table["errors"].notna().any() else 1.0
    reach = max(reach, 1.0)
    for patient in people:
        own = table[table["patient"] == patient]
        first = own.iloc[0]
        ticks.append((y + (len(own) - 1) / 2, f"{patient}"))
        before, after = (
            100 * (first[name] - first["cut"]) for name in ("probability", "probability_after")
        )
        middle = y + (len(own) - 1) / 2
        scores.plot([before, after], [middle] * 2, color=COLOURS[0], linewidth=1, label="_score")
        scores.plot([before], [middle], "o", color=COLOURS[0], markersize=4, label=f"{patient}")
        scores.plot(
            [after],
            [middle],
            "o",
            markerfacecolor="white",
            color=COLOURS[0],
            markersize=4,
            label=f"_{patient} after",
        )
        for line in own.to_dict("records"):
            if not np.isnan(line["errors"]):
                axis.barh(y, line["errors"], height=0.75, color=COLOURS[0], label=f"{patient}")
            left = np.isnan(line["errors"]) or line["errors"] >= 0
            axis.text(
                0.03 * reach if not left else -0.03 * reach,
                y,
                _change(view, line),
                fontsize=7.5,
                va="center",
                ha="right" if left else "left",
                clip_on=False,
            )
            y += 1
        y += 0.7
    axis.set_yticks([at for at, _ in ticks], [f"patient {name}" for _, name in ticks])
    scores.set_yticks([at for at, _ in ticks], [""] * len(ticks))
    axis.set(xlim=(-2.6 * reach, 2.6 * reach))
    for one in (axis, scores):
        one.set_ylim(y - 0.5, -1)
    axis.set_xlabel("change, in usual measurement errors", fontsize=SMALL_TEXT)
    scores.set_xlabel("score less threshold,\npercentage points", fontsize=SMALL_TEXT)
    scores.set_box_aspect(None)
    axis.get_gridspec().set_width_ratios([2.4, 1])
    count = len(people)
    inside = int(
        (table.groupby("patient")["errors"].apply(lambda e: e.abs().max()) <= 1 + 1e-6).sum()
    )
    picture = finish(
        figure,
        view,
        folder / "fragile.svg",
        f"The {count} most fragile diagnoses, and the change that misses each",
        f"Of the {count} correct diagnoses of disease that the smallest changes turn, {inside} "
        "fall to a change in which no value moves by more than its usual measurement error. Of "
        f"{view.who}.",
        "Bars: the change of each value; grey: within one usual error. Right: the probability "
        "before (filled) and after (open), against the threshold of the model.",
    )
    return replace(picture, patients=True)


def _change(view: View, line: dict[object, object]) -> str:
    name = str(line["feature"])
    feature = view.cfg.data.features[name]
    before, after = (value_of(feature, float(str(line[key]))) for key in ("before", "after"))
    return f"{name} {before} → {after}"


def radii(view: View, folder: Path) -> Picture | None:
    """How many right answers of the undefended models are proved up to which radius.

    None where nothing is proved.
    """
    table = view.own("radii")
    if not len(table):
        return None
    classes = list(view.cfg.data.classes)
    figure, axes = axes_of(len(classes), 1, (WIDTH, 2.3 * len(classes) + 0.3))
    said = []
    for index, (name, axis) in enumerate(zip(classes, axes, strict=True)):
        own = table[table["class"] == name]
        width = float(own["up_to"].iloc[0] - own["over"].iloc[0])
        style = COLOURS[0] if index else GUIDE
        axis.bar(
            own["over"],
            own["patients"].fillna(0),
            width=0.92 * width,
            align="edge",
            color=style,
            hatch=HATCHES[index],
            edgecolor="white",
            linewidth=0,
            label=name,
        )
        for line in own[own["patients"].isna()].to_dict("records"):
            axis.text(
                line["over"] + width / 2,
                0,
                NOT_TOLD,
                rotation=90,
                fontsize=SMALL_TEXT,
                ha="center",
                va="bottom",
            )
        last = own.iloc[-1]
        edges = [*own["over"], last["over"] + width]
        axis.set_xlim(0, edges[-1])
        ticks = edges[: len(own) : 2]
        axis.set_xticks(
            [*ticks, last["over"] + width / 2 if last["over"] not in ticks else edges[-1]]
        )
        axis.set_xticklabels([*(f"{edge:.2g}" for edge in ticks), "beyond"])
        axis.set_title(f"{name}: right answers", fontsize=SMALL_TEXT)
        axis.set_ylabel("patients", fontsize=SMALL_TEXT)
        inside, whole = _within_an_error(view, own)
        if inside is not None:
            said.append(f"{name}: {inside} of {whole} right answers within one error")
            mark = _error_of(view)
            axis.axvline(
                mark, color=COLOURS[0] if not index else GUIDE, linestyle="--", linewidth=1
            )
            if not index:
                at_mark(axis, mark, 0.97, f"one measurement error of {view.leading}", va="top")
    axes[-1].set_xlabel(
        f"proved radius, eps ({view.headline['eps_unit'].iloc[0]})", fontsize=SMALL_TEXT
    )
    return finish(
        figure,
        view,
        folder / "radii.svg",
        "Right answers by proved radius",
        f"How far right answers of {view.who} are proved to hold, by diagnosis. "
        + ("; ".join(said) + "." if said else ""),
        "Of each patient: up to which eps no admitted change turns the right answer, proved by the "
        "verifier.",
    )


def _error_of(view: View) -> float:
    """One usual error of the leading measurement, as a radius; NaN = none is known."""
    feature = view.cfg.data.features.get(view.leading)
    if feature is None or feature.error is None:
        return float("nan")
    unit = view.cfg.threat[view.threat].unit
    return 1.0 if unit == "error" else feature.error / feature.scale


def _within_an_error(view: View, own: pd.DataFrame) -> tuple[str | None, str]:
    """How many of a class are proved for no more than one error; None where no error is known."""
    mark = _error_of(view)
    if np.isnan(mark):
        return None, ""
    counts = own["patients"]
    inside = counts[own["up_to"] <= mark + 1e-9]
    total = NOT_TOLD if counts.isna().any() else f"{counts.sum():.0f}"
    return (NOT_TOLD if inside.isna().any() else f"{inside.sum():.0f}"), total
