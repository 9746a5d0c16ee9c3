"""One linear bound for each record, and no search: sound, fast, and sometimes silent."""

import numpy as np
import torch
from torch import Tensor

from pipeline.data.recodes import variants
from pipeline.data.threat import Threat
from pipeline.models.networks import Networks
from pipeline.parallel import workers
from pipeline.statistics import Array
from pipeline.verify.bounds import margin_bound
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem

VARIANTS = 200  # of one record, before it counts as not proved


@torch.no_grad()
def quickly_proved(
    population: Networks, x: Tensor, y: Tensor, threat: Threat, eps: float
) -> Tensor:
    """Of which records it is proved that no change within the radius makes the answer wrong.

    The bound of CROWN (Zhang et al. 2018, arXiv:1811.00866) over the box of each record, with the
    rounding of float64 taken off: a lower bound on what `verify` proves, which goes on to divide
    the box where this one stops.

    Args:
        population: M models of two classes.
        x: (M, B, D) float32 records in clinical units, NaN = missing.
        y: (M, B) class indices.
        threat: what may be changed; each value by itself (linf).
        eps: radius in units of scale.

    Returns:
        (M, B) bool; False = answered wrongly, or not proved.
    """
    with workers() as pool:
        tasks = [
            pool.submit(_proved, Network.of(population, m), x[m], y[m], threat, eps)
            for m in range(population.size)
        ]
        return torch.from_numpy(np.stack([task.result() for task in tasks]))


@torch.no_grad()
def _proved(network: Network, x: Tensor, y: Tensor, threat: Threat, eps: float) -> Array:
    """(B,) bool, as an array, which travels between processes as it is."""
    made = variants(threat, x, eps, VARIANTS)
    x, own = made.x, y[made.row]
    problem = Problem.of(network, x, threat.box(x, eps), (own, 1 - own), threat, eps)
    lost = made.row[~proved_at_once(network, problem)]
    proved = made.unlisted > eps
    proved[lost] = False
    return proved.numpy()


def proved_at_once(network: Network, problem: Problem) -> Tensor:
    """(P,) bool: the bound over the whole box already proves that no record in it is an answer."""
    boxes = problem.boxes()
    slack = network.rounding(problem.size)
    lost = ~(margin_bound(network, boxes, problem).least(boxes) > slack[boxes.index])
    return torch.ones(len(problem), dtype=torch.bool).index_put(
        (boxes.index[lost],), torch.tensor(False)
    )
