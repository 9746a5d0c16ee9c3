"""Membership as people read it: every attack with its interval, a claim beside what was shown."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

import parts
import tiny
from pipeline import params
from pipeline.attacks.membership import MEMBERSHIP
from pipeline.presentation.chapter import Chapter
from pipeline.risks.membership import pictures, report
from pipeline.risks.membership.patients import MOST, standing_out
from pipeline.risks.membership.risk import RISK
from pipeline.risks.membership.tables import STRONGEST
from pipeline.risks.risk import Context, Judgement, Sources
from risks.membership.made_up import CLAIM, made_up_leak

pytestmark = pytest.mark.heavy

DATA = tiny.records(80, seed=2)


@pytest.fixture(scope="module")
def context(smoke_text):
    return Context(DATA, params.parse(yaml.safe_load(smoke_text), "conf"))


@pytest.fixture(scope="module")
def tables(context, tmp_path_factory):
    leak = made_up_leak(DATA, targets=20, effect=1.0)
    examined = {}
    for name, one in (("baseline", leak), ("dp_train", replace(leak, claim=CLAIM))):
        examined[name] = tmp_path_factory.mktemp(name)
        one.save(examined[name] / "membership")
    return RISK.tables(Sources(examined), context)


@pytest.fixture(scope="module")
def chapter(tables, context, tmp_path_factory):
    (chapter,) = RISK.chapters(tables, context, tmp_path_factory.mktemp("chapter"))
    return chapter


def test_the_tables(tables):
    assert list(tables) == [
        "membership",
        "membership_pairs",
        "exposed",
        "subgroups",
        "plots/membership_roc",
        "exposure",
    ]
    assert len(tables["exposure"]) == 2 * 80
    assert tables["exposed"]["most_exposed"].all()
    assert tables["exposed"].groupby("defense", sort=False).size().tolist() == [1, 1]


def compared(context, place, **leaks):
    """The headline of these leaks."""
    for name, one in leaks.items():
        (place / name).mkdir()
        one.save(place / name / "membership")
    return RISK.headline(
        RISK.tables(Sources({name: place / name for name in leaks}), context), context.cfg
    )


def test_headline_figures_have_the_pairs_of_their_own_values(context, tmp_path):
    leaks = {
        name: made_up_leak(DATA, targets=20, effect=effect, seed=seed)
        for seed, (name, effect) in enumerate((("baseline", 1.0), ("dp_train", 0.0)))
    }
    first, second = compared(context, tmp_path, **leaks)
    assert (first.weighed, second.weighed) == (True, False)
    for one in (first, second):
        (pair,) = one.pairs.to_dict("records")
        gain = one.table.loc[pair["defense"], "value"] - one.table.loc[pair["other"], "value"]
        assert pair["difference"] == pytest.approx(gain, abs=1e-12)
        assert (pair["defense"], pair["other"], pair["patients"]) == ("dp_train", "baseline", 80)
        # of two that share nothing, variances add up
        alone = (one.table["high"] - one.table["low"]).to_numpy() / (2 * 1.96)
        assert pair["se"] == pytest.approx((alone**2).sum() ** 0.5, rel=0.35)


def test_twins_leak_alike_and_nothing_about_that_is_unsure(tables, context):
    for one in RISK.headline(tables, context.cfg):
        assert one.pairs[["difference", "se"]].to_numpy().tolist() == [[0.0, 0.0]]


def test_a_claim_stands_beside_the_audit_and_what_it_leaves_out(chapter):
    said = parts.items(chapter)
    assert list(said) == ["dp_train"]
    assert "What differential privacy claims, and what was shown" in parts.folds(chapter)
    for text in ("epsilon 3.000", "recomputed: 2.900", "2.400", "47.00", "hyper-parameters"):
        assert text in said["dp_train"]
    for text in ("6.90", "23.5", "20.3", "2.700", "1.300", "0.998", "not for release"):
        assert text in said["dp_train"]


def test_a_claim_of_records_says_what_it_is_of_a_patient_with_several(tables):
    line = tables["membership"].dropna(subset="epsilon_claimed").iloc[0]
    assert "per patient" not in report._claim(line)
    line = line.copy()
    line[["epsilon_one_patient", "records_of_a_patient"]] = 9.25, 4
    assert "one record added or removed" in report._claim(line)
    assert "per patient (up to 4 records): epsilon 9.250; recomputed" in report._claim(line)


def test_a_claim_of_hospitals_is_told_as_such(tables):
    line = tables["membership"].dropna(subset="epsilon_claimed").iloc[0].copy()
    line["defense"] = "federated_noisy_server (epsilon=8)"
    for said in (report._claim(line), report._claim_in_short(line)):
        assert "one hospital added or removed" in said
        assert "audited with the federation" in said
        assert "one record" not in said


def test_every_attack_on_every_defense_has_a_line_with_its_interval(chapter, tables):
    heads, groups, shown, others = parts.tables(chapter)
    table = tables["membership"]
    assert parts.is_short(chapter)
    assert shown["defense"].tolist() == table["defense"].tolist()
    assert shown["attack"].tolist() == table["attack"].tolist()
    line = table.iloc[1]
    assert shown["AUROC"][1] == (
        f"{line['auroc']:.3f} ({line['auroc_low']:.3f} to {line['auroc_high']:.3f})"
    )
    assert heads["defense"].tolist() == ["baseline", "dp_train"]
    strongest = table[table["attack"] == STRONGEST].reset_index()
    assert heads["strongest attack"].tolist() == strongest["variant"].tolist()
    assert others["AUROC without a model"].tolist() == [
        f"{value:.3f}" for value in strongest["auroc_control"]
    ]
    assert heads["AUROC"][0] == (
        f"{strongest['auroc'][0]:.3f} "
        f"({strongest['auroc_low'][0]:.3f} to {strongest['auroc_high'][0]:.3f})"
    )
    assert list(groups) == ["group", "patients", "baseline", "dp_train"]
    assert parts.bare_numbers(groups, "group", "patients") == []


def test_it_is_said_that_targets_know_half_of_the_patients(chapter, tables):
    trained_on = tables["membership"]["trained_on"].iloc[0]
    assert f"half of the 80 patients (about {trained_on:.0f} of them" in parts.notes(chapter)


def test_the_worst_group_is_named_and_comes_first(chapter, tables):
    heads, groups, *_ = parts.tables(chapter)
    worst = tables["subgroups"].sort_values("exposure", ascending=False).iloc[0]
    assert groups["group"][0] == f"{worst['by']}: {worst['group']}"
    table = tables["subgroups"]
    own = table[(table["defense"] == "baseline") & (table["group"] != MOST)].iloc[0]
    mean = f"{own['exposure']:.3f} ({own['exposure_low']:.3f} to {own['exposure_high']:.3f})"
    assert heads["exposure, worst group"][0] == f"{own['by']} {own['group']}: {mean}"
    # the most exposed are others with each defense, and have one row all the same
    assert (groups["group"] == f"exposure: {MOST}").sum() == 1
    assert not groups.isna().any(axis=None)


def test_what_cannot_be_said_is_a_dash(chapter, tables):
    assert tables["membership"]["tpr_at_01pct"].isna().all()
    assert (parts.tables(chapter)[2]["TPR at 0.1 % FPR"] == "-").all()


def test_a_curve_is_the_roc_of_its_attack(tables, context, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, pictures)
    monkeypatch.setattr(pictures, "thinned", lambda x, y: np.ones(len(x), dtype=bool))
    (chapter,) = RISK.chapters(tables, context, tmp_path)
    assert [path.exists() for path in parts.pictures(chapter)] == [True, True]
    roc = tables["plots/membership_roc"]
    roc = roc[(roc["fpr"] >= 1e-3) & (roc["tpr"] > 0)]
    attacks = list(roc["attack"].unique())
    table = tables["membership"]
    for name in ("baseline", "dp_train"):
        own = roc[roc["defense"] == name]
        for panel, attack in enumerate(attacks):
            of = own[own["attack"] == attack]
            points = list(zip(of["fpr"], of["tpr"], strict=True))
            assert parts.curve(figures[1], panel, name) == points
        (line,) = table[(table["defense"] == name) & (table["attack"] == STRONGEST)].to_dict(
            "records"
        )
        chosen = own[own["attack"] == line["variant"].split(" and ")[0]]
        chosen = chosen[chosen["fpr"] <= 0.1]
        points = list(zip(chosen["fpr"], chosen["tpr"], strict=True))
        assert parts.curve(figures[0], 0, name) == points


def test_the_interval_at_one_percent_is_that_of_the_strongest(
    tables, context, tmp_path, monkeypatch
):
    figures = parts.drawn(monkeypatch, pictures)
    table = tables["membership"]
    lines = table[table["attack"] == STRONGEST]
    pictures.draw(table, tables["plots/membership_roc"], "", context, tmp_path)
    bars = figures[0].axes[0].containers
    known = lines[lines["tpr_at_1pct"] > 0]
    assert len(bars) == len(known)
    for bar, line in zip(bars, known.to_dict("records"), strict=True):
        low, high = bar.lines[2][0].get_segments()[0][:, 1]
        assert (low, high) == pytest.approx((line["tpr_at_1pct_low"], line["tpr_at_1pct_high"]))


def test_the_same_tables_give_the_same_picture(tables, chapter, context, tmp_path):
    first, _ = parts.pictures(chapter)
    roc, found = tables["plots/membership_roc"], RISK.finding(tables, context)
    again = pictures.draw(tables["membership"], roc, found.whole, context, tmp_path).path
    assert again.read_bytes() == first.read_bytes()
    assert found.whole.split(" (")[0] in first.read_text()
    for path in parts.pictures(chapter):
        assert path.stat().st_size < 80_000


def test_the_finding_says_what_the_table_says(tables, chapter, context):
    found = RISK.finding(tables, context)
    (line,) = (
        tables["membership"]
        .query("defense == 'baseline' and attack == 'strongest'")
        .to_dict("records")
    )
    area, _ = RISK.headline(tables, context.cfg)
    assert line["auroc"] == area.table.loc["baseline", "value"]
    assert f"AUROC {line['auroc']:.3f} ({line['auroc_low']:.3f} to" in found.whole
    assert f"{100 * line['tpr_at_1pct']:.1f} of 100" in found.whole
    members = line["tpr_at_1pct"] * line["trained_on"]
    assert f", {members:.0f} of {line['trained_on']:.0f}, while" in found.whole
    assert found.defense == "baseline"
    assert f"has AUROC {line['auroc']:.3f}" in chapter.result
    worse = tables["membership"].assign(auroc=0.9)  # a planted fault changes the sentence
    assert RISK.finding({**tables, "membership": worse}, context).whole != found.whole
    unseen = tables["membership"].assign(tpr_at_1pct=np.nan)
    assert "of 100" not in RISK.finding({**tables, "membership": unseen}, context).text
    assert RISK.finding({}, context) is None


@pytest.mark.parametrize("targets", [40, 128])
def test_by_chance_nobody_stands_out_and_who_was_remembered_does(targets):
    draw = np.random.default_rng(0)
    sides = targets // 4
    scores = draw.normal(size=(2, 2, sides, 2000))  # halves, members or not, models, patients
    above = (scores[:, 0, :, None] > scores[:, 1, None]).mean((1, 2))
    least, count = standing_out(above.mean(0), targets, 0.95)
    assert count <= 1
    assert 0.5 < least < 1
    assert standing_out(np.full(30, 0.99), targets, 0.95)[1] == 30
    assert standing_out(np.array([np.nan, 0.99]), targets, 0.95)[1] == 1
    # of one patient: the rate at which chance alone names him
    alone = standing_out(np.array([0.5]), targets, 0.95)[0]
    assert (above.mean(0) >= alone).mean() == pytest.approx(0.05, abs=0.02)


def test_the_page_for_a_data_protection_officer_counts_no_few(tables, chapter, context):
    brief = Chapter("", chapter.brief["privacy"])
    entries, (shown,) = parts.items(brief), parts.tables(brief)
    assert list(entries) == ["Worst group", "Patients who stand out", "dp_train", "Release"]
    exposure = tables["exposure"]
    for name, told in zip(shown["defense"], shown["patients who stand out"], strict=True):
        own = exposure[exposure["defense"] == name]["exposure"].to_numpy()
        count = standing_out(own, 20, context.cfg.audit.confidence)[1]
        assert told == ("fewer than 10" if 0 < count < 10 else str(count))
    assert "at least 2.400" in entries["dp_train"]
    some = {**tables, "exposure": exposure.assign(exposure=[0.99] * 3 + [0.5] * 157)}
    (again,) = RISK.chapters(some, context, parts.pictures(chapter)[0].parent)
    told = Chapter("", again.brief["privacy"])
    assert parts.items(told)["Patients who stand out"].startswith("fewer than 10 of 80")


def test_where_patients_are_hidden_no_few_members_are_counted(tables, context):
    report = context.cfg.report.model_copy(update={"patients": "hidden"})
    hidden = replace(context, cfg=context.cfg.model_copy(update={"report": report}))
    few = tables["membership"].assign(tpr_at_1pct=0.1)
    text = RISK.finding({**tables, "membership": few}, hidden).text
    assert re.search(r", fewer than 10 of \d\d, while", text)


def test_flags_stand_beside_names(tables, context, tmp_path):
    flagged = replace(context, judged={"dp_train": Judgement({"harms_a_group": "why"})})
    (chapter,) = RISK.chapters(tables, flagged, tmp_path)
    for table in parts.tables(chapter):
        assert "dp_train" not in [*parts.cells(table), *table]
    assert "dp_train" not in parts.items(chapter)
    for path in parts.pictures(chapter):
        assert "[harms a group]" in path.read_text()


def test_what_was_not_run_is_not_tested(tables, context):
    said = " ".join(RISK.untested(tables, context))
    for name in MEMBERSHIP:
        assert (name in said) == (name not in context.cfg.membership.attacks)
    assert len(RISK.untested({}, context)) == 1


def test_nothing_measured_nothing_said(context, tmp_path):
    assert RISK.tables(Sources({"baseline": tmp_path}), context) == {}
    assert RISK.chapters({}, context, tmp_path) == ()


def test_every_column_is_explained_and_none_that_is_not_there(tables):
    assert parts.unlike_its_explanation(RISK, tables, tiny.FEATURES) == {}


def test_whose_halves_they_are_is_said_where_they_are_not_everybodys(context):
    official = context.cfg.plan.model_copy(update={"kind": "official"})
    split = torch.tensor([0] * 60 + [2] * 20)
    cfg = context.cfg.model_copy(update={"plan": official})
    assert report._of_whom(context) == ""
    assert report._of_whom(Context(DATA, cfg)) == ""  # no split came with them
    said = report._of_whom(Context(replace(DATA, split=split), cfg))
    assert "halves of those whom the official split trains on" in said
