"""Figures of membership scores: known answers, honest gaps, and the right people at the top."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.attacks.membership import MEMBERSHIP, Signals
from pipeline.config import AuditConfig
from pipeline.risks.membership.measure.shadows import BLIND, Membership
from pipeline.risks.membership.patients import (
    MOST,
    exposure,
    exposure_by_half,
    of_patients,
    subgroups,
    worst_off,
)
from pipeline.risks.membership.tables import (
    CLAIMED,
    RATES,
    STRONGEST,
    VARIANTS,
    draw_up,
    membership_table,
    roc_table,
)
from pipeline.risks.risk import Context, Sources
from pipeline.standards import ATLAS, NIST, OWASP
from pipeline.statistics.separation import auroc
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
    return membership_table({"baseline": leak}, tiny.sampling(CFG)).set_index("attack")


def test_a_row_for_each_attack_and_the_control(table):
    assert list(table.index) == [STRONGEST, "loss", "lira", BLIND]
    assert {*VARIANTS, STRONGEST} >= set(table.index)


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
    assert table["gap"].to_numpy() == pytest.approx(np.full(4, float(gap)), abs=1e-6)


def test_only_who_claims_has_an_epsilon(leak):
    private = replace(leak, claim=CLAIM)
    table = membership_table({"baseline": leak, "dp_train": private}, tiny.sampling(CFG))
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
    table = membership_table(
        {"dp_train": replace(leak, claim={**CLAIM, "audit": audit})}, tiny.sampling(CFG)
    )
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


def exposures(leak):
    return exposure(exposure_by_half(leak), DATA)


def test_who_shows_most_stands_first(leak):
    leak.log_odds[:, 7] = leak.member[:, 7].float() * 5
    table = exposures(leak)
    assert table.loc[7, "exposure"] == 1
    assert table.loc[table["most_exposed"], "patient"].tolist() == [7]
    assert table["glucose"].equals(table["glucose"].astype(np.float32))


def test_exposure_of_nobody_is_a_half_on_average():
    table = exposures(made_up_leak(DATA, targets=100, effect=0.0))
    assert table["exposure"].mean() == pytest.approx(0.5, abs=0.02)


def test_a_patient_whom_one_half_knows_nothing_of_is_judged_by_the_other():
    leak = made_up_leak(DATA, targets=20, effect=1.0)
    leak.member[::2, 3] = True
    assert not np.isnan(exposures(leak).loc[3, "exposure"])
    leak.member[:, 3] = True
    assert np.isnan(exposures(leak).loc[3, "exposure"])


def groups_of(leak, cfg):
    told = exposure_by_half(leak)
    return subgroups(
        {"baseline": told}, {"baseline": exposure(told, DATA)}, cfg.data, tiny.sampling(CFG)
    )


def test_the_worst_group_stands_first(leak, cfg):
    leak.log_odds[:, DATA.y == 1] += 4 * leak.member[:, DATA.y == 1]
    table = groups_of(leak, cfg)
    assert (table["exposure"].diff().dropna() <= 0).all()
    assert table.loc[table["by"] == "outcome", "group"].tolist()[0] == cfg.data.classes[1]


def test_the_exposure_of_a_group_is_paired_with_the_undefended_models(leak, cfg):
    more = made_up_leak(DATA, targets=20, effect=2.0, seed=1)
    told = {"baseline": exposure_by_half(leak), "b": exposure_by_half(more)}
    each = {name: exposure(one, DATA) for name, one in told.items()}
    table = (
        subgroups(told, each, cfg.data, tiny.sampling(CFG))
        .set_index(["by", "group", "defense"])
        .sort_index()
    )
    of_groups = table.drop("exposure", level="by")
    assert len(of_groups) > 2
    for (by, group, name), line in of_groups.iterrows():
        gap = line["exposure"] - table.loc[(by, group, "baseline"), "exposure"]
        if name == "baseline":
            assert np.isnan(line["exposure_difference"])
        else:
            assert line["exposure_difference"] == pytest.approx(gap)
            assert line["exposure_difference_low"] <= gap <= line["exposure_difference_high"]
    assert table.loc["exposure", "exposure_difference"].isna().all()


def test_who_is_highest_by_chance_is_not_so_by_other_targets(cfg):
    same, other = [], []
    for seed in range(10):
        nothing = made_up_leak(DATA, targets=100, effect=0.0, seed=seed)
        same.append(exposures(nothing)["exposure"].nlargest(4).mean())
        other.append(groups_of(nothing, cfg).set_index("group").loc[MOST, "exposure"])
    assert np.mean(same) > 0.58  # chosen and judged by the same targets
    assert np.mean(other) == pytest.approx(0.5, abs=0.03)


def test_who_is_told_apart_by_either_half_is_told_of_by_the_other():
    by_half = np.array([[0.9, 0.5, 0.4] + [0.3] * 17, [0.2, 0.8, 0.4] + [0.3] * 17])
    told, times = worst_off(by_half)
    assert told[:3].tolist() == [0.2, 0.5, 0.0]
    assert times.tolist() == [1, 1] + [0] * 18


def weaker_and_stronger(**effects):
    """Attacks that find members by as much as `effects` says, on targets of even and odd number."""
    leak = made_up_leak(DATA, targets=60, effect=0.0)
    noise = torch.Generator().manual_seed(5)
    scores = {}
    for attack, halves in effects.items():
        scores[attack] = torch.randn(leak.member.shape, generator=noise)
        for half, effect in enumerate(halves):
            scores[attack][half::2] += effect * leak.member[half::2]
    return replace(leak, scores=scores | {BLIND: leak.scores[BLIND]})


def strongest_row(leak):
    table = membership_table({"baseline": leak}, tiny.sampling(CFG)).set_index("attack")
    return table.loc[STRONGEST], table


def test_the_strongest_attack_is_named_with_all_that_it_needs():
    line, table = strongest_row(weaker_and_stronger(loss=(0.2, 0.2), rmia=(1.0, 1.0)))
    assert line["variant"] == "rmia"
    assert (line["shadows"], line["knowledge"]) == (59, "black box and shadow models")
    same = ["auroc", "auroc_low", "auroc_high", "tpr_at_1pct", "advantage"]
    assert line[same].tolist() == table.loc["rmia", same].tolist()


def test_an_attack_is_chosen_on_other_targets_than_those_that_it_is_judged_on():
    # each is good on one half alone: chosen elsewhere, each meets the half where it finds nothing
    line, table = strongest_row(weaker_and_stronger(loss=(2.0, 0.0), rmia=(0.0, 2.0)))
    assert line["variant"] == "rmia and loss"
    assert line["auroc"] == pytest.approx(0.5, abs=0.03)
    assert line["advantage"] == pytest.approx(0.0, abs=0.06)
    assert table.loc["loss", "auroc"] > 0.65


def test_the_control_is_never_the_strongest_and_stands_beside_every_figure():
    leak = weaker_and_stronger(loss=(0.0, 0.0))
    leak.scores[BLIND] += 3 * leak.member
    line, table = strongest_row(leak)
    assert line["variant"] == "loss"
    assert (table["auroc_control"] == table.loc[BLIND, "auroc"]).all()
    assert (table["tpr_at_1pct_control"] == table.loc[BLIND, "tpr_at_1pct"]).all()
    assert (table["patients"] == 80).all()
    assert table["trained_on"].to_numpy() == pytest.approx(float(leak.member.sum(1).float().mean()))


@pytest.mark.slow
def test_the_best_of_many_attacks_on_nothing_is_nothing():
    """Of forty populations without memory the interval holds 0.5 as often as it says."""
    names, holds, found = list(MEMBERSHIP), [], []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        member = torch.rand(24, 60, generator=generator) < 0.5
        odds = torch.randn(60, generator=generator) + torch.randn(24, 60, generator=generator)
        signals = Signals(odds.double(), odds.abs().double(), torch.sigmoid(odds.double()))
        scores = {name: MEMBERSHIP[name](signals, member).float() for name in names}
        leak = Membership(scores | {BLIND: torch.zeros(24, 60)}, member, odds, {})
        line, _ = strongest_row(leak)
        holds.append(line["auroc_low"] <= 0.5 <= line["auroc_high"])
        found.append(line["auroc"])
    assert np.mean(found) == pytest.approx(0.5, abs=3 * np.std(found) / len(found) ** 0.5)
    assert np.mean(holds) >= 0.85


def test_groups_cover_everybody_once(leak, cfg):
    table = groups_of(leak, cfg)
    assert set(table.loc[table["by"] == "age", "group"]) == {
        "below 30",
        "30 to below 45",
        "45 and above",
    }
    for by in ("outcome", "age"):
        chosen = table[table["by"] == by]
        known = len(DATA.y) if by == "outcome" else int((~torch.isnan(DATA.x[:, 4])).sum())
        assert chosen["patients"].sum() == known
        assert (chosen["exposure_low"] <= chosen["exposure"]).all()


# ---- several records of a patient ----

COPIES = 3


def visits_of(dataset):
    """Everybody comes three times, and never changes."""
    rows = torch.arange(len(dataset.y)).repeat_interleave(COPIES)
    return replace(dataset, x=dataset.x[rows], y=dataset.y[rows], patient=rows, together=rows)


def seen_again(leak):
    """What is found is the same at every visit."""
    return replace(
        leak,
        scores={name: one.repeat_interleave(COPIES, 1) for name, one in leak.scores.items()},
        member=leak.member.repeat_interleave(COPIES, 1),
        log_odds=leak.log_odds.repeat_interleave(COPIES, 1),
    )


def drawn_of(leak, dataset, cfg, folder):
    leak.save(folder / "membership")
    return draw_up(Sources({"baseline": folder}), Context(dataset, cfg))


def test_copied_visits_leave_every_table_as_it_is(leak, cfg, tmp_path):
    once, often = (
        drawn_of(one, dataset, cfg, tmp_path / name)
        for name, one, dataset in (
            ("once", leak, DATA),
            ("often", seen_again(leak), visits_of(DATA)),
        )
    )
    exposed = often["exposure"]
    exposed["patient"] //= COPIES
    often["exposed"]["patient"] //= COPIES
    for name, table in once.items():
        pd.testing.assert_frame_equal(table, often[name], rtol=1e-5)


def test_a_small_leak_of_every_record_adds_up_in_likelihood_ratios_alone():
    patients = torch.arange(40).repeat_interleave(COPIES)
    leak = made_up_leak(tiny.records(120, seed=3), targets=60, effect=0.0, seed=2)
    member = leak.member[:, ::COPIES][:, patients]
    ratio = leak.scores["lira"] / 2 + 0.5 * member
    one = replace(leak, scores={"lira": ratio, "loss": ratio}, member=member)
    whole = of_patients(one, patients.numpy())
    assert whole.member.shape == (60, 40)
    sides = [
        float(scores[whole.member].mean() - scores[~whole.member].mean())
        for scores in (whole.scores["lira"], whole.scores["loss"])
    ]
    assert sides[0] == pytest.approx(COPIES * sides[1], rel=1e-5)
    areas = [
        auroc(scores[inside].numpy(), scores[~inside].numpy())
        for scores, inside in ((ratio, member), (whole.scores["lira"], whole.member))
    ]
    assert areas[1] > areas[0] + 0.05


def test_targets_that_saw_some_visits_only_are_refused(leak):
    with pytest.raises(ValueError, match="some records of a patient"):
        of_patients(leak, np.arange(80) // 2)


def test_of_an_official_split_those_who_learn_are_listed_by_their_rows(leak, cfg, tmp_path):
    """40 records to test on stand before the 80; nothing else changes."""
    whole = tiny.records(120, seed=3)
    split = torch.tensor([2] * 40 + [0] * 80)
    x, y = torch.cat([whole.x[:40], DATA.x]), torch.cat([whole.y[:40], DATA.y])
    official = cfg.model_copy(update={"plan": cfg.plan.model_copy(update={"kind": "official"})})
    among = replace(
        DATA, x=x, y=y, patient=torch.arange(120), together=torch.arange(120), split=split
    )
    once = drawn_of(leak, DATA, cfg, tmp_path / "once")
    found = drawn_of(leak, among, official, tmp_path / "official")
    for name in ("exposure", "exposed"):
        assert found[name]["patient"].min() >= 40
        found[name]["patient"] -= 40
    for name, table in once.items():
        pd.testing.assert_frame_equal(table, found[name])
