"""Whether probabilities come true, and what decisions by them are worth."""

from pathlib import Path

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of
from pipeline.risks.evasion.pictures.canvas import (
    SMALL_TEXT,
    WIDTH,
    end_labels,
    finish,
    told,
    wrapped,
)
from pipeline.risks.evasion.view import View

ACROSS = 3


def reliability(view: View, folder: Path) -> Picture:
    """The share of the ill against the probability that was said, a panel for each defense."""
    table = view.tables["reliability"]
    names = list(view.shown)
    rows = -(-len(names) // ACROSS)
    figure, axes = axes_of(rows, min(ACROSS, len(names)), (WIDTH, 2.1 * rows + 0.2))
    for place, axis in enumerate(axes):
        if place >= len(names):
            axis.set_axis_off()
            continue
        own, style = table[table["defense"] == names[place]], view.styles[names[place]]
        axis.plot([0, 1], [0, 1], ":", color=GUIDE, linewidth=1, label="_diagonal")
        axis.vlines(
            own["predicted"],
            own["observed_low"],
            own["observed_high"],
            color=style.colour,
            linewidth=1,
        )
        axis.plot(
            own["predicted"],
            own["observed"],
            color=style.colour,
            marker=style.marker,
            markersize=3.5,
            linewidth=0.8,
            label=names[place],
        )
        axis.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axis.set_title(wrapped(view.shown[names[place]]), fontsize=SMALL_TEXT)
        if place % ACROSS == 0:
            axis.set_ylabel("share of the ill", fontsize=SMALL_TEXT)
        if place // ACROSS == rows - 1:
            axis.set_xlabel("probability said", fontsize=SMALL_TEXT)
    said = [f"{view.shown[name]} {told(view.line(view.clean, name), 'ece')}" for name in view.shown]
    return finish(
        figure,
        view,
        folder / "reliability.svg",
        "Reliability of the probabilities, without attack",
        "Share of the ill against the probability that was said, in bins of equally many answers; "
        f"expected calibration error: {'; '.join(said)}.",
        "On the dotted line probabilities come true; below it at the right, they are too sure. "
        f"Bars: {view.cfg.audit.confidence:.0%} intervals.",
    )


def decision(view: View, folder: Path) -> Picture:
    """Net benefit of every defense against the probability from which on one acts."""
    table, height = view.tables["decision"], 4.2
    figure, (axis,) = axes_of(1, 1, (WIDTH, height))
    shown = table[table["threshold"] <= _last(view)]
    ends = {}
    for name, style in view.styles.items():
        own = shown[shown["defense"] == name]
        axis.plot(
            own["threshold"],
            own["net_benefit"],
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            markersize=3,
            linewidth=1.1,
            label=name,
        )
        ends[name] = (float(own["threshold"].iloc[-1]), float(own["net_benefit"].iloc[-1]))
    first = shown[shown["defense"] == view.first]
    axis.fill_between(
        first["threshold"],
        first["net_benefit_low"],
        first["net_benefit_high"],
        color=view.styles[view.first].colour,
        alpha=0.1,
        linewidth=0,
    )
    axis.plot(first["threshold"], first["everybody"], color=GUIDE, linewidth=1, label="_everybody")
    axis.axhline(0, color=GUIDE, linewidth=1)
    top = float(shown["net_benefit_high"].max())
    axis.set(ylim=(-0.35 * top, 1.05 * top))
    axis.text(
        float(first["threshold"].iloc[0]),
        0,
        "nobody is called ill",
        fontsize=SMALL_TEXT,
        color=GUIDE,
        va="top",
    )
    below = first[first["everybody"] < 0]
    if len(below):
        axis.text(
            float(below["threshold"].iloc[0]),
            -0.2 * top,
            " everybody is",
            fontsize=SMALL_TEXT,
            color=GUIDE,
        )
    ends = {name: (x, max(y, -0.35 * top)) for name, (x, y) in ends.items()}
    axis.set_xlabel("probability from which on one acts", fontsize=SMALL_TEXT)
    axis.set_ylabel("net benefit, per patient", fontsize=SMALL_TEXT)
    end_labels(axis, view, ends, height - 0.8)
    at = first.iloc[(first["threshold"] - 0.3).abs().argmin()]
    return finish(
        figure,
        view,
        folder / "decision.svg",
        "Net benefit, without attack",
        f"At a probability of {at['threshold']:g} the net benefit of {view.who} is "
        f"{told(at, 'net_benefit')}; that of calling everybody ill {at['everybody']:.3f}, "
        "nobody 0.",
        "Found ill patients per patient, less false alarms at the odds of the probability. Band: "
        f"{view.cfg.audit.confidence:.0%} interval of {view.who}.",
    )


def _last(view: View) -> float:
    """The last threshold at which some defense is surely worth more than calling nobody ill."""
    table = view.tables["decision"]
    useful = table[table["net_benefit_low"] > 0]
    return float((useful if len(useful) else table)["threshold"].max())
