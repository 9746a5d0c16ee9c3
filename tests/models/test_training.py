"""One loop for all members does what a loop per member would do."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import scans
import tiny
from pipeline.config import TrainConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.answers import disease_probability
from pipeline.models.cnn import convolutional
from pipeline.models.mlp import Architecture, as_module, initialise, parameters_of
from pipeline.models.networks import fitted_preprocessing
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.models.training import (
    Batch,
    fit,
    mean_gradient,
    rates,
    shifted,
    shuffled,
    steps_in_pass,
)
from pipeline.seeds import Stream, generator
from pipeline.statistics.intervals import bootstrap_auroc, bootstrap_weights, interval
from pipeline.statistics.rates import auroc

pytestmark = pytest.mark.heavy

TRAIN = TrainConfig(epochs=3, batch_size=16, learning_rate=1e-2, weight_decay=1e-3)
MLP = Architecture("mlp", 5, 2, (8, 6))


def trained(dataset, plan, train=TRAIN, architecture=MLP, **options):
    return fit(
        dataset,
        plan,
        architecture,
        draw=shuffled(train),
        gradient=mean_gradient(architecture),
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        **options,
    )


def weights_of(population):
    return torch.cat([tensor.flatten(1) for tensor in population.parameters.values()], 1)


@pytest.mark.parametrize("architecture", [MLP, Architecture("linear", 5, 2, ())])
def test_one_member_equals_a_plain_loop_of_nn_module_and_adam(dataset, architecture):
    plan = tiny.plan(dataset, folds=3, seeds=1).select(torch.tensor([1]))
    ours = trained(dataset, plan, architecture=architecture)

    module = as_module(
        initialise(architecture, plan.seeds), fitted_preprocessing(dataset.x, plan.train), 0
    )
    optimiser = torch.optim.Adam(
        module.parameters(), lr=TRAIN.learning_rate, weight_decay=TRAIN.weight_decay
    )
    for index, _ in shuffled(TRAIN)(plan.train, plan.seeds):
        optimiser.zero_grad()
        cross_entropy(module(dataset.x[index[0]]), dataset.y[index[0]]).backward()
        optimiser.step()
    for name, tensor in parameters_of(module).items():
        torch.testing.assert_close(ours.parameters[name], tensor, rtol=1e-4, atol=1e-6)


def test_training_moves_the_weights_and_lowers_the_loss(dataset):
    plan = tiny.plan(dataset, release=True)
    before, after = (
        initialise(MLP, plan.seeds),
        trained(dataset, plan, TRAIN.model_copy(update={"epochs": 15})),
    )
    everyone = dataset.x.expand(plan.size, -1, -1)
    y = dataset.y.expand(plan.size, -1).flatten()
    fresh = type(after)(MLP, after.preprocessing, before, after.labels)
    losses = [cross_entropy(models(everyone).flatten(0, 1), y) for models in (fresh, after)]
    assert losses[1] < 0.8 * losses[0]


def test_two_runs_give_the_same_bytes(dataset):
    plan = tiny.plan(dataset)
    assert tiny.same_bits(weights_of(trained(dataset, plan)), weights_of(trained(dataset, plan)))


def test_a_member_alone_equals_the_same_member_among_others(dataset):
    plan = tiny.plan(dataset, folds=5, seeds=1)  # 120 records: all members have 96 rows
    together = weights_of(trained(dataset, plan))
    for member in (0, 3):
        alone = weights_of(trained(dataset, plan.select(torch.tensor([member]))))
        torch.testing.assert_close(alone[0], together[member], rtol=1e-5, atol=1e-5)


def test_another_seed_gives_other_weights(dataset):
    plans = [tiny.plan(dataset, seed=seed) for seed in (0, 1)]
    assert not torch.equal(*(weights_of(trained(dataset, plan)) for plan in plans))


def test_a_held_out_record_changes_nothing(dataset):
    plan = tiny.plan(dataset, folds=3, seeds=1)
    before = weights_of(trained(dataset, plan))
    patient = int(plan.held_out[1].nonzero()[0])
    x, y = dataset.x.clone(), dataset.y.clone()
    x[patient], y[patient] = 1e4, 1 - y[patient]
    after = weights_of(trained(Dataset(x, y, dataset.schema), plan))
    assert tiny.same_bits(before[1], after[1])
    assert not torch.equal(before[0], after[0])


def test_the_global_random_state_is_neither_read_nor_changed(dataset):
    plan = tiny.plan(dataset)
    torch.manual_seed(1)
    first, state = weights_of(trained(dataset, plan)), torch.get_rng_state()
    torch.manual_seed(2)
    second = weights_of(trained(dataset, plan))
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, second)


def test_draw_takes_each_training_row_once_per_pass_and_no_other():
    train = torch.tensor([[1, 1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1]]).bool()
    config = TRAIN.model_copy(update={"epochs": 4, "batch_size": 3})
    batches = list(shuffled(config)(train, torch.tensor([0, 1])))
    assert len(batches) == 8  # 4 passes over 6 rows in threes
    for member in range(2):
        passes = torch.cat([index[member] for index, _ in batches]).view(4, 6)
        rows = train[member].nonzero()[:, 0]
        assert (passes.sort(1).values == rows).all()
        assert not torch.equal(passes[0], passes[1])
    assert all((weight == 1).all() for _, weight in batches)


def test_members_of_unequal_size_take_the_same_number_of_full_batches():
    train = torch.ones(2, 20, dtype=torch.bool)
    train[0, :9] = False
    config = TRAIN.model_copy(update={"epochs": 2, "batch_size": 4})
    batches = list(shuffled(config)(train, torch.tensor([0, 1])))
    assert len(batches) == 6
    assert all(index.shape == (2, 4) for index, _ in batches)
    assert all(train[0, index[0]].all() for index, _ in batches)


def test_filler_has_no_weight_in_the_gradient(dataset):
    models = tiny.population(2)
    parameters = {name: tensor.requires_grad_() for name, tensor in models.parameters.items()}
    index = torch.tensor([[0, 1, 2, 2], [3, 4, 5, 6]])
    weight = torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 1]])
    padded = Batch(dataset.x[index], dataset.y[index], index, weight)
    grads = mean_gradient(models.architecture)(parameters, models.preprocessing, padded)
    short = index[:1, :3]
    alone = {name: tensor[:1].detach().requires_grad_() for name, tensor in parameters.items()}
    constants = {name: value[:1] for name, value in models.preprocessing.items()}
    expected = mean_gradient(models.architecture)(
        alone, constants, Batch(dataset.x[short], dataset.y[short], short, weight[:1, :3])
    )
    for name, grad in grads.items():
        torch.testing.assert_close(grad[:1], expected[name], rtol=1e-5, atol=1e-7)


def test_perturb_sees_the_model_as_it_stands_and_its_records_are_learned(dataset):
    plan, seen = tiny.plan(dataset), []

    def perturb(population, batch):
        seen.append(weights_of(population).clone())
        return torch.full_like(batch.x, torch.nan)  # nothing to learn from but the base rate

    models = trained(dataset, plan, perturb=perturb)
    assert not torch.equal(seen[0], seen[-1])
    assert tiny.same_bits(
        seen[0], torch.cat([t.flatten(1) for t in initialise(MLP, plan.seeds).values()], 1)
    )
    first_layer = initialise(MLP, plan.seeds)["weight0"]
    assert not torch.equal(weights_of(models), weights_of(trained(dataset, plan)))
    assert models.parameters["weight0"].shape == first_layer.shape


def test_the_result_is_detached_and_quiet_in_a_log(dataset, capfd):
    models = trained(dataset, tiny.plan(dataset))
    assert not any(tensor.requires_grad for tensor in models.parameters.values())
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def out_of_fold_auroc(data):
    """The AUROC and its interval."""
    plan = tiny.plan(data, folds=5, seeds=3)
    models = trained(data, plan, TRAIN.model_copy(update={"epochs": 15, "learning_rate": 3e-3}))
    margins, y = (tensor.numpy() for tensor in margins_out_of_fold(models, data, plan))
    score = disease_probability(margins[0], y)
    estimate = auroc(score, y)
    return estimate, *interval(
        estimate, bootstrap_auroc(score, y, bootstrap_weights(len(y), 500, 0))
    )


@pytest.mark.slow
def test_shuffled_labels_cannot_be_predicted():
    data = tiny.records(400, seed=3)
    assert out_of_fold_auroc(data)[1] > 0.8
    # One shuffle may by chance agree with the records; five do not.
    shuffles = [
        torch.randperm(400, generator=torch.Generator().manual_seed(seed)) for seed in range(5)
    ]
    figures = [out_of_fold_auroc(Dataset(data.x, data.y[order], data.schema)) for order in shuffles]
    assert sum(low < 0.5 < high for _, low, high in figures) >= 3
    assert sum(estimate for estimate, _, _ in figures) / 5 == pytest.approx(0.5, abs=0.04)


# ---- images ----

CNN = convolutional(scans.SHAPE, 2, [4], [5])


def test_an_image_network_equals_a_plain_loop_of_adam():
    dataset = scans.dataset(40, seed=0)
    plan = tiny.plan(dataset, folds=2, seeds=1).select(torch.tensor([1]))
    ours = trained(dataset, plan, architecture=CNN)
    member = CNN.initialise(generator(Stream.WEIGHTS, int(plan.seeds[0])))
    for value in member.values():
        value.requires_grad_()
    optimiser = torch.optim.Adam(
        member.values(), lr=TRAIN.learning_rate, weight_decay=TRAIN.weight_decay
    )
    for index, _ in shuffled(TRAIN)(plan.train, plan.seeds):
        optimiser.zero_grad()
        z = (dataset.x[index[0]] - 127.5) / 63.75
        cross_entropy(CNN.answer(z, member), dataset.y[index[0]]).backward()
        optimiser.step()
    for name, value in member.items():
        torch.testing.assert_close(ours.parameters[name][0], value, rtol=1e-4, atol=1e-5)


def test_members_of_images_do_not_know_each_other():
    dataset = scans.dataset(40, seed=0)
    plan = tiny.plan(dataset, folds=2, seeds=2)
    both = trained(dataset, plan, architecture=CNN)
    for row in range(plan.size):
        alone = trained(dataset, plan.select(torch.tensor([row])), architecture=CNN)
        for name, value in alone.parameters.items():
            torch.testing.assert_close(both.parameters[name][row], value[0], rtol=1e-4, atol=1e-6)


def test_an_image_network_learns_what_is_there():
    dataset = scans.dataset(80, seed=1, split=True)
    plan = Plan.official(dataset.split, seeds=1, seed=0)
    cfg = TRAIN.model_copy(update={"epochs": 20, "learning_rate": 5e-3})
    margins, _ = margins_out_of_fold(trained(dataset, plan, cfg, architecture=CNN), dataset, plan)
    assert float((margins > 0).float().mean()) > 0.9


@pytest.mark.parametrize("most", [1, 3])
def test_a_shifted_image_is_a_neighbouring_view_with_its_edge_repeated(most):
    x = torch.arange(2 * 3 * 2 * 5 * 6, dtype=torch.float32).view(2, 3, 2, 5, 6)
    y = torch.zeros(2, 3, dtype=torch.int64)
    batch = Batch(x, y, y, y.float())
    moved = shifted(most, torch.Generator().manual_seed(0))(batch).x
    padded = torch.nn.functional.pad(x.flatten(0, 1), (most,) * 4, mode="replicate")
    views = [
        padded[..., row : row + 5, column : column + 6].view_as(x)
        for row in range(2 * most + 1)
        for column in range(2 * most + 1)
    ]
    same = torch.stack([(view == moved).flatten(2).all(-1) for view in views])
    assert bool(same.any(0).all())
    again = shifted(most, torch.Generator().manual_seed(0))(batch).x
    assert torch.equal(moved, again)


def test_shifts_go_everywhere_within_reach():
    x = torch.zeros(1, 400, 1, 5, 5)
    x[..., 2, 2] = 1
    y = torch.zeros(1, 400, dtype=torch.int64)
    moved = shifted(1, torch.Generator().manual_seed(0))(Batch(x, y, y, y.float())).x
    places = moved[0, :, 0].flatten(1).argmax(1).bincount(minlength=25).view(5, 5)
    assert int((places > 0).sum()) == 9
    assert bool((places[1:4, 1:4] > 20).all())


def test_one_cycle_rises_and_falls_and_a_constant_rate_stays():
    train = torch.ones(2, 64, dtype=torch.bool)
    cfg = TRAIN.model_copy(update={"schedule": "one_cycle", "epochs": 10})
    found = rates(train, cfg)
    assert len(found) == 10 * steps_in_pass(train, cfg) == 40
    top = found.index(max(found))
    assert (top, max(found)) == (12, cfg.learning_rate)
    assert list(found[: top + 1]) == sorted(found[: top + 1])
    assert list(found[top:]) == sorted(found[top:], reverse=True)
    assert found[-1] < 0.05 * found[0] < found[0] == pytest.approx(0.04 * cfg.learning_rate)
    assert set(rates(train, TRAIN)) == {TRAIN.learning_rate}


def test_a_rate_for_each_step_is_the_one_that_is_taken(dataset):
    plan = tiny.plan(dataset, folds=3, seeds=1)
    constant = trained(dataset, plan)
    steps = TRAIN.epochs * steps_in_pass(plan.train, TRAIN)
    listed = fit(
        dataset,
        plan,
        MLP,
        draw=shuffled(TRAIN),
        gradient=mean_gradient(MLP),
        learning_rate=[TRAIN.learning_rate] * steps,
        weight_decay=TRAIN.weight_decay,
    )
    assert torch.equal(weights_of(constant), weights_of(listed))
    none = fit(
        dataset,
        plan,
        MLP,
        draw=shuffled(TRAIN),
        gradient=mean_gradient(MLP),
        learning_rate=[0.0] * steps,
    )
    assert torch.equal(none.parameters["weight0"], initialise(MLP, plan.seeds)["weight0"])
