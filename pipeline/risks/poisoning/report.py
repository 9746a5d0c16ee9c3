"""What the page says of poison: which recipe bears how much of it, and who still gets what they want."""

from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.attacks.poisoning import POISON_FACTS
from pipeline.config import BASELINE
from pipeline.presentation.html import html_table, picture
from pipeline.presentation.numbers import interval_text
from pipeline.presentation.pictures import COLOURS, axes_of, save_figure
from pipeline.risks.poisoning.measure.recipes import NONE
from pipeline.risks.poisoning.tables import dose_name

HEADLINE = 0.1  # the share of poisoned records that people read about first
# What is shown of each goal.
MEASURES = {
    "availability": {"change of accuracy": "accuracy_difference", "change of sensitivity": "sensitivity_difference"},
    "backdoor": {"success": "attack_success_rate"},
    "targeted": {"success": "attack_success_rate"},
}


def draw_damage(table: pd.DataFrame, folder: Path) -> list[Path]:
    """`poisoning.png`: accuracy and sensitivity against the dose; `poison_success.png`: who gets what they want."""
    crowd = table[(table["goal"] == "availability") | (table["attack"] == NONE)]
    aimed = table[table["goal"].isin(["backdoor", "targeted"])]
    drawn = []
    if (crowd["attack"] != NONE).any():
        drawn.append(_panels(crowd, ["accuracy", "sensitivity"], folder / "poisoning.png"))
    if len(aimed):
        drawn.append(_panels(aimed, ["attack_success_rate"], folder / "poison_success.png"))
    return drawn


def _panels(table: pd.DataFrame, measures: list[str], path: Path) -> Path:
    """One row of panels for each measure, one column for each defence."""
    defenses = list(table["defense"].unique())
    figure, axes = axes_of(len(measures), len(defenses), (3.1 * len(defenses), 2.7 * len(measures) + 0.7))
    doses = list(dict.fromkeys(table.loc[table["attack"] != NONE, "dose"]))
    places = np.arange(1, len(doses) + 1)
    for axis, (measure, defense) in zip(axes, [(m, d) for m in measures for d in defenses], strict=True):
        lines = table[table["defense"] == defense]
        for colour, (attack, curve) in zip(cycle(COLOURS), lines[lines["attack"] != NONE].groupby("attack", sort=False),
                                           strict=False):  # fmt: skip
            clean = lines[lines["attack"] == NONE]
            start = pd.DataFrame({f"{measure}{end}": curve["control"].iloc[:1] for end in ("", "_low", "_high")})
            whole = pd.concat([clean if len(clean) else start, curve])
            x = np.r_[0, places]
            axis.plot(x, whole[measure], marker="o", markersize=3, linewidth=1.2, color=colour, label=str(attack))
            axis.fill_between(
                x, whole[f"{measure}_low"].astype(float), whole[f"{measure}_high"].astype(float), color=colour, alpha=0.1,
                linewidth=0,
            )  # fmt: skip
        names = ["none", *(dose_name(dose).replace(" records", "").replace(" record", "") for dose in doses)]
        axis.set_xticks(np.r_[0, places], names, fontsize=7)
        axis.set(ylim=(-0.02, 1.02), title=str(defense) if measure == measures[0] else "")
    for row, measure in enumerate(measures):
        axes[row * len(defenses)].set_ylabel(measure.replace("_", " "))
    for axis in axes[-len(defenses) :]:
        axis.set_xlabel("poison (records, or share of them)", fontsize=8)
    axes[0].legend(frameon=False, fontsize=7, loc="lower left" if measures[0] == "accuracy" else "upper left")
    return save_figure(figure, path)


def damage_section(table: pd.DataFrame, figures: list[Path]) -> str:
    """The section of the page."""
    dose = headline_dose(table)
    return f"""<h2>What poisoned training data do</h2>
<p class="note">Every recipe is trained anew on poisoned records and scored on patients that it never saw, with the batches and
seeds of the clean training: differences are paired, on the same patients. Intervals: bootstrap over patients, of success rates no
narrower than Wilson's; trained models are taken as they are. The table: {dose_name(dose)} of a model's training records poisoned.
Attacks on everybody: change of accuracy, and of sensitivity, as who calls everybody healthy is right about the many; worst_flips
and worst_missed are worst to first order, no proof that nothing is worse. backdoor: of the ill rightly called so without poison,
those called healthy with the trigger in their record; the trigger was chosen so that it does not look healthy by itself, as the
figure in square brackets shows. one_patient: of the ill who are named, those called healthy. In square brackets: the same records
and models without poison.</p>
<p>{worst_line(table)}</p>
{html_table(_shown(table, dose))}
{"".join(map(picture, figures))}"""


def headline_dose(table: pd.DataFrame) -> float:
    """The dose nearest to `HEADLINE`; of doses that are counts, the largest."""
    doses = [dose for dose in table["dose"].unique() if dose > 0]
    shares = [dose for dose in doses if dose < 1]
    nearest: float = min(shares, key=lambda dose: abs(dose - HEADLINE)) if shares else max(doses)
    return nearest


def worst_line(table: pd.DataFrame) -> str:
    """One line: the attack on everybody that costs most accuracy at the headline dose, undefended and with the best defence.

    Empty where no such attack or no undefended recipe was run.
    """
    dose = headline_dose(table)
    at = table[(table["dose"] == dose) & (table["goal"] == "availability")]
    undefended = at[at["defense"] == BASELINE]
    if not len(undefended):
        return ""
    worst = undefended.iloc[int(undefended["accuracy"].argmin())]
    against = at[at["attack"] == worst["attack"]]
    best = against.iloc[int(against["accuracy"].argmax())]
    said = f"{worst['attack']} at {dose_name(dose)}: accuracy {in_words(worst, 'accuracy')} undefended"
    if best["defense"] == BASELINE:
        return f"{said}; no defence does better"
    return f"{said}, {in_words(best, 'accuracy')} with {best['defense']}"


def in_words(line: pd.Series, name: str) -> str:
    """A figure of one row with its interval."""
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


def _shown(table: pd.DataFrame, dose: float) -> pd.DataFrame:
    """One row per attack and figure, one column per defence."""
    at = table[table["dose"] == dose]
    lines = []
    for attack, rows in at.groupby("attack", sort=False):
        for figure, measure in MEASURES[POISON_FACTS[str(attack)].goal].items():
            line = {"attack": str(attack), "figure": figure}
            for _, row in rows.iterrows():
                without = f" [without: {row['control']:.3f}]" if figure == "success" else ""
                line[str(row["defense"])] = in_words(row, measure) + without
            lines.append(line)
    return pd.DataFrame(lines)
