"""What poisoned training data do to every recipe.

Command:  python -m pipeline.stages.poisoning
Reads:    artifacts/prepare/
Writes:   artifacts/poisoning/{poisoning.csv,<defense>.safetensors}
"""

from pathlib import Path

from pipeline.config import Config
from pipeline.damage import Damage, Poisonings, damage, poisonings
from pipeline.damage_tables import damage_table
from pipeline.files import folder
from pipeline.stages import ARTIFACTS, prepared, run
from pipeline.workers import share_out


def measure(name: str, poison: Poisonings, cfg: Config, path: Path) -> None:
    """One recipe, by whichever process is free."""
    damage(name, poison, cfg).save(path)


def poisoning(cfg: Config) -> None:
    """The stage."""
    poison = poisonings(*prepared(), cfg)
    with folder(ARTIFACTS / "poisoning") as out:
        files = {name: out / f"{name}.safetensors" for name in cfg.defenses}
        share_out(measure, [(name, poison, cfg, path) for name, path in files.items()])
        damages = {name: Damage.load(path) for name, path in files.items()}
        damage_table(damages, cfg).to_csv(out / "poisoning.csv", index=False)


if __name__ == "__main__":
    run(poisoning)
