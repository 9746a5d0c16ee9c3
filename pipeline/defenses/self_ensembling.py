"""SEDA: a vision transformer, classifiers on its early blocks, and a vote; rebuilt small.

What its published code does otherwise, and what that is worth, is said in
`pipeline.risks.evasion.chapters.ensemble`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, nll_loss

from pipeline.attacks.evasion.gradient import fgsm, pgd
from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.adversarial import starts_of
from pipeline.defenses.undefended import architecture_for, fit_as_configured, moved_as_configured
from pipeline.files import BadInput, FailedCheck
from pipeline.models.designs import Trained, initialised
from pipeline.models.ensemble import trunk_of, with_detector
from pipeline.models.image_networks import ImageNetworks, range_constants
from pipeline.models.mlp import Parameters
from pipeline.models.self_ensemble import SET, SelfEnsemble
from pipeline.models.training import (
    Batch,
    Gradient,
    Preprocessing,
    fit,
    rates,
    shuffled,
    steps_in_pass,
)
from pipeline.models.vit import VisionTransformer

FALSE_ALARMS = 0.05  # share of the images set aside that the detector may report
RISING = 0.5  # share of the steps of end-to-end training in which the radius rises
Widths = Annotated[list[Count], Field(min_length=1)]
Adversarial = Literal["none", "heads", "whole"]


def seda(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    read: Count,
    channels: Widths,
    hidden: list[Count],
    epochs: Count,
    adversarial: Adversarial,
    eps: Positive,
    threat: str,
    steps: Count,
    step_size: Positive,
    whole_epochs: Count,
) -> ImageNetworks:
    """Self-ensembling transformer with adversarial training (Imam et al. 2023, arXiv:2308.07874).

    The transformer is trained first, as `train` says, and is frozen; then the classifiers, which
    see what it computes. What is deployed answers with the mean log-probability of all voters; it
    votes, too, and a detector reports images on which its voters disagree.

    Args:
        dataset: the images.
        plan: who trains. Adversarial images are made of a model's own training images alone.
        cfg: model, training numbers and threat models.
        read: blocks that get a classifier, from the first on; an even number.
        channels: of each classifier's convolutions, 3 x 3.
        hidden: widths of its linear layers before the last one.
        epochs: of the classifiers.
        adversarial: `none`; `heads`, as published: the classifiers also learn from images that FGSM
            makes for the transformer alone; `whole`: afterwards all weights learn from images that
            PGD makes for all voters together, which is not part of the method.
        eps: radius of these images, in units of `scale`.
        threat: name of the threat model.
        steps: of PGD; only of `whole`.
        step_size: of PGD, as a fraction of eps; only of `whole`.
        whole_epochs: of training all weights; only of `whole`.

    Raises:
        BadInput: the model is no vision transformer.
    """
    attacker = Threat.of(dataset.schema, cfg.threat[threat])
    forging = (attacker, eps) if adversarial != "none" else None
    population = on_frozen(dataset, plan, cfg, read, channels, hidden, epochs, forging)
    if adversarial == "whole":
        raised = _rising(plan, attacker, eps, steps, step_size, _with_epochs(cfg, whole_epochs))
        population = _fitted(
            dataset, plan, _with_epochs(cfg, whole_epochs), population, all_voters, raised
        )
    population = with_detector(population, dataset, plan, FALSE_ALARMS)
    population.facts["seda"] = {
        "answer": f"the mean log-probability of {1 + read} voters; their vote stands beside it",
        "adversarial": adversarial,
        "detector": {
            "false_alarms": FALSE_ALARMS,
            "chosen_on": "training images" if plan.tune is None else "the plan's tune table",
        },
    }
    return population


def on_frozen(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    read: int,
    channels: list[int],
    hidden: list[int],
    epochs: int,
    forging: tuple[Threat, float] | None = None,
) -> ImageNetworks:
    """Self-ensembles: the configured transformers, then, on each of them, frozen, classifiers.

    Args as in `seda`; with `forging`, a threat model and a radius, the classifiers also learn from
    images that FGSM makes for the transformer alone. Nothing is reported by a detector yet.

    Raises:
        BadInput: the model is no vision transformer, or a vote could be a tie.
    """
    trunk = architecture_for(dataset, cfg)
    if not isinstance(trunk, VisionTransformer):
        raise BadInput(f"seda: reads a vision transformer's blocks, not a {trunk.name}: model=vit")
    architecture = SelfEnsemble.on(trunk, read, channels, hidden)
    transformers = fit_as_configured(dataset, plan, cfg, "transformer").parameters
    start = {**initialised(architecture, plan.seeds), **transformers}
    blank = _untrained(architecture, plan, dataset, start)
    of_heads = _with_epochs(cfg, epochs)
    each = [
        _heads_of(dataset, plan.select(row), of_heads, blank.select(row), forging)
        for row in torch.arange(plan.size)[:, None]
    ]
    return replace(
        blank,
        parameters={name: torch.cat([one.parameters[name] for one in each]) for name in start},
    )


def _with_epochs(cfg: Config, epochs: int) -> Config:
    return cfg.model_copy(update={"train": cfg.train.model_copy(update={"epochs": epochs})})


def _untrained(
    architecture: SelfEnsemble, plan: Plan, dataset: Dataset, parameters: Parameters
) -> ImageNetworks:
    constants = range_constants(dataset.schema, plan.size)
    return ImageNetworks(architecture, constants, parameters, plan.labels)


def _heads_of(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    model: ImageNetworks,
    forging: tuple[Threat, float] | None,
) -> ImageNetworks:
    """One model with trained classifiers; with `forging`, also on images forged for its trunk."""
    if forging is not None:
        rows = plan.train[0].nonzero()[:, 0]
        dataset, plan = with_forged(dataset, plan, rows, forged(model, dataset, rows, *forging))
    return _fitted(dataset, plan, cfg, model, classifiers_alone)


def _fitted(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    start: ImageNetworks,
    gradient: Callable[[SelfEnsemble], Gradient],
    perturb: Callable[[Trained, Batch], Tensor] | None = None,
) -> ImageNetworks:
    """Models trained on, from where they stand."""
    assert isinstance(start.architecture, SelfEnsemble)
    trained = fit(
        dataset,
        plan,
        start.architecture,
        draw=shuffled(cfg.train),
        gradient=gradient(start.architecture),
        learning_rate=rates(plan.train, cfg.train),
        weight_decay=cfg.train.weight_decay,
        preprocessing=start.preprocessing,
        perturb=perturb,
        augment=moved_as_configured(plan, cfg),
        start=start.parameters,
        steady=True,
        name="classifiers" if perturb is None else "end to end",
    )
    assert isinstance(trained, ImageNetworks)
    return trained


# ---- gradients ----


def classifiers_alone(architecture: SelfEnsemble) -> Gradient:
    """The gradient of each classifier's own cross-entropy; the transformer gets none."""

    def gradient(
        parameters: Parameters, preprocessing: Preprocessing, batch: Batch
    ) -> dict[str, Tensor]:
        names = [name for name in parameters if name.startswith("voter")]
        total = torch.zeros(())
        for number, z in enumerate(_standardised(batch, preprocessing)):
            member = {name: value[number] for name, value in parameters.items()}
            with torch.no_grad():
                tokens = architecture.trunk.tokens(z, member, architecture.read)
            for voter in range(architecture.read):
                out = architecture.read_out(tokens[voter], voter, member)
                each = cross_entropy(out, batch.y[number], reduction="none")
                total = total + _mean(each, batch.weight[number])
        grads = torch.autograd.grad(total, [parameters[name] for name in names])
        return dict(zip(names, grads, strict=True))

    return gradient


def all_voters(architecture: SelfEnsemble) -> Gradient:
    """The gradient of the mean cross-entropy of all voters, in every weight that is learned."""

    def gradient(
        parameters: Parameters, preprocessing: Preprocessing, batch: Batch
    ) -> dict[str, Tensor]:
        names = [name for name in parameters if name not in SET]
        total = torch.zeros(())
        for number, z in enumerate(_standardised(batch, preprocessing)):
            said = architecture.said(z, {name: value[number] for name, value in parameters.items()})
            each = nll_loss(
                said.flatten(0, 1), batch.y[number].repeat(len(said)), reduction="none"
            ).view(len(said), -1)
            total = total + _mean(each.mean(0), batch.weight[number])
        grads = torch.autograd.grad(total, [parameters[name] for name in names])
        return dict(zip(names, grads, strict=True))

    return gradient


def _standardised(batch: Batch, preprocessing: Preprocessing) -> Tensor:
    center, scale = (preprocessing[name].view(-1, 1, 1, 1, 1) for name in ("center", "scale"))
    return (batch.x - center) / scale


def _mean(each: Tensor, weight: Tensor) -> Tensor:
    return (each * weight).sum() / weight.sum()


# ---- adversarial images ----


def forged(
    model: ImageNetworks, dataset: Dataset, rows: Tensor, threat: Threat, eps: float
) -> Tensor:
    """Images of these rows (R, *image), as FGSM forges them for the model's transformer alone."""
    x, y = dataset.x[rows][None], dataset.y[rows][None]
    trunk = trunk_of(model)
    parts = [
        fgsm(trunk, images, labels, threat, eps=eps)
        for images, labels in zip(x.split(512, 1), y.split(512, 1), strict=True)
    ]
    return torch.cat(parts, 1)[0]


def with_forged(dataset: Dataset, plan: Plan, rows: Tensor, x_adv: Tensor) -> tuple[Dataset, Plan]:
    """Data set and plan of one model, with forged images (R, *image) of these rows to learn from.

    Raises:
        FailedCheck: a row is of an image that the model does not train on. Images are compared by
            their digests, so that a plan that names the wrong rows is found out, too.
    """
    allowed = set(digests(dataset.x[plan.train[0]]))
    if strange := sum(one not in allowed for one in digests(dataset.x[rows])):
        raise FailedCheck(
            f"seda: {strange} adversarial images come from images that the model does not train "
            "on; what it is tested on must not be among them"
        )
    more = Dataset(
        torch.cat([dataset.x, x_adv]), torch.cat([dataset.y, dataset.y[rows]]), dataset.schema
    )

    def longer(table: Tensor, value: bool) -> Tensor:
        return torch.cat([table, torch.full((1, len(rows)), value)], 1)

    tune = None if plan.tune is None else longer(plan.tune, False)
    train, held_out = longer(plan.train, True), longer(plan.held_out, False)
    return more, replace(plan, train=train, held_out=held_out, tune=tune)


def digests(x: Tensor) -> list[str]:
    """The sha256 of each image's grey levels."""
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in x.contiguous()]


def _rising(
    plan: Plan, threat: Threat, eps: float, steps: int, step_size: float, cfg: Config
) -> Callable[[Trained, Batch], Tensor]:
    """A `perturb` for `fit`: PGD through all voters, within a radius that rises to eps at first.

    From the full radius on, a network may never leave the answer of the larger class.
    """
    starts = starts_of(plan)
    rising = max(1, round(RISING * cfg.train.epochs * steps_in_pass(plan.train, cfg.train)))
    taken = 0

    def perturb(population: Trained, batch: Batch) -> Tensor:
        nonlocal taken
        taken += 1
        radius = eps * min(1.0, taken / rising)
        options: dict[str, Any] = {"steps": steps, "step_size": step_size, "loss": "cross_entropy"}
        return pgd(population, batch.x, batch.y, threat, eps=radius, generator=starts, **options)

    return perturb
