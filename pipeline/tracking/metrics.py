"""Which figures of the tables become metrics, by which name and at which step: what MLflow shows, without MLflow.

A curve is a metric with steps: a radius in thousandths, a share of poisoned records in thousandths, a number of questions or of
records, an epsilon in thousandths. So curves of several defences can be overlaid.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.config import Config

MEMBERSHIP = ("auroc", "auroc_low", "auroc_high", "advantage", "tpr_at_1pct", "tpr_at_01pct")
PRIVACY = ("train_accuracy", "test_accuracy", "gap", "epsilon_claimed", "epsilon_lower_bound", "epsilon_ceiling")
RADII = (
    "robust_accuracy", "verified_accuracy", "undecided", "balanced_accuracy", "missed_diagnosis_rate", "sensitivity",
    "robust_low", "robust_high",
)  # fmt: skip
POISONING = (
    "accuracy",
    "accuracy_difference",
    "sensitivity",
    "missed_diagnosis_rate",
    "auroc",
    "proved_accuracy",
    "attack_success_rate",
)
CERTIFICATE = ("certified_accuracy", "certified_sensitivity")
THEFT = ("fidelity", "accuracy", "auroc", "evasion", "membership")
FRONTIER = (
    "accuracy", "auroc", "sensitivity", "proved_accuracy", "lira_tpr_at_1pct", "lira_auroc", "epsilon_claimed",
    "epsilon_lower_bound", "epsilon_ceiling",
)  # fmt: skip
FRONTIER_OF = "dp_train"  # whose training the frontier varies


class Figure(NamedTuple):
    """A value of a metric; NaN is left out."""

    name: str
    value: Any
    step: int = 0


def figures_of(table: pd.DataFrame, folder: Path, name: str, cfg: Config) -> list[Figure]:
    """Every figure of the run of one defence.

    Args:
        table: its rows of the comparison.
        folder: where `write_evaluation` wrote.
        name: of the defence.
        cfg: names the headline threat and the headline attacker of theft.
    """
    figures = [*headline(table, cfg.audit.headline), *curves(table), *privacy(folder, name)]
    figures += by_dose(_own(folder / "poisoning.csv", name))
    figures += by_records(_own(folder / "certificate.csv", name))
    figures += by_budget(_own(folder / "theft.csv", name), cfg.theft.headline)
    return figures + (list(by_epsilon(_table(folder / "frontier.csv"))) if name == FRONTIER_OF else [])


def _table(path: Path) -> pd.DataFrame:
    """A table, if it was drawn up."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.exists() else pd.DataFrame()


def _own(path: Path, name: str) -> pd.DataFrame:
    table = _table(path)
    return table[table["defense"] == name] if len(table) else table


def flags_of(table: pd.DataFrame) -> dict[str, str]:
    """Each flag of a defence, and why it was raised."""
    first = table.iloc[0]
    return dict(zip(str(first["flags"]).split(), str(first["evidence"]).split("; "), strict=True)) if first["flags"] else {}


def headline(table: pd.DataFrame, threat: str) -> Iterator[Figure]:
    """What the table of runs shows in one line: clean figures, and robust accuracy at each radius."""
    lines = table[table["threat"] == threat]
    first = lines.iloc[0]
    for key in ("clean_accuracy", "clean_low", "clean_high", "auroc", "auroc_low", "auroc_high", "rank"):
        yield Figure(key, first[key])
    for key in ("sensitivity", "specificity", "balanced_accuracy", "brier"):
        yield Figure(f"clean_{key}", first[key])
    for _, line in lines[lines["eps"] > 0].iterrows():
        for key in ("robust_accuracy", "verified_accuracy", "undecided", "missed_diagnosis_rate"):
            yield Figure(f"{key}_at_{line['eps']:g}", line[key])
    for _, line in table[(table["eps_unit"] != first["eps_unit"]) & (table["eps"] > 0)].iterrows():
        yield Figure(f"{line['threat']}/robust_accuracy_at_{line['eps']:g}", line["robust_accuracy"])
    for flag in flags_of(table):
        yield Figure(f"flag/{flag}", 1.0)


def curves(table: pd.DataFrame) -> Iterator[Figure]:
    """Each figure against the radius: `clinical/robust_accuracy` at step 100 is the value at eps 0.1.

    Under a threat whose radius counts measurements, step 1000 is one measurement.
    """
    for _, line in table.iterrows():
        for key in RADII:
            yield Figure(f"{line['threat']}/{key}", line[key], round(line["eps"] * 1000))


def at_radius(lines: pd.DataFrame, threat: str) -> list[Figure]:
    """Every figure at one radius; those of the threat models beside the headline carry its name in front."""
    values: dict[str, float] = {}
    for _, line in lines.sort_values("threat", key=lambda threats: threats != threat).iterrows():
        prefix = "" if line["threat"] == threat else f"{line['threat']}/"
        numbers = {str(key): float(value) for key, value in line.items() if isinstance(value, int | float)}
        values |= {f"{prefix}{key}": value for key, value in numbers.items() if not prefix or key != "eps"}
    return [Figure(name, value) for name, value in {"robust_accuracy": values["robust_accuracy"], **values}.items()]


def privacy(folder: Path, name: str) -> list[Figure]:
    """What a defence leaks: each attack's figures, and beside them the claimed and the audited epsilon."""
    values: dict[str, Any] = {}
    for _, line in _own(folder / "privacy.csv", name).iterrows():
        values |= {f"membership/{line['attack']}/{key}": line[key] for key in MEMBERSHIP}
        values |= {key: line[key] for key in PRIVACY}
    told = _own(folder / "inversion.csv", name)
    for _, line in told[(told["attacker"] == "learned") & (told["diagnosis"] == "known")].iterrows():
        values[f"inversion/{line['attribute']}/{line['access']}/uplift_{line['group']}"] = line["uplift"]
    return [Figure(key, value) for key, value in values.items()]


def by_dose(table: pd.DataFrame) -> Iterator[Figure]:
    """Against the share of the training records that are poisoned, in thousandths; one record of many is step 1 or 2."""
    for _, line in table.iterrows():
        for key in POISONING:
            yield Figure(f"poisoning/{line['attack']}/{key}", line[key], round(line["poison_rate"] * 1000))


def by_records(table: pd.DataFrame) -> Iterator[Figure]:
    """Against the number of poisoned records that an answer is certified against."""
    for _, line in table.iterrows():
        for key in CERTIFICATE:
            yield Figure(f"certificate/{key}", line[key], int(line["records"]))


def by_budget(table: pd.DataFrame, strategy: str) -> Iterator[Figure]:
    """Against the number of questions, by the headline strategy, of an API that answers plainly."""
    if len(table):
        for _, line in table[(table["strategy"] == strategy) & (table["api"] == "plain")].iterrows():
            for key in THEFT:
                yield Figure(f"theft/{line['access']}/{line['surrogate']}/{key}", line[key], int(line["budget"]))


def by_epsilon(table: pd.DataFrame) -> Iterator[Figure]:
    """Against epsilon in thousandths; the models without noise have a name of their own."""
    for _, line in table.iterrows():
        private = not pd.isna(line["epsilon_claimed"])
        for key in FRONTIER:
            name = f"frontier/{line['model']}/{key}" if private else f"frontier/{line['model']}/no_noise/{key}"
            yield Figure(name, line[key], round(line["epsilon_claimed"] * 1000) if private else 0)
