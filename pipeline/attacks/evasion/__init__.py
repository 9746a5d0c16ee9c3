"""Evasion attacks. `EVASION` holds each by the `method` that a file in `conf/attack/` names."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from torch import Tensor

from pipeline.attacks.evasion.blackbox import hop_skip_jump, square
from pipeline.attacks.evasion.control import noise
from pipeline.attacks.evasion.discrete import recodes
from pipeline.attacks.evasion.everybody import universal
from pipeline.attacks.evasion.gradient import apgd, fgsm, pgd
from pipeline.attacks.evasion.greedy import sparse
from pipeline.attacks.evasion.losses import Loss
from pipeline.attacks.evasion.minimum import fab
from pipeline.config import Norm
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.validation import check_options, nearest

Attack = Callable[..., Tensor]

# The most that an attack sees of the model it attacks, from most to least; keys of
# `pipeline.standards.KNOWLEDGE`. The control only looks which of its draws is worst.
Access = Literal["exact", "gradients", "scores", "labels", "transfer", "none"]
ACCESS_LEVELS: tuple[Access, ...] = get_args(Access)

# Whom an attack must beat, if it is any good: those who see less. A solver may find what no attack
# finds, and need not.
MUST_BEAT: Mapping[Access, frozenset[Access]] = {
    "exact": frozenset(),
    "gradients": frozenset({"scores", "labels", "transfer", "none"}),
    "scores": frozenset({"none"}),
    "labels": frozenset({"none"}),
    "transfer": frozenset({"none"}),
    "none": frozenset(),
}

Steps = Literal["none", "one", "many"]
Budget = Callable[[Mapping[str, Any], Threat, float], int | None]


def unlimited(options: Mapping[str, Any], threat: Threat, largest: float) -> None:
    """The budget of an attack that asks as often as it likes."""


def as_configured(options: Mapping[str, Any], threat: Threat, largest: float) -> int:
    """The budget of an attack whose option `queries` says how often it asks."""
    return int(options["queries"])


def greedily(options: Mapping[str, Any], threat: Threat, largest: float) -> int:
    """The budget of `sparse`: the record, then some points of every value for each change."""
    return 1 + int(largest) * int(threat.mutable.sum()) * int(options["points"])


def of_variants(options: Mapping[str, Any], threat: Threat, largest: float) -> int:
    """The budget of `recodes`: the variants, both ends of every number twice, a last choice."""
    return int(options["listed"]) + 4 * int(threat.mutable.sum()) + 1


@dataclass(frozen=True)
class EvasionAttack:
    """An attack, and what is known of it before it is run.

    Attributes:
        run: the function.
        norms: the norms under which it attacks; under any other it refuses.
        access: the most that it sees of the model.
        steps: how many steps it takes along a gradient.
        budget: how many answers of the model it reads for one record at the most, by its options,
            the threat and the largest radius; None = not limited.
        discrete: whether it recodes and leaves out; such an attack is run only under a threat that
            lets it, and beats those that cannot without their being suspect.
        images: whether it attacks images too.
    """

    run: Attack
    norms: frozenset[Norm]
    access: Access
    steps: Steps
    budget: Budget = unlimited
    discrete: bool = False
    images: bool = True


BALLS: frozenset[Norm] = frozenset({"linf", "l2"})
COUNT: frozenset[Norm] = frozenset({"l0"})

EVASION: dict[str, EvasionAttack] = {
    "noise": EvasionAttack(noise, BALLS | COUNT, "none", steps="none"),
    "fgsm": EvasionAttack(fgsm, BALLS, "gradients", steps="one"),
    "pgd": EvasionAttack(pgd, BALLS, "gradients", steps="many"),
    "apgd": EvasionAttack(apgd, BALLS, "gradients", steps="many"),
    "fab": EvasionAttack(fab, BALLS, "gradients", steps="many"),
    "universal": EvasionAttack(universal, BALLS, "gradients", steps="many"),
    "square": EvasionAttack(square, BALLS, "scores", steps="none", budget=as_configured),
    "hop_skip_jump": EvasionAttack(
        hop_skip_jump, BALLS, "labels", steps="none", budget=as_configured
    ),
    "sparse": EvasionAttack(sparse, COUNT, "scores", steps="none", budget=greedily, images=False),
    "recodes": EvasionAttack(
        recodes,
        BALLS | COUNT,
        "scores",
        steps="none",
        budget=of_variants,
        discrete=True,
        images=False,
    ),
}


@dataclass(frozen=True)
class Attacker:
    """A configured attack by what it does, never by what it is called.

    Attributes:
        method: a key of `EVASION`, or the name of what an examination adds by itself.
        access: the most that it sees of the model.
        steps: how many steps it takes along a gradient.
        loss: what it increases, where that is an option of the method.
        options: all other options, those at their default included.
        discrete: whether it recodes and leaves out.
    """

    method: str
    access: Access
    steps: Steps = "none"
    loss: Loss | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    discrete: bool = False

    @property
    def must_beat(self) -> frozenset[Access]:
        """The access of those whom it must beat."""
        return MUST_BEAT[self.access]

    def differs_by_loss(self, other: "Attacker") -> bool:
        """Whether both are the same attack, but for what they increase."""
        same = (self.method, self.options) == (other.method, other.options)
        return same and self.loss != other.loss


SET_BY_PROGRAM = ("eps", "generator")


def evasion_attack(options: dict[str, Any], key: str) -> "partial[Tensor]":
    """The attack that `options` describes, its options bound and checked against its signature.

    Args:
        options: a `method` of `EVASION`, and the keyword-only arguments of its function.
        key: where the options stand, for the message.

    Raises:
        BadInput: the method or an option is unknown, missing, ill-typed or out of its range.
    """
    if "method" not in options:
        close = difflib.get_close_matches("method", list(options), n=1)
        raise BadInput(
            f"{key}.{close[0]}: unknown key; did you mean 'method'?"
            if close
            else f"{key}.method: missing; a preset may adjust an attack only where it is chosen"
        )
    method = options["method"]
    if not isinstance(method, str) or method not in EVASION:
        raise BadInput(
            f"{key}.method: {method!r} is no evasion attack; {nearest(str(method), EVASION)}"
        )
    rest = {name: value for name, value in options.items() if name != "method"}
    run = EVASION[method].run
    return partial(run, **check_options(run, rest, key, given=SET_BY_PROGRAM))


def evasion_suite(
    configured: dict[str, dict[str, Any]], origin: str = "params.yaml", norm: Norm | None = None
) -> dict[str, Attack]:
    """The attacks of an `attack:` section, by their names there.

    Args:
        configured: the section.
        origin: where it stands, for the message.
        norm: those that are not made for it are left out; None = all.

    Raises:
        BadInput: as for `evasion_attack`.
    """
    suite = {
        name: evasion_attack(options, f"{origin}: attack.{name}")
        for name, options in configured.items()
    }
    return {
        name: attack
        for name, attack in suite.items()
        if norm is None or norm in EVASION[configured[name]["method"]].norms
    }


def attackers_of(
    configured: dict[str, dict[str, Any]], origin: str = "params.yaml"
) -> dict[str, Attacker]:
    """What is known of the attacks of an `attack:` section, by their names there.

    Raises:
        BadInput: as for `evasion_attack`.
    """
    known = {}
    for name, options in configured.items():
        rest = dict(evasion_attack(options, f"{origin}: attack.{name}").keywords)
        loss, entry = rest.pop("loss", None), EVASION[options["method"]]
        known[name] = Attacker(
            options["method"], entry.access, entry.steps, loss, rest, entry.discrete
        )
    return known
