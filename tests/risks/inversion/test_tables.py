"""Figures of guesses: known errors in clinical units, honest words, and members against others."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.config import AuditConfig
from pipeline.risks.inversion.measure.guesses import Inversion, Question
from pipeline.risks.inversion.tables import (
    by_patient,
    headline_pairs,
    inversion_table,
    typical_table,
)
from pipeline.statistics.intervals import bootstrap_weights

CFG = AuditConfig(
    eps=[0.0, 0.1], headline="clinical", headline_eps=0.1, confidence=0.95, resamples=200
)
DATA = tiny.records(80, seed=2)
QUESTIONS = (
    Question("glucose", True, "scores", "learned"),
    Question("bmi", False, "labels", "posterior"),
)


def told(members_gain, others_gain):
    """Everybody is guessed 1 scale off without a model; the gains are in scales, per patient."""
    alone = torch.ones(2, 2, 80)
    alone[:, :, :5] = torch.nan
    aided = alone - torch.stack(
        [torch.as_tensor(members_gain).expand(80), torch.as_tensor(others_gain).expand(80)]
    )
    typical = tiny.SCHEMA.column("center").expand(3, -1).clone()
    return Inversion(
        QUESTIONS,
        alone,
        aided,
        typical,
        {"to_class_mean": torch.tensor([1.0, 2, 3], dtype=torch.float64)},
    )


@pytest.fixture
def table():
    spread = torch.linspace(0.1, 0.3, 80)
    return inversion_table({"baseline": told(spread, 0.1)}, DATA, tiny.sampling(CFG)).set_index(
        ["attribute", "group"]
    )


def test_errors_are_in_clinical_units(table):
    assert table.loc[("glucose", "members"), "error_alone"] == pytest.approx(30.0)
    assert table.loc[("bmi", "others"), "error_aided"] == pytest.approx(0.9 * 7.0, rel=1e-6)


def test_uplift_is_the_mean_gain_of_those_with_something_to_guess(table):
    expected = float(torch.linspace(0.1, 0.3, 80)[5:].mean())
    assert table.loc[("glucose", "members"), "uplift"] == pytest.approx(30 * expected, rel=1e-5)
    assert table.loc[("glucose", "difference"), "uplift"] == pytest.approx(
        30 * (expected - 0.1), rel=1e-5
    )
    assert (table["patients"] == 75).all()
    assert (
        (table["uplift_low"] <= table["uplift"]) & (table["uplift"] <= table["uplift_high"])
    ).all()


def in_a_loop(alone, aided, weights):
    """The share of each resample: patients are written down as often as they are drawn."""
    shares = []
    for line in weights.astype(int):
        drawn = np.repeat(np.arange(len(line)), line)
        drawn = drawn[~np.isnan(alone[drawn])]
        shares.append(1 - aided[drawn].sum() / alone[drawn].sum())
    return np.array(shares)


def unequal(seed):
    """Errors of very different sizes, of which a model takes about the same share of each."""
    rng = np.random.default_rng(seed)
    alone = np.exp(rng.normal(size=(1, 2, 80)))
    aided = alone * rng.uniform(0.1, 0.3, size=alone.shape)
    for side in range(2):
        alone[0, side, 10 * side : 10 * side + 5] = np.nan
    return alone, aided


def shares_of(alone, aided):
    alone, aided = (torch.tensor(one, dtype=torch.float32) for one in (alone, aided))
    one = replace(told(0.1, 0.1), questions=QUESTIONS[:1], alone=alone, aided=aided)
    return inversion_table({"baseline": one}, DATA, tiny.sampling(CFG)).set_index("group")


def test_the_share_is_resampled_as_one_ratio_as_by_a_naive_bootstrap():
    alone, aided = unequal(seed=1)
    table, weights = shares_of(alone, aided), bootstrap_weights(80, CFG.resamples, 0)
    for side, group in enumerate(("members", "others")):
        known = ~np.isnan(alone[0, side])
        expected = 1 - aided[0, side, known].sum() / alone[0, side, known].sum()
        samples = in_a_loop(alone[0, side], aided[0, side], weights)
        found = table.loc[group, ["share_low", "share", "share_high"]].tolist()
        low, high = np.quantile(samples, [0.025, 0.975])
        assert found == pytest.approx([low, expected, high], rel=1e-5)


def test_the_difference_of_shares_is_paired_over_those_who_are_both():
    alone, aided = unequal(seed=2)
    table, weights = shares_of(alone, aided), bootstrap_weights(80, CFG.resamples, 0)
    alone = np.where(np.isnan(alone).any(1, keepdims=True), np.nan, alone)
    members, others = (in_a_loop(alone[0, side], aided[0, side], weights) for side in range(2))
    found = table.loc["difference", ["share_low", "share_high"]].tolist()
    assert found == pytest.approx(np.quantile(members - others, [0.025, 0.975]).tolist(), rel=1e-5)
    assert table["patients"].tolist() == [75, 75, 70]


def test_bounds_divided_by_a_point_would_be_several_times_too_wide():
    line = shares_of(*unequal(seed=3)).loc["members"]
    divided = (line["uplift_high"] - line["uplift_low"]) / line["error_alone"]
    assert divided > 4 * (line["share_high"] - line["share_low"])


@pytest.mark.parametrize(("gain", "finding"), [(0.2, "uplift"), (-0.2, "harm"), (0.0, "no uplift")])
def test_what_was_found_is_said(gain, finding):
    noise = torch.randn(80, generator=torch.Generator().manual_seed(0)) * 0.1
    table = inversion_table(
        {"baseline": told(gain + noise - noise[5:].mean(), 0.0)}, DATA, tiny.sampling(CFG)
    )
    assert set(table.loc[table["group"] == "members", "finding"]) == {finding}
    other = {"uplift": "more", "harm": "less", "no uplift": "no difference"}[finding]
    assert set(table.loc[table["group"] == "difference", "finding"]) == {other}


def test_nobody_to_ask_is_no_figure():
    table = inversion_table({"baseline": told(float("nan"), 0.1)}, DATA, tiny.sampling(CFG))
    members = table[table["group"] == "members"]
    assert members["uplift"].isna().all()
    assert (members["patients"] == 0).all()
    assert (members["finding"] == "nobody asked").all()


def test_every_row_names_who_attacks(table):
    assert set(table["nist"]) == {"NISTAML.032"}
    assert set(table["atlas"]) == {"AML.T0024.001"}
    assert set(table["owasp"]) == {"ML03:2023"}
    assert table["knowledge"].str.startswith("black box").all()
    assert table.loc["glucose", "diagnosis"].unique().tolist() == ["known"]


def test_the_typical_record_is_the_mean_of_the_victims():
    line = typical_table({"baseline": told(0.1, 0.1)}, DATA).iloc[0]
    assert line["glucose"] == 120
    assert (line["to_class_mean_low"], line["to_class_mean"], line["to_class_mean_high"]) == (
        1,
        2,
        3,
    )
    assert not np.isnan(line["age"])


def test_columns_do_not_depend_on_the_order_in_which_distances_were_kept():
    one = told(0.1, 0.1)
    more = {"b": one.distances["to_class_mean"], "a": one.distances["to_class_mean"]}
    tables = [
        typical_table({"baseline": replace(one, distances=dict(order))}, DATA)
        for order in (more.items(), reversed(more.items()))
    ]
    assert list(tables[0]) == list(tables[1])


def test_what_members_are_told_more_is_compared_by_its_distance_from_zero():
    spread = torch.linspace(0.1, 0.3, 80)
    found = {
        "baseline": told(spread, 0.1),
        "less": told(0.1, spread + 0.1),
        "even": told(spread, spread),
    }
    pairs = headline_pairs(found, tiny.sampling(CFG))
    assert set(pairs["figure"]) == {"glucose"}  # of the other the diagnosis is unknown
    table = inversion_table(found, DATA, tiny.sampling(CFG))
    own = table[(table["attribute"] == "glucose") & (table["group"] == "difference")]
    share = own.set_index("defense")["share"]
    assert share["less"] < 0 < share["baseline"]
    for line in pairs.to_dict("records"):
        further = abs(share[line["defense"]]) - abs(share[line["other"]])
        assert line["difference"] == pytest.approx(further, abs=1e-6)
    even = pairs[pairs["defense"] == "even"].set_index("other")
    expected = spread[5:].std().item() / 75**0.5
    assert even.loc["baseline", "se"] == pytest.approx(expected, rel=0.15)
    assert (pairs["patients"] == 80).all()


def test_without_anybody_who_is_both_nothing_is_compared():
    found = {name: told(float("nan"), 0.1) for name in ("baseline", "hard")}
    assert len(headline_pairs(found, tiny.sampling(CFG))) == 0


def test_copied_visits_leave_every_figure_as_it_is():
    visits = np.arange(80).repeat(3)
    once = told(torch.linspace(0.1, 0.3, 80), 0.1)
    often = replace(once, alone=once.alone[..., visits], aided=once.aided[..., visits])
    tables = [
        inversion_table({"baseline": one}, DATA, tiny.sampling(CFG))
        for one in (once, by_patient(often, visits))
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)
    assert torch.equal(by_patient(once, np.arange(80)).alone.nan_to_num(), once.alone.nan_to_num())
