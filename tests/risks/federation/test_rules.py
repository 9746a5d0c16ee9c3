"""Which rule stands: by every interval; that it gives way, by one of many."""

import pandas as pd
import pytest

from pipeline.risks.federation.measure.federations import NONE
from pipeline.risks.federation.rules import (
    GIVES_WAY,
    JUDGED,
    LOSS,
    OPEN,
    STANDS,
    rules_table,
    verdict_of,
)
from pipeline.risks.federation.tables import harm_table
from pipeline.statistics.intervals import Sampling
from risks.federation import made_up


def attacked(*losses):
    """Of each attack the loss of every figure: (loss, half width); None: no trigger."""
    rows = []
    for place, (loss, half) in enumerate(losses):
        line = {"attack": f"attack {place}"}
        for figure, good in JUDGED.items():
            change = -loss if good else loss
            ends = zip(("", "_low", "_high"), (change, change - half, change + half), strict=True)
            line |= {f"{figure}_difference{end}": value for end, value in ends}
        rows.append(line)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("losses", "verdict", "why"),
    [
        ([(0.0, 0.04), (0.01, 0.03)], STANDS, ""),
        ([(0.0, 0.04), (0.02, 0.031)], OPEN, "attack 1"),  # a loss of .051 is left possible
        ([(0.0, 0.01), (0.3, 0.02)], GIVES_WAY, "attack 1"),
        ([(0.2, 0.02), (0.3, 0.02)], GIVES_WAY, "attack 1"),  # the worse of two
        ([(0.04, 0.009)], STANDS, ""),  # a loss, and never above .05
        ([(-0.2, 0.1)], STANDS, ""),
    ],
)
def test_the_word_follows_from_the_intervals(losses, verdict, why):
    assert verdict_of(attacked(*losses), 0.95) == {"verdict": verdict, "why": why}


def test_one_of_many_intervals_is_not_enough_to_give_way():
    """Alone its lower end is above the line; among forty it is not told."""
    one = (LOSS + 0.021, 0.02)
    assert verdict_of(attacked(one), 0.5)["verdict"] == OPEN  # three figures
    assert verdict_of(attacked((LOSS + 0.05, 0.02)), 0.95)["verdict"] == GIVES_WAY
    many = [(LOSS + 0.035, 0.02), *[(0.0, 0.01)] * 40]
    assert verdict_of(attacked(many[0]), 0.95)["verdict"] == GIVES_WAY
    assert verdict_of(attacked(*many), 0.95)["verdict"] == OPEN


def test_the_strongest_of_each_figure_stands_in_the_table():
    found = [made_up.harmed(), made_up.harmed(rule="median", boosted=0.9, seed=1)]
    harm = harm_table(found, Sampling(100, 0.95, 0))
    table = rules_table(harm, 0.95).set_index("aggregate")
    assert list(table.index) == ["mean", "median"]
    for rule, line in table.iterrows():
        own = harm[(harm["aggregate"] == rule) & (harm["attack"] != NONE)]
        assert line["attacks"] == len(own)
        assert line["accuracy"] == own["accuracy"].min()
        assert line["missed_diagnosis_rate"] == own["missed_diagnosis_rate"].max()
        assert line["auroc"] == own["auroc"].min()
        assert line["attack_success_rate"] == own["attack_success_rate"].max()
        control = harm[(harm["aggregate"] == rule) & (harm["attack"] == NONE)].iloc[0]
        assert line["clean_accuracy"] == control["accuracy"]
    assert table.loc["mean", "accuracy_attack"] == "boost"
    assert table.loc["mean", "verdict"] == GIVES_WAY
