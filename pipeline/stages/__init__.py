"""One short script per stage of `dvc.yaml`, named as the stage is.

A stage reads `params.yaml` and its own inputs, writes its own folder `artifacts/<stage>/` in one piece, and holds no mathematics.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, load_dataset
from pipeline.files import BadInput, FailedCheck
from pipeline.params import load

ARTIFACTS = Path("artifacts")
PLAN = "plan.safetensors"


def run(stage: Callable[[Config], None]) -> None:
    """Runs a stage on `params.yaml`; a person's mistake becomes one line and exit status 2, a failed check status 1."""
    import torch

    try:
        cfg = load()
        torch.set_num_threads(cfg.threads)
        stage(cfg)
    except (BadInput, FailedCheck) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, BadInput) else 1) from None


def prepared() -> tuple[Dataset, Plan]:
    """What `prepare` wrote."""
    return load_dataset(ARTIFACTS / "prepare"), Plan.load(ARTIFACTS / "prepare" / PLAN)
