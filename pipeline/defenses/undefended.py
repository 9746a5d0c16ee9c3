"""No defense: what everything else is compared with."""

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.mlp import MODELS, Architecture
from pipeline.models.networks import Networks
from pipeline.models.training import Loss, Perturb, fit, mean_gradient, shuffled, supervised


def architecture_for(dataset: Dataset, cfg: Config) -> Architecture:
    """The configured network, of the size that the data set asks for.

    Raises:
        BadInput: the layers do not fit the model.
    """
    inputs, classes = dataset.schema.inputs, len(dataset.schema.classes)
    return MODELS[cfg.model.name](inputs, classes, list(cfg.model.hidden))


def fit_as_configured(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    name: str,
    loss: Loss = supervised,
    perturb: Perturb | None = None,
) -> Networks:
    """One ordinary training run with the `train:` section's numbers.

    Defenses differ by a loss or a perturbation.
    """
    return fit(
        dataset,
        plan,
        architecture_for(dataset, cfg),
        draw=shuffled(cfg.train),
        gradient=mean_gradient(loss),
        learning_rate=cfg.train.learning_rate,
        weight_decay=cfg.train.weight_decay,
        perturb=perturb,
        name=name,
    )


def baseline(dataset: Dataset, plan: Plan, cfg: Config) -> Networks:
    """Ordinary training with cross-entropy."""
    return fit_as_configured(dataset, plan, cfg, "baseline")
