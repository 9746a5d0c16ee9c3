"""What the paired differences of a figure of evasion conclude, by the rules of all conclusions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pandas as pd

from pipeline.config import BASELINE
from pipeline.risks.conclusions import Question, front_of
from pipeline.risks.evasion.view import View
from pipeline.risks.risk import HeadlineFigure, Judgement
from pipeline.statistics.conclusions import Compared, Difference, compare

WEIGHED = ("clean_missed_diagnosis_rate", "missed_diagnosis_rate")  # by the trade-off
CLEAN = "clean_"  # before the name of a figure: without attack
LOW = -1  # of a figure that is good where it is low: its difference is turned


def pairs_of(view: View, figure: str) -> dict[tuple[str, str], Difference]:
    """The differences of a figure of `evasion_pairs`, HIGHER = BETTER."""
    pairs = view.tables.get("evasion_pairs", pd.DataFrame())
    if not len(pairs):
        return {}
    sign = LOW if figure.endswith("_rate") else 1
    lines = pairs[pairs["figure"] == figure].dropna(subset=["difference", "se"])
    return {
        (str(one["defense"]), str(one["other"])): Difference(sign * one["difference"], one["se"])
        for one in lines.to_dict("records")
    }


def against_none(view: View, figure: str) -> dict[str, Compared]:
    """Each defense against the undefended models, corrected over the defenses (Holm)."""
    known = pairs_of(view, figure)
    own = {a: one for (a, b), one in known.items() if b == BASELINE}
    return compare(own, patients=_patients(view), confidence=view.cfg.audit.confidence)


def figure_of(view: View, figure: str) -> HeadlineFigure:
    """A figure of `evasion_pairs` as all conclusions read it (`sentences.concluded`)."""
    lines = view.clean if figure.startswith(CLEAN) else view.attacked
    column = figure.removeprefix(CLEAN)
    bounds = ("robust_low", "robust_high") if column == "robust_accuracy" else ()
    good: Literal["low", "high"] = "low" if column.endswith("_rate") else "high"
    pairs = view.tables.get("evasion_pairs")
    return HeadlineFigure.of(figure, good, lines, column, *bounds, pairs=pairs, compared=figure)


def front(view: View) -> Mapping[str, tuple[str, ...]]:
    """Who is dominated by whom in sensitivity, clean and under attack; empty: nothing to weigh.

    A flagged defense is not asked.
    """
    figures = (replace(figure_of(view, name), weighed=True) for name in WEIGHED)
    judged = {name: Judgement(dict.fromkeys(said.split(), "")) for name, said in view.flags.items()}
    asked = [Question.of("evasion", figure) for figure in figures]
    found = front_of(asked, judged, view.cfg.audit.confidence)
    return found.dominated if found else {}


def _patients(view: View) -> int:
    pairs = view.tables.get("evasion_pairs", pd.DataFrame({"patients": []}))
    told = pairs["patients"].dropna()
    return int(told.max()) if len(told) else 0
