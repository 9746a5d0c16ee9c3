"""One short script per stage of `dvc.yaml`, named as the stage is.

A stage reads `params.yaml` and its own inputs, writes its own folder `artifacts/<stage>/` in one
piece, and holds no mathematics.
"""

import gc
import sys
import time

from pipeline.kernels import fix_kernels

gc.set_threshold(100_000)  # before the imports: looking for cycles took a sixth of them
fix_kernels()  # before torch and NumPy, which look at the processor once

from collections.abc import Callable
from pathlib import Path

from pipeline.config import BASELINE, Config, Section
from pipeline.data.plan import PLAN, Plan
from pipeline.data.schema import Dataset, load_dataset
from pipeline.files import (
    BY_EXPERIMENT,
    FOR_IMAGES_ALONE,
    FOR_NETWORKS_ALONE,
    NOT_APPLICABLE,
    NOT_FOR_COUNTS,
    NOT_FOR_IMAGES,
    NOT_TRAINED_AGAIN,
    BadInput,
    FailedCheck,
    folder,
    unheard,
    write_json,
    writes_params,
)
from pipeline.kernels import use_device
from pipeline.parallel import telling
from pipeline.params import load

ARTIFACTS = Path("artifacts")
STAGE_OF = {
    BASELINE: "train_baseline"
}  # the other defenses are trained by the stage of their own name


@unheard
def run(stage: Callable[[Config], str]) -> None:
    """Runs a stage on `params.yaml`; a mistake is one line and status 2, a failed check 1.

    At its end it prints what the stage says, and the seconds; with `--help` what the stage does.
    """
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(str(stage.__globals__["__doc__"]).strip())
        return
    import torch

    began, name = time.monotonic(), _called(stage, sys.argv[1:])
    try:
        cfg = load()
        torch.set_num_threads(cfg.threads)
        use_device(cfg.device)
        with telling(name):
            said = stage(cfg)
        print(f"{name}: {said}; {time.monotonic() - began:.0f} s", flush=True)
    except (BadInput, FailedCheck) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, BadInput) else 1) from None


def _called(stage: Callable[[Config], str], arguments: list[str]) -> str:
    """The name of a stage as `dvc.yaml` has it."""
    module = Path(stage.__globals__["__file__"]).stem
    return "@".join(arguments if module == "train" else [module, *arguments[:1]])


def prepared() -> tuple[Dataset, Plan]:
    """What `prepare` wrote."""
    return load_dataset(ARTIFACTS / "prepare"), Plan.load(ARTIFACTS / "prepare" / PLAN)


def why_left_out(kind: type[Section], cfg: Config) -> str:
    """Why a risk with a stage of its own is not measured, on such data or at all; empty = it is."""
    if cfg.section(kind).unasked == BY_EXPERIMENT:
        return BY_EXPERIMENT  # whatever else speaks against it
    if not (kind.for_images if cfg.data.image else kind.for_records):
        return NOT_FOR_IMAGES if cfg.data.image else FOR_IMAGES_ALONE
    if not kind.for_counts and cfg.threat[cfg.audit.headline].norm == "l0":
        return NOT_FOR_COUNTS
    if not kind.for_frozen and cfg.plan.frozen:
        return NOT_TRAINED_AGAIN
    if not kind.for_scores and not cfg.model.network:
        return FOR_NETWORKS_ALONE
    return cfg.section(kind).unasked


def left_out(kind: type[Section], cfg: Config, risk: str) -> str:
    """`why_left_out`; then the risk's folder says so, and no more."""
    if why := why_left_out(kind, cfg):
        with folder(ARTIFACTS / risk) as out:
            write_json(out / NOT_APPLICABLE, said_of(risk, why))
    return why


def said_of(risk: str, why: str) -> dict[str, dict[str, str]]:
    """What the folder of a risk says that was left out.

    Of what is of images alone, the pages of records have no word: nobody would look for it there.
    Nor has any page of what an experiment of its own asks for.
    """
    return {} if why in (FOR_IMAGES_ALONE, BY_EXPERIMENT) else {risk: {"": why}}


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
