"""What people read, written into one folder: tables, pictures, the page, and a short summary."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.files import write_json, write_text
from pipeline.presentation.frames import left_justified
from pipeline.report.overview import headline_table, in_words, overview
from pipeline.report.page import page
from pipeline.risks import RISKS
from pipeline.risks.results import Results, as_written, chapters_of, judgements
from pipeline.risks.risk import Context, Judgement

HEADLINE, DEFENSES, OVERVIEW = "headline.csv", "defenses.csv", "overview.csv"
REPORT, SHARED = "report.html", "report_shared.html"  # the second without single patients
METRICS, SUMMARY = "metrics.json", "summary.txt"
PLOTS = "plots"
HOW_TO_COMPARE = "Compare in MLflow:  make ui   (then open http://127.0.0.1:5000)"


def write_evaluation(results: Results, context: Context, folder: Path) -> None:
    """Writes every table, picture and page of an evaluation.

    Args:
        results: the tables of every risk.
        context: whose they are.
        folder: where to, empty.
    """
    cfg, judged = context.cfg, judgements(results)
    headlines = headline_table(results, cfg)
    lines = overview(headlines, judged)
    (folder / PLOTS).mkdir()
    for risk in RISKS:
        for name, table in results[risk.name].items():
            path = (
                folder / f"{name}.parquet" if risk.is_per_patient(name) else folder / f"{name}.csv"
            )
            write_table(table, path)
    write_table(as_written(headlines), folder / HEADLINE)
    write_table(as_written(lines), folder / OVERVIEW)
    write_table(defenses_table(judged), folder / DEFENSES)
    write_json(folder / METRICS, headline_metrics(results, context))
    chapters = [
        one for risk in RISKS for one in chapters_of(risk, results, context, folder / PLOTS)
    ]
    for name, patients in ((REPORT, True), (SHARED, False)):
        write_text(folder / name, page(chapters, in_words(lines), judged, cfg, patients=patients))
    write_text(folder / SUMMARY, summary(results, lines, context))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as CSV or parquet, whichever the path ends with, into its folder, which is made if need be."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False, compression="zstd")
    else:
        table.to_csv(path, index=False, float_format="%.6g")


def defenses_table(judged: Mapping[str, Judgement]) -> pd.DataFrame:
    """One row per defence: `rank` (empty where it has none), `flags` joined by a blank, `evidence` joined by "; "."""
    return pd.DataFrame(
        {
            "defense": list(judged),
            "rank": pd.array([one.rank for one in judged.values()], dtype="Int64"),
            "flags": [" ".join(one.flags) for one in judged.values()],
            "evidence": ["; ".join(one.flags.values()) for one in judged.values()],
        }
    )


def headline_metrics(results: Results, context: Context) -> dict[str, dict[str, float]]:
    """By defence, the few figures of all risks that `dvc metrics` shows."""
    gathered: dict[str, dict[str, float]] = {}
    for risk in RISKS:
        for name, figures in risk.metrics(results[risk.name], context.cfg).items():
            gathered.setdefault(name, {}).update(figures)
    return gathered


def summary(results: Results, lines: pd.DataFrame, context: Context) -> str:
    """What a run ends with on the terminal: what risks have to say, and a line per figure."""
    said = [text for risk in RISKS if (text := risk.summary(results[risk.name], context.cfg))]
    title = "All risks; the best defense is the best of several, hence a little flattered"
    return "\n\n".join(["", *said, title, left_justified(in_words(lines))]).lstrip("\n") + "\n"
