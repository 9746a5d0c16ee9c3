"""The problem that all contenders solve: same records, members, norm ball and first weights."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.files import repository_root
from pipeline.models.mlp import Parameters, as_module
from pipeline.models.networks import fitted_preprocessing
from pipeline.models.population import Population
from pipeline.params import load

THREADS = 2


@dataclass(frozen=True)
class Problem:
    """Pima, and what may be done to it.

    Attributes:
        cfg: the committed configuration.
        recorded: the records as they were written down, NaN = missing.
        complete: the same with medians in place of missing values, because no peer takes a missing
            value.
        plan: 5 folds x 5 seeds; no release model, which nobody could be scored on.
        threat: anything between the least and the largest recorded value; eps = 1 is the whole
            range. In units of this range the records fill the unit box, which is the one threat
            model that every peer knows.
    """

    cfg: Config
    recorded: Dataset
    complete: Dataset
    plan: Plan
    threat: Threat

    def unit(self, x: Tensor) -> Tensor:
        """Clinical records as points of the unit box."""
        return ((x - self.threat.lower) / self.threat.scale).float()


def load_problem(root: Path | None = None) -> Problem:
    """Reads `params.yaml` and the records that it names."""
    root = root or repository_root()
    cfg = load(root / "params.yaml")
    recorded, _ = read_raw(cfg.data, root)
    complete = replace(
        recorded, x=torch.where(recorded.x.isnan(), recorded.x.nanmedian(0).values, recorded.x)
    )
    plan = Plan.cross_validation(recorded.y, folds=5, seeds=5, seed=cfg.seed, release=False)
    return Problem(cfg, recorded, complete, plan, unit_box(complete.x))


def unit_box(x: Tensor) -> Threat:
    """The threat model under which every value may move between the extremes of its column."""
    lower, upper = x.amin(0).double(), x.amax(0).double()
    return Threat(
        mutable=torch.ones(len(lower), dtype=torch.bool),
        lower=lower,
        upper=upper,
        step=torch.zeros_like(lower),
        scale=upper - lower,
    )


class Affine(nn.Module):
    """The unit box to standardised records in one multiplication and one addition."""

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("gain", gain.float())
        self.register_buffer("offset", offset.float())

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.offset, x, self.gain)


def gain_and_offset(preprocessing: dict[str, Tensor], threat: Threat) -> tuple[Tensor, Tensor]:
    """What takes a point of the unit box to a member's standardised record; both (M, D)."""
    scale = preprocessing["scale"].double()
    return threat.scale / scale, (threat.lower - preprocessing["center"].double()) / scale


def trainable_network(problem: Problem, parameters: Parameters, member: int) -> nn.Sequential:
    """A member with the given weights as an ordinary network on the unit box.

    It standardises as ours does.
    """
    preprocessing = fitted_preprocessing(
        problem.complete.x, problem.plan.train[member : member + 1]
    )
    gain, offset = gain_and_offset(preprocessing, problem.threat)
    chosen = {name: value[member : member + 1] for name, value in parameters.items()}
    return nn.Sequential(Affine(gain[0], offset[0]), *as_module(chosen, preprocessing, 0)[1:])


def attackable_network(population: Population, member: int, threat: Threat) -> nn.Sequential:
    """A trained member as an ordinary network on the unit box.

    Its preprocessing is folded into the first layer, so that a peer pays for three linear layers
    and nothing else.
    """
    gain, offset = gain_and_offset(population.preprocessing, threat)
    first, bias = population.parameters["weight0"].double(), population.parameters["bias0"].double()
    folded = population.parameters | {
        "weight0": (gain[..., None] * first).float(),
        "bias0": (bias + offset[:, None] @ first).float(),
    }
    return as_module(folded, population.preprocessing, member)[1:].eval().requires_grad_(False)
