"""What populations of networks of one architecture have in common: members, digest, files."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from pipeline.data.plan import RELEASE
from pipeline.files import BadInput, read_json, read_tensors, sha256, write_json, write_tensors
from pipeline.models.mlp import Parameters

WEIGHTS, DESCRIPTION = "population.safetensors", "population.json"


@dataclass(frozen=True)
class Stacked:
    """M networks that share an architecture, their tensors with a leading member axis.

    Attributes:
        architecture: the common shape.
        preprocessing: constants of each member's first layers, by name.
        parameters: weights by name.
        labels: a readable name of each member.
        facts: what the recipe says of itself, JSON-able (for example a privacy guarantee).
        cut: (M,) float64, the log-odds from which on each member calls a patient ill. It is already
            taken off the logit of class 1, so that class 1 leads exactly where a patient is called
            ill; log-odds are the lead plus the cut.
    """

    kind: ClassVar[dict[str, str]] = {}  # what its description says of it beside its architecture
    architecture: Any
    preprocessing: dict[str, Tensor]
    parameters: Parameters
    labels: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    cut: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))  # all zero

    def __post_init__(self) -> None:
        """Without a cut they decide at log-odds of 0."""
        if not len(self.cut):
            zero = torch.zeros(self.size, dtype=torch.float64, device=self.device)
            object.__setattr__(self, "cut", zero)

    @property
    def gradients(self) -> bool:
        """They can be differentiated."""
        return True

    @property
    def device(self) -> torch.device:
        """Where its tensors lie."""
        return next(iter(self.parameters.values())).device

    @property
    def size(self) -> int:
        """The number of members M."""
        return len(self.labels)

    def select(self, members: Tensor) -> Self:
        """The given members (indices or a mask) as a population of their own."""
        rows = torch.arange(self.size)[members]
        return replace(
            self,
            preprocessing={name: value[rows] for name, value in self.preprocessing.items()},
            parameters={name: value[rows] for name, value in self.parameters.items()},
            labels=tuple(self.labels[row] for row in rows.tolist()),
            cut=self.cut[rows],
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The members of several populations, one after another.

        Args:
            parts: at least one, all of one architecture and of the same facts: those of the first
                are kept.
        """

        def together(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {name: torch.cat([one[name] for one in tensors]) for name in tensors[0]}

        return replace(
            parts[0],
            preprocessing=together([part.preprocessing for part in parts]),
            parameters=together([part.parameters for part in parts]),
            labels=tuple(label for part in parts for label in part.labels),
            cut=torch.cat([part.cut for part in parts]),
        )

    def double(self) -> Self:
        """The same numbers in float64, for answers whose rounding does not matter."""
        constants, weights = (
            {name: value.double() for name, value in part.items()}
            for part in (self.preprocessing, self.parameters)
        )
        return replace(self, preprocessing=constants, parameters=weights)

    def to(self, device: str) -> Self:
        """The same members on a device."""
        if self.device.type == device:
            return self
        constants, weights = (
            {name: value.to(device) for name, value in part.items()}
            for part in (self.preprocessing, self.parameters)
        )
        return replace(self, preprocessing=constants, parameters=weights, cut=self.cut.to(device))

    def release(self) -> Self:
        """The model that is deployed: trained on everyone, or the first under an official split."""
        place = self.labels.index(RELEASE) if RELEASE in self.labels else 0
        return self.select(torch.tensor([place]))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the weights file that `save` writes, and that its description carries."""
        from safetensors.torch import save

        return hashlib.sha256(save(self._tensors())).hexdigest()

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"preprocessing.{name}": value for name, value in self.preprocessing.items()}
        tensors |= {f"parameters.{name}": value for name, value in self.parameters.items()}
        tensors["decision.cut"] = self.cut
        return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}

    def save(self, folder: Path) -> None:
        """Writes the weights (safetensors) and a JSON description that carries their digest."""
        write_tensors(folder / WEIGHTS, self._tensors())
        description = {
            **self.kind,
            "architecture": asdict(self.architecture),
            "labels": list(self.labels),
            "facts": self.facts,
            "sha256": sha256(folder / WEIGHTS),
        }
        write_json(folder / DESCRIPTION, description)

    @classmethod
    def read(cls, folder: Path, shaped: Callable[[dict[str, Any]], Any]) -> Self:
        """Reads what `save` wrote, bit for bit; nothing is unpickled.

        Args:
            folder: where it lies.
            shaped: the architecture of what its description says.

        Raises:
            BadInput: a file is missing, truncated, or not the one that its description was written
                for.
        """
        described, weights = read_json(folder / DESCRIPTION), folder / WEIGHTS
        try:
            shape, digest = described["architecture"], described["sha256"]
            architecture = shaped(shape)
            labels, facts = tuple(described["labels"]), described["facts"]
        except (KeyError, TypeError) as error:
            raise BadInput(
                f"{folder / DESCRIPTION}: does not describe a population ({error}); train again"
            ) from error
        tensors, _ = read_tensors(weights, advice="train again")
        if sha256(weights) != digest:
            raise BadInput(
                f"{weights}: damaged or exchanged: its sha256 is not that of {DESCRIPTION}; "
                f"train again"
            )
        preprocessing, parameters = (
            {
                name.removeprefix(part): tensor
                for name, tensor in tensors.items()
                if name.startswith(part)
            }
            for part in ("preprocessing.", "parameters.")
        )
        return cls(architecture, preprocessing, parameters, labels, facts, tensors["decision.cut"])
