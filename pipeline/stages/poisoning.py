"""What poisoned training data do to every recipe, and what finding and dropping poisoned records does for the undefended one.

Command:  python -m pipeline.stages.poisoning
Reads:    artifacts/prepare/
Writes:   artifacts/poisoning/{poisoning,sanitising}.csv, <defense>.safetensors, cleansed_<attack>.safetensors
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pipeline.config import Config
from pipeline.files import folder
from pipeline.parallel import share_out
from pipeline.risks.poisoning.filter_tables import sanitising_table
from pipeline.risks.poisoning.measure.filtering import RECIPE, Cleansing, cleanse, cleansed_attacks
from pipeline.risks.poisoning.measure.recipes import Damage, Poisonings, damage, poisonings
from pipeline.risks.poisoning.tables import damage_table
from pipeline.stages import ARTIFACTS, prepared, run

Experiment = Callable[[str, Poisonings, Config], Damage | Cleansing]


def measure(experiment: Experiment, name: str, poison: Poisonings, cfg: Config, path: Path) -> None:
    """One recipe, or one attack that is cleaned up after, by whichever process is free."""
    experiment(name, poison, cfg).save(path)


def poisoning(cfg: Config) -> None:
    """The stage."""
    poison = poisonings(*prepared(), cfg)
    with folder(ARTIFACTS / "poisoning") as out:
        harmed = {name: out / f"{name}.safetensors" for name in cfg.chosen(cfg.poisoning.recipes)}
        cleansed = {attack: out / f"cleansed_{attack}.safetensors" for attack in cleansed_attacks(poison)}
        jobs = [(damage, name, poison, cfg, path) for name, path in harmed.items()]
        share_out(measure, jobs + [(cleanse, attack, poison, cfg, path) for attack, path in cleansed.items()])
        damages = {name: Damage.load(path) for name, path in harmed.items()}
        cleansings = {attack: Cleansing.load(path) for attack, path in cleansed.items()}
        rows = share_out(damage_table, [({name: harm}, cfg) for name, harm in damages.items()])
        pd.concat(rows).to_csv(out / "poisoning.csv", index=False)
        sanitising_table(cleansings, damages[RECIPE], cfg).to_csv(out / "sanitising.csv", index=False)


if __name__ == "__main__":
    run(poisoning)
