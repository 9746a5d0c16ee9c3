"""Half models are asked about everybody, and attacked on those whom they did not see."""

from dataclasses import replace

import pytest
import torch

from pipeline.data.plan import Plan
from pipeline.files import NotApplicable
from pipeline.models.answers import margin
from pipeline.risks.evasion.measure import half_models
from pipeline.risks.evasion.measure.half_models import (
    HalfModels,
    answers_at_headline,
    answers_of_halves,
)
from tiny import CLINICAL, records, untrained

RADII = [0.1, 0.3]


@pytest.fixture(scope="module")
def asked():
    data = records(40, seed=0)
    plan = Plan.random_halves(40, models=5, seed=1).with_second_seeds(2)
    models = untrained(plan, data)
    generator = torch.Generator().manual_seed(0)
    return (
        data,
        plan,
        models,
        answers_of_halves(models, data, plan, CLINICAL, RADII, generator=generator),
    )


def test_unchanged_records_are_answered_as_the_models_answer_them(asked):
    data, plan, models, found = asked
    for row in range(plan.size):
        one = models.select(torch.tensor([row]))
        torch.testing.assert_close(
            found.margins[0, row], margin(one(data.x[None]), data.y)[0], rtol=0, atol=1e-5
        )


def test_only_who_was_not_seen_is_attacked_and_never_helped(asked):
    _, plan, _, found = asked
    assert found.margins.shape == (3, 7, 40)
    assert torch.equal(found.margins[1:].isnan(), plan.train.expand(2, -1, -1))
    outside = plan.held_out
    for weaker, stronger in zip(found.margins, found.margins[1:], strict=False):
        assert (stronger[outside] <= weaker[outside]).all()
    assert (found.margins[2][outside] < found.margins[0][outside]).float().mean() > 0.5


@pytest.mark.parametrize("columns", [1, 6, 17])
def test_blocks_of_records_do_not_matter(asked, monkeypatch, columns):
    data, plan, models, whole = asked
    widths = []

    def watched(population, x, *rest, **options):
        widths.append(x.shape[1])
        return pgd(population, x, *rest, **options)

    pgd = half_models.pgd
    monkeypatch.setattr(half_models, "pgd", watched)
    monkeypatch.setattr(half_models, "AT_ONCE", columns * plan.size)
    generator = torch.Generator().manual_seed(0)
    parts = answers_of_halves(models, data, plan, CLINICAL, RADII, generator=generator)
    assert max(widths) == columns
    torch.testing.assert_close(parts.margins, whole.margins, rtol=0, atol=1e-5, equal_nan=True)


def test_no_radius_asks_for_no_attack(asked):
    data, plan, models, found = asked
    generator = torch.Generator().manual_seed(0)
    clean = answers_of_halves(models, data, plan, CLINICAL, [], generator=generator)
    assert torch.equal(clean.margins, found.margins[:1])


def test_what_was_asked_is_read_as_it_was_written(asked, tmp_path):
    found = asked[-1]
    found.save(tmp_path / "halves.safetensors")
    again = HalfModels.load(tmp_path / "halves.safetensors")
    for name in ("eps", "train", "margins"):
        assert torch.equal(getattr(again, name).nan_to_num(), getattr(found, name).nan_to_num())


def test_whom_the_goal_spares_keeps_the_margin_of_the_unchanged_record(asked):
    data, plan, models, _ = asked
    misses, generator = replace(CLINICAL, goal="miss"), torch.Generator().manual_seed(0)
    found = answers_of_halves(models, data, plan, misses, [0.3], generator=generator).margins
    clean, attacked = (one[:, data.y == 0] for one in found)
    outside = plan.held_out[:, data.y == 0]
    assert torch.equal(clean[outside], attacked[outside])
    ill = plan.held_out & (data.y == 1)
    assert (found[1][ill] < found[0][ill]).any()


def test_the_headline_radius_is_attacked_where_it_can_be(asked, cfg):
    data, plan, models, _ = asked
    found = answers_at_headline(models, data, plan, cfg)
    assert found.eps.tolist() == pytest.approx([0.0, 0.1])  # of 0, 0.1 and 0.5, nearest to 0.3
    again = answers_at_headline(models, data, plan, cfg)
    assert torch.equal(found.margins.nan_to_num(), again.margins.nan_to_num())
    for change in ({"headline": "sparse"}, {"headline_eps": 0.0}):
        audit = cfg.audit.model_copy(update=change)
        clean = answers_at_headline(models, data, plan, cfg.model_copy(update={"audit": audit}))
        assert clean.eps.tolist() == [0.0]


def test_models_that_give_scores_alone_are_not_attacked(asked):
    data, plan, models, _ = asked

    class ScoresAlone:
        gradients = False

        def __call__(self, x):
            return models(x)

    alone, generator = ScoresAlone(), torch.Generator()
    with pytest.raises(NotApplicable, match="scores alone"):
        answers_of_halves(alone, data, plan, CLINICAL, RADII, generator=generator)
    found = answers_of_halves(alone, data, plan, replace(CLINICAL), [], generator=generator)
    assert found.margins.shape == (1, 7, 40)
