import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.statistics.intervals import bootstrap_weights
from pipeline.statistics.separation import (
    BINS,
    HALVES,
    advantage,
    advantage_on,
    auroc,
    bootstrap,
    by_patient,
    enough_for,
    mean_known,
    most_exposing,
    roc_log,
    strongest,
    tpr_at_fpr,
)

FPRS = [0.01, 0.05, 0.2]


def drawn(targets, patients, *, shift=1.0, seed=0, digits=None):
    rng = np.random.default_rng(seed)
    member = rng.random((targets, patients)) < 0.5
    scores = rng.normal(size=patients) + shift * member + rng.normal(size=member.shape)
    return (scores if digits is None else scores.round(digits)), member


def naive_tpr(members, others, fpr):
    """The best of all thresholds there are, one after another."""
    thresholds = [*np.unique(np.r_[members, others]), np.inf]
    return max(
        (members >= t).mean() for t in thresholds if (others >= t).sum() <= fpr * len(others) + 1e-9
    )


@pytest.mark.parametrize("digits", [None, 1, 0])
def test_auroc_is_that_of_scikit_learn(digits):
    scores, member = drawn(3, 50, digits=digits)
    assert auroc(scores[member], scores[~member]) == pytest.approx(
        roc_auc_score(member.ravel(), scores.ravel()), abs=1e-12
    )


def test_auroc_at_its_limits():
    assert auroc(np.array([2.0, 3.0]), np.array([1.0])) == 1
    assert auroc(np.array([1.0]), np.array([2.0, 3.0])) == 0
    assert auroc(np.ones(4), np.ones(3)) == 0.5
    assert np.isnan(auroc(np.ones(4), np.ones(0)))


@pytest.mark.parametrize("digits", [None, 1, 0])
@pytest.mark.parametrize("fpr", [0.0, 0.001, 0.01, 0.05, 0.29, 0.5, 1.0])
def test_tpr_is_that_of_the_best_allowed_threshold(digits, fpr):
    scores, member = drawn(4, 60, digits=digits, seed=1)
    members, others = scores[member], scores[~member][:100]
    assert len(others) == 100
    assert tpr_at_fpr(members, others, fpr) == naive_tpr(members, others, fpr)


def test_a_constant_score_calls_nobody_or_everybody():
    assert [tpr_at_fpr(np.zeros(5), np.zeros(10), fpr) for fpr in (0.0, 0.99, 1.0)] == [0, 0, 1]


def test_the_curve_starts_at_one_nonmember_and_passes_through_its_points():
    scores, member = drawn(4, 60, seed=2)
    members, others = scores[member], scores[~member]
    fprs, tprs = roc_log(members, others, 20)
    assert fprs[0] == pytest.approx(1 / others.size)
    assert (fprs[-1], tprs[-1]) == (1, 1)
    assert np.allclose(np.diff(np.log(fprs)), np.log(others.size) / 19)
    assert tprs.tolist() == [tpr_at_fpr(members, others, fpr) for fpr in fprs]


def test_advantage_of_a_known_shift():
    member = drawn(40, 500, seed=3)[1]
    scores = np.random.default_rng(4).normal(size=member.shape) + member
    assert advantage(scores, member) == pytest.approx(0.3829, abs=0.015)  # 2 Phi(1/2) - 1


def test_advantage_is_not_optimistic():
    found = [
        advantage(np.random.default_rng(s).normal(size=(4, 40)), drawn(4, 40, seed=100 + s)[1])
        for s in range(300)
    ]
    # The best threshold judged on its own targets would show about 0.1.
    assert abs(np.mean(found)) < 3 * np.std(found) / 300**0.5


def test_advantage_of_a_rule_is_tpr_minus_fpr():
    member = drawn(6, 50, seed=5)[1]
    right = np.where(
        np.random.default_rng(6).random(member.shape) < np.where(member, 0.9, 0.4), 1.0, 0.0
    )
    halves = [right[i::2][member[i::2]].mean() - right[i::2][~member[i::2]].mean() for i in (0, 1)]
    assert advantage(right, member) == pytest.approx(np.mean(halves))
    assert advantage(np.ones((6, 50)), member) == 0
    assert advantage(-1.0 * member, member) == 0  # whoever points the wrong way calls nobody
    assert advantage(1.0 * member, member) == 1


def test_no_threshold_parts_equal_scores():
    one = np.repeat([2.0, 1.0, 0.0], [5, 13, 2])  # 5 members; 5 members before 8 others; 2 others
    member = np.repeat([True, False], 10)
    assert advantage(np.tile(one, (2, 1)), np.tile(member, (2, 1))) == 0.5


def resampled(scores, member, drawing, fprs):
    columns = np.repeat(np.arange(scores.shape[1]), drawing.astype(int))
    some, who = scores[:, columns], member[:, columns]
    members, others = some[who], some[~who]
    return auroc(members, others), [tpr_at_fpr(members, others, fpr) for fpr in fprs]


@pytest.mark.parametrize("digits", [None, 0])
def test_bootstrap_is_exact_while_there_is_a_bin_for_each_score(digits):
    scores, member = drawn(6, 50, seed=7, digits=digits)
    weights = bootstrap_weights(50, 20, seed=8)
    areas, rates = bootstrap(scores, member, weights, FPRS)
    expected = [resampled(scores, member, drawing, FPRS) for drawing in weights]
    assert np.allclose(areas, [area for area, _ in expected], rtol=0, atol=1e-6)
    assert np.allclose(rates, [rate for _, rate in expected], rtol=0, atol=1e-6)


def test_bootstrap_over_bins_is_near_and_never_too_high():
    scores, member = drawn(32, 300, seed=9)
    assert np.unique(scores).size > 5 * BINS
    weights = bootstrap_weights(300, 30, seed=10)
    areas, rates = bootstrap(scores, member, weights, [0.001, *FPRS])
    expected = [resampled(scores, member, drawing, [0.001, *FPRS]) for drawing in weights]
    assert np.allclose(areas, [area for area, _ in expected], rtol=0, atol=1e-4)
    lacking = np.array([rate for _, rate in expected]) - rates
    assert lacking.min() > -1e-6
    assert np.abs(lacking[:, :2]).max() < 1e-6  # at the top no nonmember is skipped
    assert lacking.max() < 0.005


def test_bootstrap_of_everyone_once_is_the_estimate():
    scores, member = drawn(32, 300, seed=11)
    areas, rates = bootstrap(scores, member, np.ones((1, 300)), [0.001, 0.01])
    members, others = scores[member], scores[~member]
    assert areas[0] == pytest.approx(auroc(members, others), abs=1e-4)
    assert rates[0] == pytest.approx(
        [tpr_at_fpr(members, others, fpr) for fpr in (0.001, 0.01)], abs=1e-6
    )


def test_bootstrap_of_patients_is_wider_than_of_decisions():
    rng = np.random.default_rng(12)
    member = np.tile(
        rng.random(200) < 0.5, (50, 1)
    )  # 50 targets that all trained on the same patients
    scores = member + rng.normal(size=200) + 0.01 * rng.normal(size=(50, 200))
    areas, _ = bootstrap(scores, member, bootstrap_weights(200, 500, seed=13), FPRS)
    assert areas.std() > 0.02  # that of 200 patients; 10,000 independent decisions would say 0.004


def test_bootstrap_without_members_is_not_a_number():
    scores, member = drawn(4, 20, seed=14)
    areas, rates = bootstrap(scores, np.zeros_like(member), bootstrap_weights(20, 5, seed=15), FPRS)
    assert np.isnan(areas).all()
    assert np.isnan(rates).all()
    areas, rates = bootstrap(scores, np.ones_like(member), bootstrap_weights(20, 5, seed=15), FPRS)
    assert np.isnan(areas).all()
    assert np.isnan(rates).all()


@pytest.mark.parametrize("digits", [None, 0])
def test_a_patients_risk_is_the_auroc_of_their_own_column(digits):
    scores, member = drawn(12, 40, seed=16, digits=digits)
    member[:, 0], member[:, 1] = True, False
    expected = [auroc(scores[member[:, i], i], scores[~member[:, i], i]) for i in range(40)]
    assert np.isnan(expected[:2]).all()
    assert not np.isnan(expected[2:]).any()
    assert np.allclose(by_patient(scores, member), expected, equal_nan=True, rtol=0, atol=1e-12)


def test_the_rule_of_three():
    assert enough_for(0.001, 3000)
    assert not enough_for(0.001, 2999)
    assert enough_for(0.01, 300)
    assert not enough_for(0.01, 299)


def test_halves_hold_every_target_once():
    assert sorted(t for half in HALVES for t in range(7)[half]) == list(range(7))


def test_the_strongest_on_one_half_is_named_for_the_other():
    _, member = drawn(10, 60, seed=17)
    scores = {}
    for name, good in (("even", 0), ("odd", 1)):
        scores[name] = np.random.default_rng(18).normal(size=member.shape)
        scores[name][HALVES[good]] += 3 * member[HALVES[good]]
    assert strongest(scores, member) == ("odd", "even")
    risks = {
        name: tuple(by_patient(one[half], member[half]) for half in HALVES)
        for name, one in scores.items()
    }
    assert most_exposing(risks) == ("odd", "even")


def test_what_is_judged_chooses_nothing():
    scores, member = drawn(10, 60, seed=19)
    several = {"a": scores, "b": scores + np.random.default_rng(20).normal(size=scores.shape)}
    flipped = member.copy()
    flipped[HALVES[0]] = ~flipped[HALVES[0]]
    assert strongest(several, member)[0] == strongest(several, flipped)[0] == "a"
    assert strongest(several, flipped)[1] == "b"


def test_an_attack_that_cannot_be_judged_is_not_the_strongest():
    scores, member = drawn(10, 60, seed=21)
    nobody = np.full_like(scores, np.nan)
    risks = {"none": (nobody[0], nobody[0]), "some": (scores[0], scores[1])}
    assert most_exposing(risks) == ("some", "some")
    assert strongest({"first": scores, "same": scores}, np.ones_like(member)) == ("first", "first")


def test_the_advantage_is_the_mean_of_that_on_each_half():
    scores, member = drawn(11, 60, seed=22)
    halves = [advantage_on(half, scores, member) for half in (0, 1)]
    assert advantage(scores, member) == pytest.approx(np.mean(halves))
    swapped = member.copy()
    swapped[HALVES[0]] = ~swapped[HALVES[0]]  # judged, not used to choose
    assert advantage_on(0, scores, swapped) == pytest.approx(-halves[0])


def test_a_mean_is_of_what_is_known():
    values = np.array([[0.2, np.nan, np.nan], [0.4, 0.7, np.nan]])
    assert mean_known(values, 0)[:2] == pytest.approx([0.3, 0.7])
    assert np.isnan(mean_known(values, 0)[2])
    assert mean_known(values[1], 0) == pytest.approx(0.55)
