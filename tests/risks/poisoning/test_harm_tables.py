"""Figures of harm: by plain loops over patients, paired with the same patients without poison."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.attacks.poisoning import ATTACKS
from pipeline.risks.poisoning.harm_tables import FIGURES, compared, dose_name, harm_table, warning
from pipeline.standards import ATLAS, NIST, OWASP
from pipeline.statistics import edges, intervals
from risks.poisoning.made_up import made_up_harm

DOSES = [1, 0.1]


@pytest.fixture
def setting(cfg):
    poisoning = cfg.poisoning.model_copy(
        update={"attacks": list(ATTACKS), "doses": DOSES, "adaptive_doses": DOSES}
    )
    return cfg.model_copy(update={"poisoning": poisoning})


@pytest.fixture
def found():
    return made_up_harm(60, doses=2, harm=2.0)


@pytest.fixture
def table(found, setting):
    return harm_table({"baseline": found, "distill": found}, setting, tiny.sampling(setting.audit))


def row(table, attack, dose):
    return table[
        (table["defense"] == "baseline") & (table["attack"] == attack) & (table["dose"] == dose)
    ].iloc[0]


def test_one_row_per_attack_and_dose_and_one_without_poison_per_defense(table):
    assert len(table) == 2 * (1 + len(ATTACKS) * 2)
    assert table.groupby("defense", sort=False)["attack"].first().tolist() == ["none", "none"]
    assert not table.duplicated(["defense", "attack", "dose"]).any()


def test_figures_are_those_of_a_plain_loop(table, found):
    line, y = row(table, "random_flips", 0.1), found.y.numpy()
    after, before = found.margins["random_flips"][1].numpy(), found.margins["none"][0].numpy()
    hits = [np.mean([m[n] > 0 for m in after]) for n in range(60)]
    hits_before = [np.mean([m[n] > 0 for m in before]) for n in range(60)]
    ill = [n for n in range(60) if y[n] == 1]
    assert line["accuracy"] == pytest.approx(np.mean(hits))
    assert line["accuracy_difference"] == pytest.approx(
        np.mean([a - b for a, b in zip(hits, hits_before, strict=True)])
    )
    assert line["sensitivity"] == pytest.approx(np.mean([hits[n] for n in ill]))
    assert line["sensitivity_difference"] == pytest.approx(
        np.mean([hits[n] - hits_before[n] for n in ill])
    )
    assert line["missed_diagnosis_rate"] == pytest.approx(1 - line["sensitivity"])
    assert line["missed_diagnosis_rate_difference"] == pytest.approx(
        -line["sensitivity_difference"]
    )
    assert line["proved_accuracy"] == pytest.approx(found.proved["random_flips"][1].double().mean())
    scores = [
        [
            (m[i] if y[i] else -m[i]) > (m[j] if y[j] else -m[j])
            for i in ill
            for j in range(60)
            if y[j] == 0
        ]
        for m in after
    ]
    assert line["auroc"] == pytest.approx(np.mean(scores))


def test_sensitivity_at_clean_false_alarms_is_that_of_a_plain_search(table, found):
    line, y = row(table, "worst_missed", 0.1), found.y.numpy()
    kept = []
    for after, before in zip(
        found.margins["worst_missed"][1].numpy(), found.margins["none"][0].numpy(), strict=True
    ):
        ill, healthy = after[y == 1], -after[y == 0]
        alarms = (-before[y == 0] > 0).sum()
        # any line between these two healthy patients makes as many alarms
        high, low = np.sort(healthy)[::-1][[alarms - 1, alarms]]
        kept.append(((ill > high).mean(), (ill > low).mean()))
    least, most = np.mean(kept, 0)
    assert least <= line["sensitivity_at_clean_false_alarms"] <= most
    assert line["sensitivity_at_clean_false_alarms"] != line["sensitivity"]


@pytest.mark.parametrize("shift", [-3.0, 1.0, 5.0])
def test_a_line_that_moves_costs_nothing_at_clean_false_alarms(found, setting, shift):
    """Poison that moves every score alike is no loss of ranking, whatever sensitivity says."""
    towards = torch.where(found.y == 1, shift, -shift)
    moved = found.margins | {"random_flips": (found.margins["none"] + towards).expand(2, -1, -1)}
    line = row(
        harm_table(
            {"baseline": replace(found, margins=moved)}, setting, tiny.sampling(setting.audit)
        ),
        "random_flips",
        1,
    )
    assert line["sensitivity_at_clean_false_alarms_difference"] == 0
    assert line["auroc_difference"] == pytest.approx(0, abs=1e-12)
    assert line["sensitivity_difference"] * shift > 0


def test_the_ranking_is_of_log_odds_and_not_of_distances_to_the_cut(found, setting):
    cuts = found.cuts["none"].clone()
    cuts[..., ::2] += 9.0  # other models, which draw the line elsewhere
    there = replace(found, cuts=found.cuts | {"none": cuts})
    first, other = (
        row(harm_table({"baseline": one}, setting, tiny.sampling(setting.audit)), "none", 0)
        for one in (found, there)
    )
    assert first["auroc"] != other["auroc"]
    assert first["sensitivity"] == other["sensitivity"]


def test_the_share_called_ill_warns_where_it_moves_a_third(table, found):
    y = found.y.numpy()
    share = [
        np.mean([(m > 0) == (y == 1) for m in found.margins[name][at].numpy()])
        for name, at in (("none", 0), ("worst_missed", 1))
    ]
    line = row(table, "worst_missed", 0.1)
    assert line["share_called_ill"] == pytest.approx(share[1])
    assert row(table, "none", 0)["warning"] == "none"
    figures = {"share_called_ill": 0.2, "share_called_ill_difference": -0.11}
    assert warning(figures) == "share called ill fell from 0.31 to 0.20"
    assert warning(figures | {"share_called_ill_difference": 0.09}) == (
        "share called ill rose from 0.11 to 0.20"
    )
    assert warning(figures | {"share_called_ill_difference": -0.09}) == "none"


def test_an_attack_at_some_doses_has_rows_at_these(setting):
    numbers = setting.poisoning.model_copy(update={"adaptive_doses": [0.1]})
    doses = {one: 1 if one.startswith("adaptive") else 2 for one in ATTACKS}
    harm = made_up_harm(60, doses=doses, harm=2.0)
    table = harm_table(
        {"baseline": harm},
        (setting := setting.model_copy(update={"poisoning": numbers})),
        tiny.sampling(setting.audit),
    )
    assert table.loc[table["attack"] == "adaptive_auroc", "dose"].tolist() == [0.1]
    assert table.loc[table["attack"] == "worst_flips", "dose"].tolist() == DOSES


def test_the_interval_of_a_difference_is_that_of_resampled_patients():
    generator = np.random.default_rng(0)
    after, before = generator.random(40), generator.random(40)
    weights = intervals.bootstrap_weights(40, 500, 0)
    figures = compared("x", after, before, weights, 0.95)
    drawn = [np.repeat(after - before, weight.astype(int)).mean() for weight in weights]
    assert figures["x_difference_low"] == pytest.approx(np.quantile(drawn, 0.025), abs=1e-6)
    assert figures["x_difference_high"] == pytest.approx(np.quantile(drawn, 0.975), abs=1e-6)
    assert figures["x_difference"] == pytest.approx(np.mean(after) - np.mean(before))


def test_without_poison_nothing_differs(table):
    line = row(table, "none", 0)
    assert all(
        line[f"{metric}_difference{end}"] == 0
        for metric in FIGURES[:-1]
        for end in ("", "_low", "_high")
    )
    assert (line["poisoned"], line["poison_rate"], line["goal"], line["atlas"]) == (
        0,
        0,
        "none",
        "none",
    )


def test_every_figure_lies_in_its_interval(table):
    for metric in FIGURES:
        for name in (metric, f"{metric}_difference"):
            shown = table.dropna(subset=name)
            assert len(shown)
            assert (shown[f"{name}_low"] <= shown[name]).all()
            assert (shown[name] <= shown[f"{name}_high"]).all()


def test_the_backdoor_succeeds_where_only_the_trigger_turns_the_answer(table, found):
    y, at = found.y.numpy(), 1
    counted, success, control = [], [], []
    for n in range(60):
        stamps = found.triggered[:, :, n]
        before = found.margins["none"][0, :, n] > 0
        if y[n] != 1 or bool(stamps[0, 0].isnan()) or not before.any():
            continue
        counted.append(n)
        turned = (stamps[1 + at] <= 0) & before
        success.append(float(turned.sum() / before.sum()))
        control.append(float(((stamps[0] <= 0) & before).sum() / before.sum()))
    line = row(table, "backdoor", 0.1)
    assert 5 < len(counted) < 60
    assert line["attack_success_rate"] == pytest.approx(np.mean(success))
    assert line["control"] == pytest.approx(np.mean(control))
    assert line["attack_success_rate_difference"] == pytest.approx(
        np.mean(success) - np.mean(control)
    )


def test_a_target_is_won_where_it_is_called_healthy(table, found):
    line = row(table, "one_patient", 1)
    assert line["attack_success_rate"] == pytest.approx(
        float((found.target_margins[1] <= 0).double().mean())
    )
    assert line["control"] == pytest.approx(float((found.target_margins[0] <= 0).double().mean()))
    assert np.isnan(line["accuracy"])
    assert np.isnan(row(table, "random_flips", 1)["attack_success_rate"])


def test_every_attack_names_goal_knowledge_access_and_known_ids(table):
    attacks = table[table["attack"] != "none"]
    assert set(attacks["goal"]) == {"availability", "backdoor", "targeted"}
    assert (attacks[["knowledge", "access"]] != "").all(axis=None)
    for column, known in (("atlas", ATLAS), ("nist", NIST), ("owasp", OWASP)):
        assert all(one in known for ids in attacks[column] for one in ids.split())


def test_the_table_survives_csv(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    again = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, na_values=[""])
    assert again["attack"].tolist() == table["attack"].tolist()
    assert [dose_name(dose) for dose in again["dose"]] == [
        dose_name(dose) for dose in table["dose"]
    ]


def test_doses_in_words():
    assert [dose_name(dose) for dose in (1, 1.0, 3, 0.1, 0.015)] == [
        "1 record",
        "1 record",
        "3 records",
        "10 %",
        "1.5 %",
    ]


def test_nobody_to_win_is_no_figure(found, setting):
    found.triggered[:] = torch.nan
    assert np.isnan(
        row(harm_table({"baseline": found}, setting, tiny.sampling(setting.audit)), "backdoor", 1)[
            "attack_success_rate"
        ]
    )


def test_all_of_a_few_targets_are_no_certainty(found, setting):
    found.target_margins[1] = -1.0
    line = row(
        harm_table({"baseline": found}, setting, tiny.sampling(setting.audit)), "one_patient", 1
    )
    assert (line["attack_success_rate"], line["attack_success_rate_high"]) == (1, 1)
    assert line["attack_success_rate_low"] == pytest.approx(edges.wilson(4, 4)[0])


def test_copied_visits_leave_every_figure_as_it_is(found, setting, table):
    visits = np.arange(60).repeat(3)
    copies = {"y": found.y[visits], "triggered": found.triggered[..., visits]}
    for name in ("margins", "cuts", "proved"):
        copies[name] = {attack: one[..., visits] for attack, one in getattr(found, name).items()}
    copies["targets"] = (found.targets[:, None] * 3 + torch.arange(3)).flatten()
    copies["target_margins"] = found.target_margins.repeat_interleave(3, -1)
    often = replace(found, **copies)
    again = harm_table(
        {"baseline": often, "distill": often}, setting, tiny.sampling(setting.audit, 0, visits)
    )
    ranked = [name for name in table if name.startswith("sensitivity_at_clean")]  # between records
    rounded = [f"attack_success_rate_{side}" for side in ("low", "high")]  # Wilson's whole numbers
    assert (set(table["unit"]), set(again["unit"])) == ({"records"}, {"patients"})
    others = table.columns.difference([*ranked, *rounded, "unit"])
    pd.testing.assert_frame_equal(again[others], table[others], rtol=1e-4, atol=1e-6)
    pd.testing.assert_frame_equal(again[rounded], table[rounded], atol=0.1)
