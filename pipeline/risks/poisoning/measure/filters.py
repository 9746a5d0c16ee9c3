"""Filters score how suspicious each training record is, before (or instead of) training on it.

A filter maps (dataset, plan, recipe) to scores (M, N), HIGHER = MORE SUSPICIOUS, one row for each
training set; NaN where a
record is not in it. It sees what whoever trains sees: values and labels of the training records,
never `plan.held_out`. The rows
of a data set need not be different people: they may be variants of one record, of which each
training set holds one at most. Training sets are scored a block at a time, so that memory does not
grow with their number.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

from pipeline.data.nested import own_folds
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.files import FOR_NETWORKS_ALONE, NOT_FOR_IMAGES, NotApplicable
from pipeline.models.image_networks import ANSWERED_AT_ONCE, ImageNetworks, members_of
from pipeline.models.mlp import forward, layers_of
from pipeline.models.networks import Networks
from pipeline.models.population import Population
from pipeline.seeds import Stream, generator

Recipe = Callable[[Dataset, Plan], Population]
Filter = Callable[[Dataset, Plan, Recipe], Tensor]

NEIGHBOURS = 10
FOLDS = 5
MAJORITY = 0.5  # of the neighbours: more of them disagree than agree
BLOCK = 2**23  # numbers that one step of a filter holds at once, 64 MB in float64


def neighbours(
    dataset: Dataset, plan: Plan, recipe: Recipe | None = None, *, k: int = NEIGHBOURS
) -> Tensor:
    """The share of a record's k nearest neighbours that carry another label.

    Wilson 1972; Paudice et al. 2018, arXiv:1803.00992. The distance of two records is the mean
    square difference, in units of each feature's public scale, of the values that both have.
    Records that have no value in common are farthest.

    Args:
        dataset: the records.
        plan: M training sets.
        recipe: not used; no model is trained.
        k: neighbours, at most as many as there are other records.

    Returns:
        (M, N) float64 in [0, 1]; more than `MAJORITY` = most neighbours disagree.
    """
    center, scale = dataset.schema.column("center"), dataset.schema.column("scale")
    z = (dataset.x.double() - center) / scale
    known, z = (~z.isnan()).double(), z.nan_to_num()
    # |a - b|^2 over the values that both have = sum of known_b a^2 - 2 a b + known_a b^2: one
    # product of longer rows.
    left, right = torch.cat([z.square(), -2 * z, known], -1), torch.cat([known, z, z.square()], -1)
    scores = []
    for one in _blocks(plan, int(plan.train.sum(1).max()) ** 2):
        index, valid = rectangle(one.train)
        near = torch.bmm(left[index], right[index].mT).clamp_(min=0)
        near /= torch.bmm(known[index], known[index].mT)  # 0 / 0 where nothing is common
        near.nan_to_num_(nan=torch.inf).masked_fill_(~valid[:, None], torch.inf)
        near.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        nearest = near.topk(min(k, index.shape[1]), largest=False)
        y = dataset.y[index]
        other = y[:, None].expand(-1, index.shape[1], -1).gather(2, nearest.indices) != y[..., None]
        real = nearest.values.isfinite()
        scores.append(
            _scatter((other & real).sum(-1) / real.sum(-1).clamp(min=1), index, valid, one.train)
        )
    return torch.cat(scores)


def loss(dataset: Dataset, plan: Plan, recipe: Recipe, *, folds: int = FOLDS) -> Tensor:
    """Cross-entropy of each record under a model that did not train on it.

    Trimming: Jagielski et al. 2018, arXiv:1804.00308. Out of sample, because a model that has
    learned a wrong label agrees with it. Each training set is cut into folds at random, and records
    that are kept together stay in one.

    Args:
        dataset: the records.
        plan: M training sets.
        recipe: trains M x `folds` models; a block of training sets at a time.
        folds: parts; each is scored by the model of the others.

    Returns:
        (M, N) float64, at least 0; 0 where nobody scores a record, as beside its fold nobody of
        some class is left.
    """
    scores = []
    for one in _blocks(plan, folds * dataset.x.numel()):
        nested = own_folds(one, dataset, folds)
        block = torch.where(one.train, 0.0, torch.nan).double()
        if nested.plan.size:
            models = recipe(dataset, nested.plan)
            index, valid = rectangle(nested.plan.held_out)
            with torch.no_grad():
                out = models.double()(dataset.x[index].double())
            said, y = out.flatten(0, 1), dataset.y[index].flatten()
            each = cross_entropy(said, y, reduction="none").view(index.shape)
            row = nested.member[:, None].expand(index.shape)
            block[row[valid], index[valid]] = each[valid]
        scores.append(block)
    return torch.cat(scores)


def spectral(dataset: Dataset, plan: Plan, recipe: Recipe) -> Tensor:
    """Spectral signatures (Tran et al. 2018, arXiv:1811.00636).

    Of a model trained on the suspicious records: the last hidden layer of the records of one label,
    centred, and the square of each record's projection onto the first right singular vector. A
    linear model has no hidden layer: its standardised inputs. Divided by its mean over the label's
    records, so that one threshold serves both labels. Of images likewise.

    Args:
        dataset: the records.
        plan: M training sets.
        recipe: trains the M models.

    Returns:
        (M, N) float64, at least 0; on average 1 among the records of one label, 0 where they are
        all alike.
    """
    scores = []
    for one in _blocks(plan, 4 * dataset.x.numel()):
        models = recipe(dataset, one).double()
        index, valid = rectangle(one.train)
        hidden = last_hidden(models, dataset.x[index].double())
        score = hidden.new_zeros(index.shape)
        for label in range(len(dataset.schema.classes)):
            own = (valid & (dataset.y[index] == label)).double()[..., None]
            count = own.sum(1, keepdim=True).clamp(min=1)
            centred = (hidden - (hidden * own).sum(1, keepdim=True) / count) * own
            # the first right singular vector
            first = torch.linalg.eigh(centred.mT @ centred).eigenvectors[..., -1:]
            square = (centred @ first).square()
            mean = square.sum(1, keepdim=True) / count
            score += torch.where(mean > 0, square / mean, 0.0)[..., 0]
        scores.append(_scatter(score, index, valid, one.train))
    return torch.cat(scores)


@torch.no_grad()
def last_hidden(models: Population, x: Tensor) -> Tensor:
    """(M, B, H): what the last layer of each model receives of its events (M, B, *event).

    Raises:
        NotApplicable: they are no stacks of linear or convolutional layers.
    """
    if isinstance(models, Networks):
        return forward(models.standardise(x), layers_of(models.parameters))[-2]
    if not isinstance(models, ImageNetworks):
        raise NotApplicable("spectral: the model has no layers to look into")
    found = []
    for number, layers in enumerate(members_of(models)):
        center, scale = (models.preprocessing[name][number] for name in ("center", "scale"))
        parts = []
        for part in x[number].split(ANSWERED_AT_ONCE):
            signal = (part - center) / scale
            for layer in layers[:-1]:
                signal = relu(layer(signal))
            parts.append(signal.flatten(1))
        found.append(torch.cat(parts))
    if not found:
        raise NotApplicable(f"spectral: {models.architecture.name} has no layers to look into")
    return torch.stack(found)


FILTERS: dict[str, Filter] = {"neighbours": neighbours, "loss": loss, "spectral": spectral}


class Rule(NamedTuple):
    """Who is dropped: whoever scores above a threshold, or (None) a share of the training set."""

    filter: str
    threshold: float | None = None


RULES: dict[str, Rule] = {
    **{name: Rule(name) for name in FILTERS},
    "majority": Rule("neighbours", MAJORITY),
}
OF_IMAGES = frozenset({"loss", "spectral"})  # pixels have no common scale to find neighbours by
OF_NETWORKS = frozenset({"spectral"})  # what looks into the layers of a model


def why_unfit(rule: str, *, images: bool, network: bool) -> str:
    """Why a rule cannot be tried on images, or on a model without layers; empty = it can."""
    looked_at = RULES[rule].filter
    if images and looked_at not in OF_IMAGES:
        return NOT_FOR_IMAGES
    return FOR_NETWORKS_ALONE if looked_at in OF_NETWORKS and not network else ""


def left_by(rule: str, scores: Tensor, train: Tensor, share: float, *, seed: int = 0) -> Tensor:
    """(M, N) bool: training sets less whom a rule drops by its filter's scores; see `drop`."""
    threshold = RULES[rule].threshold
    return (
        drop(scores, train, share, seed=seed)
        if threshold is None
        else drop_above(scores, train, threshold)
    )


def drop(scores: Tensor, train: Tensor, share: float, *, seed: int = 0) -> Tensor:
    """Each training set without its most suspicious records.

    Args:
        scores: (M, N), higher = more suspicious.
        train: (M, N) bool, the training sets.
        share: of each training set, in [0, 1]; rounded to whole records.
        seed: of the coin that decides between equal scores: their order would favour who stands
            first.

    Returns:
        (M, N) bool, the training sets that are left.
    """
    order = torch.randperm(scores.shape[1], generator=generator(Stream.FILTER_TIES, seed))
    ranked = scores.masked_fill(~train, -torch.inf)[:, order].argsort(
        dim=1, descending=True, stable=True
    )
    rank = torch.empty_like(ranked).scatter_(
        1, order[ranked], torch.arange(scores.shape[1]).expand_as(ranked)
    )
    return train & (rank >= (train.sum(1, keepdim=True) * share).round())


def drop_above(scores: Tensor, train: Tensor, threshold: float) -> Tensor:
    """Each training set (M, N) without the records that score above a threshold."""
    return train & ~(scores > threshold)


class Detection(NamedTuple):
    """How well poison was found, each (M,) float64; NaN where there is nothing to count.

    Attributes:
        precision: of the dropped records, the share that was poisoned.
        recall: of the poisoned records, the share that was dropped.
        false_alarm_rate: of the clean records, the share that was dropped.
    """

    precision: Tensor
    recall: Tensor
    false_alarm_rate: Tensor


def detection(dropped: Tensor, poisoned: Tensor, train: Tensor) -> Detection:
    """Compares what was dropped with what was poisoned.

    Both (M, N) bool, and only the records of `train` (M, N) count.
    """
    dropped, poisoned, clean = dropped & train, poisoned & train, ~poisoned & train

    def share(part: Tensor, whole: Tensor) -> Tensor:
        return (part & whole).sum(1).double() / whole.sum(1)

    return Detection(share(poisoned, dropped), share(dropped, poisoned), share(dropped, clean))


def _blocks(plan: Plan, numbers: int) -> list[Plan]:
    """The plan in pieces of about `BLOCK` numbers, of which each training set takes so many."""
    return [
        plan.select(members) for members in torch.arange(plan.size).split(max(1, BLOCK // numbers))
    ]


def _scatter(values: Tensor, index: Tensor, valid: Tensor, train: Tensor) -> Tensor:
    """The values of a rectangle as rows of a table (M, N), NaN elsewhere."""
    table = torch.full(train.shape, torch.nan, dtype=torch.float64)
    row = torch.arange(len(index))[:, None].expand(index.shape)
    table[row[valid], index[valid]] = values[valid].double()
    return table
