"""The frontier as a table: every figure from what was found, a claim only where one is made."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import tiny
from pipeline.config import AuditConfig
from pipeline.risks.frontier.tables import frontier_table
from pipeline.standards import ATLAS, NIST, OWASP
from risks.frontier.made_up import made_up

CFG = AuditConfig(
    eps=[0.0, 0.1], headline="clinical", headline_eps=0.1, confidence=0.95, resamples=200
)


@pytest.fixture
def found():
    return made_up()


@pytest.fixture
def table(found):
    return frontier_table(found, tiny.sampling(CFG))


def test_a_row_for_each_kind_and_epsilon(table):
    assert table["model"].tolist() == ["mlp", "mlp", "linear", "linear"]
    assert table["epsilon_claimed"].tolist()[::2] == [2.0, 2.0]
    assert table["epsilon_recomputed"].tolist()[::2] == [2.001, 2.001]
    assert table.loc[[1, 3], ["epsilon_claimed", "epsilon_recomputed"]].isna().all(axis=None)
    assert table.loc[[1, 3], "noise_multiplier"].tolist() == [0.0, 0.0]
    assert (table["epsilon_lower_bound"] == 0.4).all()
    assert (table["epsilon_ceiling"] == 3.8).all()
    assert (table["epsilon_gaussian"] == 0.5).all()
    assert (table["delta"] == 1e-4).all()


def test_figures_are_those_of_the_answers(table):
    first, last = table.iloc[0], table.iloc[-1]
    assert (first["accuracy"], first["sensitivity"], first["proved_accuracy"]) == (0.75, 1.0, 0.375)
    assert (last["accuracy"], last["sensitivity"], last["auroc"]) == (0.5, 0.0, 0.5)


def test_figures_lie_inside_their_intervals(table):
    for name in (
        "accuracy",
        "auroc",
        "sensitivity",
        "proved_accuracy",
        "lira_tpr_at_1pct",
        "lira_auroc",
    ):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
        assert (table[f"{name}_low"] >= 0).all()
        assert (table[f"{name}_high"] <= 1).all()
    assert (table["accuracy_high"] > table["accuracy_low"]).all()


def test_a_model_that_calls_nobody_ill_is_degenerate(table):
    assert table["degenerate"].tolist() == [False, False, True, True]


def test_one_undecided_patient_makes_a_proof_a_lower_bound(found, table):
    assert table["proved_exact"].all()
    broken = found.broken.clone()
    broken[0, 1, 0, 0] = False
    open_ = frontier_table(replace(found, broken=broken), tiny.sampling(CFG))
    assert open_["proved_exact"].tolist() == [True, False, True, True]
    assert open_["proved_accuracy"].equals(table["proved_accuracy"])


def test_a_shift_of_one_standard_deviation_gives_its_auroc(table):
    assert table["lira_auroc"].to_numpy() == pytest.approx(
        np.full(4, 0.7602), abs=0.03
    )  # Phi(1 / sqrt 2)


def test_every_row_names_known_ids(table):
    for column, known in (("atlas", ATLAS), ("nist", NIST), ("owasp", OWASP)):
        assert all(one in known for ids in table[column] for one in ids.split())


def test_copied_visits_leave_every_figure_as_it_is(found, table):
    visits = np.arange(80).repeat(3)
    often = replace(
        found,
        **{
            name: getattr(found, name)[..., visits]
            for name in ("y", "margin", "proved", "broken", "scores", "member")
        },
    )
    again = frontier_table(often, tiny.sampling(CFG, patient=visits))
    pd.testing.assert_frame_equal(again, table, rtol=1e-5)
    unaware = frontier_table(often, tiny.sampling(CFG))
    assert (unaware["accuracy_low"] > again["accuracy_low"]).all()


def test_at_radius_0_nothing_was_to_be_proved(found):
    table = frontier_table(replace(found, radius=0.0), tiny.sampling(CFG))
    assert table["proved_accuracy"].isna().all()
    assert frontier_table(found, tiny.sampling(CFG))["proved_accuracy"].notna().all()


def test_of_an_official_split_others_are_asked_by_the_attack_than_are_answered(found):
    """Two visits each of those who are answered; the attack asks about other people."""
    visits = np.arange(80) // 2
    judged, asked = tiny.sampling(CFG, patient=visits), tiny.sampling(CFG)
    table = frontier_table(found, judged, asked)
    alone = frontier_table(found, asked)
    for name in ("lira_auroc", "lira_auroc_low"):
        pd.testing.assert_series_equal(table[name], alone[name])
    assert not np.allclose(table["accuracy_low"], alone["accuracy_low"])
