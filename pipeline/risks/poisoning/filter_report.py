"""What the page says of finding and dropping poisoned records: what is found, what is thrown away with it, what it helps."""

import pandas as pd

from pipeline.attacks.poisoning import POISON_FACTS
from pipeline.presentation.html import html_table
from pipeline.risks.poisoning.measure.recipes import NONE
from pipeline.risks.poisoning.report import headline_dose, in_words
from pipeline.risks.poisoning.tables import dose_name


def cleansing_section(table: pd.DataFrame) -> str:
    """A part of the section on poison, from the table of `cleansing_tables.sanitising_table`."""
    poisoned = table[table["attack"] != NONE]
    parts = []
    if len(poisoned):
        dose = headline_dose(table)
        parts.append(f"<p>{dose_name(dose)} of a model's training records poisoned:</p>")
        parts.append(html_table(_shown(poisoned[poisoned["dose"] == dose])))
    clean = table[table["attack"] == NONE]
    if len(clean):
        parts.append("<p>What cleaning costs where there is no poison:</p>")
        parts.append(html_table(_shown(clean).drop(columns=["attack", "poison found"])))
    return f"""<h3>Finding and dropping poisoned records</h3>
<p class="note">Filters look at the training records of the undefended recipe and drop the most suspicious ones, without knowing
how many are poisoned; majority drops whoever most of its neighbours disagree with, the others a fixed share. The recipe is then
trained anew on what is left. Poison found and false alarms: shares of the poisoned and of the other records that were dropped,
mean and range over the training sets; of a filter that sees nothing, both are the same. The figure: as above, not
cleaned and after; the change is paired, on the same training sets and patients.</p>
{"".join(parts)}"""


def _shown(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per attack and filter."""
    shown = []
    for _, line in lines.iterrows():
        measure = "accuracy" if line["attack"] == NONE else POISON_FACTS[str(line["attack"])].harms
        shown.append(
            {
                "attack": line["attack"],
                "filter": line["filter"],
                "poison found": in_words(line, "recall"),
                "false alarms": in_words(line, "false_alarm_rate"),
                "figure": "success" if measure == "attack_success_rate" else measure,
                "not cleaned": in_words(line, f"{measure}_without"),
                "after cleaning": in_words(line, measure),
                "change": in_words(line, f"{measure}_difference"),
            }
        )
    return pd.DataFrame(shown)
