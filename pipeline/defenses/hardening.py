"""Trees that learn from the records that turn their answers: those that a proof finds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.growing import GROWN, Grow, each, grown, trees_of
from pipeline.files import FOR_TREES_ALONE, BadInput
from pipeline.models.trees import Trees
from pipeline.statistics import Array
from pipeline.verify import verify
from pipeline.verify.cells import Ensemble


def hardened(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    eps: Positive,
    threat: str,
    rounds: Count,
    weight: Positive,
    boxes: Count,
) -> Trees:
    """The trees that `model` names, grown anew with the records that turned their answers.

    After Kantchelian et al. 2016, arXiv:1509.07892: in each round the nearest counterexample of
    each training record that is answered rightly is looked for, exactly, and added with the true
    class to those of the rounds before; then the whole ensemble is grown again.

    Args:
        dataset: the records, of two classes.
        plan: who trains; nobody else's records are moved.
        cfg: the trees, and the threat models.
        eps: how far off a counterexample may be, in units of the features' scale.
        threat: name of the threat model whose attacker is trained against.
        rounds: times that counterexamples are added.
        weight: how much each counts beside a record of a patient, which counts 1.
        boxes: of the search for one record; what is not found by then is not added.

    Raises:
        BadInput: `model` names no trees; or as they.
        FailedCheck: what was read answers otherwise than what was grown.
    """
    if cfg.model.name not in GROWN:
        raise BadInput(f"hardened: {FOR_TREES_ALONE}")
    attacker = Threat.of(dataset.schema, cfg.threat[threat])
    plain = GROWN[cfg.model.name](dataset.schema, **cfg.model.own)
    trained = each(
        "hardened", dataset, plan, GrowAgain(plain, attacker, eps, rounds, weight, boxes)
    )
    if attacker.relations is None:
        return trained
    # said, because it is no other recipe then than the trees themselves
    trained.facts.update(attacked=f"nobody: under {threat} values follow from others")
    return trained


@dataclass(frozen=True)
class GrowAgain:
    """A `Grow` of the numbers that `hardened` has, around a `plain` one."""

    plain: Grow
    attacker: Threat
    eps: float
    rounds: int
    weight: float
    boxes: int

    def __call__(self, x: Array, y: Array, seed: int) -> Any:
        """What was grown last."""
        library = self.plain(x, y, seed)
        every, truth = x, y
        for _ in range(self.rounds):
            forged, whose = counterexamples(library, x, y, self.attacker, self.eps, self.boxes)
            if not len(forged):
                break
            every, truth = np.concatenate([every, forged]), np.concatenate([truth, y[whose]])
            counts = np.where(np.arange(len(every)) < len(x), 1.0, self.weight)
            library = self.plain(every, truth, seed, counts)
        return library


def counterexamples(
    library: Any, x: Array, y: Array, threat: Threat, eps: float, boxes: int
) -> tuple[Array, Array]:
    """The nearest records that turn the answers of a fitted model which are right.

    Args:
        library: the model.
        x: (N, D) float32 records, NaN = missing.
        y: (N,) their classes.
        threat: what may be changed.
        eps: how far.
        boxes: of the search for one record.

    Returns:
        (K, D) float32, and (K,) of which record each is.
    """
    read = trees_of("grown", [grown(library)], ("one",), x.shape[1])
    records, classes = torch.from_numpy(x), torch.from_numpy(y)
    nearest = verify(Ensemble.of(read, 0), records, classes, threat, largest=eps, budget=boxes)
    turned = nearest.breaks_at.isfinite() & (nearest.breaks_at > 0)
    return nearest.record[turned].numpy(), torch.nonzero(turned)[:, 0].numpy()
