"""The insider of `docs/story.py`: a copy of the release, its gradients and the same verifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from story_guard import Array

from pipeline.attacks.evasion.gradient import apgd
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.models.population import Population, load_population
from pipeline.serving.certificate import Certifier
from pipeline.serving.served import RELEASE, Served

HEALTHY = 0
STEPS, SEED = 50, 0


@dataclass(frozen=True)
class Insider:
    """Whoever holds a copy of the release, the threat model and the same verifier.

    Attributes:
        model: the release.
        certifier: what the guard asks of it.
        x: (N, D) records, or (N, C, H, W) scans, of the patients whom he may forge.
        ill: (N,) who of them is.
    """

    model: Population
    certifier: Certifier
    x: torch.Tensor
    ill: Array

    @classmethod
    def of(cls, folder: Path, dataset: Dataset, r: float) -> "Insider":
        """Of a guard's folder, copied."""
        population = load_population(folder / RELEASE)
        threat = Threat.of(dataset.schema, Served.load(folder).threat)
        found = Certifier.of(population, dataset.schema, threat, r=r)
        return cls(population, found, dataset.x, dataset.y.numpy() != HEALTHY)

    def forged(self, eps: Sequence[float]) -> Array:
        """(E, N, ...): of the ill what within each eps the model leads most to `healthy` with.

        The others stay as they are: nobody gains by them.
        """
        x = self.x[self.ill][None]
        found = apgd(
            self.model,
            x,
            torch.ones(x.shape[:2], dtype=torch.int64),
            self.certifier.threat,
            eps=torch.tensor(list(eps)).view(-1, *(1 for _ in x.shape)),
            steps=STEPS,
            restarts=2,
            generator=torch.Generator().manual_seed(SEED),
        )
        every = np.repeat(self.x.double().numpy()[None], len(eps), 0)
        every[:, self.ill] = found[:, 0].double().numpy()
        return every

    def called(self, x: Array) -> Array:
        """(N,) whether the model decides: ill."""
        return np.array(self.certifier.answers(x, certify=False).decision != HEALTHY)

    def turned(self, x: Array) -> Array:
        """(N,) who is ill, is found, and is not in these records."""
        return self.ill & self.called(self.x.numpy()) & ~self.called(x)

    def passing(self, x: Array) -> Array:
        """(N,) likewise, and answered: he asks the verifier at home."""
        turned = self.turned(x)
        passing = np.zeros(len(x), dtype=bool)
        passing[turned] = self.certifier.answers(x[turned]).certified
        return passing

    def nearest(self, ladder: Sequence[float]) -> tuple[Array, Array]:
        """(N, ...) of each the first forged record that turns, and (N,) of whom one does."""
        nearest, reached = self.x.double().numpy().copy(), np.zeros(len(self.ill), dtype=bool)
        for each in self.forged(ladder):
            new = self.turned(each) & ~reached
            nearest[new], reached = each[new], reached | new
        return nearest, reached

    def presented(self, x: Array, where: Array) -> Array:
        """(N, ...): forged where he forges, honest elsewhere."""
        mask = where.reshape(-1, *(1 for _ in self.x.shape[1:]))
        return np.where(mask, x, self.x.double().numpy())
