"""The page: chapters as one HTML file that needs nothing beside it."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.config import Config
from pipeline.presentation.chapter import Chapter, Part
from pipeline.presentation.pictures import display_name
from pipeline.risks.risk import Judgement

TEMPLATE = "page.html.jinja"


def page(
    chapters: Sequence[Chapter],
    overview: pd.DataFrame,
    judged: Mapping[str, Judgement],
    cfg: Config,
    *,
    patients: bool,
) -> str:
    """The HTML of the page; whatever text it is given is escaped.

    Args:
        chapters: in the order of the page.
        overview: one line per figure, in words.
        judged: each defence, in the order of the page, with what speaks against its figures.
        cfg: whose cohort it is, and how often its records were scored.
        patients: whether tables of single patients are shown; False = for wherever others may look.
    """
    shell = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shell.tests["of_kind"] = _is_of_kind
    shell.filters |= {"cells": cells, "embedded": _embedded}
    names = [(display_name(name, " ".join(one.flags)), one) for name, one in judged.items()]
    return shell.get_template(TEMPLATE).render(
        title=cfg.data.title,
        plan=cfg.plan,
        confidence=cfg.audit.confidence,
        defenses=names,
        overview=overview,
        chapters=chapters,
        patients=patients,
    )


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The rows of a table as text; a missing value is a dash."""
    return [
        ["-" if pd.isna(value) else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]


def _is_of_kind(part: Part, kind: str) -> bool:
    return type(part).__name__ == kind


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
