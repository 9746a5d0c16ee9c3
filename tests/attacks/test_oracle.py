"""Every record that is asked about counts, whatever becomes of it; defenses work as described."""

import pytest
import torch

import tiny
from pipeline.attacks.oracle import (
    ACCESS_LEVELS,
    NOISE,
    BudgetSpent,
    Oracle,
    ensemble,
    noisy,
    plain,
    shown,
)
from tiny import SCHEMA

X = tiny.records(90, seed=1).x.view(3, 30, 5)


@pytest.fixture(scope="module")
def victims():
    return tiny.population(3).double()


def test_every_record_counts_in_batches_and_in_repeats(victims):
    oracle = Oracle(plain(victims), "probabilities", 100)
    for size in (1, 7, 7, 30):  # the same records again are asked about again
        oracle(X[:, :size])
    assert oracle.asked == 45
    oracle(X[:, :5].expand(4, -1, -1, -1))
    assert oracle.asked == 65


def test_a_call_that_fails_has_been_paid_for_and_so_has_its_retry(victims):
    def moody(x):
        if oracle.asked == 10:
            raise ConnectionError
        return plain(victims)(x)

    oracle = Oracle(moody, "labels", 30)
    with pytest.raises(ConnectionError):
        oracle(X[:, :10])
    assert oracle.asked == 10
    oracle(X[:, :10])
    assert oracle.asked == 20


def test_beyond_the_budget_nothing_is_answered_and_nothing_counted(victims):
    calls = []

    def watched(x):
        calls.append(x.shape[1])
        return plain(victims)(x)

    oracle = Oracle(watched, "probabilities", 30)
    oracle(X[:, :29])
    with pytest.raises(
        BudgetSpent, match="2 more records after 29 exceed the budget of 30 for each victim"
    ):
        oracle(X[:, :2])
    assert oracle.asked == 29
    oracle(X[:, :1])
    assert calls == [29, 1]


def test_answers_do_not_depend_on_the_batch(victims):
    oracle = Oracle(plain(victims), "probabilities", 100)
    whole = oracle(X)
    parts = torch.cat([oracle(X[:, :11]), oracle(X[:, 11:])], 1)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("access", "values"),
    [
        ("probabilities", [0.123456, 0.5, 0.987654]),
        ("two_digits", [0.12, 0.5, 0.99]),
        ("one_digit", [0.1, 0.5, 1.0]),
        ("labels", [0.0, 0.0, 1.0]),
    ],
)
def test_what_each_access_shows(access, values):
    odds = torch.logit(torch.tensor([0.123456, 0.5, 0.987654], dtype=torch.float64))
    torch.testing.assert_close(
        shown(odds, access), torch.tensor(values, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_each_access_shows_less_than_the_one_before(victims):
    odds = plain(victims)(X)
    kinds = [len(shown(odds, access).unique()) for access in ACCESS_LEVELS]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds[-1] == 2


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_a_function_of_the_record_so_repeats_average_to_nothing(victims, kind):
    answer = noisy(plain(victims), NOISE[kind], 1.0, SCHEMA, key=7)
    first = answer(X)
    assert torch.equal(answer(X), first)
    assert torch.equal(answer(X.flip(1)).flip(1), first)
    nudged = X + 0.2 * torch.tensor(
        [1.0, 0.1, 0.0, 0.001, 1.0]
    )  # less than half a step of the grid
    difference = (answer(nudged) - plain(victims)(nudged)) - (first - plain(victims)(X))
    torch.testing.assert_close(difference, torch.zeros_like(difference), rtol=0, atol=1e-9)
    other = noisy(plain(victims), NOISE[kind], 1.0, SCHEMA, key=8)(X)
    assert (other != first).all()


@pytest.mark.parametrize("kind", NOISE)
def test_noise_has_the_mean_and_the_spread_that_it_claims(kind):
    x = tiny.records(20_000, seed=0, missing=0.2).x.expand(2, -1, -1)
    noise = noisy(
        lambda x: torch.zeros(x.shape[:-1], dtype=torch.float64), NOISE[kind], 2.0, SCHEMA, key=0
    )(x)
    one, two = noise
    assert abs(float(one.mean())) < 5 * 2.0 / 20_000**0.5
    assert float(one.std()) == pytest.approx(
        2.0, rel=5 * 1.2 / 20_000**0.5
    )  # 1.2: sqrt((kurtosis - 1) / 4) of Laplace
    assert abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 5 / 20_000**0.5


def test_kinds_of_noise_have_the_shape_that_they_claim():
    u = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = {
        kind: float((noise(u, 1.0).abs() > 2).double().mean()) for kind, noise in NOISE.items()
    }
    assert share["gaussian"] == pytest.approx(0.0455, abs=0.008)
    assert share["laplace"] == pytest.approx(0.0591, abs=0.009)  # exp(-2 sqrt 2)


def test_an_ensemble_answers_with_the_mean_probability_of_its_own_models():
    models = tiny.population(6)
    logits = ensemble(models, 2)(X)
    chance = torch.softmax(models(X.repeat_interleave(2, 0)), -1).unflatten(0, (3, 2)).mean(1)
    torch.testing.assert_close(torch.softmax(logits, -1), chance)
    torch.testing.assert_close(
        ensemble(models.select(torch.tensor([0, 2, 4])), 1)(X),
        logits.new_tensor(0) + torch.log_softmax(models.select(torch.tensor([0, 2, 4]))(X), -1),
    )
