"""A model as somebody meets it who forges some values, and a form computes others from them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pipeline.data.relations import Relations


def complete(
    logits_fn: Callable[[Tensor], Tensor], relations: Relations, x: Tensor
) -> Callable[[Tensor], Tensor]:
    """A model that is shown versions of records x with what is derived as it follows.

    So a gradient says what a forged value does by what follows from it, too.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C); its `pullback` is carried over.
        relations: what follows from what.
        x: the records (..., B, D), of a shape that broadcasts with their versions.
    """

    def asked(records: Tensor) -> Tensor:
        return logits_fn(relations.completed(records, x))

    own: Any = getattr(logits_fn, "pullback", None)
    if own is None:
        return asked

    def pullback(records: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        with torch.enable_grad():
            leaf = records.detach().requires_grad_()
            whole = relations.completed(leaf, x)
        logits, pull = own(whole.detach())

        def back(grad_logits: Tensor) -> Tensor:
            (grad,) = torch.autograd.grad(whole, leaf, pull(grad_logits), retain_graph=True)
            return grad

        return logits, back

    vars(asked)["pullback"] = pullback
    return asked
