"""One recipe, end to end, in one process; with `-m` a sweep over several, compared at its end.

    python -m pipeline defense=adv_train adv_train.eps=0.2
    python -m pipeline -m defense=baseline,adv_train,distill,dp_train seed=0,1,2
    python -m pipeline -m defense=baseline,dp_train dp_train.epsilon=0.5,1,3,8 risks=all

Each run lands in `sweeps/<key>/` and in MLflow. The key is the digest of the resolved
configuration, the code and the data, so a sweep that was stopped and is started again does only
what is missing. A sweep has a page of its own in `sweeps/`. Where a job failed, exit status 1.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.kernels import fix_kernels

fix_kernels()  # before torch and NumPy, which look at the processor once

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pipeline.files import BadInput, FailedCheck, repository_root, unheard
from pipeline.params import check_command_line, configured_jobs, parse_chosen
from pipeline.presentation.sector_words import Words, in_words
from pipeline.project.command_line import COMPLETION, INSTALL, understood
from pipeline.project.composition import search_overrides, searched
from pipeline.project.launchers import GROUP, HERE, launcher_of

CONF = searched()
MULTIRUN = {"-m", "--multirun"}


@hydra.main(version_base=None, config_path=str(CONF[0].resolve()), config_name="config")
def run(composed: DictConfig) -> None:
    """One configuration, with every defense that it holds."""
    # a mistake on the command line need not wait for it
    from pipeline.sweep.group import run_alone

    overrides, words = list(HydraConfig.get().overrides.task), None
    try:
        cfg = parse_chosen(OmegaConf.to_yaml(composed, resolve=True), overrides)
        words = cfg.data.spoken
        run_alone(cfg, overrides)
    except (BadInput, FailedCheck) as error:
        _fail(error, words)


def _fail(error: BadInput | FailedCheck, words: Words | None = None) -> NoReturn:
    print(f"error: {in_words(str(error), words)}", file=sys.stderr)
    raise SystemExit(2 if isinstance(error, BadInput) else 1)


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether these ask for a sweep, and for nothing else of Hydra's."""
    flags = {one for one in arguments if one.startswith("-")}
    return (
        bool(flags) and flags <= MULTIRUN and all("=" in one or one in flags for one in arguments)
    )


def sweep(overrides: list[str]) -> int:
    """Composes and checks every job, then runs each once; returns the exit status."""
    launcher, overrides = launcher_of(overrides)
    asked = configured_jobs(overrides)
    # a mistake on the command line need not wait for it
    from pipeline.sweep.group import run_sweep

    ours, status = os.getpid(), [128 + signal.SIGINT]

    def stop(signum: int, _: object) -> None:
        status[0] = 128 + signum
        if os.getpid() != ours:  # a worker
            os._exit(status[0])
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        return run_sweep(asked, launcher)
    except KeyboardInterrupt:
        print("stopped; the same command does what is missing", file=sys.stderr)
        return status[0]


@unheard
def main() -> None:
    """The command line: every job is composed and checked first, as Hydra's messages are long."""
    if {"-sc", "--shell-completion"} & {*sys.argv} and INSTALL in sys.argv:
        print(COMPLETION, end="")
        return
    try:
        sys.argv[1:], overrides = understood(sys.argv[1:])
        if is_sweep(sys.argv[1:]):
            raise SystemExit(sweep(overrides))
        check_command_line(overrides)
        if MULTIRUN & {*sys.argv[1:]} and launcher_of(overrides)[0].kind != HERE:
            raise BadInput(f"{GROUP}: other options of Hydra's than -m are for this process alone")
    except (BadInput, FailedCheck) as error:
        _fail(error)
    os.chdir(repository_root())  # where Hydra puts the folder of a sweep
    sys.argv += search_overrides(CONF)
    run()


if __name__ == "__main__":
    main()
