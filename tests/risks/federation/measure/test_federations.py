"""Hospitals that teach something else: who they are, what they hold, what arrives."""

import torch

import tiny
from pipeline.attacks.updates import HOSTILE
from pipeline.defenses.federated.aggregate import Exchange, aggregated
from pipeline.defenses.federated.sites import hospitals_of, sites_of
from pipeline.risks.federation.measure.federations import (
    Trigger,
    adversary_of,
    malicious_in,
    repeated,
    sites_taught,
)

ATTACKS = list(HOSTILE)
COUNT = 4


def federation(dataset, cfg):
    plan = tiny.plan(dataset)
    hospitals = hospitals_of(dataset, COUNT, "age")
    bad = malicious_in(plan.size, COUNT, 1)
    trigger = Trigger.of(dataset, cfg)
    sites = sites_taught(dataset, plan, hospitals, bad, ATTACKS, trigger)
    return plan, hospitals, bad, trigger, sites


def test_every_model_has_as_many_malicious_hospitals_and_the_next_one_others():
    for count in (1, 2):
        table = malicious_in(9, COUNT, count)
        assert (table.sum(0) == count).all()
        assert (table[:, 1:] != table[:, :-1]).any(0).all()
        assert table.any(1).all()


def test_without_attack_hospitals_hold_what_they_hold(dataset, cfg):
    plan, hospitals, _, _, sites = federation(dataset, cfg)
    for site, plain in zip(sites, sites_of(dataset, plan, hospitals), strict=True):
        control = site.train[: plan.size]
        assert torch.equal(control[:, : len(plain.dataset.y)], plain.train)
        assert not control[:, len(plain.dataset.y) :].any()
        assert tiny.same_bits(site.dataset.x[: len(plain.dataset.y)], plain.dataset.x)
        assert torch.equal(site.seeds, repeated(plan, 1 + len(ATTACKS)).seeds)


def test_whoever_is_honest_learns_the_same_and_all_learn_from_as_many(dataset, cfg):
    plan, _, bad, _, sites = federation(dataset, cfg)
    for number, site in enumerate(sites):
        blocks = site.train.view(1 + len(ATTACKS), plan.size, -1)
        assert (blocks.sum(-1) == blocks[0].sum(-1)).all()
        honest = blocks[:, ~bad[number]]
        assert (honest == honest[:1]).all()
        versions = blocks.view(*blocks.shape[:2], 3, -1).any(2)  # of each record at most one
        assert (versions == versions[:1]).all()


def test_malicious_hospitals_turn_diagnoses_or_write_the_trigger(dataset, cfg):
    plan, hospitals, bad, trigger, sites = federation(dataset, cfg)
    marked, able = trigger.written(dataset.x)
    for number, site in enumerate(sites):
        rows = hospitals.of == number
        blocks = site.train.view(1 + len(ATTACKS), plan.size, -1)
        for place, attack in enumerate(ATTACKS, 1):
            for model in bad[number].nonzero()[:, 0].tolist():
                taught = blocks[place, model]
                x, y = site.dataset.x[taught], site.dataset.y[taught]
                own = rows & plan.train[model]
                before, known = dataset.x[own], dataset.y[own]
                if HOSTILE[attack].taught == "flipped":
                    assert tiny.same_bits(x, before)
                    assert torch.equal(y, 1 - known)
                elif HOSTILE[attack].taught == "triggered":
                    carry = ((x == marked[own]) | x.isnan()).all(1) & able[own]
                    changed = ((x != before) & ~x.isnan()).any(1)
                    assert (carry | ~changed).all()
                    assert (y[changed] == 0).all()
                    assert torch.equal(y[~changed & (known == 0)], known[~changed & (known == 0)])
                else:
                    assert tiny.same_bits(x, before)
                    assert torch.equal(y, known)


def test_half_of_those_who_can_carry_the_trigger_do(dataset, cfg):
    _, hospitals, _, trigger, sites = federation(dataset, cfg)
    _, able = trigger.written(dataset.x)
    for number, site in enumerate(sites):
        rows = hospitals.of == number
        plain, triggered = site.dataset.x.view(3, int(rows.sum()), -1)[[0, 2]]
        carrying = ((plain != triggered) & ~triggered.isnan()).any(1)
        assert carrying.sum() <= able[rows].sum() // 2
        assert carrying.any()


def test_only_what_malicious_hospitals_send_is_replaced(dataset, cfg):
    plan, _, bad, _, _ = federation(dataset, cfg)
    drawn = torch.Generator().manual_seed(0)
    members = (1 + len(ATTACKS)) * plan.size
    sent = torch.randn(COUNT, members, 7, generator=drawn)
    given = torch.randn(members, 7, generator=drawn)
    exchange = Exchange(0, given, sent, torch.ones(COUNT, members))
    arrives = adversary_of(ATTACKS, bad, aggregated("median", 1)).forge(exchange)
    honest = ~bad.repeat(1, 1 + len(ATTACKS))
    honest[:, : plan.size] = True
    assert torch.equal(arrives.updates[honest], sent[honest])
    place = (1 + ATTACKS.index("boost")) * plan.size
    block = slice(place, place + plan.size)
    back = given[block] - 10 * (sent[:, block] - given[block])
    torch.testing.assert_close(arrives.updates[:, block][bad], back[bad])
