"""What people read: tables as CSV, one page, and a short summary on the terminal.

`python -m pipeline.report` prints the summary of the last evaluation again.
"""

import html
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.audit import save_rows
from pipeline.chapters import Tables, chapters
from pipeline.clinic_report import STYLE, eps_table, html_table, patient_sections, picture
from pipeline.compare import Evaluation, headline_metrics
from pipeline.config import Config
from pipeline.data import Dataset
from pipeline.figures import display_name, draw_all
from pipeline.files import BadInput, write_json, write_text
from pipeline.leakage import Leakage
from pipeline.overview import in_words, overview
from pipeline.patients import Clinic, by_defense, clinic_tables, most_fragile
from pipeline.privacy_report import draw_privacy, privacy_report, privacy_section
from pipeline.verified import verdicts
from pipeline.wording import with_interval

COMPARISON, OVERVIEW, REPORT = "comparison.csv", "overview.csv", "report.html"
NOTHING = 1e-9  # of all patients, up to rounding
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
        beside: tables that others drew up: `certificate`, and those of `pipeline.chapters.OF_STAGES`; as far as there are any.
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
    figures = draw_all(evaluation, cfg.audit.headline, folder / "plots")
    leaking = draw_privacy(privacy, folder / "plots")
    write_json(folder / "metrics.json", headline_metrics(evaluation.comparison, cfg.audit.headline))
    rest = privacy_section(privacy, leaking) + chapters(beside or {}, cfg, folder / "plots")
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
            "proved": _proved(lines),
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


def _proved(lines: pd.DataFrame) -> list[str]:
    """`exact` where everything is decided: robust accuracy is what it says. Otherwise the share proved, and the undecided."""
    figures = zip(lines["verified_accuracy"], lines["undecided"], strict=True)
    return ["exact" if open_ < NOTHING else f"{sure:.3f}, undecided {open_:.3f}" for sure, open_ in figures]


def print_summary(comparison: pd.DataFrame, threats: pd.DataFrame, headline: str, folder: Path) -> None:
    """Prints the summary, a line per threat, how to open MLflow's view, and where the results lie."""
    print(f"\nOut of fold, threat model: {headline}; intervals: bootstrap over patients; exact: proved for every patient\n")
    print(summary(comparison, headline))
    print("\nAll threats; the best defence is the best of several, hence a little flattered\n")
    words = in_words(threats)
    print(words.apply(lambda column: column.str.ljust(int(column.str.len().max()))).to_string(index=False, justify="left"))
    print(f"\n{HOW_TO_COMPARE}")
    print(f"Results:            {folder / REPORT}, {folder / COMPARISON}")


def page(evaluation: Evaluation, clinic: Clinic, cfg: Config, figures: list[Path], threats: pd.DataFrame, rest: str) -> str:
    """One self-contained HTML page; `threats` is the overview, `rest` what is said of all threats but evasion."""
    comparison, headline = evaluation.comparison, cfg.audit.headline
    first = comparison.drop_duplicates("defense")
    names = [
        f"{display_name(d, f)}" + (f", rank {rank}" if pd.notna(rank) else ", not ranked")
        for d, f, rank in zip(first["defense"], first["flags"], first["rank"], strict=True)
    ]
    pictures = "".join(map(picture, figures))
    report = evaluation.classification[evaluation.classification["eps"].isin([0.0, cfg.audit.eps[-1]])].round(3)
    shown = dict(zip(first["defense"], map(display_name, first["defense"], first["flags"]), strict=True))
    report = report.assign(defense=report["defense"].map(shown))
    text = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>medsecure: {html.escape(cfg.data.title)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; font-size: 12.5px; margin: 1rem 0; }}
th, td {{ padding: .25rem .45rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
img {{ max-width: 100%; display: block; margin: 1.2rem 0; }}
.note {{ color: #555; max-width: 60em; }}{STYLE}</style>
<h1>{html.escape(cfg.data.title)}</h1>
<p class="note">Every patient is scored by models that did not train on them ({cfg.plan.folds} folds x {cfg.plan.seeds}
seeds). Robust accuracy counts the patients for whom no record within the radius is known that changes the right answer: neither
an attack nor the verifier found one. "exact": for each of them it is proved that there is none. Intervals:
{cfg.audit.confidence:.0%} bootstrap over patients, seeds averaged first. eps is in reference standard deviations of each
feature. Research software; not for clinical use.</p>
<p><b>Defences</b>: {html.escape("; ".join(names))}. Ranked by the area under robust balanced accuracy; a flagged defence
has no rank.</p>
{_evidence(first)}
<h2>All threats</h2>
<p class="note">The best defence is the best of several on the same patients, hence a little flattered; flagged ones are left
out. Figures of different threats do not compare.</p>
{html_table(threats)}
<h2>Under the {html.escape(headline)} threat</h2>
{_html_table(comparison[comparison["threat"] == headline])}
{pictures}
{patient_sections(*_shown(clinic, shown))}
{rest}
{_other_threats(comparison, headline, shown)}
<h2>What each attack leaves, under the {html.escape(headline)} threat</h2>
<p class="note">Accuracy under each attack alone. Where all is decided none leaves less than "exact"; one that leaves much more
is weak, or misled.</p>
{_attacks(evaluation.attacks, headline, shown).to_html(index=False, border=0)}
<h2>Who attacks</h2>
<p class="note">What each attack sees of the model, how many answers it may ask for per record, and its ids in MITRE ATLAS,
NIST AI 100-2 E2025 and the OWASP Machine Learning Security Top 10.</p>
{html_table(_attackers(evaluation.attacks))}
<h2>Classification report, clean and at eps {cfg.audit.eps[-1]:g}</h2>
{report.to_html(index=False, border=0)}
<h2>What one eps means</h2>
<p class="note">The change that each eps allows; in brackets, what is left of it on the clinic's grid. The usual error
is one standard deviation of a repeated measurement; the eps beside it is what it amounts to.</p>
{html_table(eps_table(cfg.data.features, cfg.audit.eps))}
</html>
"""
    return with_contents(text)


def with_contents(text: str) -> str:
    """The page with a list of its chapters below the title, each a link."""
    titles = re.findall("<h2>(.*?)</h2>", text)
    for number, title in enumerate(titles):
        text = text.replace(f"<h2>{title}</h2>", f'<h2 id="chapter{number}">{title}</h2>', 1)
    links = " · ".join(f'<a href="#chapter{number}">{title}</a>' for number, title in enumerate(titles))
    return text.replace("</h1>\n", f"</h1>\n<p>{links}</p>\n", 1)


def _shown(clinic: Clinic, shown: Mapping[str, str]) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """The tables of the clinic, by the names that people see."""
    patients, alone = ({shown[name]: table for name, table in tables.items()} for tables in (clinic.patients, clinic.alone))
    return patients, alone


def _attacks(attacks: pd.DataFrame, headline: str, shown: Mapping[str, str]) -> pd.DataFrame:
    """Defence x attack: the accuracy left at each radius."""
    lines = attacks[attacks["threat"] == headline]
    wide = lines.pivot(index=["defense", "attack"], columns="eps", values="accuracy")
    table = wide.loc[list(dict.fromkeys(zip(lines["defense"], lines["attack"], strict=True)))]
    table = table.map("{:.3f}".format).rename(columns="eps {:g}".format).reset_index()
    return table.assign(defense=table["defense"].map(shown)).rename(columns={"defense": "defence"}).rename_axis(columns=None)


def _attackers(attacks: pd.DataFrame) -> pd.DataFrame:
    """Each attack once: what it knows, and what the standards call it."""
    columns = ["attack", "norm", "knowledge", "access", "query_budget", "atlas", "nist", "owasp"]
    table = (
        attacks[columns].groupby([column for column in columns if column != "norm"], sort=False)["norm"].unique().reset_index()
    )
    table["norm"] = table["norm"].map(", ".join)
    return table[columns].rename(columns={"query_budget": "questions"})


def _other_threats(comparison: pd.DataFrame, headline: str, shown: Mapping[str, str]) -> str:
    """Robust accuracy under each threat beside the headline."""
    parts = []
    for threat, lines in comparison[comparison["threat"] != headline].groupby("threat", sort=False):
        table = pd.DataFrame(
            {
                "defence": lines["defense"].map(shown),
                f"eps ({lines['eps_unit'].iloc[0]})": lines["eps"].map("{:g}".format),
                "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
                "proved": _proved(lines),
                "sensitivity": with_interval(lines, "sensitivity"),
            }
        )
        parts.append(f"<h2>Under the {html.escape(str(threat))} threat</h2>{table.to_html(index=False, border=0)}")
    return "".join(parts)


def _evidence(first: pd.DataFrame) -> str:
    """Why each flagged defence is flagged."""
    flagged = first[first["flags"] != ""]
    reasons = [
        f"<li><b>{html.escape(display_name(name, flags))}</b>: {html.escape(why)}</li>"
        for name, flags, why in zip(flagged["defense"], flagged["flags"], flagged["evidence"], strict=True)
    ]
    return f'<ul class="note">{"".join(reasons)}</ul>' if reasons else ""


def _html_table(lines: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "defence": [display_name(d, f) for d, f in zip(lines["defense"], lines["flags"], strict=True)],
            "eps": lines["eps"].map("{:g}".format),
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "proved": _proved(lines),
            "sensitivity": with_interval(lines, "sensitivity"),
            "specificity": with_interval(lines, "specificity"),
            "balanced accuracy": lines["balanced_accuracy"].map("{:.3f}".format),
            "AUROC": with_interval(lines, "robust_auroc"),
            "Brier": lines["brier"].map("{:.3f}".format),
        }
    )
    return shown.to_html(index=False, border=0)


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
