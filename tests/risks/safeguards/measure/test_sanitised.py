"""Sanitisers under attack: identities that hold whatever the model, and a planted mask."""

import pytest
import torch

import scans
import tiny
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.sanitising import sanitisers_for
from pipeline.models.answers import margin
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import ImageNetworks, initialise, range_constants
from pipeline.risks.safeguards.measure.cohort import Cohort
from pipeline.risks.safeguards.measure.sanitised import NOTHING, Margins, attack_sanitised
from risks.safeguards import made_up

OF_RECORDS = {
    "rounding": {"method": "rounding"},
    "coarse": {"method": "rounding", "coarseness": 0.5},
    "jitter": {"method": "jitter", "spread": 0.3},
}
OF_IMAGES = {
    "bits": {"method": "bits", "bits": 2},
    "median": {"method": "median", "size": 3},
    "jpeg": {"method": "jpeg", "quality": 40},
    "jitter": {"method": "jitter", "spread": 10.0},
}


def of_records():
    who = made_up.cohort(threat=tiny.UNCONSTRAINED)
    population = made_up.models(who)
    cleaned = sanitisers_for(OF_RECORDS, who.dataset.schema)
    return who, attack_sanitised(who, population, cleaned, {"adv": made_up.models(who, seed=5)})


def of_images():
    data = scans.dataset(40, seed=0, split=True)
    plan = Plan.official(data.split, seeds=2, seed=0)
    threat = Threat.of(data.schema, tiny.threat_config())
    who = Cohort(data, plan, threat, [0.0, 4.0, 12.0], 8, 2, 0)
    architecture = convolutional(data.schema.image, 2, [4, 6], [5])
    weights = {name: 2 * one for name, one in initialise(architecture, plan.seeds).items()}
    constants = range_constants(data.schema, 2)
    population = ImageNetworks(architecture, constants, weights, plan.labels)
    return who, attack_sanitised(who, population, sanitisers_for(OF_IMAGES, data.schema), {})


@pytest.fixture(scope="module", params=["records", "images"])
def found(request):
    return of_records() if request.param == "records" else of_images()


def test_without_a_radius_everything_is_as_without_attack(found):
    _, margins = found
    for name, clean in margins.clean.items():
        for kind in (margins.chance, margins.ignoring, margins.adaptive):
            assert torch.equal(kind[name][0], clean), name


def test_who_adapts_never_breaks_fewer_and_more_radius_never_helps(found):
    _, margins = found
    for name in margins.clean:
        assert (margins.adaptive[name] <= margins.ignoring[name]).all()
        for kind in (margins.chance, margins.ignoring, margins.adaptive):
            assert (kind[name].diff(dim=0) <= 0).all()


def test_without_a_sanitiser_both_attackers_are_one(found):
    _, margins = found
    assert torch.equal(margins.ignoring[NOTHING], margins.adaptive[NOTHING])
    assert (margins.adaptive[NOTHING][-1] < margins.clean[NOTHING]).any()


def test_unchanged_records_are_answered_as_the_sanitised_ones():
    who, margins = of_records()
    population = made_up.models(who).double()
    one = sanitisers_for(OF_RECORDS, who.dataset.schema)["coarse"]
    cleaned = one.clean(who.x.double())
    expected = who.by_patient(margin(population(cleaned), who.y)[None])[0].float()
    assert torch.equal(margins.clean["coarse"], expected)


def test_it_is_kept_bit_for_bit(found, tmp_path):
    _, margins = found
    margins.save(tmp_path / "a.safetensors")
    again = Margins.load(tmp_path / "a.safetensors")
    assert again.eps == margins.eps
    assert list(again.adaptive) == list(margins.adaptive)
    assert all(torch.equal(again.adaptive[name], one) for name, one in margins.adaptive.items())


def test_a_sanitiser_that_masks_its_gradient_is_broken_by_who_goes_through_it():
    """Planted: single pixels count for much and their neighbours against them, so that whoever
    attacks the bare model draws single pixels, which a median takes away.
    """
    schema = scans.dataset(4, seed=0).schema
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(24) % 2
    level = 60.0 + 110 * y.view(-1, 1, 1, 1)
    x = level + torch.randint(-3, 4, (24, 1, 8, 8), generator=drawn)
    data = Dataset(x.float(), y, schema, split=(torch.arange(24) >= 8) * 2)
    plan = Plan.official(data.split, seeds=1, seed=0)
    threat = Threat.of(data.schema, tiny.threat_config())
    who = Cohort(data, plan, threat, [0.0, 60.0], 20, 2, 0)
    cleaned = sanitisers_for({"median": {"method": "median", "size": 3}}, schema)
    margins = attack_sanitised(who, SinglePixels(), cleaned, {})
    right = {
        kind: (getattr(margins, kind)["median"][-1] > 0).float().mean()
        for kind in ("ignoring", "adaptive")
    }
    assert (margins.clean["median"] > 0).all()
    assert (margins.adaptive[NOTHING][-1] <= 0).all()  # bare, it is broken of everybody
    assert right["ignoring"] == 1  # behind the median it seems robust
    assert right["adaptive"] == 0  # and is not


class SinglePixels:
    """M = 1: whether an image is bright, by a pixel of each 3 x 3, the others count against it."""

    size, gradients = 1, True

    def __init__(self, dtype=torch.float32):
        rows, columns = torch.arange(8)[:, None] % 3 == 1, torch.arange(8) % 3 == 1
        self.weight = torch.where(rows & columns, 10.0, -1.0).to(dtype)

    def double(self):
        return SinglePixels(torch.float64)

    def __call__(self, x):
        lead = ((x - 115) * self.weight).flatten(-3).sum(-1)
        return torch.stack([torch.zeros_like(lead), lead], -1)
