"""Federated training is ordinary training where it must be, and repeats to the last bit."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.config import TrainConfig
from pipeline.data.plan import rectangle
from pipeline.defenses.federated.aggregate import Exchange, aggregated
from pipeline.defenses.federated.local import Training, ordinary
from pipeline.defenses.federated.loop import Adversary, Sent, federate, packed, unpacked
from pipeline.defenses.federated.sites import hospitals_of, sites_of
from pipeline.models.designs import public_constants
from pipeline.models.mlp import Architecture, initialise
from pipeline.models.training import Batch, fit, mean_gradient, rates, shuffled

ARCHITECTURE = Architecture("mlp", len(tiny.FEATURES), 2, (6,))
TRAIN = TrainConfig(epochs=1, batch_size=16, learning_rate=0.01, weight_decay=1e-3)


def run(dataset, plan, sites, rounds=3, *, rule="mean", train=TRAIN, epochs=1, **more):
    local = ordinary(Training(ARCHITECTURE, train, rounds, epochs))
    return federate(
        sites, initialise(ARCHITECTURE, plan.seeds), rounds, local, aggregated(rule, 0), **more
    )


def hospitals(dataset, plan, count):
    return sites_of(dataset, plan, hospitals_of(dataset, count, "age"))


def same(one, other):
    return all(tiny.same_bits(one[name], other[name]) for name in one)


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_one_hospital_in_one_round_is_central_training_step_for_step(dataset, schedule):
    plan, train = tiny.plan(dataset), TRAIN.model_copy(update={"schedule": schedule})
    (site,) = hospitals(dataset, plan, 1)
    ours = run(dataset, plan, [site], 1, train=train, epochs=4)
    own = train.model_copy(update={"epochs": 4})
    central = fit(
        dataset,
        replace(plan, seeds=site.plan(0, torch.arange(plan.size)).seeds),
        ARCHITECTURE,
        draw=shuffled(own),
        gradient=mean_gradient(ARCHITECTURE),
        learning_rate=rates(plan.train, own),
        weight_decay=own.weight_decay,
        preprocessing=public_constants(ARCHITECTURE, dataset.schema, plan.size),
        start=initialise(ARCHITECTURE, plan.seeds),
    )
    assert same(ours, central.parameters)


def test_the_same_federation_gives_the_same_bits_in_whatever_order_hospitals_come(dataset):
    plan = tiny.plan(dataset)
    sites = hospitals(dataset, plan, 4)
    first = run(dataset, plan, sites)
    assert same(first, run(dataset, plan, sites))
    assert same(first, run(dataset, plan, [sites[place] for place in (2, 0, 3, 1)]))


def test_the_mean_of_hospitals_with_equal_records_and_seeds_is_any_of_them(dataset):
    plan = tiny.plan(dataset)
    (site,) = hospitals(dataset, plan, 1)
    alone = run(dataset, plan, [site])
    # three hospitals of one number draw the same batches of the same records
    assert same(run(dataset, plan, [site, replace(site), replace(site)]), alone)


def test_a_full_batch_each_is_one_step_along_the_mean_gradient(dataset):
    """With one step of plain descent in each hospital: FedAvg is central descent (FedSGD)."""
    plan = tiny.plan(dataset)
    sites, start = hospitals(dataset, plan, 4), initialise(ARCHITECTURE, plan.seeds)

    def local(parameters, site, number):
        held = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
        constants = public_constants(ARCHITECTURE, dataset.schema, plan.size)
        index, weight = rectangle(site.train)
        everybody = Batch(site.dataset.x[index], site.dataset.y[index], index, weight.float())
        grads = mean_gradient(ARCHITECTURE)(held, constants, everybody)
        moved = {name: held[name].detach() - 0.1 * grads[name] for name in held}
        return Sent(packed(moved), site.records)

    (whole,) = hospitals(dataset, plan, 1)
    ours = federate(sites, start, 3, local, aggregated("mean", 0))
    central = federate([whole], start, 3, local, aggregated("mean", 0))
    for name in ours:
        torch.testing.assert_close(ours[name], central[name], rtol=1e-5, atol=1e-6)


def test_the_next_round_starts_at_the_aggregate_of_the_last(dataset):
    plan, seen = tiny.plan(dataset), []
    sites = hospitals(dataset, plan, 3)
    last = run(dataset, plan, sites, 3, rule="median", watch=seen.append)
    assert [one.number for one in seen] == [0, 1, 2]
    rule = aggregated("median", 0)
    for one, after in zip(seen, [*seen[1:], None], strict=True):
        expected = packed(last) if after is None else after.parameters
        assert tiny.same_bits(rule(one), expected)
    assert tiny.same_bits(seen[0].parameters, packed(initialise(ARCHITECTURE, plan.seeds)))


def test_a_hospital_with_one_class_alone_takes_part(dataset):
    plan = tiny.plan(dataset)
    site = (dataset.y == 1) & (torch.arange(len(dataset.y)) % 2 == 0)
    named = replace(dataset, site=site.long(), schema=replace(dataset.schema, sites=("a", "b")))
    sites = sites_of(named, plan, hospitals_of(named, None, None))
    assert sites[1].dataset.y.unique().tolist() == [1]
    after = run(named, plan, sites)
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert not same(after, run(named, plan, sites[:1]))


def test_a_hospital_without_records_for_a_member_leaves_it_to_the_others(dataset):
    plan = tiny.plan(dataset)
    sites = hospitals(dataset, plan, 3)
    train = sites[1].train.clone()
    train[2] = False
    without = [sites[0], replace(sites[1], train=train), sites[2]]
    ours = run(dataset, plan, without)
    alone = run(dataset, plan, [sites[0], sites[2]])
    for name in ours:
        torch.testing.assert_close(ours[name][2], alone[name][2], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours["weight0"][1], alone["weight0"][1])


def test_only_malicious_hospitals_are_replaced_and_the_mean_follows_them(dataset):
    plan = tiny.plan(dataset)
    sites = hospitals(dataset, plan, 4)

    def boost(exchange: Exchange) -> Exchange:
        moved = exchange.parameters - 10 * (exchange.updates - exchange.parameters)
        return exchange._replace(updates=moved, records=exchange.records * 7)

    honest, forged = [], []
    run(dataset, plan, sites, 1, watch=honest.append)
    run(dataset, plan, sites, 1, watch=forged.append, adversary=Adversary((2,), boost))
    kept = [0, 1, 3]
    assert tiny.same_bits(honest[0].updates[kept], forged[0].updates[kept])
    assert tiny.same_bits(boost(honest[0]).updates[2], forged[0].updates[2])
    assert forged[0].records[:, 0].tolist() == [
        count * (7 if place == 2 else 1)
        for place, count in enumerate(honest[0].records[:, 0].tolist())
    ]


def test_an_array_holds_all_weights_of_all_members():
    weights = initialise(ARCHITECTURE, torch.arange(3))
    array = packed(weights)
    assert array.shape == (3, 5 * 6 + 6 + 6 * 2 + 2)
    assert same(unpacked(array, weights), weights)
    assert same(unpacked(array[1:], weights), {name: one[1:] for name, one in weights.items()})


def test_the_server_gets_updates_in_the_order_of_the_hospitals_numbers(dataset):
    plan = tiny.plan(dataset)
    sites, seen = hospitals(dataset, plan, 3), []
    for order in (sites, sites[::-1]):
        run(dataset, plan, order, 1, watch=seen.append)
    assert tiny.same_bits(seen[0].updates, seen[1].updates)


def test_a_round_takes_its_own_part_of_the_schedule(dataset):
    """The last round of a falling rate moves weights less than the first."""
    plan, start = tiny.plan(dataset), initialise(ARCHITECTURE, torch.arange(6))
    (site,) = hospitals(dataset, plan, 1)
    falling = TRAIN.model_copy(update={"schedule": "one_cycle"})
    local = ordinary(Training(ARCHITECTURE, falling, 8, 1))
    moved = [float((local(start, site, at).update - packed(start)).norm()) for at in (2, 7)]
    assert moved[1] < moved[0] / 3
