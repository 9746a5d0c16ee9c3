"""How well each recipe's models can be copied by whoever may ask them.

Command:  python -m pipeline.stages.theft
Reads:    artifacts/prepare/
Writes:   artifacts/theft/{theft,theft_api}.csv, metrics.json, <defense>/{copies.parquet,answers.safetensors}
"""

from pathlib import Path

import pandas as pd

from pipeline.config import Config
from pipeline.data.schema import Dataset
from pipeline.files import folder, write_json, write_text
from pipeline.parallel import share_out
from pipeline.risks.theft.measure.copies import Theft, theft
from pipeline.risks.theft.tables import api_table, headline_metrics, theft_table
from pipeline.stages import ARTIFACTS, prepared, run


def measure(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    """One recipe, by whichever process is free."""
    theft(name, dataset, cfg).save(place)


def steal(cfg: Config) -> None:
    """The stage."""
    dataset, _ = prepared()
    with folder(ARTIFACTS / "theft") as out:
        places = {name: out / name for name in cfg.chosen(cfg.theft.recipes)}
        share_out(measure, [(name, dataset, cfg, place) for name, place in places.items()])
        thefts = {name: Theft.load(place) for name, place in places.items()}
        rows = share_out(theft_table, [({name: stolen}, cfg.audit, cfg.seed) for name, stolen in thefts.items()])
        table = pd.concat(rows, ignore_index=True)
        answers = api_table(thefts, table, cfg.audit, cfg.seed, cfg.theft.headline, cfg.theft.headline_budget)
        write_text(out / "theft.csv", table.to_csv(index=False))
        write_text(out / "theft_api.csv", answers.to_csv(index=False))
        write_json(out / "metrics.json", headline_metrics(table, cfg.theft.headline, cfg.theft.headline_budget))


if __name__ == "__main__":
    run(steal)
