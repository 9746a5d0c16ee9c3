"""The page of a sweep, its tables and its picture: one folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.config import Config
from pipeline.files import write_json, write_text
from pipeline.presentation import SCHEMA_VERSION
from pipeline.presentation.chapter import Chapter, Heading, Items, Note, Part, Table
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import display_name
from pipeline.presentation.sector_words import retell
from pipeline.report import HEADLINE, PLOTS, REPORT, SCHEMA, SUMMARY
from pipeline.report.audited import reviewed, warnings
from pipeline.report.contents import NEVER_TESTED, Contents
from pipeline.report.matrix import matrix_of
from pipeline.report.overview import front_in_words
from pipeline.report.page import render
from pipeline.report.write import write_table
from pipeline.sweep import fronts
from pipeline.sweep.compared import Compared
from pipeline.sweep.curves import curves_table, draw
from pipeline.sweep.jobs import Job
from pipeline.sweep.once import Run
from pipeline.sweep.shown import Key

JOBS, CURVES, FRONTS = "jobs.csv", "curves.csv", "fronts.csv"
NOTHING = "told apart from {} in nothing"
RULE = (
    "Every job is compared with the same job without a defense, on the same patients; jobs without "
    "a defense that differ in model or training alone with the first of them. Better, "
    "worse or not told apart: from that difference, after Holm over all jobs of a figure. Best: "
    "told apart from every other job, the one without a defense among them; never a flagged job. "
    "Differences and intervals of right answers, missed diagnoses and false alarms are those of "
    "the recipes on a new cohort of this size; all others are those of these models on new "
    "patients. Among many settings the best looking one is flattered by the choice: measure what "
    "was chosen here once more, on patients who had no part in it."
)


def write_sweep(
    runs: Sequence[tuple[Job, Run]],
    compared: Compared,
    figures: Sequence[Key],
    cfg: Config,
    folder: Path,
    *,
    failed: Mapping[str, str],
    summary: str,
) -> None:
    """Writes the page, the tables and the summary of a sweep.

    Args:
        runs: the jobs that were run to their end.
        compared: what they say.
        figures: those that curves are drawn of.
        cfg: of any of the jobs: whose cohort it is.
        folder: where to, empty.
        failed: the jobs that are missing, and why.
        summary: what the terminal shows.
    """
    jobs = [job for job, _ in runs]
    along = curves_table(jobs, compared)
    (folder / PLOTS).mkdir()
    write_table(compared.headlines, folder / HEADLINE)
    write_table(jobs_table(runs, compared), folder / JOBS)
    write_table(along, folder / CURVES)
    if len(compared.trades):
        write_table(compared.trades, folder / FRONTS)
    write_json(folder / SCHEMA, {"schema_version": SCHEMA_VERSION})
    chapters = [
        Chapter("What varies", _curves(along, figures, compared, folder / PLOTS)),
        *fronts.chapters(compared.trades, compared.judged, folder / PLOTS),
        Chapter("What was concluded", _concluded(jobs, compared, failed)),
        Chapter("The jobs", _listed(runs, compared)),
    ]
    contents = Contents(
        title=f"Sweep: {cfg.data.title}",
        facts=[
            ("Jobs", f"{len(runs)}, each with a page of its own"),
            ("Threat model", reviewed(cfg)),
        ],
        provenance=[],
        warnings=warnings(cfg),
        judged=compared.judged,
        findings=[],
        cover=None,
        matrix=matrix_of(compared.asked, compared.headlines, compared.judged),
        conclusions=list(compared.lines[["figure", "conclusion"]].itertuples(index=False)),
        untested=[("", NEVER_TESTED)],
        notes=[text for text in (RULE, front_in_words(compared.front)) if text],
        chapters=chapters,
        places={},
        owners={},
    )
    write_text(folder / REPORT, render(contents, patients=False))
    write_text(folder / SUMMARY, f"{summary}\n")
    retell(folder, cfg.data.spoken)


def jobs_table(runs: Sequence[tuple[Job, Run]], compared: Compared) -> pd.DataFrame:
    """One row per job.

    Returns:
        `job`, its name; `defense`; a column per key that varies; `control`, with whom it is
        compared (empty: with nobody); `flags`, joined by a blank; `better`, `worse`, `best`,
        `pareto_front` as `Compared.of_job` says them; `run`, its folder below `sweeps/`.
    """
    keys = list(dict.fromkeys(key for job, _ in runs for key in job.varies))
    rows = []
    for job, run in runs:
        said = compared.of_job(job.name)
        rows.append(
            {
                "job": job.name,
                "defense": job.defense,
                **{key: job.varies.get(key, "") for key in keys},
                "control": compared.references.get(job.name, ""),
                "flags": " ".join(compared.judged[job.name].flags),
                **{key: said.get(key, "") for key in ("better", "worse", "best", "pareto_front")},
                "run": run.place.name,
            }
        )
    return pd.DataFrame(rows)


def _curves(
    along: pd.DataFrame, figures: Sequence[Key], compared: Compared, plots: Path
) -> list[Part]:
    parts: list[Part] = []
    for key in along["key"].unique():
        own = along[along["key"] == key]
        jobs = list(dict.fromkeys([*own["control"], *own["job"]]))
        parts += [
            Heading(str(key)),
            draw(along, key, figures, compared, plots),
            Table(_as_rows(jobs, figures, compared), "numbers"),
        ]
    said = "Nothing that varies is a number with two values or more."
    return parts or [Note(said)]


def _as_rows(jobs: Sequence[str], figures: Sequence[Key], compared: Compared) -> pd.DataFrame:
    """A row per job, a column per figure, in words."""
    all_of = compared.headlines
    known = [one in figures for one in zip(all_of["risk"], all_of["figure"], strict=True)]
    said = all_of[known].assign(cell=with_interval(all_of[known], "value", "low", "high"))
    table = said.pivot(index="defense", columns="figure", values="cell")
    rows = [job for job in jobs if job in table.index]
    table = table.reindex(index=rows, columns=list(said["figure"].unique()))
    names = [display_name(job, " ".join(compared.judged[job].flags)) for job in rows]
    return table.rename_axis(columns=None).assign(job=names)[["job", *table]]


def _concluded(jobs: Sequence[Job], compared: Compared, failed: Mapping[str, str]) -> list[Part]:
    entries = []
    for job in jobs:
        if job.name not in compared.references:
            continue
        flags = compared.judged[job.name].flags
        words = compared.of_job(job.name)
        nothing = NOTHING.format(compared.references[job.name])
        said = [] if {"better", "worse"} & words.keys() else [nothing]
        said += [f"{what.replace('_', ' ')}: {text}" for what, text in words.items()]
        entries.append((display_name(job.name, " ".join(flags)), "; ".join(said)))
    parts: list[Part] = [Items(entries)] if entries else [Note("No job is compared with another.")]
    if failed:
        parts += [Heading("Failed or elsewhere, hence missing"), Items(list(failed.items()))]
    return parts


def _listed(runs: Sequence[tuple[Job, Run]], compared: Compared) -> list[Part]:
    table = jobs_table(runs, compared)
    shown = table.drop(columns=["better", "worse", "best", "pareto_front"])
    return [
        Note("Each has a page of its own: report.html in its folder evaluation/ below sweeps/."),
        Table(shown),
    ]
