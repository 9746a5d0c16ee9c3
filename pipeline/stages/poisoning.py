"""What poisoned training data do to every recipe, and what filters do for the undefended one.

Command:  python -m pipeline.stages.poisoning
Reads:    artifacts/prepare/
Writes:   artifacts/poisoning/<defense>.safetensors, filtered_<attack>.safetensors
"""

from collections.abc import Callable
from pathlib import Path

from pipeline.config import Config
from pipeline.files import folder
from pipeline.parallel import share_out
from pipeline.risks.poisoning.measure.filtering import (
    PREFIX,
    Filtered,
    filter_poison,
    filtered_attacks,
)
from pipeline.risks.poisoning.measure.recipes import CraftedPoison, Harm, craft_poison, measure_harm
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.stages import ARTIFACTS, prepared, run

Experiment = Callable[[str, CraftedPoison, Config], Harm | Filtered]


def run_one(
    experiment: Experiment, name: str, poison: CraftedPoison, cfg: Config, path: Path
) -> None:
    """One recipe, or one attack that is filtered, by whichever process is free."""
    experiment(name, poison, cfg).save(path)


def harm_and_filter(cfg: Config) -> str:
    """The stage."""
    dataset, plan = prepared()
    # nobody promises that whom a model is tuned on is clean
    poison = craft_poison(dataset, plan.without_tune(), cfg)
    recipes = cfg.chosen(cfg.section(PoisoningSettings).recipes)
    with folder(ARTIFACTS / "poisoning") as out:
        jobs = [(measure_harm, name, poison, cfg, out / f"{name}.safetensors") for name in recipes]
        filtered = filtered_attacks(poison)
        share_out(
            run_one,
            jobs
            + [
                (filter_poison, one, poison, cfg, out / f"{PREFIX}{one}.safetensors")
                for one in filtered
            ],
        )
    return f"{len(recipes)} recipes under {len(poison.sets)} attacks, {len(filtered)} filtered"


if __name__ == "__main__":
    run(harm_and_filter)
