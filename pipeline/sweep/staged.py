"""What else is measured of a recipe where `risks=all` asks for it: risks with a stage of their own.

Each is measured of this recipe alone; what it is compared with is a run of its own. They are named
here, as in `dvc.yaml`: their stages are scripts, and what these call differs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.config import Config, Section
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import why_not_poisoned
from pipeline.defenses.trained import train_reported
from pipeline.files import NOT_APPLICABLE, write_json
from pipeline.risks.federation.measure.settings import RECIPE, FederationSettings
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.stages import said_of, why_left_out
from pipeline.stages.federation import federate_all
from pipeline.stages.guard import guard_models
from pipeline.stages.poisoning import poison_recipes
from pipeline.stages.theft import steal_one
from pipeline.sweep.keys import beside_none

Measure = Callable[[str, Dataset, Config, Path], None]


def _poison(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    if why := why_not_poisoned(name):
        write_json(place / NOT_APPLICABLE, {"poisoning": {name: why}})
        return
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    poison_recipes([name], dataset, plan, cfg, place)


def _steal(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    steal_one(name, dataset, cfg, place / name)


def _guard(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    guard_models({name: train_reported(name, dataset, plan, cfg)}, dataset, plan, cfg, place)


def _federate(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    if name != RECIPE:
        write_json(place / NOT_APPLICABLE, {})  # of another recipe's training there is no word
        return
    (place / name).mkdir()
    whys = federate_all(dataset, Plan.of(dataset, cfg.plan, cfg.seed), cfg, place / name)
    if whys:
        write_json(place / NOT_APPLICABLE, {"federation": dict(whys)})


MEASURES: Mapping[str, tuple[Measure, type[Section]]] = {
    "guard": (_guard, GuardSettings),
    "poisoning": (_poison, PoisoningSettings),
    "theft": (_steal, TheftSettings),
    "federation": (_federate, FederationSettings),
}


def measure_staged(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    """Measures every such risk of one recipe, each into a folder of its name.

    Args:
        name: of the recipe.
        dataset: the records.
        cfg: its configuration.
        place: an existing folder.
    """
    whole = beside_none(cfg)  # poison is chosen by what it does to undefended models
    for risk, (measure, settings) in MEASURES.items():
        (place / risk).mkdir()
        if why := why_left_out(settings, whole):
            write_json(place / risk / NOT_APPLICABLE, said_of(risk, why))
        else:
            measure(name, dataset, whole, place / risk)
