"""What people read: tables as CSV, one page, and a short summary on the terminal.

`python -m pipeline.report` prints the summary of the last evaluation again.
"""

import operator
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import Config
from pipeline.data.schema import Dataset
from pipeline.files import BadInput, write_json, write_text
from pipeline.parallel import share_out
from pipeline.presentation.html import by_defense
from pipeline.presentation.numbers import proved, with_interval
from pipeline.presentation.pictures import display_name
from pipeline.report.chapters import Tables, chapters
from pipeline.report.overview import in_words, overview
from pipeline.report.page import page
from pipeline.risks.evasion.measure.examination import save_rows
from pipeline.risks.evasion.patients import clinic_tables, most_fragile
from pipeline.risks.evasion.report import draw_all
from pipeline.risks.evasion.tables import Evaluation, headline_metrics
from pipeline.risks.membership.measure.shadows import Leakage
from pipeline.risks.membership.report import draw_privacy, privacy_report, privacy_section
from pipeline.verify.out_of_fold import verdicts

COMPARISON, OVERVIEW, REPORT = "comparison.csv", "overview.csv", "report.html"
HOW_TO_COMPARE = "Compare in MLflow:  make ui   (then open http://127.0.0.1:5000)"


def write_evaluation(
    evaluation: Evaluation,
    leaks: Mapping[str, Leakage],
    dataset: Dataset,
    cfg: Config,
    folder: Path,
    beside: Tables | None = None,
) -> None:
    """Writes every table, figure and the page of an evaluation.

    Args:
        evaluation: of the audits.
        leaks: of each defence.
        dataset: the records that were audited.
        cfg: the configuration.
        folder: where to.
        beside: tables that others drew up: `certificate`, and those of `chapters.OF_STAGES`; as far as there are any.
    """
    headline = evaluation.comparison[evaluation.comparison["threat"] == cfg.audit.headline]
    clinic = clinic_tables(evaluation.audits, dataset, cfg)
    privacy = privacy_report(leaks, dataset, cfg)
    tables = {
        **privacy.tables,
        **(beside or {}),
        "comparison": evaluation.comparison,
        "attacks": evaluation.attacks,
        "fragile": by_defense({name: most_fragile(table) for name, table in clinic.patients.items()}),
        "alone": by_defense(clinic.alone),
        "classification": evaluation.classification,
        "confusion": evaluation.confusion,
        # One column per defence, as `dvc plots` overlays them.
        "plots/robustness": headline.pivot(index="eps", columns="defense", values="robust_accuracy").reset_index(),
        "plots/roc": evaluation.roc.pivot(index="fpr", columns="defense", values="tpr").reset_index(),
    }
    tables["overview"] = overview(tables, cfg.audit.headline)
    for place in ("plots", "rows", "verdicts"):
        (folder / place).mkdir()
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    for name, findings in evaluation.audits.items():
        save_rows(findings.rows, folder / "rows" / f"{name}.parquet")
        save_rows(verdicts(findings.verified), folder / "verdicts" / f"{name}.parquet")
    save_rows(by_defense(clinic.patients), folder / "patients.parquet")
    save_rows(privacy.exposure, folder / "exposure.parquet")
    write_json(folder / "metrics.json", headline_metrics(evaluation.comparison, cfg.audit.headline))
    drawn, plots = replace(evaluation, audits={}), folder / "plots"  # between processes the tables suffice
    pictures = (chapters, beside or {}, cfg, plots), (draw_all, drawn, cfg.audit.headline, plots), (draw_privacy, privacy, plots)
    others, figures, leaking = share_out(operator.call, pictures)
    rest = privacy_section(privacy, leaking) + others
    write_text(folder / REPORT, page(evaluation, clinic, cfg, figures, in_words(tables["overview"]), rest))


def read_comparison(folder: Path) -> pd.DataFrame:
    """Reads the comparison that `write_evaluation` wrote.

    Raises:
        BadInput: it is not there.
    """
    table = _read(folder / COMPARISON, dtype={"flags": "string", "evidence": "string", "rank": "Int64"})
    return table.fillna({"flags": "", "evidence": ""})


def _read(path: Path, **options: Any) -> pd.DataFrame:
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; run `dvc repro` to make it") from None
    return table


def summary(comparison: pd.DataFrame, headline: str) -> str:
    """The table that a run ends with: defence x eps under the headline threat."""
    lines = comparison[comparison["threat"] == headline]
    shown = pd.DataFrame(
        {
            "defense": [display_name(d, f) for d, f in zip(lines["defense"], lines["flags"], strict=True)],
            "eps": [f"{eps:g}" for eps in lines["eps"]],
            "clean accuracy": with_interval(lines, "clean_accuracy", "clean_low", "clean_high"),
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "proved": proved(lines),
            "sensitivity": with_interval(lines, "sensitivity"),
            "missed diagnoses": with_interval(lines, "missed_diagnosis_rate"),
            "vs baseline": [
                "" if pd.isna(d) else f"{d:+.3f} ({low:+.3f} to {high:+.3f})"
                for d, low, high in zip(
                    *(lines.get(f"difference{s}", pd.Series(index=lines.index, dtype=float)) for s in ("", "_low", "_high")),
                    strict=True,
                )
            ],
        }
    )
    shown.loc[shown["defense"].duplicated(), "defense"] = ""
    width = max(map(len, shown["defense"]))
    shown["defense"] = shown["defense"].str.ljust(width)
    return shown.to_string(index=False, justify="left")


def print_summary(comparison: pd.DataFrame, threats: pd.DataFrame, headline: str, folder: Path) -> None:
    """Prints the summary, a line per threat, how to open MLflow's view, and where the results lie."""
    print(f"\nOut of fold, threat model: {headline}; intervals: bootstrap over patients; exact: proved for every patient\n")
    print(summary(comparison, headline))
    print("\nAll threats; the best defence is the best of several, hence a little flattered\n")
    words = in_words(threats)
    print(words.apply(lambda column: column.str.ljust(int(column.str.len().max()))).to_string(index=False, justify="left"))
    print(f"\n{HOW_TO_COMPARE}")
    print(f"Results:            {folder / REPORT}, {folder / COMPARISON}")


def main() -> None:
    """Prints the summary of `artifacts/evaluate`."""
    from pipeline.params import load

    folder = Path("artifacts/evaluate")
    try:
        cfg = load()
        print_summary(read_comparison(folder), _read(folder / OVERVIEW), cfg.audit.headline, folder)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
