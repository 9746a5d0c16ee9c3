"""A stand-in for a model whose answers are all that is known.

Attacked instead of it, its records are then sent on.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pipeline.config import Count, Positive
from pipeline.data.plan import Plan
from pipeline.models.mlp import Architecture
from pipeline.models.networks import NONE_HOT, Networks, fitted_preprocessing, standardise

AT_ONCE = 2**22  # numbers of all members that are fitted beside each other, for memory's sake


def train_linear_surrogate(
    x: Tensor,
    answers: Tensor,
    plan: Plan,
    *,
    classes: int = 2,
    hot: Tensor = NONE_HOT,
    ridge: Positive = 1.0,
    steps: Count = 15,
) -> Networks:
    """Logistic regression of each member, by Newton's method.

    Papernot et al. 2017, arXiv:1602.02697, on surrogates. It sees what the owner of a member's
    training records sees, and nothing of the member: no weights, no scores.

    Args:
        x: (N, D) records in clinical units, NaN = missing.
        answers: what is imitated, class indices (N,), or (M, N) where each member has its own:
            diagnoses, or a victim's labels.
        plan: `plan.train` (M, N) are the records that each surrogate learns from.
        hot: (H, 2) `Schema.hot`, which values are categories.
        classes: C; with more than two, each class against the rest.
        ridge: penalty on half the squared weights, of standardised records; not on the intercept.
        steps: of Newton's method.

    Returns:
        a population of linear models with the plan's labels; its logits are float32.
    """
    preprocessing = fitted_preprocessing(x, plan.train, hot)
    wanted = answers.expand(plan.size, -1)
    features = preprocessing["center"].shape[1]
    penalty = torch.full((features + 1,), ridge, dtype=torch.float64)
    penalty[-1] = 1e-9  # keeps the equations solvable where all answers are the same
    together = max(1, AT_ONCE // (len(x) * (features + 1)))
    parts = [
        _columns(
            x,
            {name: value[some] for name, value in preprocessing.items()},
            one_hot(wanted[some], classes).double(),
            plan.train[some].double(),
            penalty,
            steps,
        )
        for some in torch.arange(plan.size).split(together)
    ]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    # Two classes: their difference is the log-odds, half of it each.
    table = torch.stack([columns[0] / 2, -columns[0] / 2] if classes == 2 else columns, -1).float()
    parameters = {"weight0": table[:, :-1].contiguous(), "bias0": table[:, -1:].contiguous()}
    return Networks(
        Architecture("linear", features, classes, ()), preprocessing, parameters, plan.labels
    )


def _columns(
    x: Tensor,
    preprocessing: dict[str, Tensor],
    wanted: Tensor,
    weight: Tensor,
    penalty: Tensor,
    steps: int,
) -> list[Tensor]:
    """Coefficients (m, D + 1) of some members: of the second of two classes, or of each of more.

    `wanted` is (m, N, C), `weight` (m, N).
    """
    inputs = standardise(x.expand(len(weight), -1, -1), preprocessing).double()
    inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
    return [
        _newton(inputs, wanted[..., one], weight, penalty, steps)
        for one in range(1 if wanted.shape[-1] == 2 else wanted.shape[-1])
    ]


def _newton(inputs: Tensor, wanted: Tensor, weight: Tensor, penalty: Tensor, steps: int) -> Tensor:
    """Coefficients (M, D + 1) of penalised logistic regressions.

    Inputs are (M, N, D + 1), `wanted` and `weight` (M, N).
    """
    beta = inputs.new_zeros(inputs.shape[0], inputs.shape[2])
    for _ in range(steps):
        chance = torch.sigmoid((inputs @ beta[..., None])[..., 0])
        slope = ((weight * (wanted - chance))[:, None] @ inputs)[:, 0] - penalty * beta
        curvature = inputs.mT @ (
            inputs * (weight * chance * (1 - chance)).clamp(min=1e-12)[..., None]
        ) + torch.diag(penalty)
        beta = beta + torch.linalg.solve(curvature, slope)
    return beta
