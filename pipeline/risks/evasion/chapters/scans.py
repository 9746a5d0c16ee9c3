"""A few images that a forger presents, beside what was taken, and what each defense says."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Note, Part, Table
from pipeline.risks.evasion.pictures.scans import forged
from pipeline.risks.evasion.scans import SCANS, SCORES
from pipeline.risks.evasion.view import View

ROWS = 10  # of a table that stands open


def chapter(view: View, folder: Path) -> Chapter | None:
    """What is presented; None where records are no images, or nobody may see them."""
    table = view.tables.get(SCANS, pd.DataFrame())
    if not len(table):
        return None
    shown = _scores(view)
    open_, more = shown.iloc[:ROWS], shown.iloc[ROWS:]
    parts: list[Part] = [
        forged(view, folder),
        Table(open_.reset_index(drop=True), caption="What the models say of these images"),
    ]
    if len(more):
        parts.append(Fold("More of them", [Table(more.reset_index(drop=True))]))
    parts.append(
        Note(
            "Chosen by rule: of the ill whom the first undefended model finds, the median one of "
            "those whose answer falls at a radius and at none before it. Presented: the worst "
            "image for the undefended model; its own worst: for the defense itself. Probabilities "
            "are of disease; whoever reaches the threshold is called ill."
        )
    )
    fallen = sum(
        (own["presented"] < own["cut"]).all()
        for _, own in view.tables[SCORES].groupby("patient", sort=False)
    )
    return Chapter("What a forged image looks like", parts, _sentence(len(table), int(fallen)))


def _sentence(images: int, fallen: int) -> str:
    of_all = {0: "none", images: "all"}.get(fallen, str(fallen))
    return (
        f"Of {images} images that the undefended model calls healthy after a change that is shown "
        f"below, {of_all} {'is' if fallen == 1 else 'are'} called so by every defense as well."
    )


def _scores(view: View) -> pd.DataFrame:
    table = view.tables[SCORES]
    return pd.DataFrame(
        {
            "within": [view.budget(eps) for eps in table["eps"]],
            "defense": table["defense"].map(view.shown),
            "as taken": table["taken"].map("{:.1%}".format),
            "as presented": table["presented"].map("{:.1%}".format),
            "its own worst": table["worst"].map("{:.1%}".format),
            "threshold": table["cut"].map("{:.1%}".format),
            "proved": table["proved"].map({True: "yes", False: "no"}),
        }
    )
