"""The page: chapters as one HTML file that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.config import Config
from pipeline.data.signing import NOT_REVIEWED
from pipeline.presentation.chapter import Chapter, Part
from pipeline.presentation.pictures import display_name
from pipeline.risks.risk import Judgement

TEMPLATE = "page.html.jinja"
# How a table may say that it has no value: a figure that was formatted, too.
MISSING = ("nan", "<NA>", "None", "NaT")


def render(
    chapters: Sequence[Chapter],
    overview: pd.DataFrame,
    judged: Mapping[str, Judgement],
    cfg: Config,
    *,
    notes: Sequence[str] = (),
    patients: bool,
) -> str:
    """The HTML of the page; whatever text it is given is escaped.

    Args:
        chapters: in the order of the page.
        overview: one line per figure, in words.
        judged: each defense, in the order of the page, with what speaks against its figures.
        cfg: whose cohort it is, and how often its records were scored.
        notes: by what rule the overview concludes, and what follows from all of it.
        patients: whether tables of single patients are shown; False = for wherever others may look.

    Raises:
        UndefinedError: a chapter has a part of a kind that the page does not know.
    """
    shell = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=True,
        undefined=StrictUndefined,  # an unknown kind of part is an error, too
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shell.filters |= {"cells": cells, "inline": _inline, "kind": _kind}
    names = [(display_name(name, " ".join(one.flags)), one) for name, one in judged.items()]
    return shell.get_template(TEMPLATE).render(
        title=cfg.data.title,
        warnings=warnings(cfg),
        plan=cfg.plan,
        confidence=cfg.audit.confidence,
        defenses=names,
        overview=overview,
        notes=[text for text in notes if text],
        chapters=chapters,
        patients=patients,
    )


def warnings(cfg: Config) -> list[str]:
    """What stands on top of every page, and in MLflow, of a cohort that nobody has looked at."""
    if not cfg.data.unreviewed:
        return []
    of = f"{len(cfg.data.unreviewed)} of {len(cfg.data.features)} features"
    guess = f"what {of} may be forged into and by how much is a guess of a program."
    return [f"Threat model {NOT_REVIEWED}: {guess}"]


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The rows of a table as text; a missing value is a dash."""
    return [
        ["-" if str(value) in MISSING else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]


def _kind(part: Part) -> str:
    return type(part).__name__


def _inline(path: Path) -> Markup:
    """A picture as part of the page; `pictures.save_picture` has escaped what is written in it."""
    return Markup(path.read_text(encoding="utf-8"))
