"""Radii in units, whom a share is of, and no count of a few where patients are hidden."""

import pandas as pd
import pytest

from pipeline.risks.evasion.wording import (
    among,
    budget,
    change_within,
    leading,
    part_of,
    threat_in_words,
)


@pytest.mark.parametrize(
    ("eps", "said"),
    [(0.3, "eps 0.3 (9 mg/dL of glucose)"), (0.05, "eps 0.05 (1 mg/dL of glucose)")],
)
def test_a_radius_has_a_unit_on_the_grid_of_the_clinic(cfg, eps, said):
    assert budget(cfg, "clinical", eps, "glucose") == said


def test_a_radius_off_the_grid_is_not_rounded(cfg):
    loose = cfg.threat["clinical"].model_copy(update={"recorded_grid": False})
    assert change_within(cfg.data.features["glucose"], loose, 0.05) == pytest.approx(1.5)


def test_a_radius_that_counts_says_what(cfg):
    l0 = cfg.threat["clinical"].model_copy(update={"norm": "l0"})
    error = cfg.threat["clinical"].model_copy(update={"unit": "error"})
    known = cfg.model_copy(update={"threat": {"l0": l0, "error": error}})
    assert budget(known, "l0", 1.0, "glucose") == "1 measurement"
    assert budget(known, "l0", 2.0, "glucose") == "2 measurements"
    assert budget(known, "error", 2.0, "glucose") == "2 measurement errors (6 mg/dL of glucose)"
    assert budget(known, "gone", 2.0, "glucose") == "eps 2"


def test_the_leading_measurement_turns_the_most_answers_of_the_undefended_models(cfg):
    alone = pd.DataFrame(
        {
            "defense": ["baseline"] * 3 + ["other"],
            "feature": ["glucose", "bmi", "age", "insulin"],
            "all": [0.2, 0.4, 0.9, 1.0],
        }
    )
    assert leading(cfg.data.features, alone) == "bmi"  # nobody forges an age
    assert leading(cfg.data.features, alone.assign(all=float("nan"))) == "glucose"
    assert leading(cfg.data.features) == "glucose"
    assert leading({}) == ""


@pytest.mark.parametrize(
    ("part", "whole", "hidden", "said"),
    [
        (148.6, 268, True, "149 of 268"),
        (9, 268, False, "9 of 268"),
        (9, 268, True, "fewer than 10 of 268"),
        (9.6, 268, True, "10 of 268"),
        (0, 268, True, "0 of 268"),
        (260, 268, True, "all but fewer than 10 of 268"),
        (268, 268, True, "268 of 268"),
    ],
)
def test_neither_a_few_nor_all_but_a_few_are_told(part, whole, hidden, said):
    assert part_of(part, whole, hidden) == said


def test_whom_a_share_is_of(tables, context):
    y = context.dataset.y
    cfg = context.cfg
    assert among(tables, cfg, 1) == f"{int((y == 1).sum())} ill patients"
    assert among(tables, cfg, 0) == f"{int((y == 0).sum())} healthy patients"
    assert among(tables, cfg) == f"{len(y)} patients"
    assert among({"comparison": tables["comparison"]}, cfg, 1) == ""


def test_of_several_records_a_patient_the_records_are_counted_too(tables, context):
    groups = tables["groups"].assign(patients=30.0)
    said = among({**tables, "groups": groups}, context.cfg, 1)
    assert said == f"{int((context.dataset.y == 1).sum())} records of 30 ill patients"


def test_a_number_that_is_hidden_is_not_told_here_either(tables, context):
    groups = tables["groups"].assign(patients=float("nan"))
    said = among({**tables, "groups": groups}, context.cfg, 1)
    assert said == "ill patients, how many is not told"


def test_a_threat_is_named_by_goal_knowledge_norm_and_unit(view):
    said = threat_in_words(view.line(view.attacked), view.cfg, "glucose")
    assert said == (
        "clinical; any wrong answer; white box; every value by at most eps 0.1 (3 mg/dL of glucose)"
    )
