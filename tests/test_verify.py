"""One question for all norms, classes and goals.

Rounds, wrong classes and records left alone change nothing in the answer.
"""

from dataclasses import replace
from functools import cache

import pytest
import torch

import brute
import tiny
from brute import COARSE, GRIDDED
from pipeline.verify import verify
from pipeline.verify.network import Network
from tiny import same_bits

pytestmark = pytest.mark.heavy

LARGEST = 1.0
BUDGET = 100_000
every_norm = pytest.mark.parametrize("norm", ["linf", "l2"])


@cache
def asked(classes):
    models = tiny.population(1, classes=classes, seed=4)
    x = brute.on_grid(16, GRIDDED, seed=5, missing=0.15)
    x[8:] = brute.off_grid(x[8:], seed=6)
    y = brute.answers(models, x)
    y[::9] = (y[::9] + 1) % classes
    return models, x, y, brute.truth(models, x, y, GRIDDED, LARGEST)


def solve(classes, norm="linf", **options):
    models, x, y, _ = asked(classes)
    options = {"largest": LARGEST, "budget": BUDGET} | options
    return verify(Network.of(models, 0), x, y, replace(GRIDDED, norm=norm), **options)


@every_norm
@pytest.mark.parametrize("classes", [2, 3])
def test_the_distance_is_that_of_trying_everything_against_every_class(classes, norm):
    answer, truth = solve(classes, norm), asked(classes)[3].of(norm)
    assert torch.equal(answer.breaks_at.isinf(), truth.isinf())
    finite = truth.isfinite()
    assert 0.2 < finite.double().mean() < 1
    assert (answer.breaks_at - truth)[finite].abs().max() < 1e-9
    assert torch.equal(answer.robust_below, answer.breaks_at)


@every_norm
@pytest.mark.parametrize("classes", [2, 3])
def test_the_record_breaks_the_answer_and_is_at_that_distance(classes, norm):
    models, x, y, _ = asked(classes)
    answer = solve(classes, norm)
    broken = answer.breaks_at.isfinite()
    for row in broken.nonzero()[:, 0].tolist():
        assert float(brute.margin(models, answer.record[row : row + 1], int(y[row]))) <= 0
    moved = brute.change(answer.record, x, GRIDDED)
    length = moved.norm(dim=1) if norm == "l2" else moved.amax(1)
    assert torch.allclose(length[broken], answer.breaks_at[broken], rtol=0, atol=1e-9)
    assert same_bits(answer.record[~broken], x[~broken])


def test_three_classes_hold_answers_that_change_into_either_of_the_others():
    models, _, y, _ = asked(3)
    answer = solve(3)
    changed = (answer.breaks_at > 0) & answer.breaks_at.isfinite()
    into = (brute.answers(models, answer.record) - y)[changed] % 3
    assert set(into.tolist()) == {1, 2}


@every_norm
@pytest.mark.parametrize("budget", [1, 3, 10])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_search_that_is_stopped_is_never_wrong(classes, norm, budget):
    answer, truth = solve(classes, norm, budget=budget), asked(classes)[3].of(norm)
    assert (answer.robust_below <= truth + 1e-9).all()
    assert (answer.breaks_at >= truth - 1e-9).all()
    assert (answer.robust_below <= answer.breaks_at).all()


@every_norm
@pytest.mark.parametrize("largest", [0.0, 0.05, 0.3, 0.31])
def test_looking_less_far_finds_the_same_or_nothing(norm, largest):
    answer, truth = solve(2, norm, largest=largest), asked(2)[3].of(norm)
    expected = torch.where(truth <= largest + 1e-9, truth, torch.inf)
    assert torch.equal(answer.breaks_at.isinf(), expected.isinf())
    assert torch.allclose(answer.breaks_at, expected, rtol=0, atol=1e-9)
    assert torch.equal(answer.robust_below, answer.breaks_at)


@every_norm
def test_spared_records_stay_and_the_others_do_not_notice(norm):
    _, x, y, truth = asked(2)
    spared = torch.arange(len(y)) % 2 == 0
    answer, free = solve(2, norm, spared=spared), solve(2, norm)
    assert torch.equal(
        answer.breaks_at[spared], torch.where(truth.linf == 0, 0.0, torch.inf).double()[spared]
    )
    assert torch.equal(answer.robust_below[spared], answer.breaks_at[spared])
    assert same_bits(answer.record[spared], x[spared])
    assert torch.allclose(answer.breaks_at[~spared], free.breaks_at[~spared], rtol=0, atol=1e-9)


@every_norm
def test_the_same_question_has_the_same_answer_bit_for_bit(norm):
    state = torch.get_rng_state()
    one, two = solve(3, norm), solve(3, norm)
    assert torch.equal(one.breaks_at, two.breaks_at)
    assert torch.equal(one.robust_below, two.robust_below)
    assert torch.equal(one.boxes, two.boxes)
    assert same_bits(one.record, two.record)
    assert torch.equal(torch.get_rng_state(), state)


def test_radii_of_l0_count_measurements_against_every_class():
    models, _, _, _ = asked(3)
    x = brute.on_grid(16, COARSE, seed=5, missing=0.15)
    y = brute.answers(models, x)
    answer = verify(
        Network.of(models, 0), x, y, replace(COARSE, norm="l0"), largest=2.0, budget=BUDGET
    )
    for row in range(len(x)):
        alone = [brute.everything(x[row], COARSE, 1000.0, [feature]) for feature in (0, 1, 2)]
        pairs = [
            brute.everything(x[row], COARSE, 1000.0, pair) for pair in ([0, 1], [0, 2], [1, 2])
        ]
        one, two = (
            any((brute.margin(models, tried, int(y[row])) <= 0).any() for tried in group)
            for group in (alone, pairs)
        )
        assert float(answer.breaks_at[row]) == (1.0 if one else 2.0 if two else torch.inf), row
    assert answer.breaks_at.unique().numel() > 1
    assert torch.equal(answer.robust_below, answer.breaks_at)


def test_a_radius_without_end_is_refused():
    with pytest.raises(ValueError, match="largest"):
        solve(2, largest=torch.inf)
