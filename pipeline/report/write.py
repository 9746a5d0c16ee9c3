"""What people read, written into one folder: tables, pictures, the page, and a short summary."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import fill

import pandas as pd

from pipeline.files import write_json, write_text
from pipeline.presentation import SCHEMA_VERSION
from pipeline.presentation.chapter import Finding
from pipeline.presentation.flagged import with_flags
from pipeline.presentation.sector_words import retell
from pipeline.report import (
    DEFENSES,
    FACTS,
    HEADLINE,
    METRICS,
    OVERVIEW,
    PLOTS,
    PRIVACY,
    REPORT,
    SCHEMA,
    SHARED,
    SUMMARY,
)
from pipeline.report.audit import audit_of
from pipeline.report.audited import spoken_of, warnings
from pipeline.report.contents import contents_of, labels_of, told_by_all
from pipeline.report.evidence import ALL_RISKS, cross_reference, evidence_chapter, sections_of
from pipeline.report.overview import WIDE, front_in_words, verdicts_in_words
from pipeline.report.page import render, render_cut
from pipeline.report.twins import write_twins
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions, Front
from pipeline.risks.results import DIGITS, Results
from pipeline.risks.risk import Context, Judgement

AGAINST = "Against the undefended models, on the same patients:"
REST = (
    f"Every figure with its interval, every radius, the rule: {REPORT}; as tables: {HEADLINE},\n"
    f"{OVERVIEW}, {DEFENSES}"
)
IN_METRICS = 4  # digits behind the point


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
    context = replace(context, judged=found.judged)
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
    told = told_by_all(results, context, folder / PLOTS)
    claims = cross_reference(
        results, sections_of({name: one.chapters for name, one in told.items()})
    )
    contents = contents_of(told, results, context, found, {ALL_RISKS: [evidence_chapter(claims)]})
    untested = [said for _, said in contents.untested]
    audit = audit_of(results, context, found, claims, contents.findings, untested)
    write_twins(audit, contents.chapters, contents.owners, contents.untested, folder)
    shown = cfg.report.patients == "shown"
    pages = {
        REPORT: render(contents, patients=shown),
        SHARED: render(contents, patients=False),
        FACTS: render_cut(contents, "clinician"),
        PRIVACY: render_cut(contents, "privacy"),
    }
    for name, page in pages.items():
        write_text(folder / name, page)
    write_text(folder / SUMMARY, summary(results, found, context, contents.findings))
    retell(folder, spoken_of(cfg, context.dataset.schema))


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
            rounded = {key: round(value, IN_METRICS) for key, value in figures.items()}
            gathered.setdefault(name, {}).update(rounded)
    return gathered


def summary(
    results: Results,
    found: Conclusions,
    context: Context,
    findings: Sequence[tuple[str, Finding]] = (),
) -> str:
    """What a run ends with on the terminal: the verdict; every figure and the rule are elsewhere.

    Args:
        results: the tables of every risk.
        found: what is concluded from them.
        context: what was configured.
        findings: the worst of each risk, with its name; flags stand beside names already.
    """
    labels = labels_of(found.judged)
    said = [fill(warning, WIDE) for warning in warnings(context.cfg)]
    said += [text for risk in RISKS if (text := risk.summary(results[risk.name], context.cfg))]
    if len(found.overview):
        said.append(f"{AGAINST}\n{verdicts_in_words(found.overview, found.judged)}")
    if found.front:
        said.append(fill(with_flags(front_in_words(found.front), labels), WIDE))
    verdict = [fill(f"{name}: {one.text}", WIDE, subsequent_indent="  ") for name, one in findings]
    said += ["\n".join(["The worst that was found:", *verdict])] if verdict else []
    said += [REST] if said else []
    return "\n\n".join(said) + "\n"
