"""Which engine runs the jobs of a sweep, as Hydra is told it: `hydra/launcher=ray` and its keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import BadInput
from pipeline.project.composition import composed_launcher, jobs

GROUP, NODE = "hydra/launcher", "hydra.launcher"
HERE, RAY, LOCAL, SLURM = "basic", "ray", "submitit_local", "submitit_slurm"
PLUGINS = "hydra_plugins.hydra_"
# By Hydra's own mark of a launcher, so that a preset of somebody's own may build on one of ours.
TARGETS = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": HERE,
    f"{PLUGINS}ray_launcher.ray_launcher.RayLauncher": RAY,
    f"{PLUGINS}submitit_launcher.submitit_launcher.LocalLauncher": LOCAL,
    f"{PLUGINS}submitit_launcher.submitit_launcher.SlurmLauncher": SLURM,
}


@dataclass(frozen=True)
class Launcher:
    """What runs jobs.

    Attributes:
        kind: a value of `TARGETS`.
        settings: its keys below `hydra.launcher`.
    """

    kind: str
    settings: Mapping[str, Any]


def launcher_of(overrides: Sequence[str], conf: Path | None = None) -> tuple[Launcher, list[str]]:
    """What the command line says of the launcher, and what it says of the jobs.

    Args:
        overrides: in Hydra's syntax.
        conf: as for `compose`.

    Raises:
        BadInput: it names several launchers, one that is not known here, or a key that the launcher
            does not have.
    """
    own = [one for one in overrides if _of_launcher(one)]
    if len(jobs(own)) > 1:
        raise BadInput(f"command line: {' '.join(own)}: a sweep has one launcher")
    settings = composed_launcher(own, conf)
    target = settings.pop("_target_", None)
    if target not in TARGETS:
        known = ", ".join(TARGETS.values())
        raise BadInput(f"{GROUP}: {target}: not known here; take {known}")
    return Launcher(TARGETS[target], settings), [one for one in overrides if one not in own]


def _of_launcher(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key in (GROUP, NODE) or key.startswith(f"{NODE}.")
