"""Theft as one figure and as metrics: the best copy through a plain API, by questions."""

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.risks.theft.risk import RISK

COPIES = pd.DataFrame(
    {
        "defense": ["baseline", "baseline", "baseline", "hard"],
        "api": ["plain", "plain", "noisy", "plain"],
        "strategy": ["active", "equations", "active", "active"],
        "access": "labels",
        "surrogate": "mlp",
        "budget": 1000,
        "victims": 2,
        "patients": 317,
        "queries": 1000,
        "knowledge": "black box, schema",
        "fidelity": [0.95, 1.0, 0.99, 0.97],
    }
)
COPIES = COPIES.assign(
    fidelity_low=COPIES["fidelity"] - 0.01, fidelity_high=COPIES["fidelity"] + 0.01
)


@pytest.fixture
def cfg(cfg):
    numbers = {"headline": "active", "headline_budget": 1000}
    return cfg.model_copy(update={"theft": cfg.theft.model_copy(update=numbers)})


def test_neither_solved_equations_nor_another_api_head(cfg):
    (figure,) = RISK.headline({"theft": COPIES}, cfg)
    assert figure.good == "low"
    assert "1000 queries, 2 victims" in figure.figure
    assert figure.pairs is None
    assert figure.among == "317 test patients"
    assert figure.threat == "copy the model; black box, schema; sees labels; 1000 queries"
    assert figure.table.loc["baseline"].tolist() == pytest.approx([0.95, 0.94, 0.96])
    assert figure.table.loc["hard", "value"] == 0.97


def test_diagnoses_of_ones_own_are_no_theft(cfg):
    known = COPIES.assign(strategy="true_labels", fidelity=1.0)
    (figure,) = RISK.headline({"theft": pd.concat([known, COPIES], ignore_index=True)}, cfg)
    assert figure.table.loc["baseline", "value"] == 0.95


def test_the_budget_is_the_nearest_to_the_one_configured(cfg):
    fewer = COPIES.assign(budget=700, fidelity=0.5)
    (figure,) = RISK.headline({"theft": pd.concat([fewer, COPIES], ignore_index=True)}, cfg)
    assert figure.table.loc["baseline", "value"] == 0.95


def test_what_was_not_measured_has_no_figure(cfg):
    assert list(RISK.headline({}, cfg)) == []
    assert RISK.metrics({}, cfg) == {}


def test_the_metric_is_the_fidelity_of_the_headline_and_says_after_how_many_queries(cfg):
    worse = COPIES.assign(surrogate="linear", fidelity=0.1)
    fewer = COPIES.iloc[3:].assign(budget=10, fidelity=1.0)
    both = pd.concat([worse, COPIES, fewer], ignore_index=True)
    found = RISK.metrics({"theft": both}, cfg)
    assert found == {
        "baseline": {"extraction_fidelity_1000": 0.95},
        "hard": {"extraction_fidelity_1000": 0.97},
    }
    assert RISK.shown(cfg) == tuple(found["hard"])


@pytest.mark.parametrize(
    ("numbers", "line"),
    [
        (
            {"recipes": ["distil"]},
            r"theft\.recipes: 'distil' is no defense; did you mean 'distill'",
        ),
        ({"recipes": ["distill"]}, r"theft\.recipes: must hold baseline"),
        ({"budgets": [100, 10, 1000]}, r"theft\.budgets: must rise and hold"),
        ({"budgets": [10, 100]}, r"theft\.budgets: must rise and hold theft\.headline_budget"),
    ],
)
def test_numbers_that_do_not_fit_are_one_line(cfg, numbers, line):
    theft = cfg.theft.model_copy(update={"budgets": [10, 1000], **numbers})
    with pytest.raises(BadInput, match=f"^conf: {line}"):
        RISK.check(cfg.model_copy(update={"theft": theft}), "conf")


def test_the_curve_is_of_the_best_copy_at_each_budget_of_a_plain_api(cfg):
    fewer = COPIES.assign(budget=10, queries=10, fidelity=COPIES["fidelity"] - 0.3)
    known = fewer.assign(strategy="true_labels", fidelity=1.0)
    table = pd.concat([COPIES.assign(queries=1000), fewer, known], ignore_index=True)
    (curve,) = RISK.plotted({"theft": table}, cfg).values()
    assert list(curve) == ["defense", "queries", "value", "low", "high"]
    baseline = curve[curve["defense"] == "baseline"]
    assert baseline["queries"].tolist() == [10, 1000]
    assert baseline["value"].tolist() == pytest.approx([0.65, 0.95])
    assert RISK.plotted({}, cfg) == {}
