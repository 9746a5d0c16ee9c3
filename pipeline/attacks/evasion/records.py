"""One shape for every attack: records (..., B, D).

An image is a record of its pixels while it is attacked.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from pipeline.attacks.evasion.completing import complete
from pipeline.config import Norm
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.kernels import CPU, chosen_device
from pipeline.models.stacked import Stacked

LogitsFn = Callable[[Tensor], Tensor]
A = TypeVar("A", bound=Callable[..., Tensor])


def on_records(*norms: Norm, anywhere: bool = False) -> Callable[[A], A]:
    """Makes an attack on records one on events of any shape, under the given norms only.

    One that computes `anywhere` does so on the device of this process, if the model is a population
    of networks and the threat `portable`; all else on the processor. Its records lie where those
    that it was given do.

    The attack sees x (..., B, D) and a threat and a model to match; its caller sees x (..., B, C,
    H, W) if the threat's tensors are (C, H, W). Records pass through untouched.

    Raises:
        BadInput: when called with a threat model of another norm.
    """

    def decorate(attack: A) -> A:
        @wraps(attack)
        def on_events(
            logits_fn: LogitsFn,
            x: Tensor,
            y: Tensor,
            threat: Threat,
            *,
            eps: float | Tensor,
            **options: Any,
        ) -> Tensor:
            if threat.norm not in norms:
                name = attack.__name__.lstrip("_")
                raise BadInput(
                    f"{name}: attacks under {' and '.join(norms)} only; "
                    f"the threat model's norm is {threat.norm}"
                )
            given, at, model = x.device, CPU, cast(Any, logits_fn)
            if isinstance(model, Stacked):
                if anywhere and threat.portable:
                    at, threat = chosen_device(), threat.to(chosen_device())
                logits_fn, x, y = cast(LogitsFn, model.to(at)), x.to(at), y.to(at)
                eps = eps.to(at) if isinstance(eps, Tensor) else eps
            shape = threat.mutable.shape
            flat_x = x.flatten(-len(shape)) if len(shape) > 1 else x
            model = _flat_model(logits_fn, shape)
            x_adv = attack(
                complete(model, threat.relations, x) if threat.relations else model,
                flat_x,
                y,
                _flat_threat(threat),
                eps=_flat_radius(eps, len(shape)),
                **options,
            )
            return (x_adv.unflatten(-1, shape) if len(shape) > 1 else x_adv).to(given)

        return cast(A, on_events)

    return decorate


def _flat_model(logits_fn: LogitsFn, shape: torch.Size) -> LogitsFn:
    """A model of flat records (..., B, D)."""
    module = isinstance(logits_fn, nn.Module)
    if len(shape) == 1 and not module:
        return logits_fn

    def flat(records: Tensor) -> Tensor:
        events = records.unflatten(-1, shape)
        if not module:
            return logits_fn(events)
        # An ordinary network knows one batch axis: it is asked about all records at once.
        lead = records.shape[:-1]
        logits: Tensor = logits_fn(events.flatten(0, len(lead) - 1))
        return logits.view(*lead, logits.shape[-1])

    own: Any = getattr(logits_fn, "pullback", None)
    if own is not None:

        def pullback(records: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
            logits, pull = own(records.unflatten(-1, shape))
            return logits, lambda grad_logits: pull(grad_logits).flatten(-len(shape))

        vars(flat)["pullback"] = pullback
    return flat


def _flat_threat(threat: Threat) -> Threat:
    if threat.mutable.dim() == 1:
        return threat
    names = ("mutable", "lower", "upper", "step", "scale")
    return replace(threat, **{name: getattr(threat, name).flatten() for name in names})


def _flat_radius(eps: float | Tensor, axes: int) -> float | Tensor:
    """A radius per event, (..., 1, 1, 1), as one per record, (..., 1)."""
    if axes == 1 or not isinstance(eps, Tensor) or eps.dim() == 0:
        return eps
    return eps.reshape((1,) * (axes - eps.dim()) + eps.shape).flatten(-axes)


def largest_radius(eps: float | Tensor, x: Tensor) -> float | Tensor:
    """The largest radius of each record: a grid without its own leading axes.

    Args:
        eps: a float, or a tensor that broadcasts over (..., B, D) or has further axes in front.
        x: records (..., B, D).

    Returns:
        a float, or a tensor that broadcasts with x and adds no axis to it.
    """
    if not isinstance(eps, Tensor) or eps.dim() <= x.dim():
        return eps
    return eps.flatten(0, eps.dim() - x.dim() - 1).amax(0)


def uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Drawn from [0, 1) on the processor, so that every device attacks with the same numbers."""
    return torch.rand(like.shape, generator=generator).to(like.device)


def corners(threat: Threat, x: Tensor, eps: float | Tensor) -> tuple[Tensor, Tensor]:
    """Both corners of the box, in the precision of the records."""
    low, high = threat.box(x, eps)
    return low.to(x.dtype), high.to(x.dtype)


def size_of(move: Tensor, norm: Norm) -> Tensor:
    """(..., B, 1): how long moves (..., B, D) are, in units of scale, under linf or l2."""
    return move.abs().amax(-1, keepdim=True) if norm == "linf" else move.norm(dim=-1, keepdim=True)
