"""Gradient attacks reach the closed form on a linear model; the stronger are stronger."""

from itertools import pairwise

import pytest
import torch

import tiny
from pipeline.attacks.evasion import EVASION
from pipeline.attacks.evasion.gradient import _checkpoints, apgd, fgsm, pgd
from pipeline.attacks.evasion.losses import ASCENT
from pipeline.models.answers import margin
from pipeline.models.networks import Networks
from tiny import BALL, CLINICAL, EUCLIDEAN, THREATS, UNCONSTRAINED, slope

PGD = {"steps": 8, "step_size": 0.3}
GRID = torch.tensor([0.0, 0.05, 0.3, 1.0])[:, None, None, None]
LINF_AND_L2 = THREATS | {"euclidean": EUCLIDEAN, "ball": BALL}

every_threat = pytest.mark.parametrize("threat", LINF_AND_L2.values(), ids=LINF_AND_L2)
every_loss = pytest.mark.parametrize("loss", ASCENT)
generator = torch.Generator().manual_seed


@pytest.fixture(scope="module")
def y(models, x):
    answers = models(x).argmax(-1)
    answers[:, ::7] = 1 - answers[:, ::7]
    return answers


# ---- the linear model, where the truth is a formula ----


def expected(linear, x, y, threat, eps):
    """The smallest margin in the ball falls by eps times the dual norm of the slope."""
    steepness = slope(linear, y, threat) * threat.mutable
    fastest = steepness.abs().sum(-1) if threat.norm == "linf" else steepness.norm(dim=-1)
    return margin(linear(x), y) - eps * fastest


@every_loss
@pytest.mark.parametrize("threat", [UNCONSTRAINED, BALL], ids=["linf", "l2"])
@pytest.mark.parametrize("eps", [0.05, 0.3, 1.0])
def test_fgsm_pgd_and_apgd_equal_the_closed_form(linear, complete, loss, threat, eps):
    y = linear(complete).argmax(-1)
    truth = expected(linear, complete, y, threat, eps)
    found = {
        "fgsm": fgsm(linear, complete, y, threat, eps=eps, loss=loss),
        "pgd": pgd(
            linear,
            complete,
            y,
            threat,
            eps=eps,
            loss=loss,
            steps=10,
            step_size=0.25,
            generator=generator(0),
        ),
        "apgd": apgd(
            linear, complete, y, threat, eps=eps, loss=loss, steps=10, generator=generator(0)
        ),
    }
    for name, x_adv in found.items():
        torch.testing.assert_close(margin(linear(x_adv), y), truth, rtol=1e-4, atol=2e-5, msg=name)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_mutable_features_only(linear, complete, norm):
    mask = CLINICAL.mutable
    limits = (getattr(UNCONSTRAINED, name) for name in ("lower", "upper", "step", "scale"))
    frozen = type(UNCONSTRAINED)(mask, *limits, norm)
    y = linear(complete).argmax(-1)
    truth = expected(linear, complete, y, frozen, 0.3)
    for x_adv in (
        fgsm(linear, complete, y, frozen, eps=0.3),
        apgd(linear, complete, y, frozen, eps=0.3, steps=10, generator=generator(0)),
    ):
        torch.testing.assert_close(margin(linear(x_adv), y), truth, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
@every_loss
def test_pgd_and_apgd_reach_the_best_corner(linear, complete, threat, loss):
    y = linear(complete).argmax(-1)
    low, high = threat.box(complete, 0.4)
    corner = torch.where(slope(linear, y, threat) < 0, high, low).float()
    for x_adv in (
        pgd(
            linear,
            complete,
            y,
            threat,
            eps=0.4,
            steps=10,
            step_size=0.25,
            loss=loss,
            generator=generator(0),
        ),
        apgd(linear, complete, y, threat, eps=0.4, steps=10, loss=loss, generator=generator(0)),
    ):
        torch.testing.assert_close(
            margin(linear(x_adv), y), margin(linear(corner), y), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("threat", [UNCONSTRAINED, BALL], ids=["linf", "l2"])
def test_a_missing_value_is_no_handle(linear, complete, threat):
    x = complete.clone()
    x[..., 0] = torch.nan
    y = linear(x).argmax(-1)
    x_adv = fgsm(linear, x, y, threat, eps=0.3)
    steepness = slope(linear, y, threat)[..., 1:]
    fastest = steepness.abs().sum(-1) if threat is UNCONSTRAINED else steepness.norm(dim=-1)
    torch.testing.assert_close(
        margin(linear(x_adv), y), margin(linear(x), y) - 0.3 * fastest, rtol=1e-4, atol=2e-5
    )


# ---- strength ----


@every_threat
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_strength(threat, seed):
    models, x = (
        tiny.population(5, hidden=(16, 16), seed=seed),
        tiny.records(250, seed=seed).x.view(5, 50, 5),
    )
    y = models(x).argmax(-1)

    def mean_margin(name, **options):
        x_adv = EVASION[name].run(models, x, y, threat, eps=0.3, generator=generator(0), **options)
        return margin(models(x_adv), y).mean()

    clean, single = margin(models(x), y).mean(), mean_margin("fgsm")
    assert mean_margin("pgd", **PGD, restarts=3) <= mean_margin("pgd", **PGD) < single < clean
    assert mean_margin("apgd", steps=20, restarts=3) <= mean_margin("apgd", steps=20) < single
    assert single < mean_margin("noise")


@every_threat
def test_apgd_is_as_strong_as_pgd_of_the_same_length(threat):
    models, x = tiny.population(5, hidden=(16, 16)), tiny.records(500, seed=0).x.view(5, 100, 5)
    y = models(x).argmax(-1)
    by_apgd = apgd(models, x, y, threat, eps=0.5, steps=20, generator=generator(0))
    by_pgd = pgd(models, x, y, threat, eps=0.5, steps=20, step_size=0.25, generator=generator(0))
    assert margin(models(by_apgd), y).mean() <= margin(models(by_pgd), y).mean() + 0.01


@every_loss
@pytest.mark.parametrize("threat", [CLINICAL, BALL], ids=["linf", "l2"])
@pytest.mark.parametrize("attack", [pgd, apgd])
def test_more_restarts_never_hurt_any_record(models, x, y, loss, threat, attack):
    options = PGD if attack is pgd else {"steps": 6}

    def after(restarts):
        x_adv = attack(
            models,
            x,
            y,
            threat,
            eps=GRID,
            generator=generator(4),
            loss=loss,
            restarts=restarts,
            **options,
        )
        return margin(models(x_adv), y)

    for fewer, more in pairwise(map(after, (1, 2, 5))):
        assert (more <= fewer).all()
        assert (more < fewer).any()


@pytest.mark.parametrize("attack", [pgd, apgd])
def test_the_margin_sees_through_a_saturated_softmax(models, x, attack):
    """Masking: at a thousandth of the temperature only cross-entropy's gradient is exactly 0."""
    last = max(name for name in models.parameters if name.startswith("weight"))[-1]
    hot = {
        n: t * 1e4 if n in (f"weight{last}", f"bias{last}") else t
        for n, t in models.parameters.items()
    }
    masked = Networks(models.architecture, models.preprocessing, hot, models.labels)
    y = masked(x).argmax(-1)
    options = PGD if attack is pgd else {"steps": 10}

    def broken(model, loss):
        x_adv = attack(
            model, x, y, UNCONSTRAINED, eps=1.0, loss=loss, generator=generator(0), **options
        )
        return float((margin(model(x_adv), y) <= 0).float().mean())

    assert broken(models, "cross_entropy") > 0.15
    assert broken(masked, "cross_entropy") < 0.2 * broken(models, "cross_entropy")
    assert broken(masked, "margin") == pytest.approx(broken(models, "margin"), abs=0.02)


def test_the_checkpoints_are_those_of_the_paper():
    assert sorted(_checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sorted(_checkpoints(20)) == [5, 9, 12, 14, 16, 18, 19, 20]


def test_apgd_finds_a_point_that_a_step_of_two_radii_jumps_over():
    """The loss peaks inside the ball; only a step that is halved comes to rest there."""

    def model(records):
        height = -((records[..., 0] - 2.3) ** 2)
        return torch.stack([-height, torch.zeros_like(height)], -1)

    threat = type(UNCONSTRAINED)(
        torch.tensor([True]),
        *(
            torch.tensor([value], dtype=torch.float64)
            for value in (-torch.inf, torch.inf, 0.0, 1.0)
        ),
    )
    x_adv = apgd(
        model,
        torch.zeros(1, 1),
        torch.tensor([0]),
        threat,
        eps=4.0,
        steps=60,
        loss="margin",
        generator=generator(0),
    )
    assert x_adv.item() == pytest.approx(2.3, abs=0.1)
