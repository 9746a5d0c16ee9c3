"""What each attack does to one defense, adaptive to it, and what it leaks.

Command:  python -m pipeline.stages.examine <defense>
Reads:    artifacts/prepare/, artifacts/attack/, artifacts/<defense>/
Writes:   artifacts/examine/<defense>/: a folder for each risk that was measured
"""

import sys

from pipeline.config import Config
from pipeline.files import folder
from pipeline.stages import ARTIFACTS, run, trained_by
from pipeline.stages._examining import examine, trained


def examine_one(cfg: Config) -> str:
    """The stage."""
    name = trained_by(cfg, sys.argv[1:])
    examinee = trained(name, cfg)
    with folder(ARTIFACTS / "examine" / name) as out:
        return examine(examinee, out, transfer=ARTIFACTS / "attack")


if __name__ == "__main__":
    run(examine_one)
