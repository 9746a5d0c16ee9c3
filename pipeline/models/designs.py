"""Architectures by name, and what the training loop asks of one, whichever kind it is."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from pipeline.config import ModelConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.files import BadInput, NotApplicable
from pipeline.models import image_networks, mlp
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import ImageArchitecture, ImageNetworks, range_constants
from pipeline.models.mlp import Architecture, Parameters
from pipeline.models.networks import (
    Networks,
    fitted_preprocessing,
    public_preprocessing,
    standardise,
)
from pipeline.models.vit import transformer

AnyArchitecture = Architecture | ImageArchitecture
Trained = Networks | ImageNetworks

# Networks of records, and networks of images.
OF_RECORDS = mlp.MODELS
OF_IMAGES: dict[str, Callable[[tuple[int, ...], int, ModelConfig], ImageArchitecture]] = {
    "cnn": lambda image, classes, of: convolutional(image, classes, of.channels, of.hidden),
    "vit": lambda image, classes, of: transformer(
        image, classes, of.patch, of.width, of.heads, of.blocks
    ),
}
MODELS: tuple[str, ...] = (*OF_RECORDS, *OF_IMAGES)


def architecture_of(schema: Schema, model: ModelConfig) -> AnyArchitecture:
    """The configured network, of the size that the data set asks for.

    Raises:
        BadInput: the layers do not fit the model, or it is made for another kind of data.
    """
    classes = len(schema.classes)
    if schema.image:
        if model.name not in OF_IMAGES:
            raise BadInput(
                f"model.name: {model.name!r} is a network of records, and the data are images; "
                f"take one of {', '.join(OF_IMAGES)}"
            )
        return OF_IMAGES[model.name](schema.image, classes, model)
    if model.name not in OF_RECORDS:
        raise BadInput(
            f"model.name: {model.name!r} is a network of images, and the data are records; "
            f"take one of {', '.join(OF_RECORDS)}"
        )
    return OF_RECORDS[model.name](schema.inputs, classes, list(model.hidden))


def of_records(architecture: AnyArchitecture) -> Architecture:
    """The architecture, for what knows only stacks of linear layers.

    Raises:
        NotApplicable: it is one of images.
    """
    if not isinstance(architecture, Architecture):
        raise NotApplicable("not for images: it knows stacks of linear layers alone")
    return architecture


def initialised(architecture: AnyArchitecture, seeds: Tensor) -> Parameters:
    """Weights of each member, drawn from its own seed (M,)."""
    if isinstance(architecture, Architecture):
        return mlp.initialise(architecture, seeds)
    return image_networks.initialise(architecture, seeds)


def own_constants(architecture: AnyArchitecture, dataset: Dataset, plan: Plan) -> dict[str, Tensor]:
    """Constants of each member's first layers: of its own training records; of images public."""
    if isinstance(architecture, Architecture):
        return fitted_preprocessing(dataset.x, plan.train, dataset.schema.hot)
    return range_constants(dataset.schema, plan.size)


def public_constants(
    architecture: AnyArchitecture, schema: Schema, members: int
) -> dict[str, Tensor]:
    """Constants that are public: nothing is learned from a record."""
    if isinstance(architecture, Architecture):
        return public_preprocessing(schema, members)
    return range_constants(schema, members)


def answers_of(
    architecture: AnyArchitecture, x: Tensor, constants: dict[str, Tensor], parameters: Parameters
) -> Tensor:
    """Logits (M, B, K) of events (M, B, *event), differentiable in both events and weights."""
    if isinstance(architecture, Architecture):
        return mlp.logits(standardise(x, constants), parameters)
    return image_networks.answers(architecture, x, constants, parameters)


def population_of(architecture: AnyArchitecture, *parts: Any) -> Trained:
    """Networks of this architecture: constants, weights, labels, and what else they are made of."""
    if isinstance(architecture, Architecture):
        return Networks(architecture, *parts)
    return ImageNetworks(architecture, *parts)
