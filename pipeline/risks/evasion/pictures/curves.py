"""Against eps: missed diagnoses on the first screen, right answers and sensitivity by threat."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of
from pipeline.risks.evasion.pictures.canvas import (
    SMALL_TEXT,
    WIDTH,
    at_mark,
    beside,
    end_labels,
    finish,
    told,
)
from pipeline.risks.evasion.view import View
from pipeline.risks.evasion.wording import radius
from pipeline.verify.nearest import SAME_RADIUS


@dataclass(frozen=True)
class Quantity:
    """What is drawn against eps.

    Attributes:
        column: of the comparison.
        low: its lower bound there.
        high: its upper bound.
        known: its column in `plots/proved`, exact at every radius; in front of it a minus = 1 less.
        bound: the column up to which it is open what holds; none = it is not drawn.
        y: of whom it is a share; None = of all.
        words: what it is called.
    """

    column: str
    low: str
    high: str
    known: str
    bound: str
    y: int | None
    words: str


MISSED = Quantity(
    "missed_diagnosis_rate",
    "missed_diagnosis_rate_low",
    "missed_diagnosis_rate_high",
    "missed",
    "missed_at_most",
    1,
    "missed diagnoses",
)
ALARMS = Quantity(
    "false_alarm_rate",
    "false_alarm_rate_low",
    "false_alarm_rate_high",
    "alarms",
    "alarms_at_most",
    0,
    "false alarms",
)
RIGHT = Quantity(
    "robust_accuracy", "robust_low", "robust_high", "proved", "", None, "right answers"
)
FOUND = Quantity(
    "sensitivity", "sensitivity_low", "sensitivity_high", "-missed", "", 1, "sensitivity"
)


def cover(view: View, folder: Path) -> Picture:
    """The harm of the headline threat against eps, of every defense, for the first screen."""
    asked = ALARMS if view.cfg.threat[view.threat].goal == "alarm" else MISSED
    beyond = view.headline.loc[view.headline["eps"] > view.eps, "eps"]
    upto = float(beyond.min()) if len(beyond) else view.eps
    height = 4.6
    figure, (axis,) = axes_of(1, 1, (WIDTH, height))
    draw(axis, view, view.threat, asked, upto, height - 1.3)
    whom = view.among(asked.y)
    axis.set_ylabel(f"{asked.words}, share of {whom}" if whom else asked.words, fontsize=SMALL_TEXT)
    error = _one_error(axis, view)
    before, after = (view.line(lines) for lines in (view.clean, view.attacked))
    return finish(
        figure,
        view,
        folder / "missed.svg",
        f"{asked.words.capitalize()} against eps, {view.threat} threat",
        f"{asked.words.capitalize()} rise with eps. Without attack and at "
        f"{view.budget(view.eps)}: "
        + "; ".join(
            f"{name} {view.line(view.clean, key)[asked.column]:.3f} and "
            f"{view.line(view.attacked, key)[asked.column]:.3f}"
            for key, name in view.shown.items()
        )
        + f". Of {view.who}, with intervals: {told(before, asked.column)} and "
        f"{told(after, asked.column)}.{error}",
        "Steps: every forged record within eps, found or excluded by the verifier. Marks: all "
        f"attacks. Bars: {view.cfg.audit.confidence:.0%} intervals, without attack and at "
        f"eps {view.eps:g}.",
    )


def against_radius(view: View, threat: str, folder: Path) -> Picture:
    """Right answers and sensitivity of every defense against the radius of one threat."""
    height = 6.0
    figure, axes = axes_of(2, 1, (WIDTH, height))
    lines = view.comparison[view.comparison["threat"] == threat]
    largest = float(lines["eps"].max())
    for axis, asked in zip(axes, (RIGHT, FOUND), strict=True):
        draw(axis, view, threat, asked, largest, height / 2 - 0.8)
        axis.set_ylabel(asked.words, fontsize=SMALL_TEXT)
    ends = {
        name: lines[(lines["defense"] == name) & (lines["eps"] == largest)].iloc[0]
        for name in view.shown
    }
    limits = view.cfg.threat.get(threat)
    reach = radius(limits, largest) if limits else f"eps {largest:g}"
    return finish(
        figure,
        view,
        folder / f"robustness_{threat}.svg",
        f"Right answers and sensitivity against the radius, {threat} threat",
        f"Right answers and sensitivity fall as the radius grows. At {reach}: "
        + "; ".join(
            f"{view.shown[name]} {line['robust_accuracy']:.3f} and {line['sensitivity']:.3f}"
            for name, line in ends.items()
        )
        + ".",
        "Steps: what is proved at every radius. Marks: all attacks.",
    )


def draw(axis: Any, view: View, threat: str, asked: Quantity, upto: float, height: float) -> None:
    """One quantity of every defense against the radius, with its name at the end of the line.

    What the verifier knows is the curve, a step wherever it changes; marks are what all attacks
    leave at the radii examined. Marks alone where nothing is proved, and beyond what was verified.
    """
    lines = view.comparison[
        (view.comparison["threat"] == threat) & (view.comparison["eps"] <= upto)
    ]
    ends, verified = {}, upto
    for place, (name, style) in enumerate(view.styles.items()):
        own = lines[lines["defense"] == name]
        known, to = exact(view, threat, name, asked, upto)
        verified = min(verified, to)
        if len(known):
            axis.step(
                known["eps"],
                known["value"],
                where="post",
                color=style.colour,
                linestyle=style.dash,
                linewidth=1.3,
                label=name,
                gid=f"exact-{threat}-{asked.column}-{name}",
            )
            if asked.bound and (known["bound"] > known["value"]).any():
                axis.fill_between(
                    known["eps"],
                    known["value"],
                    known["bound"],
                    step="post",
                    color=style.colour,
                    alpha=0.15,
                    linewidth=0,
                )
        within = own.loc[own["eps"] <= to + SAME_RADIUS, "eps"].max()
        open_ = own if not len(known) else own[own["eps"] >= within]
        if len(open_) > 1:
            axis.plot(
                open_["eps"],
                open_[asked.column],
                linestyle=":",
                color=style.colour,
                linewidth=0.8,
                label=f"_{name} attacks",
            )
        shifted = beside(axis, place, len(view.styles))
        axis.plot(
            own["eps"],
            own[asked.column],
            style.marker,
            color=style.colour,
            markersize=4,
            transform=shifted,
            label=f"_{name} marks",
        )
        for _, line in own[own["eps"].isin([0.0, view.eps])].iterrows():
            axis.plot(
                [line["eps"]] * 2,
                [line[asked.low], line[asked.high]],
                color=style.colour,
                linewidth=0.9,
                transform=shifted,
                label=f"_{name} interval",
            )
        ends[name] = (float(own["eps"].iloc[-1]), float(own[asked.column].iloc[-1]))
    top = float(lines[asked.high].max())
    axis.set(xlim=(-0.03 * upto, 1.02 * upto), ylim=(0, min(1.0, 1.06 * top)))
    axis.set_xlabel(_label(lines), fontsize=SMALL_TEXT)
    if verified < upto:
        axis.axvline(verified, color=GUIDE, linewidth=0.8)
        at_mark(axis, verified, 0.02, f"not verified\nbeyond {verified:g}", color=GUIDE)
    _second_axis(axis, view, threat)
    end_labels(axis, view, ends, height)


def exact(
    view: View, threat: str, name: str, asked: Quantity, upto: float
) -> tuple[pd.DataFrame, float]:
    """The whole curve of a defense, and up to which radius it was verified.

    Returns:
        `eps, value, bound`, a row wherever one of them changes; nothing where nothing is proved.
    """
    nothing = pd.DataFrame(columns=["eps", "value", "bound"])
    table = view.tables.get("plots/proved", pd.DataFrame())
    own = view.comparison[
        (view.comparison["threat"] == threat) & (view.comparison["defense"] == name)
    ]
    to = min(upto, float(own["verified_to"].iloc[0]) if "verified_to" in own else upto)
    if not len(table) or name in view.beyond_proof:
        return nothing, to
    table = table[(table["threat"] == threat) & (table["defense"] == name)]
    table = table[table["eps"] <= to + SAME_RADIUS]
    if not len(table):
        return nothing, to
    column = asked.known.removeprefix("-")
    value = 1 - table[column] if asked.known.startswith("-") else table[column]
    bound = table[asked.bound] if asked.bound else value
    curve = pd.DataFrame({"eps": table["eps"], "value": value, "bound": bound})
    curve = curve[(curve[["value", "bound"]].diff().fillna(1) != 0).any(axis=1)]
    last = curve.iloc[[-1]].assign(eps=to)
    return pd.concat([curve, last], ignore_index=True), to


def _label(lines: pd.DataFrame) -> str:
    unit = str(lines["eps_unit"].iloc[0]) if "eps_unit" in lines else ""
    return unit if unit.startswith("measurement") else f"eps ({unit})" if unit else "eps"


def _second_axis(axis: Any, view: View, threat: str) -> None:
    """The radius in the unit of the leading measurement, above."""
    limits, name = view.cfg.threat.get(threat), view.leading
    if limits is None or not name or limits.norm == "l0":
        return
    feature = view.cfg.data.features[name]
    size = feature.error if limits.unit == "error" else feature.scale
    if size is None:
        return
    above = axis.secondary_xaxis(
        "top", functions=(lambda eps: eps * size, lambda change: change / size)
    )
    above.set_xlabel(f"{feature.unit} of {name}", fontsize=SMALL_TEXT)
    above.tick_params(labelsize=SMALL_TEXT)


def _one_error(axis: Any, view: View) -> str:
    """Marks one usual error of the leading measurement; in words, where that is."""
    limits, name = view.cfg.threat[view.threat], view.leading
    feature = view.cfg.data.features.get(name)
    if feature is None or feature.error is None or limits.norm == "l0":
        return ""
    eps = 1.0 if limits.unit == "error" else feature.error / feature.scale
    if math.isnan(eps) or eps > axis.get_xlim()[1]:
        return ""
    axis.axvline(eps, color=GUIDE, linewidth=0.9, linestyle="--")
    said = f"one measurement error of {name}: {feature.error:g} {feature.unit}"
    at_mark(axis, eps, 0.02, f"one measurement error\nof {name}", color=GUIDE)
    return f" Marked: {said}, eps {eps:.2g}."
