"""Rules of referral under attack: brute force, and the mechanical truth of the proved radius."""

import pytest
import torch

import tiny
from pipeline.defenses.referring import Seen, close_to_the_line, mean_of_members
from pipeline.risks.safeguards.figures import passed_on, proved_to, thresholds
from pipeline.risks.safeguards.measure.referred import (
    PROVED,
    Prover,
    Referrals,
    attack_referral,
    cost,
    first_wrong,
    least_doubted,
)
from risks.safeguards import made_up


@pytest.fixture(scope="module")
def found():
    who = made_up.cohort(radii=[0.05, 0.15, 0.4])
    one, other = made_up.models(who), made_up.models(who, seed=7)
    rules = {"margin": close_to_the_line(one), "ensemble": mean_of_members([one, other])}
    return attack_referral(who, {"": one, "adv: ": other}, rules, budget=200)


def looked(seed, *shape):
    drawn = torch.Generator().manual_seed(seed)
    lead, doubt = torch.randn(*shape, generator=drawn), -torch.rand(*shape, generator=drawn)
    return [Seen(a, b) for a, b in zip(lead, doubt, strict=True)]


def test_of_all_within_the_radius_the_least_doubted_wrong_one_is_presented():
    y = torch.arange(30)[None] % 2
    (clean,), one, other = looked(0, 1, 1, 30), looked(1, 3, 1, 30), looked(2, 3, 1, 30)
    presented = least_doubted(clean, [one, other], y)
    for radius in range(3):
        within = [clean, *one[: radius + 1], *other[: radius + 1]]
        for n in range(30):
            leads = torch.stack([seen.lead[0, n] for seen in within]) * (2 * y[0, n] - 1)
            doubts = torch.stack([seen.doubt[0, n] for seen in within])
            wrong = leads <= 0
            if wrong.any():
                assert presented.doubt[radius, 0, n] == doubts[wrong].min()
            else:
                assert presented.lead[radius, 0, n] * (2 * y[0, n] - 1) == leads.min()


def test_who_is_content_keeps_the_first_wrong_answer():
    y = torch.arange(30)[None] % 2
    (clean,), one = looked(0, 1, 1, 30), looked(1, 3, 1, 30)
    presented = first_wrong(clean, one, y)
    for n in range(30):
        ahead = [float(seen.lead[0, n] * (2 * y[0, n] - 1)) for seen in (clean, *one)]
        for radius in range(3):
            first = next((place for place in range(radius + 2) if ahead[place] <= 0), None)
            expected = min(ahead[: radius + 2]) if first is None else ahead[first]
            got = float(presented.lead[radius, 0, n] * (2 * y[0, n] - 1))
            assert got == pytest.approx(expected)


def test_a_wrong_answer_costs_less_than_any_right_one():
    y = torch.ones(1, 4, dtype=torch.int64)
    seen = Seen(torch.tensor([[-1.0, -1.0, 1e-9, 9.0]]), torch.tensor([[-9.0, 0.0, 0.0, -9.0]]))
    assert cost(seen, y)[0].argsort().tolist() == [0, 1, 2, 3]


def undetected(found, rule, attacker, rate):
    limit = thresholds(found.doubt[f"clean/{rule}"][0].numpy(), rate)
    return torch.tensor(
        [
            passed_on(found, rule, attacker, place, limit).wrong.sum()
            for place in range(len(found.eps))
        ]
    )


def test_who_adapts_passes_at_least_as_much_at_every_rate_and_radius(found):
    assert found.rules == ["margin", "ensemble", PROVED, "adv: margin", f"adv: {PROVED}"]
    for rule in found.rules:
        for rate in (0.0, 0.05, 0.2, 0.5):
            limit = thresholds(found.doubt[f"clean/{rule}"][0].numpy(), rate)
            clean = passed_on(found, rule, "none", 0, limit).wrong.sum()
            ignoring, adaptive = (
                undetected(found, rule, one, rate) for one in ("ignoring", "adaptive")
            )
            assert (adaptive >= ignoring).all(), (rule, rate)
            assert (adaptive.diff() >= 0).all()
            assert (adaptive >= clean).all()


def test_below_the_proved_radius_no_turned_answer_passes(found):
    asked = 0
    for rule in (PROVED, f"adv: {PROVED}"):
        for rate in (0.1, 0.2, 0.4, 0.6, 0.9):
            limit = thresholds(found.doubt[f"clean/{rule}"][0].numpy(), rate)
            sure = proved_to(limit, found.eps[-1])
            for place, eps in enumerate(found.eps):
                if eps < sure:
                    passed = passed_on(found, rule, "adaptive", place, limit)
                    asked += passed.turned.sum()
                    assert not passed.turned_on.any()
    assert asked > 0  # some answers were turned below the radius, and all of them referred


def test_the_margin_alone_passes_turned_answers_at_the_same_rate(found):
    """What the truth above would not notice if nobody were attacked."""
    limit = thresholds(found.doubt["clean/margin"][0].numpy(), 0.1)
    assert passed_on(found, "margin", "adaptive", len(found.eps) - 1, limit).turned_on.any()


def test_a_proved_radius_is_that_of_the_answer_whatever_the_diagnosis():
    who = made_up.cohort(radii=[0.4], threat=tiny.CLINICAL)
    population = made_up.models(who)
    prover = Prover(population, who, 200)
    called = (close_to_the_line(population).exact(who.x).lead > 0).long()
    valid = who.plan.held_out_index()[1]
    radius = prover.radius(who.x, called, valid)
    assert (radius[valid] > 0).all()  # of its own answer nobody is wrong
    assert (prover.radius(who.x, 1 - called, valid) == 0).all()
    nearer = who.climbed(population)[0]
    lead = close_to_the_line(population).exact(nearer).lead
    turned = ((lead > 0) != (called > 0)) & valid & (who.y == called)
    assert turned.any()
    own = prover.radius(nearer, (lead > 0).long(), valid)
    assert (own[valid] > 0).all()  # of what is presented, not of what is recorded
    assert (radius[turned] <= 0.4 + 1e-6).all()


def test_it_is_kept_bit_for_bit(found, tmp_path):
    found.save(tmp_path / "a.safetensors")
    again = Referrals.load(tmp_path / "a.safetensors")
    assert again.rules == found.rules
    assert all(torch.equal(again.doubt[name], one) for name, one in found.doubt.items())
