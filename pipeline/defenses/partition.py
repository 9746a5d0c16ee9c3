"""Votes of base models that share no record.

What a few poisoned records can do is bounded, and the bound is proved. A hash of its values deals
each record into one of K parts; a logistic regression learns from each part; the answer is the mean
of their votes. Whoever inserts, removes or relabels a record reaches one part, and with it one vote
of K. Linear models with clipped votes are one hidden layer of ReLUs, so the whole vote is an
ordinary network: attacked, verified, stored and served like any.
"""

from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.decision import under_guarantee
from pipeline.files import BadInput
from pipeline.models.logistic import logistic_regression
from pipeline.models.mlp import Parameters, layers_of, perceptron
from pipeline.models.networks import Networks, public_preprocessing, standardise
from pipeline.statistics import Array

# votes: what float32 may make of a sum of them, where an answer is not computed in float64
SLACK = 1e-3


def train_by_parts(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    parts: Count,
    clip: Positive,
    ridge: Positive,
    certainty: Positive,
    cut: float,
) -> Networks:
    """Deep partition aggregation, with clipped votes in place of a majority.

    Levine and Feizi 2021, arXiv:2006.14768. Base model k answers with log-odds m_k and votes v_k =
    clip(m_k / clip, -1, 1); the log-odds of the answer are `certainty` times the mean vote. As
    `clip` goes to 0 this is the majority vote of the paper. A part that holds no record abstains.
    Imputation and standardisation use the schema's public constants: fitted ones would let one
    record reach every part.

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: the decision; the network follows from `parts`.
        parts: K.
        clip: log-odds at which a base model's vote is a full one.
        ridge: penalty on half the squared coefficients of each base model, of standardised
            features.
        certainty: log-odds of a unanimous vote: a constant, because a calibration on records would
            reach every part.
        cut: log-odds from which on a patient is called ill, a constant likewise; read unless the
            configured decision is a constant itself, or the plan sets patients aside to choose on.

    Returns:
        networks with 2K hidden units; `facts["certificate"]` says what `certified_records` covers.

    Raises:
        BadInput: there are more than two classes.
    """
    if len(dataset.schema.classes) != 2:
        raise BadInput(
            "partition: votes for or against one disease, but there are "
            f"{len(dataset.schema.classes)} classes"
        )
    limits = [dataset.schema.column(name) for name in ("lower", "upper")]
    preprocessing = public_preprocessing(dataset.schema, plan.size)
    # A poisoned record may hold anything: cut at the plausible range, it cannot make a sum
    # overflow.
    inside = torch.where(dataset.x.isnan(), dataset.x, dataset.x.clamp(*limits).float())
    one = {name: value[:1].double() for name, value in preprocessing.items()}
    z = standardise(inside[None].double(), one)[0].numpy()
    inputs = np.concatenate([z, np.ones((len(z), 1))], 1)
    part, order = deal(dataset.x, dataset.y, parts)
    alone = len(dataset.patient.unique()) == len(dataset.patient)
    y, beta = dataset.y.double().numpy(), np.zeros((plan.size, parts, inputs.shape[1]))
    for member, train in enumerate(plan.train.numpy()):
        rows = order[train[order]]
        if not alone:  # whose records a poisoned set takes in another version, they lie elsewhere
            of_rows = dataset.x[rows], dataset.y[rows], parts, dataset.patient[rows]
            part[rows] = deal(*of_rows)[0]
        for k in range(parts):
            own = rows[part[rows] == k]
            beta[member, k] = logistic_regression(inputs[own], y[own], ridge)
    network = vote_network(torch.from_numpy(beta), clip, certainty)
    what = "training records" if alone else "patients with all their training records"
    facts = {
        "certificate": {
            "parts": parts,
            "clip": clip,
            "preprocessing": "public constants",
            "counts": f"{what} inserted, removed or relabelled, by whoever knows everything; "
            "changed values count twice",
            "not_covered": "records forged at prediction time (evasion); choice of "
            "hyper-parameters",
        }
    }
    trained = Networks(
        perceptron(z.shape[1], 2, [2 * parts]), preprocessing, network, plan.labels, facts
    )
    return under_guarantee(trained, dataset, plan, cfg.decision, otherwise=cut)


def deal(x: Tensor, y: Tensor, parts: int, patient: Tensor | None = None) -> tuple[Array, Array]:
    """Which part each record falls into, and the order in which a part sums over its records.

    The part depends on a record's values alone, not on its label, its place or the other records;
    of a patient with several records on the values of all of them, so that they share a part: who
    inserts, removes or relabels a patient reaches one part, and who changes values two.
    The order depends on values and labels, so that the weights of a part are those of its set of
    records, to the last bit.

    Args:
        x: (N, D) float32 in clinical units, NaN = missing.
        y: (N,) class indices.
        parts: K.
        patient: (N,) int64, whose each record is; None = each is of somebody else.

    Returns:
        part (N,) int64 in 0 ... K - 1, and order (N,) int64, a permutation.
    """
    values = x.float().numpy() + np.float32(0)  # -0 and 0 are one value
    values[np.isnan(values)] = np.nan  # and so are all the ways to write NaN
    written = [record.tobytes() for record in np.ascontiguousarray(values)]
    held: dict[int, list[bytes]] = {}
    whose = list(range(len(written))) if patient is None else patient.tolist()
    for record, who in zip(written, whose, strict=True):
        held.setdefault(who, []).append(record)
    of_patient = {
        who: int.from_bytes(sha256(b"".join(sorted(records))).digest()) % parts
        for who, records in held.items()
    }
    part = np.array([of_patient[who] for who in whose], dtype=np.int64)
    labels = y.tolist()
    order = sorted(range(len(written)), key=lambda row: (written[row], labels[row]))
    return part, np.array(order, dtype=np.int64)


def vote_network(beta: Tensor, clip: float, certainty: float) -> Parameters:
    """The mean of clipped votes as one hidden layer.

    clip(m / t, -1, 1) = relu(m / t + 1) - relu(m / t - 1) - 1.

    Args:
        beta: (M, K, D + 1) coefficients of the base models, the intercept last.
        clip: log-odds of a full vote, t.
        certainty: log-odds of a unanimous vote.

    Returns:
        weights of a network with 2K hidden units, whose first K carry the sign +, and with logits
        (-s, +s), float32.
    """
    members, parts, _ = beta.shape
    slope = (beta[..., :-1] / clip).mT.float()  # (M, D, K)
    offset = (beta[..., -1:] / clip).mT.float()  # (M, 1, K)
    each = certainty / (2 * parts)  # half the log-odds for either class
    sign = torch.tensor([-each, each]).expand(members, parts, 2)
    return {
        "weight0": torch.cat([slope, slope], -1).contiguous(),
        "bias0": torch.cat([offset + 1, offset - 1], -1).contiguous(),
        "weight1": torch.cat([sign, -sign], 1).contiguous(),
        "bias1": torch.tensor([[[certainty / 2, -certainty / 2]]]).repeat(members, 1, 1),
    }


@torch.no_grad()
def votes(population: Networks, x: Tensor) -> Tensor:
    """The vote of each base model for class 1, read off the hidden layer.

    Args:
        population: M models of this recipe.
        x: (M, B, D) records in clinical units, NaN = missing.

    Returns:
        (M, B, K) float64 in [-1, 1], up to rounding.
    """
    exact = population.double()
    weight, bias = layers_of(exact.parameters)[0]
    up, down = torch.baddbmm(bias, exact.standardise(x.double()), weight).relu().chunk(2, -1)
    return up - down - 1


def certified_records(population: Networks, x: Tensor, y: Tensor) -> Tensor:
    """How many training records may be inserted, removed or relabelled and leave answers right.

    A touched part can turn its vote for the true class into a full one against it, at most. So many
    parts are certified as leave
    the sum of votes above 0 when those with the largest votes turn. Records whose values may change
    count double: the part that one leaves, and the part that it joins.

    Args:
        population: M models of this recipe.
        x: (M, B, D) records in clinical units, NaN = missing.
        y: (M, B) true classes; to certify an answer instead of a right one, the answers.

    Returns:
        (M, B) int64, 0 ... K - 1; 0 = right, but one record might change that; -1 = wrong already,
        a tie included.
    """
    sign = 2 * y - 1
    own = votes(population, x) * sign[..., None]
    lost = (own + 1).sort(-1, descending=True).values.cumsum(-1)
    weight, bias = layers_of(population.double().parameters)[1]
    worth = 2 * weight[:, 0, 1]  # of one full vote, in log-odds
    # where the answer turns, in votes, whatever log-odds are called there
    line = (bias[:, 0, 0] - bias[:, 0, 1]) / worth - own.shape[-1]
    total = (own.sum(-1) - line[:, None] * sign)[..., None]
    # it only grows, so this counts the parts that may be touched
    safe = (total - lost > SLACK).sum(-1)
    return torch.where(total[..., 0] > 0, safe, -1)
