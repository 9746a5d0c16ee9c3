"""What an attacker increases, and its gradient at a record. The model is any callable to logits."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softmax

from pipeline.attacks.evasion.records import LogitsFn
from pipeline.models.answers import margin

Loss = Literal["cross_entropy", "margin"]


def _negative_margin(logits: Tensor, y: Tensor) -> Tensor:
    return -margin(logits, y)


def _margin_ascent(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of the negative margin: from the true class to the best other one."""
    own = one_hot(y.expand(logits.shape[:-1]), logits.shape[-1]).to(logits.dtype)
    if logits.shape[-1] == 2:
        return 1 - 2 * own
    other = logits.masked_fill(own.bool(), -torch.inf).argmax(-1)
    return one_hot(other, logits.shape[-1]).to(logits.dtype) - own


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return logits.logsumexp(-1) - logits.gather(-1, y.expand(logits.shape[:-1])[..., None])[..., 0]


def _cross_entropy_ascent(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of the cross-entropy; it vanishes where the model is certain."""
    return softmax(logits, -1) - one_hot(y.expand(logits.shape[:-1]), logits.shape[-1])


# What an attacker increases, (...), and its gradient at the logits (..., C). The margin's never
# vanishes, so a confident model cannot hide behind it. The difference-of-logits ratio of AutoAttack
# is not here: it divides by the third largest logit, and a diagnosis has two classes.
LOSS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "margin": _negative_margin,
}
ASCENT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy_ascent,
    "margin": _margin_ascent,
}


def pullback(logits_fn: LogitsFn, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The model's answer, and what turns gradients at the logits into gradients at the records.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records (..., B, D).

    Returns:
        logits (..., B, C), detached; a function from (..., B, C) to (..., B, D).
    """
    own = getattr(
        logits_fn, "pullback", None
    )  # a population differentiates itself faster than autograd does
    if own is not None and x.dim() <= 3:
        logits, pull = own(x.detach())
        return logits, pull
    if own is not None:
        answers, pulls = zip(*(pullback(logits_fn, block) for block in x), strict=True)
        return torch.stack(answers), lambda grad: torch.stack(
            [pull(one) for pull, one in zip(pulls, grad, strict=True)]
        )
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        out = logits_fn(leaf)
    return out.detach(), lambda grad: torch.autograd.grad(out, leaf, grad, retain_graph=True)[0]


def ascent(logits_fn: LogitsFn, x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """The loss' gradient at each record, and the model's answer there. The model is left as it was.

    Returns:
        gradients like x, 0 for a missing value; logits (..., B, C).
    """
    if x.dim() > 3 and hasattr(
        logits_fn, "pullback"
    ):  # one block after another: each fits the cache
        blocks = zip(x, y.expand(x.shape[:-1]), strict=True)
        grads, answers = zip(
            *(ascent(logits_fn, block, labels, loss) for block, labels in blocks), strict=True
        )
        return torch.stack(grads), torch.stack(answers)
    logits, pull = pullback(logits_fn, x)
    return pull(ASCENT[loss](logits, y)), logits


def ascent_sign(logits_fn: LogitsFn, x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """The sign of the loss' gradient at each record, and the model's answer there.

    Returns:
        signs like x, 0 for a missing value; logits (..., B, C).
    """
    grad, logits = ascent(logits_fn, x, y, loss)
    return grad.sign_(), logits
