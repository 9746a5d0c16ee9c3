"""One short script per stage of `dvc.yaml`, named as the stage is.

A stage reads `params.yaml` and its own inputs, writes its own folder `artifacts/<stage>/` in one
piece, and holds no mathematics.
"""

import gc
import sys

from pipeline.kernels import fix_kernels

gc.set_threshold(100_000)  # before the imports: looking for cycles took a sixth of them
fix_kernels()  # before torch and NumPy, which look at the processor once

from collections.abc import Callable
from pathlib import Path

from pipeline.config import BASELINE, Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, load_dataset
from pipeline.files import BadInput, FailedCheck, writes_params
from pipeline.params import load

ARTIFACTS = Path("artifacts")
PLAN = "plan.safetensors"
STAGE_OF = {
    BASELINE: "train_baseline"
}  # the other defenses are trained by the stage of their own name


def run(stage: Callable[[Config], None]) -> None:
    """Runs a stage on `params.yaml`; a mistake is one line and status 2, a failed check 1."""
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


def trained_by(cfg: Config, arguments: list[str]) -> str:
    """The defense that the command line names.

    Raises:
        BadInput: it names none, or one that is not configured.
    """
    if len(arguments) != 1:
        raise BadInput(f"command line: expected one defense, one of {', '.join(cfg.defenses)}")
    if arguments[0] not in cfg.defenses:
        raise BadInput(
            f"params.yaml: {arguments[0]}: missing; {writes_params()} writes it from "
            f"conf/defense/{arguments[0]}.yaml"
        )
    return arguments[0]
