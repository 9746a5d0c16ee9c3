"""The records behind an update that a hospital sends, as whoever collects updates sees them.

Shapes: T updates, each of B records, D features, I inputs of the network, weights as
`pipeline.models.mlp.initialise` lays them out with T in front. The server gave the weights out, so
it knows them; constants of imputation and standardisation are public.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.config import Count, Positive
from pipeline.data.schema import Schema
from pipeline.models.mlp import Parameters, layers_of

SPREAD = 0.5  # of the first guesses about the public centres, in units of their scales
LEAST = 1e-30
SOFT = (0.3, 0.03)  # of a step that goes by signs: from where to where it is blurred
SLOWER = (3 / 8, 5 / 8, 7 / 8)  # of the steps, after each of which they are a tenth as long


def gradient_of(weights: Parameters, inputs: Tensor, ill: Tensor) -> Parameters:
    """The gradient of the mean cross-entropy at every weight, differentiable in its arguments.

    Args:
        weights: of T networks of two classes.
        inputs: (T, B, I), standardised.
        ill: (T, B) in [0, 1], the chance that each is ill: 0 or 1 where it is known.
    """
    layers = layers_of(weights)
    signals, masks = [inputs], []
    for place, (weight, bias) in enumerate(layers):
        out = torch.baddbmm(bias, signals[-1], weight)
        if place < len(layers) - 1:
            masks.append((out > 0).to(out.dtype))
            out = out * masks[-1]
        signals.append(out)
    wanted = torch.stack([1 - ill, ill], -1)
    delta = (signals[-1].softmax(-1) - wanted) / inputs.shape[1]
    found: Parameters = {}
    for place in range(len(layers) - 1, -1, -1):
        found[f"weight{place}"] = signals[place].transpose(1, 2) @ delta
        found[f"bias{place}"] = delta.sum(1, keepdim=True)
        if place:
            delta = (delta @ layers[place][0].transpose(1, 2)) * masks[place - 1]
    return {name: found[name] for name in weights}


def record_behind(gradient: Parameters) -> tuple[Tensor, Tensor]:
    """The one record whose gradient this is, and its diagnosis: exact, without a search.

    Phong et al. 2018, doi:10.1109/TIFS.2017.2787987: of each unit of the first layer the gradient
    at its weights is the input times the gradient at its bias. Zhao et al. 2020, arXiv:2001.02610:
    the gradient at the last bias is below 0 at the recorded class alone.

    Args:
        gradient: of T single records.

    Returns:
        (T, I) standardised inputs, not a number where no unit was active; (T,) int64 classes.
    """
    weight, bias = gradient["weight0"], gradient["bias0"][:, 0]
    most = bias.abs().argmax(-1)
    rows = torch.arange(len(most))
    divisor = bias[rows, most]
    inputs = weight[rows, :, most] / torch.where(divisor == 0, torch.nan, divisor)[:, None]
    last = gradient[f"bias{len(layers_of(gradient)) - 1}"][:, 0]
    return inputs, last.argmin(-1)


class Found(NamedTuple):
    """What an inversion found.

    Attributes:
        inputs: (T, B, I) standardised, in no order.
        ill: (T, B) in [0, 1].
        apart: (T,) in [0, 2], 1 - cosine between what was sent and what these records would send.
    """

    inputs: Tensor
    ill: Tensor
    apart: Tensor


def batch_behind(
    weights: Parameters,
    sent: Parameters,
    lower: Tensor,
    upper: Tensor,
    *,
    records: Count,
    by_signs: bool = False,
    exact: bool = False,
    generator: torch.Generator,
    steps: Count = 600,
    restarts: Count = 4,
    learning_rate: Positive = 0.1,
) -> Found:
    """Records whose gradient points as what was sent does, and their diagnoses.

    Zhu et al. 2019, arXiv:1906.08935; Geiping et al. 2020, arXiv:2003.14053: least 1 - cosine, by
    Adam from several random starts, kept in the plausible range. The one record behind an exact
    gradient is `record_behind`, without a search.

    Args:
        weights: that T hospitals were given.
        sent: a gradient, or what they were moved by, turned round; T.
        lower: (I,) least plausible inputs, standardised.
        upper: likewise the largest.
        records: B, which the server knows.
        by_signs: whether it was sent after steps whose length is all but the same for each weight,
            as Adam's are.
        exact: whether it is a gradient without noise.
        generator: of the starts.
        steps: of the search.
        restarts: whose best is kept for each of T.
        learning_rate: of the search, in units of scale.
    """
    if exact and records == 1:
        one, ill = record_behind({name: value.double() for name, value in sent.items()})
        here = one.nan_to_num().clamp(lower, upper)[:, None]
        return Found(here, ill[:, None].double(), one.isnan().any(1).double())
    count, inputs = len(sent["bias0"]), len(lower)
    many = {name: _repeated(value.double(), restarts) for name, value in weights.items()}
    wanted = _rows({name: _repeated(value.double(), restarts) for name, value in sent.items()})
    shape = (count * restarts, records, inputs)
    starts = SPREAD * torch.randn(shape, generator=generator, dtype=torch.float64)
    z = starts.clamp(lower, upper).requires_grad_()
    lean = torch.zeros(shape[:2], dtype=torch.float64).requires_grad_()
    best = Found(z.detach().clone(), lean.detach().clone(), torch.full((shape[0],), torch.inf))
    optimiser = torch.optim.Adam([z, lean], lr=learning_rate)
    marks = [round(steps * part) for part in SLOWER]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, marks, gamma=0.1)
    for step in range(steps):
        rows = _rows(gradient_of(many, z, lean.sigmoid()))
        seen = _signs(rows, step / steps) if by_signs else rows
        apart = 1 - torch.cosine_similarity(seen, wanted, -1, LEAST)
        best = _better(best, Found(z.detach(), lean.detach(), apart.detach()))
        z.grad, lean.grad = torch.autograd.grad(apart.sum(), [z, lean])
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            z.clamp_(lower, upper)
    least = best.apart.view(count, restarts).argmin(1) + restarts * torch.arange(count)
    return Found(best.inputs[least], best.ill[least].sigmoid(), best.apart[least])


def in_units(inputs: Tensor, schema: Schema, center: Tensor, scale: Tensor) -> Tensor:
    """(..., D) float64: inputs (..., I) as records, inside the plausible range and on the grid.

    Args:
        inputs: standardised.
        schema: of the records.
        center: (I,) of the standardisation; `scale` likewise. A category becomes its likeliest
            level.
        scale: likewise.
    """
    values = inputs.double() * scale.double().nan_to_num(posinf=0.0) + center.double()
    x, hot = values[..., : len(schema.names)].clone(), schema.hot
    for feature in hot[:, 0].unique().tolist():
        place = (hot[:, 0] == feature).nonzero()[:, 0]
        likeliest = values[..., len(schema.names) + place].argmax(-1)
        x[..., feature] = hot[place, 1][likeliest].double()
    lower, upper = schema.column("lower"), schema.column("upper")
    steps = [float(feature.step or 0) for feature in schema.features]
    step = torch.tensor(steps, dtype=torch.float64)
    unit = torch.where(step > 0, step, 1.0)
    return torch.where(step > 0, torch.round(x / unit) * unit, x).clamp(lower, upper)


def assigned(guessed: Tensor, true: Tensor, scale: Tensor) -> Tensor:
    """(T, B, E): the guesses in the order of the records that they come nearest to, one each.

    Least is the sum of squared distances in units of scale (Hungarian method); a missing value
    counts nothing.

    Args:
        guessed: (T, B, E), in no order; the first D of E are compared.
        true: (T, B, D), NaN = missing.
        scale: (D,).
    """
    from scipy.optimize import linear_sum_assignment

    read = guessed[..., : true.shape[-1]]
    apart = ((true[:, :, None] - read[:, None]) / scale).square().nan_to_num(nan=0.0).sum(-1)
    orders = [linear_sum_assignment(one)[1] for one in apart.numpy()]
    return torch.stack(
        [one[torch.from_numpy(order)] for one, order in zip(guessed, orders, strict=True)]
    )


def private_gradient(
    weights: Parameters,
    inputs: Tensor,
    ill: Tensor,
    max_grad_norm: float,
    noise: float,
    generator: torch.Generator,
) -> Parameters:
    """What DP-SGD sends of a batch: every record's gradient clipped, the sum with Gaussian noise.

    Abadi et al. 2016, arXiv:1607.00133; divided by the number of records, as a mean.

    Args:
        weights: of T networks.
        inputs: (T, B, I), standardised.
        ill: (T, B), 0 or 1.
        max_grad_norm: C, the largest length of a record's gradient.
        noise: multiplier; the standard deviation of the sum is noise * C.
        generator: of the noise.
    """
    count, records = ill.shape
    each = {name: _repeated(value, records) for name, value in weights.items()}
    own = gradient_of(each, inputs.reshape(count * records, 1, -1), ill.reshape(-1, 1))
    length = _rows(own).norm(dim=1)
    share = (max_grad_norm / length.clamp(min=LEAST)).clamp(max=1)
    total: Parameters = {}
    for name, value in own.items():
        clipped = value * share.view(-1, *[1] * (value.dim() - 1))
        summed = clipped.view(count, records, *value.shape[1:]).sum(1)
        drawn = torch.randn(summed.shape, generator=generator, dtype=summed.dtype)
        total[name] = (summed + noise * max_grad_norm * drawn) / records
    return total


def _better(best: Found, now: Found) -> Found:
    nearer = now.apart < best.apart
    return Found(
        torch.where(nearer[:, None, None], now.inputs, best.inputs),
        torch.where(nearer[:, None], now.ill, best.ill),
        torch.where(nearer, now.apart, best.apart.to(now.apart)),
    )


def _signs(rows: Tensor, done: float) -> Tensor:
    """(T, P): nearly the signs, ever less blurred; a weight that nothing moves stays 0."""
    first, last = SOFT
    blur = first * (last / first) ** done * rows.square().mean(-1, keepdim=True).sqrt()
    near: Tensor = rows / (rows.abs() + blur.detach() + LEAST)
    return near


def _rows(parts: Parameters) -> Tensor:
    """(T, P)."""
    return torch.cat([part.flatten(1) for part in parts.values()], 1)


def _repeated(value: Tensor, times: int) -> Tensor:
    return value.repeat_interleave(times, 0)
