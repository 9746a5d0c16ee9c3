"""Figures of membership scores: known answers, honest gaps, and the right people at the top."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from pipeline.config import AuditConfig
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.risks.membership.tables import (
    CLAIMED,
    RATES,
    VARIANTS,
    band_names,
    exposure,
    membership_table,
    roc_table,
    subgroups,
)
from pipeline.standards import ATLAS, NIST, OWASP
from risks.membership.made_up import CLAIM, made_up_leak

CFG = AuditConfig(
    eps=[0.0, 0.1], headline="clinical", headline_eps=0.1, confidence=0.95, resamples=200
)
DATA = tiny.records(80, seed=2)


@pytest.fixture
def leak():
    return made_up_leak(DATA, targets=60, effect=1.0)


@pytest.fixture
def table(leak):
    return membership_table({"baseline": leak}, CFG, seed=0).set_index("attack")


def test_a_row_for_each_attack_and_the_control(table):
    assert list(table.index) == ["loss", "lira", BLIND]
    assert set(VARIANTS) >= set(table.index)


def test_figures_lie_inside_their_intervals(table):
    for name in ("auroc", "tpr_at_1pct"):
        shown = table.dropna(subset=name)
        assert (shown[f"{name}_low"] <= shown[name]).all()
        assert (shown[name] <= shown[f"{name}_high"]).all()


def test_a_shift_of_one_standard_deviation_gives_its_auroc(table):
    assert table.loc["loss", "auroc"] == pytest.approx(0.7602, abs=0.02)  # Phi(1 / sqrt 2)


def test_the_control_finds_nothing(table):
    assert table.loc[BLIND, "auroc_low"] <= 0.5 <= table.loc[BLIND, "auroc_high"]


def test_few_decisions_show_no_rare_rate(table):
    decisions = 60 * 80 / 2
    assert decisions < 3 / RATES["tpr_at_01pct"]
    assert table["tpr_at_01pct"].isna().all()
    assert table["tpr_at_1pct"].notna().all()


def test_the_gap_is_between_members_and_others(table, leak):
    right = leak.log_odds > 0
    gap = right[leak.member].float().mean() - right[~leak.member].float().mean()
    assert table["gap"].to_numpy() == pytest.approx(np.full(3, float(gap)), abs=1e-6)


def test_only_who_claims_has_an_epsilon(leak):
    private = replace(leak, claim=CLAIM)
    table = membership_table({"baseline": leak, "dp_train": private}, CFG, seed=0)
    named = [
        "epsilon_claimed",
        "epsilon_recomputed",
        "delta",
        "epsilon_lower_bound",
        "epsilon_ceiling",
    ]
    assert table.loc[table["defense"] == "baseline", list(CLAIMED)].isna().all(axis=None)
    private = table[table["defense"] == "dp_train"]
    assert (private[named] == [3.0, 2.9, 1e-4, 2.4, 47.0]).all(axis=None)
    more = ["epsilon_gaussian", "epsilon_counts", "noise_measured", "epsilon_replace_one"]
    assert (private[more] == [2.7, 1.3, 0.998, 6.9]).all(axis=None)
    assert (private[["epsilon_patient", "epsilon_all"]] == [20.3, 23.5]).all(axis=None)
    assert (private["noise_source"] == "seeded: not for release").all()


@pytest.mark.parametrize(
    "audit", [None, {**CLAIM["audit"], "bounds": {"gaussian": None, "counts": 1.3}}]
)
def test_what_an_audit_does_not_say_is_empty(leak, audit):
    table = membership_table({"dp_train": replace(leak, claim={**CLAIM, "audit": audit})}, CFG, 0)
    assert table["epsilon_gaussian"].isna().all()
    assert table["epsilon_lower_bound"].isna().all() == (audit is None)


def test_every_row_names_known_ids(table):
    attacks = table.drop(index=BLIND)
    for column, known in (("atlas", ATLAS), ("nist", NIST), ("owasp", OWASP)):
        assert all(one in known for ids in attacks[column] for one in ids.split())
    assert (table.loc[BLIND, ["atlas", "nist", "owasp", "access"]] == "none").all()
    assert table.loc["loss", "knowledge"] == "black box"
    assert table.loc[["loss", BLIND], "shadows"].tolist() == [0, 0]
    assert table.loc["lira", ["shadows", "knowledge"]].tolist() == [
        59,
        "black box and shadow models",
    ]


def test_the_roc_runs_from_rare_accusations_to_everybody(leak):
    curve = roc_table({"baseline": leak}, points=20).query("attack == 'loss'")
    assert (curve["fpr"].diff().dropna() > 0).all()
    assert (curve["tpr"].diff().dropna() >= 0).all()
    assert curve["tpr"].iloc[-1] == 1


def test_who_shows_most_stands_first(leak):
    leak.log_odds[:, 7] = leak.member[:, 7].float() * 5
    table = exposure(leak, DATA)
    assert table.loc[7, "exposure"] == 1
    assert table.loc[table["most_exposed"], "patient"].tolist() == [7]
    assert table["glucose"].equals(table["glucose"].astype(np.float32))


def test_exposure_of_nobody_is_a_half_on_average():
    table = exposure(made_up_leak(DATA, targets=100, effect=0.0), DATA)
    assert table["exposure"].mean() == pytest.approx(0.5, abs=0.02)


def test_groups_cover_everybody_once(leak, cfg):
    table = subgroups({"baseline": exposure(leak, DATA)}, cfg.data, CFG, seed=0)
    assert table.loc[table["by"] == "age", "group"].tolist() == [
        "below 30",
        "30 to below 45",
        "45 and above",
    ]
    for by in ("outcome", "age"):
        chosen = table[table["by"] == by]
        known = len(DATA.y) if by == "outcome" else int((~torch.isnan(DATA.x[:, 4])).sum())
        assert chosen["patients"].sum() == known
        assert (chosen["exposure_low"] <= chosen["exposure"]).all()


def test_one_cut_makes_two_bands():
    assert band_names([18]) == ["below 18", "18 and above"]
