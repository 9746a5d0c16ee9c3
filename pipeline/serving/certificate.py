"""What is answered of an admitted record, and what is proved of the answer; or why it is referred.

Claim: of two admitted records within r of each other that a model decides differently, neither is
answered. It needs a threat in which whoever can forge x into x' can forge x' into x.
"""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.models.answers import log_odds
from pipeline.models.population import ImageNetworks, Networks, Population
from pipeline.statistics import Array
from pipeline.statistics.operating_point import logistic
from pipeline.verify import member_of, verify, why_no_proof
from pipeline.verify.cells import Ensemble
from pipeline.verify.convolution import Convolutions
from pipeline.verify.network import Network
from pipeline.verify.problem import FLOAT32_ROUNDING, TOLERANCE, Problem
from pipeline.verify.scans import least_margins
from pipeline.verify.trees import turned_within as turned_by_trees
from pipeline.verify.within import Verdict, turned_within

Reason = Literal["", "near", "undecided", "no proof"]
# of one record, by how the model is read: few honest ones take more, and so many cost some 80 ms
BOXES: dict[type, int] = {Network: 500, Ensemble: 150, Convolutions: 20}


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
        population: the one model, in float64.
        threat: whose changes a certificate rules out.
        r: radius of the certificate, in units of scale.
        reach: `r` and what rounding may add: nothing as near as that turns a certified answer.
        boxes: of branch and bound for one record.
        why: why nothing can be proved of the model; empty = it can.
        proof: the model as it is read for a proof; None where there is none.
    """

    population: Population
    threat: Threat
    r: float
    reach: float
    boxes: int
    why: str
    proof: Network | Ensemble | Convolutions | None

    @classmethod
    def of(
        cls,
        population: Population,
        schema: Schema,
        threat: Threat,
        *,
        r: float,
        boxes: int | None = None,
    ) -> "Certifier":
        """A certifier of the one model of a population.

        Args:
            population: M = 1, of two classes.
            schema: of its records.
            threat: whose changes a certificate rules out, of the same schema.
            r: radius up to which it does, in units of scale, at least 0.
            boxes: of branch and bound for one record, before it is referred as `undecided`;
                None = as many as keep it below some 80 ms, by the kind of model.

        Raises:
            BadInput: the threat is not symmetric, so that the claim would not hold; or there are
                several models or more classes.
        """
        if population.size != 1 or len(schema.classes) != 2:
            raise BadInput(
                f"the guard serves one model of two classes, not {population.size} of "
                f"{len(schema.classes)}"
            )
        if not (0 <= r < np.inf and (boxes is None or boxes >= 1)):
            raise BadInput(f"a certificate needs a finite radius and a box, not {r} and {boxes}")
        if why := one_sided(threat, schema):
            raise BadInput(f"the guard cannot hold its claim against this threat: {why}")
        why = why_no_proof(population)
        proof = None if why else _read(population)
        if isinstance(proof, Ensemble) and threat.relations is not None:
            why, proof = "relations between values are not known to the proof of trees", None
        reach = r + max(TOLERANCE, _spacing(threat, schema))
        most = boxes if boxes is not None else BOXES.get(type(proof), 1)
        return cls(population.double(), threat, r, reach, most, why, proof)

    def answers(
        self, values: Array, *, certify: bool = True, seconds: float | None = None
    ) -> Answers:
        """Scores, decisions and certificates; each as if its record came alone.

        Args:
            values: (B, D) or (B, C, H, W), of `pipeline.serving.admission.admitted`, all good.
            certify: False = no proof is tried, and every reason is `no proof`.
            seconds: of wall time for all together, after which the others are `undecided`; None =
                boxes alone count, and the same records get the same answers again.
        """
        x = torch.from_numpy(np.asarray(values, dtype=np.float32))
        odds, cut = self._log_odds(x), float(self.population.cut[0])
        decision = (odds > cut).astype(np.int64)
        if self.proof is None or not certify:
            reason: list[Reason] = ["no proof"] * len(x)
            return Answers(odds, logistic(odds), decision, tuple(reason), x.numpy(), _none(len(x)))
        until = np.inf if seconds is None else time.monotonic() + seconds
        found = self._verdict(x, torch.from_numpy(decision), until)
        reason = [
            "" if proved else "near" if turns else "undecided"
            for proved, turns in zip(found.proved, found.found, strict=True)
        ]
        return Answers(odds, logistic(odds), decision, tuple(reason), found.record, found.boxes)

    def proves(self, values: Array, decision: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(B,) bool: of whom no admissible change within r turns a decision (B,) that is known.

        What `answers` calls certified, where the decision is the model's.
        """
        x = torch.from_numpy(np.asarray(values, dtype=np.float32))
        if self.proof is None:
            return np.zeros(len(x), dtype=bool)
        return self._verdict(x, torch.from_numpy(decision), np.inf).proved.astype(bool)

    def _log_odds(self, x: Tensor) -> Array:
        """(B,) of class 1: networks are asked one by one, so that no bit hangs on the batch.

        Trees add up each record by itself; what somebody else's code makes of a batch is its own.
        """
        if isinstance(self.population, Networks | ImageNetworks):
            each = [log_odds(self.population, one[None, None])[0, 0] for one in x]
            return np.array(each, dtype=np.float64)
        if not len(x):
            return np.zeros(0)
        return log_odds(self.population, x[None])[0].numpy()

    @torch.no_grad()
    def _verdict(self, x: Tensor, y: Tensor, until: float) -> Verdict:
        """Whether any change within reach turns the answer `y` (B,) of records."""
        budget, reach, count = self.boxes, self.reach, len(x)
        if not count:
            return _known(x, np.zeros(0, bool))
        if isinstance(self.proof, Convolutions):
            return self._of_images(self.proof, x, y, until)
        assert self.proof is not None
        if self.threat.discrete:
            nearest = verify(self.proof, x, y, self.threat, largest=reach, budget=budget)
            turns = nearest.breaks_at.isfinite().numpy()
            proved = (nearest.robust_below > reach).numpy() & ~turns
            return Verdict(proved, turns, nearest.record.numpy(), nearest.boxes.numpy())
        if isinstance(self.proof, Ensemble):
            return turned_by_trees(self.proof, x, y, self.threat, reach, budget=budget, until=until)
        corners = self.threat.box(x, reach)
        problem = Problem.of(self.proof, x, corners, (y, 1 - y), self.threat, reach)
        return turned_within(self.proof, problem, budget=budget, until=until)

    def _of_images(self, proof: Convolutions, x: Tensor, y: Tensor, until: float) -> Verdict:
        """Of images only proofs are looked for, and nobody is shown what would turn an answer."""
        proved = np.zeros(len(x), bool)
        budget = 0 if self.boxes == 1 else self.boxes  # one box is bounded, and not searched
        for row in range(len(x)):
            if time.monotonic() >= until:
                break
            one = slice(row, row + 1)
            least = least_margins(proof, x[one], y[one], self.threat, self.reach, budget)
            proved[row] = bool(least[0] > 0)
        return _known(x, proved)


def _known(x: Tensor, proved: Array) -> Verdict:
    return Verdict(proved, np.zeros(len(x), bool), x.numpy(), _none(len(x)))


def _none(count: int) -> NDArray[np.int64]:
    return np.zeros(count, np.int64)


def _read(population: Population) -> Network | Ensemble | Convolutions:
    """The model as it is read for a proof."""
    if isinstance(population, ImageNetworks):
        return Convolutions.of(population, 0)
    return member_of(population, 0)


# ---- which threats the claim holds against ----


def one_sided(threat: Threat, schema: Schema) -> str:
    """What a threat lets somebody do to an admitted record that nobody may undo; empty = nothing.

    Numbers: a ball is symmetric, the grid is the same from every record on it, and so is the range
    where it is at least that of the schema, which admission demands. An admitted record breaks no
    relation, so that none has an exception of its own.
    """
    features = schema.features
    if threat.goal != "any":
        return f"its goal is {threat.goal!r}, so that only some are attacked; goal: any"
    if threat.norm == "l0":
        return "it counts values, of which each may become anything; norm: linf or l2"
    if why := threat.no_way_back(schema.names):
        return why
    narrow = (threat.lower > schema.column("lower")) | (threat.upper < schema.column("upper"))
    if narrow.any():
        return (
            f"{_first(narrow, schema)} has a narrower range than the schema, from outside of which "
            "a value may come in, but not go back; within: null"
        )
    steps = torch.tensor([one.step or 0.0 for one in features], dtype=torch.float64)
    step = steps.expand_as(threat.step) if schema.image else steps
    other = (threat.step > 0) & (threat.step != step)
    if other.any():
        return f"{_first(other, schema)} has another grid than the schema"
    largest = torch.maximum(schema.column("lower").abs(), schema.column("upper").abs())
    coarse = largest * FLOAT32_ROUNDING > TICK_TOLERANCE * threat.step
    coarse &= (threat.step > 0) & threat.mutable
    if coarse.any():
        return f"{_first(coarse, schema)} has a finer grid than a float32 record can hold"
    return ""


def _first(at: Tensor, schema: Schema) -> str:
    place = 0 if schema.image else int(at.nonzero()[0, 0])
    return repr(schema.names[place])


def _spacing(threat: Threat, schema: Schema) -> float:
    """How much further apart, in radii, two values may be than the float32 that they become."""
    largest = torch.maximum(schema.column("lower").abs(), schema.column("upper").abs())
    apart = torch.where(threat.mutable, 2 * FLOAT32_ROUNDING * largest / threat.scale, 0.0)
    together = apart.norm() if threat.norm == "l2" else apart.max()
    return float(together)
