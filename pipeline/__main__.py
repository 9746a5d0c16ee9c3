"""One recipe, end to end, in one process; with `-m` a Hydra sweep over several.

    python -m pipeline defense=adv_train adv_train.eps=0.2
    python -m pipeline -m defense=baseline,adv_train,distill,dp_train seed=0,1,2
    python -m pipeline -m defense=dp_train dp_train.epsilon=0.5,1,3,8

Each run lands in `sweeps/<key>/` and in MLflow. The key is the digest of the resolved
configuration, the code and the data, so a sweep that was stopped and is started again does only
what is missing.
"""

import os
import sys
from typing import Any, NoReturn

from pipeline.kernels import fix_kernels

fix_kernels()  # before torch and NumPy, which look at the processor once

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pipeline.files import BadInput, FailedCheck, repository_root, unheard
from pipeline.params import check_command_line, parse_chosen
from pipeline.project.command_line import COMPLETION, INSTALL, understood
from pipeline.project.composition import search_overrides, searched

CONF = searched()


@hydra.main(version_base=None, config_path=str(CONF[0].resolve()), config_name="config")
def run(composed: DictConfig) -> list[dict[str, Any]]:
    """One job."""
    from pipeline.sweep import run_recipes  # a mistake on the command line need not wait for it

    overrides = list(HydraConfig.get().overrides.task)
    try:
        cfg = parse_chosen(OmegaConf.to_yaml(composed, resolve=True), overrides)
        return run_recipes(cfg, overrides)
    except (BadInput, FailedCheck) as error:
        _fail(error)


def _fail(error: BadInput | FailedCheck) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2 if isinstance(error, BadInput) else 1)


@unheard
def main() -> None:
    """The command line: every job is composed and checked first, as Hydra's messages are long."""
    if {"-sc", "--shell-completion"} & {*sys.argv} and INSTALL in sys.argv:
        print(COMPLETION, end="")
        return
    try:
        sys.argv[1:], overrides = understood(sys.argv[1:])
        check_command_line(overrides)
    except BadInput as error:
        _fail(error)
    os.chdir(repository_root())  # where Hydra puts the folder of a sweep
    sys.argv += search_overrides(CONF)
    run()


if __name__ == "__main__":
    main()
