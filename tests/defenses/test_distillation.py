"""Distillation hides gradients; it does not defend."""

import pytest
import torch

import tiny
from pipeline.attacks.evasion.gradient import pgd
from pipeline.defenses.trained import train
from pipeline.models.answers import margin
from pipeline.models.training import Batch, fit

pytestmark = pytest.mark.heavy


def with_temperature(cfg, temperature, epochs=40):
    return cfg.model_copy(
        update={
            "distill": {"temperature": temperature, "epochs": epochs},
            "train": cfg.train.model_copy(update={"batch_size": 32, "learning_rate": 5e-3}),
        }
    )


def logit_size(models, data):
    return margin(models(data.x.expand(models.size, -1, -1)), data.y).abs().median()


def test_the_students_logits_grow_with_the_temperature(cfg, dataset):
    plan = tiny.plan(dataset, seeds=1)
    sizes = [
        logit_size(train("distill", dataset, plan, with_temperature(cfg, t)), dataset)
        for t in (1.0, 5.0, 20.0)
    ]
    assert sizes[1] > 2 * sizes[0]
    assert sizes[2] > 2 * sizes[1]


def test_the_answers_stay_those_of_the_baseline(cfg, dataset):
    plan, cfg = tiny.plan(dataset, seeds=1), with_temperature(cfg, 20.0)
    student, plain = train("distill", dataset, plan, cfg), train("baseline", dataset, plan, cfg)
    everyone = dataset.x.expand(plan.size, -1, -1)
    assert (student(everyone).argmax(-1) == plain(everyone).argmax(-1)).float().mean() > 0.85


def test_cross_entropy_claims_more_than_the_margin_leaves(cfg):
    data = tiny.records(240, seed=1)
    plan = tiny.plan(data, seeds=1)
    student = train("distill", data, plan, with_temperature(cfg, 200.0))
    index, _ = plan.held_out_index()
    x, y = data.x[index], data.y[index]
    claimed, left = (
        (
            margin(
                student(
                    pgd(
                        student,
                        x,
                        y,
                        tiny.UNCONSTRAINED,
                        eps=0.5,
                        steps=10,
                        step_size=0.25,
                        loss=loss,
                        generator=torch.Generator(),
                    )
                ),
                y,
            )
            > 0
        )
        .float()
        .mean()
        for loss in ("cross_entropy", "margin")
    )
    assert claimed > left + 0.1


def test_a_student_learns_from_its_own_teachers_rows_alone(cfg, dataset):
    """The soft labels of patients whom a teacher did not train on never reach its student."""
    plan = tiny.plan(dataset, seeds=1)
    before = train("distill", dataset, plan, with_temperature(cfg, 5.0, epochs=2))
    patient = int(plan.held_out[1].nonzero()[0])
    x = dataset.x.clone()
    x[patient] = 77.0
    after = train(
        "distill",
        type(dataset)(x, dataset.y, dataset.schema),
        plan,
        with_temperature(cfg, 5.0, epochs=2),
    )
    for name in before.parameters:
        assert torch.equal(before.parameters[name][1], after.parameters[name][1])


def test_the_students_loss_is_lowest_at_the_teachers_answer(cfg, dataset, monkeypatch):
    """The loss that the recipe hands to the loop has gradient zero at its own teacher's logits."""
    from pipeline.defenses import undefended

    losses, temperature = [], 5.0
    original = undefended.mean_gradient
    monkeypatch.setattr(
        undefended,
        "mean_gradient",
        lambda shape, loss: losses.append(loss) or original(shape, loss),
    )
    teachers = []
    monkeypatch.setattr(
        undefended,
        "fit",
        lambda *args, **options: teachers.append(fit(*args, **options)) or teachers[-1],
    )
    plan = tiny.plan(dataset, seeds=1)
    train("distill", dataset, plan, with_temperature(cfg, temperature, epochs=2))
    index = torch.arange(len(dataset.y)).expand(plan.size, -1)
    batch = Batch(dataset.x[index], dataset.y[index], index, torch.ones(index.shape))
    out = teachers[0](batch.x).requires_grad_()
    match = losses[1](out, batch)
    assert match.shape == index.shape
    assert torch.autograd.grad(match.sum(), out)[0].abs().max() < 1e-5
    shifted = out.detach() + torch.tensor([1.0, -1.0])
    assert (losses[1](shifted, batch) > match).all()
