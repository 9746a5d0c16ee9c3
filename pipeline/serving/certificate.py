"""What is answered of an admitted record, and what is proved of the answer; or why it is referred.

Claim: of two admitted records within r of each other that a model decides differently, neither is
answered. It needs a threat in which whoever can forge x into x' can forge x' into x.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.models.population import Population
from pipeline.statistics import Array

Reason = Literal["", "near", "undecided", "no proof"]
TOLERANCE = 1e-4  # of a radius: float32 records lie a little off the distance that they stand for


@dataclass(frozen=True)
class Answers:
    """What a model says of B records.

    Attributes:
        log_odds: (B,) float64 of class 1, whatever the operating point.
        probability: (B,) float64 of class 1.
        decision: (B,) int64, the class at the model's operating point.
        reason: of each record why it is referred: `near`, an admissible change within r turns the
            answer; `undecided`, it was not found out in the budget, or rounding could decide; `no
            proof`, nothing can be proved of this kind of model (`Certifier.why`). Empty = proved.
        record: (B, D) or (B, C, H, W) float32, where the reason is `near` a record that turns the
            answer, else the record itself. It never leaves the guard.
        boxes: (B,) int64, what the proof took.
    """

    log_odds: Array
    probability: Array
    decision: NDArray[np.int64]
    reason: tuple[Reason, ...]
    record: Array
    boxes: NDArray[np.int64]

    @property
    def certified(self) -> NDArray[np.bool_]:
        """(B,) bool: of whom no admissible change within r turns the answer."""
        return np.array([not why for why in self.reason], dtype=np.bool_)


@dataclass(frozen=True)
class Certifier:
    """A model that answers what it can prove.

    Attributes:
        why: why nothing can be proved of it; empty = it can.
        r: radius of the certificate, in units of scale.
    """

    why: str
    r: float

    @classmethod
    def of(
        cls, population: Population, schema: Schema, threat: Threat, *, r: float, boxes: int = 500
    ) -> "Certifier":
        """A certifier of the one model of a population.

        Args:
            population: M = 1, of two classes.
            schema: of its records.
            threat: whose changes a certificate rules out.
            r: radius up to which it does, in units of scale, at least 0.
            boxes: of branch and bound for one record, before it is referred as `undecided`.

        Raises:
            BadInput: the threat is not symmetric, so that the claim would not hold; or the
                population is of several models or classes.
        """
        raise NotImplementedError

    def answers(
        self, values: Array, *, certify: bool = True, seconds: float | None = None
    ) -> Answers:
        """Scores, decisions and certificates.

        Args:
            values: (B, D) or (B, C, H, W), of `pipeline.serving.admission.admitted`, all good.
            certify: False = no proof is tried; every reason is `no proof`.
            seconds: of wall time for all B together, after which the others are `undecided`; None =
                boxes alone count, and the same records get the same answers again.
        """
        raise NotImplementedError
