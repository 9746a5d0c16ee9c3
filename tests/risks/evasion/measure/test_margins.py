"""From rows to arrays to answers: hand-made rows with known answers."""

import numpy as np
import pandas as pd
import pytest

from pipeline.models.answers import clean_metrics, disease_probability, disease_score, predicted
from pipeline.risks.evasion.measure.margins import Margins, margins_by_threat
from pipeline.statistics import rates
from risks.evasion.made_up import EPS, model, rows
from tiny import records


@pytest.fixture(scope="module")
def y():
    return records(200, seed=0).y.numpy()


def test_the_answer_follows_from_the_margin_of_the_true_class():
    y, margins = np.array([0, 0, 1, 1]), np.array([[2.0, -2.0, 2.0, -2.0], [0.0, 0.1, 0.0, -0.1]])
    assert predicted(margins, y).tolist() == [[0, 1, 1, 0], [1, 0, 0, 0]]  # a tie is an error


def test_the_probability_of_disease_is_the_softmax_of_the_logits():
    y = np.array([0, 0, 1, 1])
    margins = np.array([3.0, -0.5, 3.0, -0.5])  # own logit minus the other's
    ill = np.where(y == 1, margins, -margins)
    np.testing.assert_allclose(disease_probability(margins, y), np.exp(ill) / (1 + np.exp(ill)))
    with np.errstate(all="raise"):
        assert disease_probability(
            np.array([1e4, 1e4], dtype=np.float32), np.array([0, 1])
        ).tolist() == [0, 1]


def test_a_saturated_model_keeps_its_ranking():
    """Log-odds of 50 and 90 both give a probability of 1 in floating point; the patients differ."""
    y, margins = np.array([1, 1, 0, 0]), np.array([[90.0, 95.0, -50.0, -60.0]])
    assert rates.auroc(disease_probability(margins, y), y) == 0.5
    assert rates.auroc(disease_score(margins, y), y) == 1.0
    assert clean_metrics(margins[None], y)["auroc"] == 1.0


def test_margins_give_each_patient_back(y):
    margins = model(1.0, y)
    by_threat = margins_by_threat(
        pd.concat([rows(margins, y), rows({"fgsm": margins["fgsm"] - 1}, y, threat="other")])
    )
    assert list(by_threat) == ["clinical", "other"]
    margins_of = by_threat["clinical"]
    assert margins_of.eps.tolist() == EPS
    np.testing.assert_array_equal(margins_of.y, y)
    assert list(margins_of.by_attack) == ["fgsm", "pgd_ce", "pgd_margin"]
    for attack, values in margins.items():
        np.testing.assert_array_equal(margins_of.by_attack[attack], values.astype(np.float32))
    np.testing.assert_array_equal(
        by_threat["other"].by_attack["fgsm"], (margins["fgsm"] - 1).astype(np.float32)
    )


def test_the_worst_case_is_taken_per_record_over_attacks_and_smaller_radii():
    # One seed, three patients; each attack breaks another patient, and a larger radius forgets what
    # a smaller one found.
    a = [[[3, 3, 3]], [[-1, 3, 3]], [[2, 3, 1]]]
    b = [[[3, 3, 3]], [[3, 2, 3]], [[3, -2, 3]]]
    margins_of = Margins(np.array(EPS), np.array([0, 1, 1]), {"a": np.array(a), "b": np.array(b)})
    assert margins_of.worst.tolist() == [[[3, 3, 3]], [[-1, 2, 3]], [[-1, -2, 1]]]


def test_the_accuracy_of_each_attack_alone_is_the_share_of_positive_margins(y):
    margins = model(1.0, y)
    for attack, accuracy in margins_by_threat(rows(margins, y))["clinical"].accuracy.items():
        assert accuracy.tolist() == [
            pytest.approx((margins[attack][at] > 0).mean()) for at in range(len(EPS))
        ]
    tie = Margins(np.array([0.0]), np.array([0, 1]), {"a": np.array([[[0.0, 1.0]]])})
    assert tie.accuracy["a"].tolist() == [0.5]
