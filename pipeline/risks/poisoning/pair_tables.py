"""Which attack each defense is judged by, and what defenses differ by under theirs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.risks.pairs import Drawn, pairs_table
from pipeline.risks.poisoning.harm_tables import View, called_at_clean, turned_by_trigger
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN, BACKDOOR, NONE, Harm
from pipeline.risks.poisoning.measure.settings import Dose
from pipeline.risks.risk import nearest_of
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.edges import Share
from pipeline.statistics.intervals import Sampling

AUROC, SUCCESS = "auroc", "attack_success_rate"


def at_headline(table: pd.DataFrame, wanted: float) -> pd.DataFrame:
    """The rows at the dose nearest to the one wanted, of `harm_table`."""
    return table[table["dose"] == nearest_of(table.loc[table["dose"] > 0, "dose"], wanted)]


def worst_on_everybody(at: pd.DataFrame, figure: str) -> pd.DataFrame:
    """Of each defense the row of the attack on everybody that leaves least of a figure."""
    crowd = at[at["goal"] == "availability"]
    return crowd.loc[crowd.groupby("defense", sort=False)[figure].idxmin()]


def headline_pairs(
    harms: Mapping[str, Harm],
    table: pd.DataFrame,
    doses: Mapping[str, list[Dose]],
    wanted: float,
    sampling: Sampling,
) -> pd.DataFrame:
    """Defenses under their worst attacks at the headline dose, compared on the same patients.

    Each defense meets the attack that the table shows as its worst; the choice is not drawn again.
    The named patients of `one_patient` are too few to be resampled, and are not compared.

    Args:
        harms: of each defense.
        table: `harm_table` of them.
        doses: of each attack, in the order of its margins.
        wanted: the headline dose.
        sampling: of the resamples.

    Returns:
        `pairs_table`, of `sensitivity_at_clean_false_alarms`, `auroc` and `attack_success_rate`
        (of the backdoor), as far as they were measured.
    """
    at = at_headline(table, wanted)
    drawn: dict[str, dict[str, Drawn]] = {}
    patients = len(next(iter(harms.values())).y)
    weights = sampling.weights(patients)
    for figure in (AT_CLEAN, AUROC):
        for line in worst_on_everybody(at, figure).to_dict("records"):
            defense, attack = str(line["defense"]), str(line["attack"])
            harm, place = harms[defense], doses[attack].index(line["dose"])
            views = View.of(harm, attack, place), View.of(harm, NONE, 0)
            of = _auroc if figure == AUROC else _at_clean
            drawn.setdefault(figure, {})[defense] = of(*views, harm.y.numpy(), weights)
    won = at[at["goal"] == BACKDOOR].dropna(subset=SUCCESS)
    for line in won.to_dict("records"):
        harm = harms[str(line["defense"])]
        place = doses[str(line["attack"])].index(line["dose"])
        turned, chosen = turned_by_trigger(harm, harm.triggered.numpy()[1 + place])
        each = np.zeros(patients)
        each[chosen] = turned
        drawn.setdefault(SUCCESS, {})[str(line["defense"])] = _mean(each, weights, chosen)
    return pairs_table(drawn, sampling.patients(patients))


def _auroc(after: View, _: View, y: Array, weights: Array) -> Drawn:
    drawn = intervals.bootstrap_auroc(after.score, y, weights)
    return Drawn(float(rates.auroc(after.score, y)), drawn)


def _at_clean(after: View, before: View, y: Array, weights: Array) -> Drawn:
    found = called_at_clean(after.margins, before.margins, y).mean(0)
    return _mean(found, weights, y == 1)


def _mean(each: Array, weights: Array, where: Array) -> Drawn:
    share = Share(np.where(where, each, np.nan), intervals.drawn_together(weights))
    return Drawn(float(each[where].mean()), intervals.bootstrap_mean(each, weights, where), share)
