"""The nearest counterexample is the one that trying every record finds.

What is proved, no attack of anybody's breaks.
"""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import brute
import tiny
from brute import CONTINUOUS, GRIDDED, INFINITY, solve
from largest import Largest
from pipeline.data.threat import Threat
from pipeline.models.mlp import as_module, initialise, perceptron
from pipeline.models.networks import Networks
from pipeline.verify import nearest
from pipeline.verify.nearest import RESOLUTION, nearest_record
from pipeline.verify.network import Network
from tiny import UNCONSTRAINED, same_bits

pytestmark = pytest.mark.heavy

EPS = (0.0, 0.05, 0.1, 0.3, 0.5, 1.0)
LARGEST = 1.0
CASES = {  # hidden layers, seed, whether values lie off the grid
    "two_layers": ((8, 6), 9, False),
    "off_grid": ((8, 6), 4, True),
    "linear": ((), 3, True),
    "one_layer": ((8,), 6, False),
    "three_layers": ((6, 5, 4), 1, False),
}
every_case = pytest.mark.parametrize("case", CASES)
every_norm = pytest.mark.parametrize("norm", ["linf", "l2"])


@cache
def asked(case):
    """A model, records with missing values, its answers for most, and what trying all finds."""
    hidden, seed, stray = CASES[case]
    models = tiny.population(1, hidden=hidden, seed=seed)
    x = brute.on_grid(15, GRIDDED, seed=seed, missing=0.15)
    x = brute.off_grid(x, seed=seed) if stray else x
    y = brute.answers(models, x)
    y[::6] = 1 - y[::6]
    return models, x, y, brute.truth(models, x, y, GRIDDED, LARGEST, EPS)


@cache
def solved(case, norm):
    models, x, y, _ = asked(case)
    return solve(models, x, y, replace(GRIDDED, norm=norm), LARGEST)


# ---- on the clinic's grid: everything is known ----


def test_the_cases_hold_records_that_break_and_records_that_do_not():
    for case in CASES:
        _, x, _, truth = asked(case)
        assert x.isnan().any()
        for norm in ("linf", "l2"):
            finite = truth.of(norm).isfinite()
            assert 0.2 < finite.double().mean() < 1, (case, norm)
            assert (truth.of(norm)[finite] > 0).any()
            assert (truth.of(norm) == 0).sum() >= 3


@every_case
@every_norm
def test_the_distance_is_that_of_trying_everything(case, norm):
    answer, truth = solved(case, norm), asked(case)[3].of(norm)
    assert torch.equal(answer.breaks_at.isinf(), truth.isinf())
    finite = truth.isfinite()
    assert (answer.breaks_at - truth)[finite].abs().max() < 1e-9
    assert torch.equal(answer.robust_below, answer.breaks_at)


@every_case
@every_norm
def test_the_counterexample_may_be_presented_and_breaks_the_answer_at_that_distance(case, norm):
    models, x, y, _ = asked(case)
    answer = solved(case, norm)
    broken = answer.breaks_at.isfinite()
    assert same_bits(answer.record[~broken], x[~broken])
    for row in broken.nonzero()[:, 0].tolist():
        record, distance = answer.record[row], float(answer.breaks_at[row])
        assert float(brute.margin(models, record[None], int(y[row]))) <= 0
        moved = brute.change(record, x[row], GRIDDED)
        assert abs(float(moved.norm() if norm == "l2" else moved.max()) - distance) < 1e-9
        for feature in range(
            x.shape[1]
        ):  # each value is one of those that may be presented, bit for bit
            allowed = brute.choices(x[row], feature, GRIDDED, distance + 1e-9)
            assert (record[feature] == allowed).any() or (
                record[feature].isnan() and x[row, feature].isnan()
            )
    untouched = x.isnan() | ~GRIDDED.mutable
    assert same_bits(answer.record[untouched], x[untouched])
    if norm == "linf":
        reach = answer.breaks_at.where(broken, 0.0)[:, None]
        assert GRIDDED.violations(answer.record, x, reach) == 0


@every_case
def test_the_verdict_at_a_radius_is_that_of_its_box(case):
    """Radii that reach a whole number of ticks are on the side that `Threat.box` puts them on."""
    answer, truth = solved(case, "linf"), asked(case)[3]
    for column, eps in enumerate(EPS):
        assert torch.equal(answer.breaks_at <= eps + 1e-9, truth.within[:, column]), eps
        models, x, y, _ = asked(case)
        alone = solve(models, x, y, GRIDDED, eps)
        assert torch.equal(alone.breaks_at.isfinite(), truth.within[:, column]), eps
        assert torch.equal(alone.robust_below, alone.breaks_at)


@every_norm
@pytest.mark.parametrize("budget", [1, 2, 5, 20])
def test_a_search_that_is_stopped_is_undecided_and_never_wrong(norm, budget):
    undecided = 0
    for case in CASES:
        models, x, y, truth = asked(case)
        answer = solve(models, x, y, replace(GRIDDED, norm=norm), LARGEST, budget=budget)
        assert (answer.robust_below <= truth.of(norm) + 1e-9).all()
        assert (answer.breaks_at >= truth.of(norm) - 1e-9).all()
        undecided += int((answer.robust_below < answer.breaks_at).sum())
    assert undecided or budget == 20


@every_norm
def test_more_boxes_never_prove_less(norm):
    for case in ("two_layers", "off_grid"):
        models, x, y, _ = asked(case)
        proved = torch.stack(
            [
                solve(models, x, y, replace(GRIDDED, norm=norm), LARGEST, budget=b).robust_below
                for b in (1, 2, 4, 8, 16, 64)
            ]
        )
        assert (proved[1:] >= proved[:-1] - 1e-9).all()


def test_any_will_do_says_whether_there_is_one():
    for case in CASES:
        models, x, y, truth = asked(case)
        question = brute.problem(models, x, y, GRIDDED, LARGEST)
        answer = nearest_record(Network.of(models, 0), question, budget=100_000, any_will_do=True)
        assert torch.equal(answer.breaks_at.isfinite(), truth.linf.isfinite())
        assert torch.equal(answer.robust_below.isfinite(), truth.linf.isfinite())
        assert (answer.breaks_at >= truth.linf - 1e-9).all()
        rows = answer.breaks_at.isfinite().nonzero()[:, 0].tolist()
        assert all(
            float(brute.margin(models, answer.record[row : row + 1], int(y[row]))) <= 0
            for row in rows
        )


@every_norm
def test_the_same_question_has_the_same_answer_bit_for_bit(norm):
    models, x, y, _ = asked("two_layers")
    before = (
        torch.get_rng_state(),
        {name: value.clone() for name, value in models.parameters.items()},
    )
    again = solve(models, x, y, replace(GRIDDED, norm=norm), LARGEST)
    first = solved("two_layers", norm)
    assert torch.equal(again.breaks_at, first.breaks_at)
    assert same_bits(again.record, first.record)
    assert torch.equal(again.boxes, first.boxes)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(torch.equal(models.parameters[name], value) for name, value in before[1].items())


@every_norm
def test_a_record_has_the_same_answer_in_any_company(norm):
    models, x, y, _ = asked("off_grid")
    whole = solved("off_grid", norm)
    for rows in (torch.tensor([3]), torch.tensor([12, 7, 7, 1]), torch.arange(14, -1, -2)):
        part = solve(models, x[rows], y[rows], replace(GRIDDED, norm=norm), LARGEST)
        assert torch.allclose(part.breaks_at, whole.breaks_at[rows], rtol=0, atol=1e-9)
        assert torch.allclose(part.robust_below, whole.robust_below[rows], rtol=0, atol=1e-9)


# ---- at the edge ----


def flat(models, bias):
    """The margin of class 1 over class 0 is `bias`, whatever the record."""
    zero = {name: torch.zeros_like(value) for name, value in models.parameters.items()}
    zero["bias0"][0, 0, 1] = bias
    return replace(models, parameters=zero)


@pytest.mark.parametrize("largest", [0.0, 0.5])
def test_a_margin_that_drowns_in_rounding_is_undecided(largest):
    models, x = flat(tiny.population(1, hidden=()), 0.0), brute.on_grid(5, GRIDDED, seed=1)
    answer = solve(models, x, torch.ones(5, dtype=torch.int64), GRIDDED, largest, budget=100)
    assert torch.equal(answer.robust_below, torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("largest", [0.0, 0.5])
def test_a_margin_that_does_not_is_decided(largest):
    models, x = flat(tiny.population(1, hidden=()), 1e-6), brute.on_grid(5, GRIDDED, seed=1)
    right, wrong = (
        solve(models, x, torch.full((5,), label), GRIDDED, largest, budget=100) for label in (1, 0)
    )
    assert right.robust_below.isinf().all()
    assert torch.equal(wrong.breaks_at, torch.zeros(5, dtype=torch.float64))
    assert same_bits(wrong.record, x)


def test_nothing_is_proved_of_a_network_that_is_no_number():
    models = tiny.population(1)
    broken = {**models.parameters, "bias1": torch.full_like(models.parameters["bias1"], torch.nan)}
    x = brute.on_grid(5, GRIDDED, seed=1)
    answer = solve(
        replace(models, parameters=broken),
        x,
        torch.ones(5, dtype=torch.int64),
        GRIDDED,
        0.5,
        budget=50,
    )
    assert torch.equal(answer.robust_below, torch.zeros(5, dtype=torch.float64))


def test_a_record_on_the_very_boundary_is_undecided_and_the_next_one_is_not():
    """The margin of class 1 is glucose minus 120, exactly: 119 breaks it, at 120 none is sure."""
    models, zero = tiny.population(1, hidden=()), torch.zeros(1, 5)
    weight, bias = torch.zeros(1, 5, 2), torch.tensor([[[0.0, -120.0]]])
    weight[0, 0, 1] = 1.0
    preprocessing = {"impute": zero, "center": zero, "scale": zero + 1}
    one = replace(
        models, preprocessing=preprocessing, parameters={"weight0": weight, "bias0": bias}
    )
    x = torch.tensor([[123.0, 27.3, 5.0, 0.5, 40.0]])
    answer = solve(one, x, torch.ones(1, dtype=torch.int64), GRIDDED, 0.5)
    assert abs(float(answer.robust_below) - 3 / 30) < 1e-9
    assert abs(float(answer.breaks_at) - 4 / 30) < 1e-9


def test_the_float32_record_decides_not_the_grid_point_that_it_stands_for():
    """Thresholds are put between what a grid point is in float64 and what it becomes in float32."""
    models = tiny.population(1, hidden=())
    weight = torch.zeros(1, 5, 2)
    weight[0, 1, 1] = 1.0
    preprocessing = {
        "impute": torch.zeros(1, 5),
        "center": torch.zeros(1, 5),
        "scale": torch.ones(1, 5),
    }
    ticks = torch.arange(250, 330, dtype=torch.float64) * 0.1
    written = ticks.float().double()
    low = ticks[written < ticks - 2e-7]
    assert len(low) > 5
    for tick in low.tolist():
        # The margin of class 1 is bmi minus a threshold that only the float32 record lies below.
        threshold = (tick + float(torch.tensor(tick).float())) / 2
        split = torch.tensor(threshold).float()  # as a sum of two float32 biases
        bias = torch.zeros(1, 1, 2)
        bias[0, 0, 0], bias[0, 0, 1] = threshold - float(split), -split
        one = replace(
            models, preprocessing=preprocessing, parameters={"weight0": weight, "bias0": bias}
        )
        x = torch.tensor([[100.0, round((tick + 0.3) / 0.1) * 0.1, 5.0, 0.5, 40.0]])
        answer = solve(one, x, torch.ones(1, dtype=torch.int64), GRIDDED, 0.1)
        assert abs(float(answer.breaks_at) - 0.3 / 7) < 1e-9, tick
        assert float(answer.robust_below) == float(answer.breaks_at)


# ---- any value: closed forms, and attacks ----


def slopes(models, y):
    weight = (
        models.parameters["weight0"][0].double()
        / models.preprocessing["scale"][0].double()[:, None]
    )
    return (weight[:, 1] - weight[:, 0]) * (2 * y.double() - 1)[:, None]


def complete(n, seed):
    return tiny.records(n, seed=seed, missing=0.0).x


@every_norm
def test_the_distance_of_a_linear_model_is_its_margin_over_its_slope(norm):
    models, x = tiny.population(1, hidden=(), boost=0.5), complete(40, 1)
    y = brute.answers(models, x)
    margin = torch.stack(
        [
            brute.margin(models, record[None], int(label))[0]
            for record, label in zip(x, y, strict=True)
        ]
    )
    slope = slopes(models, y) * UNCONSTRAINED.scale
    expected = margin / (slope.norm(dim=1) if norm == "l2" else slope.abs().sum(1))
    answer = solve(models, x, y, replace(UNCONSTRAINED, norm=norm), 0.5)
    reached = expected <= 0.5
    assert 0.2 < reached.double().mean() < 1
    assert answer.robust_below[~reached].isinf().all()
    assert (answer.breaks_at - expected)[reached].abs().max() < RESOLUTION
    assert (answer.robust_below <= expected)[reached].all()
    assert (answer.breaks_at >= expected - 1e-7)[reached].all()
    assert (answer.breaks_at - answer.robust_below)[reached].max() <= 2 * RESOLUTION


def test_the_distance_of_a_linear_model_within_ranges_is_found_by_bisection():
    models = tiny.population(1, hidden=(), boost=0.5)
    x = brute.on_grid(60, CONTINUOUS, seed=2)
    x[::3, 2] = 0.2  # near the end of its range
    y = brute.answers(models, x)
    network = Network.of(models, 0)
    filled, slope = network.filled(x), slopes(models, y)
    moves = CONTINUOUS.mutable & ~x.isnan()

    def worst(eps):
        """The least margin at radii (P,)."""
        point = filled - eps[:, None] * CONTINUOUS.scale * torch.sign(slope)
        point = torch.minimum(torch.maximum(point, CONTINUOUS.lower), CONTINUOUS.upper)
        return network.margin(torch.where(moves, point, filled), y, 1 - y)

    low, high = torch.zeros(60, dtype=torch.float64), torch.full((60,), 3.0, dtype=torch.float64)
    reached = worst(high) <= 0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            torch.where(worst(middle) > 0, middle, low),
            torch.where(worst(middle) > 0, high, middle),
        )
    answer = solve(models, x, y, CONTINUOUS, 3.0)
    assert torch.equal(answer.breaks_at.isfinite(), reached)
    assert 0.2 < reached.double().mean() < 1
    assert (answer.breaks_at - high)[reached].abs().max() < RESOLUTION
    assert (answer.robust_below <= high + 1e-9)[reached].all()
    assert answer.robust_below[~reached].isinf().all()
    assert (
        (answer.record >= CONTINUOUS.lower.float()) & (answer.record <= CONTINUOUS.upper.float())
        | x.isnan()
    ).all()


def attacked(models, x, y, threat, eps, seed=0):
    """The least margin (P,) that random corners, records and ascent reach in the ball, float64."""
    generator = torch.Generator().manual_seed(seed)
    one, limits = models.select(torch.tensor([0])).double(), (threat.lower, threat.upper)
    reach = eps[:, None] * torch.where(threat.mutable, threat.scale, 0.0)
    low, high = (
        torch.maximum(x.double() - reach, limits[0]),
        torch.minimum(x.double() + reach, limits[1]),
    )
    low, high = (torch.where(threat.mutable, corner, x.double()) for corner in (low, high))
    sign = (2 * y.double() - 1)[:, None]

    def lead(points):
        logits = one(points[None])[0]
        return (logits[:, 1:] - logits[:, :1]) * sign

    def inside(points):
        points = torch.minimum(torch.maximum(points, low), high)
        if threat.norm == "l2":
            change = (points - x) / threat.scale
            change = change * (
                eps[:, None] / change.norm(dim=1, keepdim=True).clamp_min(1e-12)
            ).clamp_max(1)
            points = x + change * threat.scale
        return points

    best = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for start in range(6):
        share = torch.rand(x.shape, generator=generator, dtype=torch.float64)
        share = share.round() if start % 2 else share
        points = inside(low + share * (high - low))
        for step in range(25):
            points.requires_grad_()
            margin = lead(points)
            best = torch.minimum(best, margin.detach()[:, 0])
            gradient = torch.autograd.grad(margin.sum(), points)[0] * threat.scale
            way = (
                gradient.sign()
                if threat.norm == "linf"
                else gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)
            )
            size = eps[:, None] * 0.5 * 0.85**step
            points = inside((points - size * way * threat.scale).detach())
    return best


@every_norm
@pytest.mark.parametrize("threat", [UNCONSTRAINED, CONTINUOUS], ids=["unconstrained", "clinical"])
def test_nothing_that_is_proved_is_broken_by_attacks(norm, threat):
    threat = replace(threat, norm=norm)
    decided = 0
    for seed in (0, 9):
        models, x = tiny.population(1, seed=seed), complete(20, seed)
        y = brute.answers(models, x)
        answer = solve(models, x, y, threat, 0.6, budget=3000)
        reach = answer.robust_below.clamp_max(0.6)
        assert (attacked(models, x, y, threat, reach) > 0).all()
        beyond = answer.breaks_at.isfinite()
        found = attacked(models, x, y, threat, (answer.breaks_at * 1.3).where(beyond, 0.0)) <= 0
        assert found[beyond].double().mean() > 0.8  # the attack is worth its name
        settled = beyond & (answer.boxes < 3000)
        decided += int(settled.sum())
        assert (answer.breaks_at - answer.robust_below)[settled].max() <= 2 * RESOLUTION
        rows = beyond.nonzero()[:, 0].tolist()
        assert all(
            float(brute.margin(models, answer.record[row : row + 1], int(y[row]))) <= 0
            for row in rows
        )
        moved = ((answer.record.double() - x.double()) / threat.scale)[beyond]
        length = moved.norm(dim=1) if norm == "l2" else moved.abs().amax(1)
        assert torch.allclose(length, answer.breaks_at[beyond], rtol=0, atol=1e-12)
    assert decided > 10


# ---- other people's attacks ----

EPS_OF_PEERS = 0.1


class Single(torch.nn.Module):
    """HopSkipJump hands over float64."""

    def forward(self, x):
        return x.float()


@cache
def contest():
    """Complete records in the unit box, an ordinary network, and our verdicts at one radius."""
    models, x = tiny.population(1), complete(60, 11)
    lower, upper = x.amin(0).double(), x.amax(0).double()
    zero = torch.zeros_like(lower)
    threat = Threat(torch.ones(5, dtype=torch.bool), lower, upper, step=zero, scale=upper - lower)
    y = brute.answers(models, x)
    answer = solve(models, x, y, threat, EPS_OF_PEERS, budget=3000)
    scale, center = (models.preprocessing[name][0].double() for name in ("scale", "center"))
    weight, bias = models.parameters["weight0"].double(), models.parameters["bias0"].double()
    folded = models.parameters | {
        "weight0": ((threat.scale / scale)[:, None] * weight).float(),
        "bias0": (bias + ((lower - center) / scale) @ weight[0]).float(),
    }
    module = (
        torch.nn.Sequential(Single(), *as_module(folded, models.preprocessing, 0)[1:])
        .eval()
        .requires_grad_(False)
    )
    unit = ((x.double() - lower) / threat.scale).float().clamp(0, 1)
    robust, broken = answer.robust_below.isinf(), answer.breaks_at.isfinite()
    assert robust.sum() > 10
    assert broken.sum() > 10
    return models, x, y, threat, module, unit, robust, broken


def judge(unit_adv):
    """Whether an attack broke nothing proved, and how much of what can break; in float64."""
    models, x, y, threat, _, _, robust, broken = contest()
    x_adv = threat.lower + unit_adv.double() * threat.scale
    reach = EPS_OF_PEERS * threat.scale  # a peer's float32 may overstep by an ulp
    x_adv = torch.minimum(torch.maximum(x_adv, x.double() - reach), x.double() + reach).clamp(
        threat.lower, threat.upper
    )
    logits = models.double()(x_adv[None])[0]
    lead = logits.gather(1, y[:, None])[:, 0] - logits.gather(1, 1 - y[:, None])[:, 0]
    assert (lead[robust] > 0).all()
    return float((lead[broken] <= 0).double().mean())


def art_attack(name):
    """The records that an attack of ART makes, as points of the unit box."""
    pytest.importorskip("art")
    from art.attacks.evasion import (
        AutoProjectedGradientDescent,
        HopSkipJump,
        ProjectedGradientDescent,
    )
    from art.estimators.classification import PyTorchClassifier

    module, unit, y = contest()[4:6] + contest()[2:3]
    loss = torch.nn.CrossEntropyLoss()
    model = PyTorchClassifier(
        module, loss, input_shape=(5,), nb_classes=2, clip_values=(0.0, 1.0), device_type="cpu"
    )
    step = {"eps": EPS_OF_PEERS, "eps_step": EPS_OF_PEERS / 4, "batch_size": 64}
    attack = {
        "pgd": lambda: ProjectedGradientDescent(
            model, max_iter=20, num_random_init=1, verbose=False, **step
        ),
        "apgd": lambda: AutoProjectedGradientDescent(
            model, loss_type="cross_entropy", max_iter=30, nb_random_init=2, verbose=False, **step
        ),
        "hopskipjump": lambda: HopSkipJump(
            model,
            norm="inf",
            max_iter=3,
            max_eval=80,
            init_eval=10,
            init_size=30,
            batch_size=64,
            verbose=False,
        ),
    }[name]()
    return torch.from_numpy(
        attack.generate(unit.numpy(), y=None if name == "hopskipjump" else y.numpy())
    )


def foolbox_attack(name):
    """The same of Foolbox."""
    foolbox = pytest.importorskip("foolbox")
    module, unit, y = contest()[4:6] + contest()[2:3]
    model = foolbox.PyTorchModel(module, bounds=(0.0, 1.0), device="cpu")
    attack = {
        "pgd": lambda: foolbox.attacks.LinfPGD(steps=40),
        "deepfool": lambda: foolbox.attacks.LinfDeepFoolAttack(),
    }[name]()
    return attack(model, unit, y, epsilons=EPS_OF_PEERS)[1].detach()


@pytest.mark.parametrize(
    ("made", "name", "expected"),
    [
        (art_attack, "pgd", 0.8),
        (art_attack, "apgd", 0.8),
        (art_attack, "hopskipjump", 0.2),
        (foolbox_attack, "pgd", 0.8),
        (foolbox_attack, "deepfool", 0.5),
    ],
    ids=["art_pgd", "art_apgd", "art_hopskipjump", "foolbox_pgd", "foolbox_deepfool"],
)
def test_nothing_that_is_proved_is_broken_by_other_peoples_attacks(made, name, expected):
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        state = np.random.get_state()  # noqa: NPY002 - ART draws from the global generator
        np.random.seed(0)  # noqa: NPY002
        with torch.enable_grad():
            unit_adv = made(name)
        np.random.set_state(state)  # noqa: NPY002
    assert judge(unit_adv) >= expected


def test_the_first_answer_is_already_wrong_where_the_patient_was_misread():
    for case in CASES:
        models, x, y, _ = asked(case)
        wrong = brute.answers(models, x) != y
        answer = solved(case, "linf")
        assert torch.equal(answer.breaks_at == 0, wrong)
        assert same_bits(answer.record[wrong], x[wrong])
        assert INFINITY not in answer.breaks_at[wrong].tolist()


# ---- many values between the steps of the grid ----


def test_many_values_off_the_grid_cost_no_more_boxes_than_the_budget():
    """Twenty columns of two decimals on a grid of one: 3^20 boxes, if all were told apart."""
    generator = torch.Generator().manual_seed(4)
    x = (torch.randn(50, 20, generator=generator) * 100).round() / 100
    every = torch.ones(20, dtype=torch.float64)
    threat = Threat(every.bool(), -9 * every, 9 * every, 0.1 * every, every)
    shape = perceptron(20, 2, [8, 6])
    parameters = initialise(shape, torch.tensor([0]))
    models = Networks(
        shape,
        {
            "impute": 0 * every[None].float(),
            "center": 0 * every[None].float(),
            "scale": every[None].float(),
        },
        parameters,
        ("one",),
    )
    y, budget = brute.answers(models, x), 40
    problem = brute.problem(models, x, y, threat, 0.3)
    assert int(problem.stray.sum(1).min()) > 10
    with Largest() as largest:
        found = nearest_record(Network.of(models, 0), problem, budget=budget)
    assert int(found.boxes.max()) <= 2 * budget
    assert largest.numbers < 20 * 8 * 2 * budget * len(x)
    assert 0 < float((found.robust_below > 0.3).float().mean()) < 1
    broken = found.breaks_at.isfinite()
    assert broken.any()
    assert (brute.margin(models, found.record[broken], 0) * (1 - 2 * y[broken]) <= 0).all()
    for eps in (0.1, 0.2, 0.3):  # nobody who is proved is broken by chance
        for _ in range(200):
            low, high = threat.box(x, eps)
            drawn = low + (high - low) * torch.rand(x.shape, generator=generator).round()
            drawn = threat.project(drawn.float(), x, eps)
            right = brute.margin(models, drawn, 0) * (1 - 2 * y) > 0
            assert right[found.robust_below > eps].all()


def test_problems_solved_in_parts_are_solved_alike(monkeypatch):
    models, x, y, _ = asked("off_grid")
    whole = solve(models, x, y, GRIDDED, LARGEST)
    monkeypatch.setattr(nearest, "TOGETHER", 4)
    parts = solve(models, x, y, GRIDDED, LARGEST)
    assert len(parts.boxes) == len(x) > 4
    for name in ("robust_below", "breaks_at"):
        assert torch.equal(getattr(parts, name), getattr(whole, name))
