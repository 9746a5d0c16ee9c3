"""One module per risk. `EVASION` lists the evasion attacks by the `method` that a file in `conf/attack/` names."""

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from pipeline.attacks.evasion.blackbox import hop_skip_jump, square
from pipeline.attacks.evasion.control import noise
from pipeline.attacks.evasion.gradient import apgd, fgsm, pgd
from pipeline.attacks.evasion.minimum import fab
from pipeline.attacks.evasion.sparse import sparse
from pipeline.config import Norm
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.validation import check_options, nearest

Attack = Callable[..., Tensor]

EVASION: dict[str, Attack] = {
    "noise": noise,
    "fgsm": fgsm,
    "pgd": pgd,
    "apgd": apgd,
    "fab": fab,
    "square": square,
    "hop_skip_jump": hop_skip_jump,
    "sparse": sparse,
}

# The norms under which each method attacks; under any other it refuses.
NORMS: dict[str, frozenset[Norm]] = {
    "noise": frozenset({"linf", "l2", "l0"}),
    "fgsm": frozenset({"linf", "l2"}),
    "pgd": frozenset({"linf", "l2"}),
    "apgd": frozenset({"linf", "l2"}),
    "fab": frozenset({"linf", "l2"}),
    "square": frozenset({"linf", "l2"}),
    "hop_skip_jump": frozenset({"linf", "l2"}),
    "sparse": frozenset({"l0"}),
}

# The most that each method sees of the model; the control only looks which of its draws is worst.
ACCESS: dict[str, str] = {
    "noise": "none",
    "fgsm": "gradients",
    "pgd": "gradients",
    "apgd": "gradients",
    "fab": "gradients",
    "square": "scores",
    "hop_skip_jump": "labels",
    "sparse": "scores",
}

SET_BY_PROGRAM = ("eps", "generator")


def evasion_attack(options: dict[str, Any], key: str) -> Attack:
    """The attack that `options` describes: a `method` of `EVASION` and its options, checked against its signature.

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
    return partial(
        EVASION[method], **check_options(EVASION[method], rest, key, given=SET_BY_PROGRAM)
    )


def evasion_suite(
    configured: dict[str, dict[str, Any]], origin: str = "params.yaml", norm: Norm | None = None
) -> dict[str, Attack]:
    """The attacks of an `attack:` section, by their names there; only those that know `norm`, if given.

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
        if norm is None or norm in NORMS[configured[name]["method"]]
    }


def query_budget(options: dict[str, Any], threat: Threat, largest: float) -> int | None:
    """How many answers of the model a configured attack reads for one record at the most; None = it holds the model."""
    if options["method"] == "sparse":
        return 1 + int(largest) * int(threat.mutable.sum()) * int(options["points"])
    return options.get("queries")
