"""Attacks on a vote: honest images, who knows more breaks more, and who presents what."""

from functools import partial

import numpy as np
import pytest
import torch

import tiny
from kinds import LEVELS, SCANS, official_split, scans
from models.ensembles import untrained
from pipeline.attacks.evasion.gradient import apgd, fgsm
from pipeline.config import AuditConfig
from pipeline.data.threat import Threat
from pipeline.models.answers import margin
from pipeline.models.ensemble import climbed, inconsistency, voters, votes, with_detector
from pipeline.models.self_ensemble import SmoothVotes
from pipeline.risks.evasion.measure.ensemble import (
    ATTACKERS,
    Ensemble,
    Seen,
    adaptive_images,
    attack_vote,
    forged,
    judged,
    least_noticed,
    most_votes_turned,
    trunk_of,
)
from pipeline.risks.evasion.measure.subject import Trial

LIMITS = tiny.threat_config(mutable_only=True, plausible_range=True, recorded_grid=True)
THREAT = Threat.of(SCANS, LIMITS)
RADII = [0.0, 1 / LEVELS, 3 / LEVELS]  # none, one grey level, three
TRIAL = Trial("pixels", THREAT, RADII)
APGD = partial(apgd, steps=10)
SETTINGS = {
    "fgsm": {"method": "fgsm"},
    "apgd_ce": {"method": "apgd", "steps": 10, "loss": "cross_entropy"},
    "apgd_margin": {"method": "apgd", "steps": 10},
}


def setting(models, count=60):
    """Images, and as their classes what the vote says of them: at radius 0 all are right."""
    x = scans(count, seed=7).x.expand(models.size, -1, -1, -1, -1)
    return x, votes(models, x)


def all_images(models, x, y):
    grey = [
        forged(trunk_of(models), x, y, TRIAL, attack, 0, number)
        for number, attack in enumerate((fgsm, partial(APGD, loss="cross_entropy")))
    ]
    return grey, adaptive_images(models, x, y, TRIAL, APGD, 0)


@pytest.mark.slow
def test_images_are_whole_grey_levels_within_the_radius_and_at_none_the_image_itself():
    models = untrained()
    x, y = setting(models)
    grey, adaptive = all_images(models, x, y)
    for images in (*grey, *adaptive):
        assert torch.equal(images, images.round())
        assert torch.equal(images[0], x)
        assert (images[1] - x).abs().amax() == 1
        assert (images[2] - x).abs().amax() == 3
        assert THREAT.violations(images, x, torch.tensor(RADII).view(-1, 1, 1, 1, 1, 1)) == 0


def test_what_an_attack_proposes_outside_the_threat_is_brought_back():
    def careless(logits_fn, x, y, threat, *, eps, generator):
        return x + 5.3 * torch.ones_like(eps * x)

    models = untrained()
    x, y = setting(models)
    images = forged(models, x, y, TRIAL, careless, 0, 0)
    assert THREAT.violations(images, x, torch.tensor(RADII).view(-1, 1, 1, 1, 1, 1)) == 0
    assert torch.equal(images[2], (x + 3).clamp(max=LEVELS))


@pytest.mark.slow
def test_each_step_of_who_knows_all_climbs_its_own_and_the_last_goes_further():
    models = untrained(seed=3)
    x, y = setting(models)
    (_, apgd_of_one), (by_sum, by_count, last) = all_images(models, x, y)
    sums = [margin(models(images[2]), y).mean() for images in (apgd_of_one, by_sum)]
    assert sums[1] < sums[0] - 0.1
    softened = [
        margin(climbed(models, SmoothVotes)(images[2]), y).mean() for images in (by_sum, by_count)
    ]
    assert softened[1] < softened[0] - 0.01
    stand = [judged(models, images, y).ahead > 0 for images in (by_sum, by_count, last)]
    both = stand[0] & stand[1]
    assert (both & stand[2]).sum() < both.sum() < stand[0].sum()
    assert torch.equal(last[~both], by_count[~both])  # who has fallen is not asked about again


@pytest.mark.slow
def test_who_knows_all_voters_breaks_more_than_who_knows_one():
    """Classifiers here have learned nothing, so what is made for the transformer misses them."""
    models = untrained(seed=3)
    x, y = setting(models)
    grey, adaptive = ([judged(models, one, y) for one in some] for some in all_images(models, x, y))
    broken = [
        [float((most_votes_turned(some).ahead[place] <= 0).double().mean()) for place in range(3)]
        for some in (grey, adaptive)
    ]
    assert broken[0][0] == broken[1][0] == 0
    assert broken[1][1] > broken[0][1] + 0.05
    assert broken[1][2] > broken[0][2] + 0.1


@pytest.mark.slow
def test_a_vote_that_ignores_the_image_is_turned_by_nobody():
    models = untrained()
    for name, value in models.parameters.items():
        if ".linear1." in name:
            value.zero_()
            if name.endswith("bias"):
                value[:, 1] = 1.0  # both classifiers say ill, whatever they see
    x, y = setting(models)
    assert (y == 1).all()
    for images in (some for each in all_images(models, x, y) for some in each):
        assert (judged(models, images, y).ahead > 0).all()


def test_the_judge_counts_votes_and_disagreement_as_they_are():
    models = untrained()
    x, y = setting(models)
    seen = judged(models, torch.stack([x, x.flip(-1)]), 1 - y)
    said = voters(models.double(), x.flip(-1).double())
    right = (said.argmax(-1) == 1 - y).sum(0)
    assert torch.equal(seen.ahead[1], (right - (3 - right)).double())
    torch.testing.assert_close(seen.disagree[1], inconsistency(said))
    assert (seen.ahead[0] < 0).all()


def made_up(seed, radii=3, members=2, images=50):
    drawn = torch.Generator().manual_seed(seed)
    ahead = torch.randint(0, 2, (radii, members, images), generator=drawn) * 4 - 1
    return Seen(ahead.double(), torch.rand(radii, members, images, generator=drawn).double() * 3)


def test_of_images_that_turn_the_vote_the_least_noticed_is_presented_and_smaller_radii_count():
    some, limit = [made_up(seed) for seed in range(3)], torch.tensor([1.0, 2.0]).double()
    found, bare = least_noticed(some, limit), most_votes_turned(some)
    for place, member, image in np.ndindex(3, 2, 50):
        each = [
            (float(one.ahead[at, member, image]), float(one.disagree[at, member, image]))
            for at in range(place + 1)
            for one in some
        ]
        turned = [noticed for ahead, noticed in each if ahead <= 0]
        assert float(bare.ahead[place, member, image]) == min(ahead for ahead, _ in each)
        assert (float(found.ahead[place, member, image]) <= 0) == bool(turned)
        if turned:
            assert float(found.disagree[place, member, image]) == min(turned)


@pytest.fixture
def cfg(smoke_values):
    from pipeline import params

    whole = params.parse(smoke_values, "conf")
    audit = AuditConfig(
        **{**whole.audit.model_dump(), "eps": RADII, "headline": "pixels", "headline_eps": RADII[1]}
    )
    return whole.model_copy(
        update={"audit": audit, "attack": SETTINGS, "threat": {"pixels": LIMITS}}
    )


def test_what_each_attacker_presents_is_kept_by_patient_and_reads_back(cfg, tmp_path):
    dataset = scans(100, seed=1)
    plan = official_split(dataset, train=60, seeds=2)
    models = with_detector(untrained(3), dataset, plan, 0.05)
    found = attack_vote(models, dataset, plan, cfg)
    found.save(tmp_path / "x")
    again = Ensemble.load(tmp_path / "x")
    assert tuple(again.ahead) == tuple(again.disagree) == ATTACKERS
    assert torch.equal(again.y, dataset.y[60:])
    assert again.ahead["none"].shape == (1, 2, 40)
    said = voters(models.double(), dataset.x[60:].double().expand(3, -1, -1, -1, -1))[:, :2]
    right = (said.argmax(-1) == dataset.y[60:]).sum(0)
    assert torch.equal(again.ahead["none"][0], (2 * right - 3).float())
    for attacker in ATTACKERS[1:]:
        assert again.ahead[attacker].shape == (3, 2, 40)
        assert torch.equal(again.ahead[attacker][0], again.ahead["none"][0])
        broken = (again.ahead[attacker] <= 0).double().mean((1, 2))
        assert (broken.diff() >= 0).all()
    wrong = {who: again.ahead[who] <= 0 for who in ATTACKERS[1:]}
    for who in ("grey", "sum", "count"):
        assert not (wrong[who] & ~wrong["adaptive"]).any()
    assert torch.equal(again.limit[:, 0], models.parameters["detector.threshold"][:2].float())


def test_of_models_that_do_not_vote_or_without_the_attacks_nothing_is_measured(cfg):
    dataset = scans(100, seed=1)
    plan = official_split(dataset, train=60, seeds=2)
    assert attack_vote(trunk_of(untrained(3)), dataset, plan, cfg) is None
    fewer = cfg.model_copy(update={"attack": {"fgsm": SETTINGS["fgsm"]}})
    assert attack_vote(untrained(3), dataset, plan, fewer) is None
