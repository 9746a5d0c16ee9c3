"""Exact verification: the nearest record that changes an answer, or the proof of none.

"Exact" means: of the network with its float32 weights, evaluated in float64, on float32 records. A
proof demands more of the margin than float64 rounding could take away (`Network.rounding`), a
counterexample falls short by as much. Of trees a record that lies between both is asked about.
"""

from dataclasses import replace

import torch
from torch import Tensor

from pipeline.data.recodes import variants
from pipeline.data.threat import Threat
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.foreign import Foreign
from pipeline.models.noisy_vote import NoisyVote
from pipeline.models.population import ImageNetworks, Networks, Population, Trees, networks_of
from pipeline.models.reading import AGREES_ROUNDED
from pipeline.verify.categories import of_variants
from pipeline.verify.cells import Ensemble
from pipeline.verify.nearest import Nearest, nearest_record
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem
from pipeline.verify.sparse import fewest, one_at_a_time
from pipeline.verify.trees import nearest_of_trees

__all__ = ["Nearest", "member_of", "one_at_a_time", "verify", "why_no_proof"]


def why_no_proof(population: Population) -> str:
    """Why nothing can be proved of a population; empty = it can."""
    if isinstance(population, Foreign):
        if not isinstance(population.read, Networks | Trees):
            return f"its structure is not read: {population.unread}; nothing is decided but attacks"
        return why_no_proof(population.read)
    if isinstance(population, Networks | Trees):
        return ""
    if isinstance(population, ImageNetworks):
        design = population.architecture
        if isinstance(design, ConvolutionalNetwork) and design.classes == 2:
            return ""
        if isinstance(design, NoisyVote):
            return "its radii come from its votes, with a probability, not from bounds"
    return (
        "only trees, and linear and convolutional layers with ReLU are proved, of images two "
        "classes; so nothing is decided beyond attacks"
    )


def member_of(population: Population, member: int) -> Network | Ensemble:
    """One model of a population of records, as it is read for a proof.

    Raises:
        NotApplicable: it is of a kind that nothing can be proved of.
    """
    if isinstance(population, Foreign) and isinstance(population.read, Networks | Trees):
        return _of_somebody(population, population.read, member)
    if isinstance(population, Trees):
        return Ensemble.of(population, member)
    return Network.of(networks_of(population), member)


def _of_somebody(population: Foreign, read: Networks | Trees, member: int) -> Network | Ensemble:
    """What was read of a member, by whose own answers what is near its cut is decided.

    A library that adds up float32, or whose numbers were read as float32, may lie so far off in
    probability.
    """
    chance = float(population.cut[member].sigmoid())
    spare = AGREES_ROUNDED / (chance * (1 - chance))
    if isinstance(read, Networks):
        return replace(Network.of(read, member), spare=spare)
    ensemble, own = Ensemble.of(read, member), population.select(torch.tensor([member]))
    rounding = spare if population.adds_float32 else ensemble.rounding
    return replace(ensemble, own=own, rounding=rounding)


def verify(
    network: Network | Ensemble,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    largest: float,
    budget: int,
    spared: Tensor | None = None,
) -> Nearest:
    """The smallest radius at which each answer of one model can be changed.

    Args:
        network: the network, or the ensemble of trees.
        x: (P, D) float32 records in clinical units, NaN = missing.
        y: (P,) class indices.
        threat: what may be changed; under `l0` radii count measurements.
        largest: radius up to which to look; finite.
        budget: branch-and-bound boxes for one record (and wrong class, and subset of measurements
            under `l0`). When it is spent, `robust_below < breaks_at`.
        spared: (P,) bool, records that may not be changed at all.

    Returns:
        the nearest counterexample over all wrong classes.

    Raises:
        ValueError: `largest` is no finite radius.
    """
    if not 0 <= largest < torch.inf:
        raise ValueError(f"largest must be a finite radius, not {largest}")
    spared = torch.zeros_like(y, dtype=torch.bool) if spared is None else spared
    if not threat.discrete:
        return _by_numbers(network, x, y, threat, largest, budget, spared)
    made = variants(threat, x, largest, budget, spared)
    row = made.row
    each = _by_numbers(network, made.x, y[row], threat, largest, budget, spared[row])
    return of_variants(x, made, each, threat, largest)


def _by_numbers(
    network: Network | Ensemble,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    largest: float,
    budget: int,
    spared: Tensor,
) -> Nearest:
    """The smallest radius of records whose categories and gaps stay as they are."""
    if isinstance(network, Ensemble):
        return nearest_of_trees(network, x, y, threat, largest, budget, spared)
    classes = network.layers[-1][1].shape[0]
    against = [(y, (y + shift) % classes) for shift in range(1, classes)]
    if threat.norm == "l0":
        return _least(
            [
                fewest(network, x, pair, threat, budget, most=int(largest), spared=spared)
                for pair in against
            ]
        )
    low, high = threat.box(x, largest)
    corners = (
        torch.where(spared[:, None], x.double(), low),
        torch.where(spared[:, None], x.double(), high),
    )
    return _least(
        [
            nearest_record(
                network, Problem.of(network, x, corners, pair, threat, largest), budget=budget
            )
            for pair in against
        ]
    )


def _least(answers: list[Nearest]) -> Nearest:
    """What holds against every wrong class at once."""
    first = answers[0]
    for answer in answers[1:]:
        nearer = answer.breaks_at < first.breaks_at
        first = Nearest(
            torch.minimum(first.robust_below, answer.robust_below),
            torch.minimum(first.breaks_at, answer.breaks_at),
            torch.where(nearer[:, None], answer.record, first.record),
            first.boxes + answer.boxes,
        )
    return first
