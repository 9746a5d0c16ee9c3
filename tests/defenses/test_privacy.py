"""DP-SGD: the clipped sums, the noise, the draw and the claim are each what the definition says."""

import json
import math
from functools import cache

import pytest
import torch
from torch.nn.functional import cross_entropy

import tiny
from pipeline.data.plan import Plan
from pipeline.defenses import budget, privacy
from pipeline.defenses.budget import PrivacyBudget, calibrate, spent
from pipeline.defenses.privacy import (
    NoisySteps,
    clipped_sum,
    fit_private,
    poisson,
    private_gradient,
)
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.models.mlp import Architecture, as_module, initialise
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.models.training import Batch, mean_gradient

pytestmark = pytest.mark.heavy

CLIPS = [0.05, 0.5, 5.0]


def batch_of(data, index, weight=None):
    return Batch(
        data.x[index], data.y[index], index, torch.ones(index.shape) if weight is None else weight
    )


def random_index(members, size, total=120, seed=0):
    return torch.randint(total, (members, size), generator=torch.Generator().manual_seed(seed))


def per_record_gradients(models, member, x, y):
    """(B, P): one backward pass through `nn.Linear` layers for each record."""
    module = as_module(models.parameters, models.preprocessing, member)
    rows = []
    for record, label in zip(x, y, strict=True):
        grads = torch.autograd.grad(
            cross_entropy(module(record[None]), label[None]), list(module.parameters())
        )
        rows.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(rows)


def flat(sums, member):
    """In the order of `nn.Module.parameters()`: each weight (outputs x inputs), then its bias."""
    return torch.cat([tensor[member].T.flatten() for tensor in sums.values()])


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("hidden", [(), (8, 6)])
def test_clipped_sums_equal_a_loop_over_records(dataset, clip, hidden):
    models, index = tiny.population(3, hidden=hidden), random_index(3, 25)
    weight = (torch.rand(3, 25, generator=torch.Generator().manual_seed(1)) < 0.8).float()
    batch = batch_of(dataset, index, weight)
    ours = clipped_sum(models.parameters, models.preprocessing, batch, clip)
    clipped = 0
    for member in range(3):
        each = per_record_gradients(models, member, batch.x[member], batch.y[member])
        norm = each.norm(dim=1, keepdim=True)
        clipped += int((norm > clip).sum())
        expected = (weight[member][:, None] * each * (clip / norm).clamp(max=1)).sum(0)
        torch.testing.assert_close(flat(ours, member), expected, rtol=1e-5, atol=1e-5)
    assert clipped > 0 or clip == max(CLIPS)


@pytest.mark.parametrize("clip", CLIPS)
def test_clipped_sums_equal_those_of_opacus(dataset, clip):
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    models, index = tiny.population(2), random_index(2, 30)
    batch = batch_of(dataset, index)
    ours = clipped_sum(models.parameters, models.preprocessing, batch, clip)
    for member in range(2):
        module = GradSampleModule(
            as_module(models.parameters, models.preprocessing, member), loss_reduction="sum"
        )
        optimiser = DPOptimizer(
            torch.optim.SGD(module.parameters(), lr=1.0),
            noise_multiplier=0.0,
            max_grad_norm=clip,
            expected_batch_size=1,
            loss_reduction="sum",
        )
        cross_entropy(module(batch.x[member]), batch.y[member], reduction="sum").backward()
        optimiser.clip_and_accumulate()
        theirs = torch.cat([parameter.summed_grad.flatten() for parameter in module.parameters()])
        torch.testing.assert_close(flat(ours, member), theirs, rtol=1e-5, atol=1e-5)


def test_no_records_contribution_exceeds_the_bound(dataset):
    models = tiny.population(1, boost=20.0)
    for patient in range(30):
        sums = clipped_sum(
            models.parameters,
            models.preprocessing,
            batch_of(dataset, torch.tensor([[patient]])),
            0.3,
        )
        assert flat(sums, 0).norm() <= 0.3 * (1 + 1e-5)


def test_without_clipping_and_noise_it_is_the_ordinary_gradient(dataset):
    models, index = tiny.population(3), random_index(3, 20)
    batch = batch_of(dataset, index)
    private = private_gradient(1e9, 0.0, 20.0, torch.arange(3))(
        models.parameters, models.preprocessing, batch
    )
    parameters = {
        name: tensor.clone().requires_grad_() for name, tensor in models.parameters.items()
    }
    ordinary = mean_gradient(models.architecture)(parameters, models.preprocessing, batch)
    for name in ordinary:
        torch.testing.assert_close(private[name], ordinary[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("clip", "sigma", "denominator"), [(1.0, 2.0, 10.0), (0.3, 5.0, 64.0)])
def test_the_noise_has_the_stated_size(dataset, clip, sigma, denominator):
    models = tiny.population(2, hidden=(64, 64))
    batch = batch_of(dataset, random_index(2, 10))
    mechanism = private_gradient(clip, sigma, denominator, torch.arange(2))
    signal = clipped_sum(models.parameters, models.preprocessing, batch, clip)
    draws = []
    for _ in range(20):
        noisy = mechanism(models.parameters, models.preprocessing, batch)
        draws.append(
            torch.cat([(noisy[name] - signal[name] / denominator).flatten(1) for name in signal], 1)
        )
    noise = torch.stack(draws)  # 20 x 2 x ~4700
    assert noise.std() == pytest.approx(sigma * clip / denominator, rel=0.01)
    assert abs(float(noise.mean())) < 4 * sigma * clip / denominator / noise.numel() ** 0.5
    energy = noise.square().sum(-1).mean()
    assert energy == pytest.approx(noise.shape[-1] * (sigma * clip / denominator) ** 2, rel=0.02)


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_a_noise_for_each_member_is_what_each_would_have_alone(dataset, hidden):
    plan = tiny.plan(dataset)
    noises = torch.linspace(0.0, 9.0, plan.size, dtype=torch.float64)
    shape = Architecture("mlp", 5, 2, hidden)
    numbers = {
        "sample_rate": 0.5,
        "expected_batch": 40.0,
        "max_grad_norm": 0.7,
        "steps": 4,
        "learning_rate": 0.01,
    }
    together = fit_private(dataset, plan, shape, NoisySteps(noises, **numbers))
    for member, noise in enumerate(noises.tolist()):
        one = plan.select(torch.tensor([member]))
        alone = fit_private(dataset, one, shape, NoisySteps(noise, **numbers))
        for name, value in alone.parameters.items():
            torch.testing.assert_close(
                together.parameters[name][member], value[0], rtol=1e-4, atol=1e-6
            )


def test_one_noise_for_all_is_the_same_noise_for_each(dataset):
    plan, shape = tiny.plan(dataset), Architecture("mlp", 5, 2, (6,))
    numbers = {
        "sample_rate": 0.5,
        "expected_batch": 40.0,
        "max_grad_norm": 0.7,
        "steps": 4,
        "learning_rate": 0.01,
    }
    runs = [
        fit_private(dataset, plan, shape, NoisySteps(noise, **numbers))
        for noise in (1.3, torch.full((plan.size,), 1.3, dtype=torch.float64))
    ]
    assert tiny.same_bits(*(run.parameters["weight0"] for run in runs))


def test_members_steps_and_weights_draw_independent_noise(dataset):
    models, empty = tiny.population(2, hidden=(64,)), torch.zeros(2, 0, dtype=torch.int64)
    mechanism = private_gradient(1.0, 1.0, 1.0, torch.tensor([4, 5]))
    first, second = (
        mechanism(models.parameters, models.preprocessing, batch_of(dataset, empty))
        for _ in range(2)
    )
    vectors = [first["weight0"][0], first["weight0"][1], second["weight0"][0], second["weight0"][1]]
    correlation = torch.corrcoef(torch.stack([vector.flatten() for vector in vectors]))
    assert (correlation - torch.eye(4)).abs().max() < 0.25
    alone = private_gradient(1.0, 1.0, 1.0, torch.tensor([5]))
    one = tiny.population(2, hidden=(64,)).select(torch.tensor([1]))
    assert torch.equal(
        alone(one.parameters, one.preprocessing, batch_of(dataset, empty[:1]))["weight0"][0],
        first["weight0"][1],
    )


def test_an_empty_batch_still_adds_noise(dataset):
    models = tiny.population(2)
    none = batch_of(dataset, torch.zeros(2, 0, dtype=torch.int64))
    filler = batch_of(dataset, torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3))
    results = [
        private_gradient(1.0, 3.0, 10.0, torch.arange(2))(
            models.parameters, models.preprocessing, batch
        )
        for batch in (none, filler)
    ]
    for name, tensor in results[0].items():
        assert (tensor != 0).all()
        assert tensor.isfinite().all()
        assert torch.equal(tensor, results[1][name])


def test_the_denominator_does_not_move_when_a_record_is_removed(dataset):
    """A denominator computed from the cohort would tell who was there (meta-pytorch/opacus#571)."""
    models, index = tiny.population(1), torch.arange(40)[None]
    weight = torch.ones(1, 40)
    weight[0, 17] = 0
    mechanism = [private_gradient(0.5, 1.0, 32.0, torch.tensor([0])) for _ in range(2)]
    whole = mechanism[0](models.parameters, models.preprocessing, batch_of(dataset, index))
    without = mechanism[1](
        models.parameters, models.preprocessing, batch_of(dataset, index, weight)
    )
    record = clipped_sum(
        models.parameters, models.preprocessing, batch_of(dataset, index[:, 17:18]), 0.5
    )
    for name in whole:
        torch.testing.assert_close(
            whole[name] - without[name], record[name] / 32.0, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("engine", ["population", "opacus"])
@pytest.mark.parametrize("absent", [1, 40])
def test_the_denominator_is_no_function_of_the_cohort(dataset, dp, engine, absent, monkeypatch):
    """The leak of meta-pytorch/opacus#571 and #819: a step, no momentum, same noise, fewer records.

    The step then moves by the absent records' clipped gradients over the public denominator, and by
    nothing else: a denominator computed from the cohort would rescale the noise and everybody's
    gradient."""
    monkeypatch.setattr(
        torch.optim, "Adam", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr=lr)
    )
    everyone = torch.ones(120, dtype=torch.bool)
    fewer = everyone.clone()
    fewer[:absent] = False
    options = dp(
        engine=engine,
        steps=1,
        sample_rate=1.0,
        expected_batch=10,
        learning_rate=1.0,
        max_grad_norm=0.5,
    )
    trained = []
    for who in (everyone, fewer):
        plan = Plan(who[None], ~who[None], torch.tensor([-1]), torch.tensor([5]), ("one",))
        trained.append(train("dp_train", dataset, plan, options))
    constants, before = (
        trained[0].preprocessing,
        initialise(trained[0].architecture, torch.tensor([5])),
    )
    own = clipped_sum(before, constants, batch_of(dataset, torch.arange(absent)[None]), 0.5)
    assert (
        trained[0].facts["guarantee"]["noise_multiplier"]
        == trained[1].facts["guarantee"]["noise_multiplier"]
    )
    for name, gradient in own.items():
        moved = trained[1].parameters[name] - trained[0].parameters[name]
        torch.testing.assert_close(moved, gradient / 10, rtol=1e-3, atol=1e-6)


# ---- the draw ----


def test_every_record_joins_at_the_stated_rate_independently():
    train_table = torch.ones(2, 200, dtype=torch.bool)
    train_table[:, 150:] = False
    counts, sizes = torch.zeros(2, 200), []
    for index, weight in poisson(0.1, 2000)(train_table, torch.tensor([0, 1])):
        assert index.shape == weight.shape
        for member in range(2):
            drawn = index[member][weight[member] > 0]
            assert len(drawn.unique()) == len(drawn)
            counts[member, drawn] += 1
        sizes.append(weight.sum(1))
    assert (counts[:, 150:] == 0).all()
    rate = counts[:, :150] / 2000
    assert rate.mean() == pytest.approx(0.1, abs=0.002)
    assert (rate - 0.1).abs().max() < 5 * math.sqrt(0.09 / 2000)
    table = torch.stack(sizes)
    assert table.var() == pytest.approx(
        150 * 0.1 * 0.9, rel=0.1
    )  # binomial: the batch is not of a fixed size
    assert torch.corrcoef(table.T)[0, 1].abs() < 0.1


def test_a_batch_may_be_empty_and_the_number_of_steps_is_exact():
    batches = list(poisson(0.01, 50)(torch.ones(1, 5, dtype=torch.bool), torch.tensor([0])))
    assert len(batches) == 50
    assert any(weight.sum() == 0 for _, weight in batches)


def test_the_draw_of_a_member_depends_on_its_own_seed_alone():
    table = torch.ones(3, 60, dtype=torch.bool)
    together = [
        index[1][weight[1] > 0]
        for index, weight in poisson(0.2, 20)(table, torch.tensor([1, 2, 3]))
    ]
    alone = [
        index[0][weight[0] > 0] for index, weight in poisson(0.2, 20)(table[:1], torch.tensor([2]))
    ]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


# ---- the claim ----


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0, 8.0])
def test_the_claim_meets_its_target_and_a_second_accountant_confirms_it(epsilon):
    claim = calibrate(PrivacyBudget(epsilon, 1e-4, 0.1, 500))
    assert 0.98 * epsilon < claim["epsilon"] <= epsilon
    assert claim["epsilon"] == spent("rdp", claim["noise_multiplier"], 1e-4, 0.1, 500)
    # RDP is an upper bound; PRV, tight to 0.01, may only be lower.
    assert 0.88 * claim["epsilon"] < claim["epsilon_prv"] <= 1.005 * claim["epsilon"]
    assert json.loads(json.dumps(claim)) == claim


def gaussian_delta(epsilon, sigma):
    """The exact delta of the Gaussian mechanism with sensitivity 1.

    Balle and Wang 2018, arXiv:1805.06530, theorem 8."""

    def phi(t):
        return 0.5 * math.erfc(-t / math.sqrt(2))

    return phi(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * phi(
        -0.5 / sigma - epsilon * sigma
    )


@pytest.mark.parametrize(("sigma", "steps"), [(20.0, 50), (10.0, 100), (40.0, 400)])
def test_both_accountants_against_the_closed_form_without_sampling(sigma, steps):
    """`steps` Gaussian mechanisms are one with noise sigma / sqrt(steps).

    Its epsilon at delta 1e-4 follows by bisection."""
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if gaussian_delta(middle, sigma / math.sqrt(steps)) > 1e-4
            else (low, middle)
        )
    exact = high
    assert exact < spent("prv", sigma, 1e-4, 1.0, steps) <= exact + 0.02
    assert exact < spent("rdp", sigma, 1e-4, 1.0, steps) < 1.13 * exact


def test_more_noise_fewer_steps_or_a_rarer_draw_spend_less():
    base = spent("rdp", 2.0, 1e-4, 0.1, 300)
    assert spent("rdp", 2.5, 1e-4, 0.1, 300) < base
    assert spent("rdp", 2.0, 1e-4, 0.1, 200) < base
    assert spent("rdp", 2.0, 1e-4, 0.05, 300) < base


def test_an_epsilon_out_of_reach_is_one_line():
    with pytest.raises(BadInput, match=r"dp_train\.epsilon: 1e-05 cannot be reached"):
        calibrate(PrivacyBudget(1e-5, 1e-4, 0.1, 500))


@pytest.mark.parametrize("steps", [1, 40, 500])
def test_without_sampling_the_claim_is_the_closed_form(steps):
    claim = calibrate(PrivacyBudget(3.0, 1e-4, 1.0, steps))
    assert claim["accountant"] == "gaussian, exact"
    assert claim["epsilon"] == pytest.approx(3.0, rel=1e-6)
    assert claim["epsilon"] <= 3.0
    assert spent("prv", claim["noise_multiplier"], 1e-4, 1 - 1e-9, steps) == pytest.approx(
        3.0, abs=0.05
    )


def test_blocks_of_members_do_not_matter(monkeypatch):
    data, models = tiny.records(30, seed=4), tiny.population(5)
    batch = Batch(
        data.x.expand(5, -1, -1),
        data.y.expand(5, -1),
        torch.arange(30).expand(5, -1),
        torch.ones(5, 30),
    )
    sums = []
    for block in (150, 60):
        monkeypatch.setattr(privacy, "BLOCK", block)
        sums.append(clipped_sum(models.parameters, models.preprocessing, batch, 0.5))
    for name, value in sums[0].items():
        torch.testing.assert_close(sums[1][name], value)


@pytest.mark.parametrize("block", [1, 7, 29, 30])
def test_blocks_of_records_add_up_to_all_records(monkeypatch, block):
    data, models = tiny.records(30, seed=4), tiny.population(3)
    everyone = torch.arange(30).expand(3, -1)
    weight = (torch.rand(3, 30, generator=torch.Generator().manual_seed(0)) < 0.7).float()
    batch = Batch(data.x[everyone], data.y[everyone], everyone, weight)
    whole = clipped_sum(models.parameters, models.preprocessing, batch, 0.5)
    forward, widths = privacy.forward, []

    def watched(x, layers):
        widths.append(x.shape[0] * x.shape[1])
        return forward(x, layers)

    monkeypatch.setattr(privacy, "forward", watched)
    monkeypatch.setattr(privacy, "BLOCK", block)
    parts = clipped_sum(models.parameters, models.preprocessing, batch, 0.5)
    assert max(widths) == block
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-5, atol=1e-6)


# ---- the recipe ----


calibrated = cache(calibrate)  # seconds; the claims themselves are tested above


@pytest.fixture
def dp(cfg, monkeypatch):
    monkeypatch.setattr(budget, "calibrate", lambda *numbers: dict(calibrated(*numbers)))

    def change(**options):
        return cfg.model_copy(
            update={
                "dp_train": {
                    **cfg.defenses["dp_train"],
                    "expected_batch": 10,
                    "sample_rate": 0.1,
                    **options,
                }
            }
        )

    return change


@pytest.mark.parametrize("delta", [1 / 120, 0.5])
def test_a_delta_of_one_in_the_cohort_is_refused(dataset, dp, delta):
    plan = tiny.plan(dataset, release=True)
    with pytest.raises(BadInput, match=r"dp_train\.delta: .* is not below 1 / records = 0\.0083"):
        train("dp_train", dataset, plan, dp(delta=delta))


@pytest.mark.slow
def test_the_guarantee_travels_with_the_population(dataset, dp, tmp_path):
    models = train("dp_train", dataset, tiny.plan(dataset, release=True), dp(steps=10))
    claim = models.facts["guarantee"]
    assert claim["epsilon"] <= 3.0
    assert (claim["delta"], claim["denominator"], claim["steps"]) == (1e-4, 10, 10)
    assert claim["epsilon"] == spent(
        "rdp", claim["noise_multiplier"], claim["delta"], claim["sample_rate"], claim["steps"]
    )
    models.save(tmp_path)
    assert type(models).load(tmp_path).facts["guarantee"] == claim


def test_preprocessing_is_the_schemas_public_constants(dataset, dp):
    models = train("dp_train", dataset, tiny.plan(dataset), dp(steps=10))
    wanted = torch.tensor([feature.center for feature in tiny.SCHEMA.features])
    assert torch.equal(models.preprocessing["center"], wanted.expand(models.size, -1))
    assert torch.equal(models.preprocessing["impute"], models.preprocessing["center"])


def test_the_same_plan_gives_the_same_weights_and_another_seed_does_not(dataset, dp):
    weights = [
        train("dp_train", dataset, tiny.plan(dataset, seed=seed), dp(steps=10)).parameters[
            "weight0"
        ]
        for seed in (0, 0, 1)
    ]
    assert tiny.same_bits(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.slow
def test_little_noise_learns_and_much_noise_does_not(dp):
    data = tiny.records(300, seed=2)
    plan = tiny.plan(data, seeds=1)

    def accuracy(epsilon):
        options = dp(epsilon=epsilon, steps=100, expected_batch=20, learning_rate=1e-2)
        margins, _ = margins_out_of_fold(train("dp_train", data, plan, options), data, plan)
        return float((margins > 0).float().mean())

    little, much = accuracy(1000.0), accuracy(0.2)
    assert little > 0.75
    assert much < little - 0.05


@pytest.mark.slow  # Opacus trains one model after another
def test_both_engines_make_the_same_claim_and_learn_alike(dp):
    data = tiny.records(300, seed=2)
    plan = tiny.plan(data, folds=3, seeds=1)
    claims, accuracies = [], []
    for engine in ("population", "opacus"):
        options = dp(engine=engine, epsilon=8.0, steps=100, expected_batch=20, learning_rate=1e-2)
        models = train("dp_train", data, plan, options)
        claims.append(
            {name: value for name, value in models.facts["guarantee"].items() if name != "engine"}
        )
        accuracies.append(float((margins_out_of_fold(models, data, plan)[0] > 0).float().mean()))
    assert claims[0] == claims[1]
    assert min(accuracies) > 0.7
    assert abs(accuracies[0] - accuracies[1]) < 0.08


def test_opacus_draws_the_same_bytes_twice_and_leaves_the_global_state(dataset, dp):
    plan = tiny.plan(dataset, seeds=1)
    runs = [
        train("dp_train", dataset, plan, dp(engine="opacus", steps=10)).parameters["weight0"]
        for _ in range(2)
    ]
    assert tiny.same_bits(*runs)


def test_opacus_needs_a_whole_number_of_batches(dataset, dp, monkeypatch):
    monkeypatch.setattr(privacy, "guarantee_for", lambda *_: {"noise_multiplier": 1.0})
    monkeypatch.setattr(privacy, "composed", lambda *_: {})  # accounts take seconds
    options = dp(engine="opacus", sample_rate=0.3, steps=10)
    with pytest.raises(
        BadInput,
        match=r"dp_train\.sample_rate: the opacus engine needs 1 / sample_rate to be whole",
    ):
        train("dp_train", dataset, tiny.plan(dataset), options)
