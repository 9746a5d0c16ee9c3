"""Who is attacked, and what an attacker climbs."""

import torch

import tiny
from pipeline.defenses.referring import Seen
from pipeline.risks.safeguards.measure.cohort import (
    SATISFIED,
    answer_alone,
    answer_and_doubt,
    rows_of,
)
from risks.safeguards import made_up


def margin_of(logits, y):
    return (logits[..., 1] - logits[..., 0]) * (2 * y - 1)


def look(x):
    return Seen(x[..., 0], -x[..., 1].abs())


def test_only_first_repetitions_that_hold_somebody_out_are_asked():
    data = tiny.records(30, seed=0)
    plan = tiny.plan(data, folds=3, seeds=4, release=True)
    assert plan.select(rows_of(plan, 2)).labels == plan.labels[:6]


def test_who_ignores_the_rule_is_content_a_little_beyond_the_line():
    x = torch.tensor([[[3.0, 1.0], [-0.1, 1.0], [-5.0, 1.0]]])
    y = torch.ones(1, 3, dtype=torch.int64)
    found = margin_of(answer_alone(look, y)(x), y)
    assert torch.allclose(found, torch.tensor([[3.0, -0.1, -SATISFIED]]))


def test_who_adapts_wants_a_wrong_answer_first_and_then_no_doubt():
    x = torch.tensor([[[3.0, 1.0], [-0.1, 1.0], [-5.0, 2.0]]])
    y = torch.ones(1, 3, dtype=torch.int64)
    found = margin_of(answer_and_doubt(look, y)(x), y)
    assert torch.allclose(found, torch.tensor([[3.0, -1.0, -2.0]]))
    healthy = torch.zeros_like(y)  # the same, seen from the other side
    again = margin_of(answer_and_doubt(look, healthy)(-x), healthy)
    assert torch.allclose(again, found)


def test_nothing_leaves_the_threat_model_and_noise_is_within_it_too():
    who = made_up.cohort()
    population = made_up.models(who)
    for made in (who.climbed(population, 0), who.by_chance(population, 0)):
        assert made.shape == (3, *who.x.shape)
        for one, eps in zip(made, who.radii, strict=True):
            assert who.threat.violations(one, who.x, eps) == 0
        assert tiny.same_bits(made[0].contiguous(), who.x.contiguous())


def test_whom_the_goal_spares_nobody_forges():
    threat = tiny.Threat.of(tiny.SCHEMA, tiny.threat_config(goal="miss"))
    who = made_up.cohort(threat=threat)
    made = who.climbed(made_up.models(who), 0)
    changed = ((made[-1] != who.x) & ~who.x.isnan()).any(-1)
    assert not changed[who.y == 0].any()
    assert changed[who.y == 1].any()
