"""Whether an attack can trust a model: what its gradients and answers are, for `flags`.

Each is a pure function; the model is any callable from records (M, B, D) in clinical units to
logits (M, B, C). After Carlini et al. 2019 (arXiv:1902.06705), Athalye et al. 2018
(arXiv:1802.00420) and the flags of Croce and Hein 2020 (arXiv:2003.01690).
"""

from dataclasses import replace

import torch
from torch import Tensor

from pipeline.attacks.evasion.gradient import pgd
from pipeline.attacks.evasion.losses import Loss, ascent
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.data.threat import Threat
from pipeline.models.answers import margin
from pipeline.models.population import Population
from pipeline.seeds import Stream
from pipeline.seeds import generator as generator_of

# of a reference SD: in float64 rounding stays below 1e-9, and few records have a kink of a ReLU so
# near
DIFFERENCE_STEP = 1e-5
SAMPLED_RECORDS = 24  # of each member: finite differences ask for 2 D answers per record
PGD_STEPS, PGD_STEP_SIZE = 20, 0.2  # as `conf/attack/pgd_margin.yaml`
UNBOUNDED_EPS = 100.0  # reference SDs: no measurement of a living person lies so far out
SUM_TOLERANCE = 1e-4  # float32 softmaxes add up to 1 within this


def zero_gradient_share(
    model: LogitsFn, x: Tensor, y: Tensor, loss: Loss = "cross_entropy"
) -> float:
    """The share of rightly answered records at which the loss has no gradient in float32.

    Gradient attacks stand still there.

    Args:
        model: to be measured.
        x: records (M, B, D) in clinical units, NaN = missing; a record without any value does not
            count.
        y: class indices (M, B).
        loss: whose gradient.

    Returns:
        in [0, 1]; 0 where no record is answered rightly.
    """
    grad, logits = ascent(model, x, y, loss)
    counted = (margin(logits, y) > 0) & ~x.isnan().all(-1)
    flat = (grad == 0).all(-1) & counted
    return float(flat.sum() / counted.sum().clamp(min=1))


def gradient_agreement(
    model: LogitsFn, x: Tensor, y: Tensor, scale: Tensor, *, reference: LogitsFn
) -> float:
    """Cosine between the margin's gradient and its central differences in float64.

    The gradient as an attack gets it.

    In units of `scale`, so that no feature counts by the size of its unit. The median over a
    member's records, because a kink of a ReLU may lie between the two points; then the worst
    member.

    Args:
        model: to be measured.
        x: records (M, B, D) in clinical units, NaN = missing.
        y: class indices (M, B).
        scale: (D,) clinical units per unit of eps.
        reference: the same model on float64 records; only its answers are used.

    Returns:
        in [-1, 1]; 1 = right. Two gradients that are both zero agree.
    """
    grad = -ascent(model, x, y, "margin")[0].double() * scale
    exact = torch.zeros_like(grad)
    for feature in range(x.shape[-1]):
        step = torch.zeros_like(scale)
        step[feature] = DIFFERENCE_STEP * scale[feature]
        with torch.no_grad():
            above, below = (margin(reference(x.double() + side * step), y) for side in (1, -1))
        exact[..., feature] = (above - below) / (2 * DIFFERENCE_STEP)
    lengths = grad.norm(dim=-1) * exact.norm(dim=-1)
    cosine = (grad * exact).sum(-1) / torch.where(lengths > 0, lengths, 1.0)
    cosine[(grad == 0).all(-1) & (exact == 0).all(-1)] = 1.0
    return float(cosine.median(-1).values.min())


@torch.no_grad()
def nondeterminism(model: LogitsFn, x: Tensor) -> float:
    """The largest difference between two answers to the same records, in logits."""
    return float((model(x) - model(x)).abs().max())


@torch.no_grad()
def answers_are_probabilities(model: LogitsFn, x: Tensor) -> float:
    """The share of answers that lie in [0, 1] and sum to 1: a softmax.

    Its gradient vanishes where the model is certain.
    """
    answers = model(x)
    like_probabilities = ((answers >= 0) & (answers <= 1)).all(-1) & (
        (answers.sum(-1) - 1).abs() <= SUM_TOLERANCE
    )
    return float(like_probabilities.float().mean())


def convergence_gap(
    model: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float,
    generator: torch.Generator,
    steps: int = PGD_STEPS,
    step_size: float = PGD_STEP_SIZE,
) -> float:
    """How much accuracy twice the steps of PGD on the margin take beyond the steps given.

    A share of the records.

    Positive = the attack had not converged. Chance can make it a little negative.
    """
    once, twice = (
        accuracy(
            model,
            pgd(
                model, x, y, threat, eps=eps, steps=count, step_size=step_size, generator=generator
            ),
            y,
        )
        for count in (steps, 2 * steps)
    )
    return once - twice


def unbounded_accuracy(
    model: LogitsFn, x: Tensor, y: Tensor, threat: Threat, *, generator: torch.Generator
) -> float:
    """Accuracy left when every value may become anything (PGD on the margin at `UNBOUNDED_EPS`).

    A model that depends on its input must then be no better than the best constant answer; a better
    one hides its gradients.
    """
    free = unconstrained(threat)
    x_adv = pgd(
        model,
        x,
        y,
        free,
        eps=UNBOUNDED_EPS,
        steps=PGD_STEPS,
        step_size=PGD_STEP_SIZE,
        generator=generator,
    )
    return accuracy(model, x_adv, y)


def unconstrained(threat: Threat) -> Threat:
    """The same units, without any limit but eps; every wrong answer counts."""
    limit = torch.full_like(threat.upper, torch.inf)
    everything = torch.ones_like(threat.mutable)
    return replace(
        threat.of_numbers,
        mutable=everything,
        lower=-limit,
        upper=limit,
        step=torch.zeros_like(threat.step),
        norm="linf",
        goal="any",
        relations=None,
    )


def diagnose(
    population: Population, x: Tensor, y: Tensor, threat: Threat, *, eps: float, seed: int
) -> dict[str, float]:
    """All measurements of one population, by the names that `pipeline.risks.evasion.flags` reads.

    Args:
        population: M models.
        x: records (M, B, D) in clinical units, each member's own, out of fold; filler of the
            rectangle counts too.
        y: class indices (M, B).
        threat: for `convergence_gap`; its scale is the unit of all.
        eps: radius of `convergence_gap`, in units of threat.scale; where the audit's figures are
            read.
        seed: of the sample for finite differences.

    Returns:
        zero_gradient_share, gradient_agreement, nondeterminism, answers_are_probabilities,
        convergence_gap and unbounded_accuracy. Of images, and of a model that gives scores alone,
        only what needs no gradient.
    """
    generator = generator_of(Stream.DIAGNOSTICS, seed)
    sample = torch.randperm(x.shape[1], generator=generator)[:SAMPLED_RECORDS]
    if not population.gradients or x.dim() > 3:
        return {
            "nondeterminism": nondeterminism(population, x),
            "answers_are_probabilities": answers_are_probabilities(population, x),
        }
    return {
        "zero_gradient_share": zero_gradient_share(population, x, y),
        "gradient_agreement": gradient_agreement(
            population, x[:, sample], y[:, sample], threat.scale, reference=population.double()
        ),
        "nondeterminism": nondeterminism(population, x),
        "answers_are_probabilities": answers_are_probabilities(population, x),
        "convergence_gap": convergence_gap(
            population,
            x,
            y,
            # a repair is no part of the model
            replace(threat, norm="linf", goal="any", relations=None),
            eps=eps,
            generator=generator,
        ),
        "unbounded_accuracy": unbounded_accuracy(population, x, y, threat, generator=generator),
    }


@torch.no_grad()
def accuracy(model: LogitsFn, x: Tensor, y: Tensor) -> float:
    """The share of records that are answered rightly; a tie is an error."""
    return float((margin(model(x), y) > 0).float().mean())
