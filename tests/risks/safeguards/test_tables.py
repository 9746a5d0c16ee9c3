"""Tables of safeguards: shares of the patients who were asked, and a control in each."""

import numpy as np
import pytest

from pipeline.risks.safeguards.tables import (
    COLUMNS,
    conformal_table,
    middle,
    referred_table,
    sanitised_table,
)
from pipeline.risks.safeguards.verdicts import verdict_table
from pipeline.statistics.conformal import promised
from pipeline.statistics.intervals import Sampling
from risks.safeguards import made_up

SAMPLING = Sampling(200, 0.95, 0)


@pytest.fixture(scope="module")
def tables():
    margins, referrals = made_up.margins(), made_up.referrals()
    return {
        "sanitised": sanitised_table(margins, ["adv"], SAMPLING),
        "referred": referred_table(referrals, [0.2, 0.1], SAMPLING),
        "conformal_sets": conformal_table(made_up.sets(), 0.1, SAMPLING),
        "safeguard_verdicts": verdict_table(
            margins, referrals, beside=["adv"], rate=0.1, eps=0.3, sampling=SAMPLING
        ),
    }


def test_every_column_is_explained_and_every_figure_has_an_interval(tables):
    assert set(tables) == set(COLUMNS)
    for name, table in tables.items():
        plain = [column for column in table if not column.endswith(("_low", "_high"))]
        assert set(plain) == set(COLUMNS[name]), name
        for column in table:
            if column.endswith("_low"):
                value, high = column.removesuffix("_low"), column.removesuffix("_low") + "_high"
                known = table[table[value].notna()]
                assert (known[column] <= known[value]).all()
                assert (known[value] <= known[high]).all()


def test_shares_are_those_of_the_margins(tables):
    margins, table = made_up.margins(), tables["sanitised"]
    line = table[
        (table["safeguard"] == "mask") & (table["attacker"] == "adaptive") & (table["eps"] == 0.3)
    ].iloc[0]
    right, y = margins.adaptive["mask"][-1].numpy() > 0, margins.y.numpy()
    assert line["accuracy"] == pytest.approx(right.mean())
    assert line["missed_diagnosis_rate"] == pytest.approx(1 - right[:, y == 1].mean())
    assert line["false_alarm_rate"] == pytest.approx(1 - right[:, y == 0].mean())
    assert (line["patients"], line["ill"]) == (200, 100)


def test_a_recipe_beside_stands_under_its_own_name(tables):
    table = tables["sanitised"]
    assert set(table.loc[table["defense"] == "adv", "safeguard"]) == {"none"}
    bare = table[(table["defense"] == "baseline") & (table["safeguard"] == "none")]
    assert list(bare["attacker"].unique()) == ["none", "chance", "ignoring", "adaptive"]
    assert (bare.loc[bare["attacker"] == "none", "eps"] == 0).all()


def test_every_rule_refers_the_same_share_of_unchanged_records(tables):
    table = tables["referred"]
    assert np.allclose(table["referred"], table["rate"])
    assert set(table["rate"]) == {0.1, 0.2}
    only = table["rule"] == "proved radius"
    assert table.loc[only, "proved_to"].notna().all()
    assert table.loc[~only, "proved_to"].isna().all()


def test_more_referral_passes_no_more(tables):
    table = tables["referred"]
    keys = ["defense", "rule", "attacker", "eps"]
    few, many = (table[table["rate"] == rate].set_index(keys) for rate in (0.1, 0.2))
    assert (many["undetected"] <= few["undetected"]).all()


def test_conformal_sets_are_counted_and_promised_by_the_fewest(tables):
    sets, table = made_up.sets(), tables["conformal_sets"]
    line = table[(table["attacker"] == "adaptive") & (table["eps"] == 0.3)].iloc[0]
    inside = sets.p["adaptive"][1].numpy() > 0.1
    held = np.take_along_axis(inside, sets.y.numpy()[None, :, None], -1)[..., 0]
    assert line["coverage"] == pytest.approx(held.mean())
    assert line["two_classes"] == pytest.approx((inside.sum(-1) == 2).mean())
    assert line["no_class"] == pytest.approx((inside.sum(-1) == 0).mean())
    assert line["promised"] == min(promised(n, 0.1) for n in (30, 40))


def test_rules_are_concluded_from_at_the_middle_rate():
    assert middle([0.2, 0.05, 0.1]) == 0.1
    assert middle([0.1]) == 0.1
