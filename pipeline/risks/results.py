"""Results of all risks: every table drawn up once, in the digits that everybody shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from pipeline.config import Config
from pipeline.parallel import share_out
from pipeline.presentation.chapter import Chapter, Finding, Fold, NotApplicable, Part, Picture
from pipeline.presentation.numbers import without_few
from pipeline.risks import RISKS
from pipeline.risks.risk import Context, Judgement, Risk, Sources, Tables

GAPS = "not_applicable"  # the end of the name of a table: what could not be asked of whom, and why
OPEN_GAPS = 3  # of what could not be asked, so much stands open
DIGITS = 6  # significant ones of a figure
Results = Mapping[str, Tables]  # by risk


def draw_up_all(sources: Sources, context: Context) -> dict[str, Tables]:
    """The tables of every risk; those without a row are left out.

    Tables with a row per patient keep all digits. Where patients are hidden, the tables that others
    may see hold no count of a few of them.

    Raises:
        ValueError: two risks call a table the same; its file could hold one of them only.
    """
    cfg = context.cfg
    results: dict[str, Tables] = {}
    owners: dict[str, str] = {}
    # each risk beside the others, the last first: they have the most rows
    jobs = [(risk, sources, context) for risk in reversed(RISKS)]
    found_by = reversed(share_out(Risk.tables, jobs))
    for risk, found in zip(RISKS, found_by, strict=True):
        tables = {**found, f"{risk.name}_{GAPS}": gaps_of(risk, sources)}
        drawn = {name: table for name, table in tables.items() if len(table)}
        for name in drawn:
            if owners.setdefault(name, risk.name) != risk.name:
                raise ValueError(f"{owners[name]} and {risk.name} both have a table {name!r}")
        results[risk.name] = {
            name: table if risk.is_per_patient(name) else as_written(_told(risk, name, table, cfg))
            for name, table in drawn.items()
        }
    return results


def _told(risk: Risk, name: str, table: pd.DataFrame, cfg: Config) -> pd.DataFrame:
    """The table as others may see it, if they may."""
    if cfg.report.patients == "shown" or name in risk.private:
        return table
    return without_few(table, risk.parts.get(name, ()))


def gaps_of(risk: Risk, sources: Sources) -> pd.DataFrame:
    """What could not be asked of whom, and why: `defense, what` (empty = anything)`, why`."""
    return pd.DataFrame(sources.not_applicable(risk.name), columns=["defense", "what", "why"])


def as_written(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every float as a CSV file holds it, so that nobody shows other digits."""
    floats = [str(name) for name in table if pd.api.types.is_float_dtype(table[name])]
    return table.assign(
        **{
            name: [float(f"{value:.{DIGITS}g}") for value in table[name].tolist()]
            for name in floats
        }
    )


def judgements(results: Results) -> dict[str, Judgement]:
    """What all risks together say against each defense."""
    judged: dict[str, Judgement] = {}
    for risk in RISKS:
        for name, one in risk.judge(results[risk.name]).items():
            known = judged.get(name, Judgement())
            judged[name] = Judgement({**known.flags, **one.flags})
    return judged


@dataclass(frozen=True)
class Told:
    """All that a risk has to say on paper.

    Attributes:
        chapters: `chapters_of`.
        finding: the worst that it found; None: nothing was measured.
        untested: what a reader could take for tested, and was not; a sentence each.
        cover: its picture for the first screen; None: it has none.
    """

    chapters: Sequence[Chapter]
    finding: Finding | None
    untested: Sequence[str]
    cover: Picture | None

    @classmethod
    def by(cls, risk: Risk, tables: Tables, context: Context, folder: Path) -> "Told":
        """From its tables; its pictures are drawn into `folder`."""
        return cls(
            chapters_of(risk, tables, context, folder),
            risk.finding(tables, context),
            risk.untested(tables, context),
            risk.cover(tables, context, folder),
        )


def chapters_of(risk: Risk, tables: Tables, context: Context, folder: Path) -> list[Chapter]:
    """The chapters of a risk, and at the end of the last what could not be asked, and why."""
    written = list(risk.chapters(tables, context, folder))
    gaps = tables.get(f"{risk.name}_{GAPS}", pd.DataFrame())
    if not len(gaps):
        return written
    lines = gaps[["defense", "what", "why"]].itertuples(index=False)
    said: list[Part] = [
        NotApplicable(f"{defense}, {what}" if what else defense, why)
        for defense, what, why in lines
    ]
    folded = said if len(said) <= OPEN_GAPS else [Fold("What could not be asked, and why", said)]
    last = written.pop() if written else Chapter(risk.name.capitalize(), [])
    return [*written, replace(last, parts=[*last.parts, *folded])]


def measured(risk: Risk, tables: Tables) -> bool:
    """Whether there is more than what could not be asked."""
    return any(name != f"{risk.name}_{GAPS}" for name in tables)
