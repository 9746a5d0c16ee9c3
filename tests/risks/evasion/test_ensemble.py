"""The table of a vote under attack is what its rows say, and the chapter shows both attackers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from defenses.transformers import configured
from kinds import official_split, scans
from pipeline.config import AuditConfig
from pipeline.defenses.trained import train
from pipeline.presentation.chapter import Fold, Items, Picture, Table
from pipeline.risks.evasion.chapters import ensemble as chapters
from pipeline.risks.evasion.ensemble import ensemble_table, of_students
from pipeline.risks.evasion.measure.ensemble import Ensemble
from pipeline.risks.evasion.measure.examination import examine
from pipeline.risks.evasion.view import View
from pipeline.statistics.edges import wilson
from pipeline.statistics.intervals import Sampling

DRAWN = Sampling(resamples=200, confidence=0.95, seed=0)
RADII = [0.0, 0.1, 0.3]


def made_up(seed=0, patients=80, more=1.0) -> Ensemble:
    drawn = torch.Generator().manual_seed(seed)
    y = torch.arange(patients) % 2

    def of(share, more, count=3):
        turned = torch.rand(count, 2, patients, generator=drawn) < share
        return torch.where(turned, -1.0, 3.0), more + torch.rand(
            count, 2, patients, generator=drawn
        )

    each = {"none": of(0.1, 0.0, 1), "grey": of(0.3, 0.5), "sum": of(0.7, 0.1)}
    each |= {"count": of(0.6, 0.1), "adaptive": of(0.8 * more, 0.1)}
    ahead, disagree = ({name: one[place] for name, one in each.items()} for place in (0, 1))
    ahead["adaptive"] = torch.minimum(ahead["adaptive"], ahead["grey"])
    return Ensemble(RADII, y, ahead, disagree, torch.full((2, patients), 0.95))


def test_every_figure_is_the_share_that_it_is_called():
    one = made_up()
    table = ensemble_table({"seda": one}, DRAWN)
    assert list(zip(table["attacker"], table["eps"], strict=True)) == [
        ("none", 0.0),
        ("grey", 0.1),
        ("grey", 0.3),
        ("sum", 0.1),
        ("sum", 0.3),
        ("count", 0.1),
        ("count", 0.3),
        ("adaptive", 0.1),
        ("adaptive", 0.3),
    ]
    assert (table["patients"] == 80).all()
    assert (table["ill"] == 40).all()
    for _, line in table.iterrows():
        who, place = line["attacker"], RADII.index(line["eps"])
        wrong = (one.ahead[who][place] <= 0).numpy()
        reported = one.disagree[who][place].numpy() > 0.95
        assert line["accuracy"] == pytest.approx(1 - wrong.mean())
        assert line["missed_diagnosis_rate"] == pytest.approx(wrong[:, 1::2].mean())
        assert line["false_alarm_rate"] == pytest.approx(wrong[:, ::2].mean())
        assert line["reported"] == pytest.approx(reported.mean())
        assert line["unreported_error"] == pytest.approx((wrong & ~reported).mean())
        for name in ("accuracy", "missed_diagnosis_rate", "reported", "unreported_error"):
            assert line[f"{name}_low"] < line[name] < line[f"{name}_high"]


def test_a_vote_that_is_always_turned_has_an_interval_all_the_same():
    one = made_up()
    one.ahead["adaptive"].fill_(-1.0)
    table = ensemble_table({"seda": one}, DRAWN).set_index(["attacker", "eps"])
    line = table.loc[("adaptive", 0.3)]
    bounds = line[["accuracy_low", "accuracy", "accuracy_high"]].tolist()
    assert bounds == pytest.approx([0.0, 0.0, wilson(0, 80)[1]])
    bounds = line[[f"missed_diagnosis_rate{end}" for end in ("_low", "", "_high")]].tolist()
    assert bounds == pytest.approx([wilson(40, 40)[0], 1.0, 1.0])


def test_the_detectors_auroc_is_counted_pair_by_pair_within_each_seed():
    one = made_up()
    table = ensemble_table({"seda": one}, DRAWN).set_index(["attacker", "eps"])
    clean, attacked = one.disagree["none"][0].numpy(), one.disagree["grey"][1].numpy()
    wins = [np.mean(attacked[s][:, None] > clean[s][None, :]) for s in range(2)]
    line = table.loc[("grey", 0.1)]
    assert line["detector_auroc"] == pytest.approx(np.mean(wins))
    assert line["detector_auroc_low"] < line["detector_auroc"] < line["detector_auroc_high"]
    assert np.isnan(table.loc[("none", 0.0), "detector_auroc"])


def test_what_is_claimed_too_much_is_a_paired_difference_corrected_over_all_rows():
    found = {"seda": made_up(), "other": made_up(1, more=0.0)}
    found["other"].ahead["adaptive"] = found["other"].ahead["grey"].clone()
    table = ensemble_table(found, DRAWN)
    adaptive = table[table["attacker"] == "adaptive"].set_index(["defense", "eps"])
    assert table[table["attacker"] != "adaptive"]["excess"].isna().all()
    for (name, eps), line in adaptive.iterrows():
        one, place = found[name], RADII.index(eps)
        right = {who: (one.ahead[who][place] > 0).double() for who in ("grey", "adaptive")}
        assert line["excess"] == pytest.approx(float((right["grey"] - right["adaptive"]).mean()))
        assert line["excess_low"] <= line["excess"] <= line["excess_high"]
    assert (adaptive.loc["seda", "excess_verdict"] == "claims too much").all()
    assert (adaptive.loc["other", "excess_verdict"] == "not told apart").all()
    alone = ensemble_table({"seda": found["seda"]}, DRAWN)
    ratio = adaptive.loc["seda", "excess_p"].max() / alone["excess_p"].max()
    assert ratio >= 1  # more comparisons, never a smaller p


def test_of_nobody_who_votes_the_table_is_empty_and_there_is_no_chapter(view, tmp_path):
    assert not len(ensemble_table({}, DRAWN))
    assert chapters.chapter(view, tmp_path) is None


def test_the_chapter_shows_both_attackers_in_one_picture_and_a_short_table(view, tmp_path):
    (name,) = list(view.flags)[1:2]
    table = ensemble_table({name: made_up()}, DRAWN)
    shown = chapters.chapter(View({**view.tables, "ensemble": table}, view.cfg), tmp_path)
    assert [type(part) for part in shown.parts].count(Picture) == 1
    (open_,) = (part for part in shown.parts if isinstance(part, Table))
    assert len(open_.table) == 2
    assert (open_.table["conclusion"] == "claims too much").all()
    eps = min(RADII[1:], key=lambda one: abs(one - view.eps))
    line = table[(table["attacker"] == "adaptive") & (table["eps"] == eps)].iloc[0]
    assert f"{name} {line['accuracy']:.3f} (" in shown.result
    assert shown.result.endswith(f" By rule, claims too much: {name}.")
    said = [part for part in shown.parts if isinstance(part, Fold)]
    (read,) = (part for fold in said for part in fold.parts if isinstance(part, Items))
    assert len(read.entries) == 5
    assert all("In the released code" in text for _, text in read.entries)
    drawn = (tmp_path / "votes.svg").read_text(encoding="utf-8")
    assert drawn.count("grey box") == 2  # beside its line, and in words


def test_a_student_is_counted_by_brute_force_over_the_rows_of_its_examination(examined):
    """Somebody else's PGD stands in for images made against the transformer."""
    name, one = "seda_student", [*examined.values()][1]
    attacks = one.rows["attack"].replace("pgd_margin", "transfer")
    one = replace(one, rows=one.rows.assign(attack=attacks))
    threat = next(iter(one.margins))
    found = of_students({"baseline": one, name: one}, threat)
    assert list(found) == [name]
    table = ensemble_table(found, DRAWN).set_index(["attacker", "eps"])
    rows = one.rows[one.rows["threat"] == threat]
    for eps in sorted(rows["eps"].unique())[1:]:
        within = rows[rows["eps"] <= eps]
        sent = within[within["attack"] == "transfer"]
        for attacker, own in (("grey", sent), ("adaptive", within)):
            least = own.groupby(["repetition", "patient"])["margin"].min()
            assert table.loc[(attacker, eps), "accuracy"] == pytest.approx((least > 0).mean())
            ill = own[own["y"] == 1].groupby(["repetition", "patient"])["margin"].min()
            missed = table.loc[(attacker, eps), "missed_diagnosis_rate"]
            assert missed == pytest.approx((ill <= 0).mean())
    assert table[["reported", "unreported_error", "detector_auroc"]].isna().all(None)


@pytest.mark.heavy
def test_a_student_of_images_is_asked_again_image_by_image(values):
    """Each image made against the bare transformer, and each made against it, counted by hand."""
    dataset = scans(120, seed=0)
    plan = official_split(dataset, train=80, seeds=1).select(torch.arange(1))
    attacks = {"fgsm": {"method": "fgsm"}, "apgd_margin": {"method": "apgd", "steps": 5}}
    own = {"student_channels": [8], "student_hidden": [8], "student_epochs": 10, "labels": "soft"}
    teacher = {"read": 2, "channels": [8], "hidden": [6], "epochs": 3, "temperature": 20.0}
    small = configured(values)
    headline = {"eps": [0.0, 0.125, 0.25], "headline": "pixels", "headline_eps": 0.125}
    audit = AuditConfig(**{**small.audit.model_dump(), **headline})
    threat = {"pixels": small.threat["pixels"]}
    changes = {"audit": audit, "attack": attacks, "threat": threat, "seda_student": own | teacher}
    cfg = small.model_copy(update=changes)
    bare, student = (train(name, dataset, plan, cfg) for name in ("baseline", "seda_student"))
    _, sent = examine(bare, dataset, plan, cfg)
    one, made = examine(student, dataset, plan, cfg, transfer=sent)
    table = ensemble_table(of_students({"seda_student": one}, "pixels"), DRAWN)
    table = table.set_index(["attacker", "eps"])
    held = plan.held_out[0].nonzero()[:, 0]
    exact, turned = student.double(), {"grey": set(), "adaptive": set()}
    for place, eps in enumerate(headline["eps"]):
        for attacker, images in (("grey", [sent]), ("adaptive", [sent, made])):
            for number, patient in enumerate(held.tolist()):
                for each in images:
                    image = each["pixels/worst"][place, 0, number].double()
                    said = exact(image[None, None])[0, 0]
                    if said[dataset.y[patient]] <= said[1 - dataset.y[patient]]:
                        turned[attacker].add(patient)
            key = (attacker, eps) if eps else ("none", 0.0)
            left = 1 - len(turned[attacker]) / len(held)
            assert table.loc[key, "accuracy"] == pytest.approx(left)
    assert turned["grey"] < turned["adaptive"]
    adaptive = table.loc[("adaptive", 0.25)]
    difference = (len(turned["adaptive"]) - len(turned["grey"])) / len(held)
    assert adaptive["excess"] == pytest.approx(difference)
