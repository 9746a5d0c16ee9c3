"""Whether probabilities are what they say, and what decisions by them are worth."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Note, Part, Table
from pipeline.presentation.numbers import as_told, with_interval
from pipeline.risks.evasion.chapters.shared import sample_parts
from pipeline.risks.evasion.pictures.probabilities import decision, reliability
from pipeline.risks.evasion.view import View

FIGURES = {
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
}


def chapter(view: View, folder: Path) -> Chapter | None:
    """Calibration without attack, and net benefit; None where it was not drawn up."""
    if not len(view.tables.get("reliability", ())):
        return None
    table = pd.DataFrame(
        {
            "defense": list(view.shown.values()),
            **{title: with_interval(view.clean, name) for name, title in FIGURES.items()},
        }
    )
    bins = view.tables["reliability"]
    shown = pd.DataFrame(
        {
            "defense": bins["defense"].map(view.shown),
            "bin": bins["bin"],
            "patients": as_told(bins["patients"].round(1)),
            "probability said": bins["predicted"].map("{:.3f}".format),
            "share of the ill": with_interval(bins, "observed"),
        }
    )
    worth = view.tables["decision"]
    curve = pd.DataFrame(
        {
            "defense": worth["defense"].map(view.shown),
            "probability": worth["threshold"].map("{:g}".format),
            "net benefit": with_interval(worth, "net_benefit"),
            "everybody called ill": worth["everybody"].map("{:.3f}".format),
        }
    )
    parts: list[Part] = [
        *sample_parts(view),
        reliability(view, folder),
        Table(table, "numbers", f"Calibration without attack, {view.among()}"),
        Note(
            "Brier: 0 is perfect, 0.25 a coin. A slope below 1: too sure; the interval decides. "
            "Unchanged records; under attack no probability is meant to be right."
        ),
        Fold(
            "Net benefit (decision curves)",
            [decision(view, folder), Table(curve, "numbers", "Net benefit by probability")],
        ),
        Fold("Every bin", [Table(shown, "numbers", "Reliability, by bin")]),
    ]
    return Chapter("Whether the probabilities come true", parts, _result(view))


def _result(view: View) -> str:
    """Who is too sure, or not sure enough: by the interval of the calibration slope alone."""
    said: dict[str, list[str]] = {}
    for name, line in view.clean.set_index("defense").iterrows():
        low, high = line["calibration_slope_low"], line["calibration_slope_high"]
        if low != low or high != high:
            what = "no slope can be told"
        elif high < 1:
            what = "too sure"
        elif low > 1:
            what = "not sure enough"
        else:
            what = "not told apart from calibrated"
        figure = (
            "" if low != low else f" ({line['calibration_slope']:.2f}; {low:.2f} to {high:.2f})"
        )
        said.setdefault(what, []).append(f"{view.shown[str(name)]}{figure}")
    words = [f"{what}: {', '.join(names)}" for what, names in said.items()]
    return f"By the calibration slope, without attack: {'; '.join(words)}."
