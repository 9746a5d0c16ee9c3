"""Randomised smoothing: how far the vote of noisy copies holds, with which probability.

One sentence, one table; what is whose stands below it.
"""

import pandas as pd

from pipeline.presentation.chapter import Chapter, Note, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.chapters.shared import sample_parts
from pipeline.risks.evasion.pictures.canvas import told
from pipeline.risks.evasion.view import View

WHOSE = (
    "Euclidean distances, in grey levels over all pixels together. They hold of the majority of "
    "all noisy copies there could be (Cohen et al. 2019, arXiv:1902.02918). The deployed model, "
    "which every other table is about, asks a few fixed copies: none of its figures is one of that "
    "majority, nor the other way round. Of the network on images without noise nothing is said."
)
HOLDS = (
    "Copies select a class, others estimate its share (Clopper and Pearson), and where no majority "
    "is shown there is no answer, which counts as wrong. Each distance fails with a probability of "
    "at most {alpha:g}; the last column asks for all of one model at once (Bonferroni). {draws} "
    "copies can show at most {reach:.0f} grey levels. Noise is drawn in float32, as if exact."
)
BALL = (
    "A change of every pixel by so many grey levels lies within the distance beside it; so the "
    "table bounds that threat, too, but with a ball that is far larger than the cube."
)


def chapter(view: View) -> Chapter | None:
    """Of the defenses that are smoothed; None where none is."""
    table = view.tables.get("smoothing", pd.DataFrame())
    if not len(table):
        return None
    first = table.iloc[0]
    parts = [
        *sample_parts(view),
        Table(_shown(view, table), "numbers", "The vote of noisy copies"),
        *[Note(text, small=False) for text in _flagged(view, table)],
        Note(WHOSE),
        Note(HOLDS.format(**first[["alpha", "draws", "reach"]])),
        Note(BALL),
    ]
    return Chapter("Votes under noise", parts, _result(view, table))


def _shown(view: View, table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": table["defense"].map(view.shown),
            "distance": table["radius"].map("{:.1f}".format),
            "of the range": table["of_range"].map("{:.3f}".format),
            "every pixel by": table["every_pixel"].map("{:.2f}".format),
            "certified accuracy": with_interval(table, "certified_accuracy"),
            "missed at most": with_interval(table, "missed_diagnosis_rate"),
            "no answer": with_interval(table, "abstained"),
            "all at once": table["together"].map("{:.3f}".format),
        }
    )


def _flagged(view: View, table: pd.DataFrame) -> list[str]:
    return [
        f"Degenerate: the vote of {view.shown[str(name)]} says nearly the same of everybody, ill "
        "or not. That is far from every image, and no robustness."
        for name, own in table.groupby("defense", sort=False)
        if own["degenerate"].any()
    ]


def _result(view: View, table: pd.DataFrame) -> str:
    said = []
    for name, own in table.groupby("defense", sort=False):
        inside = own[(own["radius"] > 0) & (own["radius"] < own["reach"])]
        at = (inside if len(inside) else own).iloc[-1]
        said.append(
            f"the vote of {view.shown[str(name)]} is right of {told(own.iloc[0], SHARE)}, and of "
            f"{told(at, SHARE)} no change within {at['radius']:.0f} grey levels in all turns it "
            f"(with a probability of {1 - at['alpha']:g} each)"
        )
    return f"Under noise, {'; '.join(said)}."


SHARE = "certified_accuracy"
