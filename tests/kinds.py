"""Two kinds of population that are no stack of linear layers: convolutions, and a black box."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy

from pipeline.config import FeatureConfig
from pipeline.data.plan import RELEASE, Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.files import read_json, read_tensors, write_json, write_tensors
from pipeline.models.networks import Networks
from pipeline.models.stacked import DESCRIPTION, WEIGHTS

LEVELS, SIDE, FILTERS = 16, 8, 4
NO_CUT = torch.zeros(1, dtype=torch.float64)
PIXEL = FeatureConfig(
    unit="grey level",
    kind="integer",
    lower=0.0,
    upper=float(LEVELS),
    step=1.0,
    missing=[],
    mutable=True,
    private=False,
    center=LEVELS / 2,
    scale=float(LEVELS),
    source="made up",
    error=None,
    error_source=None,
)
SCANS = Schema(("pixel",), (PIXEL,), "diagnosis", ("healthy", "ill"), (1, SIDE, SIDE))


def scans(n: int, *, seed: int) -> Dataset:
    """Images of whole grey levels; of the ill a bright spot stands in one corner."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.randint(0, LEVELS // 2, (n, 1, SIDE, SIDE), generator=generator).float()
    x[y == 1, :, :3, :3] += LEVELS // 3
    return Dataset(x.clamp(0, LEVELS), y, SCANS)


def official_split(dataset: Dataset, *, train: int, seeds: int) -> Plan:
    """The first records train, the others test, once per seed; and a release model."""
    test = (torch.arange(len(dataset.y)) >= train).expand(seeds, -1)
    labels = tuple(f"seed{seed}" for seed in range(seeds))
    return Plan(~test, test, torch.arange(seeds), torch.arange(seeds), labels).with_release()


@dataclass(frozen=True)
class Convolutions:
    """M small convolutional networks, stacked; a `Population` that autograd differentiates."""

    parameters: dict[str, Tensor]
    labels: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    gradients = True

    @property
    def cut(self) -> Tensor:
        return self.parameters["cut"]

    def decide_at(self, cut: Tensor) -> "Convolutions":
        return replace(self, parameters={**self.parameters, "cut": cut.double()})

    @property
    def size(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        return hashlib.sha256(to_bytes(self.parameters)).hexdigest()

    def __call__(self, x: Tensor) -> Tensor:
        filters, bias, weight = (self.parameters[name] for name in ("filters", "bias", "weight"))
        answers = []
        for member, events in enumerate(x.unbind(-5)):
            flat = events.flatten(0, -4) / LEVELS - 0.5
            seen = conv2d(flat, filters[member], bias[member], stride=2).relu().flatten(1)
            answers.append((seen @ weight[member]).view(*events.shape[:-3], 2))
        logits = torch.stack(answers, -3)
        line = torch.stack([torch.zeros_like(self.cut), self.cut], -1)[:, None]
        return logits - line.to(logits.dtype)

    def select(self, members: Tensor) -> "Convolutions":
        rows = torch.arange(self.size)[members]
        parameters = {name: value[rows] for name, value in self.parameters.items()}
        return replace(self, parameters=parameters, labels=tuple(self.labels[r] for r in rows))

    def double(self) -> "Convolutions":
        doubled = {name: value.double() for name, value in self.parameters.items()}
        return replace(self, parameters=doubled)

    def release(self) -> "Convolutions":
        return self.select(torch.tensor([self.labels.index(RELEASE)]))

    def save(self, folder: Path) -> None:
        write_tensors(folder / WEIGHTS, self.parameters)
        described = {"kind": "convolutions", "labels": list(self.labels), "facts": self.facts}
        write_json(folder / DESCRIPTION, described)

    @classmethod
    def load(cls, folder: Path) -> "Convolutions":
        described = read_json(folder / DESCRIPTION)
        tensors, _ = read_tensors(folder / WEIGHTS, "train again")
        return cls(tensors, tuple(described["labels"]), described["facts"])


def convolutions(dataset: Dataset, plan: Plan, cfg: Any) -> Convolutions:
    """A recipe: a few steps of Adam for each member, on its own training images."""
    trained = []
    for train, seed in zip(plan.train, plan.seeds.tolist(), strict=True):
        generator = torch.Generator().manual_seed(seed)
        shapes = {"filters": (1, FILTERS, 1, 3, 3), "bias": (1, FILTERS), "weight": (1, 36, 2)}
        own = {
            name: (0.3 * torch.randn(shape, generator=generator)).requires_grad_()
            for name, shape in shapes.items()
        }
        optimiser = torch.optim.Adam(own.values(), lr=0.02)
        for _ in range(8 * cfg.train.epochs):
            logits = Convolutions({**own, "cut": NO_CUT}, ("one",))(dataset.x[train][None])[0]
            optimiser.zero_grad()
            cross_entropy(logits, dataset.y[train]).backward()
            optimiser.step()
        trained.append({name: value.detach() for name, value in own.items()})
    stacked = {name: torch.cat([one[name] for one in trained]) for name in trained[0]}
    stacked["cut"] = NO_CUT.expand(plan.size).clone()
    return Convolutions(stacked, plan.labels)


@dataclass(frozen=True)
class ScoresOnly:
    """Models of somebody else, behind an interface: a `Population` that gives only scores."""

    inside: Networks
    gradients = False

    @property
    def labels(self) -> tuple[str, ...]:
        return self.inside.labels

    @property
    def facts(self) -> dict[str, Any]:
        return self.inside.facts

    @property
    def size(self) -> int:
        return self.inside.size

    @property
    def digest(self) -> str:
        return self.inside.digest

    @property
    def cut(self) -> Tensor:
        return self.inside.cut

    def decide_at(self, cut: Tensor) -> "ScoresOnly":
        return ScoresOnly(self.inside.decide_at(cut))

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return self.inside(x.detach()).detach()

    def select(self, members: Tensor) -> "ScoresOnly":
        return ScoresOnly(self.inside.select(members))

    def double(self) -> "ScoresOnly":
        return ScoresOnly(self.inside.double())

    def release(self) -> "ScoresOnly":
        return ScoresOnly(self.inside.release())

    def save(self, folder: Path) -> None:
        self.inside.save(folder)
        described = read_json(folder / DESCRIPTION)
        write_json(folder / DESCRIPTION, {**described, "kind": "scores_only"})

    @classmethod
    def load(cls, folder: Path) -> "ScoresOnly":
        return cls(Networks.load(folder))


def scores_only(dataset: Dataset, plan: Plan, cfg: Any) -> ScoresOnly:
    """A recipe: ordinary training, of which nobody outside sees more than scores."""
    from pipeline.defenses.undefended import fit_as_configured

    return ScoresOnly(fit_as_configured(dataset, plan, cfg, "black box"))
