"""Parameters of a run: the few by which a team tells runs apart. All others are an artifact.

MLflow's page that compares runs opens with the first three that differ, in the alphabet's order:
so `defense`, `eps` and `epsilon` stand in it, and nothing before them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES
from pipeline.defenses.growing import GROWN
from pipeline.models.population import Networks, Population
from pipeline.models.trees import Trees
from pipeline.risks.risk import Point

COMPARED = ("defense", "eps", "epsilon")
BROUGHT = frozenset({"linear", *GROWN})  # kinds that a recipe may bring, whatever `model` says


def parameters(
    cfg: Config, name: str, population: Population, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """What tells a run of a defense apart from others, and what it is compared under.

    Args:
        cfg: resolved.
        name: of the defense.
        population: what its recipe made.
        overrides: `key=value` of whatever sets this run apart from others of its defense.
    """
    decision = population.facts.get("decision", {})
    return {
        **strength(cfg, name),
        **apart(name, overrides),
        "data": cfg.data.name,
        "model": kind_of(cfg, name, population),
        "seed": cfg.seed,
        **_repeated(cfg),
        "threat": cfg.audit.headline,
        "threshold_rule": " ".join(
            str(decision[key]) for key in ("rule", "value") if decision.get(key) is not None
        )
        or "none",
    }


def kind_of(cfg: Config, name: str, population: Population) -> str:
    """The kind of model: the configured one, but of recipes that bring their own, as trees do."""
    named = population.architecture.name if isinstance(population, Networks | Trees) else ""
    return named if name != BASELINE and named in BROUGHT else cfg.model.name


def _repeated(cfg: Config) -> dict[str, int]:
    """What each patient is held out by, as far as the plan reads it."""
    folds, repetitions = {"folds": cfg.plan.folds}, {"repetitions": cfg.plan.seeds}
    kinds = {"folds": folds | repetitions, "official": repetitions, "frozen": {}}
    return kinds[cfg.plan.kind]


def point_parameters(
    cfg: Config, name: str, population: Population, point: Point, overrides: Sequence[str]
) -> dict[str, Any]:
    """Those of a nested run: of the defense, and the setting of the attacker."""
    told = {**strength(cfg, name), **apart(name, overrides)}
    kind = kind_of(cfg, name, population)
    return {**told, "model": kind, "seed": cfg.seed, **point.params}


def strength(cfg: Config, name: str) -> dict[str, Any]:
    """The defense, and how strong it is.

    `eps`: the radius that it trains against; 0 = against no attacker. `epsilon`: the privacy budget
    that it may spend; none where it promises no privacy, which no number would say.
    """
    options = cfg.defenses[name]
    told = {"defense": name, "eps": f"{options.get('eps', 0):g}"}
    return told | ({"epsilon": f"{options['epsilon']:g}"} if "epsilon" in options else {})


def apart(name: str, overrides: Sequence[str]) -> dict[str, str]:
    """Overrides as parameters: the defense's own without its name, those of others left out."""
    told = {}
    for override in overrides:
        key, _, value = override.partition("=")
        owner, _, rest = key.lstrip("+~").partition(".")
        if owner == name or owner not in DEFENSES:
            own = rest if owner == name else key.lstrip("+~")
            told[own] = "removed" if key.startswith("~") else placeless(value)
    return told


def placeless(value: str) -> str:
    """A value that may be the path of a file on this machine, as the name of the file alone."""
    bare = value.strip("'")  # as an override quotes what holds other signs
    return Path(bare).name if Path(bare).is_absolute() else value


def settings(values: Any) -> Any:
    """A configuration, as deep as it is, without places on this machine."""
    if isinstance(values, Mapping):
        return {str(key): settings(inner) for key, inner in values.items()}
    if isinstance(values, list | tuple):
        return [settings(inner) for inner in values]
    return placeless(values) if isinstance(values, str) else values
