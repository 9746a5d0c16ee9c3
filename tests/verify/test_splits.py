"""Climbing and branching tighten a bound, and never beyond what some image leaves."""

import pytest
import torch
from torch.nn.functional import relu

import lattice
from pipeline.verify.convolution import Convolutions, margin_bound
from pipeline.verify.neurons import relaxations
from pipeline.verify.splits import Adam, Question, branched, climbed

COUNT, EPS = 20, 3.0


@pytest.fixture(scope="module", params=[0, 1, 3])
def case(request):
    population = lattice.networks(seed=request.param)
    x, y = lattice.images(COUNT, population)
    model, threat = Convolutions.of(population, 0), lattice.pixels()
    region = model.region(*threat.box(x, EPS))
    lines = relaxations(model, region)
    start = margin_bound(model, region, y, lines).least
    return model, Question(region, y, lines), start, lattice.least(population, x, y, threat, EPS)


def free(asked):
    return torch.zeros(len(asked.y), asked.neurons, dtype=torch.int8)


def test_slopes_that_climb_bound_better_and_truly(case):
    model, asked, start, truth = case
    found = climbed(model, asked, free(asked))
    assert (found.least >= start - 1e-8).all()
    assert (found.least > start + 0.01).any()
    assert (found.least <= truth).all()


def test_questions_join_as_they_were_parted(case):
    _, asked, *_ = case
    parts = [asked.where(rows) for rows in torch.arange(COUNT).split(7)]
    again = Question.join(parts)
    assert torch.equal(again.y, asked.y)
    assert torch.equal(again.region.centre, asked.region.centre)
    assert torch.equal(again.region.rounding, asked.region.rounding)
    for one, other in zip(again.lines, asked.lines, strict=True):
        for name, values in vars(other).items():
            assert torch.equal(getattr(one, name), values)


def test_steps_are_those_of_torch():
    drawn = torch.Generator().manual_seed(0)
    here = torch.rand(3, 4, generator=drawn)
    theirs = here.clone().requires_grad_()
    other, ours = torch.optim.Adam([theirs], lr=0.3), Adam.at(here)
    for step in range(5):
        uphill = torch.randn(3, 4, generator=drawn)
        theirs.grad = -uphill
        other.param_groups[0]["lr"] = 0.3 * 0.8**step
        other.step()
        here = here + ours.step(uphill, 0.3 * 0.8**step)
    torch.testing.assert_close(here, theirs.detach())


def test_no_steps_leave_what_crown_says(case):
    model, asked, start, _ = case
    found = climbed(model, asked, free(asked), steps=0)
    torch.testing.assert_close(found.least, start, rtol=1e-6, atol=1e-6)


def test_branching_closes_the_gap_to_what_every_image_leaves(case):
    model, asked, _, truth = case
    found = branched(model, asked, climbed(model, asked, free(asked)), 2000)
    assert (found[found <= 0] <= truth[found <= 0]).all()
    assert (truth[found > 0] > 0).all()
    decided = (found > 0) | (truth <= 0)
    assert decided.float().mean() >= 0.95


def test_a_budget_of_nothing_changes_nothing(case):
    model, asked, *_ = case
    start = climbed(model, asked, free(asked))
    assert torch.equal(branched(model, asked, start, 0), start.least)


def received(model, images):
    """What all hidden neurons receive, (K, neurons)."""
    signal, parts = (images.double() - model.center) / model.scale, []
    for layer in model.layers[:-1]:
        signal = layer(signal)
        parts.append(signal.flatten(1))
        signal = relu(signal)
    return torch.cat(parts, 1)


def test_what_is_held_bounds_where_it_holds(case):
    """A ReLU on, and off: no image of the box where it is so leaves less than the bound."""
    model, asked, *_ = case
    start = climbed(model, asked, free(asked))
    place, split = start.gaps.argmax(1), start.gaps.amax(1) > 0
    gained = 0.0
    for sign in (1, -1):
        signs = free(asked)
        signs[torch.arange(COUNT), place] = sign
        found = climbed(model, asked, signs).least
        gained += float((found - start.least)[split].clamp_min(0).sum())
        for row in split.nonzero()[:5, 0].tolist():
            every = images_of(asked, model, row)
            there = sign * received(model, every)[:, place[row]] >= 0
            margins = model.margin(every[there], asked.y[row].expand(int(there.sum())))
            assert (margins >= found[row]).all()
    assert gained > 0.1


def images_of(asked, model, row):
    """Every image of one box."""
    centre = asked.region.centre[row] * model.scale + model.center
    reach = asked.region.radius[row] * model.scale
    return lattice.between((centre - reach).round(), (centre + reach).round())


def test_values_by_layer_are_in_their_places(case):
    _, asked, *_ = case
    flat = torch.arange(asked.neurons).expand(COUNT, -1)
    parts = asked.by_layer(flat)
    assert [part.shape for part in parts] == [line.low.shape for line in asked.lines]
    assert torch.equal(torch.cat([part.flatten(1) for part in parts], 1), flat)
