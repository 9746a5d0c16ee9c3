"""Accuracy and report by attack: closed forms, and one number for what other tables say too."""

import numpy as np
import pytest

from pipeline.config import BASELINE
from pipeline.models.answers import predicted
from pipeline.risks.evasion.classification import ALL, NONE, RATES, single_steps
from risks.evasion.made_up import DEFENSES, EPS, HEADLINE


def row(tables, defense, attack, eps, ill=True):
    table = tables["classification"]
    own = table[(table["defense"] == defense) & (table["attack"] == attack) & (table["eps"] == eps)]
    return own.iloc[int(ill)]


def test_which_attack_is_fgsm_is_its_method_not_its_name(cfg):
    renamed = {"mine": {"method": "fgsm"}, "fgsm": {"method": "noise"}}
    assert single_steps(cfg.model_copy(update={"attack": renamed})) == ["mine"]


def test_there_is_a_report_before_attack_under_fgsm_and_under_the_strongest(tables):
    table = tables["classification"]
    asked = [(NONE, 0.0), *((ALL, eps) for eps in EPS[1:]), *(("fgsm", eps) for eps in EPS[1:])]
    for name in DEFENSES:
        own = table[table["defense"] == name].drop_duplicates(["attack", "eps"])
        assert list(own[["attack", "eps"]].itertuples(index=False, name=None)) == asked


@pytest.mark.parametrize("ill", [True, False])
def test_a_rate_is_that_of_the_counts_and_lies_in_its_interval(tables, examined, ill):
    margins = examined[BASELINE].margins[HEADLINE]
    for attack, at, found in (
        (NONE, 0, margins.worst[0]),
        (ALL, 2, margins.worst[2]),
        ("fgsm", 2, margins.by_attack["fgsm"][2]),
    ):
        answer, own = predicted(found, margins.y) == int(ill), margins.y == int(ill)
        hit, called = (answer & own).sum(), answer.sum()
        line = row(tables, BASELINE, attack, EPS[at], ill)
        precision, recall = hit / called, hit / (len(answer) * own.sum())
        assert line["precision"] == pytest.approx(precision)
        assert line["recall"] == pytest.approx(recall)
        assert line["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
        assert line["support"] == own.sum()
        for name in RATES:
            assert line[f"{name}_low"] < line[name] < line[f"{name}_high"]


def test_fgsm_is_itself_and_not_the_suite(tables):
    """PGD of the made-up models takes more than FGSM does."""
    assert (
        row(tables, BASELINE, "fgsm", 0.5)["accuracy"] > row(tables, BASELINE, ALL, 0.5)["accuracy"]
    )


def test_what_other_tables_say_too_has_the_same_value_and_interval(tables):
    known = tables["comparison"].set_index(["defense", "threat", "eps"])
    left = tables["attacks"].set_index(["defense", "threat", "attack", "eps"])
    for line in tables["classification"].to_dict("records"):
        place = (line["defense"], HEADLINE, line["eps"])
        if line["attack"] == "fgsm":
            source = left.loc[line["defense"], HEADLINE, "fgsm", line["eps"]]
            names = ["accuracy", "accuracy_low", "accuracy_high"]
        else:
            source, names = known.loc[place], ["robust_accuracy", "robust_low", "robust_high"]
            recall = "sensitivity" if line["class"] == "diabetes" else "specificity"
            for end in ("", "_low", "_high"):
                assert line[f"recall{end}"] == pytest.approx(source[f"{recall}{end}"])
        said = [line[name] for name in ("accuracy", "accuracy_low", "accuracy_high")]
        np.testing.assert_allclose(said, source[names].astype(float))
