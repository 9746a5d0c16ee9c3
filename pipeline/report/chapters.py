"""What other stages measured, as chapters of the page: the price of privacy, poison and its certificate, theft."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.config import Config
from pipeline.risks.frontier.report import draw_frontier, frontier_section
from pipeline.risks.poisoning.certificate_report import certificate_section, draw_certificate
from pipeline.risks.poisoning.filter_report import cleansing_section
from pipeline.risks.poisoning.report import damage_section, draw_damage
from pipeline.risks.theft.report import TheftReport, draw_theft, theft_section

Tables = Mapping[str, pd.DataFrame]
# The tables of each stage.
OF_STAGES = {"frontier": ["frontier"], "poisoning": ["poisoning", "sanitising"], "theft": ["theft", "theft_api"]}


def read_chapters(artifacts: Path) -> dict[str, pd.DataFrame]:
    """The tables that the stages wrote, by name. "none" is a word there, not a gap."""
    files = {name: artifacts / stage / f"{name}.csv" for stage, names in OF_STAGES.items() for name in names}
    return {name: pd.read_csv(file, keep_default_na=False, na_values=[""]) for name, file in files.items()}


def chapters(tables: Tables, cfg: Config, folder: Path) -> str:
    """HTML of every chapter whose tables are there; draws their pictures into `folder`."""
    parts = []
    if len(tables.get("frontier", ())):
        parts.append(frontier_section(tables["frontier"], draw_frontier(tables["frontier"], folder)))
    if len(tables.get("poisoning", ())):
        parts.append(damage_section(tables["poisoning"], draw_damage(tables["poisoning"], folder)))
    if len(tables.get("sanitising", ())):
        parts.append(cleansing_section(tables["sanitising"]))
    if len(tables.get("certificate", ())):
        parts.append(certificate_section(tables["certificate"], draw_certificate(tables["certificate"], folder)))
    if len(tables.get("theft", ())):
        copies = {name: tables[name] for name in OF_STAGES["theft"]}
        report = TheftReport(copies, cfg.theft.headline, cfg.theft.headline_budget)
        parts.append(theft_section(report, draw_theft(report, folder)))
    return "\n".join(parts)
