"""TabularBench's constrained attacks, CAPGD and MOEVA, on one of our networks under our threat.

They are run from the package as published (0.1.0), beside what it asks for: pymoo 0.5.0, which
alone has the interface that MOEVA calls. Both are older than NumPy 2, so `as_published` gives them
the names that NumPy took away, and takes them back.

What is stated differently:

- The ball is theirs where every range is as many scales wide as every other: they know one radius,
  in parts of the range.
- Their values are whole numbers or real ones, so the grid is one of whole numbers.
- What is derived has no radius with us. It is either stated as a relation, or computed inside the
  network. They round no formula: a stated one lies within half of its last digit of what its
  formula says, in a range ten times as wide, so that their radius never binds. Their gradient does
  not pass through it; CAPGD sets it after each step, MOEVA has to hit it.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.schema import Schema
from pipeline.data.threat import Threat

PEERS = ("torchattacks", "autograd", "pymoo", "tabularbench")
STEPS, RESTARTS = 10, 2  # of CAPGD, as its authors run it inside CAA
MARGIN = 0.001  # of the radius, which CAPGD stays away from the border; no grid has a point there
LOOSE = 10  # how many times as wide the range of a derived value is
HALF = 1e-4  # what float32 adds to half of the last digit of a derived value
MISSED = {
    "float_": np.float64,
    "float": float,
    "int": int,
    "object": object,
    "row_stack": np.vstack,
}


@contextlib.contextmanager
def as_published() -> Iterator[None]:
    """What the package takes for granted: names of NumPy 1, and that it may set whatever it likes.

    Its checks would start processes, which know nothing of these names; they run in threads.
    """
    lent = [name for name in MISSED if name not in vars(np)]
    threads = torch.get_num_threads()
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        warnings.catch_warnings(),
        np.printoptions(),
        joblib.parallel_config(backend="threading"),
    ):
        warnings.simplefilter("ignore")
        for name in lent:
            setattr(np, name, MISSED[name])
        try:
            yield
        finally:
            for name in lent:
                delattr(np, name)
            torch.set_num_threads(threads)


class Victim:
    """A network as TabularBench asks for one."""

    def __init__(self, network: nn.Module) -> None:
        self.wrapper_model = network

    def predict_proba(self, x: Any) -> np.ndarray:
        with torch.no_grad():
            made: np.ndarray = self.wrapper_model(torch.as_tensor(x).float()).softmax(-1).numpy()
        return made


@dataclass(frozen=True)
class Peer:
    """A network and a threat in TabularBench's words.

    Attributes:
        victim: the network.
        constraints: kinds, ranges, mutability and relations.
        scaler: the unit of its radius.
        unit: what our eps = 1 is in that unit.
    """

    victim: Victim
    constraints: Any
    scaler: Any
    unit: float

    @classmethod
    def of(
        cls,
        network: nn.Module,
        schema: Schema,
        threat: Threat,
        relations: Callable[[], list[Any]],
        *,
        stated: bool,
    ) -> "Peer":
        """Ours in its words.

        Args:
            network: logits (B, C) of records (B, D) in clinical units.
            schema: of the records; all numbers.
            threat: linf, on whole numbers; what is derived may have decimals.
            relations: makes them in its words, once it can be imported.
            stated: what is derived is a value of its own, of which a relation speaks; else the
                network computes it, and nobody moves the value of the record.

        Raises:
            ValueError: the threat cannot be said in its words.
        """
        assert threat.relations is not None
        following = threat.relations.following
        free = threat.mutable
        width = (threat.upper - threat.lower) / threat.scale
        if threat.norm != "linf" or len(width[free].unique()) != 1:
            raise ValueError("one radius for all: every range must be as many scales wide")
        if (threat.step[~following] != 1).any():
            raise ValueError("values are whole numbers or real ones")
        with as_published():
            from tabularbench.constraints.constraints import Constraints
            from tabularbench.models.tab_scaler import ScalerData, TabScaler

            around = (LOOSE - 1) / 2 * (threat.upper - threat.lower) * following
            scaler = TabScaler(num_scaler="min_max", one_hot_encode=False)
            scaler.fit_scaler_data(
                ScalerData(
                    x_min=(threat.lower - around).float(),
                    x_max=(threat.upper + around).float(),
                    num_idx=list(range(len(free))),
                )
            )
            kinds = np.where(following.numpy(), "real", "int").astype(object)
            constraints = Constraints(
                kinds,
                (free | following if stated else free).numpy(),
                threat.lower.numpy(),
                threat.upper.numpy(),
                relations(),
                np.array(schema.names, dtype=object),
            )
        return cls(Victim(network), constraints, scaler, float(1 / width[free][0]))

    def capgd(self, x: Tensor, y: Tensor, eps: float, steps: int = STEPS) -> Tensor:
        """One proposal for each record (B, D), whether or not it succeeds: (B, 1, D)."""
        with as_published():
            from tabularbench.attacks.capgd.capgd import CAPGD

            attack = CAPGD(
                self.constraints,
                self.scaler,
                self.victim.wrapper_model,
                self.victim.predict_proba,
                norm="Linf",
                eps=eps * self.unit,
                steps=steps,
                n_restarts=RESTARTS,
                best_restart=False,
                eps_margin=MARGIN,
                seed=0,
            )
            made: Tensor = attack(x, y).detach()[:, None]
        return made

    def moeva(self, x: Tensor, y: Tensor) -> Tensor:
        """The last generation for each record (B, D), of every radius at once: (B, P, D)."""
        with as_published():
            from tabularbench.attacks.moeva.moeva import Moeva2

            attack = Moeva2(
                self.victim.predict_proba,
                self.constraints,
                norm="Linf",
                fun_distance_preprocess=self.scaler.transform,
                n_jobs=1,
                seed=0,
            )
            made: Tensor = attack(x, y)
        return made

    def claims(self, x: Tensor, y: Tensor, made: Tensor, eps: float) -> Tensor:
        """(B, P) bool: which proposals its own check counts as successes at a radius."""
        with as_published():
            from tabularbench.attacks.objective_calculator import ObjectiveCalculator

            judge = ObjectiveCalculator(
                self.victim.predict_proba,
                self.constraints,
                {"distance": eps * self.unit},
                "Linf",
                self.scaler.transform,
            )
            judged = judge.get_objectives_respected(x.numpy(), y.numpy(), made.numpy())
        return torch.from_numpy(judged.mdc.astype(bool))
