"""Who attacks: the configured attacks, and those that an examination adds by itself."""

from collections.abc import Mapping

from pipeline.attacks.evasion import Attacker, attackers_of
from pipeline.config import Config
from pipeline.files import BadInput

TRANSFER, SURROGATE, EXACT = "transfer", "surrogate", "exact"

# The records that harm the undefended models; one step along the gradient of a linear stand-in;
# the verifier.
ADDED: Mapping[str, Attacker] = {
    TRANSFER: Attacker(TRANSFER, "transfer"),
    SURROGATE: Attacker(SURROGATE, "transfer", steps="one"),
    EXACT: Attacker(EXACT, "exact"),
}


def all_attackers(cfg: Config, origin: str = "params.yaml") -> dict[str, Attacker]:
    """What is known of every attack of an examination, by its name in the results.

    Raises:
        BadInput: an attack is not configured rightly, or has the name of one that is added.
    """
    for name in cfg.attack:
        if name in ADDED:
            raise BadInput(
                f"{origin}: attack.{name}: every examination adds an attack of this name; "
                "choose another one"
            )
    return {**attackers_of(cfg.attack, origin), **ADDED}
