"""The page: every table and picture of an evaluation in one HTML file that needs nothing beside it."""

import html
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.config import Config
from pipeline.presentation.html import STYLE, html_table, picture
from pipeline.presentation.numbers import proved, with_interval
from pipeline.presentation.pictures import display_name
from pipeline.risks.evasion.clinic import eps_table, patient_sections
from pipeline.risks.evasion.patients import Clinic
from pipeline.risks.evasion.tables import Evaluation


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
                "proved": proved(lines),
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
            "proved": proved(lines),
            "sensitivity": with_interval(lines, "sensitivity"),
            "specificity": with_interval(lines, "specificity"),
            "balanced accuracy": lines["balanced_accuracy"].map("{:.3f}".format),
            "AUROC": with_interval(lines, "robust_auroc"),
            "Brier": lines["brier"].map("{:.3f}".format),
        }
    )
    return shown.to_html(index=False, border=0)
