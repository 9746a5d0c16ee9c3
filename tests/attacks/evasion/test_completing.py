"""Attacks on records whose values have to do with each other."""

from functools import cache

import pytest
import torch

import related
from pipeline.attacks.evasion import EVASION, evasion_suite
from pipeline.attacks.evasion.losses import ascent
from pipeline.attacks.evasion.records import on_records
from pipeline.models.answers import margin
from pipeline.verify import verify
from pipeline.verify.network import Network
from related import BMI, HEIGHT, WEIGHT

OPTIONS = {
    "noise": {"draws": 4},
    "fgsm": {},
    "pgd": {"steps": 20, "step_size": 0.2, "restarts": 2},
    "apgd": {"steps": 20, "restarts": 2},
    "fab": {"steps": 20},
    "square": {"queries": 100},
    "hop_skip_jump": {"queries": 100, "samples": 10},
    "sparse": {"points": 17},
}
RADII = {"linf": [0.0, 0.4, 0.8], "l2": [0.0, 0.6, 1.0], "l0": [0.0, 1.0, 2.0]}
CASES = [(name, norm) for name in OPTIONS for norm in sorted(EVASION[name].norms)]
pytestmark = pytest.mark.heavy


@cache
def asked(norm, hidden=(8, 6)):
    models, x = related.models(2, hidden=hidden), related.records(40, seed=5).x.expand(2, -1, -1)
    y = models.double()(x.double()).argmax(-1)
    eps = torch.tensor(RADII[norm]).view(-1, 1, 1, 1)
    return models, x, y, related.threat(norm=norm, eps=[0, 1, 2] if norm == "l0" else None), eps


@cache
def proved(norm):
    """(P,) below which radius nothing breaks the answer of each model."""
    models, x, y, threat, _ = asked(norm)
    return [
        verify(
            Network.of(models, member), x[member], y[member], threat, largest=9.0, budget=3000
        ).robust_below
        for member in range(2)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_an_attack_proposes_records_that_a_clinic_could_hold(name, norm):
    models, x, y, threat, eps = asked(norm)
    attack = evasion_suite({"one": {"method": name, **OPTIONS[name]}})["one"]
    found = attack(models, x, y, threat, eps=eps, generator=torch.Generator().manual_seed(0))
    assert threat.violations(found, x, eps) == 0
    inside = threat.project(found, x, eps)
    wrong = margin(models.double()(inside.double()), y) <= 0
    assert not wrong[0].any()
    for member in range(2):
        for radius, broken in zip(RADII[norm], wrong[:, member], strict=True):
            assert not (broken & (proved(norm)[member] > radius + 1e-6)).any()
    if name in ("pgd", "apgd", "square", "sparse"):
        assert wrong[-1].float().mean() > 0.2


@pytest.mark.parametrize("hidden", [(), (8, 6)])
def test_gradient_attacks_find_most_of_what_there_is(hidden):
    """The planted fault: blind to what follows from a forged value, they find less."""
    models, x, y, threat, eps = asked("linf", hidden)
    attack = evasion_suite({"one": {"method": "pgd", **OPTIONS["pgd"], "restarts": 4}})["one"]
    found = attack(models, x, y, threat, eps=eps, generator=torch.Generator().manual_seed(0))
    wrong = margin(models.double()(threat.project(found, x, eps).double()), y) <= 0
    there = torch.stack(
        [
            verify(Network.of(models, m), x[m], y[m], threat, largest=0.8, budget=3000).breaks_at
            for m in range(2)
        ]
    )
    exists = there <= eps[..., 0] + 1e-6
    assert (wrong & exists).sum() >= 0.93 * exists.sum()


def test_the_model_that_is_attacked_shows_what_follows():
    models, x, y, threat, _ = asked("linf")
    seen = {}

    @on_records("linf")
    def looking(logits_fn, x, y, threat, *, eps, generator):
        heavier = x.clone()
        heavier[..., WEIGHT] += 10
        seen["logits"] = logits_fn(heavier)
        seen["grad"] = ascent(logits_fn, x, y, "margin")[0]
        return x

    looking(models, x, y, threat, eps=0.1, generator=None)
    heavier = x.clone()
    heavier[..., WEIGHT] += 10
    heavier = threat.relations.completed(heavier, x)
    torch.testing.assert_close(seen["logits"], models(heavier))
    plain = ascent(models, x, y, "margin")[0]
    metres = x[..., HEIGHT] / 100
    known = ~x[..., [WEIGHT, HEIGHT, BMI]].isnan().any(-1)
    wanted = plain[..., WEIGHT] + plain[..., BMI] / metres**2
    torch.testing.assert_close(seen["grad"][..., WEIGHT][known], wanted[known])
    assert (seen["grad"][..., BMI][known] == 0).all()
    assert seen["grad"].isfinite().all()
