"""How well each recipe's models can be copied by whoever may ask them.

Command:  python -m pipeline.stages.theft
Reads:    artifacts/prepare/
Writes:   artifacts/theft/<defense>/{copies.parquet,answers.safetensors}
"""

from pathlib import Path

from pipeline.config import Config
from pipeline.data.schema import Dataset
from pipeline.defenses import trainable
from pipeline.files import NOT_APPLICABLE, folder, write_json
from pipeline.parallel import share_out
from pipeline.risks.theft.measure.copies import not_tried, steal
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.stages import ARTIFACTS, left_out, prepared, run


def steal_one(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    """One recipe, by whichever process is free."""
    steal(name, dataset, cfg).save(place)


def steal_all(cfg: Config) -> str:
    """The stage."""
    if why := left_out(TheftSettings, cfg, "theft"):
        return why
    dataset, _ = prepared()
    numbers = cfg.section(TheftSettings)
    names = trainable(numbers.recipes, cfg)
    with folder(ARTIFACTS / "theft") as out:
        if unfit := not_tried(cfg):
            write_json(out / NOT_APPLICABLE, {"theft": unfit})
        share_out(steal_one, [(name, dataset, cfg, out / name) for name in names])
    return f"{len(names)} recipes copied, with {len(numbers.budgets)} budgets"


if __name__ == "__main__":
    run(steal_all)
