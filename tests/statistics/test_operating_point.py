"""Where a line is drawn: against the naive search over every possible cut."""

import numpy as np
import pytest

from pipeline.config import Rule
from pipeline.statistics.operating_point import RULES, cut_by, logistic, logit

Y = np.array([0, 0, 0, 0, 1, 0, 1, 1])
SCORE = np.array([-3.0, -2.0, -1.0, 0.5, 0.0, 1.0, 1.0, 2.0])


def drawn(seed, *, ties):
    rng = np.random.default_rng(seed)
    y = np.r_[0, 1, rng.integers(0, 2, 38)]
    score = rng.normal(size=40) + y
    return (score.round(0) if ties else score), y


def possible(score):
    """A cut below, between and above the scores."""
    values = np.unique(score)
    return np.r_[values[0] - 1, (values[:-1] + values[1:]) / 2, values[-1] + 1]


def rates(score, y, cut):
    return (score[y == 1] > cut).mean(), (score[y == 0] <= cut).mean()


def test_the_configuration_knows_the_rules_that_there_are():
    assert set(RULES) == set(Rule.__args__)


def test_a_threshold_looks_at_no_record():
    nobody = np.zeros(0)
    assert cut_by("threshold", nobody, nobody, 0.5) == 0.0
    assert cut_by("threshold", nobody, nobody, 0.2) == pytest.approx(np.log(0.25)) == logit(0.2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", [False, True])
def test_the_naive_search_finds_the_same_cut(seed, ties):
    score, y = drawn(seed, ties=ties)
    cuts = possible(score)
    sensitivity, specificity = np.array([rates(score, y, cut) for cut in cuts]).T
    for share in (0.05, 0.5, 0.8, 0.85, 0.95):
        enough = cuts[specificity >= share - 1e-9]
        assert cut_by("specificity", score, y, share) == pytest.approx(enough.min())
        enough = cuts[sensitivity >= share - 1e-9]
        assert cut_by("sensitivity", score, y, share) == pytest.approx(enough.max())
    gain = sensitivity + specificity
    assert cut_by("youden", score, y, None) == pytest.approx(cuts[gain >= gain.max() - 1e-9].min())
    called = np.array([(score > cut).sum() for cut in cuts])
    at = cut_by("prevalence", score, y, None)
    assert at == pytest.approx(cuts[called <= y.sum()].min())


def test_no_record_lies_on_the_line():
    for rule in ("sensitivity", "specificity", "youden", "prevalence"):
        value = 0.75 if rule in ("sensitivity", "specificity") else None
        assert not np.isin(SCORE, cut_by(rule, SCORE, Y, value)).any()


def test_whoever_scores_all_the_same_calls_nobody_or_everybody():
    same = np.full(len(Y), 2.0)
    assert rates(same, Y, cut_by("specificity", same, Y, 0.85)) == (0, 1)
    assert rates(same, Y, cut_by("sensitivity", same, Y, 0.85)) == (1, 0)


def test_a_probability_is_the_inverse_of_its_log_odds():
    for probability in (1e-9, 0.2, 0.5, 0.999):
        assert float(logistic(np.array(logit(probability)))) == pytest.approx(probability)
    assert logistic(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]
