"""What every evasion attack must keep, under every threat model that it is made for."""

import inspect
from dataclasses import dataclass, replace

import pytest
import torch
import yaml
from torch import Tensor, nn

import tiny
from pipeline.attacks.evasion import ACCESS_LEVELS, EVASION, MUST_BEAT, attackers_of, evasion_suite
from pipeline.attacks.evasion.gradient import pgd
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.models.answers import margin
from pipeline.models.networks import Networks
from tiny import BALL, CLINICAL, EUCLIDEAN, SPARSE, UNCONSTRAINED, same_bits

PGD = {"steps": 5, "step_size": 0.4}
CHOSEN = {
    "noise": ("noise", {"draws": 2}),
    "fgsm_margin": ("fgsm", {"loss": "margin"}),
    "pgd": ("pgd", {**PGD}),
    "pgd_ce_restarts": ("pgd", {**PGD, "loss": "cross_entropy", "restarts": 2}),
    "apgd": ("apgd", {"steps": 6}),
    "apgd_ce_restarts": ("apgd", {"steps": 6, "restarts": 2, "loss": "cross_entropy"}),
    "fab_restarts": ("fab", {"steps": 4, "restarts": 2}),
    "square": ("square", {"queries": 20}),
    "hop_skip_jump": ("hop_skip_jump", {"queries": 60, "samples": 8}),
    "sparse": ("sparse", {"points": 7}),
}
COVERED = {method for method, _ in CHOSEN.values()}


def presets():
    """The attacks of `conf/attack/`: name to method and options."""
    for path in sorted((tiny.ROOT / "conf" / "attack").glob("*.yaml")):
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
        yield path.stem, (options.pop("method"), options)


# An attack that is not chosen above is tested as its file in `conf/attack/` configures it.
ATTACKS = CHOSEN | {name: one for name, one in presets() if one[0] not in COVERED}


def draws(method):
    """An attack that draws nothing may be called without a generator."""
    parameter = inspect.signature(EVASION[method].run).parameters["generator"]
    return parameter.default is parameter.empty


DETERMINISTIC = [
    "pgd",
    "apgd",
    *(name for name, (method, _) in ATTACKS.items() if not draws(method)),
]
BUDGETED = ["square", "hop_skip_jump"]
ONE_RUN_FOR_ALL_RADII = ["fab_restarts", "hop_skip_jump", "sparse"]
MAY_HARM_ITSELF = {"noise", "fgsm_margin", "universal"}  # returned as it is, whatever it does

CENTER = torch.tensor([one.center for one in tiny.SCHEMA.features])
CONTINUOUS, COUNTS = torch.tensor([0.0, 0.05, 0.3, 1.0]), torch.tensor([0.0, 1.0, 2.0, 3.0])


def image_threat(norm: str) -> Threat:
    """Two channels of 4 x 3 pixels between 0 and 1 in steps of 1/255; one pixel is out of reach."""
    ones = torch.ones(2, 4, 3, dtype=torch.float64)
    mutable = torch.ones(2, 4, 3, dtype=torch.bool)
    mutable[1, 2, 0] = False
    step = ones / 255 if norm == "linf" else 0 * ones
    return Threat(mutable, 0 * ones, ones, step, ones, norm)


@dataclass(frozen=True)
class Case:
    """A threat model, records and models to go with it."""

    threat: Threat
    eps: Tensor
    x: Tensor
    y: Tensor
    models: object

    @property
    def grid(self) -> Tensor:
        return self.eps.view(-1, *[1] * self.x.dim())


def labels(models, x):
    """What the models answer, with some answers they get wrong."""
    y = models(x).argmax(-1)
    y[..., ::7] = (y[..., ::7] + 1) % models(x).shape[-1]
    return y


def case_of(threat: Threat, classes: int) -> Case:
    eps = COUNTS if threat.norm == "l0" else CONTINUOUS
    if threat.mutable.dim() == 1:
        models, x = tiny.population(3, classes=classes), tiny.records(90, seed=1).x.view(3, 30, 5)
        return Case(threat, eps, x, labels(models, x), models)
    x = torch.randint(256, (2, 8, 2, 4, 3), generator=torch.Generator().manual_seed(3)) / 255
    weights = torch.randn(2, 24, classes, generator=torch.Generator().manual_seed(4))

    def models(images):
        return torch.tanh(images.flatten(-3) - 0.5) @ weights

    return Case(threat, eps, x, labels(models, x), models)


THREATS = {
    "clinical": CLINICAL,
    "unconstrained": UNCONSTRAINED,
    "euclidean": EUCLIDEAN,
    "ball": BALL,
    "sparse": SPARSE,
    "image": image_threat("linf"),
    "image_l2": image_threat("l2"),
    "image_l0": image_threat("l0"),
}
CASES = {
    name: case_of(threat, 3 if name in ("ball", "image") else 2) for name, threat in THREATS.items()
}
PAIRS = [
    pytest.param(name, CASES[threat], id=f"{name}-{threat}")
    for name, (method, _) in ATTACKS.items()
    for threat in CASES
    if CASES[threat].threat.norm in EVASION[method].norms
]

every_attack = pytest.mark.parametrize("name", ATTACKS)
every_pair = pytest.mark.parametrize(("name", "case"), PAIRS)


def attacked(name, case, eps, models=None, seed=0):
    method, options = ATTACKS[name]
    models = case.models if models is None else models
    generator = torch.Generator().manual_seed(seed)
    return EVASION[method].run(
        models, case.x, case.y, case.threat, eps=eps, generator=generator, **options
    )


def counts(name):
    """Whether the attack is made for counted changes alone."""
    return EVASION[ATTACKS[name][0]].norms == {"l0"}


def one_of(name):
    """A case on records that the attack is made for."""
    return CASES["sparse"] if counts(name) else CASES["clinical"]


def test_every_registered_attack_is_tested():
    assert {method for method, _ in ATTACKS.values()} == set(EVASION)


# ---- inside the threat model ----


@every_pair
def test_a_grid_of_radii_in_one_call_stays_inside_the_threat_model(name, case):
    x_adv = attacked(name, case, case.grid)
    assert x_adv.shape == (4, *case.x.shape)
    assert case.threat.violations(x_adv, case.x, case.grid) == 0
    again = case.threat.project(x_adv, case.x, case.grid)
    torch.testing.assert_close(again, x_adv, equal_nan=True, rtol=0, atol=0)  # -0.0 is 0.0


@every_pair
def test_radius_zero_returns_the_record_bit_for_bit(name, case):
    assert same_bits(attacked(name, case, 0.0), case.x)
    assert same_bits(attacked(name, case, case.grid)[0], case.x)


@every_pair
def test_immutable_and_missing_values_keep_their_bits(name, case):
    x_adv = attacked(name, case, float(case.eps[-1]))
    untouched = case.x.isnan() | ~case.threat.mutable
    assert same_bits(x_adv[untouched], case.x[untouched])
    assert not torch.equal(x_adv[~untouched], case.x[~untouched])


def test_some_values_are_missing_and_some_immutable():
    assert all(CASES[name].x.isnan().any() for name in ("clinical", "sparse", "ball"))
    assert all(
        not case.threat.mutable.all()
        for name, case in CASES.items()
        if name not in ("unconstrained", "ball")
    )


@every_pair
def test_one_radius_per_record(name, case):
    lead = case.y.shape
    drawn = torch.randint(4, lead, generator=torch.Generator().manual_seed(0))
    radii = case.eps[drawn].view(*lead, *[1] * case.threat.mutable.dim())
    x_adv = attacked(name, case, radii)
    assert x_adv.shape == case.x.shape
    assert case.threat.violations(x_adv, case.x, radii) == 0
    assert (x_adv != case.x).any()


@every_pair
def test_a_grid_for_some_and_radius_zero_for_the_others(name, case):
    """As an audit asks where the goal names only some."""
    chosen = case.y == 1
    radii = case.grid * chosen.view(*chosen.shape, *[1] * case.threat.mutable.dim())
    x_adv = attacked(name, case, radii)
    assert x_adv.shape == (4, *case.x.shape)
    assert case.threat.violations(x_adv, case.x, radii) == 0
    assert same_bits(x_adv[:, ~chosen], case.x.expand(4, *case.x.shape)[:, ~chosen])
    assert (x_adv[-1] != case.x)[chosen].any()


@every_pair
def test_never_worse_than_the_record_itself(name, case):
    if name in MAY_HARM_ITSELF:
        return
    with torch.no_grad():
        before = margin(case.models(case.x), case.y)
        after = margin(case.models(attacked(name, case, case.grid)), case.y)
    assert (after <= before + 1e-5).all()
    assert (after < before - 0.01).any()


@every_attack
def test_an_attack_refuses_a_norm_that_it_is_not_made_for(name):
    case, (method, options) = one_of(name), ATTACKS[name]
    for norm in {"linf", "l2", "l0"} - EVASION[method].norms:
        threat = replace(case.threat, norm=norm)
        with pytest.raises(
            BadInput, match=rf"^{method}: attacks under .* only; the threat model's norm is {norm}$"
        ):
            EVASION[method].run(
                case.models, case.x, case.y, threat, eps=1.0, generator=torch.Generator(), **options
            )


# ---- no side effects ----


@every_attack
@pytest.mark.parametrize("image", [False, True], ids=["record", "image"])
def test_detached_and_a_tensor_of_its_own(name, image):
    case = CASES["image_l0" if counts(name) else "image"] if image else one_of(name)
    before = case.x.clone()
    x_adv = attacked(name, case, 0.0)
    assert not x_adv.requires_grad
    x_adv.fill_(7.0)
    assert same_bits(case.x, before)


class Dense(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.0), nn.Linear(8, 3)
        )


class Convolution(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(2, 4, 2), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(24, 3)
        )


def module_case(name, image):
    """A case whose model is an ordinary network, which knows one batch axis."""
    kind = "l0" if counts(name) else "l2"
    case = CASES[f"image_{kind}"] if image else CASES["sparse" if counts(name) else "ball"]
    network = Convolution() if image else Dense()
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    x = torch.where(case.x.isnan(), CENTER, case.x) if not image else case.x
    return replace(case, x=x[:2], y=case.y[:2], models=network.eval())


@every_attack
@pytest.mark.parametrize("image", [False, True], ids=["record", "image"])
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
def test_weights_gradients_and_mode_of_a_module_are_left_alone(name, image, frozen):
    case = module_case(name, image)
    network = case.models.requires_grad_(not frozen)
    before = [tensor.clone() for tensor in network.state_dict().values()]
    x_adv = attacked(name, case, case.grid)
    assert x_adv.shape == (4, *case.x.shape)
    assert case.threat.violations(x_adv, case.x, case.grid) == 0
    assert all(
        torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True)
    )
    assert all(
        parameter.grad is None and parameter.requires_grad is not frozen
        for parameter in network.parameters()
    )
    assert not any(module.training for module in network.modules())


@every_attack
def test_a_module_in_training_stays_in_training(name):
    case = module_case(name, image=False)
    network = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.0), nn.Linear(4, 2)).train()
    attacked(name, replace(case, y=case.y % 2), 1.0, models=network)
    assert all(module.training for module in network.modules())


@every_attack
def test_works_where_gradients_are_switched_off(name):
    case = one_of(name)
    with torch.no_grad():
        quiet = attacked(name, case, 1.0)
    assert same_bits(quiet, attacked(name, case, 1.0))


@every_pair
def test_the_same_seed_gives_the_same_records_whatever_the_global_state(name, case):
    torch.manual_seed(1)
    first, state = attacked(name, case, 1.0), torch.get_rng_state()
    torch.manual_seed(2)
    second = attacked(name, case, 1.0)
    torch.manual_seed(1)
    assert same_bits(first, second)
    assert torch.equal(state, torch.get_rng_state())
    if name not in DETERMINISTIC and case is one_of(name):
        assert not same_bits(attacked(name, case, 1.0, seed=1), first)


# ---- shapes ----


@pytest.mark.parametrize(
    ("name", "case"), [pair for pair in PAIRS if pair.values[0] in DETERMINISTIC]
)
def test_a_grid_in_one_call_equals_a_call_per_radius(name, case):
    whole = attacked(name, case, case.grid)
    for eps, records in zip(case.eps, whole, strict=True):
        torch.testing.assert_close(
            attacked(name, case, eps), records, equal_nan=True, rtol=1e-6, atol=1e-4
        )


@every_attack
def test_more_leading_axes(name):
    case = CASES["sparse" if counts(name) else "unconstrained"]
    x = case.x
    many = replace(case, x=torch.stack([torch.stack([x, x + 1]), torch.stack([x + 2, x + 3])]))
    x_adv = attacked(name, many, 1.0)
    assert x_adv.shape == (2, 2, 3, 30, 5)
    if counts(name):
        return  # shifted records lie out of their range
    assert case.threat.violations(x_adv, many.x, 1.0) == 0
    if name in DETERMINISTIC:
        alone = attacked(name, replace(case, x=x + 2), 1.0)
        torch.testing.assert_close(x_adv[1, 0], alone, equal_nan=True, rtol=1e-6, atol=1e-4)


@every_attack
def test_an_image_is_attacked_as_the_record_of_its_pixels(name):
    norm = "l0" if counts(name) else "l2"
    image = case_of(image_threat(norm), classes=3)
    names = ("mutable", "lower", "upper", "step", "scale")
    flat_threat = replace(
        image.threat, **{name: getattr(image.threat, name).flatten() for name in names}
    )
    record = Case(
        flat_threat,
        image.eps,
        image.x.flatten(-3),
        image.y,
        lambda x: image.models(x.unflatten(-1, (2, 4, 3))),
    )
    if name == "square":
        assert not same_bits(attacked(name, image, 1.0).flatten(-3), attacked(name, record, 1.0))
    else:
        assert same_bits(
            attacked(name, image, image.grid).flatten(-3), attacked(name, record, record.grid)
        )


@every_attack
def test_five_classes(name):
    models = tiny.population(3, classes=5)
    case = replace(one_of(name), models=models, y=models(one_of(name).x).argmax(-1))
    x_adv = attacked(name, case, 1.0)
    assert case.threat.violations(x_adv, case.x, 1.0) == 0
    if name not in ("noise", "sparse"):
        assert (
            margin(models(x_adv), case.y).mean() < margin(models(case.x), case.y).mean() - 0.1
        ).all()


@every_attack
def test_a_batch_of_one_member_of_one_record(name):
    case = Case(
        one_of(name).threat,
        CONTINUOUS,
        tiny.records(1, seed=0).x[None],
        torch.tensor([[1]]),
        tiny.population(1),
    )
    assert attacked(name, case, 1.0).shape == (1, 1, 5)


@every_attack
def test_labels_without_a_member_axis(name):
    case = one_of(name)
    shared = replace(case, y=case.y[0])
    assert same_bits(
        attacked(name, shared, case.grid),
        attacked(name, replace(case, y=case.y[0].expand(3, -1)), case.grid),
    )


# ---- what is asked of the model ----


class Counting:
    """Counts answers: rows that pass through, whatever their shape. Has no gradient to give."""

    def __init__(self, models):
        self.models, self.rows = models, 0

    @torch.no_grad()
    def __call__(self, x):
        answers = self.models(x)
        self.rows += answers[..., 0].numel()
        return answers


@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize("threat", ["clinical", "ball", "image"])
@pytest.mark.parametrize("queries", [1, 2, 14, 25, 90])
def test_no_more_answers_than_the_budget_and_none_for_gradients(name, threat, queries):
    case, method = CASES[threat], ATTACKS[name][0]
    counted = Counting(case.models)
    x_adv = EVASION[method].run(
        counted,
        case.x,
        case.y,
        case.threat,
        eps=case.grid,
        queries=queries,
        generator=torch.Generator().manual_seed(0),
    )
    radii = 1 if name in ONE_RUN_FOR_ALL_RADII else len(case.eps)
    assert 0 < counted.rows <= queries * case.y.numel() * radii
    if name == "square":
        assert counted.rows == queries * case.y.numel() * radii
    assert case.threat.violations(x_adv, case.x, case.grid) == 0


@pytest.mark.parametrize(
    "name", [name for name, (method, _) in ATTACKS.items() if EVASION[method].access != "gradients"]
)
def test_an_attack_that_is_said_to_see_no_gradient_asks_for_none(name):
    case = one_of(name)
    assert same_bits(
        attacked(name, case, case.grid, models=Counting(case.models)),
        attacked(name, case, case.grid),
    )


@pytest.mark.parametrize(
    "name", [name for name, (method, _) in ATTACKS.items() if EVASION[method].access == "labels"]
)
def test_an_attack_by_labels_sees_nothing_of_the_scores(name):
    def only_labels(x):
        return nn.functional.one_hot(CASES["clinical"].models(x).argmax(-1), 2).float()

    case = CASES["clinical"]
    assert same_bits(
        attacked(name, case, case.grid, models=only_labels), attacked(name, case, case.grid)
    )


@pytest.mark.parametrize("name", ONE_RUN_FOR_ALL_RADII)
def test_more_radii_cost_no_more_searches(name):
    case = one_of(name)

    def rows(eps):
        seen = []

        def models(x):
            seen.append(x[..., 0].numel())
            return case.models(x)

        attacked(name, case, eps, models=models)
        return sum(seen) // case.y.numel()

    to_choose = {"fab_restarts": 4}.get(
        name, 0
    )  # of each further radius and start: the nearest wrong record, and one further on
    assert rows(case.grid) == rows(case.eps[-1]) + to_choose * 3


# ---- what the registry says of them ----


class Stepping:
    """Models that count how often they are differentiated."""

    def __init__(self, models):
        self.models, self.pulls = models, 0

    def __call__(self, x):
        return self.models(x)

    def pullback(self, x):
        logits, pull = self.models.pullback(x)

        def counted(grad):
            self.pulls += 1
            return pull(grad)

        return logits, counted


@every_attack
def test_an_attack_takes_as_many_steps_along_the_gradient_as_is_said(name):
    case = one_of(name)
    models = Stepping(case.models)
    attacked(name, case, case.grid[-1], models=models)
    said = EVASION[ATTACKS[name][0]].steps
    assert said == ("none" if not models.pulls else "one" if models.pulls == 1 else "many")


@every_pair
def test_an_attack_asks_no_more_than_its_budget(name, case):
    method, options = ATTACKS[name]
    entry = EVASION[method]
    budget = entry.budget(options, case.threat, float(case.eps[-1]))
    if budget is None:
        assert entry.access in ("gradients", "none")
        return
    counted = Counting(case.models)
    attacked(name, case, case.eps[-1], models=counted)
    assert 0 < counted.rows <= budget * case.y.numel()


def test_an_attacker_is_known_by_its_method_and_all_its_options():
    known = attackers_of(
        {
            "mine": {"method": "pgd", **PGD, "loss": "cross_entropy"},
            "yours": {"method": "fab", "steps": 4},
        }
    )
    mine, yours = known["mine"], known["yours"]
    assert (mine.method, mine.access, mine.steps, mine.loss) == (
        "pgd",
        "gradients",
        "many",
        "cross_entropy",
    )
    assert mine.options == {**PGD, "restarts": 1}  # the default is one of them
    assert (yours.method, yours.loss) == ("fab", None)


def test_who_sees_more_must_beat_whoever_sees_less_and_nobody_the_solver():
    for level, access in enumerate(ACCESS_LEVELS):
        weaker = MUST_BEAT[access]
        assert weaker <= set(ACCESS_LEVELS[level + 1 :])
        assert access not in weaker


# ---- the suite ----


def test_the_suite_keeps_names_and_order_and_binds_options():
    case = CASES["clinical"]
    suite = evasion_suite(
        {"weak": {"method": "pgd", **PGD, "steps": 1}, "strong": {"method": "pgd", **PGD}}
    )
    assert list(suite) == ["weak", "strong"]
    generator = torch.Generator()
    arguments = (case.models, case.x, case.y, CLINICAL)
    direct = pgd(*arguments, eps=0.3, **{**PGD, "steps": 1}, generator=generator)
    assert same_bits(suite["weak"](*arguments, eps=0.3, generator=generator), direct)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "pdg", **PGD},
            r"attack\.a\.method: 'pdg' is no evasion attack; did you mean 'pgd'\?",
        ),
        (PGD, r"attack\.a\.method: missing"),
        ({"method": "pgd", "steps": 3}, r"attack\.a\.step_size: missing"),
        (
            {"method": "pgd", **PGD, "step": 3},
            r"attack\.a\.step: unknown key; did you mean 'steps'\?",
        ),
        ({"method": "pgd", **PGD, "steps": 0}, r"attack\.a\.steps: .*greater than or equal to 1"),
        ({"method": "pgd", **PGD, "steps": 2.5}, r"attack\.a\.steps: .*integer"),
        (
            {"method": "pgd", **PGD, "loss": "hinge"},
            r"attack\.a\.loss: .*'cross_entropy' or 'margin'.*'hinge'",
        ),
        ({"method": "pgd", **PGD, "eps": 0.1}, r"attack\.a\.eps: unknown key"),
        ({"method": "pgd", **PGD, "step_size": -0.1}, r"attack\.a\.step_size: .*greater than 0"),
        ({"method": "square", "queries": 0}, r"attack\.a\.queries: .*greater than or equal to 1"),
        ({"method": "square", "queries": 9, "share": 0.0}, r"attack\.a\.share: .*greater than 0"),
        ({"method": "square", "queries": 9, "shape": [1]}, r"attack\.a\.shape: unknown key"),
        ({"method": "sparse", "points": 1}, r"attack\.a\.points: .*greater than or equal to 2"),
        ({"method": "fab", "steps": 5, "bias": 1.5}, r"attack\.a\.bias: .*less than or equal to 1"),
        (
            {"method": "apgd", "steps": 5, "loss": "dlr"},
            r"attack\.a\.loss: .*'cross_entropy' or 'margin'.*'dlr'",
        ),
    ],
)
def test_a_wrong_attack_is_one_line(options, message):
    with pytest.raises(BadInput, match=message) as caught:
        evasion_suite({"a": options})
    assert "\n" not in str(caught.value)


def test_an_image_population_may_differentiate_itself():
    """A population's own pullback is used for images too."""
    models, calls = tiny.population(2), []
    records = Networks(models.architecture, models.preprocessing, models.parameters, models.labels)

    class Images:
        def __call__(self, x):
            return records(x.flatten(-3))

        def pullback(self, x):
            calls.append(x.shape)
            logits, pull = records.pullback(x.flatten(-3))
            return logits, lambda grad: pull(grad).unflatten(-1, x.shape[-3:])

    names = ("mutable", "lower", "upper", "step", "scale")
    threat = replace(CLINICAL, **{name: getattr(CLINICAL, name).view(1, 5, 1) for name in names})
    x = tiny.records(20, seed=0).x.view(2, 10, 5)
    y = models(x).argmax(-1)
    found = pgd(
        Images(), x.view(2, 10, 1, 5, 1), y, threat, eps=0.3, **PGD, generator=torch.Generator()
    )
    assert calls == [(2, 10, 1, 5, 1)] * PGD["steps"]
    assert same_bits(
        found.flatten(-3), pgd(models, x, y, CLINICAL, eps=0.3, **PGD, generator=torch.Generator())
    )
