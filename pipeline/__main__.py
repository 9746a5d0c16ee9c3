"""One recipe, end to end, in one process; with `-m` a Hydra sweep over several.

    python -m pipeline defense=adv_train adv_train.eps=0.2
    python -m pipeline -m defense=baseline,adv_train,distill,dp_train seed=0,1,2
    python -m pipeline -m defense=dp_train dp_train.epsilon=0.5,1,3,8

Each run lands in `sweeps/<key>/` and in MLflow. The key is the digest of the resolved configuration, the code and the
data, so a sweep that was stopped and is started again does only what is missing.
"""

import re
import sys
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pipeline.defenses import DEFENSES
from pipeline.files import BadInput, repository_root
from pipeline.params import override_hint, parse
from pipeline.sweep import run_recipes

CONF = repository_root() / "conf"


@hydra.main(version_base=None, config_path=str(CONF), config_name="config")
def run(composed: DictConfig) -> list[dict[str, Any]]:
    """One job: every chosen defence; usually `defense=<name>` leaves one."""
    hydra_config = HydraConfig.get()
    values = yaml.safe_load(OmegaConf.to_yaml(composed, resolve=True))
    # A preset may adjust a defence that this job does not choose: what it leaves behind is no defence.
    unchosen = set(DEFENSES) - set(re.findall(r"\w+", str(hydra_config.runtime.choices["defense"])))
    try:
        cfg = parse({key: value for key, value in values.items() if key not in unchosen}, "conf")
        return run_recipes(cfg, list(hydra_config.overrides.task))
    except BadInput as error:
        _fail(error)


def _fail(error: BadInput) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """The command line. Hydra's own message on a misspelt key is many lines long: look for one first."""
    try:
        overrides = [argument for argument in sys.argv[1:] if "=" in argument and not argument.startswith("-")]
        if hint := override_hint(overrides, CONF):
            raise BadInput(f"command line{hint}")
    except BadInput as error:
        _fail(error)
    run()


if __name__ == "__main__":
    main()
