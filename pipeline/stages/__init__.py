"""One short script per stage of `dvc.yaml`, named as the stage is.

A stage reads `params.yaml` and its own inputs, writes its own folder `artifacts/<stage>/` in one piece, and holds no mathematics.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.audit import out_of_fold
from pipeline.compare import clean_metrics
from pipeline.config import Config
from pipeline.data import Dataset, load_dataset
from pipeline.defenses import train
from pipeline.files import BadInput, folder, write_json
from pipeline.params import load
from pipeline.plan import Plan

ARTIFACTS = Path("artifacts")
PLAN = "plan.safetensors"


def run(stage: Callable[[Config], None]) -> None:
    """Runs a stage on `params.yaml`; a person's mistake becomes one line and exit status 2."""
    import torch

    try:
        cfg = load()
        torch.set_num_threads(cfg.threads)
        stage(cfg)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def prepared() -> tuple[Dataset, Plan]:
    """What `prepare` wrote."""
    return load_dataset(ARTIFACTS / "prepare"), Plan.load(ARTIFACTS / "prepare" / PLAN)


def train_stage(name: str, defense: str) -> Callable[[Config], None]:
    """The stage `name`, which trains the recipe `defense` on the prepared plan and stores the population.

    Every training stage is this function: defences differ by their recipe alone.
    """

    def stage(cfg: Config) -> None:
        dataset, plan = prepared()
        if defense not in cfg.defenses:
            raise BadInput(f"params.yaml: {defense}: missing; `make params` writes it from conf/defense/{defense}.yaml")
        population = train(defense, dataset, plan, cfg)
        with folder(ARTIFACTS / name) as out:
            population.save(out)
            margins, y = out_of_fold(population, dataset, plan)
            write_json(out / "metrics.json", clean_metrics(margins.numpy(), y.numpy()))

    return stage
