"""A model as strangers see it: an API that answers, counts every question, and stops at a budget.

Shapes: V victims, K models behind each, B records, D features. A victim is any `logits_fn` from
records (..., V, B, D) to logits (..., V, B, 2). An answer is the chance of class 1 (disease
present), as the access level shows it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from pipeline.attacks.evasion.records import LogitsFn
from pipeline.data.schema import Schema
from pipeline.models.population import Population

Access = Literal["probabilities", "two_digits", "one_digit", "labels"]
Answer = Callable[[Tensor], Tensor]
Noise = Callable[[Tensor, float], Tensor]

DIGITS: dict[Access, int] = {"two_digits": 2, "one_digit": 1}
ACCESS_LEVELS: tuple[Access, ...] = ("probabilities", "two_digits", "one_digit", "labels")
# of a feature's scale: values that differ by less get the same noise where the clinic has no grid
FINEST = 1e-3
MASK_53 = 2**53 - 1


class BudgetSpent(Exception):
    """Somebody asked for more answers than they were granted."""


@dataclass
class Oracle:
    """An API in front of V victims.

    Every record that is sent to a victim counts, whatever becomes of it. A record counts before it
    is answered, so a call that fails has been paid for; so has a repeat. A call that goes beyond
    the budget is refused as a whole, and costs nothing, because it tells nothing.

    Attributes:
        log_odds: maps records (..., V, B, D) to the log-odds of class 1 (..., V, B); may hold a
            defense.
        access: how much of the answer is shown.
        budget: records that each victim answers at most.
        event: axes of one record: 1, of an image 3.
        asked: records that each victim has been asked about.
    """

    log_odds: Answer
    access: Access
    budget: int
    event: int = 1
    asked: int = field(default=0, init=False)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Asks every victim about records of its own.

        Args:
            x: (..., V, B, *event) in clinical units, NaN = missing.

        Returns:
            (..., V, B) float64 in [0, 1]: the chance of class 1 as `access` shows it.

        Raises:
            BudgetSpent: the call would exceed the budget.
        """
        *before, _, count = x.shape[: -self.event]
        records = math.prod(before) * count
        if self.asked + records > self.budget:
            raise BudgetSpent(
                f"{records} more records after {self.asked} exceed the budget of {self.budget} for "
                "each victim"
            )
        self.asked += records
        return shown(self.log_odds(x), self.access)


def shown(log_odds: Tensor, access: Access) -> Tensor:
    """What a user sees of an answer.

    The chance of class 1 in full, rounded to one or two digits, or only the class, 0 or 1.
    """
    if access == "labels":
        return (log_odds > 0).double()
    chance = torch.sigmoid(log_odds.double())
    return torch.round(chance, decimals=DIGITS[access]) if access in DIGITS else chance


def plain(victims: LogitsFn) -> Answer:
    """The victims' own log-odds."""

    def answer(x: Tensor) -> Tensor:
        logits = victims(x)
        return (logits[..., 1] - logits[..., 0]).double()

    return answer


def ensemble(population: Population, size: int) -> LogitsFn:
    """Victims that answer with the mean probability of several models.

    Args:
        population: V x K models; those of one victim stand together.
        size: K.

    Returns:
        maps records (..., V, B, D) to logits (..., V, B, 2), differentiable: the logarithms of the
            mean probabilities.
    """

    def logits(x: Tensor) -> Tensor:
        each: Tensor = log_softmax(population(x.repeat_interleave(size, -3)), -1)
        together: Tensor = each.unflatten(-3, (-1, size)).logsumexp(-3) - math.log(size)
        return together

    return logits


def noisy(
    log_odds: Callable[[Tensor], Tensor], noise: Noise, spread: float, schema: Schema, key: int
) -> Callable[[Tensor], Tensor]:
    """Adds noise that is a function of the record and a secret: asking again tells nothing new.

    A record is what the clinic would write down: values that differ by less than a step of the grid
    (without one, by less than a thousandth of the scale) get the same noise. Neighbours on the grid
    get noise of their own, which a copy averages out.

    Args:
        log_odds: maps records (..., V, B, D) to (..., V, B).
        noise: `laplace` or `gaussian`.
        spread: standard deviation of the noise, in log-odds; the same for either kind.
        schema: grid and scale of each feature.
        key: the secret; each victim mixes its own number into it.
    """
    unit = torch.tensor(
        [feature.step or FINEST * feature.scale for feature in schema.features], dtype=torch.float64
    )

    def answer(x: Tensor) -> Tensor:
        return log_odds(x) + noise(uniform_of_record(x, unit, key), spread)

    return answer


def laplace(uniform: Tensor, spread: float) -> Tensor:
    """Laplace noise of this standard deviation, by the inverse of its distribution function.

    `uniform` lies in (0, 1).
    """
    centred = uniform - 0.5
    tail: Tensor = centred.sign() * torch.log1p(-2 * centred.abs())
    return -spread / math.sqrt(2) * tail


def gaussian(uniform: Tensor, spread: float) -> Tensor:
    """Gaussian noise of this standard deviation, by the inverse of its distribution function.

    `uniform` lies in (0, 1).
    """
    result: Tensor = spread * torch.special.ndtri(uniform)
    return result


def uniform_of_record(x: Tensor, unit: Tensor, key: int) -> Tensor:
    """A number in (0, 1) for each record, evenly spread, from whole multiples of `unit`.

    Args:
        x: (..., V, B, D); NaN = missing, a value of its own.
        unit: (D,) in clinical units.
        key: the secret.

    Returns:
        (..., V, B) float64.
    """
    ticks = torch.round(x.double() / unit).nan_to_num(nan=-(2.0**40)).long()
    victim = torch.arange(x.shape[-3])[:, None].expand(x.shape[:-1])
    state = _mixed(victim + key)
    for column in ticks.unbind(-1):
        state = _mixed(state ^ column)
    return ((_shifted(state, 11) & MASK_53).double() + 0.5) / 2**53


def _mixed(state: Tensor) -> Tensor:
    """SplitMix64's finaliser of int64 numbers, which wrap around as unsigned ones do.

    Steele et al. 2014.
    """
    state = state + -7046029254386353131  # 0x9E3779B97F4A7C15
    state = (state ^ _shifted(state, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    state = (state ^ _shifted(state, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, bits: int) -> Tensor:
    """Shifted to the right, with zeros from the left."""
    kept: Tensor = (state >> bits) & ((1 << (64 - bits)) - 1)
    return kept


NOISE: dict[str, Noise] = {"laplace": laplace, "gaussian": gaussian}
