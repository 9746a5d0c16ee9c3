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
    FILTERED,
    Cleansing,
    cleanse,
    cleansed_attacks,
)
from pipeline.risks.poisoning.measure.recipes import Damage, Poisonings, damage, poisonings
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.stages import ARTIFACTS, prepared, run

Experiment = Callable[[str, Poisonings, Config], Damage | Cleansing]


def run_one(experiment: Experiment, name: str, poison: Poisonings, cfg: Config, path: Path) -> None:
    """One recipe, or one attack that is filtered, by whichever process is free."""
    experiment(name, poison, cfg).save(path)


def poisoning(cfg: Config) -> None:
    """The stage."""
    poison = poisonings(*prepared(), cfg)
    recipes = cfg.chosen(cfg.section(PoisoningSettings).recipes)
    with folder(ARTIFACTS / "poisoning") as out:
        jobs = [(damage, name, poison, cfg, out / f"{name}.safetensors") for name in recipes]
        filtered = cleansed_attacks(poison)
        share_out(
            run_one,
            jobs
            + [
                (cleanse, one, poison, cfg, out / f"{FILTERED}{one}.safetensors")
                for one in filtered
            ],
        )


if __name__ == "__main__":
    run(poisoning)
