"""No defense: ordinary training of the configured network."""

from collections.abc import Callable

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.designs import AnyArchitecture, Trained, architecture_of
from pipeline.models.training import (
    Batch,
    Gradient,
    Loss,
    Perturb,
    fit,
    mean_gradient,
    rates,
    shifted,
    shuffled,
    supervised,
)
from pipeline.seeds import Stream, generator


def architecture_for(dataset: Dataset, cfg: Config) -> AnyArchitecture:
    """The configured network, of the size that the data set asks for.

    Raises:
        BadInput: the layers do not fit the model, or it is made for another kind of data.
    """
    return architecture_of(dataset.schema, cfg.model)


def fit_as_configured(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    name: str,
    loss: Loss = supervised,
    perturb: Perturb | None = None,
    gradient: Gradient | None = None,
) -> Trained:
    """One ordinary training run with the `train:` section's numbers.

    Defenses differ by a loss, a perturbation, or a gradient of their own instead of the loss. A
    loss does the same at each step; a gradient may go by a schedule.
    """
    architecture = architecture_for(dataset, cfg)
    return fit(
        dataset,
        plan,
        architecture,
        draw=shuffled(cfg.train),
        gradient=gradient or mean_gradient(architecture, loss),
        learning_rate=rates(plan.train, cfg.train),
        weight_decay=cfg.train.weight_decay,
        perturb=perturb,
        augment=moved_as_configured(plan, cfg),
        steady=gradient is None,
        name=name,
    )


def moved_as_configured(plan: Plan, cfg: Config) -> Callable[[Batch], Batch] | None:
    """What moves the images of each batch by as much as `train` says; None: nothing does."""
    moves = generator(Stream.SHIFTS, int(plan.seeds[0]))
    return shifted(cfg.train.shift, moves) if cfg.train.shift else None
