"""What a model gives away of a class: its typical record, and whether that is a person."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pipeline.attacks.inversion import lead_of_ill, recorded
from pipeline.config import Count, Positive
from pipeline.data.schema import Dataset, Schema
from pipeline.models.networks import Networks
from pipeline.models.one_hot import extended

PEOPLE = 1000  # of whom the distance to the nearest other person is measured, at most
BLOCK = 2**21  # numbers of a table of differences that exist at once


def typical_record(
    population: Networks,
    schema: Schema,
    target_class: int = 1,
    *,
    steps: Count,
    learning_rate: Positive,
) -> Tensor:
    """The record that a model finds most typical of a class.

    Fredrikson et al. 2015, CCS, doi:10.1145/2810103.2813677. It maximises log P(class | x) - |z|^2
    / 2 with z = (x - center) / scale: the most probable record under a public Gaussian prior,
    without which the search ends at the corners of the range. Projected gradient ascent from the
    public centre, to a maximum near it; a step that does not lead up is taken back and halved.
    Finally rounded as a clinic writes it down.

    Args:
        population: V victims of two classes.
        schema: of the D measurements; `center` and `scale` are public.
        target_class: 0 or 1.
        steps: of ascent.
        learning_rate: length of the first step, as a multiple of the gradient in z.

    Returns:
        (V, D) float64, in clinical units.
    """
    models = population.double()
    center, scale, lower, upper = map(schema.column, ("center", "scale", "lower", "upper"))
    low, high = (lower - center) / scale, (upper - center) / scale
    trial = torch.zeros(models.size, len(center), dtype=torch.float64).clamp(low, high)
    for place in schema.hot[:, 0].unique().tolist():  # a category has no slope: its best level
        values = torch.arange(schema.features[place].columns, dtype=torch.float64)
        tried = trial.expand(len(values), *trial.shape).clone()
        tried[..., place] = ((values - center[place]) / scale[place])[:, None]
        ahead = lead_of_ill(models((center + scale * tried).movedim(0, 1))) * (2 * target_class - 1)
        trial[:, place] = tried[ahead.argmax(1), torch.arange(models.size), place]
    best, uphill, rate = (
        trial,
        torch.zeros_like(trial),
        torch.full_like(trial[:, :1], learning_rate),
    )
    best_value = torch.full_like(rate, -torch.inf)
    for _ in range(steps + 1):
        trial = trial.detach().requires_grad_()
        ahead = lead_of_ill(models((center + scale * trial)[:, None])) * (2 * target_class - 1)
        value = logsigmoid(ahead) - 0.5 * trial.square().sum(-1, keepdim=True)
        (slope,) = torch.autograd.grad(value.sum(), trial)
        slope[:, schema.hot[:, 0]] = 0
        better = value.detach() > best_value
        best, uphill = torch.where(better, trial.detach(), best), torch.where(better, slope, uphill)
        best_value, rate = (
            torch.where(better, value.detach(), best_value),
            torch.where(better, rate, rate / 2),
        )
        trial = (best + rate * uphill).clamp(low, high)
    found = center + scale * best
    return torch.stack(
        [recorded(found[:, index], feature) for index, feature in enumerate(schema.features)], 1
    )


def compare_with_people(
    records: Tensor, dataset: Dataset, member: Tensor, target_class: int = 1
) -> dict[str, Tensor]:
    """Whether a typical record tells more of its class than is public, and whether it is a person.

    A distance is the root mean square over the features, in units of `scale`; missing values are
    left out of the mean.

    Args:
        records: (V, D) typical records in clinical units, one per victim.
        dataset: N people.
        member: (V, N) bool, who trained each victim.
        target_class: the class that the records are typical of.

    Returns:
        each (V,): `to_class_mean`, from the record to the mean of the people of the class;
        `center_to_class_mean`, the same of the public centre, which needs no model;
        `to_nearest_member` and `to_nearest_non_member`, of any class (inf = there are none; the
        more there are, the nearer the nearest); `between_people`, the median distance from a person
        to the nearest other one (of `PEOPLE` people, where there are more). A record much nearer to
        a member than `between_people` is that person.
    """
    center, scale = dataset.schema.column("center"), dataset.schema.column("scale")
    hot = dataset.schema.hot
    people, points, here = (
        _coordinates(one.double(), scale, hot) for one in (dataset.x, records, center[None])
    )
    mean = people[dataset.y == target_class].nanmean(0)
    to_people = _distances(points, people)
    among = _to_nearest_other(people)
    return {
        "to_class_mean": _distances(points, mean[None])[:, 0],
        "center_to_class_mean": _distances(here, mean[None])[:, 0].expand(len(points)),
        "to_nearest_member": to_people.masked_fill(~member, torch.inf).amin(1),
        "to_nearest_non_member": to_people.masked_fill(member, torch.inf).amin(1),
        "between_people": among.median().expand(len(points)),
    }


def _coordinates(x: Tensor, scale: Tensor, hot: Tensor) -> Tensor:
    """Records (N, D) as points: numbers in units of scale, a category by its levels.

    Two different levels are as far apart as two values that differ by one scale.
    """
    values = x / scale
    values[:, hot[:, 0]] = torch.nan  # left out of the mean
    return torch.cat([values, extended(x, hot)[:, x.shape[1] :] * 0.5**0.5], 1)


def _to_nearest_other(people: Tensor) -> Tensor:
    """Distances from some people, evenly spread over all N (N, D), to the nearest other one.

    At most `PEOPLE` of them: the work then grows with N, and the median of a thousand is that of
    all to a few hundredths of its rank.
    """
    chosen = torch.linspace(0, len(people) - 1, min(PEOPLE, len(people))).round().long()
    nearest = people.new_empty(len(chosen))
    for part in torch.arange(len(chosen)).split(_rows_at_once(people)):
        distances = _all_distances(people[chosen[part]], people)
        distances[torch.arange(len(part)), chosen[part]] = torch.inf
        nearest[part] = distances.amin(1)
    return nearest


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(A, B) root mean square over the features that both have; inf where they share none."""
    distances = a.new_empty(len(a), len(b))
    for part in torch.arange(len(a)).split(_rows_at_once(b)):
        distances[part] = _all_distances(a[part], b)
    return distances


def _rows_at_once(b: Tensor) -> int:
    return max(1, BLOCK // b.numel())


def _all_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b).square().nanmean(-1).sqrt().nan_to_num(nan=torch.inf)
