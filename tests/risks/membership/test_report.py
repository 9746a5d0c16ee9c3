"""Membership as people read it: every attack with its interval, a claim beside what was shown."""

from dataclasses import replace

import pytest
import yaml

import parts
import tiny
from pipeline import params
from pipeline.risks.membership import report
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.risks.membership.patients import MOST
from pipeline.risks.membership.risk import RISK
from pipeline.risks.membership.tables import STRONGEST
from pipeline.risks.risk import Context, Sources
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


def test_every_attack_on_every_defense_has_a_line_with_its_interval(chapter, tables):
    heads, shown, groups = parts.tables(chapter)
    table = tables["membership"]
    assert shown["defense"].tolist() == table["defense"].tolist()
    assert shown["attack"].tolist() == table["attack"].tolist()
    line = table.iloc[1]
    assert shown["AUROC"][1] == (
        f"{line['auroc']:.3f} ({line['auroc_low']:.3f} to {line['auroc_high']:.3f})"
    )
    assert heads["defense"].tolist() == ["baseline", "dp_train"]
    strongest = table[table["attack"] == STRONGEST].reset_index()
    assert heads["strongest attack"].tolist() == strongest["variant"].tolist()
    assert heads["AUROC without a model"].tolist() == [
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
    heads, _, groups = parts.tables(chapter)
    worst = tables["subgroups"].sort_values("exposure", ascending=False).iloc[0]
    assert groups["group"][0] == f"{worst['by']}: {worst['group']}"
    table = tables["subgroups"]
    own = table[(table["defense"] == "baseline") & (table["group"] != MOST)].iloc[0]
    assert heads["worst group"][0] == f"{own['by']}: {own['group']}"


def test_what_cannot_be_said_is_a_dash(chapter, tables):
    assert tables["membership"]["tpr_at_01pct"].isna().all()
    assert (parts.tables(chapter)[1]["found at 0.1 %"] == "-").all()


def test_a_curve_is_the_roc_of_its_attack(tables, context, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, report)
    (chapter,) = RISK.chapters(tables, context, tmp_path)
    assert [path.exists() for path in parts.pictures(chapter)] == [True]
    roc = tables["plots/membership_roc"]
    for panel, name in enumerate(("baseline", "dp_train")):
        own = roc[(roc["defense"] == name) & (roc["attack"] == BLIND)]
        assert parts.curve(figures[0], panel, BLIND) == list(
            zip(own["fpr"], own["tpr"], strict=True)
        )


def test_the_same_tables_give_the_same_picture(tables, chapter, tmp_path):
    (first,) = parts.pictures(chapter)
    again = report.draw(tables["plots/membership_roc"], tmp_path).path
    assert again.read_bytes() == first.read_bytes()


def test_nothing_measured_nothing_said(context, tmp_path):
    assert RISK.tables(Sources({"baseline": tmp_path}), context) == {}
    assert RISK.chapters({}, context, tmp_path) == ()


def test_every_column_is_explained_and_none_that_is_not_there(tables):
    assert parts.unlike_its_explanation(RISK, tables, tiny.FEATURES) == {}
