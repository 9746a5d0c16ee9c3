"""A model is a population: M models of one kind as one object, whatever kind that is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from torch import Tensor

from pipeline.files import BadInput, NotApplicable, read_json
from pipeline.models.designs import Trained
from pipeline.models.foreign import KIND as OF_SOMEBODY
from pipeline.models.foreign import Foreign
from pipeline.models.image_networks import KIND as OF_IMAGES
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.networks import Networks
from pipeline.models.stacked import DESCRIPTION
from pipeline.models.trees import KIND as OF_TREES
from pipeline.models.trees import Trees

__all__ = [
    "KINDS",
    "Foreign",
    "ImageNetworks",
    "Networks",
    "Population",
    "Trees",
    "deployed",
    "joined",
    "load_population",
    "networks_of",
    "trained_of",
]


class Population(Protocol):
    """M models of one kind; M = 1 is a single model.

    What a kind offers beside its scores is said by data and found by whoever needs it: `gradients`
    here, a proof by `pipeline.verify.provable`, training on other records by its recipe.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """A readable name of each member."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the recipe says of itself, JSON-able (for example a privacy guarantee)."""

    @property
    def size(self) -> int:
        """The number of members M."""

    @property
    def gradients(self) -> bool:
        """Whether it can be differentiated in its records; otherwise it gives scores alone."""

    @property
    def cut(self) -> Tensor:
        """(M,) float64: log-odds from which on a member calls ill, of two classes.

        They are taken off the logit of class 1: it leads exactly where a patient is called ill.
        """

    @property
    def digest(self) -> str:
        """The sha256 of what decides its answers."""

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., M, B, C) of events (..., M, B, *event) in clinical units, NaN = missing."""

    def decide_at(self, cut: Tensor) -> Self:
        """The same models of two classes, calling ill from other log-odds (M,) on."""

    def select(self, members: Tensor) -> Self:
        """The given members (indices or a mask) as a population of their own."""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The members of several populations that one recipe trained, one after another."""

    def double(self) -> Self:
        """The same numbers in float64, for answers whose rounding does not matter."""

    def release(self) -> Self:
        """The model that is deployed: the one trained on everyone."""

    def save(self, folder: Path) -> None:
        """Writes it without pickle: `population.json`, whose `kind` is a key of `KINDS`."""


Kind = TypeVar("Kind", bound=Population)

# Who reads which `kind` of population; a description without one is of networks.
KINDS: dict[str, Callable[[Path], Population]] = {
    "networks": Networks.load,
    OF_IMAGES: ImageNetworks.load,
    OF_TREES: Trees.load,
    OF_SOMEBODY: Foreign.load,
}


def networks_of(population: Population) -> Networks:
    """The population as networks, for what looks inside them.

    Raises:
        NotApplicable: it is of another kind.
    """
    if not isinstance(population, Networks):
        raise NotApplicable("the model cannot be looked into: it is no stack of linear layers")
    return population


def trained_of(population: Population) -> Trained:
    """The population as networks of records or of images, for what joins or differentiates them.

    Raises:
        NotApplicable: it is of another kind.
    """
    if not isinstance(population, Networks | ImageNetworks):
        raise NotApplicable("the model was not trained here: it gives scores alone")
    return population


def deployed(population: Population) -> Population:
    """The one model that can be served: the release; of somebody else's what was read of it.

    What was read is held against the model itself when it is read, and needs no code but ours.
    """
    release = population.release()
    if isinstance(release, Foreign) and isinstance(release.read, Networks | Trees):
        return release.read
    return release


def joined(parts: Sequence[Kind]) -> Kind:
    """The members of several populations of one kind and architecture, one after another."""
    return type(parts[0]).join(parts)


def load_population(folder: Path) -> Population:
    """Reads what `save` of any kind of population wrote.

    Raises:
        BadInput: a file is missing or damaged, or of a kind that is not known here.
    """
    described = read_json(folder / DESCRIPTION)
    kind = described.get("kind", "networks") if isinstance(described, dict) else "networks"
    if kind not in KINDS:
        raise BadInput(
            f"{folder / DESCRIPTION}: kind: {kind!r} is not known; known: {', '.join(KINDS)}"
        )
    return KINDS[kind](folder)
