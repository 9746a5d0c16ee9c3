"""What every evasion attack must keep, and what the single ones must reach."""

from itertools import pairwise

import pytest
import tiny
import torch
from tiny import CLINICAL, THREATS, UNCONSTRAINED, same_bits

from pipeline.attacks import EVASION, evasion_suite
from pipeline.attacks.evasion import ASCENT, ascent_sign, fgsm, margin, noise, pgd, worst
from pipeline.files import BadInput
from pipeline.population import Population

PGD = {"steps": 8, "step_size": 0.3}
ATTACKS = {
    "noise": ("noise", {"draws": 2}),
    "fgsm": ("fgsm", {}),
    "fgsm_margin": ("fgsm", {"loss": "margin"}),
    "pgd": ("pgd", {**PGD}),
    "pgd_ce": ("pgd", {**PGD, "loss": "cross_entropy"}),
    "pgd_restarts": ("pgd", {**PGD, "restarts": 3}),
}
DETERMINISTIC = ["fgsm", "fgsm_margin", "pgd", "pgd_ce"]
GRID = torch.tensor([0.0, 0.05, 0.3, 1.0])[:, None, None, None]

every_attack = pytest.mark.parametrize("name", ATTACKS)
every_threat = pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)


def attacked(name, models, x, y, threat, eps, seed=0):
    method, options = ATTACKS[name]
    return EVASION[method](models, x, y, threat, eps=eps, generator=torch.Generator().manual_seed(seed), **options)


@pytest.fixture(scope="module")
def models():
    return tiny.population(3)


@pytest.fixture(scope="module")
def x():
    return tiny.records(90, seed=1).x.view(3, 30, 5)


@pytest.fixture(scope="module")
def y(models, x):
    """What the models answer, with some answers they get wrong."""
    answers = models(x).argmax(-1)
    answers[:, ::7] = 1 - answers[:, ::7]
    return answers


def test_the_table_holds_every_registered_attack():
    assert {method for method, _ in ATTACKS.values()} == set(EVASION)


# ---- every attack ----


@every_attack
@every_threat
def test_inside_the_threat_model(models, x, y, threat, name):
    x_adv = attacked(name, models, x, y, threat, GRID)
    assert x_adv.shape == (4, 3, 30, 5)
    assert threat.violations(x_adv, x, GRID) == 0


@every_attack
def test_immutable_and_missing_values_keep_their_bits(models, x, y, name):
    x_adv = attacked(name, models, x, y, CLINICAL, 0.5)
    untouched = x.isnan() | ~CLINICAL.mutable
    assert x.isnan().any()
    assert same_bits(x_adv[untouched], x[untouched])
    assert not torch.equal(x_adv[~untouched], x[~untouched])


@every_attack
@every_threat
def test_radius_zero_returns_the_record_bit_for_bit(models, x, y, threat, name):
    assert same_bits(attacked(name, models, x, y, threat, 0.0), x)
    assert same_bits(attacked(name, models, x, y, threat, GRID)[0], x)


@every_attack
def test_detached_and_a_tensor_of_its_own(models, x, y, name):
    before = x.clone()
    x_adv = attacked(name, models, x, y, CLINICAL, 0.0)
    assert not x_adv.requires_grad
    x_adv.fill_(7.0)
    assert same_bits(x, before)


@every_attack
@pytest.mark.parametrize("training", [True, False])
def test_weights_gradients_and_mode_of_a_module_are_left_alone(x, y, name, training):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Dropout(0.0), torch.nn.Linear(4, 2)).train(training)
    records = x.nan_to_num(1.0)
    before = [tensor.clone() for tensor in module.state_dict().values()]
    with torch.inference_mode(False):
        attacked(name, module, records, y, CLINICAL, 0.3)
    assert all(torch.equal(a, b) for a, b in zip(before, module.state_dict().values(), strict=True))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert module.training is training


@every_attack
def test_works_where_gradients_are_switched_off(models, x, y, name):
    with torch.no_grad():
        quiet = attacked(name, models, x, y, CLINICAL, 0.5)
    assert same_bits(quiet, attacked(name, models, x, y, CLINICAL, 0.5))


@every_attack
def test_the_same_seed_gives_the_same_records_whatever_the_global_state(models, x, y, name):
    torch.manual_seed(1)
    first, state = attacked(name, models, x, y, CLINICAL, 0.5), torch.get_rng_state()
    torch.manual_seed(2)
    second = attacked(name, models, x, y, CLINICAL, 0.5)
    torch.manual_seed(1)
    assert same_bits(first, second)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", DETERMINISTIC)
@every_threat
def test_a_grid_in_one_call_equals_a_call_per_radius(models, x, y, threat, name):
    whole = attacked(name, models, x, y, threat, GRID)
    for eps, records in zip(GRID, whole, strict=True):
        torch.testing.assert_close(attacked(name, models, x, y, threat, eps), records, equal_nan=True, rtol=1e-6, atol=1e-4)


@every_attack
def test_one_radius_per_record(models, x, y, name):
    radii = torch.rand(3, 30, 1, generator=torch.Generator().manual_seed(0))
    assert CLINICAL.violations(attacked(name, models, x, y, CLINICAL, radii), x, radii) == 0


@every_attack
def test_more_leading_axes(models, x, y, name):
    many = torch.stack([torch.stack([x, x + 1]), torch.stack([x + 2, x + 3])])
    x_adv = attacked(name, models, many, y, UNCONSTRAINED, 0.3)
    assert x_adv.shape == (2, 2, 3, 30, 5)
    assert UNCONSTRAINED.violations(x_adv, many, 0.3) == 0
    if name in DETERMINISTIC:
        alone = attacked(name, models, x + 2, y, UNCONSTRAINED, 0.3)
        torch.testing.assert_close(x_adv[1, 0], alone, equal_nan=True, rtol=1e-6, atol=1e-4)


@every_attack
def test_five_classes(x, name):
    models = tiny.population(3, classes=5)
    y = models(x).argmax(-1)
    x_adv = attacked(name, models, x, y, CLINICAL, 0.5)
    assert CLINICAL.violations(x_adv, x, 0.5) == 0
    if name != "noise":
        assert (margin(models(x_adv), y).mean() < margin(models(x), y).mean() - 0.1).all()


@every_attack
def test_a_batch_of_one_member_of_one_record(name):
    models, x = tiny.population(1), tiny.records(1, seed=0).x[None]
    assert attacked(name, models, x, torch.tensor([[1]]), CLINICAL, 0.1).shape == (1, 1, 5)


# ---- margin ----


def test_margin_is_the_lead_over_the_best_other_class():
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 5.0, 5.0], [1.0, 2.0, 0.0]])
    assert margin(logits, torch.tensor([0, 1, 2])).tolist() == [0.5, 0.0, -2.0]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_ascents_are_the_gradients_of_cross_entropy_and_of_the_negative_margin(classes):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 30, classes, generator=generator).requires_grad_()
    y = torch.randint(classes, (30,), generator=generator)
    labels = y.expand(4, 30)
    losses = {
        "cross_entropy": torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum"),
        "margin": -margin(logits, y).sum(),
    }
    assert losses.keys() == ASCENT.keys()
    for name, loss in losses.items():
        expected = torch.autograd.grad(loss, logits, retain_graph=True)[0]
        torch.testing.assert_close(ASCENT[name](logits.detach(), y), expected)


def test_worst_takes_the_smallest_margin_of_each_record_and_the_first_of_equals(models, x, y):
    candidates = [x, x + 5, x, x - 20]
    chosen = worst(models, candidates, y)
    margins = torch.stack([margin(models(candidate), y) for candidate in candidates])
    assert torch.equal(margin(models(chosen), y), margins.min(0).values)
    assert same_bits(worst(models, [x, x], y), x)


# ---- the linear model, where the truth is a formula ----


@pytest.fixture(scope="module")
def linear():
    return tiny.population(3, hidden=())


@pytest.fixture(scope="module")
def complete():
    return tiny.records(90, seed=2, missing=0).x.view(3, 30, 5)


def slope(models, y):
    """(M, B, D): by how much the margin of the true class changes per unit of `eps` along each feature."""
    weight = models.parameters["weight0"] / models.preprocessing["scale"][..., None]
    across = (weight[..., 1] - weight[..., 0])[:, None]
    return torch.where(y[..., None] == 1, across, -across) * UNCONSTRAINED.scale.float()


@pytest.mark.parametrize("loss", ASCENT)
@pytest.mark.parametrize("eps", [0.05, 0.3, 1.0])
def test_fgsm_equals_the_closed_form(linear, complete, loss, eps):
    y = linear(complete).argmax(-1)
    x_adv = fgsm(linear, complete, y, UNCONSTRAINED, eps=eps, loss=loss)
    expected = margin(linear(complete), y) - eps * slope(linear, y).abs().sum(-1)
    torch.testing.assert_close(margin(linear(x_adv), y), expected, rtol=1e-4, atol=2e-5)


def test_fgsm_uses_mutable_features_only(linear, complete):
    mask = CLINICAL.mutable
    frozen = type(UNCONSTRAINED)(mask, *(getattr(UNCONSTRAINED, name) for name in ("lower", "upper", "step", "scale")))
    y = linear(complete).argmax(-1)
    x_adv = fgsm(linear, complete, y, frozen, eps=0.3)
    expected = margin(linear(complete), y) - 0.3 * (slope(linear, y).abs() * mask).sum(-1)
    torch.testing.assert_close(margin(linear(x_adv), y), expected, rtol=1e-4, atol=2e-5)


@every_threat
@pytest.mark.parametrize("loss", ASCENT)
def test_pgd_reaches_the_best_corner(linear, complete, threat, loss):
    y = linear(complete).argmax(-1)
    x_adv = pgd(
        linear, complete, y, threat, eps=0.4, steps=10, step_size=0.25, loss=loss, generator=torch.Generator()
    )  # fmt: skip
    low, high = threat.box(complete, 0.4)
    corner = torch.where(slope(linear, y) < 0, high, low).float()
    torch.testing.assert_close(margin(linear(x_adv), y), margin(linear(corner), y), rtol=1e-4, atol=1e-5)


def test_a_missing_value_is_no_handle(linear, complete):
    x = complete.clone()
    x[..., 0] = torch.nan
    y = linear(x).argmax(-1)
    x_adv = fgsm(linear, x, y, UNCONSTRAINED, eps=0.3)
    expected = margin(linear(x), y) - 0.3 * slope(linear, y)[..., 1:].abs().sum(-1)
    torch.testing.assert_close(margin(linear(x_adv), y), expected, rtol=1e-4, atol=2e-5)


# ---- strength ----


@every_threat
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_strength(threat, seed):
    models, x = tiny.population(5, hidden=(16, 16), seed=seed), tiny.records(500, seed=seed).x.view(5, 100, 5)
    y = models(x).argmax(-1)

    def mean_margin(name):
        return margin(models(attacked(name, models, x, y, threat, 0.3)), y).mean()

    clean = margin(models(x), y).mean()
    assert mean_margin("pgd_restarts") <= mean_margin("pgd") < mean_margin("fgsm") < clean
    assert mean_margin("fgsm") < mean_margin("noise")


@pytest.mark.parametrize("loss", ASCENT)
def test_more_restarts_or_more_draws_never_hurt_any_record(models, x, y, loss):
    def after(attack, **options):
        generator = torch.Generator().manual_seed(4)
        return margin(models(attack(models, x, y, CLINICAL, eps=GRID, generator=generator, **options)), y)

    by_restarts = [after(pgd, **PGD, loss=loss, restarts=count) for count in (1, 2, 5)]
    by_draws = [after(noise, draws=count) for count in (1, 2, 5)]
    for family in (by_restarts, by_draws):
        for fewer, more in pairwise(family):
            assert (more <= fewer).all()
            assert (more < fewer).any()


def test_pgd_never_returns_a_record_worse_than_the_true_one(models, x, y):
    x_adv = attacked("pgd_ce", models, x, y, CLINICAL, GRID)
    assert (margin(models(x_adv), y) <= margin(models(x.expand(x_adv.shape)), y) + 1e-4).all()


def test_the_margin_sees_through_a_saturated_softmax(models, x):
    """Masking: at a thousandth of the temperature the cross-entropy's gradient is exactly 0 in float32, the margin's is not."""
    last = max(name for name in models.parameters if name.startswith("weight"))[-1]
    hot = {n: t * 1e4 if n in (f"weight{last}", f"bias{last}") else t for n, t in models.parameters.items()}
    masked = Population(models.architecture, models.preprocessing, hot, models.labels)
    y = masked(x).argmax(-1)

    def broken(model, name):
        return float((margin(model(attacked(name, model, x, y, UNCONSTRAINED, 1.0)), y) <= 0).float().mean())

    assert broken(models, "pgd_ce") > 0.15
    assert broken(masked, "pgd_ce") < 0.2 * broken(models, "pgd_ce")
    assert broken(masked, "pgd") == pytest.approx(broken(models, "pgd"), abs=0.02)


def test_ascent_sign_is_the_sign_of_the_gradient(linear, complete):
    y = linear(complete).argmax(-1)
    for loss in ASCENT:
        sign, logits = ascent_sign(linear, complete, y, loss)
        assert torch.equal(sign, -slope(linear, y).sign())
        torch.testing.assert_close(logits, linear(complete))


# ---- the suite ----


def test_the_suite_keeps_names_and_order_and_binds_options(models, x, y):
    suite = evasion_suite({"weak": {"method": "pgd", **PGD, "steps": 1}, "strong": {"method": "pgd", **PGD}})
    assert list(suite) == ["weak", "strong"]
    generator = torch.Generator()
    direct = pgd(models, x, y, CLINICAL, eps=0.3, **{**PGD, "steps": 1}, generator=generator)
    assert same_bits(suite["weak"](models, x, y, CLINICAL, eps=0.3, generator=generator), direct)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "pdg", **PGD}, r"attack\.a\.method: 'pdg' is no evasion attack; did you mean 'pgd'\?"),
        (PGD, r"attack\.a\.method: missing"),
        ({"method": "pgd", "steps": 3}, r"attack\.a: step_size: missing"),
        ({"method": "pgd", **PGD, "step": 3}, r"attack\.a: step: unknown key; did you mean 'steps'\?"),
        ({"method": "pgd", **PGD, "steps": 0}, r"attack\.a: steps: .*greater than or equal to 1"),
        ({"method": "pgd", **PGD, "steps": 2.5}, r"attack\.a: steps: .*integer"),
        ({"method": "pgd", **PGD, "loss": "hinge"}, r"attack\.a: loss: .*'cross_entropy' or 'margin'.*'hinge'"),
        ({"method": "pgd", **PGD, "eps": 0.1}, r"attack\.a: eps: unknown key"),
        ({"method": "pgd", **PGD, "step_size": -0.1}, r"attack\.a: step_size: .*greater than 0"),
    ],
)
def test_a_wrong_attack_is_one_line(options, message):
    with pytest.raises(BadInput, match=message) as caught:
        evasion_suite({"a": options})
    assert "\n" not in str(caught.value)
