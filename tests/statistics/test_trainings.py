"""Pairs equal loops over pairs; the parts of a variance are unbiased where they are known."""

from dataclasses import astuple, replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.statistics.edges import wilson
from pipeline.statistics.halves import pairs_of_auroc, pairs_of_means
from pipeline.statistics.trainings import (
    LEAST,
    MODELS,
    RECIPE,
    Estimate,
    Spread,
    TooFewHalves,
    asked,
    between_repetitions,
    estimate_auroc,
    estimate_mean,
    halves_of,
    influence_of_auroc,
    influence_of_mean,
    spread,
)

M, N = 10, 60


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def train(rng):
    """Six halves, four of them twice."""
    halves = rng.random((6, N)) < 0.5
    return np.concatenate([halves, halves[:4]])


@pytest.fixture
def y(rng):
    return (rng.random(N) < 0.4).astype(np.int64)


@pytest.fixture
def scores(rng):
    """Coarse, so that ties abound."""
    return np.round(rng.normal(size=(M, N)), 1)


def both_free(train, i, j):
    return ~train[i] & ~train[j]


# ---- pairs, against a loop over them ----


@pytest.mark.parametrize("figure", ["accuracy", "sensitivity", "specificity"])
def test_pairs_of_means_equal_a_loop(rng, train, y, figure):
    values, where = rng.integers(-1, 2, size=(M, N)), asked(figure, y)
    pairs = pairs_of_means(values, train, where)
    for i, j in combinations(range(M), 2):
        each = (values[i] - values[j])[both_free(train, i, j) & where]
        assert pairs.difference[i, j] == pytest.approx(each.mean())
        assert pairs.difference[j, i] == pytest.approx(-each.mean())
        assert pairs.noise[i, j] == pytest.approx(each.var(ddof=1) / len(each))


def test_answers_to_who_was_seen_are_not_read(rng, train, y, scores):
    blank = np.where(train, np.nan, scores)
    for pairs, blanked in [
        (pairs_of_means(scores, train, y >= 0), pairs_of_means(blank, train, y >= 0)),
        (pairs_of_auroc(scores, train, y), pairs_of_auroc(blank, train, y)),
    ]:
        np.testing.assert_array_equal(pairs.difference, blanked.difference)
        np.testing.assert_array_equal(pairs.noise, blanked.noise)


def placed(score, y):
    """Placements of the ill and of the healthy, by counting."""
    wins = np.array([[(a > b) + (a == b) / 2 for b in score[y == 0]] for a in score[y == 1]])
    return wins.mean(1), wins.mean(0)


@pytest.mark.parametrize("paired", [False, True])
def test_pairs_of_auroc_equal_a_loop(rng, train, y, scores, paired):
    against = np.round(rng.normal(size=(M, N)), 1) if paired else None
    pairs = pairs_of_auroc(scores, train, y, against)
    for i, j in combinations(range(M), 2):
        free = both_free(train, i, j)
        sides = [(1, scores[i]), (-1, scores[j])]
        if paired:
            sides += [(-1, against[i]), (1, against[j])]
        expected = sum(sign * roc_auc_score(y[free], side[free]) for sign, side in sides)
        parts = [(sign, *placed(side[free], y[free])) for sign, side in sides]
        ill, healthy = (sum(part[0] * part[at] for part in parts) for at in (1, 2))
        assert pairs.difference[i, j] == pytest.approx(expected, abs=1e-6)
        noise = ill.var(ddof=1) / len(ill) + healthy.var(ddof=1) / len(healthy)
        assert pairs.noise[i, j] == pytest.approx(noise, rel=1e-4)


def test_a_pair_without_two_patients_to_ask_is_no_number():
    train = np.ones((2, 5), dtype=bool)
    train[:, :1] = False
    assert np.isnan(pairs_of_means(np.ones((2, 5)), train, np.ones(5, dtype=bool)).noise).all()


# ---- influence ----


def test_influence_of_a_mean_is_what_a_patient_more_would_change(rng, y):
    each, where = rng.random(N), y == 1
    influence = influence_of_mean(each, where)
    assert influence.sum() == pytest.approx(0)
    step = 1e-6
    for k in range(N):
        weights = np.ones(N)
        weights[k] += step
        moved = np.average(each[where], weights=weights[where])
        assert (moved - each[where].mean()) / step * N == pytest.approx(influence[k], abs=1e-4)


def test_influence_of_auroc_is_what_a_patient_more_would_change(y, scores):
    influence = influence_of_auroc(scores[:3], y)
    assert influence.sum() == pytest.approx(0)
    step = 1e-6
    plain = np.mean([roc_auc_score(y, one) for one in scores[:3]])
    for k in range(0, N, 7):
        weights = np.ones(N)
        weights[k] += step
        moved = np.mean([roc_auc_score(y, one, sample_weight=weights) for one in scores[:3]])
        assert (moved - plain) / step * N == pytest.approx(influence[k], abs=1e-3)


def test_the_influence_of_a_difference_is_the_difference_of_influences(y, scores):
    both = influence_of_auroc(scores[:3], y, scores[3:6])
    apart = influence_of_auroc(scores[:3], y) - influence_of_auroc(scores[3:6], y)
    np.testing.assert_allclose(both, apart)


# ---- the parts, where they are known ----


def made_up(rng, *, n, halves, again, seed_noise, correlation):
    """Patients with a known e and a; models whose quality is the mean of a over their half.

    What model i scores with patient k is its quality + its seed's luck + e of k + noise of both.
    """
    e = rng.normal(0, 0.6, n)
    a = correlation * e + rng.normal(0, 0.5, n)
    train = rng.random((halves, n)) < 0.5
    train = np.concatenate([train, train[:again]])
    luck = seed_noise * rng.normal(size=len(train))
    quality = 2 / n * (train @ a) + luck
    values = quality[:, None] + e + rng.normal(0, 0.4, train.shape)
    reported = a.mean() + e + seed_noise * rng.normal(size=(25, 1)).mean()
    return reported[None], values, train


@pytest.mark.parametrize("correlation", [0.0, -0.7, 0.5])
def test_every_part_is_unbiased_and_their_sum_is_the_variance_over_cohorts(correlation):
    rng, n, seed_noise = np.random.default_rng(1), 80, 0.1
    found, figures = [], []
    for _ in range(400):
        reported, values, train = made_up(
            rng, n=n, halves=24, again=12, seed_noise=seed_noise, correlation=correlation
        )
        one = estimate_mean(reported, values, train, np.ones(n, dtype=bool), models=25)
        figures.append(one.value)
        parts = one.spread
        found.append([parts.patients, parts.trainings, parts.seeds, parts.together])
    a_squared = correlation**2 * 0.36 + 0.25
    known = np.array([0.36 / n, a_squared / n, seed_noise**2, 2 * correlation * 0.36 / n])
    mean, error = np.mean(found, 0), np.std(found, 0) / len(found) ** 0.5
    assert (abs(mean - known) < 4 * error + 0.03 * known[0]).all(), (mean, known, error)
    total = mean @ [1, 1, 1 / 25, 1]
    assert total / np.var(figures) == pytest.approx(1, abs=0.25)  # 400 cohorts: 0.07 either way


def test_without_a_second_seed_the_luck_of_a_seed_would_count_as_training():
    rng, n = np.random.default_rng(2), 80
    parts = []
    for _ in range(60):
        _, values, train = made_up(rng, n=n, halves=24, again=12, seed_noise=0.3, correlation=0)
        pairs = pairs_of_means(values, train, np.ones(n, dtype=bool))
        parts.append(spread(np.zeros(n), pairs, train, models=25))
    assert np.mean([one.seeds for one in parts]) == pytest.approx(0.09, rel=0.15)
    assert abs(np.mean([one.trainings for one in parts]) - 0.25 / n) < 0.004


def test_halves_of_people_who_are_not_asked_are_named(rng, train, y, scores):
    """As with an official split: `half` says which models trained on one half, `train` is empty."""
    nobody, half = np.zeros((M, N), dtype=bool), halves_of(train)
    assert (half[:4] == half[6:]).all()
    assert len(set(half)) == 6
    values = (rng.random((M, N)) < 0.7).astype(float)
    with pytest.raises(TooFewHalves):
        estimate_mean(values[:2], values, nobody, y >= 0, models=25)
    parts = estimate_mean(values[:2], values, nobody, y >= 0, models=25, half=half).spread
    pairs = pairs_of_means(values, nobody, y >= 0)
    squares = (pairs.difference**2 - pairs.noise) / 2
    same = [squares[one, one + 6] for one in range(4)]
    others = [squares[i, j] for i, j in combinations(range(M), 2) if half[i] != half[j]]
    assert parts.seeds == pytest.approx(np.mean(same))
    assert parts.trainings == pytest.approx(np.mean(others) - np.mean(same))
    assert parts.together == 0
    area = estimate_auroc(scores[:2], scores, nobody, y, models=25, half=half)
    assert area.spread.together == 0
    # named as they are anyway, nothing changes
    one, other = (
        estimate_mean(values[:2], values, train, y >= 0, models=25, half=named)
        for named in (None, half)
    )
    assert one == other


def test_a_recipe_that_answers_alike_whoever_it_learned_from_has_no_variance_of_training(y, train):
    values = np.broadcast_to(y.astype(float), (M, N))
    parts = estimate_mean(values[:2], values, train, y >= 0, models=25).spread
    assert (parts.trainings, parts.seeds, parts.together) == (0, 0, 0)


def test_the_paired_difference_of_a_recipe_with_itself_is_surely_none(y, train, scores):
    same = (scores[:3], scores)
    one = estimate_auroc(scores[:3], scores, train, y, models=25, against=same)
    assert (one.value, one.se()) == (0, 0)


def test_more_models_carry_less_of_the_luck_of_their_seeds():
    many, one = (Spread(1.0, 1.0, 0.5, 0.0, models) for models in (25, 1))
    assert many.variance() == pytest.approx(2.02)
    assert one.variance() == pytest.approx(2.5)


def test_parts_are_summed_as_they_are_so_that_their_errors_cancel():
    assert Spread(1.0, -0.4, 5.0, 0.1, 25).variance() == pytest.approx(0.9)


def test_a_figure_that_a_rule_holds_varies_by_folds_and_seeds_alone():
    held = Spread(1.0, 3.0, 0.0, -3.9, 25, held=0.1)
    assert held.variance() == 0.1
    assert held.variance(MODELS) == 1.0
    figures = np.array([0.80, 0.82, 0.84, 0.86, 0.88])
    mean_variance = 0.001 / 5
    assert between_repetitions(figures) == pytest.approx(
        mean_variance * (2.776 / 1.96) ** 2, rel=1e-3
    )
    assert between_repetitions(figures[:2]) is None


def test_few_repetitions_are_widened_to_the_interval_of_student(rng):
    draws = rng.normal(0, 1, (4000, 4))
    reach = 1.959964 * np.sqrt([between_repetitions(one) for one in draws])
    held = np.abs(draws.mean(1)) <= reach
    assert held.mean() == pytest.approx(0.95, abs=0.012)


def test_only_a_figure_that_is_said_to_be_held_is(y, train, scores, rng):
    reported, values = rng.integers(0, 2, (4, N)), rng.integers(0, 2, (M, N))
    free, held = (
        estimate_mean(reported, values, train, y == 0, models=4, held=one).spread
        for one in (False, True)
    )
    assert free.held is None
    assert held.held == between_repetitions(reported[:, y == 0].mean(1))
    assert replace(held, held=None) == free


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("said", [0.0, 1.0])
def test_what_a_recipe_says_of_all_of_few_is_not_certain(train, y, held, said):
    """However often it is trained, and though the repetitions agree."""
    reported, halves = np.full((5, len(y)), said), np.full(train.shape, said)
    found = estimate_mean(reported, halves, train, y == 1, models=25, held=held)
    assert found.value == said
    assert found.interval() == pytest.approx(wilson(said * (y == 1).sum(), (y == 1).sum()))
    other = estimate_mean(
        reported, np.zeros(train.shape), train, y == 1, models=25, held=held, against=reported
    )
    low, high = other.interval(limits=(-1.0, 1.0))
    assert low == -high < 0


def test_parts_that_cancel_leave_a_share_of_the_larger():
    assert Spread(1.0, 3.0, 0.0, -3.9, 25).variance() == 3 * LEAST
    assert Spread(2.0, 1.0, 0.0, -2.9, 25).variance() == 2 * LEAST


def test_each_question_has_its_own_interval():
    one = Estimate(0.6, Spread(0.01, 0.02, 0.0, 0.01, 25))
    low, high = one.interval(0.95, MODELS)
    assert (low, high) == pytest.approx((0.6 - 0.196, 0.6 + 0.196), abs=1e-4)
    assert one.se(RECIPE) == pytest.approx(0.2)
    assert one.interval(0.95, RECIPE) == pytest.approx((0.6 - 0.392, 0.992), abs=1e-4)
    assert one.interval(0.99, RECIPE) == (pytest.approx(0.6 - 0.5152, abs=1e-4), 1.0)
    assert Estimate(-0.9, one.spread).interval(limits=(-1, 1))[0] == -1


@pytest.mark.parametrize("rows", [slice(0, 6), slice(0, 1)])
def test_halves_without_a_second_seed_are_refused(train, y, scores, rows):
    with pytest.raises(ValueError, match="several halves, and on some of them twice"):
        estimate_mean(scores[:2], scores[rows], train[rows], y >= 0, models=25)


# ---- several records of a patient ----


@pytest.fixture
def visits(rng):
    """Up to five records of 25 patients, in no order; some patients have none."""
    return np.unique(rng.integers(0, 25, size=N), return_inverse=True)[1]


@pytest.fixture
def train_patients(train, visits):
    return train[:, : visits.max() + 1][:, visits]


def by_patient(each, visits):
    return np.array([each[visits == one].sum() for one in np.unique(visits)])


@pytest.mark.parametrize("figure", ["accuracy", "sensitivity"])
def test_noise_of_a_mean_adds_up_the_records_of_a_patient(rng, train_patients, visits, y, figure):
    values, where = rng.integers(-1, 2, size=(M, N)), asked(figure, y)
    pairs = pairs_of_means(values, train_patients, where, visits)
    for i, j in combinations(range(M), 2):
        free = both_free(train_patients, i, j) & where
        each = (values[i] - values[j])[free]
        off = by_patient(each - each.mean(), visits[free])
        assert pairs.difference[i, j] == pytest.approx(each.mean())
        noise = (off**2).sum() / len(each) ** 2 * len(off) / (len(off) - 1)
        assert pairs.noise[i, j] == pytest.approx(noise)


def test_noise_of_auroc_adds_up_the_placements_of_a_patient(train_patients, visits, y, scores):
    pairs = pairs_of_auroc(scores, train_patients, y, whose=visits)
    for i, j in combinations(range(M), 2):
        free = both_free(train_patients, i, j)
        own, who = y[free], visits[free]
        ill, healthy = (
            one - other
            for one, other in zip(
                *(placed(side[free], own) for side in (scores[i], scores[j])), strict=True
            )
        )
        off = np.zeros(len(own))
        off[own == 1] = (ill - ill.mean()) / len(ill)
        off[own == 0] = (healthy - healthy.mean()) / len(healthy)
        people = np.unique(who)
        sides = [
            np.array([off[(who == one) & (own == label)].sum() for one in people])
            for label in (1, 0)
        ]
        counts = [len(np.unique(who[own == label])) for label in (1, 0)]
        noise = sum(
            (side**2).sum() * count / (count - 1) for side, count in zip(sides, counts, strict=True)
        )
        noise += 2 * (sides[0] * sides[1]).sum() * len(people) / (len(people) - 1)
        assert pairs.noise[i, j] == pytest.approx(noise, rel=1e-3)


@pytest.mark.parametrize("copies", [2, 4])
def test_identical_visits_are_as_sure_as_one(rng, train, y, scores, copies):
    order = rng.permutation(N * copies)

    def again(values):
        return values.repeat(copies, axis=-1)[..., order]

    visits, where = again(np.arange(N)), asked("sensitivity", y)
    right, halves = (scores[:3] > 0).astype(float), (scores > 0).astype(float)
    numbers = {"models": 3}
    once = estimate_mean(right, halves, train, where, **numbers)
    often = estimate_mean(
        again(right), again(halves), again(train), again(where), **numbers, whose=visits
    )
    assert astuple(often.spread)[:4] == pytest.approx(astuple(once.spread)[:4])
    assert often.se() == pytest.approx(once.se())
    once = estimate_auroc(scores[:3], scores, train, y, **numbers)
    often = estimate_auroc(
        again(scores[:3]), again(scores), again(train), again(y), **numbers, whose=visits
    )
    assert astuple(often.spread)[:4] == pytest.approx(astuple(once.spread)[:4], rel=1e-4)
    unaware = estimate_auroc(again(scores[:3]), again(scores), again(train), again(y), **numbers)
    assert unaware.se(MODELS) == pytest.approx(once.se(MODELS) / copies**0.5)


def test_of_one_record_each_nothing_changes(train, y, scores):
    alone = np.arange(N)
    for figure in ("accuracy", "specificity"):
        sides = (scores[:3] > 0), (scores > 0), train, asked(figure, y)
        assert estimate_mean(*sides, models=3, whose=alone) == estimate_mean(*sides, models=3)
    sides = scores[:3], scores, train, y
    assert estimate_auroc(*sides, models=3, whose=alone) == estimate_auroc(*sides, models=3)


def test_halves_that_part_the_records_of_a_patient_are_refused(train, visits, y, scores):
    for pairs in (
        lambda: pairs_of_means(scores, train, y >= 0, visits),
        lambda: pairs_of_auroc(scores, train, y, whose=visits),
    ):
        with pytest.raises(ValueError, match="some records of a patient"):
            pairs()
