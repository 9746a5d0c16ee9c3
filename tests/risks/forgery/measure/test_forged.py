"""Which scans are forged and looked for, by a detector that never saw them."""

import hashlib
from dataclasses import replace

import pytest
import torch

import handwritten
import scans
from kinds import Convolutions, official_split
from kinds import scans as made_up
from pipeline.data.plan import Plan
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.risks.forgery.measure import forged
from pipeline.risks.forgery.measure.answers import Answers, answers_to
from pipeline.risks.forgery.measure.forged import ForgedScans, forge_scans, learn, levels_of
from pipeline.risks.forgery.measure.settings import ForgerySettings

UNKNOWN = {"state": "not checked"}


@pytest.fixture(scope="module")
def cfg():
    cfg = handwritten.configured("forgery.steps=2", "forgery.batch=6")
    return cfg.model_copy(update={"data": scans.described()})


@pytest.fixture(scope="module")
def split():
    data = scans.dataset(120, seed=0, split=True)
    return data, Plan.official(data.split, seeds=2, seed=0)


@pytest.fixture(scope="module")
def found(cfg, split):
    return forge_scans(*split, cfg, UNKNOWN)


def prints(x):
    return {hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in x}


def test_scans_that_are_tested_teach_no_detector(cfg, split, monkeypatch):
    """By digests of all that every step learns from, before it is forged and as donors."""
    data, plan = split
    seen = []
    real = forged.train_detector

    def watched(draw, *args, **options):
        def noted(drawn):
            genuine, fake = draw(drawn)
            seen.append((genuine, fake))
            return genuine, fake

        return real(noted, *args, **options)

    monkeypatch.setattr(forged, "train_detector", watched)
    seen.clear()
    forge_scans(data, plan, cfg, UNKNOWN)
    tested = prints(data.x[plan.held_out[0]])
    learned = prints(data.x[plan.train[0]])
    genuine = prints(torch.cat([one for one, _ in seen]))
    assert genuine <= learned
    assert not genuine & tested
    # what was pasted: every 3 x 3 pixels of a forged scan are those of some training scan
    other = data.x.clone()
    other[plan.held_out[0]] = 0
    blank = replace(data, x=other)
    wanted = cfg.section(ForgerySettings)
    one, same = (learn(each, plan.train[0], wanted, 5) for each in (data, blank))
    assert all(torch.equal(one.parameters[name], same.parameters[name]) for name in one.parameters)


def test_everybody_who_is_held_out_is_forged_once_in_the_order_of_the_data(found, split):
    data, plan = split
    assert torch.equal(found.rows, plan.held_out[0].nonzero()[:, 0])
    assert found.score.shape == (6, 3, len(found.rows))
    assert found.forgeries[0] == "none"
    assert torch.isfinite(found.score).all()
    assert plan.held_out[0, found.donor].all()  # taken from scans of the same side
    assert (data.y[found.donor] != data.y[found.rows]).all()


def test_folds_have_a_detector_each(cfg):
    data = scans.dataset(60, seed=1)
    plan = Plan.cross_validation(data.y, folds=3, seeds=2, seed=0)
    found = forge_scans(data, plan, cfg, UNKNOWN)
    assert torch.equal(found.rows, torch.arange(60))
    for row in range(3):
        held = plan.held_out[row]
        assert held[found.donor[held]].all()


def test_the_same_configuration_gives_the_same_scans_and_scores(found, cfg, split, tmp_path):
    again = forge_scans(*split, cfg, UNKNOWN)
    for name in ("rows", "corner", "source", "donor", "score"):
        assert torch.equal(getattr(found, name), getattr(again, name)), name
    found.save(tmp_path)
    read = ForgedScans.load(tmp_path)
    assert torch.equal(read.score, found.score)
    assert (read.forgeries, read.learned, read.provenance) == (
        found.forgeries,
        found.learned,
        UNKNOWN,
    )


def test_what_is_not_forged_is_the_scan_and_what_is_can_be_made_again(found, split):
    data, _ = split
    places = torch.arange(len(found.rows))
    assert torch.equal(found.scans("none", data, places), data.x[found.rows])
    for name in found.forgeries[1:]:
        whole = found.scans(name, data, places)
        assert torch.equal(whole[[3, 1]], found.scans(name, data, torch.tensor([3, 1])))
        assert (whole != data.x[found.rows]).flatten(1).any(1).float().mean() > 0.9


def test_the_levels_are_those_of_the_schema(split):
    assert levels_of(split[0].schema) == (0.0, 255.0)


# ---- answers ----


def test_answers_to_what_is_not_forged_are_the_usual_ones(cfg, tmp_path, monkeypatch):
    data = made_up(48, seed=3)
    plan = official_split(data, train=30, seeds=2)
    drawn = torch.Generator().manual_seed(0)
    shapes = {"filters": (3, 4, 1, 3, 3), "bias": (3, 4), "weight": (3, 36, 2)}
    weights = {name: torch.randn(shape, generator=drawn) for name, shape in shapes.items()}
    models = Convolutions({**weights, "cut": torch.zeros(3).double()}, plan.labels)
    found = forge_scans(data, plan, cfg, UNKNOWN)
    answers = answers_to(found, models, data, plan)
    assert answers.margin.shape == (6, 2, 18)
    torch.testing.assert_close(answers.margin[:1], margins_out_of_fold(models, data, plan)[0])
    monkeypatch.setattr("pipeline.risks.forgery.measure.answers.block_of", lambda x: 5)
    torch.testing.assert_close(answers_to(found, models, data, plan).margin, answers.margin)
    answers.save(tmp_path / "one.safetensors")
    assert torch.equal(Answers.load(tmp_path / "one.safetensors").margin, answers.margin)
