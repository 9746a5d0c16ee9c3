"""A population of image networks: a loop over members that behaves like any population."""

import json
from dataclasses import replace

import pytest
import torch

import scans
import tiny
from models import noisy_votes
from pipeline.data.schema import Schema
from pipeline.files import BadInput
from pipeline.models import image_networks
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import (
    ANSWERED_AT_ONCE,
    ImageNetworks,
    answers,
    initialise,
    members_of,
    range_constants,
)
from pipeline.models.population import ImageNetworks as Known
from pipeline.models.population import load_population

SCHEMA = Schema.of(scans.described())
ARCHITECTURE = convolutional(scans.SHAPE, 2, [4], [5])
LABELS = ("seed0", "seed1", "release")


@pytest.fixture(scope="module")
def population():
    return ImageNetworks(
        ARCHITECTURE, range_constants(SCHEMA, 3), initialise(ARCHITECTURE, torch.arange(3)), LABELS
    )


def images(*lead, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (*lead, *scans.SHAPE), generator=generator).float()


def test_it_is_the_kind_that_populations_are_loaded_as():
    assert Known is ImageNetworks


def test_each_member_answers_about_its_own_images(population):
    x = images(3, 7)
    found = population(x)
    assert found.shape == (3, 7, 2)
    for number in range(3):
        alone = ARCHITECTURE.answer((x[number] - 127.5) / 63.75, population.member(number))
        assert torch.equal(found[number], alone)
        assert torch.equal(population.select(torch.tensor([number]))(x[[number]])[0], alone)


def test_further_axes_in_front_are_asked_one_by_one(population):
    x = images(2, 3, 4)
    assert torch.equal(population(x), torch.stack([population(x[0]), population(x[1])]))


def test_many_images_are_answered_in_parts(population):
    x = images(1, ANSWERED_AT_ONCE + 3)
    one = population.select(torch.tensor([1]))
    torch.testing.assert_close(one(x)[:, -3:], one(x[:, -3:]), rtol=1e-5, atol=1e-5)


def test_its_own_gradients_are_those_of_autograd(population):
    x = images(3, 6)
    logits, pull = population.pullback(x)
    grad = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(population(leaf), leaf, grad)[0]
    assert torch.equal(logits, population(x))
    torch.testing.assert_close(pull(grad), expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(pull(2 * grad), 2 * expected, rtol=1e-5, atol=1e-7)


def test_all_at_once_as_on_a_gpu_they_answer_and_are_attacked_as_one_by_one(
    population, monkeypatch
):
    constants = {"center": [100.0, 120.0, 140.0], "scale": [50.0, 60.0, 70.0]}
    own = {name: torch.tensor(values) for name, values in constants.items()}
    population = replace(population, preprocessing=own)
    x = images(3, 7)
    grad = torch.randn(3, 7, 2, generator=torch.Generator().manual_seed(2))
    expected, pull = population.pullback(x)
    gradient = pull(grad)
    monkeypatch.setattr(image_networks, "together", lambda *_: True)
    monkeypatch.setattr(image_networks, "ANSWERED_TOGETHER", 9)  # three of each member at a time
    monkeypatch.setattr(image_networks, "lanes", None)
    torch.testing.assert_close(population(x), expected, rtol=1e-5, atol=1e-5)
    found, pull = population.pullback(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for times in (1, 2):
        torch.testing.assert_close(pull(times * grad), times * gradient, rtol=1e-4, atol=1e-7)
    assert population.double()(x.double()).dtype == torch.float64


def test_only_convolutional_networks_elsewhere_answer_all_at_once(population):
    here, there = images(3, 1), torch.zeros(3, 1, *scans.SHAPE, device="meta")
    designs = (ARCHITECTURE, noisy_votes.BASES["vit"])
    found = [image_networks.together(one, x) for one in designs for x in (here, there)]
    assert found == [False, True, False, False]


def test_a_cut_moves_who_is_called_ill_and_no_log_odds(population):
    x, cut = images(3, 9), torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    before = population.double()(x.double())
    moved = population.decide_at(cut)
    after = moved.double()(x.double())
    lead = before[..., 1] - before[..., 0] + population.cut[:, None]
    again = after[..., 1] - after[..., 0] + moved.cut[:, None]
    torch.testing.assert_close(again, lead, rtol=0, atol=1e-9)
    assert torch.equal(after[..., 1] > after[..., 0], lead > moved.cut[:, None])
    torch.testing.assert_close(moved.cut, cut, rtol=0, atol=1e-6)


def test_recalibration_is_a_line_of_the_log_odds(population):
    x = images(3, 9)
    slope, intercept = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([0.1, -0.2, 0.0])
    cut = population.decide_at(torch.tensor([0.3, 0.1, -0.4], dtype=torch.float64))
    line = cut.recalibrate(slope.double(), intercept.double())

    def log_odds(one):
        out = one.double()(x.double())
        return out[..., 1] - out[..., 0] + one.cut[:, None]

    expected = slope[:, None].double() * log_odds(cut) + intercept[:, None].double()
    torch.testing.assert_close(log_odds(line), expected, rtol=1e-6, atol=1e-6)


def test_it_is_saved_and_loaded_bit_for_bit_without_a_pickle(population, tmp_path):
    population.facts["noted"] = "a fact"
    population.decide_at(torch.full((3,), 0.25, dtype=torch.float64)).save(tmp_path)
    again = load_population(tmp_path)
    assert isinstance(again, ImageNetworks)
    assert again.labels == LABELS
    assert again.architecture == ARCHITECTURE
    assert again.facts["noted"] == "a fact"
    x = images(3, 4)
    assert torch.equal(again(x), population.decide_at(again.cut)(x))
    assert again.digest == json.loads((tmp_path / "population.json").read_text())["sha256"]


def test_a_file_that_was_exchanged_is_refused(population, tmp_path):
    population.save(tmp_path)
    weights = tmp_path / "population.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(BadInput, match="damaged or exchanged"):
        ImageNetworks.load(tmp_path)
    described = json.loads((tmp_path / "population.json").read_text())
    described["architecture"]["name"] = "another"
    (tmp_path / "population.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match="does not describe a population"):
        ImageNetworks.load(tmp_path)


def test_the_release_is_the_model_of_everyone_or_else_the_first(population):
    assert population.release().labels == ("release",)
    assert population.select(torch.tensor([1, 0])).release().labels == ("seed1",)


def test_constants_are_of_the_range_and_learned_from_nobody():
    constants = range_constants(SCHEMA, 2)
    assert constants["center"].tolist() == [127.5] * 2
    assert constants["scale"].tolist() == [63.75] * 2


def test_gradients_reach_the_weights(population):
    weights = {
        name: value.clone().requires_grad_() for name, value in population.parameters.items()
    }
    total = answers(ARCHITECTURE, images(3, 4), population.preprocessing, weights).sum()
    grads = torch.autograd.grad(total, list(weights.values()))
    assert all(bool(grad.abs().sum() > 0) for grad in grads[-2:])


def test_the_layers_of_each_member_can_be_looked_at(population):
    layers = list(members_of(population))
    assert [len(one) for one in layers] == [3, 3, 3]
    assert torch.equal(layers[1][0].weight, population.parameters["convolution0.weight"][1])


def test_members_are_drawn_each_from_its_own_seed():
    both = initialise(ARCHITECTURE, torch.tensor([5, 7]))
    alone = initialise(ARCHITECTURE, torch.tensor([7]))
    assert all(tiny.same_bits(both[name][1], alone[name][0]) for name in both)
