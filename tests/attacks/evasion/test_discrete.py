"""Recodes and gaps: inside the threat, as good as brute force, never beyond what is proved."""

from dataclasses import replace

import pytest
import torch

import mixed
import tiny
from pipeline.attacks.evasion.discrete import recodes
from pipeline.attacks.evasion.gradient import fgsm
from pipeline.data.threat import Threat
from pipeline.models.answers import margin
from pipeline.verify import verify
from pipeline.verify.least import least_margins
from pipeline.verify.network import Network

RADII = {"linf": [0.0, 0.5, 0.7, 1.0], "l2": [0.0, 0.5, 0.7, 1.2], "l0": [0.0, 1.0, 2.0]}
every_norm = pytest.mark.parametrize("norm", RADII)


def frozen(norm, withhold):
    """The mixed clinic of whose records no number moves: two categories alone are forged."""
    features = {
        name: one.model_copy(update={"mutable": False}) for name, one in mixed.FEATURES.items()
    }
    features["thal"] = mixed.FEATURES["thal"]
    features["ward"] = mixed.levels(
        "categorical", 5, mutable=True, cost=0.7, recodes={"c0": ["c1", "c3"], "c3": ["c4"]}
    )
    made = tuple(features.values())
    return made, Threat.of(replace(mixed.SCHEMA, features=made), limits(norm, withhold))


def limits(norm, withhold):
    eps = [0, 1, 2] if norm == "l0" else None
    return tiny.threat_config(norm=norm, withhold=withhold, eps=eps)


def asked(seed=4, members=2):
    models, data = mixed.models(members), mixed.records(40, seed=seed)
    x = data.x.expand(members, -1, -1)
    return models, x, models(x).argmax(-1)


@pytest.mark.parametrize("withhold", [None, 0.6])
@every_norm
def test_where_no_number_moves_it_is_as_good_as_trying_every_record(norm, withhold):
    features, threat = frozen(norm, withhold)
    models, x, y = asked(members=1)
    radii = torch.tensor(RADII[norm])
    found = recodes(models, x, y, threat, eps=radii.view(-1, 1, 1, 1), listed=1000)
    assert threat.violations(found, x, radii.view(-1, 1, 1, 1)) == 0
    left = margin(models(found), y)[:, 0]
    gained = 0
    for row, record in enumerate(x[0]):
        tried, changes = map(
            torch.stack, zip(*mixed.everything(record, threat, features), strict=True)
        )
        lead = margin(models(tried[None]), y[:, row, None])[0]
        far = mixed.distance(changes, norm)
        for at, eps in enumerate(radii.tolist()):
            least = float(lead[far <= eps + 1e-6].min())
            assert float(left[at, row]) == pytest.approx(least, abs=1e-5), (row, eps)
            gained += least < float(left[0, row]) - 0.1
    assert gained > 10


@pytest.mark.parametrize("withhold", [None, 0.6])
@every_norm
def test_it_stays_within_the_threat_and_above_what_is_proved(norm, withhold):
    threat = Threat.of(mixed.SCHEMA, limits(norm, withhold))
    models, x, y = asked()
    radii = torch.tensor(RADII[norm])
    grid = radii.view(-1, 1, 1, 1)
    found = recodes(models, x, y, threat, eps=grid, listed=64)
    assert threat.violations(found, x, grid) == 0
    assert tiny.same_bits(threat.project(found, x, grid), found)
    assert tiny.same_bits(found[0], x.contiguous())
    left = margin(models.double()(found.double()), y)
    for member in range(2):
        network = Network.of(models, member)
        proved = verify(network, x[member], y[member], threat, largest=RADII[norm][-1], budget=2000)
        for at, eps in enumerate(RADII[norm]):
            broken = left[at, member] <= 0
            assert (proved.robust_below[broken] <= eps + 1e-6).all()
    eps = RADII[norm][1]
    if norm != "l0":
        bound = least_margins(Network.of(models, 0), x[0], y[0], threat, eps, budget=500)
        assert (left[1, 0] >= bound - 1e-6).all()
    assert ((found[-1] != x) & ~x.isnan())[..., 2].any()  # thal


@every_norm
def test_a_larger_radius_and_more_variants_are_never_worse(norm):
    threat = frozen(norm, 0.6)[1]
    models, x, y = asked()
    grid = torch.tensor(RADII[norm]).view(-1, 1, 1, 1)

    def left(listed):
        return margin(models(recodes(models, x, y, threat, eps=grid, listed=listed)), y)

    few, many = left(2), left(64)
    assert (many <= few).all()
    assert (many < few).any()
    assert (many[1:] <= many[:-1]).all()
    assert torch.equal(left(1), few[0].expand_as(few))  # the record itself alone


def test_it_breaks_whom_a_gradient_cannot():
    threat = Threat.of(mixed.SCHEMA, limits("linf", 0.4))
    models, x, y = asked()
    by_gradient = fgsm(models, x, y, threat, eps=0.5)
    by_recode = recodes(models, x, y, threat, eps=0.5, listed=64)
    broken = [(margin(models(one), y) <= 0).sum() for one in (by_gradient, by_recode)]
    assert broken[1] > broken[0] + 5


def test_a_radius_of_float32_admits_the_cost_that_it_stands_for():
    threat = frozen("linf", None)[1]
    x = mixed.records(30, seed=1, missing=0).x
    forged = x.clone()
    forged[:, 4] = torch.where(x[:, 4] == 3, 4.0, x[:, 4])  # at 0.7, which float32 rounds down
    assert (forged != x).any()
    radius = torch.tensor([0.7]).view(1, 1)
    assert tiny.same_bits(threat.project(forged, x, radius), forged)
    assert threat.violations(forged, x, radius) == 0
    assert threat.violations(forged, x, 0.6999) > 0
