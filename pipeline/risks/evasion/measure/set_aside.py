"""What models say of the records that choose their cut, where a data set came with such a part.

Under an official split these may be other records than those that are reported, as such: easier, or
with more ill ones among them. Then a cut does not transfer fully.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.config import Config
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.models.answers import log_odds
from pipeline.models.population import Population

SET_ASIDE = "set_aside.safetensors"


@dataclass(frozen=True)
class SetAside:
    """What is said of those who choose and of those who are reported: S models, N records.

    Attributes:
        log_odds: (S, N) float64, of class 1; NaN = neither.
        tune: (S, N) bool, on whom each model's cut is chosen.
        test: (S, N) bool, whom it is reported on.
        train: (S, N) bool, whom it trained on: of them nothing is said.
        cut: (S,) float64, log-odds from which on each model calls ill.
        y: (N,) int64, class indices.
    """

    log_odds: Tensor
    tune: Tensor
    test: Tensor
    train: Tensor
    cut: Tensor
    y: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "SetAside":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro` to make it"
        return read_artifact(path, cls, what="answers to records that choose a cut", advice=advice)


def answer_those_set_aside(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config
) -> SetAside | None:
    """What the models that are reported say; None where no split sets records aside to choose on.

    Without attack. What a plan of folds sets aside is drawn from the same records as all others.
    """
    if cfg.plan.kind != "official" or plan.tune is None:
        return None
    scored = plan.scored()
    population, plan = population.select(scored), plan.select(scored)
    assert plan.tune is not None
    asked = plan.tune | plan.held_out
    index, valid = rectangle(asked)
    said = torch.full(asked.shape, torch.nan, dtype=torch.float64)
    for model in range(plan.size):  # one after another, as images are large
        own = index[model][valid[model]]
        one = population.select(torch.tensor([model]))
        for some in own.split(cfg.audit.block or len(own)):
            said[model, some] = log_odds(one, dataset.x[some][None])[0]
    return SetAside(said, plan.tune, plan.held_out, plan.train, population.cut, dataset.y)
