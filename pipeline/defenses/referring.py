"""Which records a model had better leave to a human: rules, each a wrapper of a population.

A rule gives an answer and a doubt. The most doubtful are referred; how many is a matter of a
threshold, so that rules are compared where they refer equally many. What an attacker climbs must
have a gradient (`soft`); what is counted is the rule itself (`exact`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pipeline.models.last_layer import Laplace, moderated
from pipeline.models.population import Population
from pipeline.statistics.conformal import p_values

TIE = 1e-9  # of what orders records whose doubts are the same


class Seen(NamedTuple):
    """What a rule makes of records (..., M, B).

    Attributes:
        lead: log-odds of class 1 above where the model draws the line; above 0 = called ill.
        doubt: at most 0; HIGHER = REFERRED SOONER.
    """

    lead: Tensor
    doubt: Tensor


Looking = Callable[[Tensor], Seen]


@dataclass(frozen=True)
class Rule:
    """A rule, as it is deployed and as it is attacked.

    Attributes:
        exact: maps records (..., M, B, *event) to what is counted.
        soft: likewise, to what can be differentiated.
    """

    exact: Looking
    soft: Looking


def lead_of(population: Population, x: Tensor) -> Tensor:
    """(..., M, B) how far class 1 leads."""
    logits = population(x)
    return logits[..., 1] - logits[..., 0]


def close_to_the_line(population: Population) -> Rule:
    """The control: who is close to where the model draws the line."""

    def looking(models: Population) -> Looking:
        def look(x: Tensor) -> Seen:
            lead = lead_of(models, x)
            return Seen(lead, -lead.abs())

        return look

    return _of_both(looking, population)


def mean_of_members(members: Sequence[Population]) -> Rule:
    """A deep ensemble (Lakshminarayanan et al. 2017, arXiv:1612.01474): its mean, near the line.

    Args:
        members: populations of M models each; the k-th models of all of them answer together.
    """

    def looking(*models: Population) -> Looking:
        def look(x: Tensor) -> Seen:
            lead = together(torch.stack([lead_of(one, x) for one in models]))
            return Seen(lead, -lead.abs())

        return look

    return _of_both(looking, *members)


def disagreement_of_members(members: Sequence[Population]) -> Rule:
    """The same ensemble, doubting where its members' probabilities differ (their variance)."""

    def looking(*models: Population) -> Looking:
        def look(x: Tensor) -> Seen:
            leads = torch.stack([lead_of(one, x) for one in models])
            spread = torch.sigmoid(leads).var(0, unbiased=False)
            return Seen(together(leads), spread - 0.25)  # a variance of shares is at most 1/4

        return look

    return _of_both(looking, *members)


def unsure_last_layer(population: Population, posterior: Laplace) -> Rule:
    """Laplace: who is close to the line, measured by how sure the last layer is there."""

    def looking(models: Population, sure: Laplace) -> Looking:
        def look(x: Tensor) -> Seen:
            lead = lead_of(models, x)
            return Seen(lead, -moderated(lead, sure.variance(x)).abs())

        return look

    return _of_both(looking, population, posterior)


def no_single_class(plain: Rule, calibrated: Sequence[tuple[Tensor, Tensor]]) -> Rule:
    """Conformal sets, of each class by itself: who has no set of one class until it is very small.

    The doubt is how usual the less usual class would still be: at any level below it the set holds
    both classes.

    Args:
        plain: how close M models' answers are to the line; it is what an attacker climbs.
        calibrated: of each model the leads (n,) and classes (n,) of the records that were set
            aside for it.
    """

    def exact(x: Tensor) -> Seen:
        lead = plain.exact(x).lead
        both = class_p_values(lead, calibrated)
        tie = TIE * lead.abs() / (1 + lead.abs())
        return Seen(lead, both.amin(0) - 1 - tie)

    return Rule(exact, plain.soft)


def class_p_values(lead: Tensor, calibrated: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """(2, ..., M, B) float64: how usual each class would be for records of these leads.

    Args:
        lead: (..., M, B).
        calibrated: of each of the M models as in `no_single_class`.
    """
    found = np.empty((2, *lead.shape))
    for member, (leads, y) in enumerate(calibrated):
        known, labels = leads.double().numpy(), y.numpy()
        here = lead[..., member, :].double().numpy()
        for label, side in ((0, 1.0), (1, -1.0)):  # the further on the other side, the stranger
            found[label][..., member, :] = p_values(side * known[labels == label], side * here)
    return torch.from_numpy(found)


def together(leads: Tensor) -> Tensor:
    """The log-odds of the mean probability of members whose log-odds are (K, ...)."""
    return logsigmoid(leads).logsumexp(0) - logsigmoid(-leads).logsumexp(0)


def _of_both(looking: Callable[..., Looking], *parts: Population | Laplace) -> Rule:
    """What is counted is answered in float64, what is climbed as fast as can be."""
    exact, soft = looking(*(one.double() for one in parts)), looking(*parts)

    def counted(x: Tensor) -> Seen:
        with torch.no_grad():
            return exact(x.double())

    return Rule(counted, soft)
