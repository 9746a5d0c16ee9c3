"""What people read, written into one folder: tables, pictures, the page, and a short summary."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

import pandas as pd

from pipeline.files import write_json, write_text
from pipeline.parallel import share_out
from pipeline.presentation import SCHEMA_VERSION
from pipeline.presentation.numbers import SMALL
from pipeline.report import (
    DEFENSES,
    HEADLINE,
    METRICS,
    OVERVIEW,
    PLOTS,
    REPORT,
    SCHEMA,
    SHARED,
    SUMMARY,
)
from pipeline.report.overview import RULE, WIDE, as_text, front_in_words, in_words, whose_records
from pipeline.report.page import render, warnings
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions, Front
from pipeline.risks.results import DIGITS, Results, chapters_of
from pipeline.risks.risk import Context, Judgement

FEW = (
    f"Patients are hidden: a count of fewer than {SMALL} of them is not told, nor one that would "
    "tell it by subtraction within its table. Shares are, and of a known number they tell a count."
)


def write_evaluation(results: Results, context: Context, folder: Path) -> None:
    """Writes every table, picture and page of an evaluation.

    Args:
        results: the tables of every risk.
        context: whose they are.
        folder: where to, empty.

    Raises:
        ValueError: a risk calls a table as a table of all risks is called.
    """
    cfg = context.cfg
    found = Conclusions.of(results, cfg)
    words = in_words(found.headlines, found.overview, found.judged)
    common = {
        HEADLINE: found.headlines,
        OVERVIEW: found.overview,
        DEFENSES: defenses_table(found.judged, found.front),
    }
    of_risks = table_files(results)
    if taken := common.keys() & of_risks.keys():
        raise ValueError(f"{', '.join(sorted(taken))}: the name of a table of all risks")
    (folder / PLOTS).mkdir()
    for name, table in {**of_risks, **common}.items():
        write_table(table, folder / name)
    write_json(folder / METRICS, headline_metrics(results, context))
    write_json(folder / SCHEMA, {"schema_version": SCHEMA_VERSION})
    written = share_out(
        chapters_of, [(risk, results[risk.name], context, folder / PLOTS) for risk in RISKS]
    )
    chapters = [one for of_risk in written for one in of_risk]  # drawing takes most of the time
    records = len(context.dataset.y)
    said = whose_records(records, context.sampling.patients(records))
    notes = [RULE, front_in_words(found.front), *([said] if said else [])]
    notes += [FEW] if cfg.report.patients == "hidden" else []
    for name, patients in ((REPORT, cfg.report.patients == "shown"), (SHARED, False)):
        page = render(chapters, words, found.judged, cfg, notes=notes, patients=patients)
        write_text(folder / name, page)
    write_text(folder / SUMMARY, summary(results, words, found.front, context))


def table_files(results: Results) -> dict[str, pd.DataFrame]:
    """The tables of every risk by file name; those with a row per patient are parquet."""
    return {
        f"{name}{'.parquet' if risk.is_per_patient(name) else '.csv'}": table
        for risk in RISKS
        for name, table in results[risk.name].items()
    }


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as CSV or parquet, as the path ends; its folder is made if need be."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False, compression="zstd")
    else:
        table.to_csv(path, index=False, float_format=f"%.{DIGITS}g")


def defenses_table(judged: Mapping[str, Judgement], front: Front | None) -> pd.DataFrame:
    """One row per defense, with what speaks against its figures, and against choosing it.

    Returns:
        `defense`; `flags`, joined by a blank; `evidence`, joined by "; "; `pareto_front`: yes or
        no, empty where it was not asked; `dominated_by`, joined by a blank.
    """
    by = front.dominated if front else {}
    return pd.DataFrame(
        {
            "defense": list(judged),
            "flags": [" ".join(one.flags) for one in judged.values()],
            "evidence": ["; ".join(one.flags.values()) for one in judged.values()],
            "pareto_front": [
                "" if name not in by else "no" if by[name] else "yes" for name in judged
            ],
            "dominated_by": [" ".join(by.get(name, ())) for name in judged],
        }
    )


def headline_metrics(results: Results, context: Context) -> dict[str, dict[str, float]]:
    """By defense, the few figures of all risks that `dvc metrics` shows."""
    gathered: dict[str, dict[str, float]] = {}
    for risk in RISKS:
        for name, figures in risk.metrics(results[risk.name], context.cfg).items():
            gathered.setdefault(name, {}).update(figures)
    return gathered


def summary(results: Results, words: pd.DataFrame, front: Front | None, context: Context) -> str:
    """What a run ends with on the terminal: what risks have to say, and a block per figure."""
    said = [text for risk in RISKS if (text := risk.summary(results[risk.name], context.cfg))]
    said = [fill(warning, WIDE) for warning in warnings(context.cfg)] + said
    if len(words):
        said += [fill(f"All risks. {RULE}", WIDE), as_text(words)]
        said += [fill(front_in_words(front), WIDE)] if front else []
    found = {risk.name: risk.finding(results[risk.name], context) for risk in RISKS}
    verdict = [
        fill(f"{name}: {one.text}", WIDE, subsequent_indent="  ")
        for name, one in found.items()
        if one
    ]
    said += ["\n".join(["The worst that was found:", *verdict])] if verdict else []
    return "\n\n".join(said) + "\n"
