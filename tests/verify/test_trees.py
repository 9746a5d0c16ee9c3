"""The nearest record that changes an ensemble's answer: as trying every record says."""

import itertools
from dataclasses import replace
from functools import cache
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import brute
import groves
from brute import COARSE, CONTINUOUS, INFINITY
from pipeline.models.trees import Tree, Trees
from pipeline.verify import verify
from pipeline.verify.cells import Ensemble, reaches
from pipeline.verify.least import least_margins
from pipeline.verify.nearest import RESOLUTION
from pipeline.verify.out_of_fold import ProofSearch, _columns
from pipeline.verify.trees import asked_of, each_alone, fewer_changes

ANYWHERE = 1000.0
SPARSE = replace(COARSE, norm="l0")
KINDS = ["drawn", "chances", "forest", "boosting"]
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def asked(kind):
    """An ensemble, records on a coarse grid and off it, missing values, and mostly its answers."""
    if kind in ("drawn", "chances"):
        link = "probability" if kind == "chances" else "log_odds"
        models = groves.drawn(9, seed=8, link=link)
    else:
        models = groves.grown(kind)[0]
    x = brute.on_grid(18, COARSE, seed=3, missing=0.15)
    x[::3] = brute.off_grid(x[::3], seed=3)
    y = brute.answers(models, x)
    y[::7] = 1 - y[::7]
    return models, x, y, Ensemble.of(models, 0)


def solved(kind, threat, largest, budget=100_000):
    _, x, y, read = asked(kind)
    return verify(read, x, y, threat, largest=largest, budget=budget)


@cache
def truth(kind):
    models, x, y, _ = asked(kind)
    return brute.truth(models, x, y, COARSE, 1.5)


@every_kind
def test_the_nearest_change_is_that_of_trying_every_record(kind):
    found, (models, x, y, _) = solved(kind, COARSE, 1.5), asked(kind)
    torch.testing.assert_close(found.breaks_at, truth(kind).linf, rtol=0, atol=1e-9)
    assert torch.equal(found.robust_below, found.breaks_at)
    broken = found.breaks_at.isfinite()
    assert broken.any()
    assert (~broken).any() or kind != "boosting"
    for record, own, label, distance in zip(
        found.record[broken], x[broken], y[broken].tolist(), found.breaks_at[broken], strict=True
    ):
        assert brute.margin(models, record[None], label)[0] <= 0
        assert float(brute.change(record[None], own, COARSE).max()) == pytest.approx(
            float(distance)
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*groves.LARGE])
def test_of_thousands_of_records_inside_a_proved_radius_none_turns_a_large_ensemble(kind):
    models, x, y, clinical = groves.large(kind)
    found = verify(Ensemble.of(models, 0), x, y, clinical, largest=1.0, budget=20_000)
    proved = found.robust_below.clamp(max=1.0)
    # what breaks at this radius lies on its edge
    within = torch.where(proved == found.breaks_at, proved - 1e-6, proved)
    held = torch.nonzero(within > 0.1).flatten().tolist()
    assert len(held) >= 10
    assert found.breaks_at[held].isfinite().any()
    assert (proved[held] == 1).any()
    chance = np.random.default_rng(0)
    for row in held:
        values = [
            brute.choices(x[row], feature, clinical, float(within[row]))
            for feature in range(x.shape[1])
        ]
        records = torch.stack([one[_mostly_far(chance, one)] for one in values], dim=1)
        assert (brute.margin(models, records, int(y[row])) > 0).all(), row


def _mostly_far(chance, values):
    """Places of 20 000 of these values: half of them are one of the two that are furthest."""
    ends = [int(values.argmin()), int(values.argmax())]
    far = torch.from_numpy(chance.choice(ends, 20_000))
    anywhere = torch.from_numpy(chance.integers(0, len(values), 20_000))
    return torch.where(torch.from_numpy(chance.random(20_000) < 0.5), far, anywhere)


@every_kind
def test_the_shortest_way_is_that_of_trying_every_record(kind):
    found = solved(kind, replace(COARSE, norm="l2"), 1.5)
    exact = truth(kind).l2
    assert torch.equal(found.breaks_at.isinf(), exact.isinf())
    known = exact.isfinite()
    assert ((found.breaks_at - exact)[known].abs() <= 2 * RESOLUTION).all()
    assert (found.robust_below <= exact).all()
    assert (found.breaks_at - found.robust_below)[known].max() <= 2 * RESOLUTION
    assert torch.equal(found.robust_below.isinf(), exact.isinf())  # up to the last radius


@every_kind
def test_the_fewest_values_are_those_of_trying_every_subset(kind):
    models, x, y, _ = asked(kind)
    found = solved(kind, SPARSE, 2)
    for record, label, breaks in zip(x, y.tolist(), found.breaks_at.tolist(), strict=True):
        sizes = [
            size
            for size in range(3)
            for subset in combinations(range(3), size)
            if (
                brute.margin(
                    models, brute.everything(record, COARSE, ANYWHERE, list(subset)), label
                )
                <= 0
            ).any()
        ]
        assert breaks == min(sizes, default=INFINITY)


@every_kind
def test_one_value_alone_is_as_trying_each_says(kind):
    models, x, y, read = asked(kind)
    distance, value = each_alone(read, x, y, SPARSE)
    for row, (record, label) in enumerate(zip(x, y.tolist(), strict=True)):
        for place in range(3):
            if record[place].isnan():
                assert distance[row, place].isnan()
                continue
            tried = brute.everything(record, COARSE, ANYWHERE, [place])
            broken = tried[brute.margin(models, tried, label) <= 0]
            least = (
                float(brute.change(broken, record, COARSE).amax(1).min())
                if len(broken)
                else INFINITY
            )
            assert float(distance[row, place]) == pytest.approx(least, abs=1e-9)
            if least < INFINITY:
                there = record.clone()
                there[place] = value[row, place]
                assert brute.margin(models, there[None], label)[0] <= 0
    assert distance[:, 3:].isnan().all()


@pytest.mark.parametrize("budget", [1, 3, 10])
def test_a_search_that_is_stopped_claims_no_more_than_is_true(budget):
    for kind in KINDS:
        found, exact = solved(kind, COARSE, 1.5, budget), truth(kind).linf
        assert (found.robust_below <= exact + 1e-9).all()
        assert (found.breaks_at >= exact - 1e-9).all()
        assert (found.boxes <= budget).all()
    assert (found.robust_below < exact).any() or budget > 1


def test_without_a_grid_no_nearer_number_changes_the_answer():
    _, x, y, read = asked("drawn")
    found = verify(read, x, y, CONTINUOUS, largest=1.5, budget=100_000)
    generator = torch.Generator().manual_seed(0)
    safe = (found.robust_below - 1e-6).clamp(0, 1.5)[:, None]
    moves = torch.rand(400, *x.shape, generator=generator) * 2 - 1
    tried = x + (moves * safe * CONTINUOUS.scale * CONTINUOUS.mutable).float()
    tried = CONTINUOUS.project(tried, x, safe)
    right = found.robust_below > 0
    margins = torch.stack([read.margin(one, y) for one in tried])
    assert (margins[:, right] > 0).all()
    broken = found.breaks_at.isfinite()
    assert (read.margin(found.record, y)[broken] <= 0).all()


@pytest.mark.parametrize("beside", [0.0, 1e-4, -1e-4])
def test_a_tie_is_decided_by_the_model(beside):
    """The cut lies on what the trees add up to somewhere, where class 1 does not lead, or near."""
    models, x, _, _ = asked("drawn")
    at = models.log_odds(brute.everything(x[1], COARSE, 1.0)[None])[0]
    tied = models.decide_at(at.sort().values[len(at) // 2][None] + beside)
    y = brute.answers(tied, x)
    found = verify(Ensemble.of(tied, 0), x, y, COARSE, largest=1.5, budget=100_000)
    exact = brute.truth(tied, x, y, COARSE, 1.5).linf
    torch.testing.assert_close(found.breaks_at, exact, rtol=0, atol=1e-9)


def test_who_is_barely_right_is_right():
    """Each tree alone could turn the answer; both together leave it by a hair."""
    trees = [
        Tree(
            feature=np.array([0, 0, 0, 0, 0]),
            threshold=np.array([120.0, 0.0, 140.0, 0.0, 0.0]),
            left=np.array([1, 1, 3, 3, 4]),
            right=np.array([2, 1, 4, 3, 4]),
            missing_left=np.zeros(5, dtype=bool),
            value=np.array([0.0, 5.0, 0.0, *ends]),
        )
        for ends in ((-1.0, 1.0005), (1.0005, -1.0))
    ]
    models = Trees.of("two", [trees], ("one",), features=5, link="log_odds", base=[0.0])
    x, y = torch.tensor([[110.0, 30.0, 5.0, 0.5, 40.0]]), torch.tensor([1])
    found = verify(Ensemble.of(models, 0), x, y, COARSE, largest=2.0, budget=1000)
    assert (found.robust_below.item(), found.breaks_at.item()) == (INFINITY, INFINITY)


def test_who_is_spared_and_who_is_wrong():
    _, x, y, read = asked("drawn")
    spared = torch.ones(len(x), dtype=torch.bool)
    found = verify(read, x, y, COARSE, largest=1.5, budget=1000, spared=spared)
    wrong = read.margin(x, y) <= 0
    assert torch.equal(found.breaks_at, torch.where(wrong, 0.0, INFINITY).double())


def test_needless_changes_are_taken_back():
    models, x, y, read = asked("drawn")
    found = solved("drawn", COARSE, 1.5)
    broken = found.breaks_at.isfinite() & (found.breaks_at > 0)
    record = found.record.clone()
    for place in range(3):  # others, as long as the answer stays wrong
        more = record.clone()
        more[:, place] = more[:, place] + COARSE.step[place].float()
        needless = broken & (read.margin(more, y) <= 0)
        record[needless] = more[needless]
    assert ((record != found.record) & ~x.isnan()).any()
    fewer = fewer_changes(read, x, y, replace(found, record=record)).record
    assert (read.margin(fewer, y)[broken] <= 0).all()
    for record, own, label in zip(fewer[broken], x[broken], y[broken].tolist(), strict=True):
        for place in (record != own).logical_and(~own.isnan()).nonzero()[:, 0].tolist():
            without = record.clone()
            without[place] = own[place]
            assert brute.margin(models, without[None], label)[0] > 0


@every_kind
@pytest.mark.parametrize("budget", [3, 100_000])
def test_the_least_margin_is_that_of_every_record_or_below_it(kind, budget):
    models, x, y, read = asked(kind)
    bound = least_margins(read, x, y, COARSE, 0.8, budget=budget)
    for record, label, least in zip(x, y.tolist(), bound.tolist(), strict=True):
        true = float(brute.margin(models, brute.everything(record, COARSE, 0.8), label).min())
        assert least <= true
        assert budget < 100 or least > true - 1e-4


def test_under_relations_nothing_is_claimed():
    """What follows from a forged value would move too."""
    _, x, y, read = asked("drawn")
    related = replace(COARSE, relations=SimpleNamespace())
    found = verify(read, x, y, related, largest=1.5, budget=1000)
    right = read.margin(x, y) > 0
    assert (found.robust_below == 0).all()
    assert torch.equal(found.breaks_at, torch.where(right, INFINITY, 0.0).double())
    assert least_margins(read, x, y, related, 0.8).isinf().all()
    search = ProofSearch(related, [0.0, 0.5], None, 100, replace(related, norm="l0"), pruned=False)
    assert np.isnan(_columns(read, x, y, search)["alone"]).all()


def test_a_rounding_at_the_edge_of_a_ball_breaks_no_proof():
    """A float32 record may lie an ulp beyond the radius that it stands for."""
    _, x, y, read = asked("drawn")
    found = verify(read, x, y, CONTINUOUS, largest=1.5, budget=100_000)
    edge = found.robust_below[found.robust_below.isfinite() & (found.robust_below > 0)]
    assert len(edge) > 3
    for radius in edge.tolist():
        just = radius * (1 - 1e-9)
        for sign in itertools.product((-1, 1), repeat=3):
            move = torch.zeros(5)
            move[:3] = torch.tensor(sign) * just * CONTINUOUS.scale[:3].float()
            tried = CONTINUOUS.project(x + move, x, just)
            safe = found.robust_below > just
            assert (read.margin(tried, y)[safe] > 0).all()


@every_kind
def test_the_leaves_that_are_searched_are_those_that_a_reachable_cell_lies_in(kind):
    _, x, y, read = asked(kind)
    for row, ways in enumerate(reaches(read, x, COARSE.box(x, 0.7), COARSE)):
        found = asked_of(read, x[row].double().numpy(), int(y[row]), ways)
        meets = np.ones(len(read.leaves.value), bool)
        for place, value in enumerate(x[row].tolist()):
            low, high = read.leaves.low[:, place], read.leaves.high[:, place]
            own = (
                [(low <= cell) & (cell <= high) for cell in ways[place].cell]
                if place in ways
                else []
            )
            meets &= read.leaves.missing[:, place] if np.isnan(value) else np.any(own, axis=0)
        sign = 1 if y[row] else -1
        assert found.value.tolist() == (sign * read.leaves.value[meets]).tolist()
        assert found.tree.tolist() == read.leaves.tree[meets].tolist()
