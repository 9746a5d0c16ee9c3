"""The tables of poisoning as people read them."""

import pandas as pd

from pipeline.attacks.poisoning import POISON_FACTS
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.poisoning.harm_tables import dose_name
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN, BACKDOOR, NONE, ONE_PATIENT
from pipeline.risks.poisoning.pair_tables import worst_on_everybody
from pipeline.risks.risk import Context

SUCCESS = "attack_success_rate"
# What is shown of each goal; the ranking first, because a moved line can be moved back.
SHOWN_FIGURES = {
    "availability": {
        "AUROC": "auroc",
        "sensitivity at clean false alarms": AT_CLEAN,
        "sensitivity at the operating point": "sensitivity",
        "share called ill": "share_called_ill",
    },
    "backdoor": {"success": SUCCESS},
    "targeted": {"success": SUCCESS},
}
WORST = ("sensitivity at clean false alarms", "AUROC", "sensitivity at the operating point")
AIMED = {BACKDOOR: "backdoor: success", ONE_PATIENT: "targeted: success"}
# records, in the table of the page; certificate.csv has all
SHOWN_RECORDS = (0, 1, 2, 3, 5, 10, 15, 20, 30, 50)


def poisoned(dose: float, unit: str) -> str:
    """How much of what is poisoned."""
    owned = "" if unit == "records" else ", with all their records,"
    return f"{dose_name(dose, unit)} of a model's training {unit}{owned} poisoned"


def headline_dose(table: pd.DataFrame, wanted: float) -> float:
    """The share nearest to the one wanted; of doses that are counts, the largest."""
    doses = [dose for dose in table["dose"].unique() if dose > 0]
    shares = [dose for dose in doses if dose < 1]
    nearest: float = min(shares, key=lambda dose: abs(dose - wanted)) if shares else max(doses)
    return nearest


def worst_attacks(table: pd.DataFrame, dose: float, context: Context) -> pd.DataFrame:
    """One row per defense: what its worst attack on everybody leaves, and who gets a patient wrong.

    Each defense meets the attack that leaves it least; the control stands beside it.
    """
    at, clean = table[table["dose"] == dose], table[table["attack"] == NONE].set_index("defense")
    columns: dict[str, dict[str, str]] = {}
    for figure in WORST:
        measure = SHOWN_FIGURES["availability"][figure]
        for _, row in worst_on_everybody(at, measure).iterrows():
            without = clean.loc[row["defense"], measure]
            columns.setdefault(figure, {})[str(row["defense"])] = (
                f"{in_words(row, measure)} by {row['attack']} [without: {without:.3f}]"
            )
    for attack, figure in AIMED.items():
        for _, row in at[(at["attack"] == attack) & at[SUCCESS].notna()].iterrows():
            columns.setdefault(figure, {})[str(row["defense"])] = success(row)
    shown = pd.DataFrame(columns).rename_axis("defense").reset_index()
    return shown.assign(defense=[context.display(name) for name in shown["defense"]])


def success(line: pd.Series) -> str:
    """A success rate, of how many, and the same records without poison."""
    of = "" if pd.isna(line["targets"]) else f" of {line['targets']:.0f}"
    return f"{in_words(line, SUCCESS)}{of} [without: {line['control']:.3f}]"


def called_otherwise(table: pd.DataFrame, dose: float, context: Context) -> str:
    """Whom poison gives itself away with: a share called ill that moved a lot; empty = nobody."""
    at = table[(table["dose"] == dose) & table["warning"].ne("none")]
    return "; ".join(
        f"{context.display(line['defense'])} under {line['attack']}: {line['warning']}"
        for _, line in at.iterrows()
    )


def noticed(table: pd.DataFrame, dose: float, context: Context) -> str:
    """The same in short: under how many of the attacks; empty = nobody."""
    at = table[table["dose"] == dose]
    counts = at.assign(moved=at["warning"].ne("none")).groupby("defense", sort=False)["moved"]
    return ", ".join(
        f"{context.display(str(name))} under {moved.sum()} of {len(moved)} attacks"
        for name, moved in counts
        if moved.any()
    )


def in_words(line: pd.Series, name: str) -> str:
    """A figure of one row with its interval."""
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


def every_attack(table: pd.DataFrame, dose: float, context: Context) -> pd.DataFrame:
    """One row per attack and figure, one column per defense."""
    at = table[table["dose"] == dose]
    clean = table[table["attack"] == NONE].set_index("defense")
    lines = []
    for attack, rows in at.groupby("attack", sort=False):
        for figure, measure in SHOWN_FIGURES[POISON_FACTS[str(attack)].goal].items():
            line = {"attack": str(attack), "figure": figure}
            for _, row in rows.iterrows():
                name = context.display(str(row["defense"]))
                without = clean.loc[row["defense"], measure]
                line[name] = (
                    success(row)
                    if figure == "success"
                    else f"{in_words(row, measure)} [without: {without:.3f}]"
                )
            lines.append(line)
    return pd.DataFrame(lines)


def shown_filters(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per attack and filter."""
    shown = []
    for _, line in lines.iterrows():
        measure = "accuracy" if line["attack"] == NONE else POISON_FACTS[str(line["attack"])].harms
        shown.append(
            {
                "attack": line["attack"],
                "filter": line["filter"],
                "figure": "success" if measure == "attack_success_rate" else measure,
                "not filtered": in_words(line, f"{measure}_without"),
                "after filtering": in_words(line, measure),
                "change": in_words(line, f"{measure}_difference"),
                "poison found": in_words(line, "recall"),
                "false alarms": in_words(line, "false_alarm_rate"),
            }
        )
    return pd.DataFrame(shown)


def shown_certificate(table: pd.DataFrame, unit: str, context: Context) -> pd.DataFrame:
    """One row per certified defense and some numbers of poisoned records."""
    lines = table[table["records"].isin(SHOWN_RECORDS)]
    return pd.DataFrame(
        {
            "defense": [context.display(name) for name in lines["defense"]],
            f"{unit} poisoned": lines["records"],
            "of which values may be changed": lines["changed"],
            "certified accuracy": with_interval(lines, "certified_accuracy"),
            "certified sensitivity": with_interval(lines, "certified_sensitivity"),
        }
    )
