"""What passes through a guard that answers only what is proved, what it costs and gives away.

Command:  python -m pipeline.stages.guard
Reads:    artifacts/prepare/, artifacts/train_baseline/, artifacts/adv_train/
Writes:   artifacts/guard/<defense>/{passed,taken}.safetensors
"""

from collections.abc import Mapping
from pathlib import Path

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import NOT_APPLICABLE, folder, write_json
from pipeline.models.population import Population, load_population
from pipeline.parallel import share_out
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.stages import ARTIFACTS, STAGE_OF, left_out, prepared, run


def guard_all(cfg: Config) -> str:
    """The stage; what it says at its end."""
    if why := left_out(GuardSettings, cfg, "guard"):
        return why
    dataset, plan = prepared()
    recipes = cfg.chosen(cfg.section(GuardSettings).recipes)
    with folder(ARTIFACTS / "guard") as out:
        populations = {
            name: load_population(ARTIFACTS / STAGE_OF.get(name, name)) for name in recipes
        }
        guard_models(populations, dataset, plan, cfg, out)
    return f"{len(recipes)} recipes behind a guard, attacked"


def guard_models(
    populations: Mapping[str, Population], dataset: Dataset, plan: Plan, cfg: Config, out: Path
) -> None:
    """Measures each into a folder of its own, and says of whom nothing is proved, and why."""
    # here: it takes a second to import, sometimes for naught
    from pipeline.risks.guard.measure.experiment import guard_one

    jobs = [(one, dataset, plan, cfg, out / name) for name, one in populations.items()]
    whys = dict(zip(populations, share_out(guard_one, jobs), strict=True))
    if said := {name: why for name, why in whys.items() if why}:
        write_json(out / NOT_APPLICABLE, {"guard": said})


if __name__ == "__main__":
    run(guard_all)
