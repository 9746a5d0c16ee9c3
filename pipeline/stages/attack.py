"""What each attack does to the undefended models.

Command:  python -m pipeline.stages.attack
Reads:    artifacts/prepare/, artifacts/train_baseline/
Writes:   artifacts/attack/: adversarial.safetensors, and a folder for each risk that was measured
"""

from pipeline.config import BASELINE, Config
from pipeline.files import folder
from pipeline.stages import ARTIFACTS, run
from pipeline.stages._examining import examine, trained


def attack_baseline(cfg: Config) -> str:
    """The stage."""
    examinee = trained(BASELINE, cfg)
    with folder(ARTIFACTS / "attack") as out:
        return examine(examinee, out)


if __name__ == "__main__":
    run(attack_baseline)
