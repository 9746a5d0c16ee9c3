"""One module per risk. `EVASION` lists the evasion attacks by the `method` that a file in `conf/attack/` names."""

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from pipeline.attacks.evasion import fgsm, noise, pgd
from pipeline.config import check_options, nearest
from pipeline.files import BadInput

Attack = Callable[..., Tensor]

EVASION: dict[str, Attack] = {"noise": noise, "fgsm": fgsm, "pgd": pgd}

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
        raise BadInput(f"{key}.method: {method!r} is no evasion attack; {nearest(str(method), EVASION)}")
    rest = {name: value for name, value in options.items() if name != "method"}
    return partial(EVASION[method], **check_options(EVASION[method], rest, key, given=SET_BY_PROGRAM))


def evasion_suite(configured: dict[str, dict[str, Any]], origin: str = "params.yaml") -> dict[str, Attack]:
    """The attacks of an `attack:` section, by their names there.

    Raises:
        BadInput: as for `evasion_attack`.
    """
    return {name: evasion_attack(options, f"{origin}: attack.{name}") for name, options in configured.items()}
