"""What poisoned training data do to every recipe.

Command:  python -m pipeline.stages.poisoning
Reads:    artifacts/prepare/
Writes:   artifacts/poisoning/{poisoning.csv,<defense>.safetensors}
"""

from pipeline.config import Config
from pipeline.damage import damage, poisonings
from pipeline.damage_tables import damage_table
from pipeline.files import folder
from pipeline.stages import ARTIFACTS, prepared, run


def poisoning(cfg: Config) -> None:
    """The stage."""
    poison = poisonings(*prepared(), cfg)
    damages = {name: damage(name, poison, cfg) for name in cfg.defenses}
    with folder(ARTIFACTS / "poisoning") as out:
        for name, one in damages.items():
            one.save(out / f"{name}.safetensors")
        damage_table(damages, cfg).to_csv(out / "poisoning.csv", index=False)


if __name__ == "__main__":
    run(poisoning)
